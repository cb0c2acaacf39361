from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from iotc_admin.contract import operations as op
from iotc_admin.emulator.rest import HANDLERS
from iotc_admin.emulator.tokens import ADMINISTRATOR, BUILDER, OPERATOR, ROLES
from tests.emulator.world import X509_GROUP, App

ROLE = {"roles": [{"role": ADMINISTRATOR.id}]}


def test_every_operation_of_the_contract_has_one_handler() -> None:
    contract = [thing for thing in vars(op).values() if isinstance(thing, op.Operation)]

    assert len(contract) == 54
    assert sorted(handler.operation.name for handler in HANDLERS) == sorted(each.name for each in contract)


def test_organizations_form_a_tree(app: App) -> None:
    assert app.put("/organizations/plant", {"displayName": "Plant"}).json == {
        "id": "plant",
        "displayName": "Plant",
    }
    assert app.put("/organizations/line", {"parent": "plant"}).json["parent"] == "plant"
    assert app.put("/organizations/lost", {"parent": "nowhere"}).status == 422
    assert app.patch("/organizations/plant", {"parent": "line"}).status == 422
    assert app.patch("/organizations/plant", {"parent": "plant"}).status == 422
    assert app.delete("/organizations/plant").status == 409
    assert app.delete("/organizations/line").status == 204
    assert app.delete("/organizations/plant").status == 204
    assert app.get("/organizations/plant").status == 404
    assert app.delete("/organizations/plant").status == 404
    assert app.get("/organizations").json == {"value": []}


@pytest.mark.parametrize("name", ["Upper", "-a", "a-", "a", "x" * 49])
def test_an_organization_id_outside_the_pattern_is_refused(app: App, name: str) -> None:
    assert app.put(f"/organizations/{name}", {}).status == 422


def test_the_three_built_in_roles_are_there(app: App) -> None:
    roles = app.get("/roles").json["value"]

    assert {role["id"] for role in roles} == {role.id for role in ROLES}
    assert app.get(f"/roles/{BUILDER.id}").json["displayName"] == "Builder"
    assert app.get("/roles/nobody").status == 404


def test_the_secret_of_a_token_is_shown_once(app: App) -> None:
    created = app.put("/apiTokens/ci", ROLE)
    secret = created.json["token"]

    assert created.status == 200
    fields = parse_qs(secret.removeprefix("SharedAccessSignature "))
    assert set(fields) == {"sr", "sig", "skn", "se"}
    assert fields["skn"] == ["ci"]
    year = (datetime.now(UTC) + timedelta(days=365)).timestamp() * 1000
    assert abs(int(fields["se"][0]) - year) < 60_000
    for answer in (app.get("/apiTokens/ci"), app.get("/apiTokens")):
        assert secret not in answer.body.decode()
        assert fields["sig"][0] not in answer.body.decode()
    assert "token" not in app.get("/apiTokens/ci").json
    assert app.send("GET", "/devices", token=secret).status == 200
    assert app.put("/apiTokens/ci", ROLE).status == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"roles": []},
        {},
        {"roles": [{"role": "nobody"}]},
        {"roles": [{"role": ADMINISTRATOR.id, "organization": "nowhere"}]},
        {**ROLE, "expiry": "2020-01-01T00:00:00Z"},
        {**ROLE, "expiry": "2099-01-01T00:00:00"},
        {**ROLE, "expiry": "soon"},
    ],
)
def test_an_invalid_token_is_refused(app: App, wrong: dict[str, Any]) -> None:
    assert app.put("/apiTokens/ci", wrong).status == 422
    assert app.get("/apiTokens/ci").status == 404


def test_a_revoked_token_is_refused_at_once_and_does_not_come_back_with_its_name(app: App) -> None:
    expiry = {"expiry": "2090-01-01T00:00:00Z"}
    secret = app.put("/apiTokens/ci", {**ROLE, **expiry}).json["token"]

    assert app.delete("/apiTokens/ci").status == 204
    assert app.delete("/apiTokens/ci").status == 404
    assert app.send("GET", "/devices", token=secret).status == 401
    app.put("/apiTokens/ci", {**ROLE, **expiry})
    assert app.send("GET", "/devices", token=secret).status == 401


def test_a_token_expires_by_the_emulators_clock(app: App) -> None:
    token = app.emulator.issue_token("short", expiry=app.emulator.control.now() + timedelta(hours=1))

    assert app.send("GET", "/devices", token=token).status == 200
    app.emulator.control.advance(timedelta(hours=2))
    answer = app.send("GET", "/devices", token=token)
    assert answer.status == 401
    assert "expired" in answer.message


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "Bearer abc",
        lambda _: " ",
        lambda token: token.replace("SharedAccessSignature ", "sharedaccesssignature "),
        lambda token: token.removeprefix("SharedAccessSignature "),
        lambda token: token.replace("sr=", "sr=f"),
        lambda token: token.replace("sig=", "sig=A"),
        lambda token: token.replace("skn=emulator", "skn=nobody"),
        lambda token: token + "0",
        lambda token: token.partition("&se=")[0],
        lambda token: token.partition("&se=")[0] + "&se=never",
        lambda token: token + "&sig=x",
        lambda token: token.partition("&sig=")[0] + "&" + token.partition("&")[2].partition("&")[2],
    ],
)
def test_a_forged_or_malformed_token_is_refused(app: App, forge: Any) -> None:
    answer = app.send("GET", "/devices", token=forge(app.emulator.api_token))

    assert answer.status == 401
    assert answer.json["error"]["code"] == "Unauthenticated"


def test_a_token_of_another_application_is_refused(app: App, started: Any) -> None:
    stranger = started().emulator.api_token

    answer = app.send("GET", "/devices", token=stranger)
    assert answer.status == 401
    assert "another application" in answer.message


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/enrollmentGroups", None, (200, 200)),
        ("GET", "/apiTokens", None, (200, 200)),
        ("PUT", "/devices/d", {}, (200, 200)),
        ("PATCH", "/devices/d", {}, (404, 404)),
        ("DELETE", "/devices/d", None, (404, 404)),
        ("PUT", "/devices/d/attestation", {"type": "tpm", "tpm": {"endorsementKey": "k"}}, (404, 404)),
        ("PUT", "/enrollmentGroups/g", X509_GROUP, (403, 200)),
        ("PATCH", "/enrollmentGroups/g", {}, (403, 404)),
        ("DELETE", "/enrollmentGroups/g", None, (403, 404)),
        ("POST", "/enrollmentGroups/g/certificates/primary/generateVerificationCode", None, (403, 404)),
        ("PUT", "/deviceGroups/g", {"displayName": "g", "filter": "x"}, (403, 200)),
        ("PUT", "/apiTokens/t", ROLE, (403, 403)),
        ("DELETE", "/apiTokens/t", None, (403, 403)),
        ("PUT", "/organizations/org", {}, (403, 403)),
        ("PATCH", "/organizations/org", {}, (403, 403)),
        ("DELETE", "/organizations/org", None, (403, 403)),
    ],
)
def test_a_role_permits_what_it_should(
    started: Any, method: str, path: str, body: Any, expected: tuple[int, int]
) -> None:
    for role, status in zip((OPERATOR, BUILDER), expected, strict=True):
        app = started()
        token = app.emulator.issue_token("limited", role=role)
        answer = app.send(method, path, body, token=token)
        assert answer.status == status, role
        if status == 403:
            assert answer.json["error"]["code"] == "Forbidden"
