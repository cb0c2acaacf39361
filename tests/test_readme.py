"""What the README shows is what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from iotc_admin.emulator import Emulator, Switches
from iotc_admin.emulator.faults import FaultKind

from .outside import needed
from .test_transcripts import environment_of, play
from .transcript import perform

ROOT = Path(__file__).parent.parent
SESSIONS = ROOT / "tests" / "transcripts"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_its_sessions_are_true_in_their_order(tmp_path: Path) -> None:
    assert len(blocks("console")) == 12

    play("".join(blocks("console")), tmp_path)


def test_its_keys_are_elsewhere(tmp_path: Path) -> None:
    needed("softhsm2-util")
    token, _, _ = (SESSIONS / "token.txt").read_text(encoding="utf-8").partition("$ iotc-admin")

    assert len(blocks("shell-session")) == 2
    play(token + "".join(blocks("shell-session")), tmp_path)


def commands_of_the_how_to() -> list[str]:
    """The cells of the second column of the table beside Microsoft's how-to, in their order."""
    _, _, table = README.partition("## Microsoft's how-to")
    rows = re.findall(r"^\| (.*) \| (.*) \|$", table.partition("\n## ")[0], flags=re.MULTILINE)
    return [each for _, cell in rows for each in re.findall(r"`(iotc-admin [^`]+)`", cell)]


def test_each_step_of_microsofts_how_to_is_done_by_the_command_beside_it(tmp_path: Path) -> None:
    commands = commands_of_the_how_to()
    (tmp_path / "renewed.txt").write_text("sample-device-01\n")

    with Emulator(retry_after=0) as emulator:
        said = {each: perform(each, tmp_path, environment_of(emulator, tmp_path)) for each in commands}

    assert {each: text for each, text in said.items() if "\n? " in f"\n{text}"} == {}
    assert len(commands) == 27


@pytest.mark.parametrize(
    ("program", "prints"), list(zip(blocks("python"), ("plant-7 x509", "[]"), strict=True))
)
def test_its_python_runs(program: str, prints: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stderr, done.returncode) == ("", 0)
    assert prints in done.stdout


def test_its_picture_is_that_of_a_session_that_stays_true() -> None:
    drawn = subprocess.run(
        [sys.executable, ROOT / "scripts" / "picture", SESSIONS / "tour.txt"], capture_output=True, check=True
    )

    assert (SESSIONS / "tour.svg").read_bytes() == drawn.stdout
    assert "](tests/transcripts/tour.svg)" in README


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
