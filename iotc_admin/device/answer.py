"""One answer of DPS or of a hub, whatever carried it, and how words from outside may be repeated."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

LARGEST: Final = 1 << 20
_LONGEST_SAID: Final = 300
_TRACKING: Final = re.compile(r"tracking ?id:\s*([A-Za-z0-9-]{1,100})", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """Status, body and `retry-after` as they came; `status` is HTTP's over MQTT too."""

    status: int
    body: bytes = b""
    retry_after: str = ""

    def document(self) -> dict[str, Any] | None:
        """The body when it is a JSON object, else None."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    @property
    def start(self) -> str:
        """What the body begins with, for people."""
        return said(self.body[:2000].decode("utf-8", "replace"))[:200]


def said(value: object) -> str:
    """A text or number of theirs on one line, within bounds; anything else is left out."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = "".join(each if each.isprintable() else " " for each in str(value)[: 4 * _LONGEST_SAID])
    return " ".join(text.split())[:_LONGEST_SAID]


def tracking_id(document: dict[str, Any]) -> str:
    """DPS has a field for it, a hub writes it into its text."""
    if found := said(document.get("trackingId")):
        return found
    in_text = _TRACKING.search(said(document.get("ExceptionMessage")))
    return in_text[1] if in_text else ""
