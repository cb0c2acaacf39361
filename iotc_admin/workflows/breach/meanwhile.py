"""Look, between two waves of a release: whether somebody has shut it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotc_admin.ledger.breach import CONTAINED, Case, events_of, open_case
from iotc_admin.workflows.breach.replace import standing_suspects
from iotc_admin.workflows.look import look_at_group
from iotc_admin.workflows.plan import short

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger


@dataclass(frozen=True)
class Observed:
    """What another person may do between two waves to keep the rest out."""

    over: bool
    contained: int
    enabled: bool
    suspects: frozenset[str]


def observed(client: Client, ledger: Ledger, case: Case) -> Observed:
    """How it stands now. Sends reads only."""
    view = look_at_group(client, case.breach.id, ()) if case.breach.kind == "group" else None
    last = open_case(ledger, client.app, case.breach)
    return Observed(
        last is None or last.number != case.number,
        sum(what in CONTAINED for what, _ in events_of(ledger, case)),
        view is not None and view.enabled,
        frozenset(standing_suspects(client, case)),
    )


def shut_again(before: Observed, now: Observed, false_alarm: str) -> str:
    """What somebody did meanwhile that speaks against going on; empty if nothing does."""
    if now.over:
        return "was closed"
    if now.contained != before.contained:
        return "was contained again"
    if before.enabled and not now.enabled:
        return "was disabled again"
    if not false_alarm and now.suspects:
        return f"holds what is suspect again ({', '.join(map(short, sorted(now.suspects)))})"
    return ""
