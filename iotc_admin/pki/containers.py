"""Hides how certificates and keys are wrapped: armour, encodings, line ends and the junk around them."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
# SEQUENCE (any length form), INTEGER 3: no certificate, key or request starts like this.
_PFX = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)\x02\x01\x03\x30", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One object of a file: its PEM label (empty for bare DER), and its text or bytes."""

    label: str
    content: bytes

    @property
    def der(self) -> bytes:
        """The bytes inside the armour. Raises ValueError if they are not base64."""
        if not self.label:
            return self.content
        return base64.b64decode(b"".join(self.content.splitlines()[1:-1]), validate=True)


def is_pfx(data: bytes) -> bool:
    """True for PKCS#12, whatever the file is called."""
    return _PFX.match(data) is not None


def blocks(data: bytes) -> list[Block]:
    """All armoured objects in order, else the one bare DER object, else nothing."""
    if data.startswith(b"\x30"):
        return [Block("", data)]
    text = _plain_text(data)
    armoured = list(_armoured(text))
    return armoured or _without_armour(text)


def _plain_text(data: bytes) -> bytes:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data = data.decode("utf-16", "ignore").encode("utf-8", "ignore")
    return data.removeprefix(b"\xef\xbb\xbf")


def _armoured(text: bytes) -> Iterator[Block]:
    for part in text.split(b"-----BEGIN ")[1:]:
        label, _, rest = part.partition(b"-----")
        end = b"-----END " + label + b"-----"
        body, found, _ = rest.partition(end)
        if found and label.isascii():
            lines = [line.strip() for line in body.strip().splitlines()]
            yield Block(label.decode(), b"\n".join([b"-----BEGIN " + label + b"-----", *lines, end, b""]))


def _without_armour(text: bytes) -> list[Block]:
    packed = b"".join(text.split())
    if not packed or len(packed) % 4 or not _BASE64.fullmatch(packed):
        return []
    inside = base64.b64decode(packed)
    return blocks(inside) if inside.startswith((b"\x30", b"-----BEGIN ")) else []
