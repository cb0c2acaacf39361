from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.emulator.world import (
    App,
    Authority,
    authority,
    base64_der,
    base64_pem,
    pem,
    sha1,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def slot(app: App, root: Authority) -> str:
    """The path of a slot that holds the root."""
    return f"{app.group('plant-7', root.certificate)}/certificates/primary"


def test_a_slot_tells_thumbprint_state_and_etag_only(app: App, slot: str, root: Authority) -> None:
    answer = app.get(slot).json

    assert set(answer) == {"verified", "info", "etag"}
    assert answer["info"] == {"sha1Thumbprint": sha1(root.certificate)}
    assert answer["verified"] is False


def test_an_empty_slot_is_not_found(app: App) -> None:
    path = f"{app.group()}/certificates/secondary"

    assert app.get(path).status == 404
    assert app.delete(path).status == 404
    assert app.post(f"{path}/generateVerificationCode").status == 404
    assert app.post(f"{path}/verify", {"certificate": "AAAA"}).status == 404


def test_a_slot_of_a_group_that_does_not_exist_is_not_found(app: App, root: Authority) -> None:
    path = "/enrollmentGroups/nowhere/certificates/primary"

    assert app.get(path).status == 404
    assert app.put(path, {"certificate": base64_pem(root.certificate)}).status == 404
    assert app.delete(path).status == 404


def test_there_is_no_third_slot(app: App) -> None:
    assert app.get(f"{app.group()}/certificates/tertiary").status == 422


def _encodings(certificate: x509.Certificate) -> dict[str, str]:
    text = pem(certificate)
    crlf = text.replace("\n", "\r\n").encode()
    several = (text + pem(authority("Second").certificate)).encode()
    wrapped = b64encode(text.encode()).decode()
    return {
        "base64 of PEM": base64_pem(certificate),
        "base64 of DER": base64_der(certificate),
        "CRLF": b64encode(crlf).decode(),
        "several": b64encode(several).decode(),
        "trailing null": b64encode(f"{text}null".encode()).decode(),
        "leading text": b64encode(f"subject=x\n{text}".encode()).decode(),
        "wrapped lines": "\n".join(wrapped[i : i + 64] for i in range(0, len(wrapped), 64)),
    }


@pytest.mark.parametrize("encoding", _encodings(authority().certificate))
def test_a_slot_takes_each_encoding_that_clients_send(app: App, root: Authority, encoding: str) -> None:
    sent = _encodings(root.certificate)[encoding]
    answer = app.put(f"{app.group()}/certificates/primary", {"certificate": sent})

    assert answer.status == 200, answer.body
    assert answer.json["info"] == {"sha1Thumbprint": sha1(root.certificate)}


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (pem(authority().certificate), "PEM text"),
        ("not base64!", "base64"),
        ("", "no certificate"),
        (b64encode(b"0\x03abc").decode(), "cannot be read"),
        (b64encode(b"some text").decode(), "neither PEM"),
        (b64encode(base64_der(authority().certificate).encode()).decode(), "neither PEM"),
        (
            b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----").decode(),
            "cannot be read",
        ),
    ],
)
def test_what_is_no_encoded_certificate_is_refused(app: App, sent: str, why: str) -> None:
    answer = app.put(f"{app.group()}/certificates/primary", {"certificate": sent})

    assert answer.status == 422
    assert why in answer.message


def test_a_slot_without_certificate_is_refused(app: App) -> None:
    assert app.put(f"{app.group()}/certificates/primary", {"verified": True}).status == 422


def test_a_certificate_without_ca_flag_is_refused(app: App) -> None:
    sent = base64_pem(authority("Leaf", ca=False).certificate)
    answer = app.put(f"{app.group()}/certificates/primary", {"certificate": sent})

    assert answer.status == 422
    assert "CA" in answer.message


def test_the_same_certificate_in_both_slots_is_a_conflict(app: App, slot: str, root: Authority) -> None:
    secondary = slot.replace("primary", "secondary")

    assert app.put(secondary, {"certificate": base64_der(root.certificate)}).status == 409


