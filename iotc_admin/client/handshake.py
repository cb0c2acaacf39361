"""Hides how a server's chain is read without trusting the server.

Verification stays on: the handshake is made by a context that trusts nobody, so it ends at the server's
certificates, before anything of ours could be sent. TLS 1.2 shows them in the clear.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

_LARGEST: Final = 1 << 17
_HANDSHAKE, _CERTIFICATE = 22, 11


class Watching(ssl.SSLContext):
    """A context for one connection that is never made; afterwards `chain` holds what the server showed."""

    chain: tuple[bytes, ...] = ()
    """Certificates as DER, the server's own first; empty when it showed none or speaks TLS 1.3 only."""

    def wrap_socket(self, sock: socket.socket, *_: Any, server_hostname: Any = None, **__: Any) -> Any:
        """Raises `ssl.SSLError`, always."""
        self.chain = certificates_in(_first_words(self, sock, server_hostname))
        raise ssl.SSLError("the chain is all that was wanted")


def watching() -> Watching:
    context = Watching(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def certificates_in(records: bytes) -> tuple[bytes, ...]:
    """The certificates in a server's first TLS records; empty when there are none."""
    for kind, body in _blocks(b"".join(_handshake_parts(records)), 1):
        if kind == bytes([_CERTIFICATE]):
            return tuple(certificate for _, certificate in _blocks(body[3:], 0))
    return ()


def _first_words(context: ssl.SSLContext, sock: socket.socket, name: str | None) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    kept = bytearray()
    with suppress(OSError):
        while len(kept) < _LARGEST:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                received = sock.recv(1 << 14)
                if not received:
                    break
                kept += received
                incoming.write(received)
    return bytes(kept)


def _handshake_parts(records: bytes) -> Iterator[bytes]:
    """The payloads of the records up to the first that is no handshake: what follows may be encrypted."""
    while len(records) >= 5 and records[0] == _HANDSHAKE:  # noqa: PLR2004 - the size of a record's header
        length = int.from_bytes(records[3:5])
        yield records[5 : 5 + length]
        records = records[5 + length :]


def _blocks(data: bytes, prefix: int) -> Iterator[tuple[bytes, bytes]]:
    """Blocks with a length of three bytes, each after so many other bytes; one cut short is left out."""
    while len(data) >= prefix + 3:
        end = prefix + 3 + int.from_bytes(data[prefix : prefix + 3])
        if len(data) < end:
            return
        yield data[:prefix], data[prefix + 3 : end]
        data = data[end:]
