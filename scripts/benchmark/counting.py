"""How many requests `group create` sends, as the emulator counts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from figures import Figure
from processes import CLI, Command, door, environment, silently

from iotc_admin.emulator import Emulator

_GOALS = {1: (6, 2), 2: (10, 3)}


def measure(folder: Path) -> Iterator[Figure]:
    for name in ("primary", "secondary"):
        silently((CLI, "cert", "root", name, "--out", str(folder)), environment(folder))
    for output in ("table", "json"):
        for slots, goals in _GOALS.items():
            counts = _requests(folder, _command(folder, slots, output))
            for occasion, count, goal in zip(("new", "repeated"), counts, goals, strict=True):
                what = f"requests: group create -o {output}, {slots} slot{'s' * (slots > 1)}, {occasion}"
                # As JSON the whole group is read once more, to print what `show` prints.
                yield Figure(what, count, "requests", goal if output == "table" else None)


def _command(folder: Path, slots: int, output: str) -> Command:
    line = (CLI, "group", "create", "plant", "-o", output, "--root", str(folder / "primary_cert.pem"))
    return line if slots == 1 else (*line, "--secondary", str(folder / "secondary_cert.pem"))


def _requests(folder: Path, command: Command) -> list[int]:
    """Of the first run and of the second."""
    counts = []
    with Emulator(throttle="off") as emulator:
        for _ in range(2):
            emulator.control.clear_requests()
            silently(command, environment(folder, **door(emulator)))
            counts.append(len(emulator.control.requests))
    return counts
