"""Requests over kept-alive TLS: load.py SECONDS CONNECTIONS METHOD PATH; prints how many a second.

Hand-written, so that it costs less than the server: it is the server that is measured.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from urllib.parse import urlsplit

BODY = b'{"displayName":"pump"}'


async def main(seconds: float, connections: int, method: str, path: str) -> None:
    context = ssl.create_default_context(cafile=os.environ["IOTC_CA_FILE"])
    where = urlsplit(os.environ["IOTC_APP"])
    streams = [
        await asyncio.open_connection(where.hostname, where.port, ssl=context) for _ in range(connections)
    ]
    started = time.perf_counter()
    lanes = [
        _lane(reader, writer, _request(method, path.replace("#", str(lane))), started + seconds)
        for lane, (reader, writer) in enumerate(streams)
    ]
    served = sum(await asyncio.gather(*lanes))
    print(served / (time.perf_counter() - started))


def _request(method: str, path: str) -> bytes:
    body = BODY if method == "PUT" else b""
    head = (
        f"{method} {path}?api-version=2022-07-31 HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: {os.environ['IOTC_API_TOKEN']}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _lane(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes, end: float) -> int:
    served = 0
    while time.perf_counter() < end:
        writer.write(sent)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r")[0]
        body = await reader.readexactly(int(length))
        if b" 200 " not in head:
            raise RuntimeError((head + body).decode())
        served += 1
    return served


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
