"""Processes that are measured, and the places they work in."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import IO, Any

from iotc_admin.emulator import Emulator

CLI = str(Path(sys.executable).with_name("iotc-admin"))
EMULATOR = (CLI, "emulator", "run", "--port", "0", "--mqtt-port", "0", "--throttle", "off")
Command = tuple[str, ...]


def child(name: str, *arguments: object) -> Command:
    """One of the scripts beside this file, as a command."""
    script = Path(__file__).with_name("children") / f"{name}.py"
    return sys.executable, str(script), *map(str, arguments)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """One in which nothing of the user's is read or written."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IOTC_", "PYTHON"))}
    folders = dict.fromkeys(("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    return kept | folders | {"IOTC_LEDGER": str(folder / "ledger.db")} | more


def door(emulator: Emulator) -> dict[str, str]:
    """The variables that lead a client to an emulator."""
    return {
        "IOTC_APP": emulator.app,
        "IOTC_API_TOKEN": emulator.api_token,
        "IOTC_CA_FILE": str(emulator.ca_file),
    }


def output_of(command: Command, env: Mapping[str, str]) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def silently(command: Command, env: Mapping[str, str]) -> None:
    """Run a command that must succeed; its words are of no interest."""
    subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def medians(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Each contestant's median; they take turns, so that a busy minute falls on all of them."""
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            measured[name].append(measure())
    return {name: median(values) for name, values in measured.items()}


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@contextmanager
def server(command: Command, env: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], int]]:
    """A process that prints one line of JSON when it is ready: that line, and the process's id."""
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _ready(process.stdout), process.pid
        finally:
            process.terminate()


def memory(pid: int) -> float:
    """The resident memory of a running process now, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def processor(pid: int) -> float:
    """The processor time that a running process has taken, its threads' included, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def allow_files(count: int) -> None:
    """Let each process that is started from now on have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != hard < count:
        raise RuntimeError(f"ulimit -n is {hard}: {count} open files are needed")
    if resource.RLIM_INFINITY != soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _ready(stream: IO[str] | None) -> dict[str, Any]:
    line = stream.readline() if stream else ""
    if not line:
        raise RuntimeError("a server did not start")
    ready: dict[str, Any] = json.loads(line)
    return ready
