"""What the checks are given, and what they tell each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from iotc_admin.client.probe import Proxy, Visit, proxy_for, visit

if TYPE_CHECKING:
    from iotc_admin.client.credentials import Credential
    from iotc_admin.client.origin import Origin
    from iotc_admin.client.pacing import Pacer
    from iotc_admin.device.endpoint import Endpoint


@dataclass(frozen=True)
class Setting:
    """One setting, for people: a secret's value is never one of them."""

    name: str
    value: str
    source: str
    """As in "--app", "IOTC_APP", "profile plant" or "default"."""


@dataclass(frozen=True)
class Problem:
    """A setting that cannot be used."""

    what: str
    fix: str


@dataclass
class Case:
    """One examination. None stands for a setting that is missing or cannot be used."""

    settings: tuple[Setting, ...]
    problems: tuple[Problem, ...]
    app: Origin | None
    token: str | None = field(repr=False)
    """The text of the API token; None for Entra ID."""
    token_problem: Problem | None
    entra: Credential
    """Asked where no API token is given."""
    trusts: bool
    """Whether `ca_file` can be used."""
    ca_file: Path | None
    dps: Endpoint | None
    mqtt_port: int | None
    ledger: Path | None
    private: tuple[Path, ...]
    """Files of which the modes matter: configuration and token."""
    pacer: Callable[[], Pacer]
    """Opened for each use, and closed after it."""
    clock: Callable[[], datetime]
    application_clock: bool = False
    """Whether the application's time counts here, not this machine's."""
    rate_refusals: int = field(default=0, init=False)
    """How often the application refused for the rate while it was examined."""

    @cached_property
    def proxy(self) -> Proxy | None:
        """The proxy before the application, unless NO_PROXY takes it out."""
        return None if self.app is None else proxy_for(self.app.host, self.app.port)

    @property
    def proxied(self) -> bool:
        return self.proxy is not None and not self.proxy.bypassed

    @cached_property
    def visit(self) -> Visit:
        """The application, as far as it is reached without a token."""
        return self._visited[0]

    @property
    def skew(self) -> timedelta | None:
        """How far the application's clock is ahead of ours, if it told."""
        seen, now = self._visited
        return None if seen.date is None else seen.date - now

    @property
    def now(self) -> datetime:
        """The application's time where it is known, else this machine's."""
        known = self.app is not None and self.trusts and self.skew
        return self.clock() + (known or timedelta())

    @cached_property
    def _visited(self) -> tuple[Visit, datetime]:
        seen = visit(str(self.app), self.ca_file, proxied=self.proxied)
        return seen, self.clock()

    @cached_property
    def dps_visit(self) -> Visit | None:
        """DPS, as far as it is reached over HTTPS without a certificate."""
        if self.dps is None:
            return None
        proxy = proxy_for(self.dps.host, self.dps.port)
        return visit(self.dps.url, self.ca_file, proxied=proxy is not None and not proxy.bypassed)
