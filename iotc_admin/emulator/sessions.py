"""What the MQTT door and the application behind it agree on: who connects, what is published, what leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from cryptography import x509

NOT_AUTHORIZED: Final = 5
"""The CONNACK return code for a client whose certificate is not accepted."""


@dataclass(frozen=True)
class Connecting:
    """What a client says of itself in CONNECT, with the certificates of its handshake, leaf first."""

    client_id: str
    username: str
    clean_session: bool
    chain: tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class Outgoing:
    """One message for a client. `receipt` comes back to `Session.received` once the client has taken it."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    receipt: str | None = None
    delay: float = 0


class Refused(Exception):
    """CONNECT is answered with this return code, and the connection closed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class HangUp(Exception):
    """This client is dropped without another word."""


class Link(Protocol):
    """The way to one connected client, for any thread."""

    def send(self, message: Outgoing) -> None: ...

    def drop(self) -> None: ...


class Session(Protocol):
    """One accepted client. Any of these may raise HangUp."""

    @property
    def present(self) -> bool:
        """Whether subscriptions of an earlier connection are still there."""
        ...

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """The granted QoS, or 0x80."""
        ...

    def subscribed(self) -> Sequence[Outgoing]:
        """What waited for the subscriptions just acknowledged; also asked once after CONNACK."""
        ...

    def unsubscribe(self, topic_filter: str) -> None: ...

    def publish(self, topic: str, payload: bytes) -> Sequence[Outgoing]:
        """Takes one message; what it returns leaves in the same write as the PUBACK."""
        ...

    def received(self, receipt: str) -> None:
        """The client has the message with this receipt."""
        ...

    def closed(self) -> None:
        """The connection is gone, for whatever reason. Called once."""
        ...


class Broker(Protocol):
    """The application behind the MQTT door. Its methods take a millisecond at most."""

    def connect(self, connecting: Connecting, link: Link) -> Session:
        """The session of a client; Refused with a CONNACK code, or HangUp."""
        ...
