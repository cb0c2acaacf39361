"""What DPS and hubs may answer besides yes: refused, explained, bounded, and never followed elsewhere."""

from __future__ import annotations

import gzip

import pytest

from iotc_admin import AnswerLost, DeviceIdentity, IotcError, ProvisioningRefused, UnexpectedAnswer
from iotc_admin.device.hub import open_hub
from iotc_admin.device.provisioning import register
from tests.device.standin import Reply, StandIn
from tests.device.test_https import ASSIGNED, ASSIGNING, STATE, Serving, way


def refusal(status: int, code: object, message: str, **headers: str) -> Reply:
    body = {"errorCode": code, "trackingId": "0f-1", "message": message, "timestampUtc": "2026-01-01"}
    return Reply(status, body, headers)


def assigned(**changes: object) -> Reply:
    state = {name: value for name, value in {**STATE, **changes}.items() if value is not ...}
    return Reply(200, {"operationId": "5.a.b", "status": "assigned", "registrationState": state})


def raised(device: DeviceIdentity, server: StandIn) -> tuple[IotcError, list[float]]:
    waits: list[float] = []
    with pytest.raises(IotcError) as caught:
        register(device, id_scope="0ne1", dps_host=server.host, ca_file=server.ca_file, sleep=waits.append)
    return caught.value, waits


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, raw=b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"),
        Reply(200, ["assigned"]),
        Reply(200),
        Reply(200, {"status": "assigned"}),
        Reply(200, {"status": "assigned", "registrationState": "yes"}),
        Reply(200, {"status": "perhaps", "registrationState": STATE}),
        Reply(200, {"status": ["assigned"], "registrationState": STATE}),
        Reply(202, {"status": "assigning"}),
        Reply(202, {"status": "assigning", "operationId": 7}),
        Reply(202, {"status": "assigning", "operationId": "../.."}),
        Reply(202, {"status": "assigning", "operationId": ".."}),
        Reply(202, {"status": "assigning", "operationId": "a?b"}),
        Reply(202, {"status": "assigning", "operationId": "a" * 300}),
        Reply(404, raw=b"HTTP/1.1 404 x\r\nContent-Length: 6\r\n\r\n<html>"),
        Reply(200, raw=b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000),
        assigned(deviceId=...),
        assigned(deviceId=7),
        assigned(deviceId="a/../b"),
        assigned(deviceId="a#"),
        assigned(deviceId=".."),
    ],
)
def test_an_answer_that_is_none_of_dps_is_refused_at_once(
    device: DeviceIdentity, serving: Serving, reply: Reply
) -> None:
    server = serving(reply)

    error, waits = raised(device, server)

    assert isinstance(error, UnexpectedAnswer)
    assert (len(server.seen), waits) == (1, [])


@pytest.mark.parametrize(
    "hub",
    [
        ...,
        None,
        7,
        "",
        "https://hub.net",
        "hub/x",
        "me@hub",
        "hub:443",
        "hub .net",
        "hub\n",
        "[::1]",
        "h\u00e4b",
    ],
)
def test_a_hub_that_is_no_plain_host_name_is_not_visited(
    device: DeviceIdentity, serving: Serving, hub: object
) -> None:
    server = serving(assigned(assignedHub=hub))

    with pytest.raises(UnexpectedAnswer, match="no host name"):
        way(device, server, telemetry=[{"t": 1}])

    assert len(server.seen) == 1


def test_a_redirect_is_not_followed(device: DeviceIdentity, serving: Serving) -> None:
    server = serving(Reply(307, headers={"location": "https://localhost:1/x"}))

    error, _ = raised(device, server)

    assert isinstance(error, UnexpectedAnswer)
    assert "redirects to https://localhost:1/x" in str(error)


@pytest.mark.parametrize("location", ["", "https://[", "//\x7f:99999999"])
def test_a_redirect_to_nowhere_is_an_error_of_ours(
    device: DeviceIdentity, serving: Serving, location: str
) -> None:
    raised(device, serving(Reply(307, headers={"location": location})))


