"""Which refusals pass by themselves, how long to wait for it, and when to give up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from iotc_admin.errors import AnswerLost, IotcError, ProvisioningRefused, Unreachable

T = TypeVar("T")

PAUSE: Final = 2.0
SHORTEST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
# Azure assigns within seconds; longer than this nobody watches.
GIVE_UP_AFTER: Final = 600.0


def pause(retry_after: float | None) -> float:
    """Seconds to wait, whatever was asked for."""
    return PAUSE if retry_after is None else min(max(retry_after, SHORTEST_PAUSE), LONGEST_PAUSE)


def twice(once: Callable[[], T], sleep: Callable[[float], None]) -> T:
    """What `once` gives; called again, a single time, when its refusal may pass by itself."""
    try:
        return once()
    except IotcError as error:
        if not _passes(error):
            raise
        asked = error.retry_after if isinstance(error, ProvisioningRefused) else None
    sleep(pause(asked))
    return once()


def _passes(error: IotcError) -> bool:
    if isinstance(error, ProvisioningRefused):
        return error.transient
    return isinstance(error, AnswerLost) or (
        isinstance(error, Unreachable) and isinstance(error.__cause__, ConnectionResetError)
    )
