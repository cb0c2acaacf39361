"""`iotc-admin roll plan|start|status|resume|retire|abort`: a CA rolled step by step, without downtime."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli.doing import WAITS, begin, telling
from iotc_admin.cli.idfile import read_ids
from iotc_admin.cli.keyfiles import DRY_RUN, KEY_HELP, PROOF_WAITS, KeyPasswordFile, epilog
from iotc_admin.cli.output import ask
from iotc_admin.cli.rollover_views import (
    next_command,
    plan_document,
    plan_lines,
    progress_document,
    progress_lines,
)
from iotc_admin.cli.settings import Session
from iotc_admin.cli.slots import SlotName, load_authorities, next_step, slot_of
from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger, Run
    from iotc_admin.workflows.adoption import Asked
    from iotc_admin.workflows.apply import Outcome
    from iotc_admin.workflows.rollover.journal import Scribe
    from iotc_admin.workflows.rollover.progress import Progress
    from iotc_admin.workflows.rollover.start import Start

Group = Annotated[str, typer.Option("--group", metavar="NAME", help="The enrollment group.")]
Cert = Annotated[str, typer.Option("--cert", metavar="NEW", help="The new CA certificate.")]
SlotWanted = Annotated[
    SlotName | None,
    typer.Option("--slot", help="Which slot gets it (default: the free or unused one)."),
]
Key = Annotated[str | None, typer.Option("--key", metavar="KEY", help=KEY_HELP)]
Reconnect = Annotated[
    str, typer.Option("--reconnect", metavar="SPAN", help="Within this time every device comes back.")
]
Devices = Annotated[
    str | None,
    typer.Option(
        "--devices",
        metavar="FILE",
        help="The group's devices: an id a line, or CSV with device_id "
        "(default: all that are provisioned without certificates of their own).",
    ),
]
Adopted = Annotated[
    str | None, typer.Option("--adopted", metavar="FILE", help="These have the new certificate: you know it.")
]
Since = Annotated[
    str | None,
    typer.Option(
        "--registered-since",
        metavar="TIME",
        help="Whoever registered after this (ISO 8601) came with the new certificate.",
    ),
]


_OPEN = f"the roll waits for a person or for devices, or {DRY_RUN}"


def add_to(app: typer.Typer) -> None:
    """The commands of the procedure, in their order."""
    for command, example, library, three in (
        (
            plan,
            "--cert next_cert.pem",
            "start.plan_start(client, ledger, wanted)",
            "there is something to do",
        ),
        (start, "--cert next_cert.pem", "start.start(client, wanted, planned, scribe)", PROOF_WAITS),
        (status, "-o json", "progress.look(client, ledger, 'MyX509Group', Asked())", "a roll is open"),
        (resume, "--key next_key.pem", "start.start(client, wanted, planned, scribe)", _OPEN),
        (retire, "--accept-laggards lost.txt", "finish.retire(client, progress, plan, scribe)", _OPEN),
        (abort, "--adopted none.txt", "finish.abort(client, progress, plan, scribe)", DRY_RUN),
    ):
        line = f"iotc-admin roll {command.__name__} --group MyX509Group {example}"
        end = epilog(line, f"iotc_admin.workflows.rollover.{library}", three=three)
        app.command(command.__name__, epilog=end)(command)


def plan(
    ctx: typer.Context,
    group: Group,
    cert: Cert,
    slot: SlotWanted = None,
    key: Key = None,
    key_password_file: KeyPasswordFile = None,
    reconnect: Reconnect = "7d",
) -> None:
    """What a roll to this CA would do: which slot and why, the steps, whose certificates need successors.

    Sends reads only. Exits 3 if there is something to do.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    wanted = _start(session, session.run(), group, (slot, cert, key, key_password_file), reconnect)
    from iotc_admin.workflows.rollover.start import plan_start

    with session.client() as client:
        planned = plan_start(client, session.ledger_if_any(), wanted)
    for warning in planned.warnings:
        session.output.warn(warning)
    session.output.result(plan_document(planned), plan_lines(planned))
    if planned.plan.steps:
        raise typer.Exit(WAITS)