def test_an_answer_without_end_is_cut_off(device: DeviceIdentity, serving: Serving) -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b" " * 2_000_000

    error, _ = raised(device, serving(Reply(raw=endless, close=True)))

    assert "larger than 1 MiB" in str(error)


def test_a_compressed_answer_is_not_inflated(device: DeviceIdentity, serving: Serving) -> None:
    bomb = gzip.compress(b"[" * 50_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"

    error, _ = raised(device, serving(Reply(raw=head.encode() + bomb)))

    assert isinstance(error, UnexpectedAnswer)


@pytest.mark.parametrize(
    ("asked", "waited"), [("99999", 30), ("0", 0.5), ("7", 7), ("1.5", 1.5), ("nan", 2), ("-1", 2), ("", 2)]
)
def test_the_wait_between_polls_is_bounded(
    device: DeviceIdentity, serving: Serving, asked: str, waited: float
) -> None:
    slow = Reply(202, {"operationId": "5.a.b", "status": "assigning"}, {"retry-after": asked})

    _, waits = way(device, serving(slow, ASSIGNED))

    assert waits == [waited]


def test_a_registration_that_never_ends_is_given_up(device: DeviceIdentity, serving: Serving) -> None:
    slow = Reply(202, {"operationId": "5.a.b", "status": "assigning"}, {"retry-after": "30"})

    error, waits = raised(device, serving(*[slow] * 100))

    assert isinstance(error, ProvisioningRefused)
    assert "within 10 minutes" in str(error)
    assert sum(waits) <= 600


@pytest.mark.parametrize(
    "reply",
    [
        refusal(429, 429001, "throttled", **{"retry-after": "9"}),
        refusal(500, 500000, "failed", **{"retry-after": "9"}),
        Reply(503, headers={"retry-after": "9"}),
        refusal(401, 401002, "Unauthorized access", **{"retry-after": "9"}),
        refusal(401, 401002, "IotHubUnauthorized", **{"retry-after": "9"}),
    ],
)
def test_what_may_pass_is_tried_once_more_and_not_twice(
    device: DeviceIdentity, serving: Serving, reply: Reply
) -> None:
    assert way(device, serving(reply, ASSIGNED))[1] == [9]
    server = serving(reply, reply, ASSIGNED)

    error, waits = raised(device, server)

    assert isinstance(error, ProvisioningRefused)
    assert (len(server.seen), waits) == (2, [9])


@pytest.mark.parametrize(
    ("reply", "code", "cause", "fix"),
    [
        (refusal(401, 401002, "CA certificate not found"), "401002", "intermediate", "_fullchain.pem"),
        (
            refusal(401, 401002, "Signing certificate info did not match chain elements"),
            "401002",
            "in a slot",
            "device explain pump-042 --cert CERT",
        ),
        (refusal(401, 401002, "Invalid certificate."), "401002", "expired", "--device pump-042"),
        (refusal(401, 401000, "Unauthorized"), "401000", "nobody approved", "explain pump-042"),
        (refusal(404, 404002, "Id scope not found."), "404002", "ID scope", "--id-scope"),
        (refusal(400, 400004, "Invalid RegistrationId"), "400004", "registration id", "letters"),
        (refusal(409, 409201, "Conflict"), "409201", "at this moment", "repeat"),
        (Reply(401), "401", "no enrollment", "explain pump-042"),
    ],
)
def test_a_refusal_says_what_it_means_and_what_to_do(
    device: DeviceIdentity, serving: Serving, reply: Reply, code: str, cause: str, fix: str
) -> None:
    server = serving(reply)

    error, waits = raised(device, server)

    assert isinstance(error, ProvisioningRefused)
    assert error.error_code == code
    assert cause in error.cause
    assert fix in error.fix
    assert error.cause in error.hint
    assert (len(server.seen), waits) == (1, [])
    if reply.document:
        assert str(error).endswith("(tracking id 0f-1)")


@pytest.mark.parametrize(
    ("status", "code", "text", "fix"),
    [
        ("disabled", None, None, "iotc-admin group update NAME --enable"),
        ("failed", 400209, "blocked", "iotc-admin device update pump-042 --unblock"),
        ("failed", 400207, "Custom allocation failed with status code: 401", "pump-042 --unblock"),
    ],
)
def test_a_registration_that_ends_badly_is_explained(
    device: DeviceIdentity, serving: Serving, status: str, code: object, text: object, fix: str
) -> None:
    state = {"status": status, "errorCode": code, "errorMessage": text}

    error, _ = raised(device, serving(ASSIGNING, Reply(200, {"status": status, "registrationState": state})))

    assert isinstance(error, ProvisioningRefused)
    assert fix in error.fix
    assert str(text or "is disabled") in str(error)


def test_words_of_dps_cannot_write_to_the_terminal(device: DeviceIdentity, serving: Serving) -> None:
    error, _ = raised(device, serving(refusal(400, 400000, "bad\x1b[2J\r\n" + "x" * 5000)))

    assert str(error).isprintable()
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("x509", "enrollment"),
    [
        ({"enrollmentGroupId": "plant-7"}, "plant-7"),
        ({"certificateInfo": {}}, "individual"),
        ({}, None),
        (None, None),
        (..., None),
        ("x", None),
        ({"enrollmentGroupId": 7}, "7"),
    ],
)
def test_the_enrollment_is_what_the_answer_tells(
    device: DeviceIdentity, serving: Serving, x509: object, enrollment: str | None
) -> None:
    assert way(device, serving(assigned(x509=x509)))[0].enrollment == enrollment


