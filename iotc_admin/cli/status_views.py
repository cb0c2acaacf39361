"""How the state of all slots looks: as a document for programs, as a table for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from iotc_admin.cli.output import day, iso, plain

if TYPE_CHECKING:
    from iotc_admin.workflows.status import SlotStatus, Status

Line: TypeAlias = Sequence[tuple[str, str]]

COLOURS: Final = {
    "expired": "bold red", "due": "bold yellow", "unverified": "bold red", "ok": "green", "empty": "dim"
}  # fmt: skip
_REMARK: Final = "cyan"
_WIDTH: Final = 80
_INDENT: Final = " " * 12
_HINTS: Final = 3


def status_document(status: Status) -> dict[str, Any]:
    """What `status -o json` prints. `waits` is what exit code 3 says."""
    from iotc_admin.workflows.status import STATES

    return {
        "app": status.app,
        "time": iso(status.at),
        "waits": status.waits,
        "count": {state: status.count.get(state, 0) for state in STATES},
        "slots": [_slot_document(each) for each in status.slots],
        "groupsWithoutCertificates": list(status.others),
    }


def _slot_document(slot: SlotStatus) -> dict[str, Any]:
    held, entry = slot.held, slot.entry
    return {
        "group": held.place.id if held.place.kind == "group" else None,
        "device": held.place.id if held.place.kind == "device" else None,
        "displayName": held.display_name,
        "enabled": held.enabled,
        "slot": held.place.slot or None,
        "sha1Thumbprint": held.thumbprint or None,
        "verified": held.verified,
        "state": slot.state,
        "subject": entry and entry.subject,
        "issuer": entry and entry.issuer,
        "notBefore": slot.dates and iso(slot.dates.not_before),
        "notAfter": slot.dates and iso(slot.dates.not_after),
        "dueFrom": slot.due_from and iso(slot.due_from),
        "daysLeft": slot.days_left,
        "due": slot.due,
        "sha256Thumbprint": entry and entry.sha256,
        "findings": [
            {"kind": each.kind, "message": each.message, "hint": each.hint} for each in slot.findings
        ],
    }


def verdict(status: Status) -> str:
    """The whole of it in one sentence."""
    filled = sum(1 for each in status.slots if each.held.thumbprint)
    if not filled:
        return "no slot holds a certificate"
    waiting = sum(1 for each in status.slots if each.waits)
    noun = "certificate" if filled == 1 else "certificates"
    if waiting:
        return f"{waiting} of {filled} {noun} {'waits' if waiting == 1 else 'wait'} for a person"
    unknown = sum(1 for each in status.slots if each.held.thumbprint and each.entry is None)
    if unknown:
        return f"nothing waits, but {unknown} of {filled} {noun} {'is' if unknown == 1 else 'are'} unmanaged"
    return f"nothing waits: {filled} {noun}"


def status_lines(status: Status) -> Iterator[Line]:
    """What `status` prints for people, within 80 columns where names are not long."""
    if status.slots:
        yield _row("STATE", "SLOT", "", "EXPIRES", "DAYS", style="bold")
    for slot in status.slots:
        yield from _slot_lines(slot)
    hints = list(_hints(status))
    if hints:
        yield [("", "")]
    yield from hints
    if status.slots:
        yield [("", "")]
    yield [(f"{verdict(status)} ({status.at:%Y-%m-%d %H:%M} UTC)", "bold")]
    if status.others:
        yield [(f"without certificates: {', '.join(status.others)}", "dim")]


def _row(state: str, slot: str, proof: str, expires: str, left: str, *, style: str) -> Line:
    plain_part = f"  {slot:<34}  {proof:<12}  {expires:<10}  {left:>6}"
    return [(f"{state:<10}", style), (plain_part, "bold" if state.isupper() else "")]


def _slot_lines(slot: SlotStatus) -> Iterator[Line]:
    held, style = slot.held, COLOURS.get(slot.state, _REMARK)
    proof = {True: "verified", False: "NOT VERIFIED", None: ""}[held.verified]
    ends = day(slot.dates.not_after) if slot.dates else "unknown" if held.thumbprint else ""
    left = "" if slot.days_left is None else str(slot.days_left)
    yield _row(slot.state, _where(slot), proof, ends, left, style=style)
    if held.thumbprint:
        yield from _certificate_lines(slot)
        yield from ([(_INDENT + about, "dim")] for about in _about(slot))
    for finding in slot.findings:
        yield from ([(line, style)] for line in _wrapped(finding.message))


def _where(slot: SlotStatus) -> str:
    place = slot.held.place
    return str(place) if place.slot else f"{place.id} (by its group)"


def _certificate_lines(slot: SlotStatus) -> Iterator[Line]:
    line = _INDENT + slot.held.thumbprint
    subject = slot.entry.subject if slot.entry else ""
    if len(line) + 2 + len(subject) <= _WIDTH:
        yield [(f"{line}  {subject}", "")]
        return
    yield [(line, "")]
    yield [(_INDENT + subject, "")]


def _about(slot: SlotStatus) -> list[str]:
    held = slot.held
    name = [] if held.display_name in ("", held.place.id) else [held.display_name]
    off = "disabled" if held.place.kind == "group" else "blocked"
    words = name + ([] if held.enabled else [off])
    return [", ".join(words)] if words else []


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        # What steers a terminal, line ends included, is made visible before lines are counted.
        plain(text),
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _hints(status: Status) -> Iterator[Line]:
    """What to do, each advice once; of many alike a few."""
    by_kind: dict[str, dict[str, None]] = {}
    for slot in status.slots:
        for finding in slot.findings:
            by_kind.setdefault(finding.kind, {})[finding.hint] = None
    for kind, hints in by_kind.items():
        for hint in list(hints)[:_HINTS]:
            yield [("hint: ", "bold"), (hint, "")]
        if (more := len(hints) - _HINTS) > 0:
            yield [(f"      and {more} more like it ({kind}): -o json has them all", "dim")]
