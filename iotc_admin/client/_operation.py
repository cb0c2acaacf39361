"""One declaration per operation, two clients.

A resource method describes a `Call`; what fetching the method gives depends on the driver behind the
resource: a function for `Client`, a coroutine function for `AsyncClient`. Both type checkers see which.
"""

from __future__ import annotations

from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from iotc_admin.contract.operations import Call
    from iotc_admin.contract.wire import Page

P = ParamSpec("P")
T = TypeVar("T")


class SyncDriver(Protocol):
    """Carries a call to the service and back, blocking."""

    def send(self, call: Call[T]) -> T: ...
    def pages(self, call: Call[Page[T]]) -> Iterator[T]: ...


class AsyncDriver(Protocol):
    """Carries a call to the service and back, awaiting."""

    async def send(self, call: Call[T]) -> T: ...
    def pages(self, call: Call[Page[T]]) -> AsyncIterator[T]: ...


D = TypeVar("D", bound="SyncDriver | AsyncDriver")


class Resource(Generic[D]):
    """Operations on one kind of thing, over one driver."""

    def __init__(self, driver: D) -> None:
        self._driver = driver


class operation(Generic[P, T]):  # noqa: N801 - used as a decorator
    """Turns a method that describes a call into one that makes it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._describe = describe
        update_wrapper(self, describe)  # type: ignore[arg-type]

    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: type) -> Callable[P, Awaitable[T]]: ...
    @overload
    def __get__(self, resource: None, owner: type) -> operation[P, T]: ...
    def __get__(self, resource: Any, owner: type) -> Any:
        return self if resource is None else _bound(resource, self._describe, resource._driver.send)  # noqa: SLF001


class paged(Generic[P, T]):  # noqa: N801 - used as a decorator
    """Turns a method that describes a call for a page into one that iterates over all items, lazily."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[Page[T]]]) -> None:
        self._describe = describe
        update_wrapper(self, describe)  # type: ignore[arg-type]

    @overload
    def __get__(self, resource: Resource[SyncDriver], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, resource: Resource[AsyncDriver], owner: type) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, resource: None, owner: type) -> paged[P, T]: ...
    def __get__(self, resource: Any, owner: type) -> Any:
        return self if resource is None else _bound(resource, self._describe, resource._driver.pages)  # noqa: SLF001


def _bound(resource: Any, describe: Callable[..., Any], carry: Callable[[Any], Any]) -> Callable[..., Any]:
    def method(*args: Any, **kwargs: Any) -> Any:
        return carry(describe(resource, *args, **kwargs))

    return update_wrapper(method, describe)
