"""`iotc-admin breach contain|replace|release|report`: when a key is in the wrong hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli.breach_views import (
    containing,
    counted,
    listed,
    next_command,
    releasing,
    report_document,
    report_lines,
    span,
    standing_lines,
    suspected,
)
from iotc_admin.cli.doing import WAITS, telling
from iotc_admin.cli.idfile import read_ids
from iotc_admin.cli.keyfiles import DRY_RUN, KEY_HELP, PROOF_WAITS, KeyPasswordFile, epilog
from iotc_admin.cli.output import ask
from iotc_admin.cli.settings import Session
from iotc_admin.cli.slots import SlotName, load_authorities, next_step, slot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

    from iotc_admin.client.client import Client
    from iotc_admin.contract.enrollment_groups import Slot
    from iotc_admin.ledger.breach import Author, Breach
    from iotc_admin.ledger.ledger import Run
    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.workflows.breach.contain import Containment
    from iotc_admin.workflows.breach.release import ReleasePlan
    from iotc_admin.workflows.breach.replace import Replacement

app = typer.Typer(rich_markup_mode=None)

# Half a minute of requests.
_LONG = 600

Group = Annotated[str | None, typer.Option("--group", metavar="NAME", help="The group whose CA is suspect.")]
Device = Annotated[str | None, typer.Option("--device", metavar="ID", help="A device instead of a group.")]


@app.command(
    epilog=epilog(
        "iotc-admin breach contain --group MyX509Group --devices risky.csv",
        "iotc_admin.workflows.breach.contain.contain(planned, client, author)",
        three=f"devices are missing or in doubt, or {DRY_RUN}",
        partly=True,
    )
)
def contain(
    ctx: typer.Context,
    group: Group = None,
    device: Device = None,
    devices: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Whom to block, in this order: an id a line, or CSV with device_id "
            "(default: whom the group is known to have let in).",
        ),
    ] = None,
    slot: Annotated[
        list[SlotName] | None,
        typer.Option(help="What is suspect; may be repeated, or named later (default: at first both slots)."),
    ] = None,
) -> None:
    """Disable the group and block the affected devices, or block one device; asks first. Nothing is removed.

    Says beforehand whom, and how long it takes at 20 requests a second. Those whose certificate comes from a
    suspect CA, by the ledger, go first. Cut short, it is repeated and does what is left.
    """
    breach = _breach(ctx, group, device)
    if devices is not None and device is not None:
        raise typer.BadParameter("--devices goes with --group", ctx)
    session = Session.begin(ctx.command_path, ctx.obj)
    wanted = None if devices is None else _ids(session, devices)
    run = session.run()
    from iotc_admin.workflows.breach.contain import contain as carry_out
    from iotc_admin.workflows.breach.contain import plan_containment

    slots = [slot_of(each) for each in slot] if slot else None
    with session.client() as client:
        planned = plan_containment(
            client, run.ledger, breach, devices=wanted, slots=slots, told=_looking(session, breach)
        )
        _tell_containment(session, planned)
        if session.dry_run:
            _end_dry_run(session, planned)
            return
        if planned.plan.steps:
            ask(f"{containing(planned)}?", yes=session.yes)
        carry_out(planned, client, _author(session, run, client), _counting(session, "blocked"))
        _report(session, client, run, breach)
    if planned.doubtful or planned.missing:
        raise typer.Exit(WAITS)


@app.command(
    epilog=epilog(
        "iotc-admin breach replace --group MyX509Group --primary new_cert.pem",
        "iotc_admin.workflows.breach.replace.replace_certificates(wanted, plan, client, author)",
        three=PROOF_WAITS,
    )
)
def replace(
    ctx: typer.Context,
    group: Group = None,
    device: Device = None,
    primary: Annotated[str | None, typer.Option(metavar="CERT", help="For the primary slot.")] = None,
    primary_key: Annotated[str | None, typer.Option(metavar="KEY", help=KEY_HELP)] = None,
    secondary: Annotated[str | None, typer.Option(metavar="CERT", help="For the secondary slot.")] = None,
    secondary_key: Annotated[str | None, typer.Option(metavar="KEY", help=KEY_HELP)] = None,
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Put new certificates, of new keys only, into the suspect slots; asks first. What is shut stays shut.

    The group must be disabled, or the device blocked. A key that was ever used before is refused. Without
    the CA's key it uploads, prints the code and the next command, and exits 3.
    """
    breach = _breach(ctx, group, device)
    if primary is None and secondary is None:
        raise typer.BadParameter("give --primary, --secondary or both", ctx)
    session = Session.begin(ctx.command_path, ctx.obj)
    run = session.run()
    named = (
        (SlotName.primary, primary, primary_key, key_password_file),
        (SlotName.secondary, secondary, secondary_key, key_password_file),
    )
    from iotc_admin.workflows.breach.replace import Replacement, check_replacement

    authorities = _certificates(session, run, *named) if device else load_authorities(session, run, *named)
    wanted = Replacement(breach, authorities)
    check_replacement(wanted, session.started)
    with session.client() as client:
        codes = _replace(session, client, run, wanted)
        _report(session, client, run, breach)
    for each, code in codes.items():
        session.output.say(next_step(breach.id, each, code))
    if codes:
        raise typer.Exit(WAITS)


