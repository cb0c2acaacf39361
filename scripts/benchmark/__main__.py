"""Measures what this project promises, each figure beside its goal and its baseline of the same minutes."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import connecting
import counting
import issuing
import memory
import pacing
import serving
import startup
from figures import Figure, document, table

_MEMORY = Path("/dev/shm")


def main() -> None:
    options = _options()
    chapters = _chapters(pace=60, talk=60) if options.long else _chapters()
    figures: list[Figure] = []
    for name in options.only or chapters:
        started = time.monotonic()
        figures += _measured(chapters[name])
        print(f"{name}: measured in {time.monotonic() - started:.0f} s", file=sys.stderr)
    written = document(figures, _machine())
    if options.json:
        options.json.write_text(written + "\n")
    print(written if options.output == "json" else table(figures))


def _chapters(pace: float = 20, talk: int = 15) -> dict[str, Callable[[Path], Iterator[Figure]]]:
    return {
        "startup": startup.measure,
        "requests": counting.measure,
        "memory": memory.measure,
        "emulator": serving.measure,
        "devices": partial(connecting.measure, seconds=talk),
        "certificates": issuing.measure,
        "pace": partial(pacing.measure, seconds=pace),
    }


def _measured(measure: Callable[[Path], Iterator[Figure]]) -> list[Figure]:
    # In memory where there is such a place: no disk is measured.
    with TemporaryDirectory(prefix="iotc-bench-", dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        return list(measure(Path(folder)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("scripts/bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as JSON too")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="what is printed")
    parser.add_argument("--long", action="store_true", help="pace and talk for 60 s instead of 20 s and 15 s")
    parser.add_argument("--only", action="append", choices=_chapters(), help="one chapter; repeatable")
    return parser.parse_args()


def _machine() -> dict[str, object]:
    return {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}


if __name__ == "__main__":
    main()
