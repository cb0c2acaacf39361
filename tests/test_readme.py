"""What the README shows is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from iotc_admin.emulator import Switches
from iotc_admin.emulator.faults import FaultKind

from .test_transcripts import play

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_its_sessions_are_true_in_their_order(tmp_path: Path) -> None:
    assert len(blocks("console")) == 9

    play("".join(blocks("console")), tmp_path)


def test_its_python_runs(tmp_path: Path) -> None:
    (program,) = blocks("python")

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stderr, done.returncode) == ("", 0)
    assert "plant-7 x509" in done.stdout


def test_its_two_commands_are_there_and_can_be_run() -> None:
    commands = blocks("sh")[0].split()

    for command in ("scripts/demo", "scripts/test"):
        assert command in commands
        assert (Path(__file__).parent.parent / command).stat().st_mode & 0o111


def test_it_names_every_switch_with_its_values_and_every_kind_of_fault() -> None:
    for name, values in Switches.values().items():
        assert f"| `{name}` | {', '.join(f'`{value}`' for value in values)};" in README
    for kind in get_args(FaultKind):
        assert f"`{kind}`" in README
