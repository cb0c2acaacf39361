"""Hides the thread and the event loop in which listeners live."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable


class Door(Protocol):
    """What listens on one port, the real one of which is known once it is open."""

    port: int

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Listener:
    """What shall listen where; port 0 picks a free one."""

    door: Callable[[], Door]
    host: str
    port: int = 0
    tls: ssl.SSLContext | None = None


class Listening:
    """Listeners that are open until `stop`."""

    def __init__(self, listeners: list[Listener]) -> None:
        """Returns when all are open; the OSError of the first that cannot be."""
        opened: Future[tuple[list[int], asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = Thread(target=_run, args=(listeners, opened), name="iotc-emulator", daemon=True)
        self._thread.start()
        try:
            ports, self._loop, self._stop = opened.result()
            self.ports = tuple(ports)
        except OSError:
            self._thread.join()
            raise

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


def _run(
    listeners: list[Listener],
    opened: Future[tuple[list[int], asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    asyncio.run(_listen(listeners, opened))


async def _listen(
    listeners: list[Listener],
    opened: Future[tuple[list[int], asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    doors = [listener.door() for listener in listeners]
    stop = asyncio.Event()
    try:
        for door, listener in zip(doors, listeners, strict=True):
            await _open(door, listener)
    except OSError as failure:
        opened.set_exception(failure)
    else:
        opened.set_result(([door.port for door in doors], asyncio.get_running_loop(), stop))
        await stop.wait()
    finally:
        await _turns()  # a connection accepted in the very moment of closing would never be closed itself
        for door in doors:
            await door.close()


async def _open(door: Door, listener: Listener) -> None:
    try:
        await door.open(listener.host, listener.port, listener.tls)
    except OSError as failure:
        failure.filename = f"{listener.host}:{listener.port}"
        raise


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
