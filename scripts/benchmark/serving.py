"""How many REST requests the emulator serves in a second, beside a server that does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from figures import Figure
from processes import CLI, EMULATOR, child, environment, medians, output_of, server, silently

_SECONDS = 1.0
_ROUNDS = 3
_GOAL = 500
_KINDS = {"GET group": ("GET", "/api/enrollmentGroups/plant"), "PUT device": ("PUT", "/api/devices/pump-#")}


def measure(folder: Path) -> Iterator[Figure]:
    env = environment(folder)
    plain = plain_certificate(folder, env)
    with server(EMULATOR, env) as (emulator, _), server(child("plain_server", *plain), env) as (idle, _):
        ours = env | {
            "IOTC_APP": emulator["app"],
            "IOTC_API_TOKEN": emulator["apiToken"],
            "IOTC_CA_FILE": emulator["caFile"],
        }
        silently((CLI, "cert", "root", "root", "--out", str(folder)), ours)
        silently((CLI, "group", "create", "plant", "--root", str(folder / "root_cert.pem")), ours)
        theirs = ours | {"IOTC_APP": idle["app"], "IOTC_CA_FILE": plain[0]}
        for connections in (1, 8):
            for name, (method, path) in _KINDS.items():
                load = partial(_rate, connections, method, path)
                rates = medians({"ours": partial(load, ours), "theirs": partial(load, theirs)}, _ROUNDS)
                what = f"emulator: {name}, {connections} connection{'s' * (connections > 1)}"
                yield Figure(
                    what, rates["ours"], "1/s", _GOAL, True, "aiohttp, a constant answer", rates["theirs"]
                )


def _rate(connections: int, method: str, path: str, env: dict[str, str]) -> float:
    return float(output_of(child("load", _SECONDS, connections, method, path), env))


def plain_certificate(folder: Path, env: dict[str, str]) -> tuple[str, str]:
    """The files of a self-signed server certificate and its key."""
    certificate, key = str(folder / "plain.pem"), str(folder / "plain.key")
    line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
    names = ("-addext", "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key)
    silently(("openssl", *line.split(), *names), env)
    return certificate, key
