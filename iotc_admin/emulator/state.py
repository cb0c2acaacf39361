"""All the emulator knows, and how an application begins: its identity, roles and default groups."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from iotc_admin.contract.access import Organization, Role
from iotc_admin.contract.device_groups import DeviceGroup
from iotc_admin.contract.device_templates import DeviceTemplate
from iotc_admin.contract.enrollment_groups import EnrollmentGroup, GroupAttestation
from iotc_admin.emulator.clock import Clock, wall_clock
from iotc_admin.emulator.links import Links
from iotc_admin.emulator.models import PUBLIC_TEMPLATES
from iotc_admin.emulator.records import (
    ApplicationRecord,
    CommandRecord,
    DeviceRecord,
    GroupRecord,
    HubRecord,
    QueuedRecord,
    RegistrationRecord,
    SessionRecord,
    TelemetryRecord,
    TokenRecord,
    fresh_etag,
    fresh_keys,
)
from iotc_admin.emulator.store import Shelf, Store
from iotc_admin.emulator.switches import Switches
from iotc_admin.emulator.tokens import ROLES

if TYPE_CHECKING:
    from pathlib import Path

_APPLICATION = "application"
_DEFAULT_GROUPS = {"SAS-IoT-Devices": "iot", "SAS-IoT-Edge-Devices": "iotEdge"}


class State:
    """One application. Read and write inside `transaction()` only."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        switches: Switches = Switches(),  # noqa: B008 - frozen
        page_size: int = 25,
        retry_after: int = 3,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self.switches = switches
        self.page_size = page_size
        self.retry_after = retry_after
        self.links = Links()
        self._store = Store(path)
        self.transaction = self._store.transaction
        self.close = self._store.close
        self._lay_shelves()
        self._applications = Shelf(self._store, _APPLICATION, ApplicationRecord)
        with self.transaction():
            self.application = self._applications.get(_APPLICATION) or self._found()
        self.clock = Clock(clock, offset=self.application.offset, remember=self._remember_offset)

    def _lay_shelves(self) -> None:
        self.groups = Shelf(self._store, "enrollment group", GroupRecord)
        self.devices = Shelf(self._store, "device", DeviceRecord)
        self.templates = Shelf(self._store, "device template", DeviceTemplate)
        self.device_groups = Shelf(self._store, "device group", DeviceGroup)
        self.organizations = Shelf(self._store, "organization", Organization)
        self.roles = Shelf(self._store, "role", Role)
        self.tokens = Shelf(self._store, "API token", TokenRecord)
        self.registrations = Shelf(self._store, "registration", RegistrationRecord)
        self.hub = Shelf(self._store, "hub device", HubRecord)
        self.telemetry = Shelf(self._store, "telemetry", TelemetryRecord)
        self.sessions = Shelf(self._store, "MQTT session", SessionRecord)
        self.queued = Shelf(self._store, "cloud-to-device message", QueuedRecord)
        self.commands = Shelf(self._store, "command", CommandRecord)

    @property
    def shelves(self) -> tuple[Shelf[Any], ...]:
        """All that clients can fill."""
        return (
            self.groups,
            self.devices,
            self.templates,
            self.device_groups,
            self.organizations,
            self.roles,
            self.tokens,
            self.registrations,
            self.telemetry,
            self.queued,
        )

    def _found(self) -> ApplicationRecord:
        id_scope = f"0ne{secrets.token_hex(4).upper()}"
        application = ApplicationRecord(id=str(uuid4()), id_scope=id_scope, secret=secrets.token_hex(32))
        self._applications.put(_APPLICATION, application)
        for name, kind in _DEFAULT_GROUPS.items():
            attestation = GroupAttestation(type="symmetricKey", symmetric_key=fresh_keys())
            group = EnrollmentGroup(display_name=name, enabled=True, type=kind, attestation=attestation)
            group = group.model_copy(update={"id": name, "etag": fresh_etag()})
            self.groups.put(name, GroupRecord(group=group))
        for role in ROLES:
            self.roles.put(role.id or "", role)
        for template in PUBLIC_TEMPLATES:
            with_etag = template.model_copy(update={"etag": fresh_etag()})
            self.templates.put(template.id or "", with_etag)
        return application

    def _remember_offset(self, offset: timedelta) -> None:
        with self.transaction():
            self.application = self.application.model_copy(update={"offset": offset})
            self._applications.put(_APPLICATION, self.application)
