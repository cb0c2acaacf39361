from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.world import App, Authority, authority, base64_der, base64_pem, pem, sha1

DEVICE = "/devices/pump-042"
PATH = f"{DEVICE}/attestation"


@pytest.fixture
def device(app: App) -> App:
    app.put(DEVICE, {})
    return app


def x509(**slots: str) -> dict[str, Any]:
    certificates = {slot: {"certificate": text} for slot, text in slots.items()}
    return {"type": "x509", "x509": {"clientCertificates": certificates}}


@pytest.mark.parametrize("encode", [base64_pem, base64_der, pem])
def test_an_attestation_takes_each_encoding_and_tells_thumbprints_only(
    device: App, root: Authority, encode: Any
) -> None:
    leaf = root.sign("pump-042")
    answer = device.put(PATH, x509(primary=encode(leaf)))

    assert answer.status == 200
    info = {"info": {"sha1Thumbprint": sha1(leaf)}}
    assert answer.json == {"type": "x509", "x509": {"clientCertificates": {"primary": info}}}
    assert device.get(PATH).json == answer.json


def test_a_device_without_attestation_has_none_to_show(device: App) -> None:
    assert device.get(PATH).status == 404
    assert device.delete(PATH).status == 404
    assert device.patch(PATH, {"type": "x509"}).status == 404


def test_a_patch_changes_one_slot_and_null_removes_one(device: App, root: Authority) -> None:
    first, second = root.sign("pump-042"), root.sign("pump-042")
    device.put(PATH, x509(primary=base64_pem(first)))
    both = device.patch(PATH, x509(secondary=base64_pem(second))).json["x509"]["clientCertificates"]

    assert both["primary"]["info"]["sha1Thumbprint"] == sha1(first)
    assert both["secondary"]["info"]["sha1Thumbprint"] == sha1(second)
    removal = {"x509": {"clientCertificates": {"secondary": None}}}
    assert set(device.patch(PATH, removal).json["x509"]["clientCertificates"]) == {"primary"}
    removal = {"x509": {"clientCertificates": {"primary": None}}}
    assert device.patch(PATH, removal).status == 422


def test_the_own_answer_may_come_back_in_a_patch(device: App, root: Authority) -> None:
    device.put(PATH, x509(primary=base64_pem(root.sign("pump-042"))))
    shown = device.get(PATH).json

    assert device.patch(PATH, shown).json == shown


@pytest.mark.parametrize(
    "wrong",
    [
        x509(secondary=base64_pem(authority().certificate)),
        x509(primary="nonsense"),
        x509(),
        {"type": "x509"},
        {"type": "x509", "x509": {}},
        {"type": "x509", "x509": {"clientCertificates": {"primary": {}}}},
        {"type": "tpm", "tpm": {}},
        {"type": "tpm", "symmetricKey": {"primaryKey": "a", "secondaryKey": "b"}},
        {"type": "password"},
        {},
    ],
)
def test_an_invalid_attestation_is_refused(device: App, wrong: dict[str, Any]) -> None:
    assert device.put(PATH, wrong).status == 422
    assert device.get(PATH).status == 404


def test_a_patch_may_change_the_type_when_it_brings_what_belongs_to_it(device: App) -> None:
    keys = {"primaryKey": "YQ==", "secondaryKey": "Yg=="}
    device.put(PATH, {"type": "tpm", "tpm": {"endorsementKey": "ek"}})

    assert device.patch(PATH, {"type": "symmetricKey"}).status == 422
    assert device.patch(PATH, {"symmetricKey": keys}).status == 422
    changed = device.patch(PATH, {"type": "symmetricKey", "symmetricKey": keys})
    assert changed.json == {"type": "symmetricKey", "symmetricKey": keys}


def test_any_common_name_and_a_ca_are_stored(device: App, root: Authority) -> None:
    assert device.put(PATH, x509(primary=base64_pem(root.certificate))).status == 200


def test_a_device_id_beyond_64_characters_has_no_x509_attestation(app: App, root: Authority) -> None:
    path = f"/devices/{'x' * 65}"
    app.put(path, {})

    assert app.put(f"{path}/attestation", x509(primary=base64_pem(root.certificate))).status == 422


def test_deleting_an_attestation_leaves_the_device(device: App) -> None:
    device.put(PATH, {"type": "tpm", "tpm": {"endorsementKey": "ek"}})

    assert device.delete(PATH).status == 204
    assert device.get(PATH).status == 404
    assert device.get(DEVICE).status == 200


def test_an_attestation_survives_the_replacement_of_the_device(device: App) -> None:
    device.put(PATH, {"type": "tpm", "tpm": {"endorsementKey": "ek"}})
    device.put(DEVICE, {"displayName": "new"})

    assert device.get(PATH).json["tpm"] == {"endorsementKey": "ek"}


def test_credentials_name_the_id_scope_and_how_the_device_may_connect(device: App, root: Authority) -> None:
    scope = device.emulator.id_scope
    keys = device.get(f"{DEVICE}/credentials").json

    assert scope.startswith("0ne")
    assert set(keys) == {"idScope", "symmetricKey"}
    assert keys["idScope"] == scope
    assert keys == device.get(f"{DEVICE}/credentials").json
    leaf = root.sign("pump-042")
    device.put(PATH, x509(primary=base64_pem(leaf)))
    answer = device.get(f"{DEVICE}/credentials").json
    info = {"info": {"sha1Thumbprint": sha1(leaf)}}
    assert answer == {"idScope": scope, "x509": {"clientCertificates": {"primary": info}}}


def test_each_device_has_keys_of_its_own(device: App) -> None:
    device.put("/devices/other", {})
    answers = [device.get(f"/devices/{name}/credentials").json for name in ("pump-042", "other")]
    keys = {key for answer in answers for key in answer["symmetricKey"].values()}

    assert len(keys) == 4