@app.command(
    epilog=epilog(
        "iotc-admin breach release --group MyX509Group --enable-group --devices renewed.txt",
        "iotc_admin.workflows.breach.release.release(planned, client, author)",
        three=DRY_RUN,
        partly=True,
    )
)
def release(
    ctx: typer.Context,
    group: Group = None,
    device: Device = None,
    enable_group: Annotated[
        bool, typer.Option("--enable-group", help="Let the group's devices register again.")
    ] = False,
    devices: Annotated[
        str | None, typer.Option(metavar="FILE", help="Whom to unblock, in this order: an id a line, or CSV.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Unblock all whom this breach blocked.")] = False,
    wave: Annotated[int, typer.Option(min=1, max=100_000, help="How many devices at a time.")] = 150,
    pause: Annotated[int, typer.Option(min=0, max=86_400, metavar="SECONDS", help="Between two waves.")] = 60,
    close: Annotated[bool, typer.Option("--close", help="The breach is over: the rest stays out.")] = False,
    false_alarm: Annotated[
        str | None, typer.Option(metavar="REASON", help="Release though nothing suspect was replaced.")
    ] = None,
) -> None:
    """Enable the group and unblock devices, in waves: only what is named here, nothing else; asks first.

    Only devices that this breach has blocked are unblocked. Refused while a suspect certificate is still in
    a slot. IoT Central takes 200 registrations a minute, so 150 devices come back at a time.
    """
    breach = _breach(ctx, group, device)
    _check_release(ctx, device, enable_group, devices, everyone, close, false_alarm)
    session = Session.begin(ctx.command_path, ctx.obj)
    wanted = [breach.id] if device else None if everyone else _ids(session, devices) if devices else []
    from datetime import timedelta

    waves = (wave, timedelta(seconds=pause))
    with session.client() as client:
        _release(
            session, client, breach, wanted, enable_group, waves, (false_alarm or "").strip(), close=close
        )


@app.command(
    epilog=epilog(
        "iotc-admin breach report --group MyX509Group > breach.md",
        "iotc_admin.workflows.breach.report.look_at_breach(client, ledger, breach)",
        three="the breach is open",
    )
)
def report(ctx: typer.Context, group: Group = None, device: Device = None) -> None:
    """The report, as Markdown: time line, thumbprints, devices by how they stand, who did what when.

    With -o json the same for programs. Exits 3 while the breach is open.
    """
    breach = _breach(ctx, group, device)
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.breach.report import look_at_breach

    with session.client() as client:
        seen = look_at_breach(client, session.ledger_if_any(), breach)
    session.output.result(report_document(seen), report_lines(seen))
    if seen.waits:
        raise typer.Exit(WAITS)


def _release(
    session: Session, client: Client, breach: Breach, devices: list[str] | None, enable_group: bool,
    waves: tuple[int, timedelta], false_alarm: str, *, close: bool,
) -> None:  # fmt: skip
    from iotc_admin.workflows.breach.release import close_case, plan_release
    from iotc_admin.workflows.breach.release import release as carry_out

    run, (wave, pause) = session.run(), waves
    planned = plan_release(
        client, run.ledger, breach, devices=devices, enable_group=enable_group, false_alarm=false_alarm,
        wave=wave, pause=pause,
    )  # fmt: skip
    _tell_release(session, planned)
    if session.dry_run:
        _end_dry_run(session, planned)
        return
    if planned.plan.steps:
        ask(f"{releasing(planned)}?", yes=session.yes)
    author = _author(session, run, client)
    carry_out(planned, client, author, _counting(session, "unblocked"), false_alarm=false_alarm)
    if close:
        close_case(client, breach, author)
    _report(session, client, run, breach)


def _breach(ctx: typer.Context, group: str | None, device: str | None) -> Breach:
    if (group is None) == (device is None):
        raise typer.BadParameter("give either --group or --device", ctx)
    from iotc_admin.ledger.breach import Breach

    return Breach("group", group) if group is not None else Breach("device", device or "")


