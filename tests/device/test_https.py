"""A device over HTTPS, against a scripted DPS and hub behind a real TLS socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from iotc_admin import DeviceIdentity
from iotc_admin.device.connect import Connected, connect
from tests.device.standin import Reply, StandIn

Serving = Callable[..., StandIn]
STATE = {
    "registrationId": "pump-042",
    "deviceId": "pump-042",
    "assignedHub": "localhost",
    "status": "assigned",
    "substatus": "initialAssignment",
    "x509": {"enrollmentGroupId": "plant-7"},
}
ASSIGNED = Reply(200, {"operationId": "5.a.b", "status": "assigned", "registrationState": STATE})
ASSIGNING = Reply(202, {"operationId": "5.a.b", "status": "assigning"}, {"retry-after": "3"})
TAKEN = Reply(204)


def way(device: DeviceIdentity, server: StandIn, **options: Any) -> tuple[Connected, list[float]]:
    waits: list[float] = []
    done = connect(
        device,
        id_scope="0ne00000001",
        dps_host=server.host,
        ca_file=server.ca_file,
        sleep=waits.append,
        **options,
    )
    return done, waits


def test_a_device_registers_polls_and_sends_telemetry(device: DeviceIdentity, serving: Serving) -> None:
    server = serving(ASSIGNING, ASSIGNING, ASSIGNED, TAKEN, TAKEN)

    done, waits = way(device, server, telemetry=[{"t": 1}, {"t": 2}], interval=7, model_id="dtmi:a:b;1")

    assert (done.registration_id, done.device_id) == ("pump-042", "pump-042")
    assert (done.assigned_hub, done.enrollment) == ("localhost", "plant-7")
    assert [step.name for step in done.steps] == ["register", "poll", "connect", "telemetry"]
    assert waits == [3, 3, 7]
    put, poll, _, first, second = server.seen
    assert (put.method, put.path) == (
        "PUT",
        "/0ne00000001/registrations/pump-042/register?api-version=2021-06-01",
    )
    assert put.document == {"registrationId": "pump-042", "payload": {"modelId": "dtmi:a:b;1"}}
    assert poll.path == "/0ne00000001/registrations/pump-042/operations/5.a.b?api-version=2021-06-01"
    assert first.path == "/devices/pump-042/messages/events?api-version=2020-03-13"
    assert first.headers["content-type"] == "application/json; charset=utf-8"
    assert first.headers["iothub-contenttype"] == "application/json"
    assert first.headers["iothub-contentencoding"] == "utf-8"
    assert [each.document for each in (first, second)] == [{"t": 1}, {"t": 2}]


def test_registration_and_polls_share_one_connection(device: DeviceIdentity, serving: Serving) -> None:
    server = serving(ASSIGNING, ASSIGNING, ASSIGNED)

    way(device, server)

    assert [each.connection for each in server.seen] == [1, 1, 1]
