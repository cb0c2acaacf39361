"""How fast device identities become files, on one core and a file system in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from figures import Figure
from processes import medians, silently, timed

from iotc_admin import CertificateAuthority
from iotc_admin.pki.store import save_authority, save_identity

_ROUNDS = 5
_NOW = datetime.now(UTC).replace(microsecond=0)
_numbers = count()


def measure(folder: Path) -> Iterator[Figure]:
    root = CertificateAuthority.create("root", now=_NOW)
    save_authority(folder, "root", root)
    rates = medians(
        {
            "ours": partial(_rate, 300, partial(_ours, folder, root)),
            "raw": partial(_rate, 300, partial(_raw, folder, root)),
            "openssl": partial(_rate, 10, partial(_openssl, folder)),
            "proofs": partial(_rate, 300, lambda: root.prove("7A69A3F8", now=_NOW)),
            "in memory": partial(_rate, 300, lambda: root.issue("pump", now=_NOW)),
            "raw in memory": partial(_rate, 300, partial(_certificate, root, "pump")),
        },
        _ROUNDS,
    )
    for what, name, goal, beside, baseline in (
        ("P-256 device to files, one core", "ours", 5000, "cryptography alone", "raw"),
        ("P-256 device to files, one core", "ours", None, "openssl ecparam, req, x509", "openssl"),
        ("P-256 device in memory", "in memory", None, "cryptography alone", "raw in memory"),
        ("proofs of possession", "proofs", None, "cryptography, a device", "raw in memory"),
    ):
        yield Figure(f"certificates: {what}", rates[name], "1/s", goal, True, beside, rates[baseline])


def _rate(times: int, work: Callable[[], object]) -> float:
    def repeatedly() -> None:
        for _ in range(times):
            work()

    return times / timed(repeatedly)


def _ours(folder: Path, root: CertificateAuthority) -> None:
    name = f"ours-{next(_numbers)}"
    save_identity(folder, name, root.issue(name, now=_NOW))


def _raw(folder: Path, root: CertificateAuthority) -> None:
    name = f"raw-{next(_numbers)}"
    key, certificate = _certificate(root, name)
    pem = serialization.Encoding.PEM
    own = certificate.public_bytes(pem)
    plain = serialization.NoEncryption()
    _write(
        f"{folder}/{name}_key.pem", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain), 0o600
    )
    _write(f"{folder}/{name}_cert.pem", own, 0o644)
    _write(f"{folder}/{name}_fullchain.pem", own + root.certificate.public_bytes(pem), 0o644)


def _certificate(
    root: CertificateAuthority, name: str
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer = root.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    above = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW)
        .not_valid_after(_NOW + timedelta(days=365))
        .add_extension(identifier, critical=False)
        .add_extension(above, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_signs, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return key, builder.sign(cast(ec.EllipticCurvePrivateKey, root.key), hashes.SHA256())


_signs = x509.KeyUsage(True, *[False] * 8)  # digital_signature alone


def _write(path: str, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    os.write(handle, data)
    os.close(handle)


def _openssl(folder: Path) -> None:
    stem = f"{folder}/openssl-{next(_numbers)}"
    env = dict(os.environ)
    signed = f"-CA {folder}/root_cert.pem -CAkey {folder}/root_key.pem -CAcreateserial -days 365 -sha256"
    for line in (
        f"openssl ecparam -name prime256v1 -genkey -noout -out {stem}_key.pem",
        f"openssl req -new -key {stem}_key.pem -subj /CN=pump -out {stem}.csr",
        f"openssl x509 -req -in {stem}.csr {signed} -out {stem}_cert.pem",
    ):
        silently(tuple(line.split()), env)
