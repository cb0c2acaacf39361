"""Runs shell sessions that must stay true, and compares what is said word for word.

`$ command`, then what it prints: stdout as it is, stderr after `! `, its exit code after `? ` unless it is 0.
What differs from run to run (thumbprints, codes, dates, request ids) is compared by its form.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FORMS = [
    (r"^serial .*$", "serial SERIAL"),
    (r"\b[0-9A-F]{64}\b", "SHA256"),
    (r"\b[0-9A-F]{48}\b", "CODE"),
    (r"\b[0-9A-F]{40}\b", "THUMBPRINT"),
    (r"\b([0-9A-F]{8}){1,2}\.\.", "SHORT"),
    (r"\b[0-9A-F]{4}\.\.[0-9A-F]{4}\b", "SHORT"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "REQUEST"),
    (r"\b2[01]\d\d-\d\d-\d\d(T\d\d:\d\d:\d\dZ| \d\d:\d\d)?", "DATE"),
    (r'("etag": )"[^"]+"', r'\1"ETAG"'),
    (r"localhost:\d+", "localhost:PORT"),
    (r"\b0ne[0-9A-F]{8}\b", "SCOPE"),
    (r"\b\d+ ms\b", "N ms"),
    (r" +$", ""),
]


@dataclass(frozen=True)
class Step:
    command: str
    said: str


def steps(text: str) -> Iterator[Step]:
    """The commands of a transcript, each with all that it is to say."""
    parts = re.split(r"^\$ ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    for part in parts[1:]:
        command, _, said = part.partition("\n")
        while command.endswith("\\"):
            more, _, said = said.partition("\n")
            command = f"{command[:-1]}{more.strip()}"
        yield Step(command, said.strip("\n"))


def perform(command: str, folder: Path, environment: dict[str, str]) -> str:
    """Run one command in a shell; what it said, in a transcript's form."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={
            **os.environ,
            "PATH": path,
            "HOME": str(folder),
            "COLUMNS": "100",
            "NO_COLOR": "1",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines() + [f"! {line}" for line in done.stderr.splitlines()]
    return "\n".join([*lines, *([f"? {done.returncode}"] if done.returncode else [])]).strip("\n")


def by_form(said: str) -> str:
    """What is left when all that differs from run to run is replaced by its name."""
    for pattern, form in FORMS:
        said = re.sub(pattern, form, said, flags=re.MULTILINE)
    return said
