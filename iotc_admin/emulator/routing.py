"""Binds handlers to operations: what a handler takes and gives is what its operation says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.contract.operations import Operation
from iotc_admin.emulator import problems

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State

Takes = TypeVar("Takes")
Gives = TypeVar("Gives")


@dataclass(frozen=True)
class Asked(Generic[Takes]):
    """One request as its handler sees it: authenticated, permitted, its body valid."""

    state: State
    operation: Operation[Any, Any]
    ids: tuple[str, ...]
    body: Takes
    query: Mapping[str, str]
    url: str
    if_match: str | None = None

    @property
    def id(self) -> str:
        return self.ids[0]

    @property
    def slot(self) -> Slot:
        return Slot(self.ids[1])

    def option(self, name: str) -> str | None:
        """A query parameter, where the contract has it."""
        return self.query.get(name) if name in self.operation.query else None

    def require_etag(self, current: str | None) -> None:
        """412 when the client named an etag, in the body or in If-Match, and it is not the current one."""
        named = [getattr(self.body, "etag", None), self.if_match]
        if self.if_match == "*" and current is not None:
            named.pop()
        if any(each is not None and each != current for each in named):
            raise problems.etag_mismatch()


@dataclass(frozen=True)
class Pending(Generic[Gives]):
    """An answer that a device has yet to give: `settle` waits for it, outside of any transaction."""

    settle: Callable[[], Gives]


@dataclass(frozen=True)
class Handler(Generic[Takes, Gives]):
    """An operation and the function that serves it."""

    operation: Operation[Takes, Gives]
    serve: Callable[[Asked[Takes]], Gives | Pending[Gives]]


def serves(
    operation: Operation[Takes, Gives],
) -> Callable[[Callable[[Asked[Takes]], Gives | Pending[Gives]]], Handler[Takes, Gives]]:
    """The decorated function serves this operation."""
    return lambda serve: Handler(operation, serve)


class Routes:
    """Finds the handler of a request."""

    def __init__(self, handlers: Sequence[Handler[Any, Any]]) -> None:
        self._handlers = handlers

    def find(self, method: str, path: str) -> tuple[Handler[Any, Any], tuple[str, ...]]:
        """The handler and the ids in the path; 404 for an unknown path, 405 for a wrong verb."""
        allowed: list[str] = []
        for handler in self._handlers:
            ids = handler.operation.ids_in(path)
            if ids is None:
                continue
            if handler.operation.method == method:
                return handler, ids
            allowed.append(handler.operation.method)
        if allowed:
            raise problems.method_not_allowed(method, allowed)
        raise problems.not_found("Resource")
