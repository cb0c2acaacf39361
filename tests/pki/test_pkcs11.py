"""Keys in a token: found by their URI, used where they are, and never anything else than what was named."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from iotc_admin.errors import KeyMismatch, NotAllowedHere, PkiError, SettingsError
from iotc_admin.pki import pem, store
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.chain import signed_by
from iotc_admin.pki.keys import KeyAccess, KeyKind, SigningKey, new_key, open_key, same_key
from iotc_admin.pki.pkcs11_uri import TokenUri, parse

from ..softhsm import PIN, Token, new_token

KINDS = ["p256", "p384", "rsa"]

PREAMBLE = """
import sys
from datetime import UTC, datetime
from iotc_admin import CertificateAuthority
from iotc_admin.errors import IotcError
from iotc_admin.pki.keys import KeyAccess, open_key
uri, access = sys.argv[1], KeyAccess(modules=(sys.argv[2],))
"""


def in_another_process(token: Token, program: str, label: str) -> str:
    """What a program says that opens a key of a token; settings of SoftHSM are read once in a process."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + program, token.uri(label), token.module],
        env={**os.environ, **token.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def access(token: Token) -> KeyAccess:
    return KeyAccess(modules=(token.module,))


@pytest.fixture
def opened(token: Token, access: KeyAccess) -> Callable[..., SigningKey]:
    """Opens a key of the token by its label."""

    def open_one(label: str, **options: object) -> SigningKey:
        return open_key(token.uri(label), **{"password": PIN.encode(), "access": access, **options})  # type: ignore[arg-type]

    return open_one


@pytest.mark.parametrize("label", KINDS)
def test_a_ca_whose_key_is_in_a_token_does_all_that_a_ca_does(
    label: str,
    token: Token,
    opened: Callable[..., SigningKey],
    openssl: Callable[..., str],
    now: datetime,
    tmp_path: Path,
) -> None:
    key = opened(label)
    assert same_key(key.public_key(), token.keys[label].public_key())
    ca = CertificateAuthority.create("token root", now=now, key=key)
    line = ca.issue_intermediate("line", now=now)
    device = ca.issue("pump-1", now=now)
    proof = ca.prove("C0DE", now=now)
    openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=csr-1", "-keyout", "k", "-out", "csr"
    )
    signed = ca.sign_request(store.load_request(tmp_path / "csr"), now=now)

    (tmp_path / "root.pem").write_bytes(pem.certificate_pem(ca.certificate))
    for certificate in (line.certificate, device.certificate, proof, signed):
        (tmp_path / "leaf.pem").write_bytes(pem.certificate_pem(certificate))
        assert openssl("verify", "-x509_strict", "-CAfile", "root.pem", "leaf.pem") == "leaf.pem: OK\n"


@pytest.mark.parametrize("label", KINDS)
def test_nothing_but_signatures_is_to_be_had(
    label: str, token: Token, opened: Callable[..., SigningKey], now: datetime, tmp_path: Path
) -> None:
    key = opened(label)
    assert PIN not in repr(key)
    assert pem.export_key(key) is None
    for asked in (key.private_numbers, lambda: pem.key_pem(key)):
        with pytest.raises(PkiError):
            asked()
    ca = CertificateAuthority.create("plant", now=now, key=key)
    with pytest.raises(PkiError, match="cannot leave where it is"):
        ca.pfx(b"secret")
    written = store.save_authority(tmp_path, "plant", ca)
    assert [file.name for file in written] == ["plant_cert.pem", "plant_fullchain.pem"]


def test_a_key_that_wants_the_pin_for_each_signature_gets_it(
    opened: Callable[..., SigningKey], now: datetime
) -> None:
    ca = CertificateAuthority.create("plant", now=now, key=opened("guarded"))
    assert ca.prove("C0DE", now=now)


