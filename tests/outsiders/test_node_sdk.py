"""Microsoft's SDK for Node judges the emulator: provisioning over MQTT and HTTP, the hub, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from iotc_admin import CertificateAuthority, Device, DeviceIdentity, EnrollmentGroupPatch, workflows
from iotc_admin.contract.devices import DeviceCommand, DevicePropertiesPatch

from .outsider import Event, Outsider

if TYPE_CHECKING:
    from .world import Needed, World


# Over HTTP there is no other port than 443.
HTTP = {"host": "localhost", "over": "http"}


def connects(world: World, device: Outsider, name: str) -> None:
    """Over DPS to the hub; this SDK takes a port with the host."""
    device.registers(world.emulator, name, host(world))
    device.does("connect", "connected", hub=host(world), device=name)


def host(world: World) -> str:
    return f"localhost:{world.emulator.mqtt_port}"


@pytest.fixture(scope="module")
def pump(world: World, node_sdk: Needed) -> Iterator[Outsider]:
    """A device that is connected and listens."""
    with world.device(node_sdk, world.leaf("pump")) as device:
        connects(world, device, "pump")
        device.does("listen", "listening", methods=["blink", "motor*stop"])
        # The SDK makes the first one of the twin as it is.
        device.tells("desired")
        assert device.tells("line")["up"] is True
        yield device


def by_group(world: World, device: str) -> DeviceIdentity:
    return world.leaf(device)


def by_intermediate(world: World, device: str) -> DeviceIdentity:
    return world.leaf(device, world.line)


def by_thumbprint(world: World, device: str) -> DeviceIdentity:
    identity = world.self_signed(device)
    world.enroll_individually(device, identity)
    return identity


@pytest.mark.parametrize(
    ("identify", "chain"), [(by_group, False), (by_intermediate, True), (by_thumbprint, False)]
)
def test_a_device_registers_connects_and_sends(
    world: World, node_sdk: Needed, identify: Callable[[World, str], DeviceIdentity], chain: bool
) -> None:
    name = identify.__name__
    with world.device(node_sdk, identify(world, name), chain=chain) as device:
        assigned = device.registers(world.emulator, name, host(world))
        assert (assigned["status"], assigned["hub"], assigned["device"]) == ("assigned", "localhost", name)
        device.does("connect", "connected", hub=host(world), device=name)
        device.does("send", "sent", payload={"temperature": 21.5})
        device.does("close", "closed")

    assert world.client.devices.get(name).provisioned is True
    assert world.client.devices.telemetry(name, "temperature").value == 21.5


def test_telemetry_arrives_with_its_component_and_properties(world: World, pump: Outsider) -> None:
    pump.does("send", "sent", payload={"rpm": 900}, component="motor", properties={"line": "3 & 4 = ü"})

    message = world.emulator.control.messages("pump")[-1]
    assert (message.payload, message.component) == (b'{"rpm":900}', "motor")
    assert message.properties["line"] == "3 & 4 = ü"
    assert message.properties["$.ct"] == "application/json"
    assert world.client.devices.telemetry("pump", "rpm", component="motor").value == 900


def desire(world: World, **properties: object) -> None:
    patch = DevicePropertiesPatch.model_validate(properties)
    world.client.devices.update_properties("pump", patch)


def test_a_twin_is_read_reported_and_desired(world: World, pump: Outsider) -> None:
    pump.does("report", "reported", properties={"firmware": "1.0"})
    desire(world, targetTemperature=22)

    assert pump.tells("desired")["patch"]["targetTemperature"] == 22
    twin = pump.does("twin", "twin")
    assert twin["desired"]["targetTemperature"] == 22
    assert twin["reported"]["firmware"] == "1.0"
    assert world.client.devices.properties("pump").model_dump()["firmware"] == "1.0"


def run(world: World, name: str, request: object, component: str | None = None) -> object:
    """What a device answers to a command."""
    asked = DeviceCommand(request=request, connection_timeout=10)
    answer = world.client.devices.run_command("pump", name, asked, component=component)
    assert answer.response_code == 200
    return answer.response


def test_commands_are_methods_of_the_device(world: World, pump: Outsider) -> None:
    assert run(world, "blink", {"times": 3}) == {"echo": {"times": 3}}
    assert run(world, "stop", "now", component="motor") == {"echo": "now"}


def test_messages_reach_the_device(world: World, pump: Outsider) -> None:
    world.emulator.control.cloud_to_device("pump", "grüße".encode(), {"colour": "red & blue"})

    message = pump.tells("message")
    assert message["payload"] == "grüße"
    assert message["properties"]["colour"] == "red & blue"


def test_subscriptions_outlive_a_dropped_connection(world: World, pump: Outsider) -> None:
    # Nothing is on its way any more: a reset in mid-sentence makes this SDK give up.
    pump.does("twin", "twin")
    world.emulator.control.disconnect("pump")
    assert pump.tells("line")["up"] is True

    assert run(world, "blink", {"times": 1}) == {"echo": {"times": 1}}
    world.emulator.control.cloud_to_device("pump", b"again", {})
    assert pump.tells("message")["payload"] == "again"
    pump.does("send", "sent", payload={"temperature": 23.5})
    # This SDK does not subscribe to the topics of the twin again.
    desire(world, targetTemperature=24)
    while pump.tells("desired")["patch"].get("targetTemperature") != 24:
        pass
    assert pump.does("twin", "twin")["desired"]["targetTemperature"] == 24


def refused(world: World, device: Outsider, registration: str, scope: str | None = None, **how: str) -> Event:
    asked = {"host": host(world), "scope": scope or world.emulator.id_scope, **how}
    return device.does("register", "refused", registration=registration, **asked)


@pytest.mark.parametrize(
    ("identity", "chain", "why"),
    [
        (lambda world: world.expired("sick"), True, "Invalid certificate"),
        (lambda world: world.leaf("sick", world.stranger), True, "did not match chain elements"),
        (lambda world: world.leaf("else"), True, "Invalid certificate"),
        (lambda world: world.self_signed("sick"), False, "CA certificate not found"),
        (lambda world: world.leaf("sick", world.line), False, "CA certificate not found"),
    ],
    ids=["expired", "unknown CA", "wrong CN", "self-signed", "missing intermediate"],
)
def test_a_certificate_that_is_good_for_nothing_is_unauthorized(
    world: World, node_sdk: Needed, identity: Callable[[World], DeviceIdentity], chain: bool, why: str
) -> None:
    with world.device(node_sdk, identity(world), chain=chain) as device:
        refusal = refused(world, device, "sick")

    assert refusal["errors"] == ["UnauthorizedError"]
    body = json.loads(refusal["bodies"][0])
    assert body["errorCode"] == 401002
    assert why in body["message"]


def test_an_unknown_scope_is_not_found(world: World, node_sdk: Needed) -> None:
    with world.device(node_sdk, world.leaf("lost")) as device:
        assert refused(world, device, "lost", scope="0ne0FFFFFFF")["errors"] == ["DeviceNotFoundError"]


def test_a_blocked_device_fails_to_register(world: World, node_sdk: Needed) -> None:
    world.client.devices.create("blocked", Device(display_name="blocked", enabled=False))
    with world.device(node_sdk, world.leaf("blocked")) as device:
        refusal = refused(world, device, "blocked")

    assert refusal["errors"] == ["ProvisioningRegistrationFailedError"]
    body = json.loads(refusal["bodies"][0])
    assert (body["status"], body["registrationState"]["errorCode"]) == ("failed", 400209)


def test_a_disabled_group_lets_nobody_in(world: World, node_sdk: Needed) -> None:
    closed = CertificateAuthority.create("closed", now=world.now)
    workflows.enroll_group(world.client, "closed", primary=closed)
    world.client.enrollment_groups.update("closed", EnrollmentGroupPatch(enabled=False))
    with world.device(node_sdk, world.leaf("shut-out", closed)) as device:
        refusal = refused(world, device, "shut-out")

    assert (refusal["errors"], refusal["texts"]) == (["SyntaxError"], ["status is disabled"])


@pytest.mark.parametrize(("operation", "status"), [("DPS_Register", 503), ("DPS_Status", 429)])
def test_a_device_that_is_told_to_wait_comes_back(
    world: World, node_sdk: Needed, operation: str, status: int
) -> None:
    control = world.emulator.control
    control.clear_requests()
    control.fault(kind="status", match=operation, status=status)
    with world.device(node_sdk, world.leaf("patient")) as device:
        assert device.registers(world.emulator, "patient", host(world))["status"] == "assigned"

    assert status in [each.status for each in control.requests if each.operation == operation]


def test_the_hub_knows_a_renewed_certificate_only_after_registration(world: World, node_sdk: Needed) -> None:
    with world.device(node_sdk, world.leaf("renewed")) as device:
        connects(world, device, "renewed")
        device.does("close", "closed")
    with world.device(node_sdk, world.leaf("renewed")) as device:
        refusal = device.does("connect", "refused", hub=host(world), device="renewed")
        assert refusal["errors"] == ["UnauthorizedError"]
        connects(world, device, "renewed")


@pytest.mark.parametrize(("identify", "chain"), [(by_group, False), (by_intermediate, True)])
def test_over_http_a_device_registers_and_connects(
    https_world: World,
    node_sdk: Needed,
    identify: Callable[[World, str], DeviceIdentity],
    chain: bool,
) -> None:
    name = identify.__name__
    with https_world.device(node_sdk, identify(https_world, name), chain=chain) as device:
        assigned = device.registers(https_world.emulator, name, **HTTP)
        assert (assigned["status"], assigned["device"]) == ("assigned", name)
        device.does("connect", "connected", hub=host(https_world), device=name)
        device.does("send", "sent", payload={"temperature": 21.5})

    assert https_world.client.devices.telemetry(name, "temperature").value == 21.5


def test_a_device_behind_a_firewall_uses_websockets(https_world: World, node_sdk: Needed) -> None:
    with https_world.device(node_sdk, https_world.leaf("inside")) as device:
        device.connects(https_world.emulator, "inside", over="websocket")
        device.does("send", "sent", payload={"temperature": 21.5})

    assert https_world.client.devices.telemetry("inside", "temperature").value == 21.5


@pytest.mark.parametrize(("status", "errors"), [(429, ["ThrottlingError"]), (500, ["InternalServerError"])])
def test_over_http_a_device_that_is_told_to_wait_gives_up(
    https_world: World, node_sdk: Needed, status: int, errors: list[str]
) -> None:
    https_world.emulator.control.fault(kind="status", match="DPS_Register", status=status)
    with https_world.device(node_sdk, https_world.leaf("hasty")) as device:
        assert refused(https_world, device, "hasty", **HTTP)["errors"] == errors


def test_over_http_a_stranger_is_unauthorized(https_world: World, node_sdk: Needed) -> None:
    identity = https_world.leaf("sick", https_world.stranger)
    with https_world.device(node_sdk, identity) as device:
        refusal = refused(https_world, device, "sick", **HTTP)

    assert refusal["errors"] == ["UnauthorizedError"]
    assert json.loads(refusal["bodies"][0])["errorCode"] == 401002


def test_over_http_a_blocked_device_fails_to_register(https_world: World, node_sdk: Needed) -> None:
    https_world.client.devices.create("blocked", Device(display_name="blocked", enabled=False))
    with https_world.device(node_sdk, https_world.leaf("blocked")) as device:
        refusal = refused(https_world, device, "blocked", **HTTP)

    assert refusal["errors"] == ["ProvisioningRegistrationFailedError"]


def test_over_http_an_unknown_scope_is_not_found(https_world: World, node_sdk: Needed) -> None:
    with https_world.device(node_sdk, https_world.leaf("lost")) as device:
        refusal = refused(https_world, device, "lost", scope="0ne0FFFFFFF", **HTTP)

    assert refusal["texts"] == ["Not found"]
