"""The hub: lets registered devices in, keeps their twins and what they send. No sockets.

It asks for the thumbprint stored at registration and for dates, and for nothing else: a CA that was removed
cuts nobody off, and a new certificate is a stranger until it is registered.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.emulator.merging import merge_patch
from iotc_admin.emulator.records import HubRecord, QueuedRecord, TelemetryRecord
from iotc_admin.pki.description import sha256_thumbprint

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from iotc_admin.emulator.state import State

LARGEST_MESSAGE: Final = 256 * 1024
LARGEST_TWIN: Final = 32 * 1024
DEEPEST: Final = 10
"""How deep objects and lists may be nested in a twin, and in telemetry of which the last value is kept."""
SEPARATOR: Final = "\n"
"""Between the parts of an id in the store; no id that travels in a path or a topic holds it."""

_COMPONENT: Final = "$.sub"


class NotLetIn(Exception):
    """The hub does not take this device with this certificate."""


@dataclass(frozen=True)
class Message:
    """One message of a device. `component` is empty for the device itself."""

    device_id: str
    payload: bytes = field(repr=False)
    properties: Mapping[str, str]
    component: str
    arrived: datetime


def require_let_in(state: State, device_id: str, chain: tuple[x509.Certificate, ...]) -> None:
    """NotLetIn unless it is registered with this very certificate, which is valid now, and not blocked."""
    device, registered = state.devices.get(device_id), state.hub.get(device_id)
    if not chain or device is None or registered is None or device.device.enabled is False:
        raise NotLetIn
    leaf, now = chain[0], state.clock.now()
    if sha256_thumbprint(leaf) != registered.thumbprint:
        raise NotLetIn
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise NotLetIn


def take_telemetry(state: State, device_id: str, payload: bytes, properties: Mapping[str, str]) -> Message:
    """Keeps the last value of everything that a JSON object names; other payloads are just messages."""
    now, component = state.clock.now(), properties.get(_COMPONENT, "")
    for name, value in _named_values(payload).items():
        if deeper_than(DEEPEST, value) or not is_text([component, name, value]):
            continue
        record = TelemetryRecord(value=value, timestamp=now)
        state.telemetry.put(SEPARATOR.join((device_id, component, name)), record)
    return Message(device_id, payload, dict(properties), component, now)


def twin_of(state: State, device_id: str) -> HubRecord:
    """The twin of a device; an empty one before its first registration."""
    return state.hub.get(device_id) or HubRecord(thumbprint="")


def report(state: State, device_id: str, patch: Mapping[str, Any]) -> int:
    """Merges what a device reports; the new version. ValueError when the twin would become too large."""
    twin = twin_of(state, device_id)
    reported = _merged(twin.reported, patch)
    update = {"reported": reported, "reported_version": twin.reported_version + 1}
    state.hub.put(device_id, twin.model_copy(update=update))
    return twin.reported_version + 1


def desire(state: State, device_id: str, patch: Mapping[str, Any]) -> None:
    """Merges what a device shall be, and tells the device if it listens."""
    twin = twin_of(state, device_id)
    version = twin.desired_version + 1
    desired = _merged(twin.desired, patch)
    state.hub.put(device_id, twin.model_copy(update={"desired": desired, "desired_version": version}))
    session = state.links.find(device_id)
    if session is not None:
        session.tell_desired({**patch, "$version": version})


def queue(state: State, device_id: str, payload: bytes, properties: Mapping[str, str]) -> None:
    """Keeps a cloud-to-device message behind those that wait already."""
    waiting = [id_ for id_, _ in state.queued.below(device_id + SEPARATOR)]
    number = int(waiting[-1].rpartition(SEPARATOR)[2]) + 1 if waiting else 1
    record = QueuedRecord(
        device_id=device_id, payload=b64encode(payload).decode(), properties=dict(properties)
    )
    state.queued.put(f"{device_id}{SEPARATOR}{number:012}", record)


def forget(state: State, device_id: str) -> None:
    """All that the hub has of a device that was deleted."""
    prefix = device_id + SEPARATOR
    state.hub.delete(device_id)
    state.sessions.delete(device_id)
    for shelf in (state.telemetry, state.queued, state.commands):
        shelf.delete_below(prefix)
    state.registrations.delete(device_id.lower())
    state.links.drop(device_id)


def _merged(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    after: dict[str, Any] = merge_patch(dict(before), dict(patch))
    if len(json.dumps(after)) > LARGEST_TWIN:
        message = "the twin would be larger than 32 KB"
        raise ValueError(message)
    if not is_text(after):
        message = "the twin would hold what is no Unicode text"
        raise ValueError(message)
    if deeper_than(DEEPEST, after):
        message = f"the twin would be nested deeper than {DEEPEST} levels"
        raise ValueError(message)
    return after


def is_text(value: Any) -> bool:
    """Whether all text in a JSON value can be written as UTF-8: halves of surrogate pairs cannot."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def deeper_than(levels: int, value: Any) -> bool:
    """Whether a JSON value nests objects and lists in more levels than these."""
    layer = [value]
    for _ in range(levels):
        inner = (each for each in layer if isinstance(each, dict | list))
        layer = [below for each in inner for below in (each.values() if isinstance(each, dict) else each)]
    return any(isinstance(each, dict | list) for each in layer)


def _named_values(payload: bytes) -> dict[str, Any]:
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
