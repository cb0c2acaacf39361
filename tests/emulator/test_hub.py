"""The hub: whom it lets in, twins, methods, messages both ways; judged by paho-mqtt over real TLS."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from iotc_admin import (
    CertificateAuthority,
    Client,
    Device,
    DeviceIdentity,
    EnrollmentGroupPatch,
    workflows,
)
from iotc_admin.contract.devices import DeviceCommand, DeviceProperties, DevicePropertiesPatch
from iotc_admin.emulator import Emulator, Switches
from iotc_admin.emulator.exchange import Request
from iotc_admin.errors import NotFound, ServiceError
from tests.conftest import InProcess, operator
from tests.emulator.paho_device import PahoDevice, properties_of, tls

DESIRED = "$iothub/twin/PATCH/properties/desired/"
# Deeper than a store may be able to read again.
DEEP = b'{"a":' * 300 + b"1" + b"}" * 300
EVERYTHING = (
    "$iothub/twin/res/#",
    f"{DESIRED}#",
    "$iothub/methods/POST/#",
    "devices/pump-1/messages/devicebound/#",
)


@dataclass
class Plant:
    """An application with one group, and devices that register and connect."""

    emulator: Emulator
    client: Client
    ca: CertificateAuthority
    directory: Path
    stack: ExitStack
    contexts: dict[int, ssl.SSLContext] = field(default_factory=dict)

    def issue(self, device_id: str = "pump-1", **options: Any) -> DeviceIdentity:
        return self.ca.issue(device_id, now=self.emulator.control.now(), **options)

    def register(self, identity: DeviceIdentity, device_id: str = "pump-1") -> None:
        chain = (identity.certificate, *identity.chain)
        path, query = (
            f"/{self.emulator.id_scope}/registrations/{device_id}/register",
            "api-version=2021-06-01",
        )
        assert self.emulator.answer(Request("PUT", path, query, chain=chain)).status == 202

    def context(self, identity: DeviceIdentity | None) -> ssl.SSLContext:
        if id(identity) not in self.contexts:
            self.contexts[id(identity)] = tls(self.emulator, identity, self.directory)
        return self.contexts[id(identity)]

    def connect(
        self, identity: DeviceIdentity | None, device_id: str = "pump-1", **options: Any
    ) -> PahoDevice:
        device = PahoDevice(self.emulator, self.context(identity), device_id, **options)
        self.stack.callback(device.close)
        return device

    def connected(self, device_id: str = "pump-1", **options: Any) -> PahoDevice:
        identity = self.issue(device_id)
        self.register(identity, device_id)
        device = self.connect(identity, device_id, **options)
        assert device.connected
        return device


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    with ExitStack() as stack:

        def started(**settings: Any) -> Plant:
            options = {"throttle": "off", "retry_after": 0, **settings}
            emulator = stack.enter_context(Emulator(**options))
            client = stack.enter_context(operator(emulator, InProcess(emulator)))
            ca = CertificateAuthority.create("plant7", now=emulator.control.now())
            workflows.enroll_group(client, "plant-7", primary=ca)
            return Plant(emulator, client, ca, tmp_path, stack)

        yield started


@pytest.fixture
def plant(start: Callable[..., Plant]) -> Plant:
    return start()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_registered_device_connects_over_tls(plant: Plant, version: ssl.TLSVersion) -> None:
    identity = plant.issue()
    plant.register(identity)
    context = plant.context(identity)
    context.minimum_version = context.maximum_version = version
    assert plant.connect(identity).connected
    assert plant.emulator.control.connected == ("pump-1",)


@pytest.mark.parametrize("which", ["unregistered", "unknown", "none"])
def test_a_stranger_is_not_authorized(plant: Plant, which: str, now: Any) -> None:
    strangers = {
        "unregistered": plant.issue(),
        "unknown": DeviceIdentity.self_signed("pump-1", now=now),
        "none": None,
    }
    plant.register(plant.issue())
    assert plant.connect(strangers[which]).connack == 5


def test_a_device_cannot_connect_as_another(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    plant.connected("pump-2")
    assert plant.connect(identity, "pump-2").connack == 5
    assert plant.connect(identity, username="localhost/pump-2/?api-version=2021-04-12").connack == 5
    own = "localhost/pump-1/?api-version=2021-04-12"
    assert plant.connect(identity, "another-client", username=own).connack == 5


def test_removing_the_ca_disconnects_nobody(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    device = plant.connect(identity)
    plant.client.enrollment_groups.delete("plant-7")
    device.telemetry({"temperature": 1})
    assert device.connected
    assert plant.connect(identity).connected


def test_a_new_certificate_is_a_stranger_until_it_is_registered(plant: Plant) -> None:
    old, new = plant.issue(), plant.issue()
    plant.register(old)
    assert plant.connect(new).connack == 5
    plant.register(new)
    assert plant.connect(new).connected
    assert plant.connect(old).connack == 5


def test_dates_are_looked_at_when_a_device_connects(plant: Plant) -> None:
    identity = plant.issue(lifetime=timedelta(days=2))
    plant.register(identity)
    device = plant.connect(identity)
    plant.emulator.control.advance(timedelta(days=3))
    device.telemetry({"temperature": 1})
    assert plant.connect(identity).connack == 5


def test_blocking_a_device_drops_it_and_keeps_it_out(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    device = plant.connect(identity)
    plant.client.devices.update("pump-1", Device(enabled=False))
    assert device.gone.wait(5)
    assert plant.connect(identity).connack == 5
    plant.client.devices.update("pump-1", Device(enabled=True))
    assert plant.connect(identity).connected


def test_deleting_a_device_drops_it_and_forgets_what_it_said(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    device = plant.connect(identity)
    device.telemetry({"temperature": 1})
    plant.client.devices.delete("pump-1")
    assert device.gone.wait(5)
    assert plant.connect(identity).connack == 5
    plant.register(identity)
    with pytest.raises(NotFound):
        plant.client.devices.telemetry("pump-1", "temperature")


@pytest.mark.parametrize(("value", "stays"), [("keeps", True), ("drops", False)])
def test_disabling_a_group_leaves_connections_alone_by_default(
    start: Callable[..., Plant], value: str, stays: bool
) -> None:
    plant = start(switches=Switches.parse([f"disabled-group={value}"]))
    device = plant.connected()
    plant.client.enrollment_groups.update("plant-7", EnrollmentGroupPatch(enabled=False))
    assert device.gone.wait(0.5 if stays else 5) is not stays


def test_the_newest_connection_of_a_device_is_the_one(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    first = plant.connect(identity)
    second = plant.connect(identity)
    assert first.gone.wait(5)
    second.telemetry({"temperature": 2})
    assert plant.emulator.control.connected == ("pump-1",)


def test_telemetry_is_kept_without_any_template(plant: Plant) -> None:
    device = plant.connected()
    device.telemetry({"temperature": 21.5, "state": {"on": True}}, "%24.ct=application%2Fjson&%24.ce=utf-8")
    device.telemetry({"temperature": 5}, "%24.sub=motor&shift=night%20two")
    last = plant.client.devices.telemetry("pump-1", "temperature")
    assert last.value == 21.5
    assert last.timestamp is not None
    assert abs(last.timestamp - plant.emulator.control.now()) < timedelta(seconds=5)
    assert plant.client.devices.telemetry("pump-1", "state").value == {"on": True}
    assert plant.client.devices.telemetry("pump-1", "temperature", component="motor").value == 5
    message = plant.emulator.control.messages("pump-1")[1]
    assert (message.component, message.properties["shift"]) == ("motor", "night two")
    with pytest.raises(NotFound):
        plant.client.devices.telemetry("pump-1", "humidity")


def test_what_is_no_json_is_a_message_all_the_same(plant: Plant) -> None:
    device = plant.connected()
    device.telemetry(b"\xff\xfe")
    assert [each.payload for each in plant.emulator.control.messages("pump-1")] == [b"\xff\xfe"]


def test_values_nested_beyond_measure_are_messages_only(plant: Plant) -> None:
    device = plant.connected()
    device.telemetry(DEEP)
    device.telemetry({"a": {"b": {"c": [1]}}})
    assert len(plant.emulator.control.messages("pump-1")) == 2
    assert plant.client.devices.telemetry("pump-1", "a").value == {"b": {"c": [1]}}
    with pytest.raises(ServiceError) as refused:
        plant.client.devices.update_properties(
            "pump-1", DevicePropertiesPatch.model_validate_json(b'{"a":' * 20 + b"1" + b"}" * 20)
        )
    assert refused.value.status == 422
    plant.register(plant.issue())


def test_text_that_is_no_unicode_is_not_kept(plant: Plant) -> None:
    device = plant.connected()
    device.subscribe(*EVERYTHING)
    device.telemetry(b'{"a": "\\ud800", "b": 1}')
    assert plant.client.devices.telemetry("pump-1", "b").value == 1
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=9", b'{"a": "\\ud800"}')
    assert device.next("$iothub/twin/res/400/")[0] == "$iothub/twin/res/400/?$rid=9"


def test_the_twin_counts_its_versions(plant: Plant) -> None:
    device = plant.connected()
    device.subscribe(*EVERYTHING)
    assert device.twin() == {"desired": {"$version": 1}, "reported": {"$version": 1}}
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", {"a": {"b": 1, "c": 2}})
    assert device.next("$iothub/twin/res/204/")[0] == "$iothub/twin/res/204/?$rid=1&$version=2"
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=2", {"a": {"b": None}})
    assert device.next("$iothub/twin/res/204/")[0] == "$iothub/twin/res/204/?$rid=2&$version=3"
    assert device.twin()["reported"] == {"a": {"c": 2}, "$version": 3}


def test_properties_set_by_rest_arrive_as_desired(plant: Plant) -> None:
    device = plant.connected()
    device.subscribe(*EVERYTHING)
    devices = plant.client.devices
    devices.update_properties("pump-1", DevicePropertiesPatch.model_validate({"targetTemperature": 30}))
    topic, payload = device.next(DESIRED)
    assert (topic, json.loads(payload)) == (f"{DESIRED}?$version=2", {"targetTemperature": 30, "$version": 2})
    devices.update_properties("pump-1", DevicePropertiesPatch.model_validate({"speed": 7}), "motor")
    assert json.loads(device.next(DESIRED)[1]) == {"motor": {"speed": 7, "__t": "c"}, "$version": 3}
    devices.replace_properties("pump-1", DeviceProperties.model_validate({"mode": "eco"}))
    patch = {"targetTemperature": None, "motor": None, "mode": "eco", "$version": 4}
    assert json.loads(device.next(DESIRED)[1]) == patch
    assert device.twin()["desired"] == {"mode": "eco", "$version": 4}


def test_rest_shows_what_is_reported_under_what_is_wished(plant: Plant) -> None:
    device = plant.connected()
    device.subscribe(*EVERYTHING)
    reported = {
        "targetTemperature": {"value": 20, "ac": 200, "av": 1},
        "serial": "007",
        "motor": {"__t": "c", "speed": 3},
    }
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", reported)
    device.next("$iothub/twin/res/204/")
    devices = plant.client.devices
    shown = {"targetTemperature": 20, "serial": "007", "motor": {"speed": 3}}
    assert devices.properties("pump-1").to_wire() == shown
    assert devices.properties("pump-1", "motor").to_wire() == {"speed": 3}
    devices.update_properties("pump-1", DevicePropertiesPatch.model_validate({"targetTemperature": 25}))
    assert devices.properties("pump-1").to_wire() == {**shown, "targetTemperature": 25}


@pytest.mark.parametrize(
    "payload", [DEEP, b"no json", b"[]", b"[" * 100_000, json.dumps({"a": "x" * 40_000}).encode()]
)
def test_a_report_that_cannot_be_kept_is_answered_400(plant: Plant, payload: bytes) -> None:
    device = plant.connected()
    device.subscribe(*EVERYTHING)
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=9", payload)
    assert device.next("$iothub/twin/res/400/")[0] == "$iothub/twin/res/400/?$rid=9"
    assert device.twin()["reported"] == {"$version": 1}


def test_a_command_runs_as_a_direct_method(plant: Plant) -> None:
    device = plant.connected()
    device.subscribe(*EVERYTHING)
    device.methods = lambda name, payload: (201, json.dumps([name, json.loads(payload)]).encode())
    devices = plant.client.devices
    ran = devices.run_command("pump-1", "reboot", DeviceCommand(request={"delay": 5}))
    assert (ran.response_code, ran.response) == (201, ["reboot", {"delay": 5}])
    ran = devices.run_command("pump-1", "spin", DeviceCommand(), "motor")
    assert ran.response == ["motor*spin", None]
    devices.run_command("pump-1", "reboot", DeviceCommand(request=2))
    history = list(devices.commands("pump-1", "reboot"))
    assert [each.request for each in history] == [2, {"delay": 5}]
    assert [each.response for each in devices.commands("pump-1", "spin", "motor")] == [["motor*spin", None]]


def test_a_command_over_the_socket_waits_without_stopping_others(plant: Plant) -> None:
    device = plant.connected()
    device.subscribe(*EVERYTHING)
    device.methods = lambda *_: (200, b"{}")
    with operator(plant.emulator) as client:
        assert client.devices.run_command("pump-1", "reboot", DeviceCommand()).response_code == 200


def test_a_command_for_a_device_that_is_away_or_deaf_is_refused(plant: Plant) -> None:
    devices = plant.client.devices
    devices.create("pump-1", Device())
    with pytest.raises(NotFound, match="Could not connect"):
        devices.run_command("pump-1", "reboot", DeviceCommand())
    device = plant.connected()
    with pytest.raises(NotFound, match="Could not connect"):
        devices.run_command("pump-1", "reboot", DeviceCommand())
    device.subscribe(*EVERYTHING)
    with pytest.raises(ServiceError, match="did not answer") as silent:
        devices.run_command("pump-1", "reboot", DeviceCommand(response_timeout=5))
    assert silent.value.status == 504


def test_a_message_waits_for_its_device_and_comes_once(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    control = plant.emulator.control
    control.cloud_to_device("pump-1", b"one", {"color": "red & blue"})
    control.cloud_to_device("pump-1", b"two")
    device = plant.connect(identity)
    device.subscribe(EVERYTHING[3])
    topic, payload = device.next("devices/pump-1/messages/devicebound/")
    assert payload == b"one"
    assert properties_of(topic)["color"] == "red & blue"
    assert properties_of(topic)["$.to"] == "/devices/pump-1/messages/devicebound"
    assert device.next("devices/")[1] == b"two"
    control.cloud_to_device("pump-1", b"three")
    assert device.next("devices/")[1] == b"three"
    device.close()
    again = plant.connect(identity)
    again.subscribe("$iothub/twin/res/#")
    assert again.messages() == []


def test_more_messages_than_may_be_in_flight_arrive_in_order(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    for number in range(250):
        plant.emulator.control.cloud_to_device("pump-1", str(number).encode())
    device = plant.connect(identity)
    device.subscribe(EVERYTHING[3])
    device.wait(lambda: len(device.messages()) >= 250)
    assert [int(payload) for _, payload in device.messages()] == list(range(250))


def test_subscriptions_outlive_the_connection(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    device = plant.connect(identity)
    device.subscribe(*EVERYTHING)
    plant.emulator.control.disconnect("pump-1")
    assert device.gone.wait(5)
    again = plant.connect(identity)
    assert again.session_present
    assert again.twin()["desired"] == {"$version": 1}
    plant.emulator.control.cloud_to_device("pump-1", b"hello")
    assert again.next("devices/")[1] == b"hello"


def test_a_clean_session_starts_with_nothing(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    plant.connect(identity).subscribe(*EVERYTHING)
    clean = plant.connect(identity, clean=True)
    assert not clean.session_present
    clean.publish("$iothub/twin/GET/?$rid=1", b" ")
    clean.telemetry({"t": 1})
    assert clean.messages() == []
    assert not plant.connect(identity).session_present


def test_everything_at_the_hub_survives_a_restart(start: Callable[..., Plant], tmp_path: Path) -> None:
    state = tmp_path / "state"
    plant = start(data_dir=state)
    identity = plant.issue()
    plant.register(identity)
    device = plant.connect(identity)
    device.subscribe(*EVERYTHING)
    device.telemetry({"temperature": 21})
    device.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", {"serial": "007"})
    device.next("$iothub/twin/res/204/")
    device.close()
    plant.emulator.control.cloud_to_device("pump-1", b"later")
    plant.emulator.stop()
    with Emulator(data_dir=state, throttle="off") as emulator:
        again = PahoDevice(emulator, plant.context(identity))
        assert again.session_present
        assert again.next("devices/")[1] == b"later"
        assert again.twin()["reported"] == {"serial": "007", "$version": 2}
        again.close()
        with operator(emulator, InProcess(emulator)) as client:
            assert client.devices.telemetry("pump-1", "temperature").value == 21


def test_only_the_topics_of_a_device_can_be_subscribed(plant: Plant) -> None:
    device = plant.connected()
    wrong = ("#", "devices/pump-2/messages/devicebound/#", "$SYS/#", "$iothub/twin/#")
    assert device.subscribe(*wrong) == [128] * 4
    assert device.subscribe(EVERYTHING[0], EVERYTHING[0]) == [1, 1]
    device.twin()
    assert device.messages() == []


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("devices/pump-2/messages/events/", b"{}"),
        ("anything", b""),
        ("$dps/registrations/PUT/iotdps-register/?$rid=1", b"{}"),
        ("devices/pump-1/messages/events/", b"x" * (256 * 1024 + 1)),
    ],
    ids=["another device", "unknown", "not here", "too large"],
)
def test_a_client_that_publishes_what_it_may_not_is_dropped_alone(
    plant: Plant, topic: str, payload: bytes
) -> None:
    other = plant.connected("pump-2")
    device = plant.connected()
    device.client.publish(topic, payload, 1)
    assert device.gone.wait(5)
    other.telemetry({"temperature": 1})
    assert plant.emulator.control.messages("pump-1") == ()
    assert plant.client.devices.telemetry("pump-2", "temperature").value == 1


def test_the_hub_is_also_behind_websocket(plant: Plant) -> None:
    device = plant.connected(websocket=True)
    device.subscribe(*EVERYTHING)
    device.telemetry({"temperature": 4})
    assert device.twin()["desired"] == {"$version": 1}
    assert plant.client.devices.telemetry("pump-1", "temperature").value == 4


def test_https_takes_messages_by_the_same_rules(plant: Plant) -> None:
    identity = plant.issue()
    plant.register(identity)
    path = "/devices/pump-1/messages/events?api-version=2020-03-13"
    with httpx.Client(verify=plant.context(identity), base_url=plant.emulator.app) as device:
        headers = {"iothub-app-shift": "night", "iothub-contenttype": "application/json"}
        assert device.post(path, json={"temperature": 9}, headers=headers).status_code == 204
        assert device.post(path, content=b"x" * (256 * 1024 + 1)).json()["errorCode"] == 413001
        assert device.post(path.replace("pump-1", "pump-2"), json={}).json()["errorCode"] == 401003
        assert device.post("/devices/pump-1/messages/events", json={}).json()["errorCode"] == 400002
        plant.client.devices.update("pump-1", Device(enabled=False))
        assert device.post(path, json={}).status_code == 401
    with httpx.Client(verify=plant.context(None), base_url=plant.emulator.app) as stranger:
        assert stranger.post(path, json={}).status_code == 401
    assert plant.client.devices.telemetry("pump-1", "temperature").value == 9
    message = plant.emulator.control.messages("pump-1")[0]
    assert message.properties == {"$.ct": "application/json", "shift": "night"}


def test_a_farewell_in_the_middle_of_a_handshake_is_no_news(
    plant: Plant, caplog: pytest.LogCaptureFixture
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = plant.context(None).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    close_notify = bytes([21, 3, 3, 0, 2, 1, 0])
    with socket.create_connection(("localhost", plant.emulator.mqtt_port), timeout=5) as raw:
        raw.sendall(close_notify)
        assert raw.recv(100) is not None
    with socket.create_connection(("localhost", plant.emulator.mqtt_port), timeout=5) as raw:
        raw.sendall(outgoing.read())
        raw.recv(10_000)
        raw.sendall(close_notify)
        while raw.recv(10_000):
            pass
    assert plant.connected().connected
    assert caplog.records == []
