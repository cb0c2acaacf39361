"""Hides where a signing key lives and what kinds there are."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from iotc_admin.errors import NotAllowedHere, SettingsError
from iotc_admin.pki import store

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

SigningKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""Anything that implements one of the two: in memory, in a token, in a vault."""

VerifyingKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
"""The public half of a SigningKey."""

SMALLEST_RSA = 2048
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


class KeyKind(StrEnum):
    """The kinds of key this package makes."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"


def new_key(kind: KeyKind = KeyKind.EC_P256) -> SigningKey:
    """A fresh private key."""
    family, _, size = KeyKind(kind).partition("-")
    if family == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=int(size))
    return ec.generate_private_key(ec.SECP384R1() if size == "p384" else ec.SECP256R1())


def key_kind_of(public_key: PublicKeyTypes | None) -> str:
    """For people: "EC P-256", "RSA 2048", "Ed25519"; "unknown" for None."""
    if public_key is None:
        return "unknown"
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return f"EC {_CURVES.get(public_key.curve.name, public_key.curve.name)}"
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"RSA {public_key.key_size}"
    return type(public_key).__name__.removesuffix("PublicKey")


def weakness(public_key: PublicKeyTypes | None) -> str:
    """Why the service would not take this key, or the empty string. P-521 is not refused here."""
    kind = key_kind_of(public_key)
    if isinstance(public_key, rsa.RSAPublicKey):
        return "" if public_key.key_size >= SMALLEST_RSA else f"{kind} is shorter than {SMALLEST_RSA} bits"
    if isinstance(public_key, ec.EllipticCurvePublicKey) and public_key.curve.name in _CURVES:
        return ""
    return f"{kind} is neither RSA nor EC P-256 or P-384"


def require_strong(public_key: PublicKeyTypes) -> VerifyingKey:
    """The key itself, unless the service would not take it."""
    fault = weakness(public_key)
    if fault or not isinstance(public_key, VerifyingKey):
        raise NotAllowedHere(f"the key cannot be used: {fault}", hint="use EC P-256 or RSA 2048")
    return public_key


def signature_hash(key: SigningKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """The hash as strong as the key: SHA-256 for P-256 and RSA, SHA-384 for P-384."""
    if isinstance(key, rsa.RSAPrivateKey) or key.curve.key_size <= 256:  # noqa: PLR2004
        return hashes.SHA256()
    return hashes.SHA384() if key.curve.key_size <= 384 else hashes.SHA512()  # noqa: PLR2004


def spki_sha256(public_key: PublicKeyTypes) -> str:
    """SHA-256 of the public key as certificates hold it, upper-case hex: stays when a key is renewed."""
    return hashlib.sha256(_spki(public_key)).hexdigest().upper()


def same_key(a_public: PublicKeyTypes, b_public: PublicKeyTypes) -> bool:
    """True when both are the same public key."""
    return _spki(a_public) == _spki(b_public)


def open_key(where: str, *, password: bytes | None = None) -> SigningKey:
    """The key that `where` names: a path, or a scheme such as `pkcs11:` as soon as it is served."""
    scheme = where.partition(":")[0].lower()
    return _SOURCES.get(scheme, _from_file)(where, password)


def _from_file(where: str, password: bytes | None) -> SigningKey:
    return store.load_key(where, password)


def _not_served(place: str, where: str, password: bytes | None) -> SigningKey:  # noqa: ARG001
    raise SettingsError(
        f"{where.partition(':')[0]}: a key in {place} cannot be used by this version",
        hint="give the path of a key file; a file of that very name is meant by ./NAME",
    )


def _spki(public_key: PublicKeyTypes) -> bytes:
    return public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


_SOURCES: dict[str, Callable[[str, bytes | None], SigningKey]] = {
    "pkcs11": partial(_not_served, "a PKCS#11 token"),
    "https": partial(_not_served, "Azure Key Vault"),
    "exec": partial(_not_served, "an external signer"),
}
