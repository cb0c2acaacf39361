"""`Client`: settings in, resources out."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias, TypeVar

import httpx

from iotc_admin.client._application import (
    LIMITS,
    TIMEOUT,
    Application,
    road_to,
    settings_of_the_environment,
    trust,
    utc_now,
)
from iotc_admin.client._operation import SyncDriver
from iotc_admin.client._pipeline import ATTEMPTS, Sender
from iotc_admin.client.credentials import Credential
from iotc_admin.client.pacing import Pacer

T = TypeVar("T")
Once: TypeAlias = Application[SyncDriver]
"""An application to which each request is sent one time only."""


class Client(Application[SyncDriver]):
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
        road = road_to(app, credential, pacer, clock, attempts)
        verify = trust(ca_file) if transport is None else True
        with settings_of_the_environment():
            self._http = httpx.Client(transport=transport, verify=verify, timeout=timeout, limits=LIMITS)
        self.sleep = sleep
        self._sender = Sender(road, self._http, sleep)
        super().__init__(road, self._sender)

    def patiently(self, do: Callable[[Once], T]) -> T:
        """`do`, and all of it again after a refusal or silence that may pass, as for a single request.

        For a write that no etag guards: `do` looks, then writes by what it is handed, which sends each
        request one time only. So nothing is sent after a pause that was not looked at again.
        """
        once: Once = Application(self._road, self._sender.once())
        return self._sender.patiently(lambda: do(once))

    def close(self) -> None:
        self._http.close()
        self._road.pacer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
