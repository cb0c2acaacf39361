"""A key is found where it lives: named, inside the certificate's file, or beside it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from iotc_admin.errors import BadPem, KeyMismatch, SettingsError
from iotc_admin.pki import pem, store
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.bundle import certificate_beside_key
from iotc_admin.pki.identity import DeviceIdentity
from iotc_admin.pki.keys import KeyKind, key_kind_of, new_key, open_key, same_key, spki_sha256


def test_keys_have_names_for_people(rsa_key: rsa.RSAPrivateKey) -> None:
    assert key_kind_of(new_key().public_key()) == "EC P-256"
    assert key_kind_of(new_key(KeyKind.EC_P384).public_key()) == "EC P-384"
    assert key_kind_of(rsa_key.public_key()) == "RSA 2048"
    assert key_kind_of(ed25519.Ed25519PrivateKey.generate().public_key()) == "Ed25519"
    assert key_kind_of(ec.generate_private_key(ec.SECP256K1()).public_key()) == "EC secp256k1"


def test_the_same_key_has_the_same_hash(rsa_key: rsa.RSAPrivateKey) -> None:
    one, other = new_key().public_key(), new_key().public_key()
    assert same_key(one, one)
    assert not same_key(one, other)
    assert not same_key(one, rsa_key.public_key())
    assert spki_sha256(one) == spki_sha256(one) != spki_sha256(other)
    assert len(spki_sha256(one)) == 64


@pytest.mark.parametrize("name", ["k.pem", "C:\\keys\\plant_key.pem", "az:01_key.pem"])
def test_everything_else_is_a_path(tmp_path: Path, name: str) -> None:
    key = new_key()
    (tmp_path / name).write_bytes(pem.key_pem(key, b"1234"))
    assert same_key(open_key(str(tmp_path / name), password=b"1234").public_key(), key.public_key())


def test_a_windows_path_is_no_scheme() -> None:
    with pytest.raises(SettingsError, match="no such file"):
        open_key("C:\\keys\\plant_key.pem")


def write(folder: Path, ca: CertificateAuthority, certificate: str, key: str) -> Path:
    assert ca.key is not None
    with (folder / certificate).open("ab") as file:
        file.write(ca.fullchain_pem)
    with (folder / key).open("ab") as file:
        file.write(pem.key_pem(ca.key))
    return folder / certificate


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        ("plant_cert.pem", "plant_key.pem"),
        ("plant_fullchain.pem", "plant_key.pem"),
        ("plant.pem", "plant_key.pem"),
        ("plant.crt", "plant.key"),
        ("plant.v2_cert.pem", "plant.v2.key"),
        ("plant.pem", "plant.pem"),
    ],
)
def test_a_key_is_found_by_itself(
    line: CertificateAuthority, tmp_path: Path, certificate: str, key: str
) -> None:
    loaded = CertificateAuthority.load(write(tmp_path, line, certificate, key))
    assert loaded == line
    assert loaded.key is not None


def test_a_pfx_holds_everything_under_any_name(
    line: CertificateAuthority, now: datetime, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(line.pfx(b"1234"))
    (tmp_path / "device.pem").write_bytes(line.issue("pump-042", now=now).pfx(b"1234"))
    loaded = CertificateAuthority.load(str(tmp_path / "ca.pem"), password=b"1234")
    assert (loaded, loaded.key is None) == (line, False)
    device = DeviceIdentity.load(tmp_path / "device.pem", password=b"1234")
    assert device.chain == (line.certificate, *line.chain)


def test_the_certificate_of_a_key_is_found(
    root: CertificateAuthority, line: CertificateAuthority, tmp_path: Path
) -> None:
    assert line.key is not None
    store.save_authority(tmp_path, "line-3", line)
    store.save_authority(tmp_path, "other", root)
    write(tmp_path, line, "both.pem", "both.pem")
    for file in ("line-3_key.pem", "both.pem"):
        assert certificate_beside_key(tmp_path / file, line.key) == line.certificate
    for file in ("other_key.pem", "absent_key.pem", "pkcs11:token=x"):
        assert certificate_beside_key(tmp_path / file, line.key) is None


def test_without_a_key_there_is_still_a_certificate(root: CertificateAuthority, tmp_path: Path) -> None:
    (tmp_path / "plant_cert.pem").write_bytes(root.fullchain_pem)
    assert CertificateAuthority.load(tmp_path / "plant_cert.pem").key is None


def test_a_named_key_picks_its_certificate_from_a_bundle(
    root: CertificateAuthority, line: CertificateAuthority, tmp_path: Path
) -> None:
    assert line.key is not None
    (tmp_path / "bundle.pem").write_bytes(root.fullchain_pem + pem.certificate_pem(line.certificate))
    (tmp_path / "k").write_bytes(pem.key_pem(line.key))
    assert CertificateAuthority.load(tmp_path / "bundle.pem", str(tmp_path / "k")) == line
    assert CertificateAuthority.load(tmp_path / "bundle.pem") == CertificateAuthority(root.certificate)


def test_the_chain_of_a_saved_intermediate_is_found_beside_it(
    line: CertificateAuthority, tmp_path: Path
) -> None:
    store.save_authority(tmp_path, "line-3", line)
    assert CertificateAuthority.load(tmp_path / "line-3_cert.pem").chain == line.chain


def test_a_key_that_does_not_match_is_refused_with_the_file_named(
    root: CertificateAuthority, tmp_path: Path
) -> None:
    (tmp_path / "plant.pem").write_bytes(root.fullchain_pem)
    (tmp_path / "plant.key").write_bytes(pem.key_pem(new_key()))
    for load in (CertificateAuthority.load, DeviceIdentity.load):
        with pytest.raises(KeyMismatch, match=r"plant\.pem: CN=plant-7"):
            load(tmp_path / "plant.pem")


def test_a_damaged_key_beside_the_certificate_is_named(root: CertificateAuthority, tmp_path: Path) -> None:
    (tmp_path / "plant.pem").write_bytes(root.fullchain_pem)
    (tmp_path / "plant.key").write_bytes(b"null")
    with pytest.raises(BadPem, match=r"plant\.key: is not a private key"):
        CertificateAuthority.load(tmp_path / "plant.pem")