def test_a_certificate_of_another_group_is_a_conflict(app: App, slot: str, root: Authority) -> None:
    path = f"{app.group('plant-8')}/certificates/secondary"

    assert app.put(path, {"certificate": base64_pem(root.certificate)}).status == 409
    app.delete(slot)
    assert app.put(path, {"certificate": base64_pem(root.certificate)}).status == 200


def test_proof_of_possession_verifies_the_slot_and_uses_up_the_code(
    app: App, slot: str, root: Authority
) -> None:
    proof = root.sign(app.code(slot))

    assert app.verify(slot, proof).status == 204
    assert app.get(slot).json["verified"] is True
    again = app.verify(slot, proof)
    assert again.status == 400
    assert "No verification code" in again.message


def test_a_proof_may_come_as_base64_of_der(app: App, slot: str, root: Authority) -> None:
    proof = base64_der(root.sign(app.code(slot)))

    assert app.post(f"{slot}/verify", {"certificate": proof}).status == 204


def test_a_code_is_48_upper_case_hex_digits_and_ends_the_one_before(
    app: App, slot: str, root: Authority
) -> None:
    first, second = app.code(slot), app.code(slot)

    assert len(first) == 48
    assert set(first) <= set("0123456789ABCDEF")
    assert first != second
    assert app.verify(slot, root.sign(first)).status == 400
    assert app.verify(slot, root.sign(second)).status == 204


def test_a_proof_without_a_pending_code_is_refused(app: App, slot: str, root: Authority) -> None:
    answer = app.verify(slot, root.sign("anything"))

    assert answer.status == 400
    assert "No verification code is pending" in answer.message


@pytest.mark.parametrize(
    "change", [str.lower, lambda code: f"{code} ", lambda code: code[:-1], lambda _: "x"]
)
def test_a_proof_with_another_name_than_the_code_is_refused(
    app: App, slot: str, root: Authority, change: Callable[[str], str]
) -> None:
    answer = app.verify(slot, root.sign(change(app.code(slot))))

    assert answer.status == 400
    assert "common name" in answer.message
    assert app.get(slot).json["verified"] is False


def test_a_proof_of_another_issuer_is_refused(app: App, slot: str, root: Authority, other: Authority) -> None:
    answer = app.verify(slot, other.sign(app.code(slot)))

    assert answer.status == 400
    assert "issued by" in answer.message


def test_a_proof_that_only_bears_the_issuers_name_is_refused(
    app: App, slot: str, root: Authority, other: Authority
) -> None:
    answer = app.verify(slot, root.sign(app.code(slot), key=other.key))

    assert answer.status == 400
    assert "not signed with the key" in answer.message
    assert app.get(slot).json["verified"] is False


def test_a_proof_signed_by_the_right_key_under_another_name_is_refused(
    app: App, slot: str, root: Authority
) -> None:
    answer = app.verify(slot, root.sign(app.code(slot), issuer="Somebody"))

    assert answer.status == 400
    assert "issued by" in answer.message


def test_a_proof_signed_by_an_intermediate_of_the_root_is_refused(
    app: App, slot: str, root: Authority
) -> None:
    line = authority("Line 3", issuer=root)

    assert app.verify(slot, line.sign(app.code(slot))).status == 400
    assert app.get(slot).json["verified"] is False


def test_an_expired_proof_is_refused(app: App, slot: str, root: Authority) -> None:
    proof = root.sign(app.code(slot), not_before=datetime.now(UTC) - timedelta(days=2))
    answer = app.verify(slot, proof)

    assert answer.status == 400
    assert "expired" in answer.message


def test_a_proof_from_the_future_is_refused_until_the_clock_gets_there(
    app: App, slot: str, root: Authority
) -> None:
    proof = root.sign(app.code(slot), not_before=datetime.now(UTC) + timedelta(hours=2))
    answer = app.verify(slot, proof)

    assert answer.status == 400
    assert "not valid yet" in answer.message
    app.emulator.control.advance(timedelta(hours=3))
    assert app.verify(slot, proof).status == 204


