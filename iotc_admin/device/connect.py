"""A device's whole way: registration through DPS, the assigned hub, telemetry; each step with its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iotc_admin.device.assignment import Assignment
from iotc_admin.device.endpoint import DPS_HOST, Transport
from iotc_admin.device.hub import Hub, body, hub_over
from iotc_admin.device.provisioning import Enrollee
from iotc_admin.device.route import Route
from iotc_admin.device.steps import Step, Steps, nobody

if TYPE_CHECKING:
    from iotc_admin.pki.identity import DeviceIdentity

__all__ = ["DPS_HOST", "Connected", "Step", "Transport", "connect"]

_NOTHING_SENT: Final = "HTTPS has no connection as such, and there is no telemetry: nothing was sent"


@dataclass(frozen=True)
class Connected:
    """What came of it. `enrollment` is the group's id, "individual", or None when DPS did not tell."""

    registration_id: str
    device_id: str
    assigned_hub: str
    enrollment: str | None
    steps: tuple[Step, ...]


def connect(
    identity: DeviceIdentity,
    *,
    id_scope: str,
    registration_id: str | None = None,
    dps_host: str = DPS_HOST,
    mqtt_port: int | None = None,
    transport: Transport = "https",
    model_id: str | None = None,
    telemetry: Sequence[Mapping[str, object]] = (),
    interval: float = 1.0,
    ca_file: Path | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
    on_step: Callable[[Step], None] = nobody,
) -> Connected:
    """Registers, connects to the assigned hub and sends `telemetry`, `interval` seconds apart.

    An explicit port in `dps_host`, and `mqtt_port`, serve the hub too. `on_step` hears of each step as it
    ends. Raises `ProvisioningRefused`, `NoAnswer` and `UnexpectedAnswer`; `SettingsError` and `PkiError`
    before anything is sent.
    """
    for message in telemetry:
        body(message)
    route = Route.of(
        identity,
        dps_host=dps_host,
        mqtt_port=mqtt_port,
        transport=transport,
        ca_file=ca_file,
        monotonic=monotonic,
    )
    enrollee = Enrollee.of(identity, id_scope, registration_id, model_id)
    steps = Steps(on_step, monotonic)
    found = enrollee.register(route, steps, sleep)
    _visit(
        route,
        found,
        model_id=model_id,
        telemetry=_Telemetry(telemetry, interval),
        steps=steps,
        sleep=sleep,
    )
    return Connected(
        found.registration_id, found.device_id, found.assigned_hub, found.enrollment, tuple(steps.taken)
    )


@dataclass(frozen=True)
class _Telemetry:
    messages: Sequence[Mapping[str, object]]
    interval: float

    def send(self, hub: Hub, sleep: Callable[[float], None]) -> None:
        for count, message in enumerate(self.messages):
            if count and self.interval > 0:
                sleep(self.interval)
            hub.send(message)


def _visit(
    route: Route,
    found: Assignment,
    *,
    model_id: str | None,
    telemetry: _Telemetry,
    steps: Steps,
    sleep: Callable[[float], None],
) -> None:
    with ExitStack() as stack:
        with steps.step("connect") as step:
            hub = stack.enter_context(hub_over(route, found.assigned_hub, found.device_id, model_id, sleep))
            step.outcome = "connected"
            if route.transport == "https":
                step.outcome = "each message is a request of its own" if telemetry.messages else _NOTHING_SENT
        if telemetry.messages:
            with steps.step("telemetry") as step:
                telemetry.send(hub, sleep)
                step.outcome = f"{len(telemetry.messages)} sent"
