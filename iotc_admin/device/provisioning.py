"""Registration: from a certificate to the hub that DPS assigns."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from iotc_admin.device import assignment
from iotc_admin.device.assignment import INDIVIDUAL, Assignment, Pending
from iotc_admin.device.dps import POLL, REGISTER, Registration, open_registration
from iotc_admin.device.endpoint import DPS_HOST, Transport, require_id_scope
from iotc_admin.device.patience import GIVE_UP_AFTER, twice
from iotc_admin.device.route import Route
from iotc_admin.device.steps import Step, Steps, nobody
from iotc_admin.errors import ProvisioningRefused, SettingsError
from iotc_admin.pki.description import common_name
from iotc_admin.pki.names import DEVICE_ID_RULE, fault_of_device_id

if TYPE_CHECKING:
    from iotc_admin.pki.identity import DeviceIdentity


def register(
    identity: DeviceIdentity,
    *,
    id_scope: str,
    registration_id: str | None = None,
    dps_host: str = DPS_HOST,
    mqtt_port: int | None = None,
    transport: Transport = "https",
    model_id: str | None = None,
    ca_file: Path | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
    on_step: Callable[[Step], None] = nobody,
) -> Assignment:
    """The hub assigned to the device; tried twice when a refusal may pass by itself.

    `registration_id` is the certificate's common name unless given. Raises `ProvisioningRefused`, `NoAnswer`
    and `UnexpectedAnswer`; `SettingsError` and `PkiError` before anything is sent.
    """
    route = Route.of(
        identity,
        dps_host=dps_host,
        mqtt_port=mqtt_port,
        transport=transport,
        ca_file=ca_file,
        monotonic=monotonic,
    )
    enrollee = Enrollee.of(identity, id_scope, registration_id, model_id)
    return enrollee.register(route, Steps(on_step, monotonic), sleep)


class Enrollee:
    """Who registers, and with what."""

    def __init__(self, id_scope: str, registration_id: str, model_id: str | None) -> None:
        self.id_scope = require_id_scope(id_scope)
        self.registration_id = registration_id
        self.model_id = model_id

    @classmethod
    def of(
        cls, identity: DeviceIdentity, id_scope: str, registration_id: str | None, model_id: str | None
    ) -> Enrollee:
        """SettingsError for a registration id that cannot be one."""
        name = registration_id if registration_id is not None else common_name(identity.certificate) or ""
        if fault := fault_of_device_id(name):
            raise SettingsError(f"the registration id {name!r} {fault}", hint=DEVICE_ID_RULE)
        return cls(id_scope, name, model_id)

    @property
    def content(self) -> bytes:
        """The register request's body."""
        document: dict[str, object] = {"registrationId": self.registration_id}
        if self.model_id:
            document["payload"] = {"modelId": self.model_id}
        return json.dumps(document).encode()

    def register(self, route: Route, steps: Steps, sleep: Callable[[float], None]) -> Assignment:
        """The assignment over this route."""
        return twice(lambda: self._once(route, steps, sleep), sleep)

    def _once(self, route: Route, steps: Steps, sleep: Callable[[float], None]) -> Assignment:
        with ExitStack() as stack:
            with steps.step("register") as step:
                opening = open_registration(route, self.id_scope, self.registration_id)
                registration = stack.enter_context(opening)
                answer = registration.register(self.content)
                found = assignment.read(answer, self.registration_id, REGISTER)
                step.outcome = "assigning" if isinstance(found, Pending) else _outcome(found)
            if isinstance(found, Assignment):
                return found
            with steps.step("poll") as step:
                found = self._awaited(registration, found, route.monotonic, sleep)
                step.outcome = _outcome(found)
            return found

    def _awaited(
        self,
        registration: Registration,
        found: Assignment | Pending,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> Assignment:
        started, waited = monotonic(), 0.0
        while isinstance(found, Pending):
            # Both: a server may answer slowly, and a clock may stand still.
            if max(waited, monotonic() - started) + found.seconds > GIVE_UP_AFTER:
                raise _never_assigned(self.registration_id)
            sleep(found.seconds)
            waited += found.seconds
            found = assignment.read(registration.poll(found.operation_id), self.registration_id, POLL)
        return found


def _outcome(found: Assignment) -> str:
    by = "its individual enrollment" if found.enrollment == INDIVIDUAL else f"group {found.enrollment}"
    return f"assigned to {found.assigned_hub}" + (f" by {by}" if found.enrollment else "")


def _never_assigned(registration_id: str) -> ProvisioningRefused:
    return ProvisioningRefused(
        f"DPS has not assigned {registration_id} to a hub within {GIVE_UP_AFTER / 60:.0f} minutes",
        error_code="assigning",
        cause="the application's allocation hangs, or no hub is there to be assigned",
        fix="repeat later",
    )
