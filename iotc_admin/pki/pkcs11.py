"""Hides PKCS #11: modules, slots, sessions and how tokens spell keys and signatures.

Each signature has a session of its own, which is closed at once: nothing stays logged in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag, exceptions

from iotc_admin.errors import PkiError, SettingsError
from iotc_admin.pki import store
from iotc_admin.pki.pkcs11_uri import TokenUri, parse
from iotc_admin.pki.remote import Algorithm, der, digest, remote_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from iotc_admin.pki.keys import KeyAccess, SigningKey

# p11-kit's proxy reaches every module that is registered on the machine; SoftHSM where distributions put it.
MODULES: Final = (
    "/usr/lib/x86_64-linux-gnu/p11-kit-proxy.so",
    "/usr/lib/aarch64-linux-gnu/p11-kit-proxy.so",
    "/usr/lib64/p11-kit-proxy.so",
    "/usr/lib/p11-kit-proxy.so",
    "/opt/homebrew/lib/p11-kit-proxy.dylib",
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib64/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)

# A module is set up for one thread, and a login is the whole process's: two at once end in a crash.
_ALONE: Final = Lock()
_CURVES: Final[Mapping[bytes, ec.EllipticCurve]] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
}
_KINDS: Final = "use EC P-256, EC P-384 or RSA"
# What PKCS #1 v1.5 puts before a SHA-256, for tokens that leave the hashing to us.
_SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
_WRONG_PIN: Final = (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange)


def open_key(
    where: str, password: bytes | None, access: KeyAccess, public_key: PublicKeyTypes | None
) -> SigningKey:
    """The private key that a `pkcs11:` URI names. `password` is the token's PIN.

    The PIN comes from the URI's `pin-source`, else `password`, else `access.pin`. Raises `SettingsError` for
    what the URI, the module or the PIN lack, `PkiError` for what the token does not do.
    """
    uri = parse(where)
    name = where.partition("?")[0]
    place = _Place(name, uri, _module(uri, access), password, access)
    with place.session() as session:
        public = _readable_public_key(name, session, place.key(session)) or public_key
    if public is None:
        message = f"{name}: the token holds no public key beside this one"
        raise PkiError(message, hint="name the certificate too, or put the public key into the token")
    return remote_key(name, public, place.sign)


@dataclass(slots=True)
class _Place:
    """Where the key is, and how to get at it again for each signature."""

    name: str
    uri: TokenUri
    module: str
    password: bytes | None = field(repr=False)
    access: KeyAccess = field(repr=False)
    _pin: str | None = field(default=None, repr=False)

    def sign(self, algorithm: Algorithm, message: bytes) -> bytes:
        """A signature made in the token."""
        with self.session() as session:
            key = self.key(session)
            # Some keys want the PIN again for each signature, as those of PIV cards do.
            guarded = any(_told([key], Attribute.ALWAYS_AUTHENTICATE) or ())
            return _sign(key, algorithm, message, self._pin if guarded else None)

    @contextmanager
    def session(self) -> Iterator[pkcs11.Session]:
        """A session that is logged in; what goes wrong in it comes out as our own error."""
        with _ALONE, _said(self.name):
            token = self._token()
            with token.open(user_pin=self._pin_of(token)) as opened:
                yield opened

    def key(self, session: pkcs11.Session) -> Any:
        """The one private key that the URI names."""
        every: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        asked = {Attribute.LABEL: self.uri.object, Attribute.ID: self.uri.id}
        wanted = every | {name: value for name, value in asked.items() if value is not None}
        found = list(session.get_objects(wanted))
        if len(found) == 1:
            return found[0]
        if found:
            message = f"{self.name} names {len(found)} private keys: {_listed(map(_key_uri, found))}"
            raise SettingsError(message, hint="name one of them, by object= and id=")
        there = _listed(map(_key_uri, session.get_objects(every)))
        message = f"{self.name}: the token holds no such private key; it holds {there}"
        raise SettingsError(message, hint="correct object= or id=, or name another token")

    def _token(self) -> pkcs11.Token:
        """The one token that the URI names."""
        tokens = _tokens(self.module)
        found = [token for token in tokens if _fits(self.uri, token)]
        if len(found) == 1:
            return found[0]
        if found:
            message = f"{self.name} fits {len(found)} tokens: {_listed(map(_token_uri, found))}"
            raise SettingsError(message, hint="name one of them, by token= and serial=")
        message = (
            f"{self.name}: there is no such token; through {self.module} are seen: "
            f"{_listed(map(_token_uri, tokens))}"
        )
        raise SettingsError(message, hint="plug it in, or correct token=, or name its module by module-path=")

    def _pin_of(self, token: pkcs11.Token) -> str:
        if self._pin is None:
            self._pin = self._asked(token.label)
        return self._pin

    def _asked(self, label: str) -> str:
        if self.uri.pin_source is not None:
            return _pin_text(store.read_file(self.uri.pin_source), self.uri.pin_source)
        if self.password is not None:
            return _pin_text(self.password, "the PIN")
        pin = self.access.pin(label)
        if not pin:
            message = f"{self.name}: the token {label} wants a PIN, and none is given"
            raise SettingsError(message, hint="put it in a file: --key-password-file FILE; or set IOTC_PIN")
        return pin


@contextmanager
def _said(name: str) -> Iterator[None]:
    try:
        yield
    except _WRONG_PIN as failure:
        message = f"{name}: this is not the PIN of the token"
        hint = "correct it before you repeat: a token locks itself after a few wrong ones"
        raise SettingsError(message, hint=hint) from failure
    except exceptions.PinLocked as failure:
        message = f"{name}: the token is locked, after too many wrong PINs"
        raise SettingsError(message, hint="unlock it with its security officer's PIN") from failure
    except exceptions.PKCS11Error as failure:
        message = f"{name}: the token does not answer as it should: {_reason(failure)}"
        raise PkiError(message, hint="check that it is plugged in, then repeat") from failure


def _module(uri: TokenUri, access: KeyAccess) -> str:
    """The module that the URI names, or else the first of the known ones that is there."""
    if uri.module_path is not None:
        if not access.may_run:
            message = "pkcs11: a module-path runs a program, and where this URI stands none may be named"
            raise SettingsError(message, hint="name the key on the command line")
        return uri.module_path
    known = access.modules or MODULES
    if found := next((path for path in known if Path(path).is_file()), None):
        return found
    message = f"no PKCS #11 module is there; tried were {', '.join(known)}"
    raise SettingsError(message, hint="name the token's own: module-path= in the URI, or IOTC_PKCS11_MODULE")


def _tokens(module: str) -> list[pkcs11.Token]:
    try:
        slots = pkcs11.lib(module).get_slots(token_present=True)
        found = [_inserted(slot) for slot in slots]
    except (RuntimeError, OSError) as failure:
        message = f"the PKCS #11 module {module} cannot be used: {_reason(failure)}"
        raise SettingsError(message, hint="check module-path=, or IOTC_PKCS11_MODULE") from failure
    return [token for token in found if token is not None]


def _inserted(slot: pkcs11.Slot) -> pkcs11.Token | None:
    try:
        token = slot.get_token()
    except exceptions.PKCS11Error:
        # Pulled out, or broken: either way it is not there for us.
        return None
    return token if TokenFlag.TOKEN_INITIALIZED in token.flags else None


def _fits(uri: TokenUri, token: pkcs11.Token) -> bool:
    found = (token.label, _serial(token), token.manufacturer_id, token.model, token.slot.slot_id)
    wanted = (uri.token, uri.serial, uri.manufacturer, uri.model, uri.slot_id)
    return all(asked in (None, there) for asked, there in zip(wanted, found, strict=True))


def _readable_public_key(name: str, session: pkcs11.Session, key: Any) -> PublicKeyTypes | None:
    try:
        return _public_key(session, key)
    except ValueError as failure:
        message = f"{name}: the public key beside it is broken"
        raise PkiError(message, hint="put the right one into the token") from failure


def _public_key(session: pkcs11.Session, key: Any) -> PublicKeyTypes | None:
    """The public half, as far as the token tells it."""
    if key.key_type is KeyType.RSA:
        numbers = _told([key, *_beside(session, key)], Attribute.PUBLIC_EXPONENT, Attribute.MODULUS)
        if numbers is None:
            return None
        return rsa.RSAPublicNumbers(*(int.from_bytes(each, "big") for each in numbers)).public_key()
    if key.key_type is not KeyType.EC:
        raise PkiError("the key in the token is neither RSA nor EC", hint=_KINDS)
    told = _told(_beside(session, key), Attribute.EC_PARAMS, Attribute.EC_POINT)
    if told is None:
        return None
    curve = _CURVES.get(told[0])
    if curve is None:
        raise PkiError("the key in the token is on a curve that is not used here", hint=_KINDS)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, _point(curve, told[1]))


def _beside(session: pkcs11.Session, key: Any) -> list[Any]:
    """The public keys that go with a private one: by its id, or where it has none, by its label."""
    same = {Attribute.ID: key.id} if key.id else {Attribute.LABEL: key.label}
    wanted = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: key.key_type, **same}
    return list(session.get_objects(wanted))


def _told(objects: Iterable[Any], *attributes: Attribute) -> list[bytes] | None:
    """The attributes of the first object that tells them all."""
    for each in objects:
        with suppress(exceptions.AttributeTypeInvalid, exceptions.AttributeSensitive):
            return [_plain(each[attribute]) for attribute in attributes]
    return None


def _plain(value: bytes | int) -> bytes:
    return value if isinstance(value, bytes) else value.to_bytes((value.bit_length() + 7) // 8, "big")


def _point(curve: ec.EllipticCurve, told: bytes) -> bytes:
    """The point itself: tokens put it into an octet string, some leave it bare."""
    length = 2 * ((curve.key_size + 7) // 8) + 1
    return told[-length:]


def _sign(key: Any, algorithm: Algorithm, message: bytes, pin: str | None) -> bytes:
    hashed = digest(algorithm, message)
    if algorithm is not Algorithm.RS256:
        return der(key.sign(hashed, mechanism=Mechanism.ECDSA, pin=pin))
    try:
        signature: bytes = key.sign(message, mechanism=Mechanism.SHA256_RSA_PKCS, pin=pin)
    except exceptions.MechanismInvalid:
        signature = key.sign(_SHA256_INFO + hashed, mechanism=Mechanism.RSA_PKCS, pin=pin)
    return signature


def _pin_text(data: bytes, what: str) -> str:
    try:
        pin = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        pin = ""
    if not pin:
        raise SettingsError(f"{what} holds no PIN", hint="it should hold one line")
    return pin


def _key_uri(key: Any) -> str:
    return f"object={quote(key.label, safe='')};id={quote(key.id, safe='')}"


def _token_uri(token: pkcs11.Token) -> str:
    return f"token={quote(token.label, safe='')};serial={quote(_serial(token), safe='')}"


def _serial(token: pkcs11.Token) -> str:
    return token.serial.decode("utf-8", "replace").rstrip("\0 ")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _reason(failure: Exception) -> str:
    return str(failure) or type(failure).__name__
