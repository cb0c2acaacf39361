"""Byte-exact requests, and every answer that is not the application's."""

from __future__ import annotations

import ssl
from datetime import timedelta

import httpx
import pytest
import respx

from iotc_admin import (
    BadRequest,
    Client,
    Conflict,
    EnrollmentGroupPatch,
    IotcError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    ServiceDown,
    ServiceError,
    SigningX509Certificate,
    Slot,
    UnexpectedAnswer,
    Unreachable,
)

from .test_retry import GROUP, GROUP_JSON, NOW, TOKEN, Script, json

BASE = "https://myapp.azureiotcentral.com/api"
VERSION = "api-version=2022-07-31"


@pytest.fixture
def wire() -> respx.Router:
    return respx.Router(base_url=BASE)


def client_of(wire: respx.Router) -> Client:
    return Client("myapp", TOKEN, transport=httpx.MockTransport(wire.handler), attempts=1, clock=lambda: NOW)


def test_a_request_carries_version_token_and_type_and_nothing_that_was_not_set(wire: respx.Router) -> None:
    route = wire.put(f"/enrollmentGroups/g?{VERSION}").respond(200, json=GROUP_JSON)

    client_of(wire).enrollment_groups.create("g", GROUP)

    request = route.calls.last.request
    assert request.content == b'{"displayName":"g","type":"iot","attestation":{"type":"x509"}}'
    assert request.headers["authorization"] == TOKEN.text
    assert request.headers["content-type"] == "application/json"


def test_an_update_is_a_merge_patch_of_only_what_was_set(wire: respx.Router) -> None:
    route = wire.patch(f"/enrollmentGroups/g?{VERSION}").respond(200, json=GROUP_JSON)

    client_of(wire).enrollment_groups.update("g", EnrollmentGroupPatch(display_name="New"))

    request = route.calls.last.request
    assert request.content == b'{"displayName":"New"}'
    assert request.headers["content-type"] == "application/merge-patch+json"


def test_a_code_is_asked_for_without_a_body_or_a_type(wire: respx.Router) -> None:
    path = f"/enrollmentGroups/g/certificates/primary/generateVerificationCode?{VERSION}"
    route = wire.post(path).respond(200, json={"verificationCode": "A"})

    client_of(wire).enrollment_groups.generate_verification_code("g", Slot.PRIMARY)

    request = route.calls.last.request
    assert request.content == b""
    assert request.headers["content-length"] == "0"
    assert "content-type" not in request.headers


def test_ids_are_percent_encoded_slashes_included() -> None:
    script = Script(json({"id": "a b/c%"}))

    script.client().devices.get("a b/c%")

    assert script.requests[0].url.raw_path == f"/api/devices/a%20b%2Fc%25?{VERSION}".encode()


def test_an_empty_id_is_refused_before_anything_is_sent() -> None:
    script = Script()

    with pytest.raises(IotcError, match="deviceId is empty"):
        script.client().devices.get("")


def test_unknown_fields_of_a_newer_service_do_not_break_an_older_client(wire: respx.Router) -> None:
    newer = GROUP_JSON | {"type": "iotHub2", "shiny": {"new": 1}, "attestation": {"type": "quantum", "q": 1}}
    wire.get(f"/enrollmentGroups/g?{VERSION}").respond(200, json=newer)

    group = client_of(wire).enrollment_groups.get("g")

    assert (group.type, group.attestation.type) == ("iotHub2", "quantum")
    assert group.model_extra == {"shiny": {"new": 1}}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, BadRequest),
        (401, NotAuthenticated),
        (403, NotAllowed),
        (404, NotFound),
        (409, Conflict),
        (412, Conflict),
        (413, BadRequest),
        (422, BadRequest),
        (429, RateLimited),
        (500, ServiceDown),
        (503, ServiceDown),
    ],
)
def test_each_status_has_its_error_with_code_request_id_and_hint(
    wire: respx.Router, status: int, error: type[ServiceError]
) -> None:
    body = {"error": {"code": "400.470.006.319", "message": "No.", "requestId": "r-1", "time": "now"}}
    wire.get(f"/enrollmentGroups/g?{VERSION}").respond(status, json=body)

    with pytest.raises(error) as caught:
        client_of(wire).enrollment_groups.get("g")

    raised = caught.value
    assert type(raised) is error
    assert (raised.status, raised.code, raised.request_id) == (status, "400.470.006.319", "r-1")
    assert raised.operation == "EnrollmentGroups_Get"
    assert "No." in str(raised)
    assert "(request r-1)" in str(raised)
    assert raised.hint


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407])
def test_a_page_of_a_proxy_is_not_taken_for_the_service(wire: respx.Router, status: int) -> None:
    wire.get(f"/enrollmentGroups/g?{VERSION}").respond(status, html="<html>Blocked by policy</html>")

    with pytest.raises(UnexpectedAnswer, match="Blocked by policy") as caught:
        client_of(wire).enrollment_groups.get("g")

    assert "HTTPS_PROXY" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"\xff\xfe", b"<html>Welcome</html>", b'{"id":"g"}', b'{"id":']
)
def test_a_success_that_cannot_be_read_says_how_it_begins(wire: respx.Router, content: bytes) -> None:
    wire.get(f"/enrollmentGroups/g?{VERSION}").respond(200, content=content)

    with pytest.raises(UnexpectedAnswer, match="EnrollmentGroups_Get: the answer"):
        client_of(wire).enrollment_groups.get("g")


