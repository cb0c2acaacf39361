"""How a breach looks: as a document for programs, as Markdown, and in a few lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iotc_admin.cli.output import day, iso

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from iotc_admin.workflows.breach.contain import Containment
    from iotc_admin.workflows.breach.release import ReleasePlan
    from iotc_admin.workflows.breach.report import Happening, Report, Standing

_NAMED: Final = 50
_FEW: Final = 10


def report_document(report: Report) -> dict[str, Any]:
    """What `breach report -o json` prints."""
    breach = report.case.breach
    return {
        "app": report.app,
        "time": iso(report.at),
        breach.kind: breach.id,
        "open": report.case.closed is None,
        "begun": iso(report.case.begun),
        "closed": report.case.closed and iso(report.case.closed),
        "shut": report.shut,
        "deleted": not report.there,
        "replaced": report.replaced,
        "suspects": [_certificate_document(each) for each in report.suspects],
        "slots": [_certificate_document(each) for each in report.current],
        "devices": {
            standing: {"count": len(devices), "ids": list(devices)}
            for standing, devices in report.devices.items()
        },
        "timeline": [
            {"time": iso(each.at), "what": each.what, "actor": each.actor, **each.details}
            for each in report.timeline
        ],
    }


def report_lines(report: Report) -> Iterator[str]:
    """The report as Markdown."""
    breach = report.case.breach
    yield f"# Breach of {breach.kind} {_text(breach.id)}"
    yield ""
    yield f"Application {report.app}, as it stood on {_moment(report.at)} UTC."
    yield ""
    yield from (f"- {line}" for line in standing_lines(report))
    yield from ("", "## Time line", "", "| time (UTC) | what | who |", "|---|---|---|")
    yield from (
        f"| {_moment(each.at)} | {_text(_what(each))} | {_text(each.actor)} |" for each in report.timeline
    )
    yield from _certificate_table("## Suspect certificates", report.suspects)
    yield from _certificate_table("## In the slots now", report.current)
    yield from ("", "## Devices", "", "| how they stand | number | which |", "|---|---|---|")
    yield from (
        f"| {standing} | {len(devices)} | {_text(_some(devices))} |"
        for standing, devices in report.devices.items()
    )


def standing_lines(report: Report) -> Iterator[str]:
    """How it stands, in a few lines."""
    breach, over = report.case.breach, report.case.closed
    yield f"{breach.id}: {'closed' if over else 'open'} since {over or report.case.begun:%Y-%m-%d %H:%M} UTC"
    if not report.there:
        yield f"the {breach.kind} was deleted"
    elif breach.kind == "group":
        yield f"the group is {'disabled' if report.shut else 'enabled'}"
    else:
        yield f"the device is {'blocked' if report.shut else 'not blocked'}"
    if report.suspects:
        yield f"what was suspect {'is out' if report.replaced else 'still stands in its slot'}"
    if breach.kind == "group":
        counts = [f"{len(devices)} {standing}" for standing, devices in report.devices.items()]
        yield f"devices: {', '.join(counts) or 'none'}"


def containing(planned: Containment) -> str:
    """What is asked before a breach is contained."""
    return _joined(
        f"disable group {planned.breach.id}", planned, f"block {counted(len(planned.blocks), 'device')}"
    )


def releasing(planned: ReleasePlan) -> str:
    """What is asked before something is released."""
    return _joined(
        f"enable group {planned.breach.id}", planned, f"unblock {counted(len(planned.releases), 'device')}"
    )


def _joined(group: str, planned: Containment | ReleasePlan, devices: str) -> str:
    from iotc_admin.workflows.plan import UpdateDevice, UpdateGroup

    kinds = {type(step) for step in planned.plan.steps}
    parts = [group] if UpdateGroup in kinds else []
    return " and ".join(parts + ([devices] if UpdateDevice in kinds else []))


def next_command(report: Report) -> str:
    """What a person does next; empty when the breach is over."""
    option = report.case.breach.option
    if not report.waits:
        return ""
    if not report.replaced:
        slots = " ".join(f"--{each.slot} CERT" for each in report.suspects if each.verified is not None)
        return f"next: iotc-admin breach replace {option} {slots}"
    if report.case.breach.kind == "device":
        return f"next: give the device its new certificate; then: iotc-admin breach release {option}"
    if not report.shut:
        return (
            f"next: the others likewise, with --devices FILE; or: iotc-admin breach release {option} --close"
        )
    return (
        "next: give the devices certificates of the new CA, under their old names; then, for those that have "
        f"them: iotc-admin breach release {option} --enable-group --devices FILE"
    )


def suspected(planned: Containment) -> str:
    """The suspect certificates, by slot."""
    from iotc_admin.workflows.plan import short

    return ", ".join(f"{slot} {short(each)}" for slot, each in planned.suspects.items())


def counted(number: int, what: str) -> str:
    """So many of them, in the right number."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def listed(devices: tuple[str, ...]) -> str:
    """The first few by name, the others by their number."""
    more = len(devices) - _FEW
    return ", ".join(devices[:_FEW]) + (f" and {more} more" if more > 0 else "")


def span(takes: timedelta) -> str:
    """A time for people: hours and minutes, minutes, or seconds."""
    seconds = max(int(takes.total_seconds()), 1)
    hours, minutes = divmod(seconds // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _certificate_document(standing: Standing) -> dict[str, Any]:
    entry = standing.entry
    return {
        "slot": standing.slot,
        "sha1Thumbprint": standing.thumbprint,
        "inSlot": standing.verified is not None,
        "verified": bool(standing.verified),
        "sha256Thumbprint": entry and entry.sha256,
        "subject": entry and entry.subject,
        "notBefore": entry and iso(entry.not_before),
        "notAfter": entry and iso(entry.not_after),
    }


def _certificate_table(title: str, standings: tuple[Standing, ...]) -> Iterator[str]:
    yield from (
        "",
        title,
        "",
        "| slot | SHA-1 | SHA-256 | subject | until | now |",
        "|---|---|---|---|---|---|",
    )
    for each in standings:
        entry = each.entry
        known = (
            (entry.sha256, entry.subject, day(entry.not_after))
            if entry
            else ("unknown", "unknown", "unknown")
        )
        now = "not in a slot" if each.verified is None else "verified" if each.verified else "not verified"
        yield f"| {' | '.join(map(_text, (each.slot, each.thumbprint, *known, now)))} |"


def _what(happening: Happening) -> str:
    details = ", ".join(
        counted(int(each), "device") if name == "devices" else f"{name} {each}"
        for name, each in happening.details.items()
    )
    return f"{happening.what}: {details}" if details else happening.what


def _some(devices: tuple[str, ...]) -> str:
    more = len(devices) - _NAMED
    return ", ".join(devices[:_NAMED]) + (f" and {more} more: -o json names all" if more > 0 else "")


def _moment(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _text(text: str) -> str:
    """Text from elsewhere, without what would end a cell or begin markup."""
    return "".join(f"\\{each}" if each in "|<>[]`*_\\" else each for each in text)
