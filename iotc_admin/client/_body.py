"""An answer's body, collected within bounds: no endless, inflated or dripping answer holds a command up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import httpx

from iotc_admin.errors import AnswerLost, UnexpectedAnswer

# A page of 100 things is 30 kB; nothing of the service comes near this.
LARGEST: Final = 16 * 1024 * 1024
LONGEST: Final = 90.0

# They describe the bytes on the wire, not those collected.
_OF_THE_WIRE: Final = ("content-encoding", "content-length", "transfer-encoding")


class Body:
    """Collects the decoded chunks of one answer."""

    def __init__(self, operation: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._operation = operation
        self._clock = clock
        self._end = clock() + LONGEST
        self._data = bytearray()

    def add(self, chunk: bytes) -> None:
        """Raises `UnexpectedAnswer` for an answer too large, `AnswerLost` for one too slow."""
        self._data += chunk
        if len(self._data) > LARGEST:
            message = f"{self._operation}: the answer does not end: it is larger than {LARGEST >> 20} MiB"
            raise UnexpectedAnswer(message, operation=self._operation, hint="check --app and HTTPS_PROXY")
        if self._clock() > self._end:
            message = f"{self._operation}: the answer was lost: it took longer than {LONGEST:.0f} s"
            raise AnswerLost(
                message, operation=self._operation, hint="repeat: what is done is not done again"
            )

    def of(self, response: httpx.Response) -> httpx.Response:
        """The answer with what was collected as its body."""
        headers = [
            (name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_WIRE
        ]
        return httpx.Response(
            response.status_code, headers=headers, content=bytes(self._data), request=response.request
        )
