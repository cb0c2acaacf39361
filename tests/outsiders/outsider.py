"""A device program in a process of its own: asked in JSON lines, it tells in JSON lines what happened."""

from __future__ import annotations

import json
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from iotc_admin.emulator import Emulator

# Twice what the slowest answer takes: an SDK waits 30 s at most, and gives up by itself.
_PATIENCE = 40

# One of these comes of everything that is asked.
_ANSWERS = {"registered", "connected", "listening", "sent", "twin", "reported", "closed", "refused"}

Event = dict[str, Any]


class Outsider(AbstractContextManager["Outsider"]):
    """One device with somebody else's SDK."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment
            )
        self._arrived: Queue[Event | None] = Queue()
        self._waiting: list[Event] = []
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stdin, stdout = self._pipes
        stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()
        stdout.close()

    def asked(self, do: str, **details: Any) -> None:
        """Ask, and go on."""
        stdin, _ = self._pipes
        stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        stdin.flush()

    def tells(self, event: str, within: float = _PATIENCE) -> Event:
        """The next event of this kind; others are kept until somebody asks for them."""
        for place, each in enumerate(self._waiting):
            if each["event"] == event:
                return self._waiting.pop(place)
        while True:
            arrived = self._next(event, within)
            if arrived["event"] == event:
                return arrived
            self._waiting.append(arrived)
            if arrived["event"] in _ANSWERS:
                pytest.fail(f"not {event!r}, but {arrived}\n{self._words}")

    def does(self, do: str, event: str, **details: Any) -> Event:
        """Ask, and wait for what comes of it."""
        self.asked(do, **details)
        return self.tells(event)

    def registers(self, emulator: Emulator, registration: str, host: str = "localhost", **more: Any) -> Event:
        """Over DPS; the event tells the hub and the device id."""
        return self.does(
            "register", "registered", host=host, scope=emulator.id_scope, registration=registration, **more
        )

    def connects(self, emulator: Emulator, device: str, host: str = "localhost", **more: Any) -> Event:
        """Over DPS to the hub it names."""
        assigned = self.registers(emulator, device, host, **more)
        return self.does("connect", "connected", hub=assigned["hub"], device=assigned["device"], **more)

    def _next(self, event: str, within: float) -> Event:
        try:
            arrived = self._arrived.get(timeout=within)
        except Empty:
            pytest.fail(f"no {event!r} within {within} s, but {self._waiting}\n{self._words}")
        if arrived is None:
            pytest.fail(f"the device program ended before {event!r}: {self._waiting}\n{self._words}")
        return arrived

    def _listen(self) -> None:
        _, stdout = self._pipes
        for line in stdout:
            self._arrived.put(json.loads(line))
        self._arrived.put(None)

    @property
    def _pipes(self) -> tuple[Any, Any]:
        return self._process.stdin, self._process.stdout

    @property
    def _words(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-4000:]
