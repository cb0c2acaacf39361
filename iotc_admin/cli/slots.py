"""A group's slots as the command line names them, the CAs for them, and how the group stands afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli.doing import WAITS, ended
from iotc_admin.cli.keyfiles import load_authority
from iotc_admin.cli.views import group_document, group_lines

if TYPE_CHECKING:
    from iotc_admin.cli.settings import Session
    from iotc_admin.client.client import Client
    from iotc_admin.contract.enrollment_groups import Slot
    from iotc_admin.ledger.ledger import Run
    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.workflows.apply import Outcome
    from iotc_admin.workflows.plan import Plan


class SlotName(StrEnum):
    """The slots, spelt here because the contract's models are too slow to load for `--help`."""

    primary = "primary"
    secondary = "secondary"


SlotOption = Annotated[SlotName, typer.Option("--slot", help="Which of the two slots.")]


def slot_of(name: SlotName) -> Slot:
    """The contract's slot of this name."""
    from iotc_admin.contract.enrollment_groups import Slot

    return Slot(name.value)


def load_authorities(
    session: Session, run: Run, *named: tuple[SlotName, str | None, str | None, str | None]
) -> dict[Slot, CertificateAuthority]:
    """CAs by slot, certificate file, key and password file; warns of what may trouble devices."""
    from iotc_admin.pki.lint import lint

    found = {}
    for slot, certificate, key, password_file in named:
        if certificate is not None:
            found[slot_of(slot)] = authority = load_authority(session, certificate, key, password_file)
            if not session.dry_run:
                run.saw(authority.certificate, file=certificate)
            for finding in lint(authority.certificate, role="root", now=session.started):
                if finding.level == "warning":
                    session.output.warn(f"{certificate} {finding.what}: {finding.cause}")
    return found


def show_group(session: Session, client: Client, name: str, codes: Mapping[Slot, str] | None = None) -> None:
    """Print the group as `group show` does."""
    from iotc_admin.workflows.look import BOTH, existing

    view = existing(client, name, BOTH, certificates=False)
    ledger = session.ledger_if_any()
    session.output.result(
        group_document(view, ledger, client.app, codes or {}), group_lines(view, ledger, client.app)
    )


def report_group(
    session: Session, client: Client, plan: Plan, name: str, outcome: Outcome | None = None
) -> None:
    """What was done, for people; for programs, what `show` prints. Exits 3 while a proof is open."""
    codes = dict(outcome.codes) if outcome else {}
    if session.output.json:
        show_group(session, client, name, codes)
    else:
        state = "proof of possession is still open" if codes else ended(plan)
        lines = [f"verification code for {name}/{slot}: {text}" for slot, text in codes.items()]
        session.output.result(None, [f"{name}: {state}", *lines])
    if not codes:
        return
    if not plan.uploads:
        session.output.say("this is a new code: codes given before no longer work")
    for slot, text in codes.items():
        session.output.say(next_step(name, slot, text))
    raise typer.Exit(WAITS)


def next_step(name: str, slot: str, text: str) -> str:
    """What to do with a verification code, where the key is and then here."""
    return (
        "next, where the CA's key is:\n"
        f"  iotc-admin cert verification {text} --issuer CERT\n"
        "then here:\n"
        f"  iotc-admin group verify {name} --slot {slot} --verification-cert verification_cert.pem"
    )
