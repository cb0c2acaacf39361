"""What was measured, beside what it must reach and what it is compared with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured value. `goal` is the most it may be, or with `more_is_better` the least."""

    what: str
    value: float
    unit: str
    goal: float | None = None
    more_is_better: bool = False
    beside: str = ""
    baseline: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None

    @property
    def reached(self) -> bool | None:
        """None where there is no goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal

    def document(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.ratio, "reached": self.reached}

    def cells(self) -> tuple[str, ...]:
        goal = "" if self.goal is None else f"{'>=' if self.more_is_better else '<='} {_short(self.goal)}"
        verdict = {None: "", True: "yes", False: "NO"}[self.reached]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        baseline = "" if self.baseline is None else _short(self.baseline)
        return self.what, _short(self.value), self.unit, goal, verdict, baseline, ratio, self.beside


_HEADS = ("WHAT", "MEASURED", "UNIT", "GOAL", "REACHED", "BASELINE", "RATIO", "BASELINE IS")


def table(figures: Iterable[Figure]) -> str:
    """The figures for people."""
    rows = [_HEADS, *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def document(figures: Iterable[Figure], machine: dict[str, Any]) -> str:
    """The figures for programs."""
    return json.dumps({"machine": machine, "figures": [each.document() for each in figures]}, indent=2)


def _short(value: float) -> str:
    if value == int(value):
        return f"{int(value)}"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value < 10 else f"{value:.1f}"
