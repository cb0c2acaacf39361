"""Hides how lists are cut into pages that neither repeat nor skip when things come and go."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlencode

from iotc_admin.contract.wire import Page, Wire
from iotc_admin.emulator import problems
from iotc_admin.emulator.queries import Matches, everything, parse_filter, parse_order

if TYPE_CHECKING:
    from pydantic import BaseModel

    from iotc_admin.emulator.routing import Asked
    from iotc_admin.emulator.store import Shelf

D = TypeVar("D", bound="BaseModel")
W = TypeVar("W", bound=Wire)
Position = tuple[str, str]
"""What the list is sorted by, and the id."""

_CONTINUATION: Final = "$skiptoken"
_TOP: Final = "$top"
_FILTER: Final = "$filter"
_ORDER: Final = "$orderby"
_MAX_PAGE_SIZE: Final = "maxpagesize"
_LARGEST_PAGE: Final = 100


def page(
    asked: Asked[None],
    shelf: Shelf[D],
    model: type[W],
    show: Callable[[D], W],
    matches: Matches = everything,
) -> Page[W]:
    """The page that the query asks for, with the link to the next one."""
    size, wanted = _size(asked), _filter(asked, model)
    entries = (
        (position, thing)
        for position, thing in _entries(asked, shelf, model, show)
        if matches(thing) and wanted(thing)
    )
    found = list(islice(entries, size + 1))
    things = tuple(thing for _, thing in found[:size])
    if len(found) <= size:
        return Page(value=things)
    return Page(value=things, next_link=_next_link(asked, found[size - 1][0]))


def _entries(
    asked: Asked[None], shelf: Shelf[D], model: type[W], show: Callable[[D], W]
) -> Iterator[tuple[Position, W]]:
    """All that come after the position in the query, in the order it asks for."""
    start, order = _start(asked), asked.option(_ORDER)
    if order is None:
        yield from ((("", id_), show(record)) for id_, record in shelf.after(start[1] if start else ""))
        return
    key, downwards = parse_order(order, model)
    things = ((id_, show(record)) for id_, record in shelf.after())
    entries = sorted(
        (((key(thing), id_), thing) for id_, thing in things), key=lambda each: each[0], reverse=downwards
    )
    for position, thing in entries:
        if start is None or (position < start if downwards else position > start):
            yield position, thing


def _filter(asked: Asked[None], model: type[Wire]) -> Matches:
    text = asked.option(_FILTER)
    return everything if text is None else parse_filter(text, model)


def _size(asked: Asked[None]) -> int:
    text = asked.option(_TOP)
    names = asked.state.switches.page_size_query
    if names in {"maxpagesize", "both"}:
        text = asked.query.get(_MAX_PAGE_SIZE, text if names == "both" else None)
    if text is None or names == "ignored":
        return asked.state.page_size
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _LARGEST_PAGE):
        raise problems.bad_request(f"The page size must be a number from 1 to {_LARGEST_PAGE}.")
    return int(text)


def _start(asked: Asked[None]) -> Position | None:
    token = asked.query.get(_CONTINUATION)
    if token is None:
        return None
    try:
        sorted_by, id_ = json.loads(urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError, RecursionError) as failure:
        raise problems.bad_request(f"{_CONTINUATION} is not one of ours.") from failure
    if not (isinstance(sorted_by, str) and isinstance(id_, str)):
        raise problems.bad_request(f"{_CONTINUATION} is not one of ours.")
    return sorted_by, id_


def _next_link(asked: Asked[None], position: Position) -> str:
    token = urlsafe_b64encode(json.dumps(position).encode()).decode()
    return f"{asked.url}?{urlencode({**asked.query, _CONTINUATION: token})}"
