"""An answer's body, collected within bounds: no endless or inflated answer fills the memory."""

from __future__ import annotations

from typing import Final

import httpx

from iotc_admin.errors import UnexpectedAnswer

# A page of 100 things is 30 kB; nothing of the service comes near this.
LARGEST: Final = 16 * 1024 * 1024

# They describe the bytes on the wire, not those collected.
_OF_THE_WIRE: Final = ("content-encoding", "content-length", "transfer-encoding")


class Body:
    """Collects the decoded chunks of one answer."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._data = bytearray()

    def add(self, chunk: bytes) -> None:
        """Raises `UnexpectedAnswer` for an answer too large."""
        self._data += chunk
        if len(self._data) > LARGEST:
            message = f"{self._operation}: the answer does not end: it is larger than {LARGEST >> 20} MiB"
            raise UnexpectedAnswer(message, operation=self._operation, hint="check --app and HTTPS_PROXY")

    def of(self, response: httpx.Response) -> httpx.Response:
        """The answer with what was collected as its body."""
        headers = [
            (name, value) for name, value in response.headers.multi_items() if name not in _OF_THE_WIRE
        ]
        return httpx.Response(
            response.status_code, headers=headers, content=bytes(self._data), request=response.request
        )
