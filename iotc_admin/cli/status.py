"""`iotc-admin status`: what every slot holds, and what of it has to be renewed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli.doing import WAITS
from iotc_admin.cli.keyfiles import epilog
from iotc_admin.cli.settings import Session
from iotc_admin.cli.status_views import status_document, status_lines
from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from iotc_admin.pki.lifetime import Policy
    from iotc_admin.workflows.status import Status

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@dataclass(frozen=True)
class _Report:
    """A file that is written anew at each run, and how it is to begin: what begins otherwise is not ours."""

    file: Path
    render: Callable[[Status], str]
    beginning: bytes


@app.command(
    epilog=epilog(
        "iotc-admin status --within 30d --devices --html status.html",
        "iotc_admin.workflows.look_at_status(client, ledger)",
        three="something is due, expired or not verified",
    )
)
def status(
    ctx: typer.Context,
    within: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="Due is what expires within it (30d, 12h, 4w), not by its age."),
    ] = None,
    devices: Annotated[
        bool, typer.Option("--devices", help="Devices, too: one request for each of them.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A report for people; replaces the last one.")
    ] = None,
    prometheus: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Metrics for a textfile collector; likewise.")
    ] = None,
) -> None:
    """Show every slot: its certificate, whether it is verified, when it expires and what is to be done.

    Exits 3 if a certificate is due, expired or not verified. Due is what has lived for two thirds of its
    life (for half of it if that is ten days or less). Dates come from the ledger; a thumbprint that it does
    not know is named as unmanaged. --html needs the extra [report].
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    policy = _policy(ctx, within)
    reports = _reports(html, prometheus)
    from iotc_admin.workflows.status import look_at_status

    ledger = session.ledger_if_any()
    with session.client() as client:
        seen = look_at_status(client, ledger, policy, devices=devices)
    for report in reports:
        _write(session, report, seen)
    session.output.coloured(status_document(seen), status_lines(seen))
    if seen.waits:
        raise typer.Exit(WAITS)


def _policy(ctx: typer.Context, within: str | None) -> Policy:
    from iotc_admin.pki.lifetime import Policy, read_duration

    try:
        return Policy(None if within is None else read_duration(within))
    except SettingsError as error:
        raise typer.BadParameter(f"{error}: {error.hint}", ctx, param_hint="--within") from None


def _reports(html: Path | None, prometheus: Path | None) -> list[_Report]:
    reports = []
    if html:
        from iotc_admin.cli import status_html

        reports.append(_Report(html, status_html.renderer(), status_html.BEGINNING))
    if prometheus:
        from iotc_admin.cli import status_metrics

        reports.append(_Report(prometheus, status_metrics.status_metrics, status_metrics.BEGINNING))
    if html and prometheus and html.absolute() == prometheus.absolute():
        raise SettingsError(f"{html} cannot be both reports", hint="name two files")
    for report in reports:
        _check_replaceable(report)
    return reports


def _check_replaceable(report: _Report) -> None:
    """Raises `SettingsError` unless there is nothing yet, or the report of an earlier run."""
    file, folder = report.file, report.file.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(f"{folder}: no folder to write in", hint="make it, or name another file")
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as failure:
        raise SettingsError(f"{file}: {failure.strerror}", hint="name another file") from None
    if not stat.S_ISREG(mode) or not _begins(file, report.beginning):
        message = f"{file}: is there already and is no such report"
        raise SettingsError(message, hint="only a report of an earlier run is replaced: name another file")


def _begins(file: Path, beginning: bytes) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(beginning)) in (b"", beginning)
    except OSError as failure:
        raise SettingsError(f"{file}: {failure.strerror}", hint="name another file") from None


def _write(session: Session, report: _Report, seen: Status) -> None:
    from iotc_admin.pki.store import replace_file

    if session.dry_run:
        session.output.say(f"would write {report.file}")
        return
    replace_file(report.file, report.render(seen).encode())
    session.output.say(f"{report.file}: written")
