"""What others write is read: every wrapping, every format; garbage only ever gives our own errors."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from iotc_admin.errors import BadPem, BrokenChain, PkiError, SettingsError
from iotc_admin.pki import pem, store
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.description import describe
from iotc_admin.pki.keys import SigningKey, new_key, same_key
from iotc_admin.pki.lint import lint

Openssl = Callable[..., str]
NOW = datetime.fromisoformat("2027-01-01T00:00:00+00:00")
CA = CertificateAuthority.create("plant-7", now=NOW)
CERTIFICATE = pem.certificate_pem(CA.certificate)
DER = CA.certificate.public_bytes(serialization.Encoding.DER)
KEY = pem.key_pem(CA.key or new_key())
PFX = CA.pfx(b"1234")
CSR = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(CA.certificate.subject)
    .sign(CA.key or new_key(), hashes.SHA256())
    .public_bytes(serialization.Encoding.PEM)
)


def is_ours(key: SigningKey) -> bool:
    return same_key(key.public_key(), CA.certificate.public_key())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(CERTIFICATE, id="PEM"),
        pytest.param(DER, id="DER"),
        pytest.param(CERTIFICATE.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(CERTIFICATE.replace(b"\n", b"\r"), id="old Mac"),
        pytest.param(b"\xef\xbb\xbf" + CERTIFICATE, id="BOM"),
        pytest.param(CERTIFICATE.decode().encode("utf-16"), id="UTF-16"),
        pytest.param(CERTIFICATE.rstrip() + b"null", id="null of create_test_cert.js"),
        pytest.param(b"Certificate:\n    Data:\n        Version: 3\n" + CERTIFICATE, id="text of openssl"),
        pytest.param(CERTIFICATE.replace(b"\n", b"\n    "), id="indented, as in YAML"),
        pytest.param(KEY + CERTIFICATE, id="after a key"),
        pytest.param(CERTIFICATE.replace(b"CERTIFICATE", b"X509 CERTIFICATE"), id="old label"),
        pytest.param(base64.b64encode(DER), id="base64 of DER"),
        pytest.param(b"\xef\xbb\xbf" + base64.b64encode(DER), id="base64 of DER after a BOM"),
        pytest.param(base64.encodebytes(DER), id="base64 of DER in lines"),
        pytest.param(base64.b64encode(CERTIFICATE), id="base64 of PEM, as the service sends it"),
        pytest.param(CA.pfx(b"1234"), id="PFX"),
    ],
)
def test_a_certificate_is_read_from(data: bytes) -> None:
    assert pem.read_certificate(data, b"1234") == CA.certificate


def test_a_bundle_keeps_all_certificates_in_order() -> None:
    line = CA.issue_intermediate("line-3", now=NOW)
    bundle = KEY + pem.certificate_pem(line.certificate) + b"\n# the root\n" + CERTIFICATE + b"null"
    assert pem.read_certificates(bundle) == [line.certificate, CA.certificate]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"hello", "is not a certificate"),
        (b"\x30\x03\x02\x01\x01", "is not a certificate"),
        (KEY, "holds a private key, but no certificate"),
        (CSR, "holds a certificate request, but no certificate"),
        (x509.load_pem_x509_csr(CSR).public_bytes(serialization.Encoding.DER), "holds a certificate request"),
        (CERTIFICATE.replace(b"MII", b"MIJ"), "holds a damaged certificate"),
        (CERTIFICATE.replace(b"MII", b"M*II"), "holds a damaged certificate"),
        (CERTIFICATE.replace(b"-----END", b"-----ENDE"), "is not a certificate"),
        (PFX, "is a PFX that needs a password"),
    ],
)
def test_what_is_no_certificate_is_called_by_its_name(data: bytes, what: str) -> None:
    with pytest.raises(BadPem) as caught:
        pem.read_certificates(data)
    assert str(caught.value).startswith(what)
    assert caught.value.hint


@pytest.mark.parametrize(
    "arguments",
    [
        ("genrsa", "-traditional", "2048"),
        ("genrsa", "2048"),
        ("genrsa", "-traditional", "-aes128", "-passout", "pass:1234", "2048"),
        ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
        ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-outform", "DER"),
        ("genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:1234"),
        ("ecparam", "-name", "prime256v1", "-genkey"),
        ("ecparam", "-name", "prime256v1", "-genkey", "-outform", "DER", "-noout"),
    ],
    ids=" ".join,
)
def test_a_key_made_by_openssl_is_read(tmp_path: Path, openssl: Openssl, arguments: tuple[str, ...]) -> None:
    # The size of genrsa has to stay the last word.
    command, *options = arguments
    openssl(command, "-out", "key", *options)
    openssl("pkey", "-in", "key", "-passin", "pass:1234", "-pubout", "-out", "public")
    key = store.load_key(tmp_path / "key", b"1234")
    public = serialization.load_pem_public_key((tmp_path / "public").read_bytes())
    assert same_key(key.public_key(), public)


def test_a_pfx_made_by_openssl_is_read_whatever_it_is_called(tmp_path: Path, openssl: Openssl) -> None:
    device = CA.issue("pump-042", now=NOW)
    (tmp_path / "all.pem").write_bytes(pem.key_pem(device.key or new_key()) + device.fullchain_pem)
    openssl("pkcs12", "-export", "-in", "all.pem", "-out", "pump.pem", "-passout", "pass:1234")
    assert store.load_certificates(tmp_path / "pump.pem", b"1234") == [device.certificate, CA.certificate]
    assert same_key(
        store.load_key(tmp_path / "pump.pem", b"1234").public_key(), device.certificate.public_key()
    )


def test_a_pfx_of_ours_is_read_by_openssl(tmp_path: Path, openssl: Openssl) -> None:
    (tmp_path / "ca.pfx").write_bytes(PFX)
    shown = openssl("pkcs12", "-in", "ca.pfx", "-passin", "pass:1234", "-noenc")
    assert pem.read_certificates(shown.encode()) == [CA.certificate]
    assert is_ours(pem.read_key(shown.encode()))


def test_a_request_made_by_openssl_is_read_as_pem_and_der(tmp_path: Path, openssl: Openssl) -> None:
    openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-subj", "/CN=pump", "-out", "r.pem"
    )
    openssl("req", "-in", "r.pem", "-outform", "DER", "-out", "r.der")
    requests = [store.load_request(tmp_path / name) for name in ("r.pem", "r.der")]
    assert requests[0] == requests[1]


def test_a_version_1_leaf_of_openssl_is_read_and_described(tmp_path: Path, openssl: Openssl) -> None:
    openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-subj", "/CN=old", "-out", "r.pem"
    )
    openssl("x509", "-req", "-in", "r.pem", "-signkey", "k", "-set_serial", "0", "-out", "old.pem")
    facts = describe(store.load_certificates(tmp_path / "old.pem")[0])
    assert (facts.version, facts.is_ca, facts.serial, facts.self_signed) == ("v1", False, "00", True)


@pytest.mark.parametrize(
    ("data", "password", "what"),
    [
        (CERTIFICATE, None, "holds a certificate, but no private key"),
        (DER, None, "holds a certificate, but no private key"),
        (CERTIFICATE + b"-----BEGIN EC PARAMETERS-----\n-----END EC PARAMETERS-----", None, "holds a cert"),
        (b"", None, "is empty"),
        (b"null", None, "is not a private key"),
        (pem.key_pem(new_key(), b"1234"), None, "holds an encrypted private key"),
        (pem.key_pem(new_key(), b"1234"), b"4321", "holds a private key that this password does not open"),
        (PFX, None, "is a PFX that needs a password"),
        (PFX, b"4321", "is a PFX that this password does not open"),
        (KEY.replace(b"MIG", b"MIH"), None, "holds a damaged private key"),
    ],
)
def test_what_is_no_key_is_called_by_its_name(data: bytes, password: bytes | None, what: str) -> None:
    with pytest.raises(BadPem) as caught:
        pem.read_key(data, password)
    assert str(caught.value).startswith(what)
    assert caught.value.hint


def test_a_missing_password_is_asked_for_by_its_option() -> None:
    with pytest.raises(BadPem) as caught:
        pem.read_key(pem.key_pem(new_key(), b"1234"))
    assert "--key-password-file" in caught.value.hint


def test_a_key_that_is_neither_rsa_nor_ec_is_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(BadPem, match="Ed25519"):
        pem.read_key(key)


def test_a_password_for_a_key_without_one_does_no_harm() -> None:
    assert is_ours(pem.read_key(CERTIFICATE + KEY, b"1234"))


def test_a_request_with_a_wrong_signature_is_refused() -> None:
    der = bytearray(x509.load_pem_x509_csr(CSR).public_bytes(serialization.Encoding.DER))
    place = der.index(b"plant-7")
    der[place : place + 7] = b"plant-8"
    with pytest.raises(BrokenChain, match="did not sign"):
        pem.read_request(bytes(der))


def test_an_empty_password_is_refused_when_writing() -> None:
    with pytest.raises(PkiError, match="password is empty"):
        CA.pfx(b"")
    with pytest.raises(PkiError, match="password is empty"):
        pem.key_pem(new_key(), b"")


def test_errors_of_a_file_begin_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    path.write_bytes(b"null")
    for load in (store.load_certificates, store.load_key, store.load_request):
        with pytest.raises(BadPem) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}: is not a ")


def test_files_that_cannot_be_read_are_settings_errors(tmp_path: Path) -> None:
    for path, what in (
        (tmp_path / "absent", "no such file"),
        (tmp_path, "is a directory"),
        (tmp_path / ("x" * 300), "cannot be read"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(SettingsError, match=what):
            store.read_file(path)


def test_a_file_larger_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    (tmp_path / "exact").write_bytes(bytes(1 << 20))
    assert len(store.read_file(tmp_path / "exact")) == 1 << 20
    (tmp_path / "larger").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(BadPem, match="larger than 1 MiB"):
        store.read_file(tmp_path / "larger")


ANY_INPUT = st.one_of(
    st.binary(max_size=400),
    st.tuples(st.sampled_from((CERTIFICATE, KEY, CSR, DER)), st.binary(max_size=40)).map(b"".join),
    st.binary(max_size=300).map(
        lambda body: b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----"
    ),
    st.binary(max_size=300).map(
        lambda body: b"-----BEGIN EC PRIVATE KEY-----\n" + body + b"\n-----END EC PRIVATE KEY-----"
    ),
)


@given(data=ANY_INPUT, password=st.none() | st.binary(max_size=8))
def test_garbage_only_ever_raises_our_own_errors(data: bytes, password: bytes | None) -> None:
    for read in (
        lambda: pem.read_certificates(data, password),
        lambda: pem.read_key(data, password),
        lambda: pem.read_request(data),
    ):
        with suppress(PkiError):
            read()


@settings(max_examples=300)
@given(place=st.integers(0, len(DER) - 1), byte=st.integers(0, 255))
def test_a_certificate_with_a_wrong_byte_is_refused_or_described(place: int, byte: int) -> None:
    try:
        certificate = pem.read_certificate(DER[:place] + bytes([byte]) + DER[place + 1 :])
    except PkiError:
        return
    assert describe(certificate).sha1
    lint(certificate, role="root", now=NOW, issuer=CA.certificate)
    lint(certificate, role="device", now=NOW, issuer=CA.certificate, device_id="pump-042")


@given(
    line_end=st.sampled_from((b"\n", b"\r\n", b"\r")),
    before=st.binary(max_size=30).filter(
        lambda data: b"--" not in data and not data.startswith((b"0", b"\xff\xfe", b"\xfe\xff"))
    ),
    password=st.none() | st.binary(min_size=1, max_size=8),
)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_again(line_end: bytes, before: bytes, password: bytes | None) -> None:
    text = (
        before
        + line_end
        + (pem.key_pem(CA.key or new_key(), password) + CERTIFICATE).replace(b"\n", line_end)
    )
    assert pem.read_certificates(text) == [CA.certificate]
    key = pem.read_key(text, password)
    assert is_ours(key)
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
