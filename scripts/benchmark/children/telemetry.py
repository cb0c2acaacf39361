"""Registered devices that connect and send a message a second: telemetry.py FOLDER DEVICES SECONDS SETTLED.

Prints a line of JSON when all are connected, one when they have sent for SETTLED seconds, and one at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import quantiles

from wire import Device, Stream, in_lanes, load_devices

from iotc_admin.emulator.packets import puback, publish

_PAYLOAD = b'{"temperature":21.5}'
_PROPERTIES = "%24.ct=application%2Fjson&%24.ce=utf-8"
_PATIENCE = 10.0


async def main(folder: Path, count: int, seconds: int, settled: int) -> None:
    devices = load_devices(folder, 0, count)
    streams: dict[str, Stream] = {}
    started = time.perf_counter()
    await in_lanes(devices, lambda device: _connect(device, streams))
    _tell(connects=len(streams) / (time.perf_counter() - started))
    await asyncio.sleep(1)
    asyncio.get_running_loop().call_later(settled, _tell)
    latencies: list[float] = []
    started = time.perf_counter()
    unsent = await _talk(streams, seconds, latencies.append)
    took = time.perf_counter() - started
    shares = quantiles(latencies, n=100)
    p50, p95, p99 = (1000 * shares[each - 1] for each in (50, 95, 99))
    failures = count - len(streams) + unsent
    _tell(messages=len(latencies) / took, p50=p50, p95=p95, p99=p99, failures=failures)


async def _connect(device: Device, streams: dict[str, Stream]) -> None:
    username = f"localhost/{device.name}/?api-version=2021-04-12"
    try:
        streams[device.name] = await device.connect_mqtt(int(os.environ["IOTC_MQTT_PORT"]), username)
    except (OSError, EOFError, RuntimeError) as failure:
        print(device.name, failure, file=sys.stderr)


async def _talk(streams: dict[str, Stream], seconds: int, note: Callable[[float], None]) -> int:
    """How many devices did not come to the end of it."""
    started = time.perf_counter()
    tasks = [
        asyncio.create_task(_send(name, stream, _moments(started, index / len(streams), seconds), note))
        for index, (name, stream) in enumerate(streams.items())
    ]
    done, late = await asyncio.wait(tasks, timeout=seconds + _PATIENCE)
    failed = [repr(failure) for task in done if (failure := task.exception())]
    for each in set(failed):
        print(each, file=sys.stderr)
    return len(late) + len(failed)


def _moments(started: float, offset: float, seconds: int) -> Sequence[float]:
    """One in each second; those of all devices are spread over it."""
    return [started + offset + second for second in range(seconds)]


async def _send(name: str, stream: Stream, moments: Sequence[float], note: Callable[[float], None]) -> None:
    reader, writer = stream
    topic = f"devices/{name}/messages/events/{_PROPERTIES}"
    for packet_id, moment in enumerate(moments, start=1):
        await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        sent = time.perf_counter()
        writer.write(publish(topic, _PAYLOAD, 1, packet_id))
        answer = await reader.readexactly(4)
        note(time.perf_counter() - sent)
        if answer != puback(packet_id):
            raise RuntimeError(f"{answer!r} is no PUBACK for {packet_id}")


def _tell(**found: float) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