def _check_release(
    ctx: typer.Context, device: str | None, enable_group: bool, devices: str | None, everyone: bool,
    close: bool, false_alarm: str | None,
) -> None:  # fmt: skip
    if device is not None and (enable_group or devices or everyone):
        raise typer.BadParameter("--enable-group, --devices and --all go with --group", ctx)
    if devices is not None and everyone:
        raise typer.BadParameter("give either --devices or --all", ctx)
    if false_alarm is not None and not false_alarm.strip():
        raise typer.BadParameter("--false-alarm needs a reason: it is recorded", ctx)
    if device is None and not (enable_group or devices or everyone or close):
        raise typer.BadParameter(
            "nothing is released unasked: --enable-group, --devices, --all, --close", ctx
        )


def _ids(session: Session, file: str) -> list[str]:
    ids = read_ids(file)
    if not ids:
        session.output.warn(f"{file} names no device")
    return ids


def _looking(session: Session, breach: Breach) -> Callable[[int], None]:
    """Whoever waits for a long look knows that nothing is shut yet, and how to shut it now."""

    def told(requests: int) -> None:
        from iotc_admin.workflows.breach.turning import estimate

        if requests >= _LONG:
            session.output.say(
                f"looking at {counted(requests, 'device')}: about {span(estimate(requests))}, and nothing is "
                f"shut yet; to shut it now: iotc-admin group update {breach.id} --disable"
            )

    return told


def _certificates(
    session: Session, run: Run, *named: tuple[SlotName, str | None, str | None, str | None]
) -> dict[Slot, CertificateAuthority]:
    """The certificates of a device by slot; its keys stay where they are."""
    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.pki.store import load_certificates

    found = {}
    for slot, file, _, _ in named:
        if file is not None:
            certificate = load_certificates(file)[0]
            if not session.dry_run:
                run.saw(certificate, file=file)
            found[slot_of(slot)] = CertificateAuthority(certificate, None)
    return found


def _replace(session: Session, client: Client, run: Run, wanted: Replacement) -> Mapping[Slot, str]:
    from iotc_admin.cli.doing import begin
    from iotc_admin.workflows.breach.replace import plan_replacement, replace_certificates

    planned = plan_replacement(client, run.ledger, wanted)
    for warning in planned.warnings:
        session.output.warn(warning)
    if not begin(session, planned.plan):
        raise typer.Exit
    if planned.plan.steps:
        ask(f"{'; '.join(map(str, planned.plan.steps))}?", yes=session.yes)
    author = _author(session, run, client)
    return replace_certificates(wanted, planned, client, author, telling(session)).codes


def _author(session: Session, run: Run, client: Client) -> Author:
    from iotc_admin.ledger.breach import Author

    return Author(run, session.actor, client.now)


def _counting(session: Session, word: str) -> Callable[[int, int], None]:
    return lambda done, wanted: session.output.say(f"{done} of {wanted} devices {word}")


def _end_dry_run(session: Session, planned: Containment | ReleasePlan) -> None:
    session.output.result(planned.to_json(), [str(step) for step in planned.plan.steps] or ["nothing to do"])
    if planned.plan.steps:
        raise typer.Exit(WAITS)


def _tell_containment(session: Session, planned: Containment) -> None:
    if planned.suspects:
        session.output.say(f"suspect: {suspected(planned)}")
    if planned.blocks:
        count = counted(len(planned.blocks), "device")
        session.output.say(f"{count} to block: about {span(planned.takes)} at 20 requests/s")
    if planned.before:
        session.output.say(f"blocked already, not by this breach: {listed(planned.before)}")
    if planned.unproven:
        session.output.warn(
            f"no certificate in the ledger ties {counted(len(planned.unproven), 'device')} to the group, one "
            f"with keys may have let them in: {listed(planned.unproven)}; to leave them out: --devices FILE"
        )
    if planned.missing:
        session.output.warn(f"there is no such device: {listed(planned.missing)}")
    if planned.doubtful:
        count = counted(len(planned.doubtful), "device")
        session.output.warn(
            f"{count} may come from another group, nobody knows, and left "
            f"alone: {listed(planned.doubtful)}; to block who is affected: --devices FILE"
        )


def _tell_release(session: Session, planned: ReleasePlan) -> None:
    if planned.releases:
        count = counted(len(planned.releases), "device")
        waves = counted(len(planned.waves), "wave")
        session.output.say(f"{count} to unblock in {waves}: about {span(planned.takes)}")
    if planned.others:
        session.output.warn(f"not blocked by this breach, left as they are: {listed(planned.others)}")
    if planned.missing:
        session.output.warn(f"there is no such device any more: {listed(planned.missing)}")
    for warning in planned.warnings:
        session.output.warn(warning)


def _report(session: Session, client: Client, run: Run, breach: Breach) -> None:
    """For programs, what `report` prints; for people, how it stands now."""
    from iotc_admin.workflows.breach.report import look_at_breach

    seen = look_at_breach(client, run.ledger, breach)
    session.output.result(report_document(seen), standing_lines(seen))
    if hint := next_command(seen):
        session.output.say(hint)
