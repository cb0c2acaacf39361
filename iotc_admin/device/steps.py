"""What a connection went through, step by step, each with its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from iotc_admin.errors import IotcError


@dataclass(frozen=True)
class Step:
    """`name` is register, poll, connect or telemetry; in a renewal keep, report, commit or give up, too."""

    name: str
    milliseconds: int
    outcome: str


@dataclass
class Note:
    """How a running step went."""

    outcome: str = ""


class Steps:
    """Collects steps, and tells of each as soon as it ended, well or not."""

    def __init__(self, on_step: Callable[[Step], None], monotonic: Callable[[], float]) -> None:
        self._on_step = on_step
        self._monotonic = monotonic
        self.taken: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Note]:
        note, started = Note(), self._monotonic()
        try:
            yield note
        except IotcError:
            self._ended(name, started, "failed")
            raise
        self._ended(name, started, note.outcome)

    def _ended(self, name: str, started: float, outcome: str) -> None:
        step = Step(name, round((self._monotonic() - started) * 1000), outcome)
        self.taken.append(step)
        self._on_step(step)


def nobody(step: Step) -> None:
    """Who listens to steps when nobody does."""
