"""`Client` and `AsyncClient`: settings in, resources out."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Generic, Self

import httpx

from iotc_admin.client._operation import AsyncDriver, D, SyncDriver
from iotc_admin.client._pipeline import ATTEMPTS, AsyncSender, Road, Sender
from iotc_admin.client.access import ApiTokens, Organizations, Roles
from iotc_admin.client.credentials import Credential
from iotc_admin.client.device_groups import DeviceGroups
from iotc_admin.client.device_templates import DeviceTemplates
from iotc_admin.client.devices import Devices
from iotc_admin.client.enrollment_groups import EnrollmentGroups
from iotc_admin.client.origin import Origin
from iotc_admin.client.pacing import Pacer
from iotc_admin.errors import SettingsError

TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_LIMITS: Final = httpx.Limits(max_connections=16, max_keepalive_connections=16)


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


def trust(ca_file: Path | None = None) -> ssl.SSLContext:
    """The system's trust store (with `SSL_CERT_FILE` and `SSL_CERT_DIR`), and `ca_file` besides."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            message = f"{ca_file} cannot be used as a trust anchor: {error}"
            raise SettingsError(message, hint="--ca-file takes a PEM file with CA certificates") from None
    return context


class _Application(Generic[D]):
    """What both clients are: an application's resources over one driver."""

    def __init__(self, road: Road, driver: D) -> None:
        self._road = road
        self.enrollment_groups = EnrollmentGroups(driver)
        self.devices = Devices(driver)
        self.device_templates = DeviceTemplates(driver)
        self.device_groups = DeviceGroups(driver)
        self.organizations = Organizations(driver)
        self.roles = Roles(driver)
        self.api_tokens = ApiTokens(driver)

    @property
    def app(self) -> str:
        """The application's URL."""
        return str(self._road.origin)

    @property
    def skew(self) -> timedelta | None:
        """How far the application's clock is ahead of ours; None until an answer told."""
        return self._road.skew

    def now(self) -> datetime:
        """Our clock."""
        return self._road.clock()


def _road(
    app: str, credential: Credential, pacer: Pacer | None, clock: Callable[[], datetime], attempts: int
) -> Road:
    origin = Origin.of(app)
    if credential.entra and not origin.microsofts:
        message = (
            f"no API token is given, and an Entra token is not sent to {origin}: it is no host of Microsoft's"
        )
        raise SettingsError(message, hint="give an API token: --token-file or IOTC_API_TOKEN")
    return Road(origin, credential, pacer or Pacer(str(origin)), clock, attempts)


class Client(_Application[SyncDriver]):
    """An IoT Central application, blocking; safe to share between threads.

    `app` is a subdomain or an https URL. `ca_file` is trusted besides the system's store. `transport`
    replaces the network. Requests are paced below the service's limit; hand in a `Pacer` with a file to
    share the pace with other processes. Raises `SettingsError` for settings that cannot work.
    """

    def __init__(
        self,
        app: str,
        credential: Credential,
        *,
        ca_file: Path | None = None,
        transport: httpx.BaseTransport | None = None,
        timeout: httpx.Timeout = TIMEOUT,
        attempts: int = ATTEMPTS,
        pacer: Pacer | None = None,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        road = _road(app, credential, pacer, clock, attempts)
        verify = trust(ca_file) if transport is None else True
        self._http = httpx.Client(transport=transport, verify=verify, timeout=timeout, limits=_LIMITS)
        self.sleep = sleep
        super().__init__(road, Sender(road, self._http, sleep))

    def close(self) -> None:
        self._http.close()
        self._road.pacer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Application[AsyncDriver]):
    """An IoT Central application, awaiting. Like `Client` in all else."""

    def __init__(
        self,
        app: str,
        credential: Credential,
        *,
        ca_file: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: httpx.Timeout = TIMEOUT,
        attempts: int = ATTEMPTS,
        pacer: Pacer | None = None,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        road = _road(app, credential, pacer, clock, attempts)
        verify = trust(ca_file) if transport is None else True
        self._http = httpx.AsyncClient(transport=transport, verify=verify, timeout=timeout, limits=_LIMITS)
        super().__init__(road, AsyncSender(road, self._http, sleep))

    async def close(self) -> None:
        await self._http.aclose()
        self._road.pacer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
