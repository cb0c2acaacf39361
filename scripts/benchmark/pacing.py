"""How much of what the service allows a client gets, and how often it is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from figures import Figure
from processes import child, door, environment

from iotc_admin.client.pacing import AHEAD, CEILING
from iotc_admin.emulator import Emulator

_ALLOWED = 20
_THREADS = 4
_UNPACED = 1e6
_REFUSED = 429
_files = count()


@dataclass(frozen=True)
class Case:
    """`processes` clients of one application, all of one pace, against one kind of throttle."""

    kind: Literal["window", "bucket"]
    processes: int = 1
    ceiling: float = CEILING
    ahead: float = AHEAD


@dataclass(frozen=True)
class Result:
    """Both in per cent: of the allowed requests those served, of those sent the ones refused."""

    share: float
    refused: float


def measure(folder: Path, seconds: float) -> Iterator[Figure]:
    retried = run([Case("window", ceiling=_UNPACED), Case("bucket", ceiling=_UNPACED)], seconds, folder)
    for processes, goal in ((1, 97), (2, 95)):
        # Both kinds at the same time: neither is near what a core can do.
        cases = [Case("window", processes), Case("bucket", processes)]
        for case, result, idle in zip(cases, run(cases, seconds, folder), retried, strict=True):
            what = f"pace: {case.kind}, {processes} process{'es' * (processes > 1)}, {seconds:g} s"
            beside = "retries alone, one process"
            yield Figure(f"{what}, served of {_ALLOWED}/s", result.share, "%", goal, True, beside, idle.share)
            yield Figure(f"{what}, refused", result.refused, "%", 0.5, False, beside, idle.refused)


def run(cases: list[Case], seconds: float, folder: Path) -> list[Result]:
    """All cases at the same time, each with an emulator of its own."""
    with ExitStack() as stack:
        emulators = [stack.enter_context(Emulator(throttle=case.kind)) for case in cases]
        pairs = zip(cases, emulators, strict=True)
        started = [_start(case, emulator, seconds, folder) for case, emulator in pairs]
        served = [sum(int(process.communicate()[0]) for process in each) for each in started]
        return [_result(emulator, count, seconds) for emulator, count in zip(emulators, served, strict=True)]


def _start(case: Case, emulator: Emulator, seconds: float, folder: Path) -> list[subprocess.Popen[str]]:
    file = folder / f"pace-{next(_files)}.db"
    command = child("paced", seconds, _THREADS, case.ceiling, case.ahead, file)
    env = environment(folder, **door(emulator))
    return [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(case.processes)
    ]


def _result(emulator: Emulator, served: int, seconds: float) -> Result:
    statuses = [request.status for request in emulator.control.requests]
    return Result(100 * served / (seconds * _ALLOWED), 100 * statuses.count(_REFUSED) / len(statuses))
