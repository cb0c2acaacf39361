"""What a check found: its state, what was seen, the cause and the fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Found:
    """`cause` and `fix` are empty where nothing is wrong; `details` are further lines for people."""

    state: State
    seen: str
    cause: str = ""
    fix: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One of the numbered checks, and what it found."""

    number: int
    name: str
    found: Found

    @property
    def state(self) -> State:
        return self.found.state


def ok(seen: str, *details: str) -> Found:
    return Found("ok", seen, details=details)


def warning(seen: str, cause: str, fix: str) -> Found:
    return Found("warning", seen, cause, fix)


def failed(seen: str, cause: str, fix: str) -> Found:
    return Found("failed", seen, cause, fix)


def skipped(why: str) -> Found:
    """What could not be looked at, because another check failed or nothing is there."""
    return Found("skipped", why)


def worst(found: list[Found]) -> Found:
    """One finding of several: the first of the worst speaks, the others are further lines."""
    order: list[State] = ["failed", "warning", "ok", "skipped"]
    first, *others = sorted(found, key=lambda each: order.index(each.state))
    told = [f"{each.seen}{f': {each.fix}' if each.fix else ''}" for each in others if each.state != "skipped"]
    return Found(first.state, first.seen, first.cause, first.fix, (*first.details, *told))
