"""What passes between the doors and the rooms behind them: plain values, no sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

JSON = "application/json"


@dataclass(frozen=True)
class Request:
    """One HTTP request. `path` and `query` as sent, still percent-encoded; header names in lower case.

    `chain` holds the certificates of the client's handshake, its own first.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    scheme: str = "https"
    chain: tuple[x509.Certificate, ...] = field(default=(), repr=False)

    @property
    def url(self) -> str:
        """Scheme, host and path as the client sees them."""
        return f"{self.scheme}://{self.headers.get('host', 'localhost')}{self.path}"


@dataclass(frozen=True)
class Reply:
    """One HTTP answer. `delay` in seconds and `cut_short` tell the door how to deliver it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    delay: float = 0
    cut_short: bool = False
