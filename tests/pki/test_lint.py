"""Each finding is found where it belongs, is silent where not, and becomes the right error."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from iotc_admin.errors import BrokenChain, NotAllowedHere, OutsideValidity
from iotc_admin.pki import store
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.description import describe
from iotc_admin.pki.identity import DeviceIdentity
from iotc_admin.pki.keys import KeyKind
from iotc_admin.pki.lint import lint, require

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CA_FLAG = x509.BasicConstraints(ca=True, path_length=None)
P256 = ec.generate_private_key(ec.SECP256R1())


def made(
    now: datetime,
    *extensions: x509.ExtensionType,
    name: str | None = "pump-042",
    key: Any = P256,
    serial: int = 1 << 100,
    age: timedelta = HOUR,
    left: timedelta = 300 * DAY,
    **signing: Any,
) -> x509.Certificate:
    """A self-signed certificate as somebody else may have made it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), serial, now - age, now + left)
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest, **signing)


def usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, signs, False, False, False)


def codes(certificate: x509.Certificate, **light: Any) -> set[str]:
    return {f"{each.level} {each.code}" for each in lint(certificate, **light)}


def test_our_own_certificates_have_no_findings(root: CertificateAuthority, now: datetime) -> None:
    line = root.issue_intermediate("line-3", now=now)
    device = line.issue("pump-042", now=now)
    assert lint(root.certificate, role="root", now=now) == []
    assert lint(line.certificate, role="root", now=now, issuer=root.certificate) == []
    alone = DeviceIdentity.self_signed("pump-042", now=now).certificate
    assert lint(alone, role="device", now=now, device_id="pump-042") == []
    light: dict[str, Any] = {"issuer": line.certificate, "device_id": "pump-042", "chain": device.chain}
    assert lint(device.certificate, role="device", now=now, **light) == []
    require(device.certificate, role="device", now=now, **light)


def test_a_leaf_is_no_root(now: datetime) -> None:
    assert "error not-a-ca" in codes(made(now), role="root", now=now)


def test_a_version_1_certificate_is_no_root(data: Path, now: datetime) -> None:
    found = lint(store.load_certificates(data / "sha1_leaf_v1.pem")[0], role="root", now=now)
    assert any(each.code == "not-a-ca" and "version 1" in each.cause for each in found)


def test_a_root_that_may_not_sign_is_refused(now: datetime) -> None:
    assert "error key-usage-no-signing" in codes(made(now, CA_FLAG, usage(signs=False)), role="root", now=now)


def test_a_minimal_root_gets_warnings_only(now: datetime) -> None:
    assert codes(made(now, CA_FLAG), role="root", now=now) == {
        "warning key-usage-absent",
        "warning key-identifier-absent",
    }


@pytest.mark.parametrize(
    ("serial", "short"), [(1, True), (1 << 55, True), (1 << 56, False), (1 << 63, False)]
)
def test_a_short_serial_is_warned_about(now: datetime, serial: int, short: bool) -> None:
    found = codes(made(now, CA_FLAG, serial=serial), role="root", now=now)
    assert ("warning serial-short" in found) is short


@pytest.mark.parametrize("role", ["root", "device"])
def test_dates_are_errors(now: datetime, role: Any) -> None:
    certificate = made(now, CA_FLAG)
    assert "error expired" in codes(certificate, role=role, now=now + 301 * DAY)
    assert "error not-yet-valid" in codes(certificate, role=role, now=now - DAY)
    with pytest.raises(OutsideValidity, match=r"^root\.pem expired on") as caught:
        require(made(now, CA_FLAG), role="root", now=now + 301 * DAY, name="root.pem")
    assert caught.value.hint


def test_a_root_that_ends_within_a_month_is_warned_about(now: datetime) -> None:
    assert "warning expires-soon" in codes(made(now, CA_FLAG), role="root", now=now + 280 * DAY)
    assert "warning expires-soon" not in codes(made(now, CA_FLAG), role="root", now=now)


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("sha1_root", "signature-weak"),
        ("md5_root", "signature-weak"),
        ("rsa1024_root", "key-unsupported"),
        ("sm2", "key-unsupported"),
        ("sm2", "signature-weak"),
    ],
)
def test_old_certificates_are_too_weak(data: Path, file: str, code: str) -> None:
    certificate = store.load_certificates(data / f"{file}.pem")[0]
    now = certificate.not_valid_before_utc + DAY
    for role in ("root", "device"):
        assert f"error {code}" in codes(certificate, role=role, now=now)
    with pytest.raises(NotAllowedHere):
        require(certificate, role="root", now=now)


def test_a_curve_or_algorithm_the_service_does_not_know(now: datetime) -> None:
    def found(key: Any, **signing: Any) -> set[str]:
        return codes(made(now, CA_FLAG, key=key, **signing), role="root", now=now)

    assert "error key-unsupported" in found(ed25519.Ed25519PrivateKey.generate())
    assert "error key-unsupported" in found(ec.generate_private_key(ec.SECP256K1()))
    assert "warning key-p521" in found(ec.generate_private_key(ec.SECP521R1()))


