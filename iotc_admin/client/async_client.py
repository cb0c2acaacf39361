"""`AsyncClient`: like `Client`, awaiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

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
from iotc_admin.client._async_pipeline import AsyncSender
from iotc_admin.client._operation import AsyncDriver
from iotc_admin.client._pipeline import ATTEMPTS
from iotc_admin.client.credentials import Credential
from iotc_admin.client.pacing import Pacer


class AsyncClient(Application[AsyncDriver]):
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
        road = road_to(app, credential, pacer, clock, attempts)
        verify = trust(ca_file) if transport is None else True
        with settings_of_the_environment():
            self._http = httpx.AsyncClient(transport=transport, verify=verify, timeout=timeout, limits=LIMITS)
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
