"""The state of all slots as metrics, in the text format of Prometheus, for a textfile collector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from iotc_admin.workflows.status import STATES

if TYPE_CHECKING:
    from iotc_admin.workflows.status import SlotStatus, Status

BEGINNING: Final = b"# HELP iotc_status_timestamp_seconds "

_OF_A_SLOT: Final[tuple[tuple[str, str, Callable[[SlotStatus], float | None]], ...]] = (
    (
        "iotc_certificate_expiry_timestamp_seconds",
        "When the certificate expires.",
        lambda slot: slot.dates.not_after.timestamp() if slot.dates else None,
    ),
    (
        "iotc_certificate_due_timestamp_seconds",
        "From when on the certificate is to be renewed.",
        lambda slot: slot.due_from.timestamp() if slot.due_from else None,
    ),
    (
        "iotc_certificate_due",
        "Whether the certificate is to be renewed by now; an expired one is.",
        lambda slot: slot.due,
    ),
    (
        "iotc_certificate_verified",
        "Whether possession of the key is proved; for the slots of groups.",
        lambda slot: slot.held.verified,
    ),
    (
        "iotc_certificate_managed",
        "Whether the ledger holds the certificate.",
        lambda slot: slot.entry is not None if slot.held.thumbprint else None,
    ),
)


def status_metrics(status: Status) -> str:
    """The whole file. Times are Unix seconds; a slot has no sample of what is not known of it."""
    return "".join(f"{line}\n" for line in _lines(status))


def _lines(status: Status) -> Iterator[str]:
    app = {"app": status.app}
    yield from _family("iotc_status_timestamp_seconds", "When the application was looked at.")
    yield _sample("iotc_status_timestamp_seconds", app, status.at.timestamp())
    yield from _family("iotc_status_waits", "Whether something is due, expired or unverified.")
    yield _sample("iotc_status_waits", app, status.waits)
    yield from _family("iotc_status_slots", "How many slots are in which state.")
    for state in STATES:
        yield _sample("iotc_status_slots", app | {"state": state}, status.count.get(state, 0))
    for name, purpose, value_of in _OF_A_SLOT:
        yield from _family(name, purpose)
        for slot in status.slots:
            if (value := value_of(slot)) is not None:
                yield _sample(name, app | _labels(slot), value)
    yield from _family("iotc_certificate_info", "Which certificate it is.")
    for slot in status.slots:
        if slot.held.thumbprint:
            yield _sample("iotc_certificate_info", app | _labels(slot) | _names(slot), 1)


def _labels(slot: SlotStatus) -> dict[str, str]:
    place = slot.held.place
    return {"kind": place.kind, "id": place.id, "slot": place.slot}


def _names(slot: SlotStatus) -> dict[str, str]:
    subject = slot.entry.subject if slot.entry else ""
    return {"sha1_thumbprint": slot.held.thumbprint, "subject": subject}


def _family(name: str, purpose: str) -> tuple[str, str]:
    return f"# HELP {name} {purpose}", f"# TYPE {name} gauge"


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {int(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
