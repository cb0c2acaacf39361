"""Hides where the parts that belong together are found: a certificate, its key and its issuers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iotc_admin.errors import KeyMismatch, PkiError
from iotc_admin.pki import pem, store
from iotc_admin.pki.chain import build_chain
from iotc_admin.pki.containers import is_pfx
from iotc_admin.pki.keys import NO_ACCESS, in_file, open_key, same_key, spki_sha256
from iotc_admin.pki.parsing import public_key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from iotc_admin.pki.keys import KeyAccess, SigningKey

_START = 16  # digits of a hash that people compare


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a file and its neighbours hold together."""

    certificate: x509.Certificate
    key: SigningKey | None
    chain: tuple[x509.Certificate, ...]


def find(
    path: Path | str,
    key: str | None = None,
    *,
    password: bytes | None = None,
    access: KeyAccess = NO_ACCESS,
) -> Bundle:
    """The certificate of `path`, its issuers, and its key: named, in the same file, or beside it."""
    path = Path(path)
    certificates = store.load_certificates(path, password)
    if key is None:
        signing_key = _key_near(path, password)
    else:
        public_key = public_key_of(certificates[0])
        signing_key = open_key(key, password=password, access=access, public_key=public_key)
    with store.naming(path):
        certificate = _pick(certificates, signing_key)
    chain = build_chain(certificate, [*certificates, *_full_chain_beside(path)])
    return Bundle(certificate, signing_key, chain)


def presented(path: Path | str) -> tuple[x509.Certificate, ...]:
    """The certificate of `path` and its issuers, nearest first: what a device would send. No key is read."""
    path = Path(path)
    certificate, *others = store.load_certificates(path)
    return (certificate, *build_chain(certificate, [*others, *_full_chain_beside(path)]))


def key_file_beside(path: Path | str) -> Path | None:
    """`X_key.pem` or `X.key` next to a certificate."""
    path = Path(path)
    stem = _stem(path)
    return _other_file(path, f"{stem}_key.pem") or _other_file(path, f"{stem}.key")


def chain_file_beside(path: Path | str) -> Path | None:
    """`X_fullchain.pem` next to a certificate."""
    path = Path(path)
    return _other_file(path, f"{_stem(path)}_fullchain.pem")


def certificate_beside_key(where: Path | str, key: SigningKey) -> x509.Certificate | None:
    """The certificate that belongs to a key: in the key's own file, or beside `X_key.pem` as `X_cert.pem`.

    None for a key that is in no file.
    """
    path = Path(where)
    if not in_file(str(where)):
        return None
    beside = path.with_name(f"{path.stem.removesuffix('_key')}_cert.pem")
    for file in (path, beside):
        if not file.is_file():
            continue
        with suppress(PkiError):
            return _pick(store.load_certificates(file), key)
    return None


def require_match(certificate: x509.Certificate, key: SigningKey | None) -> None:
    """KeyMismatch unless `key` is None or belongs to the certificate."""
    if key is None:
        return
    public_key = public_key_of(certificate)
    if public_key is None or not same_key(public_key, key.public_key()):
        raise KeyMismatch(
            f"{certificate.subject.rfc4514_string()} has the public key {_shown(public_key)}, "
            f"but the private key belongs to {_shown(key.public_key())}",
            hint="give the key that was made for this certificate",
        )


def _pick(certificates: Sequence[x509.Certificate], key: SigningKey | None) -> x509.Certificate:
    for certificate in certificates:
        try:
            require_match(certificate, key)
        except KeyMismatch:
            continue
        return certificate
    require_match(certificates[0], key)
    return certificates[0]


def _key_near(path: Path, password: bytes | None) -> SigningKey | None:
    data = store.read_file(path)
    if pem.holds_key(data):
        return _key_inside(path, data, password)
    beside = key_file_beside(path)
    return store.load_key(beside, password) if beside else None


def _key_inside(path: Path, data: bytes, password: bytes | None) -> SigningKey | None:
    with store.naming(path):
        if is_pfx(data):
            return pem.read_pfx(data, password)[0]
        return pem.read_key(data, password)


def _full_chain_beside(path: Path) -> list[x509.Certificate]:
    beside = chain_file_beside(path)
    return store.load_certificates(beside) if beside else []


def _other_file(path: Path, name: str) -> Path | None:
    beside = path.with_name(name)
    return beside if beside != path and beside.is_file() else None


def _stem(path: Path) -> str:
    return path.stem.removesuffix("_cert").removesuffix("_fullchain")


def _shown(public_key: PublicKeyTypes | None) -> str:
    return "unknown" if public_key is None else f"{spki_sha256(public_key)[:_START]}.."
