"""How the roll of a group looks: as documents for programs, as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iotc_admin.cli.output import iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotc_admin.workflows.look import SlotView
    from iotc_admin.workflows.rollover.progress import Progress
    from iotc_admin.workflows.rollover.start import StartPlan

_NAMED: Final = 20
_SAID_ABOVE: Final = ("app", "group", "new", "old", "slot")


def plan_document(planned: StartPlan) -> dict[str, Any]:
    """What `roll plan -o json` prints."""
    return {
        **planned.plan.to_json(),
        "group": planned.roll.id,
        "slot": planned.roll.slot.value,
        "because": planned.because,
        "old": planned.old and planned.old.thumbprint,
        "replaces": planned.replaced and planned.replaced.thumbprint,
        "warnings": list(planned.warnings),
        "successors": list(planned.successors),
    }


def plan_lines(planned: StartPlan) -> Iterator[str]:
    """What `roll plan` prints for people."""
    yield f"the new CA goes into {planned.roll.place}: {planned.because}"
    yield from (f"  {step}" for step in planned.plan.steps)
    if not planned.plan.steps:
        yield "  nothing to do"
    if planned.successors:
        yield "then a successor, under the same name, for:"
        yield from (f"  {each}" for each in planned.successors[:_NAMED])
    if len(planned.successors) > _NAMED:
        yield f"  and {len(planned.successors) - _NAMED} more: -o json names all"


def progress_document(progress: Progress) -> dict[str, Any]:
    """What `roll status -o json` prints."""
    record = progress.roll
    return {
        "group": record.group,
        "state": progress.state.value,
        "slot": record.slot.value,
        "new": _slot_document(record.new, progress.new),
        "old": _slot_document(record.old, progress.old),
        "changed": progress.changed or None,
        "history": [
            {"step": step, "time": iso(event.at), **_details(event.details)}
            for step, event in record.moments.items()
        ],
        "adoption": progress.adoption
        and {
            "devices": len(progress.adoption.standings),
            "adopted": len(progress.adoption.adopted),
            "laggards": [
                {"device": each.device, "state": each.state, "why": each.why}
                for each in progress.adoption.laggards
            ],
        },
        "warnings": list(progress.warnings),
    }


def next_command(progress: Progress) -> str:
    """What a person does next; empty when there is nothing, or when it is said already."""
    group = progress.roll.group
    match progress.state.value:
        case "verified" | "overlapping":
            return (
                "next: give each device a certificate of the new CA, under its old name, and let it "
                f"register; who has: iotc-admin roll status --group {group}"
            )
        case "drained" | "retired":
            return f"next: iotc-admin roll retire --group {group}"
        case _:
            return ""


def _details(details: dict[str, Any]) -> dict[str, Any]:
    return {
        name: each for name, each in details.items() if name not in ("app", "group", "new", "old", "slot")
    }


def _slot_document(thumbprint: str, held: SlotView | None) -> dict[str, Any]:
    there = held if held is not None and held.thumbprint == thumbprint else None
    return {
        "sha1Thumbprint": thumbprint,
        "inSlot": there is not None,
        "verified": there is not None and there.verified,
    }


def progress_lines(progress: Progress) -> Iterator[str]:
    """What `roll status` prints for people."""
    from iotc_admin.workflows.plan import short

    record = progress.roll
    yield f"{record.group}: {progress.state}"
    yield f"  new  {record.slot:9}  {short(record.new)}  {_standing(record.new, progress.new)}"
    yield f"  old  {record.slot.other:9}  {short(record.old)}  {_standing(record.old, progress.old)}"
    if progress.adoption is None:
        return
    left = progress.adoption.laggards
    yield f"  {len(progress.adoption.adopted)} of {len(progress.adoption.standings)} devices have come over"
    yield from (f"  {each.device}: {each.why}" for each in left[:_NAMED])
    if len(left) > _NAMED:
        yield f"  and {len(left) - _NAMED} more: -o json names all"


def _standing(thumbprint: str, held: SlotView | None) -> str:
    if held is None or held.thumbprint != thumbprint:
        return "not in its slot"
    return "verified" if held.verified else "NOT VERIFIED"
