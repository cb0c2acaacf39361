"""Which application: from a name or a URL to the one place where its token may go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from iotc_admin.errors import SettingsError

_DOMAIN: Final = "azureiotcentral.com"
_HTTPS: Final = 443
# What every URL library reads the same way: no backslash, no control character, of sensible length.
_PLAIN: Final = re.compile(r"[!-\[\]-~]{1,8000}")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST_HOST: Final = 253
_HINT: Final = "give the subdomain, as in myapp, or the URL, as in https://myapp.azureiotcentral.com"


@dataclass(frozen=True)
class Origin:
    """Host and port of an application; the scheme is always https, loopback included."""

    host: str
    port: int = _HTTPS

    @classmethod
    def of(cls, app: str) -> Origin:
        """From `myapp`, `myapp.azureiotcentral.com` or a URL. Raises `SettingsError`."""
        app = app.strip()
        if "://" in app:
            return cls._of_url(app)
        host = app.lower()
        if host.endswith("." + _DOMAIN):
            host = host.removesuffix("." + _DOMAIN)
        if not _LABEL.fullmatch(host):
            message = f"{_shown(app)} is not the name of an application" if app else "no application is given"
            raise SettingsError(message, hint=f"{_HINT} (--app, IOTC_APP)")
        return cls(f"{host}.{_DOMAIN}")

    @classmethod
    def _of_url(cls, app: str) -> Origin:
        try:
            parts = urlsplit(app)
            port = parts.port
        except ValueError:
            raise SettingsError(f"{_shown(app)} is not a URL", hint=_HINT) from None
        if parts.scheme.lower() != "https":
            message = f"{_shown(app)} is not https: the token would be sent in the clear"
            raise SettingsError(message, hint=_HINT)
        if not _is_host(parts.hostname or "") or parts.username is not None or port == 0:
            raise SettingsError(f"{_shown(app)} is not a plain URL", hint=_HINT)
        if parts.path not in ("", "/", "/api", "/api/") or parts.query or parts.fragment:
            raise SettingsError(f"{_shown(app)} holds more than the application", hint=_HINT)
        return cls((parts.hostname or "").lower(), port or _HTTPS)

    @property
    def microsofts(self) -> bool:
        """Whether it is one of Microsoft's hosts, which an Entra token may be shown to."""
        return self.host.endswith("." + _DOMAIN)

    def holds(self, link: str) -> bool:
        """Whether a link leads to this very origin: same scheme, host and port."""
        try:
            parts = urlsplit(link)
            port = _HTTPS if parts.port is None else parts.port
        except ValueError:
            return False
        if parts.username is not None or not _PLAIN.fullmatch(link):
            return False
        return parts.scheme.lower() == "https" and (parts.hostname, port) == (self.host, self.port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" + ("" if self.port == _HTTPS else f":{self.port}")


def _is_host(host: str) -> bool:
    try:
        return ip_address(host) is not None
    except ValueError:
        return len(host) <= _LONGEST_HOST and all(
            _LABEL.fullmatch(label) for label in host.lower().split(".")
        )


def _shown(app: str) -> str:
    """What was given, without a password or a token that slipped into it."""
    return "what was given" if "sig=" in app else repr(app.rpartition("@")[2][:100])
