"""How much memory a command takes, and whether it grows with the application."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from figures import Figure
from processes import CLI, EMULATOR, Command, child, door, environment, memory, output_of, server

from iotc_admin import (
    ApiToken,
    CertificateAuthority,
    Client,
    EnrollmentGroup,
    GroupAttestation,
    Pacer,
    SigningX509Certificate,
    Slot,
)
from iotc_admin.emulator import Emulator, Switches
from iotc_admin.emulator.exchange import Request
from iotc_admin.pki.pem import certificate_pem

_GROUPS = 100
_FEW, _MANY = 1000, 20_000
_FLAT = 50.0


def measure(folder: Path) -> Iterator[Figure]:
    yield from _groups(folder)
    yield from _devices(folder)


def _groups(folder: Path) -> Iterator[Figure]:
    with Emulator(throttle="off", switches=Switches(group_limit="none")) as emulator:
        _make_groups(emulator)
        env = environment(folder, **door(emulator))
        raw = _peak(child("raw_show", "g0")[1:], env)
        show = _peak((CLI, "group", "show", "g0"), env)
        many = _peak((CLI, "group", "list"), env)
    yield Figure("memory: group show, peak", show, "MB", beside="httpx alone, same GETs", baseline=raw)
    yield Figure(
        f"memory: group list, {_GROUPS} groups, peak", many, "MB", beside="group show", baseline=show
    )


def _make_groups(emulator: Emulator) -> None:
    token, unpaced = ApiToken(emulator.api_token), Pacer(emulator.app, ceiling=1e6, window=0)
    with Client(emulator.app, token, ca_file=emulator.ca_file, pacer=unpaced) as client:
        for number in range(_GROUPS):
            name = f"g{number}"
            attestation = GroupAttestation(type="x509", x509={})
            group = EnrollmentGroup(display_name=name, type="iot", attestation=attestation)
            client.enrollment_groups.create(name, group)
            root = CertificateAuthority.create(name, now=datetime.now(UTC)).certificate
            encoded = base64.b64encode(certificate_pem(root)).decode()
            filling = SigningX509Certificate(certificate=encoded)
            client.enrollment_groups.put_certificate(name, Slot.PRIMARY, filling)


def _devices(folder: Path) -> Iterator[Figure]:
    few, _ = _listing(folder, range(_FEW))
    many, served_by = _listing(folder, range(_FEW, _MANY))
    yield Figure(
        f"memory: {_MANY} devices iterated, more than {_FEW}",
        max(0.0, many - few),
        "MB",
        _FLAT,
        beside=f"peak with {_FEW}",
        baseline=few,
    )
    yield Figure(f"memory: the emulator after {_MANY} devices were listed", served_by, "MB")


def _listing(folder: Path, more: Iterable[int]) -> tuple[float, float]:
    """The peak of a client that iterates over all devices, and the emulator's memory after it."""
    state = folder / "state"
    _make_devices(state, more)
    run = (*EMULATOR, "--page-size", "100", "--data-dir", str(state))
    with server(run, environment(folder)) as (ready, pid):
        found = {
            "IOTC_APP": ready["app"],
            "IOTC_API_TOKEN": ready["apiToken"],
            "IOTC_CA_FILE": ready["caFile"],
        }
        return _peak(child("list_devices")[1:], environment(folder, **found)), memory(pid)


def _make_devices(state: Path, numbers: Iterable[int]) -> None:
    """Through the in-process door: no sockets."""
    with Emulator(data_dir=state, throttle="off") as emulator:
        headers = {"authorization": emulator.api_token, "content-type": "application/json"}
        for number in numbers:
            path = f"/api/devices/device-{number:06}"
            emulator.answer(Request("PUT", path, "api-version=2022-07-31", headers, b"{}"))


def _peak(script: Command, env: dict[str, str]) -> float:
    return float(output_of(child("peak", *script), env).splitlines()[-1])
