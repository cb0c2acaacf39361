"""What both clients are: an application's resources over one driver, and how it is reached."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic

import httpx

from iotc_admin.client._operation import D
from iotc_admin.client._pipeline import Road
from iotc_admin.client.access import ApiTokens, Organizations, Roles
from iotc_admin.client.credentials import Credential
from iotc_admin.client.device_groups import DeviceGroups
from iotc_admin.client.device_templates import DeviceTemplates
from iotc_admin.client.devices import Devices
from iotc_admin.client.enrollment_groups import EnrollmentGroups
from iotc_admin.client.origin import Origin
from iotc_admin.client.pacing import Pacer
from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
# Up to the last byte of an answer; no page of the service takes this long.
LONGEST: Final = 90.0
LIMITS: Final = httpx.Limits(max_connections=16, max_keepalive_connections=16)


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


@contextmanager
def settings_of_the_environment() -> Iterator[None]:
    """Where TLS and proxies are set up by the environment; raises `SettingsError` for what cannot be used."""
    try:
        yield
    except (ValueError, ImportError, OSError, httpx.InvalidURL) as error:
        message = f"TLS or the proxy cannot be set up: {error}"
        names = "HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSLKEYLOGFILE"
        raise SettingsError(message, hint=f"check {names} in the environment") from None


class _Timed(ssl.SSLSocket):
    """Counts from what was sent last: where headers drip, or provisional answers come for ever, each read

    for itself is in time.
    """

    longest = LONGEST
    _end = float("inf")

    def send(self, data: Buffer, flags: int = 0) -> int:
        self._end = time.monotonic() + self.longest
        return super().send(data, flags)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if time.monotonic() > self._end:
            raise TimeoutError(f"the answer took longer than {self.longest:.0f} s")
        return super().recv(buflen, flags)


def trust(ca_file: Path | None = None) -> ssl.SSLContext:
    """The system's trust store (with `SSL_CERT_FILE` and `SSL_CERT_DIR`), and `ca_file` besides.

    An answer over a blocking socket of this context may take 90 seconds altogether.
    """
    with settings_of_the_environment():
        context = ssl.create_default_context()
    context.sslsocket_class = _Timed
    if ca_file is not None:
        try:
            if not ca_file.stat().st_size or not ca_file.is_file():
                raise OSError("not a file with certificates")
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            message = f"{ca_file} cannot be used as a trust anchor: {error}"
            raise SettingsError(message, hint="--ca-file takes a PEM file with CA certificates") from None
    return context


class Application(Generic[D]):
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


def road_to(
    app: str, credential: Credential, pacer: Pacer | None, clock: Callable[[], datetime], attempts: int
) -> Road:
    origin = Origin.of(app)
    if credential.entra and not origin.microsofts:
        message = (
            f"no API token is given, and an Entra token is not sent to {origin}: it is no host of Microsoft's"
        )
        raise SettingsError(message, hint="give an API token: --token-file or IOTC_API_TOKEN")
    return Road(origin, credential, pacer or Pacer(str(origin)), clock, attempts)
