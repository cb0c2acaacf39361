"""Microsoft's SDK for Python judges the emulator: provisioning, the hub, and each refusal as it tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from iotc_admin import CertificateAuthority, Device, DeviceIdentity, EnrollmentGroupPatch, workflows
from iotc_admin.contract.devices import DeviceCommand, DevicePropertiesPatch

from .outsider import Event, Outsider

if TYPE_CHECKING:
    from .world import Needed, World

Identify = Callable[["World", str], DeviceIdentity]

MODEL = "dtmi:com:example:Pump;1"


@pytest.fixture(scope="module")
def pump(mqtt_world: World, python_sdk: Needed) -> Iterator[Outsider]:
    """A device that is connected and listens."""
    with mqtt_world.device(python_sdk, mqtt_world.leaf("pump")) as device:
        device.connects(mqtt_world.emulator, "pump")
        device.does("listen", "listening")
        yield device


def by_group(world: World, device: str) -> DeviceIdentity:
    return world.leaf(device)


def by_intermediate(world: World, device: str) -> DeviceIdentity:
    return world.leaf(device, world.line)


def by_thumbprint(world: World, device: str) -> DeviceIdentity:
    identity = world.self_signed(device)
    world.enroll_individually(device, identity)
    return identity


def by_thumbprint_though_signed(world: World, device: str) -> DeviceIdentity:
    identity = world.leaf(device, world.stranger)
    world.enroll_individually(device, identity)
    return identity


def blocked(world: World, device: str) -> DeviceIdentity:
    world.client.devices.create(device, Device(display_name=device, enabled=False))
    return world.leaf(device)


def of_a_disabled_group(world: World, device: str) -> DeviceIdentity:
    closed = CertificateAuthority.create("closed", now=world.now)
    workflows.enroll_group(world.client, "closed", primary=closed)
    world.client.enrollment_groups.update("closed", EnrollmentGroupPatch(enabled=False))
    return world.leaf(device, closed)


# Whether they send their chain; an SDK that registers waits two seconds, so all of them do it at once.
ARRIVING: dict[Identify, bool] = {
    by_group: False,
    by_intermediate: True,
    by_thumbprint: False,
    by_thumbprint_though_signed: True,
    blocked: True,
    of_a_disabled_group: False,
}


@pytest.fixture(scope="module")
def arriving(mqtt_world: World, python_sdk: Needed) -> Iterator[dict[Identify, Outsider]]:
    """Devices that were asked to register, and have not told yet what came of it."""
    with ExitStack() as stack:
        devices = {}
        for identify, chain in ARRIVING.items():
            name = identify.__name__
            device = mqtt_world.device(python_sdk, identify(mqtt_world, name), chain=chain)
            devices[identify] = stack.enter_context(device)
            scope = mqtt_world.emulator.id_scope
            device.asked("register", host="localhost", scope=scope, registration=name)
        yield devices


@pytest.mark.parametrize("identify", [by_group, by_intermediate, by_thumbprint, by_thumbprint_though_signed])
def test_a_device_registers_connects_and_sends(
    mqtt_world: World, arriving: dict[Identify, Outsider], identify: Identify
) -> None:
    name, device = identify.__name__, arriving[identify]
    assigned = device.tells("registered")
    assert (assigned["status"], assigned["device"]) == ("assigned", name)
    assert assigned["substatus"] == "initialAssignment"
    device.does("connect", "connected", hub=assigned["hub"], device=name)
    device.does("send", "sent", payload={"temperature": 21.5})

    assert name in mqtt_world.emulator.control.connected
    assert mqtt_world.client.devices.get(name).provisioned is True
    assert mqtt_world.client.devices.telemetry(name, "temperature").value == 21.5


@pytest.mark.parametrize(
    ("identify", "why"),
    [
        (blocked, "failed registration status with a status code of 200"),
        (of_a_disabled_group, "invalid registration status disabled"),
    ],
)
def test_a_device_that_is_not_wanted_is_told_by_its_status(
    arriving: dict[Identify, Outsider], identify: Identify, why: str
) -> None:
    refusal = arriving[identify].tells("refused")

    assert refusal["errors"] == ["ClientError", "ServiceError"]
    assert why in refusal["texts"][-1]


def test_telemetry_arrives_with_its_component_and_properties(mqtt_world: World, pump: Outsider) -> None:
    pump.does("send", "sent", payload={"rpm": 900}, component="motor", properties={"line": "3 & 4 = ü"})

    message = mqtt_world.emulator.control.messages("pump")[-1]
    assert (message.payload, message.component) == (b'{"rpm": 900}', "motor")
    assert message.properties["line"] == "3 & 4 = ü"
    assert message.properties["$.ct"] == "application/json"
    assert mqtt_world.client.devices.telemetry("pump", "rpm", component="motor").value == 900


def test_a_twin_is_read_reported_and_desired(mqtt_world: World, pump: Outsider) -> None:
    pump.does("report", "reported", properties={"firmware": "1.0", "motor": {"__t": "c", "rpm": 900}})
    mqtt_world.client.devices.update_properties(
        "pump", DevicePropertiesPatch.model_validate({"targetTemperature": 22})
    )
    patch = pump.tells("desired")["patch"]
    twin = pump.does("twin", "twin")

    assert patch["targetTemperature"] == twin["desired"]["targetTemperature"] == 22
    assert patch["$version"] == twin["desired"]["$version"]
    assert twin["reported"]["firmware"] == "1.0"
    shown = mqtt_world.client.devices.properties("pump").model_dump()
    assert (shown["firmware"], shown["motor"]["rpm"]) == ("1.0", 900)


def run(world: World, name: str, request: object, component: str | None = None) -> object:
    """What a device answers to a command."""
    asked = DeviceCommand(request=request)
    answer = world.client.devices.run_command("pump", name, asked, component=component)
    assert answer.response_code == 200
    return answer.response


def test_commands_are_methods_of_the_device(mqtt_world: World, pump: Outsider) -> None:
    assert run(mqtt_world, "blink", {"times": 3}) == {"echo": {"times": 3}}
    assert run(mqtt_world, "stop", "now", component="motor") == {"echo": "now"}

    assert [pump.tells("method")["name"] for _ in range(2)] == ["blink", "motor*stop"]


def test_messages_reach_the_device(mqtt_world: World, pump: Outsider) -> None:
    mqtt_world.emulator.control.cloud_to_device("pump", "grüße".encode(), {"colour": "red & blue"})

    message = pump.tells("message")
    assert (message["payload"], message["properties"]) == ("grüße", {"colour": "red & blue"})


def test_subscriptions_outlive_a_dropped_connection(mqtt_world: World, pump: Outsider) -> None:
    while pump.tells("line")["up"] is not True:
        pass
    mqtt_world.emulator.control.disconnect("pump")
    assert [pump.tells("line")["up"] for _ in range(2)] == [False, True]

    # This SDK never subscribes again: it relies on the server's memory.
    assert run(mqtt_world, "blink", {"times": 1}) == {"echo": {"times": 1}}
    mqtt_world.emulator.control.cloud_to_device("pump", b"again", {})
    assert pump.tells("message")["payload"] == "again"
    mqtt_world.client.devices.update_properties(
        "pump", DevicePropertiesPatch.model_validate({"targetTemperature": 23})
    )
    assert pump.tells("desired")["patch"]["targetTemperature"] == 23
    pump.does("send", "sent", payload={"temperature": 23.5})
    assert pump.does("twin", "twin")["desired"]["targetTemperature"] == 23


def test_what_changed_while_a_device_was_away_reaches_it_afterwards(
    mqtt_world: World, python_sdk: Needed
) -> None:
    identity = mqtt_world.leaf("away")
    with mqtt_world.device(python_sdk, identity) as device:
        device.connects(mqtt_world.emulator, "away")
        device.does("listen", "listening")
        device.does("close", "closed")
    mqtt_world.emulator.control.cloud_to_device("away", b"while you slept", {})
    with mqtt_world.device(python_sdk, identity) as device:
        device.does("connect", "connected", hub="localhost", device="away", model=MODEL, listening=True)

        assert device.tells("message")["payload"] == "while you slept"


def test_a_device_behind_a_firewall_uses_websockets(https_world: World, python_sdk: Needed) -> None:
    with https_world.device(python_sdk, https_world.leaf("inside")) as device:
        device.connects(https_world.emulator, "inside", over="websocket")
        device.does("send", "sent", payload={"temperature": 21.5})

        assert device.does("twin", "twin")["reported"] == {"$version": 1}
    assert https_world.client.devices.telemetry("inside", "temperature").value == 21.5


def refused(world: World, device: Outsider, registration: str, scope: str | None = None) -> Event:
    return device.does(
        "register",
        "refused",
        host="localhost",
        scope=scope or world.emulator.id_scope,
        registration=registration,
    )


@pytest.mark.parametrize(
    ("identity", "chain", "why"),
    [
        (lambda world: world.expired("sick"), True, "Invalid certificate"),
        (lambda world: world.leaf("sick", world.stranger), False, "CA certificate not found"),
        (lambda world: world.leaf("sick", world.stranger), True, "did not match chain elements"),
        (lambda world: world.leaf("else"), True, "Invalid certificate"),
        (lambda world: world.self_signed("sick"), False, "CA certificate not found"),
        (lambda world: world.leaf("sick", world.line), False, "CA certificate not found"),
    ],
    ids=["expired", "unknown CA", "unknown CA's chain", "wrong CN", "self-signed", "missing intermediate"],
)
def test_a_certificate_that_is_good_for_nothing_is_unauthorized(
    mqtt_world: World,
    python_sdk: Needed,
    identity: Callable[[World], DeviceIdentity],
    chain: bool,
    why: str,
) -> None:
    with mqtt_world.device(python_sdk, identity(mqtt_world), chain=chain) as device:
        refusal = refused(mqtt_world, device, "sick")

    assert refusal["errors"] == ["ClientError", "ServiceError"]
    assert refusal["texts"][-1] == "register request returned a service error status code 401"
    assert '"errorCode": 401002' in refusal["bodies"][-1]
    assert why in refusal["bodies"][-1]


def test_an_unknown_scope_is_not_found(mqtt_world: World, python_sdk: Needed) -> None:
    with mqtt_world.device(python_sdk, mqtt_world.leaf("lost")) as device:
        refusal = refused(mqtt_world, device, "lost", scope="0ne0FFFFFFF")

    assert refusal["errors"] == ["ClientError", "ServiceError"]
    assert refusal["texts"][-1].endswith("status code 404")


@pytest.mark.parametrize(("operation", "status"), [("DPS_Register", 429), ("DPS_Status", 503)])
def test_a_device_that_is_told_to_wait_comes_back(
    mqtt_world: World, python_sdk: Needed, operation: str, status: int
) -> None:
    control = mqtt_world.emulator.control
    control.clear_requests()
    control.fault(kind="status", match=operation, status=status)
    with mqtt_world.device(python_sdk, mqtt_world.leaf("patient")) as device:
        assert device.registers(mqtt_world.emulator, "patient")["status"] == "assigned"

    assert status in [each.status for each in control.requests if each.operation == operation]


def test_a_refused_status_ends_the_registration(mqtt_world: World, python_sdk: Needed) -> None:
    mqtt_world.emulator.control.fault(kind="status", match="DPS_Status", status=401)
    with mqtt_world.device(python_sdk, mqtt_world.leaf("halfway")) as device:
        refusal = refused(mqtt_world, device, "halfway")

    assert refusal["errors"] == ["ClientError", "ServiceError"]
    assert refusal["texts"][-1] == "query request returned a service error status code 401"


def connects_in_vain(device: Outsider, name: str) -> None:
    refusal = device.does("connect", "refused", hub="localhost", device=name)
    assert refusal["errors"][0] == "CredentialError"


def test_the_hub_knows_a_renewed_certificate_only_after_registration(
    mqtt_world: World, python_sdk: Needed
) -> None:
    before, after = mqtt_world.leaf("renewed"), mqtt_world.leaf("renewed")
    with mqtt_world.device(python_sdk, before) as device:
        connects_in_vain(device, "renewed")
        device.connects(mqtt_world.emulator, "renewed")
        device.does("close", "closed")
    with mqtt_world.device(python_sdk, after) as device:
        connects_in_vain(device, "renewed")
        device.connects(mqtt_world.emulator, "renewed")
        device.does("close", "closed")
    with mqtt_world.device(python_sdk, before) as device:
        connects_in_vain(device, "renewed")


def test_a_device_that_is_blocked_while_connected_is_cut_off(mqtt_world: World, python_sdk: Needed) -> None:
    with mqtt_world.device(python_sdk, mqtt_world.leaf("caught")) as device:
        device.connects(mqtt_world.emulator, "caught")
        assert device.tells("line")["up"] is True
        mqtt_world.client.devices.update("caught", Device(enabled=False))

        assert device.tells("line")["up"] is False
        # It comes back at once, is refused, and gives up.
        while "UnauthorizedError" not in device.tells("background")["errors"]:
            pass
