"""The dials of rudeness: throttle, scripted and random faults. Hides when which request meets which fate."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iotc_admin.emulator import problems
from iotc_admin.emulator.exchange import Reply, Request
from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from datetime import datetime

Serve = Callable[[Request], Reply]
ThrottleKind = Literal["window", "bucket", "off"]
FaultKind = Literal["status", "html", "empty", "redirect", "delay", "truncate", "reset", "lose-answer"]

_RATE: Final = 20
_MINUTE: Final = 60
_HTML: Final = b"<html><body><h1>Bad gateway</h1></body></html>"
_AFTER_WORK: Final = {"empty", "delay", "truncate", "lose-answer"}


class Dropped(ConnectionResetError):
    """The connection ends here, without an answer."""


class Fault(BaseModel):
    """What happens to the next `times` matching requests, after `skip` of them went well.

    `match` is an operation's name, or a method and the start of a path; empty: every request. `status`,
    `html`, `empty` and `redirect` change the answer, `delay` and `truncate` its delivery; `reset` drops the
    connection before the work, `lose-answer` after it was committed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind = "status"
    match: str = ""
    times: int = Field(default=1, ge=1)
    skip: int = Field(default=0, ge=0)
    status: Literal[0] | Annotated[int, Field(ge=200, le=599)] = 0
    """0: 500, or what suits the kind."""
    delay: float = Field(default=0, ge=0, le=3600)
    """Seconds."""
    location: str = Field(default="https://login.invalid/", pattern=r"^[!-~]*$")
    work: bool | None = None
    """Whether the request is carried out nevertheless; None: as usual for the kind."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `KIND[,FIELD=VALUE...]`, such as `lose-answer,match=Devices_Create,times=2`."""
        kind, *rest = text.split(",")
        pairs = {name: value for name, _, value in (part.partition("=") for part in rest)}
        try:
            return cls.model_validate({"kind": kind, **pairs})
        except ValidationError as failure:
            hint = f"write KIND[,FIELD=VALUE...]: kinds {', '.join(get_args(FaultKind))}"
            raise SettingsError(f"{text!r} is not a fault", hint=hint) from failure

    def meets(self, operation: str, request: Request) -> bool:
        return self.match in {"", operation} or f"{request.method} {request.path}".startswith(self.match)

    def around(self, serve: Serve, request: Request, now: datetime) -> Reply:
        """The answer that this fault makes of it. Dropped: there is none."""
        if self.kind == "reset":
            raise Dropped(self.kind)
        works = self.kind in _AFTER_WORK if self.work is None else self.work
        reply = serve(request) if works else problems.scripted(self.status or 500).reply(now)
        if self.kind == "lose-answer":
            raise Dropped(self.kind)
        return replace(self._spoilt(reply, now), delay=self.delay)

    def _spoilt(self, reply: Reply, now: datetime) -> Reply:
        match self.kind:
            case "status":
                return problems.scripted(self.status or 500).reply(now)
            case "html":
                return Reply(self.status or 502, {"content-type": "text/html"}, _HTML)
            case "empty":
                return Reply(self.status or 200, {"content-type": "application/json"})
            case "redirect":
                return Reply(self.status or 302, {"location": self.location})
            case "truncate":
                return replace(reply, cut_short=True)
        return reply


class Faults:
    """Scripted faults in the order they were given, and random ones at a rate, from a seed that is known."""

    def __init__(self, scripted: Iterable[Fault] = (), *, rate: float = 0, seed: int | None = None) -> None:
        self.rate = rate
        self.seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        self._scripted = list(scripted)

    def add(self, fault: Fault) -> None:
        self._scripted.append(fault)

    def clear(self) -> None:
        """No scripted faults any more; random ones go on."""
        self._scripted.clear()

    @property
    def scripted(self) -> tuple[Fault, ...]:
        return tuple(self._scripted)

    def take(self, operation: str, request: Request) -> Fault | None:
        """The fault this request meets; the first scripted one that matches is used up by it."""
        for index, fault in enumerate(self._scripted):
            if not fault.meets(operation, request):
                continue
            if fault.skip:
                self._scripted[index] = fault.model_copy(update={"skip": fault.skip - 1})
                continue
            left = [fault.model_copy(update={"times": fault.times - 1})] if fault.times > 1 else []
            self._scripted[index : index + 1] = left
            return fault
        return self._by_chance()

    def _by_chance(self) -> Fault | None:
        if self.rate <= 0 or self._random.random() >= self.rate:
            return None
        kind = self._random.choice(["status", "html", "empty", "truncate", "reset", "lose-answer"])
        return Fault.model_validate({"kind": kind})


class Throttle:
    """Twenty requests a second for the whole application.

    `window`: at most 20 in any one second; `bucket`: 20 at once, refilled with 20 a second.
    """

    def __init__(self, kind: ThrottleKind, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.kind = kind
        self._monotonic = monotonic
        self._admitted: deque[float] = deque(maxlen=_RATE)
        self._tokens, self._filled = float(_RATE), monotonic()

    def admits(self) -> bool:
        """Whether one more request may pass now; counts it if so."""
        now = self._monotonic()
        match self.kind:
            case "off":
                return True
            case "window":
                return self._window_admits(now)
        return self._bucket_admits(now)

    def _window_admits(self, now: float) -> bool:
        if len(self._admitted) == _RATE and now - self._admitted[0] < 1:
            return False
        self._admitted.append(now)
        return True

    def _bucket_admits(self, now: float) -> bool:
        self._tokens = min(_RATE, self._tokens + (now - self._filled) * _RATE)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RegistrationLimit:
    """So many registrations in any minute; None: no limit."""

    def __init__(self, per_minute: int | None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._monotonic = monotonic
        self._admitted: deque[float] = deque(maxlen=per_minute)

    def admits(self) -> bool:
        """Whether one more device may register now; counts it if so."""
        now = self._monotonic()
        if self.per_minute is None:
            return True
        if len(self._admitted) == self.per_minute and now - self._admitted[0] < _MINUTE:
            return False
        self._admitted.append(now)
        return True