def start(
    ctx: typer.Context,
    group: Group,
    cert: Cert,
    slot: SlotWanted = None,
    key: Key = None,
    key_password_file: KeyPasswordFile = None,
    reconnect: Reconnect = "7d",
) -> None:
    """Put the new CA beside the old one and prove possession; asks first. Devices notice nothing.

    Without the CA's key it uploads, prints the code and the next command, and exits 3.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    run = session.run()
    wanted = _start(session, run, group, (slot, cert, key, key_password_file), reconnect)
    with session.client() as client:
        _carry_on(session, client, run, wanted)


def status(
    ctx: typer.Context,
    group: Group,
    devices: Devices = None,
    adopted: Adopted = None,
    registered_since: Since = None,
) -> None:
    """Where the roll stands, and who has not come over yet. Exits 3 while it is open, 0 when it is not.

    Devices are asked for the certificate they report; a connection proves nothing.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    asked = _asked(devices, adopted, registered_since)
    from iotc_admin.workflows.look import existing
    from iotc_admin.workflows.rollover.journal import last_rollover
    from iotc_admin.workflows.rollover.progress import look, note_progress

    with session.client() as client:
        ledger = session.ledger_if_any()
        if last_rollover(ledger, client.app, group) is None:
            existing(client, group, ())
            session.output.result({"group": group, "state": "baseline"}, [f"{group}: no roll is open"])
            return
        progress = look(client, ledger, group, asked)
        if not session.dry_run and not progress.roll.over:
            progress = note_progress(progress, _scribe(session, client, session.run()))
    _report(session, progress)
    if not progress.roll.over:
        raise typer.Exit(WAITS)


def resume(
    ctx: typer.Context,
    group: Group,
    key: Key = None,
    key_password_file: KeyPasswordFile = None,
    devices: Devices = None,
    adopted: Adopted = None,
    registered_since: Since = None,
) -> None:
    """Go on where the roll was cut short: upload, prove, retire or abort, whatever was begun last.

    What was decided stays decided, on the evidence given then: nothing is done that was not begun. Exits 0
    when it has finished that, 3 when the roll waits for devices or for a key.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    asked = _asked(devices, adopted, registered_since)
    from iotc_admin.workflows.rollover.journal import ABORTING, RETIRING, State
    from iotc_admin.workflows.rollover.progress import look, note_progress, require_unchanged

    run = session.run()
    with session.client() as client:
        progress = look(client, run.ledger, group, asked)
        begun = [each for each in progress.roll.moments if each in (ABORTING, RETIRING)]
        if progress.roll.over:
            _report(session, progress)
            return
        if begun[-1:] == [ABORTING]:
            _abort(session, client, run, progress, listed=adopted is not None)
            return
        if begun or progress.state is State.RETIRED:
            _retire(session, client, run, progress, frozenset())
            return
        require_unchanged(progress)
        if progress.state in (State.PREPARED, State.STAGED):
            _carry_on(session, client, run, _again(session, progress, run.ledger, key, key_password_file))
            return
        if not session.dry_run:
            progress = note_progress(progress, _scribe(session, client, run))
    _report(session, progress)
    raise typer.Exit(WAITS)


def retire(
    ctx: typer.Context,
    group: Group,
    devices: Devices = None,
    adopted: Adopted = None,
    registered_since: Since = None,
    accept_laggards: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="These may be cut off: an id a line, or CSV with device_id."),
    ] = None,
) -> None:
    """Take the old CA out and close the roll, once every device has left it; asks first.

    Names those that have not, and exits 3. Devices that are connected stay connected.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    asked = _asked(devices, adopted, registered_since)
    accepted = frozenset(read_ids(accept_laggards) if accept_laggards else ())
    from iotc_admin.workflows.rollover.progress import look

    run = session.run()
    with session.client() as client:
        _retire(session, client, run, look(client, run.ledger, group, asked), accepted)