def test_only_the_algorithm_that_goes_with_the_key_is_used(opened: Callable[..., SigningKey]) -> None:
    elliptic, other = opened("p256"), opened("rsa")
    assert isinstance(elliptic, ec.EllipticCurvePrivateKey)
    for algorithm in (hashes.SHA384(), Prehashed(hashes.SHA256())):
        with pytest.raises(NotAllowedHere, match="ES256 only"):
            elliptic.sign(b"x" * 32, ec.ECDSA(algorithm))
    assert not isinstance(other, ec.EllipticCurvePrivateKey)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    with pytest.raises(NotAllowedHere, match=r"v1\.5 only"):
        other.sign(b"x", pss, hashes.SHA256())


def test_the_token_hashes_or_we_do(tmp_path: Path, now: datetime) -> None:
    token = new_token(tmp_path, more="slots.mechanisms = CKM_RSA_PKCS")
    token.add("rsa", "03", new_key(KeyKind.RSA_2048))
    said = in_another_process(
        token,
        "key = open_key(uri, password=b'1234', access=access)\n"
        "CertificateAuthority.create('x', now=datetime.now(UTC), key=key).issue('d', now=datetime.now(UTC))\n"
        "import pkcs11; slots = pkcs11.lib(access.modules[0]).get_slots(token_present=True)\n"
        "print(any(pkcs11.Mechanism.SHA256_RSA_PKCS in slot.get_mechanisms() for slot in slots))",
        "rsa",
    )
    assert said == "False\n"


def test_a_token_that_is_pulled_out_is_said_and_serves_when_it_is_back(tmp_path: Path) -> None:
    token = new_token(tmp_path)
    token.add("root", "01", new_key())
    said = in_another_process(
        token,
        "from pathlib import Path\n"
        f"there, gone = Path({str(tmp_path / 'tokens')!r}), Path({str(tmp_path / 'gone')!r})\n"
        "ca = CertificateAuthority.create('x', now=datetime.now(UTC), "
        "key=open_key(uri, password=b'1234', access=access))\n"
        "there.rename(gone)\n"
        "try: ca.prove('C0DE', now=datetime.now(UTC))\n"
        "except IotcError as error: print(error, error.hint)\n"
        "gone.rename(there)",
        "root",
    )
    assert said.startswith("pkcs11:token=plant;object=root: there is no such token")
    assert "plug it in" in said
    again = "print(open_key(uri, password=b'1234', access=access).key_size)"
    assert in_another_process(token, again, "root") == "256\n"


def test_the_pin_comes_from_the_uri_then_the_option_then_whoever_is_asked(
    token: Token, access: KeyAccess
) -> None:
    right, wrong = PIN.encode(), b"9999"
    asked: list[str] = []

    def ask(label: str) -> str:
        asked.append(label)
        return PIN

    asking = replace(access, pin=ask)
    source = f"{token.uri('p256')}?pin-source=file:{token.pin_file}"
    for uri, password in ((source, wrong), (token.uri("p256"), right), (token.uri("p256"), None)):
        open_key(uri, password=password, access=asking)
    assert asked == ["plant"]
    assert PIN not in repr(asking)


@pytest.mark.parametrize("password", [b"9999", b"99", b"x" * 300])
def test_a_wrong_pin_is_said_and_not_repeated(token: Token, access: KeyAccess, password: bytes) -> None:
    with pytest.raises(SettingsError, match="not the PIN of the token") as caught:
        open_key(token.uri("p256"), password=password, access=access)
    assert "locks itself" in caught.value.hint
    assert password.decode() not in str(caught.value)


@pytest.mark.parametrize("password", [None, b"", b"\n", b"\xff\xfe"])
def test_no_pin_is_said(token: Token, access: KeyAccess, password: bytes | None) -> None:
    with pytest.raises(SettingsError, match="PIN"):
        open_key(token.uri("p256"), password=password, access=access)


