"""The one road to the service: sign, pace, send, read, retry, page.

`Sender` walks it blocking; `_async_pipeline.AsyncSender` walks the same road awaiting.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self, TypeVar

import httpx
from tenacity import RetryCallState, Retrying
from tenacity.wait import wait_random_exponential

from iotc_admin.client._body import Body
from iotc_admin.client._refusals import date_of, read_answer, request_id_of
from iotc_admin.client.credentials import Credential
from iotc_admin.client.origin import Origin
from iotc_admin.client.pacing import Pacer
from iotc_admin.contract.operations import Call
from iotc_admin.contract.wire import Page
from iotc_admin.errors import (
    AnswerLost,
    IotcError,
    NotFound,
    RateLimited,
    ServiceDown,
    UnexpectedAnswer,
    Unreachable,
)

T = TypeVar("T")

ATTEMPTS: Final = 6
# Longer than this a command should rather fail and be repeated.
PATIENCE: Final = 60.0
_UNREACHABLE_ATTEMPTS: Final = 3

_log = logging.getLogger("iotc_admin.client")


@dataclass(frozen=True)
class _NextPage(Call[T]):
    """A page whose address the service gave: followed verbatim."""

    link: str = ""


@dataclass
class Road:
    """What both drivers share: how a call becomes a request, and an answer a result."""

    origin: Origin
    credential: Credential
    pacer: Pacer
    clock: Callable[[], datetime]
    attempts: int = ATTEMPTS
    skew: timedelta | None = field(default=None, init=False)
    """How far the application's clock is ahead of ours, by the last answer's `Date`."""

    def request(self, call: Call[Any], authorization: str) -> httpx.Request:
        headers = {
            "Authorization": authorization,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        content = None
        if call.body is not None:
            headers["Content-Type"] = call.operation.content_type
            content = call.body.model_dump_json(by_alias=True, exclude_unset=True)
        url = call.link if isinstance(call, _NextPage) else f"{self.origin}/api{call.url}"
        # httpx replaces the whole query when it is given params, so none are: the URL is complete.
        return httpx.Request(call.operation.method, url, headers=headers, content=content)

    def read(self, call: Call[T], request: httpx.Request, response: httpx.Response, seconds: float) -> T:
        """The result. Raises the error that the answer stands for; tells the pacer how it went."""
        _log.info(
            "%s %s %d %s %.0f ms",
            request.method,
            request.url.raw_path.decode(),
            response.status_code,
            request_id_of(response),
            seconds * 1000,
        )
        date = date_of(response)
        self.skew = None if date is None else date - self.clock()
        try:
            result = read_answer(call, response)
        except RateLimited:
            self.pacer.was_refused()
            raise
        self.pacer.went_well()
        return result

    def next_page(self, call: Call[Page[T]], page: Page[T], seen: set[str]) -> Call[Page[T]] | None:
        """The call for the next page. Raises `UnexpectedAnswer` for a link that must not be followed."""
        link = page.next_link
        if not link:
            return None
        name = call.operation.name
        if not self.origin.holds(link):
            message = f"{name}: the next page is not at {self.origin} but at {link[:100]!r}"
            raise UnexpectedAnswer(message, operation=name, hint="the token goes to its own application only")
        if link in seen:
            message = f"{name}: the next page is one that was read before: the list would never end"
            raise UnexpectedAnswer(message, operation=name, hint="repeat; if it persists, report it")
        seen.add(link)
        return _NextPage(call.operation, call.ids, call.body, call.query, link)


class Attempts:
    """The retries of one call: what may be repeated, when, and what a repeat's answer means."""

    def __init__(self, limit: int, *, repeatable: bool = True, deletes: bool = False) -> None:
        self._limit = limit
        self._repeatable = repeatable
        self._deletes = deletes
        self._may_have_happened = False
        self._backoff = wait_random_exponential(multiplier=0.5, max=20)

    @classmethod
    def of(cls, call: Call[Any], limit: int) -> Self:
        """The retries that suit its operation."""
        operation = call.operation
        return cls(limit, repeatable=operation.repeatable, deletes=operation.method == "DELETE")

    def policy(self) -> dict[str, Any]:
        return {"stop": self._stop, "wait": self._wait, "retry": self._retry, "reraise": True}

    def already_deleted(self) -> bool:
        """Whether "not found" is the answer to the repeat of a DELETE that worked, its answer lost."""
        return self._may_have_happened and self._deletes

    def _retry(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, AnswerLost | ServiceDown):
            self._may_have_happened = True
            return self._repeatable
        if isinstance(error, Unreachable):
            return not isinstance(error.__cause__, ssl.SSLError)
        return isinstance(error, RateLimited)

    def _stop(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Unreachable) and state.attempt_number >= _UNREACHABLE_ATTEMPTS:
            return True
        asked = _asked_to_wait(error)
        return state.attempt_number >= self._limit or (asked is not None and asked > PATIENCE)

    def _wait(self, state: RetryCallState) -> float:
        asked = _asked_to_wait(state.outcome.exception() if state.outcome else None)
        return self._backoff(state) if asked is None else asked


