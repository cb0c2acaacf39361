"""Hides how a server is looked at for a diagnosis: name, proxy, certificates, clock.

Nothing here carries a credential of the application or of a device.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.request import getproxies, proxy_bypass

import httpx

from iotc_admin.client._application import settings_of_the_environment, trust
from iotc_admin.client._pipeline import root_of
from iotc_admin.client._refusals import date_of
from iotc_admin.client.handshake import watching
from iotc_admin.errors import SettingsError

Failure = Literal["", "settings", "proxy", "name", "connection", "certificate", "tls", "silence"]

_PATIENCE: Final = 10.0
_SECRETS: Final = (
    (re.compile(r"//\S*@"), "//***@"),
    (re.compile(r"(sig=|Bearer )[^\s&\"']+", re.IGNORECASE), r"\1***"),
    (re.compile(r"eyJ[\w-]{8,}\.[\w.-]*"), "***"),
)


@dataclass(frozen=True)
class Visit:
    """How far a connection came: `failure` is empty where the server was reached and is trusted."""

    failure: Failure = ""
    reason: str = ""
    verify_code: int = 0
    """OpenSSL's, where the certificate was refused."""
    chain: tuple[bytes, ...] = field(default=(), repr=False)
    """DER of what the server showed: all of it when refused, its own certificate when trusted."""
    protocol: str = ""
    date: datetime | None = None
    """The server's clock."""


@dataclass(frozen=True)
class Proxy:
    """The proxy that stands before a host. `url` is shown without its user and password."""

    url: str
    bypassed: bool
    """NO_PROXY takes the host out."""


def masked(text: str) -> str:
    """The text without what looks like a secret: user and password of a URL, a signature, a JWT."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def proxy_for(host: str, port: int) -> Proxy | None:
    """The proxy that the environment, or the system, names for https to this host."""
    named = getproxies()
    url = named.get("https") or named.get("all")
    if not url:
        return None
    return Proxy(masked(url if "://" in url else f"http://{url}"), bool(proxy_bypass(f"{host}:{port}")))


def addresses(host: str) -> tuple[str, ...] | str:
    """The host's IP addresses; a sentence why there are none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return _words(error)
    return tuple(dict.fromkeys(str(each[4][0]) for each in found))


def visit(url: str, ca_file: Path | None, *, proxied: bool) -> Visit:
    """Ask `https://host[:port]` for its root, the way every request goes, and see how far that comes."""
    try:
        context = trust(ca_file)
        with _client(context) as http, http.stream("GET", url) as response:
            return _reached(response)
    except SettingsError as error:
        return Visit("settings", masked(str(error)))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        root = root_of(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            return _refused(root, lambda chain: _show(url, chain))
        return _failed(error, root, proxied=proxied)


def knock(host: str, port: int, ca_file: Path | None) -> Visit:
    """A TLS handshake with this host and port, without a proxy; nothing else is said."""
    try:
        with _connect(host, port) as plain, trust(ca_file).wrap_socket(plain, server_hostname=host) as tls:
            return Visit(protocol=tls.version() or "", chain=_own(tls))
    except SettingsError as error:
        return Visit("settings", masked(str(error)))
    except ssl.SSLCertVerificationError as error:
        return _refused(error, lambda chain: _show_directly(host, port, chain))
    except (OSError, UnicodeError) as error:
        return Visit(_kind(error), _words(error))


def _client(context: ssl.SSLContext) -> httpx.Client:
    with settings_of_the_environment():
        return httpx.Client(verify=context, timeout=_PATIENCE)


def _connect(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), timeout=_PATIENCE)


def _reached(response: httpx.Response) -> Visit:
    tls = response.extensions["network_stream"].get_extra_info("ssl_object")
    return Visit(protocol=tls.version() or "", chain=_own(tls), date=date_of(response))


def _own(tls: Any) -> tuple[bytes, ...]:
    # httpx shows the object below, which takes no keywords.
    shown = tls.getpeercert(True)
    return (shown,) if shown else ()


def _refused(error: ssl.SSLCertVerificationError, show: Callable[[Any], None]) -> Visit:
    chain = watching()
    with suppress(OSError, httpx.HTTPError):
        show(chain)
    return Visit("certificate", error.verify_message, error.verify_code, chain.chain)


def _show(url: str, chain: ssl.SSLContext) -> None:
    with _client(chain) as http, http.stream("GET", url):
        pass


def _show_directly(host: str, port: int, chain: ssl.SSLContext) -> None:
    with _connect(host, port) as plain:
        chain.wrap_socket(plain, server_hostname=host)


def _failed(error: httpx.HTTPError | httpx.InvalidURL, root: BaseException, *, proxied: bool) -> Visit:
    reason = "no answer in time" if isinstance(error, httpx.TimeoutException) else _words(root)
    if isinstance(error, httpx.ProxyError):
        return Visit("proxy", reason)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        kind = _kind(root)
        return Visit("proxy" if proxied and kind in {"name", "connection"} else kind, reason)
    return Visit("silence", reason)


def _kind(error: BaseException) -> Failure:
    if isinstance(error, socket.gaierror | UnicodeError):
        return "name"
    return "tls" if isinstance(error, ssl.SSLError) else "connection"


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    said = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return masked(str(said)) or type(error).__name__
