"""Do: many devices blocked, or let in again, a few at a time; the ledger knows of each before and after.

Whatever ends it, repeating does the rest: what was begun shows by a look at the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from iotc_admin.errors import (
    IotcError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PlanOutdated,
    RunIncomplete,
    SettingsError,
)
from iotc_admin.ledger.breach import Author, Case, State
from iotc_admin.workflows.apply import Hands, apply
from iotc_admin.workflows.look import look_at_device
from iotc_admin.workflows.plan import Plan, UpdateDevice

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.contract.devices import Device

_AT_ONCE: Final = 8
_WINDOW: Final = 64
_TRIES: Final = 3
# What the service allows an application.
_REQUESTS_PER_SECOND: Final = 20
# They would meet every device alike.
_FATAL: Final = (NotAuthenticated, NotAllowed, SettingsError)


@dataclass(frozen=True)
class Turn:
    """Which way devices are turned, and what the ledger calls it. `already`: found so, by somebody else."""

    enabled: bool
    begun: State
    done: State
    already: State
    word: str


BLOCK: Final = Turn(
    enabled=False, begun=State.BLOCKING, done=State.BLOCKED, already=State.BEFORE, word="blocked"
)
RELEASE: Final = Turn(
    enabled=True, begun=State.RELEASING, done=State.RELEASED, already=State.RELEASED, word="unblocked"
)


def estimate(requests: int) -> timedelta:
    """How long so many requests take at the 20 a second that the service allows."""
    return timedelta(seconds=round(requests / _REQUESTS_PER_SECOND))


def step_for(device: Device, turn: Turn) -> UpdateDevice:
    """The step that turns a device as it was looked at."""
    return UpdateDevice(device.id or "", None, None, None, turn.enabled, device.etag or "")


def turn_devices(
    client: Client,
    case: Case,
    steps: Sequence[UpdateDevice],
    turn: Turn,
    author: Author,
    *,
    told: Callable[[int, int], None] = lambda *_: None,
) -> int:
    """Turn these devices, in their order. Returns how many were turned; `told` hears of it, and of how many.

    A device that is deleted meanwhile is passed over. Raises `RunIncomplete` when some could not be turned.
    """
    tally = _Tally(turn, len(steps))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(steps), _WINDOW):
            window = {step.device: step for step in steps[start : start + _WINDOW]}
            author.mark(case, window, turn.begun)
            ends = dict(zip(window, pool.map(partial(_end, client, turn), window.values()), strict=True))
            for state in (turn.done, turn.already, State.GONE):
                author.mark(case, [device for device, end in ends.items() if end is state], state)
            tally.add(ends)
            told(tally.turned, tally.wanted)
    tally.require_complete()
    return tally.turned


@dataclass
class _Tally:
    """How far a run has come, and what it could not do."""

    turn: Turn
    wanted: int
    turned: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, ends: Mapping[str, State | IotcError]) -> None:
        """Raises `RunIncomplete` where going on is of no use."""
        failed = {device: end for device, end in ends.items() if isinstance(end, IotcError)}
        self.turned += list(ends.values()).count(self.turn.done)
        self.failures |= {device: str(error) for device, error in failed.items()}
        hopeless = [error for error in failed.values() if isinstance(error, _FATAL)]
        if hopeless or len(failed) == len(ends):
            error = next(iter([*hopeless, *failed.values()]))
            hint = f"{error.hint}; then repeat" if error.hint else "repeat"
            raise self._incomplete(f"the others wait: {error}", hint) from error

    def require_complete(self) -> None:
        """Raises `RunIncomplete` if anything failed."""
        if self.failures:
            device, why = next(iter(self.failures.items()))
            raise self._incomplete(f"{len(self.failures)} could not be: {device}, for one: {why}", "repeat")

    def _incomplete(self, rest: str, hint: str) -> RunIncomplete:
        message = f"{self.turned} of {self.wanted} devices are {self.turn.word}, {rest}"
        return RunIncomplete(
            message, failures=self.failures, hint=f"{hint} the command: it does what is left"
        )


def _end(client: Client, turn: Turn, step: UpdateDevice) -> State | IotcError:
    """How one device ended: turned, found so, deleted; or why it could not be turned."""
    try:
        return _turned(client, turn, step)
    except NotFound:
        return State.GONE
    except IotcError as error:
        return error


def _turned(client: Client, turn: Turn, step: UpdateDevice) -> State:
    for _ in range(_TRIES - 1):
        try:
            apply(Plan(client.app, (step,)), client, Hands())
        except PlanOutdated:
            found = look_at_device(client, step.device)
            if found is None:
                return State.GONE
            if (found.enabled is not False) is turn.enabled:
                return turn.already
            step = step_for(found, turn)
        else:
            return turn.done
    apply(Plan(client.app, (step,)), client, Hands())
    return turn.done
