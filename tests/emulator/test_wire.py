"""What every request meets before its handler, and how refusals look."""

from __future__ import annotations

import logging
import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from iotc_admin.emulator.exchange import Request
from tests.emulator.world import VERSION, X509_GROUP, App, answer_of

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_refusal_has_the_body_and_headers_of_the_service(app: App) -> None:
    answer = app.get("/devices/nobody")
    error = answer.json["error"]

    assert answer.status == 404
    assert set(answer.json) == {"error"}
    assert set(error) == {"code", "message", "requestId", "time"}
    assert error["code"] == "NotFound" == answer.headers["x-ms-error-code"]
    assert error["requestId"] == answer.headers["x-ms-request-id"]
    assert answer.headers["content-type"] == "application/json"
    assert abs(parsedate_to_datetime(error["time"]) - app.emulator.control.now()).total_seconds() < 5
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", error["time"])


def test_a_success_has_a_request_id_too(app: App) -> None:
    assert len(app.get("/devices").headers["x-ms-request-id"]) == 36


def test_a_401_names_request_id_and_time_in_its_message(app: App) -> None:
    error = app.send("GET", "/devices", token="nonsense").json["error"]

    assert error["code"] == "Unauthenticated"
    assert error["requestId"] in error["message"]
    assert error["time"] in error["message"]


def test_a_request_without_authorization_is_refused(app: App) -> None:
    reply = app.emulator.answer(Request("GET", "/api/devices", VERSION))

    assert answer_of(reply).status == 401


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("api-version=", 404),
        ("api-version=2099-01-01", 404),
        ("api-version=2022-07-31", 200),
        ("api-version=2022-06-30-preview", 200),
        ("api-version=2022-07-31&x=1&api-version=2022-07-31", 200),
        ("api-version=2022-07-31&api-version=nonsense", 200),
        ("api-version=nonsense&api-version=2022-07-31", 404),
        ("api-version=2022-07-31&x=%FF", 400),
        ("&".join(f"x{i}=1" for i in range(200)), 400),
    ],
)
def test_the_api_version_is_needed_and_the_first_one_counts(app: App, query: str, status: int) -> None:
    assert app.get("/devices", query).status == status


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/devices/", "/devices/a/b", "/Devices", "//devices"])
def test_an_unknown_path_is_not_found(app: App, path: str) -> None:
    assert app.get(path).status == 404
    assert answer_of(app.emulator.answer(Request("GET", path or "/"))).status == 404


def test_a_wrong_verb_is_refused_with_the_right_ones(app: App) -> None:
    answer = app.send("POST", "/devices/d", {})

    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "PUT", "PATCH", "DELETE"}


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff", b"no", b'{"a": NaN}', b"[" * 9**5, b'{"id": "\\ud800"}', b"{}}", b"1" * 5000],
)
def test_a_body_that_is_not_json_is_a_bad_request(app: App, raw: bytes) -> None:
    assert app.send("PUT", "/devices/d", raw=raw).status == 400


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"7"])
def test_json_of_the_wrong_kind_is_refused(app: App, raw: bytes) -> None:
    assert app.send("PUT", "/devices/d", raw=raw).status == 422


def test_a_refusal_names_the_field_but_does_not_repeat_what_was_sent(app: App) -> None:
    answer = app.put("/enrollmentGroups/g", {**X509_GROUP, "enabled": "swordfish", "type": 1})

    assert "enabled" in answer.message
    assert "type" in answer.message
    assert "swordfish" not in answer.message


@pytest.mark.parametrize("kind", ["text/plain", "application/merge-patch+json", "application/jsonx", ""])
def test_a_put_of_another_content_type_is_refused(app: App, kind: str) -> None:
    assert app.send("PUT", "/devices/d", {}, headers={"content-type": kind}).status == 415


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/merge-patch+json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
    ],
)
def test_a_patch_takes_both_kinds_of_json(app: App, kind: str, status: int) -> None:
    app.put("/devices/d", {})

    assert app.send("PATCH", "/devices/d", {}, headers={"content-type": kind}).status == status


