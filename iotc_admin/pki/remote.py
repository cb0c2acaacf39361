"""Hides what cryptography asks of a private key, for keys whose bytes are elsewhere: they sign, no more.

No signature leaves here that the key's public half does not confirm.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from iotc_admin.errors import KeyMismatch, NotAllowedHere, PkiError
from iotc_admin.pki.keys import key_kind_of, require_strong, spki_sha256

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from iotc_admin.pki.keys import SigningKey, VerifyingKey


class Algorithm(StrEnum):
    """How a message is signed, by its name in JSON Web Signatures."""

    ES256 = "ES256"
    ES384 = "ES384"
    RS256 = "RS256"


Sign: TypeAlias = Callable[[Algorithm, bytes], bytes]
"""The signature of a message: DER of r and s for EC, as long as the modulus for RSA. Raises `PkiError`."""

# Whoever holds a signature of this holds nothing: it is no certificate, no request and no hash of one.
_TRIAL = b"iotc-admin asks whether this key is the one that it is said to be"
_CURVES = {"secp256r1": Algorithm.ES256, "secp384r1": Algorithm.ES384}
_START = 16  # digits of a hash that people compare


def remote_key(where: str, public_key: PublicKeyTypes, sign: Sign) -> SigningKey:
    """The key at `where` as this package uses keys. It is tried once, so that what fails, fails now.

    Raises `NotAllowedHere` unless it is RSA, EC P-256 or P-384, `KeyMismatch` if it is not that public key's.
    """
    strong = require_strong(public_key)
    if isinstance(strong, rsa.RSAPublicKey):
        rsa_key = RemoteRSAPrivateKey(where, strong, Algorithm.RS256, sign)
        rsa_key.sign(_TRIAL, padding.PKCS1v15(), hash_of(Algorithm.RS256))
        return rsa_key
    algorithm = _CURVES.get(strong.curve.name)
    if algorithm is None:
        message = f"{where}: a key of kind {key_kind_of(strong)} cannot be used from there"
        raise NotAllowedHere(message, hint="use EC P-256, EC P-384 or RSA")
    key = RemoteEllipticCurvePrivateKey(where, strong, algorithm, sign)
    key.sign(_TRIAL, ec.ECDSA(hash_of(algorithm)))
    return key


def hash_of(algorithm: Algorithm) -> hashes.SHA256 | hashes.SHA384:
    """The hash that belongs to an algorithm."""
    return hashes.SHA384() if algorithm is Algorithm.ES384 else hashes.SHA256()


def digest(algorithm: Algorithm, message: bytes) -> bytes:
    """The message's hash, for places that sign hashes."""
    hashing = hashes.Hash(hash_of(algorithm))
    hashing.update(message)
    return hashing.finalize()


def der(signature: bytes) -> bytes:
    """An EC signature of r and s, one after the other, as certificates hold it."""
    half = len(signature) // 2
    r, s = signature[:half], signature[half:]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


class _Elsewhere:
    """What keys elsewhere share: where they are, and that nothing but a signature is to be had."""

    def __init__(self, where: str, public: VerifyingKey, algorithm: Algorithm, sign: Sign) -> None:
        self.where = where
        self._public: Any = public
        self._algorithm = algorithm
        self._sign = sign

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where!r})"

    @property
    def key_size(self) -> int:
        size: int = self._public.key_size
        return size

    def private_numbers(self) -> NoReturn:
        raise self._stays()

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        raise self._stays()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def _stays(self) -> PkiError:
        return PkiError(f"{self.where}: the key cannot leave where it is", hint="use it where it is")

    def _signature(self, data: bytes, hashing: object, *scheme: Any) -> bytes:
        """By the one algorithm that goes with this key, and checked."""
        if not isinstance(hashing, type(hash_of(self._algorithm))):
            message = f"{self.where}: this key signs by {self._algorithm} only"
            raise NotAllowedHere(message, hint="sign with the hash that goes with the key")
        signature = self._sign(self._algorithm, data)
        try:
            self._public.verify(signature, data, *scheme)
        except InvalidSignature:
            message = (
                f"{self.where}: the signature is not by the key that belongs to the public key "
                f"{spki_sha256(self._public)[:_START]}..; it is not used"
            )
            raise KeyMismatch(message, hint="name the key that was made for this certificate") from None
        return signature


class RemoteEllipticCurvePrivateKey(_Elsewhere, ec.EllipticCurvePrivateKey):
    """An EC key elsewhere."""

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """DER, by ECDSA with the hash that goes with the curve. Raises `PkiError`."""
        return self._signature(bytes(data), signature_algorithm.algorithm, signature_algorithm)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        public: ec.EllipticCurvePublicKey = self._public
        return public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self.public_key().curve

    def exchange(self, algorithm: object, peer_public_key: object) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise self._stays()


class RemoteRSAPrivateKey(_Elsewhere, rsa.RSAPrivateKey):
    """An RSA key elsewhere."""

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        """By PKCS #1 v1.5 with SHA-256. Raises `PkiError`."""
        return self._signature(bytes(data), algorithm, _only_v15(self.where, padding), algorithm)

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        public: rsa.RSAPublicKey = self._public
        return public

    def decrypt(self, ciphertext: object, padding: object) -> NoReturn:  # noqa: ARG002
        """Refused."""
        raise self._stays()


def _only_v15(where: str, given: object) -> padding.PKCS1v15:
    if not isinstance(given, padding.PKCS1v15):
        raise NotAllowedHere(f"{where}: this key signs by PKCS #1 v1.5 only", hint="sign with that padding")
    return given
