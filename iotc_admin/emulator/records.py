"""What only the service knows: private records around the models of the wire."""

from __future__ import annotations

import secrets
from base64 import b64encode
from datetime import datetime, timedelta
from json import dumps
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from iotc_admin.contract.access import ApiToken
from iotc_admin.contract.devices import Device, DeviceCommand, Tpm
from iotc_admin.contract.enrollment_groups import EnrollmentGroup, SigningX509Certificate, Slot, SymmetricKey


class Record(BaseModel):
    """Frozen: a change is a new record."""

    model_config = ConfigDict(frozen=True)


class ApplicationRecord(Record):
    """What makes this application this one; `secret` is the root of its devices' symmetric keys."""

    id: str
    id_scope: str
    secret: str = Field(repr=False)
    offset: timedelta = timedelta()


class SlotRecord(Record):
    """A certificate (base64 of DER) in a slot of a group, and the code that waits for its proof."""

    certificate: str
    thumbprint: str
    verified: bool
    etag: str
    changed: datetime
    code: str | None = Field(default=None, repr=False)
    code_since: datetime | None = None


class GroupRecord(Record):
    """A group with its slots; `before` is what slot reads still show when they lag behind."""

    group: EnrollmentGroup
    slots: dict[Slot, SlotRecord] = {}
    before: dict[Slot, SigningX509Certificate] = {}


class AttestationRecord(Record):
    """How one device proves who it is; certificates as base64 of DER."""

    type: str
    certificates: dict[Slot, str] = {}
    symmetric_key: SymmetricKey | None = None
    tpm: Tpm | None = None


class DeviceRecord(Record):
    """A device with its individual enrollment, if it has one."""

    device: Device
    attestation: AttestationRecord | None = None


class RegistrationRecord(Record):
    """What DPS decided about a registration id the last time, to be told from `ready` on."""

    registration_id: str
    operation_id: str
    status: Literal["assigned", "failed", "disabled"]
    created: datetime
    updated: datetime
    ready: datetime
    etag: str
    device_id: str | None = None
    enrollment_group: str | None = None
    thumbprint: str = ""
    signer: str | None = None
    error_code: int | None = None
    error_message: str | None = None


class HubRecord(Record):
    """What the hub keeps of a registered device: the SHA-256 thumbprint it lets in, and the device twin."""

    thumbprint: str
    desired: dict[str, Any] = {}
    reported: dict[str, Any] = {}
    desired_version: int = 1
    reported_version: int = 1


class TelemetryRecord(Record):
    """The last value of one telemetry."""

    value: Any
    timestamp: datetime


class SessionRecord(Record):
    """The subscriptions of an MQTT client, topic filter to QoS, which outlive its connections."""

    subscriptions: dict[str, int] = {}


class QueuedRecord(Record):
    """A cloud-to-device message that waits for its device; payload as base64."""

    device_id: str
    payload: str
    properties: dict[str, str] = {}


class CommandRecord(Record):
    """One run of a command."""

    command: DeviceCommand


class TokenRecord(Record):
    """An API token and the key that signs it: a new token under an old id does not revive the old one."""

    token: ApiToken
    key: str = Field(repr=False)


def fresh_etag() -> str:
    """Opaque, and never seen before: base64 of the two inner etags of the service."""
    inner = {part: f'"{secrets.token_hex(16)}"' for part in ("header", "data")}
    return b64encode(dumps(inner, separators=(",", ":")).encode()).decode()


def fresh_keys() -> SymmetricKey:
    """A pair of random keys."""
    primary, secondary = (b64encode(secrets.token_bytes(64)).decode() for _ in range(2))
    return SymmetricKey(primary_key=primary, secondary_key=secondary)