@pytest.mark.parametrize("pin", ["pin-value=1234", "module-path=/x&pin-value=1234", "PIN-VALUE=1234"])
def test_a_pin_in_the_uri_is_refused_and_not_repeated(token: Token, access: KeyAccess, pin: str) -> None:
    for divider in "?;":
        with pytest.raises(SettingsError, match="pin-value is refused") as caught:
            open_key(f"{token.uri('p256')}{divider}{pin}", access=access)
        assert "1234" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (
            "pkcs11:token=plant;object=nobody",
            "no such private key; it holds object=broken;id=%0A, object=curve;id=%08, ",
        ),
        ("pkcs11:token=plant;object=p256;id=%02", "no such private key"),
        ("pkcs11:token=plant;object=twin", "names 2 private keys: object=twin;id=%05, object=twin;id=%06"),
        ("pkcs11:token=elsewhere;object=p256", "no such token; through .* are seen: .*token=plant;serial="),
        ("pkcs11:token=double;object=p256", "fits 2 tokens: token=double;serial="),
        ("pkcs11:token=plant;serial=00;object=p256", "no such token"),
        ("pkcs11:token=plant;slot-id=1;object=p256", "no such token"),
        ("pkcs11:token=plant;model=YubiKey;object=p256", "no such token"),
        ("pkcs11:token=plant;manufacturer=Yubico;object=p256", "no such token"),
    ],
)
def test_what_is_not_exactly_one_key_is_refused_and_what_is_there_named(
    uri: str, said: str, token: Token, access: KeyAccess
) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        open_key(uri, password=PIN.encode(), access=access)
    assert caught.value.hint


@pytest.mark.parametrize(
    "uri",
    [
        "pkcs11:token=plant;id=%05",
        "pkcs11:object=twin;token=plant;id=%06;type=private",
        "PKCS11:token=plant;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;object=p256",
        "pkcs11:token=plant;object=root%3B%207%2F%C3%BC",
        "pkcs11:token=plant;id=%09%FF?vendor-x=1&vendor-x=2",
    ],
)
def test_a_key_is_found_by_whatever_names_it_alone(uri: str, token: Token, access: KeyAccess) -> None:
    assert open_key(uri, password=PIN.encode(), access=access)


def test_a_token_without_the_public_key_takes_the_certificates(
    token: Token, opened: Callable[..., SigningKey], now: datetime, tmp_path: Path
) -> None:
    own = token.keys["lonely"]
    with pytest.raises(PkiError, match="holds no public key beside this one"):
        opened("lonely")
    assert opened("lonely", public_key=own.public_key())

    store.save_certificate(
        tmp_path, "lonely", CertificateAuthority.create("lonely", now=now, key=own).certificate
    )
    loaded = CertificateAuthority.load(
        tmp_path / "lonely_cert.pem",
        token.uri("lonely"),
        password=PIN.encode(),
        access=KeyAccess(modules=(token.module,)),
    )
    assert loaded.prove("C0DE", now=now)
    with pytest.raises(KeyMismatch, match="the signature is not by the key"):
        opened("lonely", public_key=token.keys["p256"].public_key())


def test_a_key_of_another_certificate_is_refused(
    token: Token, ca: CertificateAuthority, tmp_path: Path
) -> None:
    store.save_certificate(tmp_path, "plant7", ca.certificate)
    for label in KINDS:
        with pytest.raises(KeyMismatch, match="belongs to"):
            CertificateAuthority.load(
                tmp_path / "plant7_cert.pem",
                token.uri(label),
                password=PIN.encode(),
                access=KeyAccess(modules=(token.module,)),
            )


def test_a_public_key_that_lies_beside_another_private_one_is_found_out(
    opened: Callable[..., SigningKey],
) -> None:
    with pytest.raises(KeyMismatch, match="the signature is not by the key"):
        opened("mixed")


def test_a_broken_public_key_is_refused(opened: Callable[..., SigningKey]) -> None:
    with pytest.raises(PkiError, match="the public key beside it is broken"):
        opened("broken")


def test_a_key_on_another_curve_is_refused(opened: Callable[..., SigningKey]) -> None:
    with pytest.raises(PkiError, match=r"another curve|not used here"):
        opened("curve")


