from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.test_devices import TEMPLATE
from tests.emulator.world import App

PUMP = "/deviceTemplates/dtmi%3Aplant%3Apump%3B1"
GROUP = {"displayName": "Pumps", "filter": "SELECT * FROM devices"}


def test_a_template_is_stored_as_it_came(app: App) -> None:
    answer = app.put(PUMP, {**TEMPLATE, "displayName": "Pump"})

    assert answer.status == 200
    assert answer.json == {
        **TEMPLATE,
        "displayName": "Pump",
        "@id": "dtmi:plant:pump;1",
        "etag": answer.json["etag"],
    }
    assert app.get(PUMP).json == answer.json
    assert answer.json in app.get("/deviceTemplates").json["value"]


def test_a_template_merges_a_patch_as_deep_as_it_goes(app: App) -> None:
    model = {"@id": "dtmi:plant:pump;1", "displayName": "Pump", "contents": [1]}
    app.put(PUMP, {**TEMPLATE, "capabilityModel": model, "description": "old"})
    patch = {"capabilityModel": {"displayName": None, "contents": [2], "new": {"a": 1}}, "description": None}
    answer = app.patch(PUMP, patch)

    assert answer.status == 200
    merged = {"@id": "dtmi:plant:pump;1", "contents": [2], "new": {"a": 1}}
    assert answer.json["capabilityModel"] == merged
    assert "description" not in answer.json
    assert app.patch(PUMP, {"capabilityModel": None}).status == 422


def test_an_old_etag_of_a_template_is_refused(app: App) -> None:
    old = app.put(PUMP, TEMPLATE).json["etag"]
    app.patch(PUMP, {"displayName": "x"})

    assert app.patch(PUMP, {"displayName": "y", "etag": old}).status == 412
    assert app.put(PUMP, {**TEMPLATE, "etag": old}).status == 412


def test_a_template_id_is_a_dtmi(app: App) -> None:
    assert app.put("/deviceTemplates/pump", TEMPLATE).status == 422
    assert app.put("/deviceTemplates/dtmi%3Aplant%3B0", TEMPLATE).status == 422
    assert app.put("/deviceTemplates/dtmi%3AmodelDefinition%3Aa1_b%3Ac", TEMPLATE).status == 200


def test_a_template_in_use_cannot_be_deleted(app: App) -> None:
    app.put(PUMP, TEMPLATE)
    app.put("/devices/d", {"template": "dtmi:plant:pump;1"})

    assert app.delete(PUMP).status == 409
    app.delete("/devices/d")
    assert app.delete(PUMP).status == 204
    assert app.delete(PUMP).status == 404
    assert app.get(PUMP).status == 404
    assert app.patch(PUMP, {}).status == 404


@pytest.mark.parametrize("wrong", [{}, {"@type": ["x"]}, {**TEMPLATE, "capabilityModel": []}])
def test_an_invalid_template_is_refused(app: App, wrong: dict[str, Any]) -> None:
    assert app.put(PUMP, wrong).status == 422


def test_a_device_group_is_created_changed_and_deleted(app: App) -> None:
    created = app.put("/deviceGroups/pumps_1", GROUP)

    assert created.status == 200
    assert created.json == {**GROUP, "id": "pumps_1", "etag": created.json["etag"]}
    patched = app.patch("/deviceGroups/pumps_1", {"description": "all", "etag": created.json["etag"]})
    assert patched.json["description"] == "all"
    assert app.patch("/deviceGroups/pumps_1", {"etag": created.json["etag"]}).status == 412
    assert app.patch("/deviceGroups/pumps_1", {"displayName": None}).status == 422
    assert app.get("/deviceGroups").json["value"] == [app.get("/deviceGroups/pumps_1").json]
    assert app.delete("/deviceGroups/pumps_1").status == 204
    assert app.get("/deviceGroups/pumps_1").status == 404
    assert app.get("/deviceGroups/pumps_1/devices").status == 404


@pytest.mark.parametrize("wrong", [{"filter": " "}, {"organizations": ["nowhere"]}, {"displayName": None}])
def test_an_invalid_device_group_is_refused(app: App, wrong: dict[str, Any]) -> None:
    assert app.put("/deviceGroups/g", {**GROUP, **wrong}).status == 422


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT * FROM devices", ["a", "b"]),
        ('SELECT * FROM devices WHERE $template = "dtmi:plant:pump;1"', ["a"]),
        ("select * from devices where $provisioned = false", ["a", "b"]),
        ("SELECT * FROM devices WHERE $provisioned = true", []),
    ],
)
def test_a_device_group_lists_the_devices_of_its_query(app: App, query: str, found: list[str]) -> None:
    app.put(PUMP, TEMPLATE)
    app.put("/devices/a", {"template": "dtmi:plant:pump;1"})
    app.put("/devices/b", {})
    app.put("/deviceGroups/g", {**GROUP, "filter": query})

    devices = app.get("/deviceGroups/g/devices").json["value"]
    assert [device["id"] for device in devices] == found


@pytest.mark.parametrize("query", ["SELECT 1", "SELECT * FROM devices WHERE $temperature = true"])
def test_a_query_beyond_the_subset_is_refused_when_its_devices_are_asked_for(app: App, query: str) -> None:
    assert app.put("/deviceGroups/g", {**GROUP, "filter": query}).status == 200
    assert app.get("/deviceGroups/g/devices").status == 422
