"""A CA issues what the service accepts, within its own limits, and refuses everything else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from iotc_admin.errors import BrokenChain, KeyMismatch, NotAllowedHere, OutsideValidity, PkiError
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.chain import build_chain, is_self_signed, signed_by
from iotc_admin.pki.description import common_name, describe
from iotc_admin.pki.identity import DeviceIdentity
from iotc_admin.pki.keys import KeyKind, new_key, same_key
from iotc_admin.pki.lint import lint

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def request(name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> x509.CertificateSigningRequest:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def with_certificate(
    key: ec.EllipticCurvePrivateKey, now: datetime, *, ca: bool, usage: bool | None
) -> CertificateAuthority:
    """A CA made by somebody else: `usage` is keyCertSign, None leaves keyUsage out."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "theirs")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now - HOUR, now + DAY)
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if usage is not None:
        flags = (True, False, False, False, False, usage, False, False, False)
        builder = builder.add_extension(x509.KeyUsage(*flags), critical=True)
    return CertificateAuthority(builder.sign(key, hashes.SHA256()), key)


def test_a_root_is_valid_from_an_hour_ago_for_as_long_as_asked(now: datetime) -> None:
    facts = describe(CertificateAuthority.create("plant-7", now=now, lifetime=5 * DAY).certificate)
    assert facts.not_before == now.replace(microsecond=0) - HOUR
    assert facts.not_after == now.replace(microsecond=0) + 5 * DAY
    assert (facts.is_ca, facts.path_length, facts.self_signed) == (True, None, True)


@pytest.mark.parametrize("kind", list(KeyKind)[:-1])
def test_the_kind_of_key_and_the_hash_go_together(now: datetime, kind: KeyKind) -> None:
    facts = describe(CertificateAuthority.create("plant-7", now=now, kind=kind).certificate)
    assert facts.key_type.replace(" ", "-").lower().replace("p-", "p") == kind
    assert facts.signature_algorithm.startswith("SHA-384" if kind == KeyKind.EC_P384 else "SHA-256")


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "ä" * 33, "a\nb", "a\0b", "\ud800"])
def test_a_root_with_an_impossible_name_is_refused(now: datetime, name: str) -> None:
    with pytest.raises(NotAllowedHere):
        CertificateAuthority.create(name, now=now)


@pytest.mark.parametrize("days", [0, -1, 10**7])
def test_an_impossible_lifetime_is_refused(now: datetime, days: int) -> None:
    with pytest.raises(OutsideValidity, match="lifetime"):
        CertificateAuthority.create("plant-7", now=now, lifetime=timedelta(days=days))


@pytest.mark.parametrize("device_id", ["pump-042", "A", "az:01:02", "a.b_c-", "x" * 64])
def test_a_device_is_issued_with_the_whole_chain(
    line: CertificateAuthority, root: CertificateAuthority, now: datetime, device_id: str
) -> None:
    device = line.issue(device_id, now=now)
    assert common_name(device.certificate) == device_id
    assert device.chain == (line.certificate, root.certificate)
    assert not [each for each in lint(device.certificate, role="device", now=now) if each.level == "error"]


@pytest.mark.parametrize("device_id", ["", "pump 42", "pump.", "a@b", "pump\n", "ä", "x" * 65, "a/b", "٣"])
def test_a_device_id_the_service_refuses_is_refused_here(
    root: CertificateAuthority, now: datetime, device_id: str
) -> None:
    for issue in (root.issue, DeviceIdentity.self_signed):
        with pytest.raises(NotAllowedHere) as caught:
            issue(device_id, now=now)
        assert "letters, digits" in caught.value.hint


def test_the_default_lifetime_is_shortened_to_the_issuers(now: datetime) -> None:
    short = CertificateAuthority.create("plant-7", now=now, lifetime=10 * DAY)
    ends = short.certificate.not_valid_after_utc
    line = short.issue_intermediate("line-3", now=now)
    assert line.certificate.not_valid_after_utc == ends
    assert line.issue("pump-042", now=now).certificate.not_valid_after_utc == ends


def test_an_explicit_lifetime_beyond_the_issuer_is_refused_with_the_largest(now: datetime) -> None:
    short = CertificateAuthority.create("plant-7", now=now, lifetime=10 * DAY)
    later = now + HOUR
    for issue in (short.issue, short.issue_intermediate):
        with pytest.raises(OutsideValidity) as caught:
            issue("pump-042", now=later, lifetime=10 * DAY)
        assert "--days 9 " in caught.value.hint
        issue("pump-042", now=later, lifetime=9 * DAY)


def test_nothing_begins_before_its_issuer(now: datetime) -> None:
    later = now + timedelta(minutes=1)
    young = CertificateAuthority.create("plant-7", now=later)
    assert (
        young.issue("a", now=now).certificate.not_valid_before_utc == young.certificate.not_valid_before_utc
    )


