"""Hides HTTPS to DPS and hubs: one kept-alive connection, bounded answers, errors in our words."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import httpx

from iotc_admin.device import refusals
from iotc_admin.device.answer import LARGEST, Answer, said
from iotc_admin.device.endpoint import Endpoint
from iotc_admin.errors import IotcError, SettingsError, UnexpectedAnswer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
LONGEST: Final = 90.0


def _timed(monotonic: Callable[[], float], longest: float) -> type[ssl.SSLSocket]:
    class Timed(ssl.SSLSocket):
        """Counts from what was sent last: where headers drip, or provisional answers come for ever, each

        read for itself is in time.
        """

        _end = float("inf")

        def send(self, data: Buffer, flags: int = 0) -> int:
            self._end = monotonic() + longest
            return super().send(data, flags)

        def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
            if monotonic() > self._end:
                raise TimeoutError(f"the answer took longer than {longest:.0f} s")
            return super().recv(buflen, flags)

    return Timed


class HttpsPeer:
    """One server over one connection. An answer may take `longest` seconds, up to its last byte."""

    def __init__(
        self,
        endpoint: Endpoint,
        context: ssl.SSLContext,
        *,
        timeout: httpx.Timeout = TIMEOUT,
        longest: float = LONGEST,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        context.sslsocket_class = _timed(monotonic, longest)
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=120.0)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "iotc-admin"}
        try:
            self._http = httpx.Client(verify=context, timeout=timeout, limits=limits, headers=headers)
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            message = f"the proxy cannot be set up: {error}"
            raise SettingsError(message, hint="check HTTPS_PROXY, ALL_PROXY and NO_PROXY") from None

    def send(
        self,
        operation: str,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, whatever its status. Raises for no answer, an endless one and a redirect."""
        try:
            request = self._http.build_request(
                method, f"{self.endpoint.url}/{path}", content=content, headers=headers
            )
            with closing(self._http.send(request, stream=True)) as streamed:
                body = self._body(operation, streamed)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._translated(error, operation) from _root_of(error)
        if streamed.is_redirect:
            target = said(streamed.headers.get("location", "elsewhere"))[:200]
            message = f"{operation}: the answer redirects to {target}; redirects are never followed"
            raise UnexpectedAnswer(message, operation=operation, hint="check --dps-host and HTTPS_PROXY")
        return Answer(streamed.status_code, body, streamed.headers.get("retry-after", "").strip())

    def _body(self, operation: str, streamed: httpx.Response) -> bytes:
        data = bytearray()
        # As it is on the wire: nothing here asks for, or inflates, a compressed answer.
        for chunk in streamed.iter_raw():
            data += chunk
            if len(data) > LARGEST:
                message = f"{operation}: the answer does not end: it is larger than {LARGEST >> 20} MiB"
                raise UnexpectedAnswer(message, operation=operation, hint="check --dps-host and HTTPS_PROXY")
        return bytes(data)

    def _translated(self, error: httpx.HTTPError | httpx.InvalidURL, operation: str) -> IotcError:
        root = _root_of(error)
        if isinstance(root, httpx.InvalidURL):
            message = f"{operation}: the answer redirects to an address that is none"
            return UnexpectedAnswer(message, operation=operation, hint="check --dps-host and HTTPS_PROXY")
        if isinstance(root, ssl.SSLError):
            return refusals.of_tls(root, self.endpoint, operation)
        reason = "no answer in time" if isinstance(error, httpx.TimeoutException) else _words(root)
        if isinstance(
            error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError
        ):
            return refusals.unreachable(reason, self.endpoint, operation)
        return refusals.lost(reason, operation)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()


def _root_of(error: BaseException) -> BaseException:
    """The exception at the bottom: httpx and httpcore each wrap the one before."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _words(error: BaseException) -> str:
    return said(str(error)) or type(error).__name__