def abort(
    ctx: typer.Context,
    group: Group,
    devices: Devices = None,
    adopted: Adopted = None,
    registered_since: Since = None,
) -> None:
    """Take the new CA out again and end the roll; asks first. Refused when a device may depend on it.

    What the new CA had replaced does not come back.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    asked = _asked(devices, adopted, registered_since)
    from iotc_admin.workflows.rollover.progress import look

    run = session.run()
    with session.client() as client:
        progress = look(client, run.ledger, group, asked)
        _abort(session, client, run, progress, listed=adopted is not None)


def _carry_on(session: Session, client: Client, run: Run, wanted: Start) -> None:
    from iotc_admin.workflows.rollover.progress import look
    from iotc_admin.workflows.rollover.start import plan_start
    from iotc_admin.workflows.rollover.start import start as carry_out

    planned = plan_start(client, run.ledger, wanted)
    for warning in planned.warnings:
        session.output.warn(warning)
    if not begin(session, planned.plan):
        return
    session.output.say(f"{planned.roll.place}: {planned.because}")
    if planned.plan.steps:
        ask(f"{'; '.join(map(str, planned.plan.steps))}?", yes=session.yes)
    outcome = carry_out(client, wanted, planned, _scribe(session, client, run), telling(session))
    if planned.old is None:
        session.output.result(plan_document(planned), [f"{wanted.group}: nothing to do"])
        return
    _report(session, look(client, run.ledger, wanted.group), outcome)
    if outcome.codes:
        raise typer.Exit(WAITS)


def _retire(session: Session, client: Client, run: Run, progress: Progress, accepted: frozenset[str]) -> None:
    from iotc_admin.workflows.rollover.finish import plan_retirement, remaining
    from iotc_admin.workflows.rollover.finish import retire as carry_out
    from iotc_admin.workflows.rollover.progress import note_progress

    if remaining(progress, accepted) and not progress.changed:
        if not session.dry_run:
            progress = note_progress(progress, _scribe(session, client, run))
        _show(session, progress)
        session.output.say("the old CA stays until they have; to let them go: --accept-laggards FILE")
        raise typer.Exit(WAITS)
    removal = plan_retirement(client, run.ledger, progress, accepted)
    if not begin(session, removal):
        return
    if removal.steps:
        ask(f"{'; '.join(map(str, removal.steps))}?", yes=session.yes)
    scribe = _scribe(session, client, run)
    if not progress.roll.over:
        progress = note_progress(progress, scribe)
    _report(session, carry_out(client, progress, removal, scribe, accepted=accepted, told=telling(session)))


def _abort(session: Session, client: Client, run: Run, progress: Progress, *, listed: bool) -> None:
    from iotc_admin.workflows.rollover.finish import abort as carry_out
    from iotc_admin.workflows.rollover.finish import plan_abortion

    removal = plan_abortion(client, run.ledger, progress, listed=listed)
    if not begin(session, removal):
        return
    if removal.steps:
        ask(f"{'; '.join(map(str, removal.steps))}?", yes=session.yes)
    scribe = _scribe(session, client, run)
    _report(session, carry_out(client, progress, removal, scribe, listed=listed, told=telling(session)))


def _start(
    session: Session,
    run: Run,
    group: str,
    named: tuple[SlotName | None, str, str | None, str | None],
    reconnect: str,
) -> Start:
    from iotc_admin.pki.lifetime import read_duration
    from iotc_admin.workflows.rollover.start import Start, check_start

    slot, cert, key, password_file = named
    span = read_duration(reconnect)
    place = slot or SlotName.primary
    authority = load_authorities(session, run, (place, cert, key, password_file))[slot_of(place)]
    wanted = Start(group, authority, slot_of(slot) if slot else None, span)
    check_start(wanted, session.started)
    return wanted


def _again(
    session: Session, progress: Progress, ledger: Ledger, key: str | None, password_file: str | None
) -> Start:
    """The start of an open roll, by what the ledger remembers of its certificate."""
    from iotc_admin.cli.keyfiles import load_authority, load_key
    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.pki.pem import read_certificate
    from iotc_admin.workflows.rollover.start import Start

    entry = ledger.find(progress.roll.new)
    if entry is None:
        message = f"the ledger does not hold the new CA, {progress.roll.new}"
        raise SettingsError(message, hint="iotc-admin ledger import CERT")
    certificate = read_certificate(entry.pem.encode())
    # Only who runs this says where the key is, never the ledger: from there come files, looked at as such.
    named = None if key is None else load_key(session, key, password_file, certificate)
    authority = CertificateAuthority(certificate, named)
    files = [seen.file for seen in entry.sightings if seen.file and key is None]
    for file in reversed(files):
        try:
            found = load_authority(session, file, None, password_file)
        except SettingsError:
            continue
        if found.certificate == certificate:
            authority = found
            break
    return Start(progress.roll.group, authority, progress.roll.slot, timedelta())


def _scribe(session: Session, client: Client, run: Run) -> Scribe:
    from iotc_admin.workflows.rollover.journal import Scribe

    return Scribe(run, client, session.actor)


def _asked(devices: str | None, adopted: str | None, since: str | None) -> Asked:
    from iotc_admin.workflows.adoption import Asked

    population = tuple(read_ids(devices)) if devices else None
    if population == ():
        # Of no devices all have come over: what was not counted must not count.
        hint = "leave --devices out, and the application is asked for them"
        raise SettingsError(f"{devices} names no device", hint=hint)
    return Asked(
        population,
        frozenset(read_ids(adopted) if adopted else ()),
        _moment(since) if since else None,
    )


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        hint = "ISO 8601, as in 2026-03-01T08:00:00Z"
        raise SettingsError(f"{text[:40]!r} is no time", hint=hint) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _report(session: Session, progress: Progress, outcome: Outcome | None = None) -> None:
    """Where the roll stands, and what a person does next."""
    codes = dict(outcome.codes) if outcome else {}
    _show(session, progress, next(iter(codes.values()), None))
    if hint := next_command(progress):
        session.output.say(hint)
    for slot, code in codes.items():
        session.output.say(next_step(progress.roll.group, slot, code))
        session.output.say(f"and then:\n  iotc-admin roll resume --group {progress.roll.group}")


def _show(session: Session, progress: Progress, code: str | None = None) -> None:
    for warning in (*progress.warnings, *([progress.changed] if progress.changed else ())):
        session.output.warn(warning)
    document, lines = progress_document(progress), list(progress_lines(progress))
    if code is not None:
        document, lines = document | {"verificationCode": code}, [*lines, f"verification code: {code}"]
    session.output.result(document, lines)