def test_rsa_pss_is_warned_about(now: datetime, rsa_key: rsa.RSAPrivateKey) -> None:
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    certificate = made(now, CA_FLAG, key=rsa_key, rsa_padding=pss)
    assert "warning signature-pss" in codes(certificate, role="root", now=now)
    assert describe(certificate).signature_algorithm == "SHA-256 with RSA-PSS"


def test_extensions_that_cannot_be_parsed_are_an_error_and_describe_goes_on(now: datetime) -> None:
    broken = x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.19"), b"\x30\x03\x01\x01")
    certificate = made(now, broken)
    assert "error extensions-unreadable" in codes(certificate, role="device", now=now)
    facts = describe(certificate)
    assert (facts.common_name, facts.is_ca, facts.key_usage) == ("pump-042", False, [])


def test_a_ca_is_no_device(now: datetime) -> None:
    assert "error is-a-ca" in codes(made(now, CA_FLAG), role="device", now=now)


def test_a_device_that_is_no_tls_client_is_refused(now: datetime) -> None:
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    assert "error usage-no-client" in codes(made(now, server), role="device", now=now)
    assert codes(made(now, both), role="device", now=now) == set()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, {"error name-absent"}),
        ("pump 42", {"error name-invalid", "error name-differs"}),
        ("pump-043", {"error name-differs"}),
        ("Pump-042", {"warning name-differs", "warning name-upper-case"}),
        ("pump:042", {"error name-differs", "warning name-colon"}),
        ("pump-042", set()),
    ],
)
def test_the_common_name_is_the_device_id(now: datetime, name: str | None, expected: set[str]) -> None:
    assert codes(made(now, name=name), role="device", now=now, device_id="pump-042") == expected


@pytest.mark.parametrize("role", ["root", "device"])
def test_the_wrong_issuer_is_an_error(root: CertificateAuthority, now: datetime, role: Any) -> None:
    twin = CertificateAuthority.create("plant-7", now=now).certificate
    line = root.issue_intermediate("line-3", now=now).certificate
    assert "error not-signed-by-issuer" in codes(line, role=role, now=now, issuer=twin)
    with pytest.raises(BrokenChain, match="CN=plant-7"):
        require(line, role="root", now=now, issuer=twin)


def test_dates_outside_the_issuers_are_warned_about(now: datetime) -> None:
    issuer = made(now, CA_FLAG, age=2 * HOUR, left=10 * DAY)
    for age, left, outside in ((HOUR, 10 * DAY, False), (HOUR, 11 * DAY, True), (3 * HOUR, DAY, True)):
        found = codes(made(now, age=age, left=left), role="device", now=now, issuer=issuer)
        assert ("warning outside-issuer" in found) is outside


def test_a_certificate_that_has_just_begun_is_warned_about(now: datetime) -> None:
    assert "warning begins-now" in codes(made(now, age=timedelta(minutes=59)), role="device", now=now)
    assert "warning begins-now" not in codes(made(now), role="device", now=now)


def test_a_long_chain_is_warned_about(root: CertificateAuthority, now: datetime) -> None:
    device = root.issue("pump-042", now=now).certificate
    assert "warning chain-large" in codes(device, role="device", now=now, chain=[device] * 10)
    assert "warning chain-large" not in codes(device, role="device", now=now, chain=[device] * 4)


def test_errors_come_first_and_every_finding_names_cause_and_fix(now: datetime) -> None:
    found = lint(made(now, name="Pump 42", age=timedelta(0)), role="device", now=now, device_id="x")
    assert [each.level for each in found] == sorted(each.level for each in found)
    assert all(each.what and each.cause and each.fix for each in found)


def test_facts_of_our_device(now: datetime) -> None:
    alone = DeviceIdentity.self_signed("pump-042", now=now, kind=KeyKind.EC_P384).certificate
    facts = describe(alone)
    assert facts.subject == facts.issuer == "CN=pump-042"
    assert (facts.key_usage, facts.extended_key_usage) == (["digitalSignature"], ["clientAuth"])
    assert facts.sha1 == alone.fingerprint(hashes.SHA1()).hex().upper()
    assert facts.sha256 == alone.fingerprint(hashes.SHA256()).hex().upper()
    assert (facts.version, facts.key_type) == ("v3", "EC P-384")
    assert facts.not_after.utcoffset() == timedelta(0)


def test_facts_of_certificates_nobody_makes_any_more(data: Path) -> None:
    algorithms = {
        path.stem: describe(store.load_certificates(path)[0]).signature_algorithm
        for path in data.glob("*.pem")
    }
    assert algorithms["sha1_root"] == "SHA-1 with RSA"
    assert algorithms["md5_root"] == "MD5 with RSA"
    assert algorithms["sm2"] == "1.2.156.10197.1.501"
