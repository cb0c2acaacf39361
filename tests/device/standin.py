"""A scripted DPS and hub behind a real TLS socket: one answer after the other, and a record of what came."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from iotc_admin import CertificateAuthority, DeviceIdentity
from iotc_admin.pki import pem


@dataclass(frozen=True)
class Reply:
    """`raw` replaces the whole answer; `close` ends the connection after it, or instead of it; `drip`: so

    much follows, again and again, until nobody listens.
    """

    status: int = 200
    document: object = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    close: bool = False
    drip: bytes = b""

    def bytes(self) -> bytes:
        if self.raw is not None:
            return self.raw
        body = b"" if self.document is None else json.dumps(self.document).encode()
        lines = [f"HTTP/1.1 {self.status} x", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Seen:
    connection: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> object:
        return json.loads(self.body)


class StandIn:
    """Serves `replies` in order over HTTPS, then closes each connection.

    Asks for a client certificate of `device_ca`; for none without.
    """

    def __init__(
        self, directory: Path, replies: Iterable[Reply], device_ca: CertificateAuthority | None
    ) -> None:
        now = datetime.now(UTC)
        server_ca = CertificateAuthority.create("stand-in", now=now)
        server = server_ca.issue_server(["localhost"], now=now)
        self.ca_file = directory / "server_ca.pem"
        self.ca_file.write_bytes(pem.certificate_pem(server_ca.certificate))
        self.seen: list[Seen] = []
        self.connections = 0
        self.replies = list(replies)
        self._context = _context(directory, server, device_ca)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.host = f"localhost:{self.port}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                self.connections += 1
                plain.settimeout(10)
                with suppress(OSError), plain, self._context.wrap_socket(plain, server_side=True) as tls:
                    self._converse(tls)

    def _converse(self, tls: ssl.SSLSocket) -> None:
        with tls.makefile("rb") as stream:
            while line := stream.readline():
                method, path, _ = line.decode().split(" ")
                headers = {}
                while header := stream.readline().decode().strip():
                    name, _, value = header.partition(": ")
                    headers[name.lower()] = value
                body = stream.read(int(headers.get("content-length", "0")))
                self.seen.append(Seen(self.connections, method, path, headers, body))
                if not self.replies:
                    return
                reply = self.replies.pop(0)
                tls.sendall(reply.bytes())
                while reply.drip:
                    tls.sendall(reply.drip)
                    time.sleep(0.05)
                if reply.close:
                    return


class MqttStandIn(StandIn):
    """Answers each packet with the next bytes; None closes the connection. Keeps the packets that came."""

    def __init__(
        self, directory: Path, answers: Iterable[bytes | None], device_ca: CertificateAuthority
    ) -> None:
        super().__init__(directory, (), device_ca)
        self.answers = list(answers)
        self.packets: list[bytes] = []

    def _converse(self, tls: ssl.SSLSocket) -> None:
        with tls.makefile("rb") as stream:
            while kind := stream.read(1):
                length, shift = 0, 0
                while (byte := stream.read(1)[0]) & 128:
                    length, shift = length | (byte & 127) << shift, shift + 7
                self.packets.append(kind + stream.read(length | byte << shift))
                if kind[0] >> 4 not in ANSWERED:
                    continue
                answer = self.answers.pop(0) if self.answers else None
                if answer is None:
                    return
                tls.sendall(answer)


# CONNECT, PUBLISH, SUBSCRIBE; the others get no answer from the script.
ANSWERED = (1, 3, 8)


def _context(
    directory: Path, server: DeviceIdentity, device_ca: CertificateAuthority | None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = directory / "server.pem"
    assert server.key is not None
    path.write_bytes(server.fullchain_pem + pem.key_pem(server.key))
    context.load_cert_chain(path)
    if device_ca is not None:
        context.load_verify_locations(cadata=pem.certificate_pem(device_ca.certificate).decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context
