"""The sessions in tests/transcripts stay true."""

from __future__ import annotations

from pathlib import Path

import pytest

from iotc_admin.emulator import Emulator

from .transcript import by_form, perform, steps

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))


def environment_of(emulator: Emulator, folder: Path) -> dict[str, str]:
    """What `emulator exec` sets."""
    return {
        "IOTC_APP": emulator.app,
        "IOTC_API_TOKEN": emulator.api_token,
        "IOTC_CA_FILE": str(emulator.ca_file),
        "IOTC_DPS_HOST": emulator.dps_host,
        "IOTC_MQTT_PORT": str(emulator.mqtt_port),
        "IOTC_LEDGER": str(folder / "ledger.db"),
        "IOTC_EMULATOR_CONTROL": emulator.control_url,
    }


def play(text: str, folder: Path) -> None:
    """Perform a transcript against an emulator of its own; each command must say what it is to say."""
    with Emulator(retry_after=1) as emulator:
        environment = environment_of(emulator, folder)
        for step in steps(text):
            assert by_form(perform(step.command, folder, environment)) == by_form(step.said), step.command


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_session_is_true(file: Path, tmp_path: Path) -> None:
    play(file.read_text(encoding="utf-8"), tmp_path)
