"""Devices: made once, changed only where something differs, and never over somebody else's work."""

from __future__ import annotations

import json

import httpx
import pytest

from iotc_admin import Client, Conflict, Device, NotFound, ServiceDown
from iotc_admin.contract.access import Organization
from iotc_admin.contract.device_templates import DeviceTemplate
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.errors import NotAllowedHere, PlanOutdated, UnsafePlan
from iotc_admin.workflows.apply import Hands, apply
from iotc_admin.workflows.devices import (
    DeviceWish,
    create_device,
    plan_device,
    plan_device_deletion,
    plan_device_update,
    update_device,
)
from iotc_admin.workflows.look import look_at_attestations
from iotc_admin.workflows.plan import Plan

from ..conftest import InProcess, operator
from .test_enroll import count, writes

PUMP = "pump-1"
TEMPLATE = "dtmi:plant7:pump;1"


@pytest.fixture
def template(client: Client) -> str:
    interface = {"@id": TEMPLATE, "@type": "Interface", "@context": "dtmi:dtdl:context;2", "contents": []}
    made = DeviceTemplate.model_validate(
        {"@type": ["ModelDefinition", "DeviceModel"], "displayName": "Pump", "capabilityModel": interface}
    )
    client.device_templates.create(TEMPLATE, made)
    return TEMPLATE


def make(client: Client, wish: DeviceWish) -> None:
    create_device(client, wish, plan_device(client, wish), Hands())


def change(client: Client, wish: DeviceWish) -> None:
    update_device(client, wish, plan_device_update(client, wish), Hands())


def test_a_device_is_made_as_wished_in_two_requests_and_a_repeat_changes_nothing(
    emulator: Emulator, client: Client, template: str
) -> None:
    client.organizations.create("plant-7", Organization(display_name="Plant 7"))
    wish = DeviceWish(PUMP, "Pump 1", template, "plant-7", simulated=True)

    assert count(emulator, lambda: make(client, wish)) == 2
    assert plan_device(client, wish).steps == ()
    found = client.devices.get(PUMP)
    assert (found.display_name, found.template, found.organizations, found.simulated, found.enabled) == (
        *("Pump 1", template, ("plant-7",)),
        *(True, True),
    )


def test_what_is_not_wished_is_left_to_the_application(client: Client, wire: InProcess) -> None:
    bodies: list[bytes] = []
    wire.before = lambda request: bodies.append(request.content) if request.method == "PUT" else None

    make(client, DeviceWish(PUMP))

    assert json.loads(bodies[0]) == {}
    assert plan_device(client, DeviceWish(PUMP)).steps == ()


@pytest.mark.parametrize(
    ("wish", "hint"),
    [
        (DeviceWish(PUMP, "Other"), "iotc-admin device update pump-1 --display-name 'Other'"),
        (DeviceWish(PUMP, template="dtmi:a:b;1"), "iotc-admin device update pump-1 --template 'dtmi:a:b;1'"),
        (DeviceWish(PUMP, organization="x"), "iotc-admin device update pump-1 --organization 'x'"),
        (DeviceWish(PUMP, simulated=True), "iotc-admin device delete pump-1"),
    ],
)
def test_a_device_that_is_there_with_other_values_is_left_as_it_is(
    emulator: Emulator, client: Client, wish: DeviceWish, hint: str
) -> None:
    make(client, DeviceWish(PUMP, "Pump 1"))
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match="device pump-1 exists and") as caught:
        plan_device(client, wish)

    assert hint in caught.value.hint
    assert writes(emulator) == []


@pytest.mark.parametrize("device", ["pump 1", "pump/1", "", "a" * 65, "pump."])
def test_an_id_that_no_certificate_could_name_is_refused_before_the_first_request(
    emulator: Emulator, client: Client, device: str
) -> None:
    with pytest.raises(NotAllowedHere, match="the device id"):
        plan_device(client, DeviceWish(device))

    assert emulator.control.requests == ()


def test_a_device_that_somebody_else_made_alike_meanwhile_is_enough(
    emulator: Emulator, client: Client
) -> None:
    wish = DeviceWish(PUMP, "Pump 1")
    plan = plan_device(client, wish)
    make(client, wish)
    emulator.control.fault(Fault(kind="status", status=409, match="Devices_Create"))

    assert create_device(client, wish, plan, Hands()).done == ()


def test_a_device_that_somebody_else_made_otherwise_meanwhile_is_refused(
    emulator: Emulator, client: Client
) -> None:
    wish = DeviceWish(PUMP, "Pump 1")
    plan = plan_device(client, wish)
    make(client, DeviceWish(PUMP, "Theirs"))
    emulator.control.fault(Fault(kind="status", status=409, match="Devices_Create"))

    with pytest.raises(UnsafePlan, match="exists and differs"):
        create_device(client, wish, plan, Hands())


def test_a_device_that_came_and_went_meanwhile_is_planned_again_by_whoever_wants_it(
    emulator: Emulator, client: Client
) -> None:
    wish = DeviceWish(PUMP)
    plan = plan_device(client, wish)
    make(client, wish)
    emulator.control.fault(Fault(kind="status", status=409, match="Devices_Create"))
    emulator.control.fault(Fault(kind="status", status=404, match="Devices_Get", skip=1))

    with pytest.raises(PlanOutdated, match="exists by now"):
        create_device(client, wish, plan, Hands())


