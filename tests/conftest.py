"""A clock, CAs, and the emulator behind two doors: in-process and a TLS socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from iotc_admin import ApiToken, CertificateAuthority, Client, Ledger, Pacer
from iotc_admin.client._application import utc_now
from iotc_admin.emulator import Emulator
from iotc_admin.emulator.exchange import Request

from .softhsm import Token, stocked_token


class InProcess(httpx.BaseTransport):
    """The wire, ending in the emulator without a socket. `before` and `after` see each request pass."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.before: Callable[[httpx.Request], None] = lambda _: None
        self.after: Callable[[httpx.Request], None] = lambda _: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.before(request)
        path, _, query = request.url.raw_path.decode().partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            reply = self.emulator.answer(Request(request.method, path, query, headers, request.read()))
        except ConnectionResetError as dropped:
            raise httpx.ReadError("dropped") from dropped
        self.after(request)
        return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body)


def operator(
    emulator: Emulator,
    transport: httpx.BaseTransport | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    token: str = "",
) -> Client:
    """A client of the emulator that waits for nothing; over a socket when no transport is given."""
    return Client(
        emulator.app,
        ApiToken(token or emulator.api_token),
        transport=transport,
        ca_file=None if transport else emulator.ca_file,
        pacer=Pacer(emulator.app, ahead=1000, window=0),
        sleep=lambda _: None,
        clock=clock,
    )


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(throttle="off") as running:
        yield running


@pytest.fixture
def wire(emulator: Emulator) -> InProcess:
    return InProcess(emulator)


@pytest.fixture
def client(emulator: Emulator, wire: InProcess) -> Iterator[Client]:
    with operator(emulator, wire) as opened:
        yield opened


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def ca(now: datetime) -> CertificateAuthority:
    return CertificateAuthority.create("plant7", now=now)


@pytest.fixture
def other_ca(now: datetime) -> CertificateAuthority:
    return CertificateAuthority.create("plant8", now=now)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    """A token with keys of each kind. SoftHSM reads its settings once in a process, so they stay."""
    stocked = stocked_token(tmp_path_factory.mktemp("token"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stocked.environment.items():
            patch.setenv(name, value)
        yield stocked
