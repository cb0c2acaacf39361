"""A device's half of a roll: try a new certificate without letting go of the old one.

Hides in which order disk, DPS and hub are told, so that a device is never without a certificate that works:
whatever ends a try, `start` after it ends with a certificate that DPS and hub take, if there is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iotc_admin.contract.devices import CertificateProperties
from iotc_admin.device.assignment import Assignment
from iotc_admin.device.endpoint import DPS_HOST, Transport
from iotc_admin.device.generations import Generations
from iotc_admin.device.hub import hub_over
from iotc_admin.device.provisioning import Enrollee
from iotc_admin.device.route import Route
from iotc_admin.device.steps import Step, Steps, nobody
from iotc_admin.errors import (
    IotcError,
    NoAnswer,
    ProvisioningRefused,
    SettingsError,
    UnexpectedAnswer,
)
from iotc_admin.pki.description import sha1_thumbprint

if TYPE_CHECKING:
    from iotc_admin.pki.identity import DeviceIdentity


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a device reaches DPS and its hub, and what time it is. `clock` gives UTC.

    Over MQTT the hub keeps what is reported as properties; over HTTPS it has no place for them, and the
    same values go as telemetry.
    """

    id_scope: str
    clock: Callable[[], datetime]
    dps_host: str = DPS_HOST
    mqtt_port: int | None = None
    transport: Transport = "mqtt"
    model_id: str | None = None
    ca_file: Path | None = None
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    on_step: Callable[[Step], None] = nobody


@dataclass(frozen=True)
class Standing:
    """The identity in use, which DPS and hub have taken. `failure`: why it is not the one that was tried."""

    identity: DeviceIdentity
    assignment: Assignment
    registered: datetime
    failure: IotcError | None = None

    @property
    def again(self) -> bool:
        """Whether the try failed for a reason that passes: the next `start` makes it again."""
        return self.failure is not None and may_pass(self.failure)

    @property
    def properties(self) -> dict[str, Any]:
        """What is reported, as `CertificateProperties` has it."""
        certificate = self.identity.certificate
        return CertificateProperties(
            certificate_thumbprint=sha1_thumbprint(certificate),
            certificate_not_after=certificate.not_valid_after_utc,
            last_registration=self.registered.astimezone(UTC).replace(microsecond=0),
        ).to_wire()


def may_pass(failure: IotcError) -> bool:
    """Whether the same try may succeed later; if not, the certificate itself is not wanted."""
    if isinstance(failure, ProvisioningRefused):
        return failure.transient
    return isinstance(failure, NoAnswer | UnexpectedAnswer)


class Renewal:
    """One device's certificates in `directory`, and its way to DPS and hub.

    All methods raise `ProvisioningRefused`, `NoAnswer` and `UnexpectedAnswer` when no certificate of the
    device is taken; nothing is lost then, and `start` is what to call later.
    """

    def __init__(self, directory: Path | str, way: Way) -> None:
        self._generations = Generations(directory)
        self._way = way
        self._steps = Steps(way.on_step, way.monotonic)
        self._last: Standing | None = None

    @property
    def identity(self) -> DeviceIdentity:
        """The identity in use. SettingsError before `begin`."""
        return self._generations.current

    def begin(self, identity: DeviceIdentity) -> Standing:
        """The device's first identity. SettingsError when it has one."""
        with self._steps.step("keep"):
            self._generations.begin(identity, self._way.clock())
        return self.start()

    def start(self) -> Standing:
        """After power came and on schedule: registers, reports, and makes a try that was cut short again."""
        trying = self._generations.trying
        return self._stand(self.identity) if trying is None else self._try(trying)

    def renew(self, identity: DeviceIdentity) -> Standing:
        """Tries a new identity: it is in use if DPS assigns it and the hub takes it, else the old one stays.

        `PkiError` before anything is changed: expired, without key, or for another device.
        """
        with self._steps.step("keep"):
            self._generations.stage(identity, self._way.clock())
        return self._try(identity)

    def report(self) -> None:
        """Reports at the hub it was assigned to, without registering anew. SettingsError before `start`."""
        if self._last is None:
            raise SettingsError("the device has not registered yet", hint="start() registers")
        self._report(self._route(self._last.identity), self._last)

    def _try(self, identity: DeviceIdentity) -> Standing:
        assigned: list[Assignment] = []
        try:
            standing = self._stand(identity, assigned.append)
        except IotcError as failure:
            # Refused by DPS, it never reached the hub, which then still holds the old thumbprint.
            told = bool(assigned) or not isinstance(failure, ProvisioningRefused)
            return self._fall_back(failure, told=told)
        with self._steps.step("commit"):
            self._generations.commit()
        return standing

    def _fall_back(self, failure: IotcError, *, told: bool) -> Standing:
        standing = self._stand_again() if told else self._still_standing() or self._stand_again()
        if not may_pass(failure):
            with self._steps.step("give up"):
                self._generations.give_up()
        return replace(standing, failure=failure)

    def _still_standing(self) -> Standing | None:
        """The last standing, if the hub still takes it: no registration is spent on what did not change."""
        if self._last is None or self._last.identity != self.identity:
            return None
        try:
            self._report(self._route(self._last.identity), self._last)
        except ProvisioningRefused:
            return None
        return self._last

    def _stand_again(self) -> Standing:
        return self._stand(self.identity)

    def _stand(
        self, identity: DeviceIdentity, assigned: Callable[[Assignment], None] = lambda _: None
    ) -> Standing:
        """Registers with this identity, and has the hub confirm it."""
        route = self._route(identity)
        enrollee = Enrollee.of(identity, self._way.id_scope, None, self._way.model_id)
        found = enrollee.register(route, self._steps, self._way.sleep)
        assigned(found)
        standing = Standing(identity, found, self._way.clock())
        self._report(route, standing)
        self._last = standing
        return standing

    def _report(self, route: Route, standing: Standing) -> None:
        """Only a hub that answers has taken the certificate: a connection alone proves nothing over HTTPS."""
        found, way = standing.assignment, self._way
        with (
            self._steps.step("report"),
            hub_over(route, found.assigned_hub, found.device_id, way.model_id, way.sleep) as hub,
        ):
            hub.report(standing.properties)

    def _route(self, identity: DeviceIdentity) -> Route:
        way = self._way
        return Route.of(
            identity,
            dps_host=way.dps_host,
            mqtt_port=way.mqtt_port,
            transport=way.transport,
            ca_file=way.ca_file,
            monotonic=way.monotonic,
        )
