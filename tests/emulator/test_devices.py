from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.world import App

TEMPLATE = {"@type": ["ModelDefinition", "DeviceModel"], "capabilityModel": {"@id": "dtmi:plant:pump;1"}}


def test_a_device_has_sensible_defaults(app: App) -> None:
    answer = app.put("/devices/pump-042", {})

    assert answer.status == 200
    etag = answer.json["etag"]
    assert answer.json == {
        "id": "pump-042",
        "etag": etag,
        "displayName": "pump-042",
        "enabled": True,
        "provisioned": False,
        "simulated": False,
    }
    assert app.get("/devices/pump-042").json == answer.json


def test_a_second_put_replaces_the_device(app: App) -> None:
    first = app.put("/devices/d", {"displayName": "One", "simulated": True}).json
    second = app.put("/devices/d", {"enabled": False})

    assert second.status == 200
    assert second.json["displayName"] == "d"
    assert second.json["simulated"] is False
    assert second.json["enabled"] is False
    assert second.json["etag"] != first["etag"]


def test_the_whole_device_may_come_back_in_a_patch(app: App) -> None:
    device = app.put("/devices/d", {}).json
    sent = {**device, "displayName": "renamed", "id": "other", "provisioned": True}
    answer = app.patch("/devices/d", sent)

    assert answer.status == 200
    assert answer.json == {**device, "displayName": "renamed", "etag": answer.json["etag"]}


def test_a_patch_leaves_alone_what_it_does_not_name(app: App) -> None:
    app.put("/devices/d", {"displayName": "Pump", "enabled": False})

    assert app.patch("/devices/d", {"displayName": "P"}).json["enabled"] is False


def test_an_unknown_template_is_a_bad_request(app: App) -> None:
    assert app.put("/devices/d", {"template": "dtmi:plant:pump;1"}).status == 400
    app.put("/deviceTemplates/dtmi%3Aplant%3Apump%3B1", TEMPLATE)
    assert app.put("/devices/d", {"template": "dtmi:plant:pump;1"}).status == 200


def test_an_unknown_organization_is_refused(app: App) -> None:
    assert app.put("/devices/d", {"organizations": ["plant"]}).status == 422
    app.put("/organizations/plant", {})
    assert app.put("/devices/d", {"organizations": ["plant"]}).json["organizations"] == ["plant"]


@pytest.mark.parametrize("wrong", [{"enabled": 1}, {"enabled": None}, {"colour": "red"}, {"simulated": "no"}])
def test_an_invalid_device_is_refused(app: App, wrong: dict[str, Any]) -> None:
    assert app.put("/devices/d", wrong).status == 422
    assert app.get("/devices/d").status == 404


def test_a_missing_device_is_not_found(app: App) -> None:
    for method, path, body in [
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("GET", "/credentials", None),
        ("GET", "/attestation", None),
        ("DELETE", "/attestation", None),
        ("PATCH", "/attestation", {}),
        ("PUT", "/attestation", {"type": "tpm", "tpm": {"endorsementKey": "k"}}),
    ]:
        answer = app.send(method, f"/devices/nobody{path}", body)
        assert (answer.status, answer.headers["x-ms-error-code"]) == (404, "NotFound"), (method, path)


def test_an_old_etag_of_a_device_is_refused(app: App) -> None:
    old = app.put("/devices/d", {}).json["etag"]
    app.patch("/devices/d", {"enabled": False})

    assert app.patch("/devices/d", {"enabled": True, "etag": old}).status == 412
    assert app.put("/devices/d", {"etag": old}).status == 412
    assert app.send("DELETE", "/devices/d", headers={"if-match": old}).status == 412
    assert app.send("DELETE", "/devices/d", headers={"if-match": "*"}).status == 204


def test_an_etag_for_a_device_that_is_gone_is_refused(app: App) -> None:
    etag = app.put("/devices/d", {}).json["etag"]
    app.delete("/devices/d")

    assert app.put("/devices/d", {"etag": etag}).status == 412


def test_ids_are_percent_decoded_and_compared_exactly(app: App) -> None:
    assert app.put("/devices/a%20b%2Fc%25", {}).json["id"] == "a b/c%"
    app.put("/devices/Pump", {})
    assert app.get("/devices/pump").status == 404
    assert app.put(f"/devices/{'x' * 129}", {}).status == 422


def test_a_deleted_device_is_gone(app: App) -> None:
    app.put("/devices/d", {})

    assert app.delete("/devices/d").status == 204
    assert app.get("/devices/d").status == 404
    assert app.delete("/devices/d").status == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("displayName eq 'Pump''s'", ["a"]),
        ("enabled eq true", ["a", "c"]),
        ("enabled eq false and simulated eq true", ["b"]),
        ("id eq 'c'", ["c"]),
        ("provisioned eq true", []),
        ("id eq 'nobody'", []),
    ],
)
def test_a_filter_finds_what_it_says(app: App, query: str, found: list[str]) -> None:
    app.put("/devices/a", {"displayName": "Pump's"})
    app.put("/devices/b", {"enabled": False, "simulated": True})
    app.put("/devices/c", {})
    page = app.get("/devices", f"api-version=2022-07-31&$filter={query.replace(' ', '+')}")

    assert [device["id"] for device in page.json["value"]] == found


@pytest.mark.parametrize(
    "query",
    [
        "$filter=",
        "$filter=id",
        "$filter=colour+eq+'red'",
        "$filter=id+ne+'x'",
        "$filter=id+eq+'x'+or+id+eq+'y'",
        "$filter=id+eq+'x",
        "$filter=id+eq+'x'and",
        "$orderby=colour",
        "$orderby=id+sideways",
        "$top=0",
        "$top=101",
        "$top=ten",
        "$top=-1",
        "$skiptoken=nonsense",
        "$skiptoken=WzEsMl0%3D",
        "$skiptoken=%C3%A4",
        "$filter=%FF",
    ],
)
def test_a_query_that_is_not_understood_is_a_bad_request(app: App, query: str) -> None:
    assert app.get("/devices", f"api-version=2022-07-31&{query}").status == 400


def test_devices_can_be_ordered(app: App) -> None:
    for device, name in [("a", "Z"), ("b", "Y"), ("c", "X")]:
        app.put(f"/devices/{device}", {"displayName": name})

    def ordered(by: str) -> list[str]:
        return [d["id"] for d in app.get("/devices", f"api-version=2022-07-31&$orderby={by}").json["value"]]

    assert ordered("displayName") == ["c", "b", "a"]
    assert ordered("displayName+desc") == ["a", "b", "c"]