@pytest.mark.parametrize("shift", [-2 * DAY, 20 * DAY])
def test_an_issuer_outside_its_dates_issues_nothing(now: datetime, shift: timedelta) -> None:
    short = CertificateAuthority.create("plant-7", now=now, lifetime=10 * DAY)
    with pytest.raises(OutsideValidity):
        short.issue("pump-042", now=now + shift)
    with pytest.raises(OutsideValidity):
        short.prove("C0DE", now=now + shift)


@pytest.mark.parametrize(("ca", "usage"), [(False, None), (True, False), (False, True)])
def test_a_certificate_that_may_not_sign_issues_nothing(now: datetime, ca: bool, usage: bool | None) -> None:
    theirs = with_certificate(ec.generate_private_key(ec.SECP256R1()), now, ca=ca, usage=usage)
    for issue in (lambda: theirs.issue("a", now=now), lambda: theirs.prove("C0DE", now=now)):
        with pytest.raises(NotAllowedHere, match="may not sign"):
            issue()


def test_a_foreign_root_without_key_usage_and_key_identifier_issues(now: datetime) -> None:
    theirs = with_certificate(ec.generate_private_key(ec.SECP256R1()), now, ca=True, usage=None)
    assert signed_by(theirs.issue("a", now=now).certificate, theirs.certificate)


def test_a_path_length_is_spent_on_the_way_down(now: datetime) -> None:
    root = CertificateAuthority.create("r", now=now, path_length=2)
    first = root.issue_intermediate("1", now=now)
    second = first.issue_intermediate("2", now=now)
    assert [describe(each.certificate).path_length for each in (first, second)] == [1, 0]
    with pytest.raises(NotAllowedHere, match="used up"):
        second.issue_intermediate("3", now=now)
    with pytest.raises(NotAllowedHere) as caught:
        root.issue_intermediate("x", now=now, path_length=2)
    assert "--path-length 1 " in caught.value.hint
    second.issue("pump-042", now=now)


def test_a_limit_of_the_root_counts_below_an_unlimited_intermediate(now: datetime) -> None:
    root = CertificateAuthority.create("r", now=now)
    line = root.issue_intermediate("1", now=now)
    limited = CertificateAuthority.create("r", now=now, key=root.key, path_length=1)
    with pytest.raises(NotAllowedHere, match="used up"):
        CertificateAuthority(line.certificate, line.key, (limited.certificate,)).issue_intermediate(
            "2", now=now
        )


def test_a_negative_path_length_is_refused(now: datetime) -> None:
    with pytest.raises(NotAllowedHere, match="negative"):
        CertificateAuthority.create("r", now=now, path_length=-1)