def test_an_unreadable_proof_is_refused_and_keeps_the_code(app: App, slot: str, root: Authority) -> None:
    code = app.code(slot)

    assert app.post(f"{slot}/verify", {"certificate": "AAAA"}).status == 422
    assert app.post(f"{slot}/verify", {"certificate": None}).status == 422
    assert app.post(f"{slot}/verify", {}).status == 422
    assert app.verify(slot, root.sign(code)).status == 204


def test_the_code_of_one_slot_does_not_prove_the_other(app: App, root: Authority, other: Authority) -> None:
    path = f"{app.group('plant-7', root.certificate, other.certificate)}/certificates"
    code = app.code(f"{path}/primary")
    app.code(f"{path}/secondary")

    assert app.verify(f"{path}/secondary", other.sign(code)).status == 400


def test_a_proof_with_critical_client_auth_is_accepted(app: App, slot: str, root: Authority) -> None:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])

    assert app.verify(slot, root.sign(app.code(slot), extensions=((usage, True),))).status == 204


def test_a_put_resets_verified_even_with_the_identical_certificate(
    app: App, slot: str, root: Authority, other: Authority
) -> None:
    app.verify(slot, root.sign(app.code(slot)))
    same = app.put(slot, {"certificate": base64_pem(root.certificate)})

    assert same.json["verified"] is False
    app.verify(slot, root.sign(app.code(slot)))
    assert app.put(slot, {"certificate": base64_pem(other.certificate)}).json["verified"] is False


def test_a_put_ends_the_pending_code(app: App, slot: str, root: Authority) -> None:
    code = app.code(slot)
    app.put(slot, {"certificate": base64_pem(root.certificate)})

    assert app.verify(slot, root.sign(code)).status == 400


def test_a_new_code_leaves_a_verified_slot_verified(app: App, slot: str, root: Authority) -> None:
    app.verify(slot, root.sign(app.code(slot)))
    app.code(slot)

    assert app.get(slot).json["verified"] is True


def test_verified_in_a_put_skips_the_proof(app: App, root: Authority) -> None:
    sent = {"certificate": base64_pem(root.certificate), "verified": True}

    assert app.put(f"{app.group()}/certificates/primary", sent).json["verified"] is True


def test_read_only_fields_of_a_slot_are_accepted_and_ignored(app: App, slot: str, root: Authority) -> None:
    sent = {"certificate": base64_pem(root.certificate), "info": {"sha1Thumbprint": "00"}}

    assert app.put(slot, sent).json["info"] == {"sha1Thumbprint": sha1(root.certificate)}


def test_each_step_moves_the_etags_of_slot_and_group(app: App, slot: str, root: Authority) -> None:
    group = slot.partition("/certificates")[0]
    seen = set()
    steps: list[Callable[[], object]] = [
        lambda: app.put(slot, {"certificate": base64_pem(root.certificate)}),
        lambda: app.code(slot),
        lambda: app.verify(slot, root.sign(app.code(slot))),
    ]
    for step in [lambda: None, *steps]:
        step()
        seen.add((app.get(slot).json["etag"], app.get(group).json["etag"]))
    assert len(seen) == 4
    assert len({etag for pair in seen for etag in pair}) == 8
    before = app.get(group).json["etag"]
    app.delete(slot)
    assert app.get(group).json["etag"] != before


def test_an_old_etag_of_a_slot_is_refused(app: App, slot: str, root: Authority) -> None:
    old = app.get(slot).json["etag"]
    app.code(slot)
    sent = {"certificate": base64_pem(root.certificate)}

    assert app.put(slot, {**sent, "etag": old}).status == 412
    assert app.send("DELETE", slot, headers={"if-match": old}).status == 412
    assert app.put(slot, {**sent, "etag": app.get(slot).json["etag"]}).status == 200
    secondary = slot.replace("primary", "secondary")
    assert app.put(secondary, {**sent, "etag": old}).status == 412


def test_deleting_a_slot_empties_it(app: App, slot: str, root: Authority) -> None:
    code = app.code(slot)

    assert app.delete(slot).status == 204
    assert app.get(slot).status == 404
    app.put(slot, {"certificate": base64_pem(root.certificate)})
    assert app.verify(slot, root.sign(code)).status == 400