def test_a_dropped_connection_is_tried_once_more_and_not_twice(
    device: DeviceIdentity, serving: Serving
) -> None:
    dropped = Reply(raw=b"", close=True)
    assert way(device, serving(dropped, ASSIGNED))[1] == [2]

    error, waits = raised(device, serving(dropped, dropped, ASSIGNED))

    assert isinstance(error, AnswerLost)
    assert waits == [2]


@pytest.mark.parametrize(
    ("reply", "code", "cause", "requests"),
    [
        (
            Reply(
                401,
                {
                    "Message": "ErrorCode:IotHubUnauthorizedAccess;Unauthorized",
                    "ExceptionMessage": "Tracking ID:a-1",
                },
            ),
            "IotHubUnauthorizedAccess",
            "thumbprint",
            1,
        ),
        (refusal(401, 401003, "IotHubUnauthorized"), "401003", "thumbprint", 1),
        (refusal(403, 403002, "IotHubQuotaExceeded"), "403002", "daily messages", 1),
        (refusal(404, 404001, "DeviceNotFound"), "404001", "deleted", 1),
        (refusal(413, 413001, "too large"), "413001", "256 KiB", 1),
        (refusal(401, 401003, "DEVICE_BLOCKED"), "401003", "blocked in the application", 1),
        (refusal(429, 429001, "slow down"), "429001", "throttles", 2),
        (refusal(503, 503001, "busy"), "503001", "failed", 2),
    ],
)
def test_a_hub_that_refuses_telemetry_is_explained(
    device: DeviceIdentity, serving: Serving, reply: Reply, code: str, cause: str, requests: int
) -> None:
    server = serving(reply, reply)

    with (
        pytest.raises(ProvisioningRefused) as refused,
        open_hub(
            device,
            assigned_hub="localhost",
            device_id="pump-042",
            dps_host=server.host,
            ca_file=server.ca_file,
            sleep=lambda _: None,
        ) as hub,
    ):
        hub.send({"t": 1})

    assert refused.value.error_code == code
    assert cause in refused.value.cause
    assert len(server.seen) == requests


def test_only_204_means_that_a_hub_took_a_message(device: DeviceIdentity, serving: Serving) -> None:
    with pytest.raises(UnexpectedAnswer):
        way(device, serving(ASSIGNED, Reply(200, {"hello": 1})), telemetry=[{"t": 1}])