def test_modules_are_looked_for_and_named(token: Token, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no PKCS #11 module is there; tried were /none\.so, /nor\.so"):
        open_key(token.uri("p256"), access=KeyAccess(modules=("/none.so", "/nor.so")))
    (tmp_path / "broken.so").write_text("no library")
    with pytest.raises(SettingsError, match=r"broken\.so cannot be used"):
        open_key(token.uri("p256"), access=KeyAccess(modules=(str(tmp_path / "broken.so"),)))


def test_a_uri_names_a_module_only_where_programs_may_be_named(token: Token) -> None:
    uri = f"{token.uri('p256')}?module-path={token.module}"
    with pytest.raises(SettingsError, match="none may be named"):
        open_key(uri, password=PIN.encode())
    assert open_key(uri, password=PIN.encode(), access=KeyAccess(may_run=True))


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("pkcs11:", "names no key"),
        ("pkcs11:token=plant", "names no key"),
        ("pkcs11:token", "'token' is not name=value"),
        ("pkcs11:token=a;;object=b", "'' is not name=value"),
        ("pkcs11:token=a b;object=c", "must be written as %XX"),
        ("pkcs11:token=100%;object=c", "must be written as %XX"),
        ("pkcs11:token=ü;object=c", "must be written as %XX"),
        ("pkcs11:token=a;token=b;object=c", "token stands there twice"),
        ("pkcs11:object=c?pin-source=file:/a&pin-source=file:/b", "pin-source stands there twice"),
        ("pkcs11:object=%FF", "is not UTF-8"),
        ("pkcs11:object=a;colour=red", "'colour' is no attribute that keys are found by"),
        ("pkcs11:object=a;type=cert", "type=cert is not a private key"),
        ("pkcs11:object=a;slot-id=one", "is not a number"),
        ("pkcs11:object=a?module-name=softhsm", "use module-path"),
        ("pkcs11:object=a?pin-source=%7Ccat%20/pin", "pin-source takes a file"),
        ("pkcs11:object=a?pin-source=pin", "pin-source takes a file"),
    ],
)
def test_a_malformed_uri_is_refused_with_the_reason(uri: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(uri)
    assert why in str(caught.value)
    assert caught.value.hint


def test_a_uri_says_what_rfc_7512_says() -> None:
    # Attributes and spellings as in its section 3.
    uri = (
        "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
        "serial=4a5b;slot-id=327;object=my-certificate;type=private;id=%69%95%3E%5C%F4%BD%EC%91"
        "?pin-source=file:/etc/token_pin&module-path=/mnt/libmypkcs11.so.1&x-unknown=1"
    )
    assert parse(uri) == TokenUri(
        token="The Software PKCS#11 Softtoken",
        serial="4a5b",
        manufacturer="Snake Oil, Inc.",
        model="1.0",
        slot_id=327,
        object="my-certificate",
        id=bytes.fromhex("69953E5CF4BDEC91"),
        module_path="/mnt/libmypkcs11.so.1",
        pin_source="/etc/token_pin",
    )


def test_a_missing_library_is_said_with_how_to_get_it(token: Token) -> None:
    said = in_another_process(
        token,
        "sys.modules['pkcs11'] = None\n"
        "try: open_key(uri)\n"
        "except IotcError as error: print(type(error).__name__, error, error.hint)",
        "p256",
    )
    assert said.startswith("SettingsError pkcs11: needs a library that is not installed: pkcs11")
    assert "pip install 'iotc-admin[pkcs11]'" in said


def test_many_threads_sign_with_one_token(opened: Callable[..., SigningKey], now: datetime) -> None:
    cas = [CertificateAuthority.create("plant", now=now, key=opened(label)) for label in KINDS]
    with ThreadPoolExecutor(6) as pool:
        issued = list(pool.map(lambda number: cas[number % 3].issue(f"pump-{number}", now=now), range(60)))
    assert all(signed_by(each.certificate, each.chain[0]) for each in issued)
