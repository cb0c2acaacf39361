from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from iotc_admin.emulator import Switches
from iotc_admin.errors import SettingsError
from tests.emulator.world import VERSION, X509_GROUP, App, Authority, base64_pem, pem, sha1

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def switched(started: Callable[..., App]) -> Callable[..., App]:
    return lambda *settings: started(switches=Switches.parse(settings))


def _upload(app: App, slot: str, certificate: Any, **fields: Any) -> Any:
    return app.put(slot, {"certificate": base64_pem(certificate), **fields})


def test_same_put_keeps(switched: Callable[..., App], root: Authority, other: Authority) -> None:
    app = switched("same-put=keeps")
    slot = f"{app.group('g', root.certificate)}/certificates/primary"
    app.verify(slot, root.sign(app.code(slot)))

    assert _upload(app, slot, root.certificate).json["verified"] is True
    assert _upload(app, slot, other.certificate).json["verified"] is False


def test_code_stable(switched: Callable[..., App], root: Authority) -> None:
    app = switched("code=stable")
    slot = f"{app.group('g', root.certificate)}/certificates/primary"

    assert app.code(slot) == app.code(slot)


def test_code_lifetime_hour(switched: Callable[..., App], root: Authority) -> None:
    app = switched("code-lifetime=hour")
    slot = f"{app.group('g', root.certificate)}/certificates/primary"
    proof = root.sign(app.code(slot))
    app.emulator.control.advance(timedelta(hours=1, minutes=1))

    answer = app.verify(slot, proof)
    assert answer.status == 400
    assert "code has expired" in answer.message


def test_duplicate_name_422(switched: Callable[..., App]) -> None:
    app = switched("duplicate-name=422")
    app.put("/enrollmentGroups/a", X509_GROUP)

    assert app.put("/enrollmentGroups/b", X509_GROUP).status == 422


@pytest.mark.parametrize(("value", "status"), [("409", 409), ("422", 422), ("allowed", 200)])
def test_shared_ca(switched: Callable[..., App], root: Authority, value: str, status: int) -> None:
    app = switched(f"shared-ca={value}")
    app.group("a", root.certificate)

    assert _upload(app, f"{app.group('b')}/certificates/primary", root.certificate).status == status


def test_patch_json_refused(switched: Callable[..., App]) -> None:
    app = switched("patch-json=refused")
    path = app.group()

    assert app.send("PATCH", path, {}, headers={"content-type": "application/json"}).status == 415
    assert app.patch(path, {}).status == 200


@pytest.mark.parametrize(("value", "header"), [("absent", None), ("sent", "1")])
def test_retry_after(started: Callable[..., App], value: str, header: str | None) -> None:
    app = started(throttle="window", switches=Switches.parse([f"retry-after={value}"]))
    answers = [app.get("/devices") for _ in range(30)]
    refused = [answer for answer in answers if answer.status == 429]

    assert refused
    assert all(answer.headers.get("retry-after") == header for answer in refused)


def test_both_slots_allowed(switched: Callable[..., App], root: Authority) -> None:
    app = switched("both-slots=allowed")
    app.group("g", root.certificate, root.certificate)


def test_group_limit_none(switched: Callable[..., App]) -> None:
    app = switched("group-limit=none")
    for number in range(102):
        app.group(f"g{number}")


def test_delete_missing_204(switched: Callable[..., App]) -> None:
    app = switched("delete-missing=204")

    for path in ("/devices/d", "/enrollmentGroups/g", f"{app.group()}/certificates/primary", "/apiTokens/t"):
        assert app.delete(path).status == 204
    assert app.get("/devices/d").status == 404
    assert app.delete("/nothing/at/all").status == 404


def test_long_ids_accepted(switched: Callable[..., App], root: Authority) -> None:
    app = switched("long-ids=accepted")
    path = f"/devices/{'x' * 65}"
    app.put(path, {})
    certificates = {"primary": {"certificate": base64_pem(root.certificate)}}
    sent = {"type": "x509", "x509": {"clientCertificates": certificates}}

    assert app.put(f"{path}/attestation", sent).status == 200


def test_put_verified_ignored(switched: Callable[..., App], root: Authority) -> None:
    app = switched("put-verified=ignored")
    slot = f"{app.group()}/certificates/primary"

    assert _upload(app, slot, root.certificate, verified=True).json["verified"] is False


def test_device_cn_checked(switched: Callable[..., App], root: Authority) -> None:
    app = switched("device-cn=checked")
    app.put("/devices/d", {})

    def attest(certificate: Any) -> int:
        certificates = {"primary": {"certificate": base64_pem(certificate)}}
        sent = {"type": "x509", "x509": {"clientCertificates": certificates}}
        return app.put("/devices/d/attestation", sent).status

    assert attest(root.sign("other")) == 422
    assert attest(root.sign("D")) == 422
    assert attest(root.sign("d", issuer="d")) == 200
    assert attest(root.sign("other", issuer="d")) == 422
    assert attest(root.sign("d")) == 422


def test_reads_delayed(switched: Callable[..., App], root: Authority, other: Authority) -> None:
    app = switched("reads=delayed")
    slot = f"{app.group('g', root.certificate)}/certificates/primary"
    _upload(app, slot, other.certificate)

    assert app.get(slot).json["info"]["sha1Thumbprint"] == sha1(root.certificate)
    app.emulator.control.advance(timedelta(seconds=6))
    assert app.get(slot).json["info"]["sha1Thumbprint"] == sha1(other.certificate)
    app.verify(slot, other.sign(app.code(slot)))
    assert app.get(slot).json["verified"] is False
    app.emulator.control.advance(timedelta(seconds=6))
    assert app.get(slot).json["verified"] is True


def test_create_status_201(switched: Callable[..., App]) -> None:
    app = switched("create-status=201")

    assert app.put("/devices/d", {}).status == 201
    assert app.patch("/devices/d", {}).status == 200


@pytest.mark.parametrize(
    ("value", "top", "maxpagesize"),
    [("top", 1, 3), ("maxpagesize", 3, 1), ("both", 1, 1), ("ignored", 3, 3)],
)
def test_page_size_query(switched: Callable[..., App], value: str, top: int, maxpagesize: int) -> None:
    app = switched(f"page-size-query={value}")
    for device in "abc":
        app.put(f"/devices/{device}", {})

    assert len(app.get("/devices", f"{VERSION}&$top=1").json["value"]) == top
    assert len(app.get("/devices", f"{VERSION}&maxpagesize=1").json["value"]) == maxpagesize


def test_bare_pem_accepted(switched: Callable[..., App], root: Authority) -> None:
    app = switched("bare-pem=accepted")
    sent = {"certificate": pem(root.certificate)}

    assert app.put(f"{app.group()}/certificates/primary", sent).status == 200


def test_every_switch_has_a_question_and_starts_with_its_default() -> None:
    defaults = Switches()
    for each in fields(Switches):
        name = each.name.replace("_", "-")
        assert Switches.questions()[name].endswith(".")
        assert Switches.values()[name][0] == getattr(defaults, each.name)
        assert len(Switches.values()[name]) >= 2


@pytest.mark.parametrize(
    ("setting", "hint"),
    [("nonsense=1", "same-put"), ("same-put=maybe", "same-put=keeps"), ("same-put", "same-put=resets")],
)
def test_an_unknown_setting_is_refused_with_the_valid_ones(setting: str, hint: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Switches.parse([setting])
    assert hint in refusal.value.hint
