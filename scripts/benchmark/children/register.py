"""Devices that register, each over a connection of its own: register.py WAY FOLDER FIRST COUNT.

WAY is https or mqtt: register, and poll once; or handshake, the connection alone. Prints how many a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from wire import DISCONNECT, PUBACK, PUBLISH, SUBACK, Device, in_lanes, load_devices, packet, subscribe

from iotc_admin.emulator.packets import publish

_VERSION = "api-version=2021-06-01"
_PORT = int(os.environ["IOTC_DPS_HOST"].rpartition(":")[2])


async def main(way: str, folder: Path, first: int, count: int) -> None:
    devices = load_devices(folder, first, count)
    started = time.perf_counter()
    await in_lanes(devices, {"https": _https, "mqtt": _mqtt, "handshake": _handshake}[way])
    print(count / (time.perf_counter() - started))


async def _handshake(device: Device) -> None:
    reader, writer = await device.connect(_PORT)
    # With TLS 1.3 a client is done before the server has seen its certificate.
    await reader.readexactly(1)
    writer.close()


async def _https(device: Device) -> None:
    reader, writer = await device.connect(_PORT)
    path = f"/{os.environ['IOTC_ID_SCOPE']}/registrations/{device.name}"
    asked = json.dumps({"registrationId": device.name}).encode()
    operation = (await _request(reader, writer, f"PUT {path}/register", asked))["operationId"]
    _require_assigned(await _request(reader, writer, f"GET {path}/operations/{operation}"))
    writer.close()


async def _request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str, body: bytes = b""
) -> dict[str, Any]:
    head = (
        f"{what}?{_VERSION} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answered = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = answered.partition(b"content-length:")[2].partition(b"\r")[0]
    answer: dict[str, Any] = json.loads(await reader.readexactly(int(length)))
    return answer


async def _mqtt(device: Device) -> None:
    username = f"{os.environ['IOTC_ID_SCOPE']}/registrations/{device.name}/{_VERSION}"
    reader, writer = await device.connect_mqtt(int(os.environ["IOTC_MQTT_PORT"]), username)
    writer.write(subscribe("$dps/registrations/res/#"))
    await _next(reader, SUBACK)
    register, status = "PUT/iotdps-register/?$rid=1", "GET/iotdps-get-operationstatus/?$rid=2&operationId="
    asked = json.dumps({"registrationId": device.name}).encode()
    operation = (await _exchange(reader, writer, register, asked))["operationId"]
    _require_assigned(await _exchange(reader, writer, status + operation))
    writer.write(DISCONNECT)
    writer.close()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str, payload: bytes = b""
) -> dict[str, Any]:
    writer.write(publish(f"$dps/registrations/{what}", payload, 1, 1))
    await _next(reader, PUBACK)
    body = await _next(reader, PUBLISH)
    answer: dict[str, Any] = json.loads(body[2 + int.from_bytes(body[:2]) :])
    return answer


async def _next(reader: asyncio.StreamReader, wanted: int) -> bytes:
    kind, body = await packet(reader)
    if kind != wanted:
        raise RuntimeError(f"packet {kind} came where {wanted} was due")
    return body


def _require_assigned(answer: dict[str, Any]) -> None:
    if answer["status"] != "assigned":
        raise RuntimeError(json.dumps(answer))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])))
