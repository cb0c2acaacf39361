"""Hides where a signing key lives and what kinds there are.

A file, a token (PKCS #11), a vault (Azure Key Vault) or a command of the user's own: one interface for all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from iotc_admin.errors import NotAllowedHere, SettingsError
from iotc_admin.pki import store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """What it takes to reach keys that are not in files. Nothing secret of it is shown.

    `pin` is asked with a token's label when no password is given; of `modules`, files of PKCS #11, the first
    that is there counts. `may_run` says that whoever runs this wrote the key's place, so it may name a
    program: never set it for what stands in a file. `environment` is what such a program sees, `patience` how
    many seconds it has. `credential` is azure-identity's, by default `DefaultAzureCredential`; `transport`
    makes one of azure-core's, by default over HTTPS.
    """

    pin: Callable[[str], str | None] = field(default=lambda _: None, repr=False)
    modules: Sequence[str] = ()
    may_run: bool = False
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    patience: float = 60.0
    credential: Any = field(default=None, repr=False)
    transport: Callable[[], Any] | None = field(default=None, repr=False)


NO_ACCESS: Final = KeyAccess()


def open_key(
    where: str,
    *,
    password: bytes | None = None,
    access: KeyAccess = NO_ACCESS,
    public_key: PublicKeyTypes | None = None,
) -> SigningKey:
    """The key that `where` names: a path, `pkcs11:`, `https:` for a vault, or `exec:`.

    `password` opens the file, or is the PIN of the token. `public_key`, of the certificate that the key is
    for, serves places that cannot tell it. A key elsewhere is tried before it is given out. Raises
    `SettingsError` or `PkiError`.
    """
    place = _ELSEWHERE.get(_scheme(where))
    if place is None:
        return store.load_key(where, password)
    room, extra = place
    try:
        found: SigningKey = import_module(room).open_key(where, password, access, public_key)
    except ModuleNotFoundError as missing:
        if not missing.name or missing.name.startswith("iotc_admin"):
            raise
        message = f"{_scheme(where)}: needs a library that is not installed: {missing.name}"
        raise SettingsError(message, hint=f"pip install 'iotc-admin[{extra}]'") from missing
    return found


def in_file(where: str) -> bool:
    """Whether a key's place is a path."""
    return _scheme(where) not in _ELSEWHERE


def tells_public_key(where: str) -> bool:
    """Whether the place knows the public key, too; a command does not."""
    return _scheme(where) != "exec"


def _scheme(where: str) -> str:
    return where.partition(":")[0].lower()


def _spki(public_key: PublicKeyTypes) -> bytes:
    return public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


# Where keys live besides files: the room that knows the place, and the extra that brings its library.
_ELSEWHERE: Final = {
    "pkcs11": ("iotc_admin.pki.pkcs11", "pkcs11"),
    "https": ("iotc_admin.pki.keyvault", "keyvault"),
    "exec": ("iotc_admin.pki.external", ""),
}