def test_a_request_keeps_its_key_and_name_and_nothing_else(root: CertificateAuthority, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    facts = describe(
        certificate := root.sign_request(request("pump-042", key), now=now, device_id="pump-042")
    )
    assert same_key(certificate.public_key(), key.public_key())
    assert (facts.common_name, facts.is_ca, facts.extended_key_usage) == ("pump-042", False, ["clientAuth"])


def test_a_request_for_another_device_or_without_a_name_is_refused(
    root: CertificateAuthority, now: datetime
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(NotAllowedHere, match="'pump-042', not for 'pump-043'"):
        root.sign_request(request("pump-042", key), now=now, device_id="pump-043")
    for name in ("", "pump 42"):
        with pytest.raises(NotAllowedHere):
            root.sign_request(request(name, key), now=now)


def test_a_weak_key_is_refused_wherever_it_comes_from(root: CertificateAuthority, now: datetime) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    for attempt in (
        lambda: root.sign_request(request("a", weak), now=now),
        lambda: root.issue("a", now=now, key=weak),
        lambda: root.issue_intermediate("a", now=now, key=weak),
        lambda: CertificateAuthority.create("a", now=now, key=weak),
        lambda: DeviceIdentity.self_signed("a", now=now, key=weak),
    ):
        with pytest.raises(NotAllowedHere, match="1024"):
            attempt()


def test_a_request_with_a_foreign_kind_of_key_is_refused(root: CertificateAuthority, now: datetime) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(root.certificate.subject)
    with pytest.raises(NotAllowedHere, match="Ed25519"):
        root.sign_request(builder.sign(ed25519.Ed25519PrivateKey.generate(), None), now=now)


def test_a_request_that_was_tampered_with_is_refused(root: CertificateAuthority, now: datetime) -> None:
    der = request("pump-042", ec.generate_private_key(ec.SECP256R1())).public_bytes(Encoding.DER)
    with pytest.raises(BrokenChain, match="not signed by its own key"):
        root.sign_request(x509.load_der_x509_csr(der.replace(b"pump-042", b"pump-043")), now=now)


def test_an_identity_without_its_key_makes_no_pfx(root: CertificateAuthority) -> None:
    with pytest.raises(PkiError, match="needs the key"):
        DeviceIdentity(root.certificate).pfx(b"1234")


def test_a_proof_carries_the_code_for_a_day_with_a_new_key_each_time(
    root: CertificateAuthority, now: datetime
) -> None:
    proof, other = root.prove(" C0DE \r\n", now=now), root.prove("C0DE", now=now)
    assert common_name(proof) == "C0DE"
    assert proof.not_valid_after_utc == now.replace(microsecond=0) + DAY
    assert not same_key(proof.public_key(), other.public_key())
    root.check(proof)


def test_a_proof_for_an_empty_code_is_refused(root: CertificateAuthority, now: datetime) -> None:
    with pytest.raises(NotAllowedHere):
        root.prove(" \n", now=now)


def test_a_proof_of_another_key_is_refused_even_under_the_same_name(
    root: CertificateAuthority, line: CertificateAuthority, now: datetime
) -> None:
    twin = CertificateAuthority.create("plant-7", now=now)
    for other in (twin, line):
        with pytest.raises(BrokenChain, match="was not signed by CN=plant-7"):
            root.check(other.prove("C0DE", now=now))


def test_a_proof_of_the_same_key_under_another_name_is_refused(
    root: CertificateAuthority, now: datetime
) -> None:
    renamed = CertificateAuthority.create("plant-8", now=now, key=root.key)
    with pytest.raises(BrokenChain):
        root.check(renamed.prove("C0DE", now=now))


def test_a_key_that_does_not_belong_to_the_certificate_is_refused(root: CertificateAuthority) -> None:
    for holder in (CertificateAuthority, DeviceIdentity):
        with pytest.raises(KeyMismatch, match=r"[0-9A-F]{16}\.\..*[0-9A-F]{16}\.\."):
            holder(root.certificate, new_key())


def test_an_authority_without_its_key_says_how_to_name_it(root: CertificateAuthority, now: datetime) -> None:
    certificate_only = CertificateAuthority(root.certificate)
    for attempt in (
        lambda: certificate_only.issue("a", now=now),
        lambda: certificate_only.prove("C0DE", now=now),
        lambda: certificate_only.pfx(b"1234"),
    ):
        with pytest.raises(PkiError, match="CN=plant-7") as caught:
            attempt()
        assert "--issuer-key" in caught.value.hint
    certificate_only.check(root.prove("C0DE", now=now))


def test_no_key_is_in_a_repr(root: CertificateAuthority, now: datetime) -> None:
    for holder in (root, root.issue("pump-042", now=now)):
        assert "key" not in repr(holder).lower()


def test_a_remote_key_signs_root_intermediate_device_request_and_proof(
    remote_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    root = CertificateAuthority.create("plant-7", now=now, key=remote_key)
    assert is_self_signed(root.certificate)
    root.check(root.prove("C0DE", now=now))
    root.check(root.issue("pump-042", now=now).certificate)
    root.check(root.issue_intermediate("line-3", now=now).certificate)
    root.check(root.sign_request(request("pump-042", remote_key), now=now))


def test_a_server_answers_to_its_names_and_addresses(root: CertificateAuthority, now: datetime) -> None:
    server = root.issue_server(["localhost", "plant.example"], ["127.0.0.1", "::1"], now=now)
    names = server.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "plant.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    impossible: list[list[list[str]]] = [[[], []], [["bücher.example"], []], [["a"], ["300.1.1.1"]]]
    for wrong in impossible:
        with pytest.raises(NotAllowedHere):
            root.issue_server(*wrong, now=now)


def test_a_chain_is_built_from_a_heap(
    root: CertificateAuthority, line: CertificateAuthority, now: datetime
) -> None:
    twin = CertificateAuthority.create("plant-7", now=now).certificate
    leaf = line.issue("pump-042", now=now).certificate
    heap = [twin, root.certificate, leaf, line.certificate, line.certificate]
    assert build_chain(leaf, heap) == (line.certificate, root.certificate)
    assert build_chain(leaf, [twin, root.certificate]) == ()
    assert build_chain(root.certificate, heap) == ()


def test_certificates_that_sign_each_other_do_not_go_round_for_ever(now: datetime) -> None:
    key_a, key_b = new_key(), new_key()
    a, b = (CertificateAuthority.create(n, now=now, key=k) for n, k in (("a", key_a), ("b", key_b)))
    a_by_b = b.issue_intermediate("a", now=now, key=key_a).certificate
    b_by_a = a.issue_intermediate("b", now=now, key=key_b).certificate
    leaf = a.issue("pump-042", now=now).certificate
    assert build_chain(leaf, [a_by_b, b_by_a]) == (a_by_b, b_by_a)


@pytest.fixture
def issue_many(root: CertificateAuthority, now: datetime) -> Callable[[int], set[int]]:
    return lambda count: {root.issue("a", now=now).certificate.serial_number for _ in range(count)}


def test_serial_numbers_are_long_and_never_the_same(issue_many: Callable[[int], set[int]]) -> None:
    serials = issue_many(50)
    assert len(serials) == 50
    assert min(serials).bit_length() > 100
