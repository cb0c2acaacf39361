"""Hides how a CA issues: who may sign what, for how long, and how possession of a key is proven."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from iotc_admin.errors import BrokenChain, NotAllowedHere, PkiError
from iotc_admin.pki import bundle, pem, profiles, validity
from iotc_admin.pki.chain import room_below, signed_by
from iotc_admin.pki.description import common_name, is_ca
from iotc_admin.pki.identity import DEVICE_LIFETIME, DeviceIdentity
from iotc_admin.pki.keys import NO_ACCESS, KeyKind, new_key, require_strong
from iotc_admin.pki.names import require_device_id, require_name
from iotc_admin.pki.parsing import FAILURES, extension

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from iotc_admin.pki.keys import KeyAccess, SigningKey, VerifyingKey
    from iotc_admin.pki.profiles import Profile

AUTHORITY_LIFETIME = timedelta(days=3650)
PROOF_LIFETIME = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA certificate with its issuers, nearest first. Without `key` it signs nothing."""

    certificate: x509.Certificate
    key: SigningKey | None = field(default=None, repr=False, compare=False)
    chain: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        bundle.require_match(self.certificate, self.key)

    @classmethod
    def create(
        cls,
        name: str,
        *,
        now: datetime,
        lifetime: timedelta = AUTHORITY_LIFETIME,
        kind: KeyKind = KeyKind.EC_P256,
        key: SigningKey | None = None,
        path_length: int | None = None,
    ) -> CertificateAuthority:
        """A new root; with `key` around that key, else around a fresh one."""
        require_name(name)
        profile = profiles.authority(path_length)
        dates = validity.lasting(lifetime, now=now)
        own = key or new_key(kind)
        public_key = require_strong(own.public_key())
        certificate = profiles.certify(name, public_key, profile, dates, issuer=None, key=own)
        return cls(certificate, own)

    @classmethod
    def load(
        cls,
        certificate_path: Path | str,
        key: str | None = None,
        *,
        password: bytes | None = None,
        access: KeyAccess = NO_ACCESS,
    ) -> CertificateAuthority:
        """From PEM, DER or PFX. `key` is a path or URI; without it, looked for in the file and beside it.

        URIs are those of `keys.open_key`, reached by `access`.
        """
        found = bundle.find(certificate_path, key, password=password, access=access)
        return cls(found.certificate, found.key, found.chain)

    @property
    def fullchain_pem(self) -> bytes:
        """The certificate and its issuers, nearest first, the root included when known."""
        return pem.fullchain_pem(self.certificate, self.chain)

    def pfx(self, password: bytes) -> bytes:
        """Key, certificate and chain as PKCS#12."""
        name = common_name(self.certificate) or ""
        return pem.pfx(name, self._require_key(), self.certificate, self.chain, password)

    def issue(
        self,
        device_id: str,
        *,
        now: datetime,
        lifetime: timedelta | None = None,
        kind: KeyKind = KeyKind.EC_P256,
        key: SigningKey | None = None,
    ) -> DeviceIdentity:
        """A device identity for 365 days or until this CA ends; a `lifetime` beyond that is refused."""
        require_device_id(device_id)
        return self._identity(device_id, profiles.device(), now, lifetime, key or new_key(kind))

    def issue_server(
        self,
        names: Iterable[str],
        addresses: Iterable[str] = (),
        *,
        now: datetime,
        lifetime: timedelta | None = None,
    ) -> DeviceIdentity:
        """A TLS server's identity under these DNS names and IP addresses; the first is its common name."""
        names, addresses = list(names), [str(each) for each in addresses]
        name = require_name(next(iter([*names, *addresses]), ""))
        return self._identity(name, profiles.server(names, addresses), now, lifetime, new_key())

    def issue_intermediate(
        self,
        name: str,
        *,
        now: datetime,
        lifetime: timedelta | None = None,
        kind: KeyKind = KeyKind.EC_P256,
        key: SigningKey | None = None,
        path_length: int | None = None,
    ) -> CertificateAuthority:
        """A CA below this one, for 3650 days or until this CA ends."""
        require_name(name)
        profile = profiles.authority(self._path_length_below(path_length))
        own = key or new_key(kind)
        public_key = require_strong(own.public_key())
        certificate = self._sign(
            name, public_key, profile, now=now, lifetime=lifetime, default=AUTHORITY_LIFETIME
        )
        return CertificateAuthority(certificate, own, (self.certificate, *self.chain))

    def sign_request(
        self,
        csr: x509.CertificateSigningRequest,
        *,
        now: datetime,
        lifetime: timedelta | None = None,
        device_id: str | None = None,
    ) -> x509.Certificate:
        """A device certificate for the request's CN and key; extensions it asks for are ignored."""
        name = _requested_name(csr, device_id)
        return self._sign(
            name,
            _requested_key(csr),
            profiles.device(),
            now=now,
            lifetime=lifetime,
            default=DEVICE_LIFETIME,
        )

    def prove(self, code: str, *, now: datetime) -> x509.Certificate:
        """The verification certificate: its CN is the code, it lives a day, its own key is thrown away."""
        name = require_name(code.strip())
        return self._sign(
            name,
            new_key().public_key(),
            profiles.device(),
            now=now,
            lifetime=None,
            default=PROOF_LIFETIME,
        )

    def check(self, proof: x509.Certificate) -> None:
        """BrokenChain unless this CA's key signed `proof` and the names match."""
        if not signed_by(proof, self.certificate):
            raise BrokenChain(
                f"{_subject(proof)}, issued by {proof.issuer.rfc4514_string()}, "
                f"was not signed by {_subject(self.certificate)}",
                hint="sign it with the key of the certificate that is in the slot",
            )

    def _identity(
        self, name: str, profile: Profile, now: datetime, lifetime: timedelta | None, key: SigningKey
    ) -> DeviceIdentity:
        public_key = require_strong(key.public_key())
        certificate = self._sign(
            name, public_key, profile, now=now, lifetime=lifetime, default=DEVICE_LIFETIME
        )
        return DeviceIdentity(certificate, key, (self.certificate, *self.chain))

    def _sign(
        self,
        name: str,
        public_key: VerifyingKey,
        profile: Profile,
        *,
        now: datetime,
        lifetime: timedelta | None,
        default: timedelta,
    ) -> x509.Certificate:
        key = self._require_key()
        self._require_may_sign()
        dates = validity.within(self.certificate, lifetime, default=default, now=now)
        return profiles.certify(name, public_key, profile, dates, issuer=self.certificate, key=key)

    def _require_key(self) -> SigningKey:
        if self.key is None:
            raise PkiError(
                f"the key of {_subject(self.certificate)} is not here",
                hint="say where it is with --issuer-key",
            )
        return self.key

    def _require_may_sign(self) -> None:
        usage = extension(self.certificate, x509.KeyUsage)
        if not is_ca(self.certificate) or (usage is not None and not usage.key_cert_sign):
            raise NotAllowedHere(
                f"{_subject(self.certificate)} may not sign certificates: it is no CA",
                hint="give a root or intermediate certificate as issuer",
            )

    def _path_length_below(self, wanted: int | None) -> int | None:
        room = room_below((self.certificate, *self.chain))
        if room is None:
            return wanted
        if room < 1:
            raise NotAllowedHere(
                f"{_subject(self.certificate)} may not have a CA below it: its path length is used up",
                hint="issue from a CA further up, or make one with a larger --path-length",
            )
        if wanted is not None and wanted > room - 1:
            raise NotAllowedHere(
                f"a path length of {wanted} is more than {_subject(self.certificate)} allows",
                hint=f"use --path-length {room - 1} or less",
            )
        return room - 1 if wanted is None else wanted


def _requested_name(csr: x509.CertificateSigningRequest, device_id: str | None) -> str:
    name = common_name(csr)
    if device_id is not None and name != device_id:
        raise NotAllowedHere(
            f"the request is for {name!r}, not for {device_id!r}",
            hint=f"make the request on the device with the common name {device_id}",
        )
    return require_device_id(name or "")


def _requested_key(csr: x509.CertificateSigningRequest) -> VerifyingKey:
    try:
        key, signed = csr.public_key(), csr.is_signature_valid
    except FAILURES as failure:
        raise NotAllowedHere(
            "the request's key is of a kind that is not supported", hint="use EC P-256"
        ) from failure
    if not signed:
        raise BrokenChain(
            "the request was not signed by its own key", hint="make the request again on the device"
        )
    return require_strong(key)


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
