"""How long a person waits before anything happens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from figures import Figure
from processes import CLI, Command, child, door, environment, medians, silently, timed

from iotc_admin.emulator import Emulator

_ROUNDS = 11


def measure(folder: Path) -> Iterator[Figure]:
    certificate = str(folder / "root_cert.pem")
    with Emulator(throttle="off") as emulator:
        env = environment(folder, **door(emulator))
        silently((CLI, "cert", "root", "root", "--out", str(folder)), env)
        silently((CLI, "group", "create", "plant", "--root", certificate), env)
        commands = _contestants(certificate)
        seconds = medians(
            {name: partial(timed, partial(silently, line, env)) for name, line in commands.items()}, _ROUNDS
        )
    yield from _figures({name: 1000 * value for name, value in seconds.items()})


def _contestants(certificate: str) -> dict[str, Command]:
    return {
        "python -c pass": (sys.executable, "-c", "pass"),
        "python -I -S -c pass": (sys.executable, "-I", "-S", "-c", "pass"),
        "--version": (CLI, "--version"),
        "--help": (CLI, "--help"),
        "group show": (CLI, "group", "show", "plant"),
        "httpx alone, same GETs": child("raw_show", "plant"),
        "cert show": (CLI, "cert", "show", certificate),
        "openssl x509 -text": ("openssl", "x509", "-noout", "-text", "-in", certificate),
    }


def _figures(ms: dict[str, float]) -> Iterator[Figure]:
    bare, raw, openssl = "python -c pass", "httpx alone, same GETs", "openssl x509 -text"
    isolated = "python -I -S -c pass"
    yield Figure(f"start-up: {bare}", ms[bare], "ms", beside=isolated, baseline=ms[isolated])
    for name, goal, beside in (
        ("--version", 100, bare),
        ("--help", None, bare),
        ("group show", 250, raw),
        ("cert show", None, openssl),
    ):
        yield Figure(f"start-up: {name}", ms[name], "ms", goal, beside=beside, baseline=ms[beside])
