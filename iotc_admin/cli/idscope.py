"""The ID scope for a command: from a setting, else from the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from iotc_admin.cli.doing import WAITS
from iotc_admin.cli.output import ask

if TYPE_CHECKING:
    from iotc_admin.cli.settings import Session


def id_scope_of(session: Session, option: str | None) -> str:
    """The ID scope; where nothing tells it, and a person agrees, by a device made for the moment.

    A dry run that comes to this says so and ends: what follows cannot be known.
    """
    return session.id_scope(option) or (_read(session) if session.dry_run else _asked(session))


def _read(session: Session) -> str:
    from iotc_admin.workflows.scope import known_id_scope

    with session.client() as client:
        known = known_id_scope(client, session.ledger_if_any())
    if known is None:
        step = "make a device for a moment that tells the ID scope, and remove it again"
        session.output.result({"steps": [step]}, [step])
        raise typer.Exit(WAITS)
    return known


def _asked(session: Session) -> str:
    from iotc_admin.workflows.scope import find_id_scope

    def agree() -> bool:
        ask(
            "No --id-scope is given and nothing tells it: "
            "make a device for a moment that does, and remove it again?",
            yes=session.yes,
        )
        return True

    with session.client() as client:
        return find_id_scope(client, run=session.run(), agree=agree)
