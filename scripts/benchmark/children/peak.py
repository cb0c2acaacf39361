"""Runs a Python script in this very process: peak.py SCRIPT ARG...

The last line it prints is the most memory that took, MB. What `wait4` tells would not do:
a child begins with the peak of the process that started it.
"""

from __future__ import annotations

import atexit
import runpy
import sys
from pathlib import Path


def _report() -> None:
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    sys.stdout.write(f"\n{peak / 1024}\n")


if __name__ == "__main__":
    atexit.register(_report)
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