def test_a_body_of_more_than_a_mebibyte_is_refused(app: App) -> None:
    assert app.send("PUT", "/devices/d", raw=b" " * (1024 * 1024 + 1)).status == 413
    assert app.send("PUT", "/devices/d", raw=b" " * (1024 * 1024 - 2) + b"{}").status == 200


def test_a_get_may_carry_a_body(app: App) -> None:
    assert app.send("GET", "/devices", {}).status == 200


def test_a_refused_request_changes_nothing(app: App) -> None:
    path = app.group()
    before = app.get(path).json

    app.patch(path, {"displayName": "New", "enabled": "x"})
    app.patch(path, {"displayName": "SAS-IoT-Devices"})
    assert app.get(path).json == before


def test_our_own_bug_is_a_500_without_a_traceback(app: App, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        app.emulator._running.service.state._store.put("device", "broken", b"not a record")
        answer = app.get("/devices/broken")

    assert answer.status == 500
    assert "Traceback" not in answer.body.decode()
    assert app.get("/enrollmentGroups").status == 200


def test_secrets_are_in_no_repr(app: App) -> None:
    emulator = app.emulator
    shown = repr(emulator) + repr(emulator._running) + repr(vars(emulator._running.service.state))
    request = Request("GET", "/api/devices", VERSION, {"authorization": emulator.api_token}, b"secret")

    assert emulator.api_token not in shown
    assert emulator.control_url.rpartition("/")[2] not in shown
    assert "sig=" not in repr(request)
    assert "secret" not in repr(request)
    assert emulator._running.service.state.application.secret not in shown


def test_a_list_ends_with_a_page_without_next_link(started: Callable[..., App]) -> None:
    app = started(page_size=2)
    for device in "abcd":
        app.put(f"/devices/{device}", {})
    page = app.get("/devices").json

    assert [d["id"] for d in page["value"]] == ["a", "b"]
    assert page["nextLink"].startswith("https://localhost:8443/api/devices?api-version=2022-07-31&")
    last = app.get("/devices", page["nextLink"].partition("?")[2]).json
    assert [d["id"] for d in last["value"]] == ["c", "d"]
    assert "nextLink" not in last


def test_pages_hold_25_and_at_most_100(app: App) -> None:
    for number in range(130):
        app.put(f"/devices/d{number:03}", {})

    assert len(app.get("/devices").json["value"]) == 25
    page = app.get("/devices", f"{VERSION}&%24top=100").json
    assert len(page["value"]) == 100
    assert "top=100" in page["nextLink"]
    assert len(app.get("/devices", page["nextLink"].partition("?")[2]).json["value"]) == 30


@pytest.mark.parametrize("order", ["", "&$orderby=displayName", "&$orderby=displayName+desc"])
def test_paging_neither_repeats_nor_skips_when_devices_come_and_go(
    started: Callable[..., App], order: str
) -> None:
    app = started(page_size=3)
    for letter in "bdfhjlnp":
        app.put(f"/devices/{letter}", {})
    seen, query, turn = [], f"{VERSION}{order}", 0
    while True:
        page = app.get("/devices", query).json
        seen += [device["id"] for device in page["value"]]
        if "nextLink" not in page:
            break
        app.delete(f"/devices/{seen[-1]}")
        app.put(f"/devices/{'ac'[turn]}" if turn < 2 else "/devices/z", {})
        query, turn = page["nextLink"].partition("?")[2], turn + 1

    stayed = [letter for letter in "bdfhjlnp" if letter in seen]
    assert stayed == list("bdfhjlnp")
    assert len(seen) == len(set(seen))


def test_every_list_follows_its_own_link_even_with_api_version_twice(started: Callable[..., App]) -> None:
    app = started(page_size=1)
    link = app.get("/enrollmentGroups").json["nextLink"].partition("?")[2]
    page = app.get("/enrollmentGroups", f"{link}&{VERSION}").json

    assert [group["id"] for group in page["value"]] == ["SAS-IoT-Edge-Devices"]
    assert "nextLink" in app.get("/roles").json
