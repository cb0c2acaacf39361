"""`iotc-admin ledger ...`: the certificates behind the thumbprints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli.keyfiles import DRY_RUN, KeyPasswordFile, epilog, password
from iotc_admin.cli.output import day
from iotc_admin.cli.settings import Session
from iotc_admin.cli.views import entry_document, event_document

if TYPE_CHECKING:
    from iotc_admin.ledger.ledger import Entry

app = typer.Typer(rich_markup_mode=None)


@app.command(
    "import",
    epilog=epilog(
        "iotc-admin ledger import old_root.pem", "ledger.run(command, now).saw(certificate)", three=DRY_RUN
    ),
)
def import_certificates(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="CERT...", help="PEM, DER or PFX; bundles too.")],
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Make certificates known that were put into the application by other means. Never reads a key."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.pki.description import sha1_thumbprint
    from iotc_admin.pki.store import load_certificates

    secret = password(key_password_file)
    found = [(file, certificate) for file in files for certificate in load_certificates(file, secret)]
    thumbprints = {sha1_thumbprint(certificate): file for file, certificate in found}
    if session.dry_run:
        session.output.result(sorted(thumbprints), (f"import {each}" for each in thumbprints))
        raise typer.Exit(3)
    run = session.run()
    for file, certificate in found:
        run.saw(certificate, file=file)
    entries = [entry for each in thumbprints if (entry := run.ledger.find(each))]
    session.output.result(
        [entry_document(entry) for entry in entries], (f"{entry.sha1}  {entry.subject}" for entry in entries)
    )


@app.command("list", epilog=epilog("iotc-admin ledger list -o json", "Ledger(path).entries()"))
def list_certificates(ctx: typer.Context) -> None:
    """Every certificate the ledger knows, those that expire first in front."""
    session = Session.begin(ctx.command_path, ctx.obj)
    ledger = session.ledger_if_any()
    entries = ledger.entries() if ledger else []
    session.output.table(
        [entry_document(entry) for entry in entries],
        ("SHA-1", "SUBJECT", "EXPIRES", "KEY", "LAST SEEN FOR"),
        (
            (entry.sha1, entry.subject, day(entry.not_after), entry.key_type, _holders(entry))
            for entry in entries
        ),
    )


@app.command(
    epilog=epilog("iotc-admin ledger export --out ledger.pem", "Ledger(path).entries()", three=DRY_RUN)
)
def export(
    ctx: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the PEM here instead of to stdout; never over a file."),
    ] = None,
) -> None:
    """All certificates as PEM, for `ledger import` elsewhere; with -o json the journal of runs besides."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.pki.store import write_new

    ledger = session.ledger_if_any()
    entries = ledger.entries() if ledger else []
    if out is not None and session.dry_run:
        session.output.result({"file": str(out)}, [f"would write {out}"])
        raise typer.Exit(3)
    if out is not None:
        write_new({out: ("".join(entry.pem for entry in entries).encode(), 0o644)})
        session.output.result(
            {"file": str(out), "certificates": len(entries)}, [f"{out}: {len(entries)} certificates"]
        )
        return
    session.output.result(
        {
            "certificates": [entry_document(entry) | {"pem": entry.pem} for entry in entries],
            "journal": [event_document(event) for event in (ledger.events() if ledger else [])],
        },
        (line for entry in entries for line in entry.pem.splitlines()),
    )


def _holders(entry: Entry) -> str:
    return ", ".join(sorted({f"{seen.holder}/{seen.slot}" for seen in entry.sightings if seen.holder}))
