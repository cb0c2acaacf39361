"""Hides the languages of lists: what is understood of $filter, $orderby and device-group queries."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pydantic.alias_generators import to_camel

from iotc_admin.emulator import problems

if TYPE_CHECKING:
    from iotc_admin.contract.wire import Wire

Matches = Callable[["Wire"], bool]
SortKey = Callable[["Wire"], str]

_TERM: Final = re.compile(r"\s*([@\w]+)\s+eq\s+(?:'((?:[^']|'')*)'|(true|false))\s*", re.IGNORECASE)
_AND: Final = re.compile(r"and\s", re.IGNORECASE)
_ORDER: Final = re.compile(r"\s*([@\w]+)(?:\s+(asc|desc))?\s*", re.IGNORECASE)
_QUERY: Final = re.compile(
    r"\s*SELECT\s+\*\s+FROM\s+devices(?:\s+WHERE\s+\$(\w+)\s*=\s*(?:\"([^\"]*)\"|(true|false)))?\s*;?\s*",
    re.IGNORECASE,
)


def everything(_thing: Wire) -> bool:
    return True


def parse_filter(text: str, model: type[Wire]) -> Matches:
    """`displayName eq 'x' and enabled eq true`; anything else is 400."""
    terms: list[tuple[str, str | bool]] = []
    position = 0
    while True:
        term = _TERM.match(text, position)
        if term is None:
            raise problems.bad_request("$filter understands only: property eq 'text' or true or false, and.")
        terms.append((_property(term[1], model, "$filter"), _literal(term[2], term[3])))
        position = term.end()
        if position == len(text):
            return lambda thing: _holds(thing.to_wire(), terms)
        joint = _AND.match(text, position)
        if joint is None:
            raise problems.bad_request("$filter joins terms with and only.")
        position = joint.end()


def parse_order(text: str, model: type[Wire]) -> tuple[SortKey, bool]:
    """What to sort by, and whether downwards; anything but `property [asc|desc]` is 400."""
    order = _ORDER.fullmatch(text)
    if order is None:
        raise problems.bad_request("$orderby understands only: one property, then asc or desc.")
    name = _property(order[1], model, "$orderby")
    downwards = (order[2] or "").lower() == "desc"
    return lambda thing: str(thing.to_wire().get(name, "")), downwards


def parse_query(text: str) -> Matches:
    """The devices of a device group; a query beyond the subset is 422."""
    query = _QUERY.fullmatch(text)
    if query is None:
        raise problems.invalid(
            "The emulator understands only: SELECT * FROM devices [WHERE $property = value]."
        )
    if query[1] is None:
        return everything
    name, value = query[1], _literal(query[2], query[3])
    if name not in {"template", "provisioned"}:
        raise problems.invalid(f"The emulator does not understand ${name} in a query.")
    return lambda thing: thing.to_wire().get(name) == value


def _holds(wire: dict[str, object], terms: list[tuple[str, str | bool]]) -> bool:
    return all(wire.get(name) == value for name, value in terms)


def _literal(text: str | None, truth: str | None) -> str | bool:
    return truth.lower() == "true" if truth else (text or "").replace("''", "'")


def _property(name: str, model: type[Wire], option: str) -> str:
    if name not in {field.alias or to_camel(own) for own, field in model.model_fields.items()}:
        raise problems.bad_request(f"{option}: there is no property {name}.")
    return name
