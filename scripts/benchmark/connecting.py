"""How fast devices register at the emulator, and how it bears many that are connected and talk."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from figures import Figure
from processes import (
    CLI,
    EMULATOR,
    allow_files,
    child,
    environment,
    memory,
    output_of,
    processor,
    server,
    silently,
)
from serving import plain_certificate

from iotc_admin import CertificateAuthority
from iotc_admin.pki.store import save_authority, save_identity

_CONNECTED = 1000
_ROUNDS = 4
_AT_ONCE = _CONNECTED // _ROUNDS // 2  # half of the devices register over HTTPS, half over MQTT
_RATE_GOAL = 200
_SETTLED = 12  # seconds, after which it remembers as many messages as it ever will
_FLAT = 5.0
_UNLIMITED = ("--registrations-per-minute", "0", "--retry-after", "0")
_BESIDE = "mutual TLS handshakes, standard library"


@dataclass(frozen=True)
class End:
    """One server: where its clients find it, and its process."""

    env: Mapping[str, str]
    pid: int


@dataclass(frozen=True)
class Speed:
    """What a client saw each second, and the processor time the server took for each of it, ms."""

    rate: float
    cost: float


@dataclass(frozen=True)
class Moment:
    """What the load tells at one moment, and how its server is then: memory in MB, times in seconds."""

    told: dict[str, float]
    memory: float
    processor: float
    clock: float


def measure(folder: Path, seconds: int) -> Iterator[Figure]:
    allow_files(2 * _CONNECTED)
    root = CertificateAuthority.create("root", now=datetime.now(UTC))
    save_authority(folder, "root", root)
    for number in range(_CONNECTED):
        name = f"device-{number}"
        save_identity(folder, name, root.issue(name, now=datetime.now(UTC)))
    with ExitStack() as stack:
        emulator = _emulator(folder, stack)
        raw = _handshakes(folder, stack)
        speeds = _speeds(folder, emulator, raw)
        yield from _registrations(speeds)
        before = memory(emulator.pid)
        yield from _connections(before, _telemetry(folder, emulator, seconds), speeds["handshake"])


def _emulator(folder: Path, stack: ExitStack) -> End:
    """One with a group for the devices."""
    env = environment(folder)
    ready, pid = stack.enter_context(server((*EMULATOR, *_UNLIMITED), env))
    found = {"IOTC_APP": ready["app"], "IOTC_API_TOKEN": ready["apiToken"], "IOTC_ID_SCOPE": ready["idScope"]}
    end = _end(env | found | {"IOTC_MQTT_PORT": str(ready["mqttPort"])}, ready, ready["caFile"], pid)
    silently((CLI, "group", "create", "plant", "--root", str(folder / "root_cert.pem")), end.env)
    return end


def _handshakes(folder: Path, stack: ExitStack) -> End:
    env = environment(folder)
    certificate, key = plain_certificate(folder, env)
    run = child("handshakes", certificate, key, folder / "root_cert.pem")
    ready, pid = stack.enter_context(server(run, env))
    return _end(env, ready, certificate, pid)


def _end(env: Mapping[str, str], ready: dict[str, Any], authority: str, pid: int) -> End:
    return End({**env, "IOTC_DPS_HOST": ready["dpsHost"], "IOTC_CA_FILE": authority}, pid)


def _speeds(folder: Path, emulator: End, raw: End) -> dict[str, Speed]:
    """The median of each way; they take turns, and no device registers twice."""
    ends = {"https": emulator, "mqtt": emulator, "handshake": raw}
    measured: dict[str, list[Speed]] = {way: [] for way in ends}
    for number in range(_ROUNDS):
        for turn, (way, end) in enumerate(ends.items()):
            first = (2 * number + turn % 2) * _AT_ONCE
            measured[way].append(_speed(folder, way, end, first))
    return {
        way: Speed(median(each.rate for each in speeds), median(each.cost for each in speeds))
        for way, speeds in measured.items()
    }


def _speed(folder: Path, way: str, end: End, first: int) -> Speed:
    before = processor(end.pid)
    rate = float(output_of(child("register", way, folder, first, _AT_ONCE), end.env))
    return Speed(rate, 1000 * (processor(end.pid) - before) / _AT_ONCE)


def _registrations(speeds: dict[str, Speed]) -> Iterator[Figure]:
    """The processor time tells what a core can do even while others keep this machine busy."""
    raw = speeds["handshake"]
    for way, name in (("https", "HTTPS"), ("mqtt", "MQTT")):
        what = f"devices: registrations over {name}"
        rate, cost = speeds[way].rate, speeds[way].cost
        yield Figure(what, rate, "1/s", _RATE_GOAL, True, _BESIDE, raw.rate)
        yield Figure(f"{what}, processor", cost, "ms", 1000 / _RATE_GOAL, False, _BESIDE, raw.cost)


def _telemetry(folder: Path, emulator: End, seconds: int) -> list[Moment]:
    """When all are connected, when the server's memory is filled, and at the end."""
    command = child("telemetry", folder, _CONNECTED, seconds, _SETTLED)
    with subprocess.Popen(command, env=emulator.env, stdout=subprocess.PIPE, text=True) as load:
        moments = [_moment(line, emulator.pid) for line in load.stdout or ()]
    if load.returncode:
        raise RuntimeError("the load failed")
    return moments


def _moment(line: str, pid: int) -> Moment:
    return Moment(json.loads(line), memory(pid), processor(pid), time.monotonic())


def _connections(before: float, moments: list[Moment], raw: Speed) -> Iterator[Figure]:
    connected, settled, end = moments
    what = f"devices: {_CONNECTED} connected"
    yield Figure(f"{what}, connects", connected.told["connects"], "1/s", None, True, _BESIDE, raw.rate)
    yield Figure(f"{what}, failures", end.told["failures"], "devices", 0)
    yield Figure(f"{what}, messages", end.told["messages"], "1/s", 0.99 * _CONNECTED, True)
    for share in ("p50", "p95", "p99"):
        yield Figure(f"{what}, PUBACK {share}", end.told[share], "ms")
    busy = (end.processor - settled.processor) / (end.clock - settled.clock)
    yield Figure(f"{what}, the emulator's core busy", 100 * busy, "%")
    yield Figure(f"{what}, memory", connected.memory, "MB", beside="before", baseline=before)
    yield Figure(
        f"{what}, memory at the end", end.memory, "MB", beside="before a message", baseline=connected.memory
    )
    growth = max(0.0, end.memory - settled.memory)
    yield Figure(
        f"{what}, growth since {_SETTLED} s", growth, "MB", _FLAT, beside="then", baseline=settled.memory
    )
