"""The awaiting driver, apart from the blocking one because asyncio is slow to load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import httpx
from tenacity import AsyncRetrying

from iotc_admin.client._application import LONGEST
from iotc_admin.client._body import Body
from iotc_admin.client._pipeline import Attempts, Road, root_of, translated
from iotc_admin.contract.operations import Call
from iotc_admin.contract.wire import Page
from iotc_admin.errors import NotFound

T = TypeVar("T")


@dataclass
class AsyncSender:
    """The awaiting driver."""

    road: Road
    http: httpx.AsyncClient
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    longest: float = LONGEST
    """Seconds that an answer may take, up to its last byte."""

    async def send(self, call: Call[T]) -> T:
        attempts = Attempts.of(call, self.road.attempts)
        try:
            result: T = await AsyncRetrying(sleep=self.sleep, **attempts.policy())(self._once, call)
        except NotFound:
            if attempts.already_deleted():
                return None  # type: ignore[return-value] # DELETE gives None
            raise
        return result

    async def pages(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        seen: set[str] = set()
        following: Call[Page[T]] | None = call
        while following is not None:
            page = await self.send(following)
            for item in page.value:
                yield item
            following = self.road.next_page(following, page, seen)

    async def _once(self, call: Call[T]) -> T:
        # A credential may ask the network for a token: not in the event loop.
        authorization = await asyncio.to_thread(self.road.credential.header, self.road.clock())
        request = self.road.request(call, authorization)
        if wait := self.road.pacer.take():
            await self.sleep(wait)
        started = time.perf_counter()
        body = Body(call.operation.name)
        try:
            async with (
                asyncio.timeout(self.longest),
                aclosing(await self.http.send(request, stream=True)) as streamed,
            ):
                async for chunk in streamed.aiter_bytes():
                    body.add(chunk)
        except TimeoutError as error:
            slow = httpx.ReadTimeout(f"the answer took longer than {self.longest:.0f} s")
            raise translated(slow, call, self.road.origin) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise translated(error, call, self.road.origin) from root_of(error)
        return self.road.read(call, request, body.of(streamed), time.perf_counter() - started)
