"""Outsiders judge our certificates: pkilint, OpenSSL in strict mode, real TLS handshakes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from pkilint import loader  # type: ignore[import-untyped]
from pkilint.pkix import certificate as rfc5280  # type: ignore[import-untyped]
from pkilint.pkix import extension, name
from pkilint.validation import ValidationFindingSeverity  # type: ignore[import-untyped]

from iotc_admin.pki import store
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.identity import DeviceIdentity
from iotc_admin.pki.keys import KeyKind, new_key

from ..outside import python_3_13

KINDS = (KeyKind.EC_P256, KeyKind.RSA_2048)


def every_certificate(now: datetime, kind: KeyKind) -> dict[str, x509.Certificate]:
    key = new_key(kind)
    root = CertificateAuthority.create("plant-7", now=now, key=key)
    line = root.issue_intermediate("line-3", now=now, kind=kind)
    return {
        "root": root.certificate,
        "root with a path length": CertificateAuthority.create(
            "plant-8", now=now, key=key, path_length=1
        ).certificate,
        "intermediate": line.certificate,
        "device": line.issue("pump-042", now=now, kind=kind).certificate,
        "self-signed device": DeviceIdentity.self_signed("pump-042", now=now, key=key).certificate,
        "verification": root.prove("C0DE", now=now),
        # pkilint holds that `localhost` is no domain name.
        "server": root.issue_server(["emulator.example"], ["127.0.0.1", "::1"], now=now).certificate,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_pkilint_finds_no_error_in_any_kind_of_certificate(now: datetime, kind: KeyKind) -> None:
    judge = rfc5280.create_pkix_certificate_validator_container(
        rfc5280.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            rfc5280.create_issuer_validator_container([]),
            rfc5280.create_validity_validator_container(),
            rfc5280.create_subject_validator_container([]),
            rfc5280.create_extensions_validator_container([]),
            rfc5280.create_spki_validator_container([]),
        ],
    )
    for what, certificate in every_certificate(now, kind).items():
        document = loader.load_certificate(certificate.public_bytes(serialization.Encoding.DER), what)
        results = judge.validate(document.root)
        found = [each for result in results for each in result.finding_descriptions]
        errors = [
            each.finding.code for each in found if each.finding.severity <= ValidationFindingSeverity.ERROR
        ]
        assert not errors, (what, errors)


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_accepts_every_chain_in_strict_mode(
    now: datetime, kind: KeyKind, tmp_path: Path, openssl: Callable[..., str]
) -> None:
    for what, certificate in every_certificate(now, kind).items():
        store.save_certificate(tmp_path, what, certificate)
    for what, anchor, purpose in (
        ("root", "root", "any"),
        ("intermediate", "root", "any"),
        ("device", "root", "sslclient"),
        ("self-signed device", "self-signed device", "sslclient"),
        ("verification", "root", "sslclient"),
        ("server", "root", "sslserver"),
    ):
        trust = ["-CAfile", f"{anchor}_cert.pem", "-untrusted", "intermediate_cert.pem"]
        openssl("verify", "-x509_strict", "-purpose", purpose, *trust, f"{what}_cert.pem")


def shake_hands(
    python: str, folder: Path, device: str, device_anchor: str
) -> subprocess.CompletedProcess[str]:
    files = ["server_fullchain.pem", "server_key.pem", "root_cert.pem"]
    files += [f"{device}.pem", "device_key.pem", f"{device_anchor}_cert.pem"]
    script = str(Path(__file__).with_name("handshake.py"))
    return subprocess.run([python, script, *files], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def files(root: CertificateAuthority, now: datetime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handshake")
    line = root.issue_intermediate("line-3", now=now)
    key = new_key()
    store.save_authority(folder, "root", root)
    store.save_authority(folder, "line", line)
    store.save_identity(folder, "server", root.issue_server(["localhost"], ["127.0.0.1"], now=now))
    store.save_identity(folder, "device", line.issue("pump-042", now=now, key=key))
    store.save_identity(
        folder, "alone", DeviceIdentity.self_signed("pump-042", now=now, key=key), with_key=False
    )
    return folder


@pytest.mark.parametrize("python", [lambda: sys.executable, python_3_13], ids=["this", "3.13"])
@pytest.mark.parametrize(
    ("device", "anchor"),
    [
        ("device_fullchain", "root"),
        ("device_fullchain", "line"),
        ("device_cert", "device"),
        ("alone_cert", "alone"),
    ],
)
def test_strict_tls_contexts_shake_hands(
    files: Path, python: Callable[[], str], device: str, anchor: str
) -> None:
    done = shake_hands(python(), files, device, anchor)
    assert "pump-042" in done.stdout, done.stderr


def test_a_device_that_leaves_out_its_intermediate_is_refused(files: Path) -> None:
    assert "unable to get local issuer" in shake_hands(sys.executable, files, "device_cert", "root").stderr