def test_the_start_of_an_unreadable_answer_holds_no_secret(wire: respx.Router) -> None:
    secret = 'x SharedAccessSignature sr=1&sig=SECRET&skn=a "primaryKey": "SECRET" Bearer SECRET'
    wire.get(f"/enrollmentGroups/g?{VERSION}").respond(200, text=secret)

    with pytest.raises(UnexpectedAnswer) as caught:
        client_of(wire).enrollment_groups.get("g")

    assert "SECRET" not in str(caught.value) + caught.value.body_start


def test_a_redirect_is_an_error_and_never_followed() -> None:
    script = Script(httpx.Response(302, headers={"location": "https://login.example/"}))

    with pytest.raises(UnexpectedAnswer, match=r"redirects to https://login.example/"):
        script.client().enrollment_groups.get("g")

    assert len(script.requests) == 1


def test_pages_are_followed_verbatim() -> None:
    link = f"{BASE}/enrollmentGroups?{VERSION}&%24skiptoken=a%2Fb&%24skiptoken=c"
    script = Script(json({"value": [GROUP_JSON], "nextLink": link}), json({"value": [GROUP_JSON]}))

    assert len(list(script.client().enrollment_groups.list())) == 2
    assert str(script.requests[1].url) == link


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/enrollmentGroups",
        "http://myapp.azureiotcentral.com/api/enrollmentGroups",
        "https://myapp.azureiotcentral.com:8443/api/enrollmentGroups",
        "https://myapp.azureiotcentral.com@evil.example/api",
        "https://user@myapp.azureiotcentral.com/api",
        "https://evil.example\\@myapp.azureiotcentral.com/api",
        "https://myapp.azureiotcentral.com.evil.example/api",
        "//evil.example/api",
        "/api/enrollmentGroups?page=2",
        "https://myapp.azureiotcentral.com:99999/api",
        "https://[bad/api",
        "javascript:alert(1)",
    ],
)
def test_the_token_never_follows_a_link_to_another_origin(link: str) -> None:
    script = Script(json({"value": [GROUP_JSON], "nextLink": link}))

    with pytest.raises(UnexpectedAnswer, match="next page is not at"):
        list(script.client().enrollment_groups.list())

    assert len(script.requests) == 1


def test_a_list_that_would_never_end_is_refused() -> None:
    link = f"{BASE}/enrollmentGroups?page=2"
    script = Script(*[json({"value": [], "nextLink": link}) for _ in range(5)])

    with pytest.raises(UnexpectedAnswer, match="would never end"):
        list(script.client().enrollment_groups.list())

    assert len(script.requests) == 2


def test_an_explicit_default_port_is_the_same_origin() -> None:
    link = "https://MYAPP.azureiotcentral.com:443/api/enrollmentGroups?page=2"
    script = Script(json({"value": [], "nextLink": link}), json({"value": []}))

    assert list(script.client().enrollment_groups.list()) == []


def test_the_skew_of_the_clocks_is_known_after_an_answer() -> None:
    script = Script(json(GROUP_JSON, date="Mon, 23 Nov 2026 00:10:00 GMT"))
    client = script.client()

    assert client.skew is None
    client.enrollment_groups.get("g")

    assert client.skew == timedelta(minutes=10)


def test_an_untrusted_certificate_is_named_as_such_and_not_tried_again() -> None:
    failure = ssl.SSLCertVerificationError("self-signed")
    failure.verify_message = "self-signed certificate"
    error = httpx.ConnectError("tls")
    error.__cause__ = failure
    script = Script(error)

    with pytest.raises(Unreachable, match="not trusted: self-signed certificate") as caught:
        script.client().devices.get("d")

    assert "--ca-file" in caught.value.hint
    assert len(script.requests) == 1


def test_put_bodies_hold_the_certificate_and_the_etag_only_when_given() -> None:
    script = Script(json({"verified": False}))

    body = SigningX509Certificate(certificate="QQ==")
    script.client().enrollment_groups.put_certificate("g", Slot.SECONDARY, body)

    assert script.requests[0].content == b'{"certificate":"QQ=="}'