def _asked_to_wait(error: BaseException | None) -> float | None:
    return error.retry_after if isinstance(error, RateLimited | ServiceDown) else None


@dataclass
class Sender:
    """The blocking driver."""

    road: Road
    http: httpx.Client
    sleep: Callable[[float], None] = time.sleep

    def send(self, call: Call[T]) -> T:
        attempts = Attempts.of(call, self.road.attempts)
        try:
            result = Retrying(sleep=self.sleep, **attempts.policy())(lambda: self._once(call))
        except NotFound:
            if attempts.already_deleted():
                return None  # type: ignore[return-value] # DELETE gives None
            raise
        return result

    def once(self) -> Sender:
        """The same way, each call sent one time only."""
        return replace(self, road=replace(self.road, attempts=1))

    def patiently(self, do: Callable[[], T]) -> T:
        """`do` repeated as a repeatable call is."""
        return Retrying(sleep=self.sleep, **Attempts(self.road.attempts).policy())(do)

    def pages(self, call: Call[Page[T]]) -> Iterator[T]:
        seen: set[str] = set()
        following: Call[Page[T]] | None = call
        while following is not None:
            page = self.send(following)
            yield from page.value
            following = self.road.next_page(following, page, seen)

    def _once(self, call: Call[T]) -> T:
        request = self.road.request(call, self.road.credential.header(self.road.clock()))
        if wait := self.road.pacer.take():
            self.sleep(wait)
        started = time.perf_counter()
        body = Body(call.operation.name)
        try:
            with closing(self.http.send(request, stream=True)) as streamed:
                for chunk in streamed.iter_bytes():
                    body.add(chunk)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise translated(error, call, self.road.origin) from root_of(error)
        return self.road.read(call, request, body.of(streamed), time.perf_counter() - started)


def translated(error: httpx.HTTPError | httpx.InvalidURL, call: Call[Any], origin: Origin) -> IotcError:
    """Our error for one of httpx: whether the request left decides which."""
    name = call.operation.name
    root = root_of(error)
    _log.info("%s %s no answer: %s", call.operation.method, call.operation.path, _reason(error, root))
    if isinstance(root, httpx.InvalidURL):
        message = f"{name}: the answer redirects to an address that is none; redirects are never followed"
        return UnexpectedAnswer(message, operation=name, hint="check --app and HTTPS_PROXY")
    if isinstance(root, ssl.SSLCertVerificationError):
        return Unreachable(
            f"{origin} showed a TLS certificate that is not trusted: {root.verify_message}",
            operation=name,
            hint="if its CA is your own or a proxy's, name it: --ca-file CA.pem (or SSL_CERT_FILE)",
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
        return Unreachable(
            f"{origin} cannot be reached: {_reason(error, root)}",
            operation=name,
            hint="check --app, the network, and HTTPS_PROXY if there is a proxy",
        )
    return AnswerLost(
        f"{name}: the answer was lost: {_reason(error, root)}",
        operation=name,
        hint="it may have happened all the same: repeat, what is done is not done again",
    )


def root_of(error: BaseException) -> BaseException:
    """The exception at the bottom: httpx and httpcore each wrap the one before."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _reason(error: Exception, root: BaseException) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(root) or type(root).__name__
