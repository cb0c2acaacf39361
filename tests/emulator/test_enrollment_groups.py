from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest

from tests.emulator.world import X509_GROUP, App, Authority, base64_pem, sha1

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_new_group_is_enabled_and_shows_no_slots(app: App) -> None:
    answer = app.put("/enrollmentGroups/plant-7", X509_GROUP)

    assert answer.status == 200
    etag = answer.json.pop("etag")
    assert {key: value for key, value in answer.json.items() if key != "etag"} == {
        **X509_GROUP,
        "id": "plant-7",
        "enabled": True,
        "attestation": {"type": "x509", "x509": {"signingCertificates": {}}},
    }
    assert app.get("/enrollmentGroups/plant-7").json == answer.json
    inner = json.loads(b64decode(etag))
    assert set(inner) == {"header", "data"}
    assert all(value.startswith('"') and value.endswith('"') for value in inner.values())


def test_the_default_groups_exist_and_have_symmetric_keys(app: App) -> None:
    groups = {group["id"]: group for group in app.get("/enrollmentGroups").json["value"]}

    assert groups["SAS-IoT-Devices"]["type"] == "iot"
    assert groups["SAS-IoT-Edge-Devices"]["type"] == "iotEdge"
    keys = [group["attestation"]["symmetricKey"]["primaryKey"] for group in groups.values()]
    assert len(set(keys)) == 2


def test_a_group_with_symmetric_keys_keeps_the_ones_it_was_given(app: App) -> None:
    keys = {"primaryKey": "cHJpbWFyeQ==", "secondaryKey": "c2Vjb25kYXJ5"}
    attestation = {"type": "symmetricKey", "symmetricKey": keys}
    answer = app.put("/enrollmentGroups/sas", {**X509_GROUP, "attestation": attestation})

    assert answer.json["attestation"] == attestation


def test_creating_a_group_twice_is_a_conflict(app: App) -> None:
    app.group()
    answer = app.put("/enrollmentGroups/plant-7", X509_GROUP)

    assert answer.status == 409
    assert "exists already" in answer.message


def test_a_second_group_of_the_same_display_name_is_a_conflict(app: App) -> None:
    app.put("/enrollmentGroups/a", X509_GROUP)

    assert app.put("/enrollmentGroups/b", X509_GROUP).status == 409
    app.put("/enrollmentGroups/b", {**X509_GROUP, "displayName": "B"})
    assert app.patch("/enrollmentGroups/b", {"displayName": "Plant 7"}).status == 409
    assert app.patch("/enrollmentGroups/a", {"displayName": "Plant 7"}).status == 200


@pytest.mark.parametrize("group_id", ["under_score", "a" * 256, "dot.dot", "%C3%A4"])
def test_an_id_outside_the_published_pattern_is_refused(app: App, group_id: str) -> None:
    assert app.put(f"/enrollmentGroups/{group_id}", X509_GROUP).status == 422


def test_the_longest_id_is_accepted(app: App) -> None:
    assert app.put(f"/enrollmentGroups/{'a' * 255}", X509_GROUP).status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"displayName": " "},
        {"displayName": None},
        {"displayName": 7},
        {"type": "plc"},
        {"enabled": "yes"},
        {"attestation": {"type": "tpm"}},
        {"attestation": {"type": "x509", "symmetricKey": {"primaryKey": "a", "secondaryKey": "b"}}},
        {"colour": "red"},
    ],
)
def test_an_invalid_group_is_refused(app: App, wrong: dict[str, object]) -> None:
    assert app.put("/enrollmentGroups/plant-7", {**X509_GROUP, **wrong}).status == 422
    assert app.get("/enrollmentGroups/plant-7").status == 404


def test_certificates_in_the_group_are_uploaded_into_its_slots(app: App, root: Authority) -> None:
    slots = {"primary": {"certificate": base64_pem(root.certificate)}}
    attestation = {"type": "x509", "x509": {"signingCertificates": slots}}

    assert app.put("/enrollmentGroups/plant-7", {**X509_GROUP, "attestation": attestation}).status == 200
    slot = app.get("/enrollmentGroups/plant-7/certificates/primary").json
    assert slot["info"] == {"sha1Thumbprint": sha1(root.certificate)}
    assert slot["verified"] is False


def test_a_bad_certificate_in_the_group_leaves_no_group_behind(app: App) -> None:
    attestation = {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": "AAAA"}}}}

    assert app.put("/enrollmentGroups/plant-7", {**X509_GROUP, "attestation": attestation}).status == 422
    assert app.get("/enrollmentGroups/plant-7").status == 404


def test_a_patch_changes_what_it_names_and_moves_the_etag(app: App) -> None:
    path = app.group()
    before = app.get(path).json
    after = app.patch(path, {"enabled": False}).json

    assert after["enabled"] is False
    assert after["displayName"] == before["displayName"]
    assert after["etag"] != before["etag"]
    assert app.patch(path, {"displayName": "Renamed"}).json["enabled"] is False
    assert app.patch(path, {"enabled": None}).json["enabled"] is True


def test_a_group_cannot_lose_its_display_name(app: App) -> None:
    assert app.patch(app.group(), {"displayName": None}).status == 422


@pytest.mark.parametrize("patch", [{"type": "iotEdge"}, {"attestation": {"type": "x509"}}])
def test_type_and_attestation_of_a_group_cannot_change(app: App, patch: dict[str, object]) -> None:
    assert app.patch(app.group(), patch).status == 422


def test_an_old_etag_is_refused_in_the_body_and_in_if_match(app: App) -> None:
    path = app.group()
    old = app.get(path).json["etag"]
    new = app.patch(path, {"enabled": False, "etag": old}).json["etag"]

    assert app.patch(path, {"enabled": True, "etag": old}).status == 412
    refused = app.send("PATCH", path, {"enabled": True}, headers={"if-match": f'"{old}"'})
    assert refused.status == 412
    assert app.send("DELETE", path, headers={"if-match": old}).status == 412
    assert app.send("PATCH", path, {"enabled": True}, headers={"if-match": "*"}).status == 200
    assert app.patch(path, {"enabled": True, "etag": new}).status == 412


def test_deleting_a_group_frees_its_id_and_name(app: App) -> None:
    path = app.group()

    assert app.delete(path).status == 204
    assert app.get(path).status == 404
    assert app.delete(path).status == 404
    assert app.patch(path, {}).status == 404
    app.group()


def test_the_hundred_and_first_x509_group_is_refused(app: App) -> None:
    for number in range(100):
        app.group(f"g{number}")

    assert app.put("/enrollmentGroups/one-more", X509_GROUP).status == 422
    sas = {**X509_GROUP, "attestation": {"type": "symmetricKey"}}
    assert app.put("/enrollmentGroups/sas", sas).status == 200


def test_a_symmetric_group_has_no_slots(app: App, root: Authority) -> None:
    path = "/enrollmentGroups/SAS-IoT-Devices/certificates/primary"

    assert app.get(path).status == 404
    assert app.put(path, {"certificate": base64_pem(root.certificate)}).status == 422


def test_group_slots_are_shown_where_the_switch_says_so(started: Callable[..., App], root: Authority) -> None:
    from iotc_admin.emulator import Switches

    app = started(switches=Switches(group_slots="shown"))
    shown = app.get(app.group("plant-7", root.certificate)).json["attestation"]["x509"]
    assert shown["signingCertificates"]["primary"]["info"]["sha1Thumbprint"] == sha1(root.certificate)
