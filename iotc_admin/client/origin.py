"""Which application: from a name or a URL to the one place where its token may go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from iotc_admin.errors import SettingsError

_DOMAIN: Final = "azureiotcentral.com"
_HTTPS: Final = 443
# What every URL library reads the same way: no backslash, no control character, of sensible length.
_PLAIN: Final = re.compile(r"[!-\[\]-~]{1,8000}")
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
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", host):
            message = f"{app!r} is not the name of an application" if app else "no application is given"
            raise SettingsError(message, hint=f"{_HINT} (--app, IOTC_APP)")
        return cls(f"{host}.{_DOMAIN}")

    @classmethod
    def _of_url(cls, app: str) -> Origin:
        try:
            parts = urlsplit(app)
            port = parts.port
        except ValueError:
            raise SettingsError(f"{app!r} is not a URL", hint=_HINT) from None
        if parts.scheme.lower() != "https":
            raise SettingsError(f"{app!r} is not https: the token would be sent in the clear", hint=_HINT)
        if not parts.hostname or parts.username or parts.password is not None:
            raise SettingsError(f"{app.rpartition('@')[2]!r} is not a plain URL", hint=_HINT)
        if parts.path not in ("", "/", "/api", "/api/") or parts.query or parts.fragment:
            raise SettingsError(f"{app!r} holds more than the application", hint=_HINT)
        return cls(parts.hostname.lower(), port or _HTTPS)

    @property
    def microsofts(self) -> bool:
        """Whether it is one of Microsoft's hosts, which an Entra token may be shown to."""
        return self.host.endswith("." + _DOMAIN)

    def holds(self, link: str) -> bool:
        """Whether a link leads to this very origin: same scheme, host and port."""
        try:
            parts = urlsplit(link)
            port = parts.port or _HTTPS
        except ValueError:
            return False
        if parts.username is not None or not _PLAIN.fullmatch(link):
            return False
        return parts.scheme.lower() == "https" and (parts.hostname, port) == (self.host, self.port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" + ("" if self.port == _HTTPS else f":{self.port}")
