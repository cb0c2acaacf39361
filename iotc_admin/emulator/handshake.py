"""Hides OpenSSL behind the standard library's TLS interface: a server that accepts any client certificate.

The standard library cannot ask for a certificate without judging it. Here the handshake proves only that the
client holds the key; who it is, the application decides afterwards and can say why.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final, Self

from OpenSSL import SSL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from cryptography import x509

    from iotc_admin.pki.identity import DeviceIdentity

_CHUNK: Final = 32 * 1024


class AnyClientCertificate(ssl.SSLContext):
    """A server context for asyncio, which only ever calls `wrap_bio`. TLS 1.2 and 1.3."""

    _openssl: SSL.Context

    def __new__(cls, identity: DeviceIdentity) -> Self:  # noqa: ARG004 - what __init__ takes
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, identity: DeviceIdentity) -> None:
        context = self._openssl = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.use_certificate(identity.certificate)
        for issuer in identity.chain:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(identity.key)  # type: ignore[arg-type]
        context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        # A resumed session would come without the certificates that are to be judged.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET)

    def wrap_bio(  # type: ignore[override]
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: ARG002 - a server it is
        server_hostname: str | bytes | None = None,  # noqa: ARG002
        session: ssl.SSLSession | None = None,  # noqa: ARG002
    ) -> TlsObject:
        return TlsObject(SSL.Connection(self._openssl, None), incoming, outgoing)


def peer_chain(transport: asyncio.BaseTransport | None) -> tuple[x509.Certificate, ...]:
    """The certificates that the client of this connection sent, its own first."""
    found = None if transport is None else transport.get_extra_info("ssl_object")
    return found.peer_chain() if isinstance(found, TlsObject) else ()


class TlsObject:
    """One connection, with the methods of `ssl.SSLObject` that asyncio calls, and `peer_chain`."""

    def __init__(self, connection: SSL.Connection, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._connection = connection
        self._incoming, self._outgoing = incoming, outgoing
        connection.set_accept_state()

    def peer_chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates that the client sent, its own first; none without a certificate."""
        leaf = self._connection.get_peer_certificate(as_cryptography=True)
        if leaf is None:
            return ()
        sent = self._connection.get_peer_cert_chain(as_cryptography=True) or []
        return (leaf, *(each for each in sent if each != leaf))

    def do_handshake(self) -> None:
        self._run(self._connection.do_handshake)

    def read(self, size: int = _CHUNK, buffer: Any = None) -> Any:
        """As of `ssl.SSLObject`: nothing, rather than an error, after the peer's farewell."""
        try:
            data = self._run(self._connection.recv, min(size, _CHUNK))
        except ssl.SSLZeroReturnError:
            return b"" if buffer is None else 0
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        return int(self._run(self._connection.send, bytes(data[:_CHUNK])))

    def unwrap(self) -> None:
        if not self._run(self._connection.shutdown):
            self._run(self._connection.shutdown)

    def pending(self) -> int:
        return self._connection.pending()

    def getpeercert(self, binary_form: bool = False) -> None:  # noqa: ARG002 - `peer_chain` is there for that
        return None

    def cipher(self) -> tuple[str, str, int] | None:
        name, version = self._connection.get_cipher_name(), self._connection.get_cipher_version()
        bits = self._connection.get_cipher_bits()
        return (name, version, bits) if name and version and bits else None

    def compression(self) -> None:
        return None

    def version(self) -> str:
        return self._connection.get_protocol_version_name()

    def _run(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """One step between the two buffers; its failures as those of the standard library."""
        arrived = self._incoming.read()
        if arrived:
            self._connection.bio_write(arrived)
        try:
            return step(*arguments)
        except SSL.WantReadError as more:
            raise ssl.SSLWantReadError from more
        except SSL.ZeroReturnError as farewell:
            raise ssl.SSLZeroReturnError from farewell
        except SSL.Error as failure:
            raise ssl.SSLError(1, f"[SSL] {failure}") from failure
        finally:
            self._flush()

    def _flush(self) -> None:
        while True:
            try:
                data = self._connection.bio_read(_CHUNK)
            except SSL.WantReadError:
                return
            self._outgoing.write(data)
            if len(data) < _CHUNK:
                return
