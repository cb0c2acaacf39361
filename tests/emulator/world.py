"""A client of the emulator's in-process door, and certificates as the tests need them."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from iotc_admin.emulator import Emulator
from iotc_admin.emulator.exchange import Reply, Request

VERSION = "api-version=2022-07-31"
X509_GROUP = {"displayName": "Plant 7", "type": "iot", "attestation": {"type": "x509"}}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


class App:
    """One emulator, spoken to without sockets."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: str = VERSION,
        raw: bytes | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = {"authorization": token or self.emulator.api_token, "host": "localhost:8443"}
        if body is not None or raw is not None:
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            sent["content-type"] = kind
        sent.update(headers or {})
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        return answer_of(self.emulator.answer(Request(method, f"/api{path}", query, sent, data)))

    def get(self, path: str, query: str = VERSION) -> Answer:
        return self.send("GET", path, query=query)

    def put(self, path: str, body: Any) -> Answer:
        return self.send("PUT", path, body)

    def patch(self, path: str, body: Any) -> Answer:
        return self.send("PATCH", path, body)

    def post(self, path: str, body: Any = None) -> Answer:
        return self.send("POST", path, body)

    def delete(self, path: str) -> Answer:
        return self.send("DELETE", path)

    def group(self, name: str = "plant-7", *certificates: x509.Certificate) -> str:
        """A new X.509 group with these certificates in its slots; its path."""
        path = f"/enrollmentGroups/{name}"
        assert self.put(path, {**X509_GROUP, "displayName": name}).status == 200
        for slot, certificate in zip(("primary", "secondary"), certificates, strict=False):
            answer = self.put(f"{path}/certificates/{slot}", {"certificate": base64_pem(certificate)})
            assert answer.status == 200, answer.body
        return path

    def code(self, slot_path: str) -> str:
        return str(self.post(f"{slot_path}/generateVerificationCode").json["verificationCode"])

    def verify(self, slot_path: str, proof: x509.Certificate) -> Answer:
        return self.post(f"{slot_path}/verify", {"certificate": base64_pem(proof)})


def answer_of(reply: Reply) -> Answer:
    return Answer(reply.status, dict(reply.headers), reply.body)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def base64_pem(certificate: x509.Certificate) -> str:
    return b64encode(pem(certificate).encode()).decode()


def base64_der(certificate: x509.Certificate) -> str:
    return b64encode(certificate.public_bytes(Encoding.DER)).decode()


def sha1(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA1()).hex().upper()


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True)
class Authority:
    """A CA made with cryptography alone, so that no code of the program judges itself."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def sign(
        self,
        subject: str,
        *,
        issuer: str | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        not_before: datetime | None = None,
        days: float = 1,
        extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    ) -> x509.Certificate:
        """A certificate of this CA; with `key` or `issuer`, one that only pretends to be."""
        start = not_before or datetime.now(UTC) - timedelta(minutes=5)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(self.certificate.subject if issuer is None else name(issuer))
            .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=days))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(key or self.key, hashes.SHA256())


def authority(common_name: str = "Root", *, ca: bool = True, issuer: Authority | None = None) -> Authority:
    """A root, or an intermediate of `issuer`; with `ca` False a certificate without the CA flag."""
    key = ec.generate_private_key(ec.SECP256R1())
    start = datetime.now(UTC) - timedelta(hours=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(issuer.certificate.subject if issuer else name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=3650))
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