def test_a_conflict_over_a_device_that_is_not_there_says_where_to_look(
    emulator: Emulator, client: Client
) -> None:
    emulator.control.fault(Fault(kind="status", status=409, match="Devices_Create"))

    with pytest.raises(Conflict) as caught:
        make(client, DeviceWish(PUMP))

    assert "iotc-admin device show pump-1" in caught.value.hint


def test_an_update_sends_only_what_differs(client: Client, wire: InProcess, template: str) -> None:
    make(client, DeviceWish(PUMP, "Pump 1", template))
    bodies: list[bytes] = []
    wire.before = lambda request: bodies.append(request.content) if request.method == "PATCH" else None

    change(client, DeviceWish(PUMP, "Pump 1", template, enabled=False))

    assert {key for key in json.loads(bodies[0]) if key != "etag"} == {"enabled"}
    assert plan_device_update(client, DeviceWish(PUMP, "Pump 1", enabled=False)).steps == ()
    change(client, DeviceWish(PUMP, "New", enabled=True))
    found = client.devices.get(PUMP)
    assert (found.display_name, found.template, found.enabled) == ("New", template, True)


def test_an_update_with_a_stale_etag_is_planned_again(client: Client) -> None:
    make(client, DeviceWish(PUMP))
    wish = DeviceWish(PUMP, enabled=False)
    plan = plan_device_update(client, wish)
    client.devices.update(PUMP, Device(display_name="Meanwhile"))

    update_device(client, wish, plan, Hands())

    found = client.devices.get(PUMP)
    assert (found.display_name, found.enabled) == ("Meanwhile", False)


def test_an_update_that_stays_stale_fails_showing_both_etags(
    emulator: Emulator, client: Client, wire: InProcess
) -> None:
    make(client, DeviceWish(PUMP))
    rival = operator(emulator, InProcess(emulator))
    names = iter("abcdef")

    def interfere(request: httpx.Request) -> None:
        if request.method == "PATCH":
            rival.devices.update(PUMP, Device(display_name=next(names)))

    wire.before = interfere

    with pytest.raises(PlanOutdated, match=r"changed meanwhile \(etag before: \S+, now: \S+\)"):
        change(client, DeviceWish(PUMP, enabled=False))


def test_an_update_never_grows_when_it_is_planned_again(client: Client) -> None:
    make(client, DeviceWish(PUMP, "A"))
    wish = DeviceWish(PUMP, "A", enabled=False)
    plan = plan_device_update(client, wish)
    client.devices.update(PUMP, Device(display_name="B"))

    with pytest.raises(PlanOutdated):
        update_device(client, wish, plan, Hands())

    assert client.devices.get(PUMP).display_name == "B"


def test_an_update_whose_answer_was_lost_is_looked_up_not_sent_again(
    emulator: Emulator, client: Client
) -> None:
    make(client, DeviceWish(PUMP))
    emulator.control.fault(Fault(kind="lose-answer", match="Devices_Update"))
    emulator.control.clear_requests()

    change(client, DeviceWish(PUMP, enabled=False))

    assert writes(emulator) == ["Devices_Update"]
    assert client.devices.get(PUMP).enabled is False


@pytest.mark.parametrize(("status", "error"), [(500, ServiceDown), (409, Conflict)])
def test_an_update_that_failed_for_good_is_said_so(
    emulator: Emulator, client: Client, status: int, error: type[Exception]
) -> None:
    make(client, DeviceWish(PUMP))
    emulator.control.fault(Fault(kind="status", status=status, match="Devices_Update"))

    with pytest.raises(error):
        change(client, DeviceWish(PUMP, enabled=False))


def test_a_deleted_device_is_gone_whoever_deleted_it(client: Client) -> None:
    make(client, DeviceWish(PUMP))
    plan = plan_device_deletion(client, PUMP)

    apply(plan, client, Hands())
    apply(plan, client, Hands())

    with pytest.raises(NotFound, match="there is no device pump-1") as caught:
        plan_device_deletion(client, PUMP)
    assert caught.value.hint == "see which there are: iotc-admin device list"
    with pytest.raises(NotFound, match="there is no device pump-1"):
        plan_device_update(client, DeviceWish(PUMP, enabled=True))


def test_steps_say_what_they_do(client: Client) -> None:
    wish = DeviceWish(PUMP, "Pump 1", TEMPLATE, "plant-7", simulated=True)

    plan = plan_device(client, wish)

    (step,) = plan.steps
    assert str(step) == (
        "create device pump-1 (display name 'Pump 1', template dtmi:plant7:pump;1, "
        "organization plant-7, simulated)"
    )
    (document,) = plan.to_json()["steps"]
    assert (document["do"], document["device"], document["displayName"]) == ("CreateDevice", PUMP, "Pump 1")
    assert plan.within(Plan(client.app, plan.steps))


def test_the_enrollments_of_many_devices_are_read_each_under_its_own_id(client: Client) -> None:
    ids = [f"pump-{number}" for number in range(20)]
    for each in ids:
        client.devices.create(each, Device())

    assert look_at_attestations(client, ids) == dict.fromkeys(ids)
