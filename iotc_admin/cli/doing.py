"""What all commands that change something have in common: the dry run, progress, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from iotc_admin.cli.settings import Session
    from iotc_admin.workflows.plan import Plan, Step

WAITS = 3


def begin(session: Session, plan: Plan) -> bool:
    """Whether to carry on: a dry run prints the plan and ends, with 3 if there is something to do."""
    if not session.dry_run:
        return True
    session.output.result(plan.to_json(), [str(step) for step in plan.steps] or ["nothing to do"])
    if plan.steps:
        raise typer.Exit(WAITS)
    return False


def telling(session: Session) -> Callable[[Step], None]:
    """Says each step when it is done."""
    return lambda step: session.output.say(str(step))


def ended(plan: Plan) -> str:
    return "done" if plan.steps else "nothing to do"
