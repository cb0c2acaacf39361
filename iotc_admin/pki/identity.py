"""Hides what makes a device's identity: certificate, key and the chain it has to send."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from iotc_admin.errors import PkiError
from iotc_admin.pki import bundle, pem, profiles
from iotc_admin.pki.description import common_name
from iotc_admin.pki.keys import NO_ACCESS, KeyKind, new_key, require_strong
from iotc_admin.pki.names import require_device_id
from iotc_admin.pki.validity import lasting

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from iotc_admin.pki.keys import KeyAccess, SigningKey

DEVICE_LIFETIME = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """A device's certificate with its issuers, nearest first. `key` is None when it stays on the device."""

    certificate: x509.Certificate
    key: SigningKey | None = field(default=None, repr=False, compare=False)
    chain: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        bundle.require_match(self.certificate, self.key)

    @classmethod
    def self_signed(
        cls,
        device_id: str,
        *,
        now: datetime,
        lifetime: timedelta = DEVICE_LIFETIME,
        kind: KeyKind = KeyKind.EC_P256,
        key: SigningKey | None = None,
    ) -> DeviceIdentity:
        """An identity that nobody vouches for: for an individual enrollment by thumbprint."""
        require_device_id(device_id)
        own = key or new_key(kind)
        public_key = require_strong(own.public_key())
        dates = lasting(lifetime, now=now)
        certificate = profiles.certify(device_id, public_key, profiles.device(), dates, issuer=None, key=own)
        return cls(certificate, own)

    @classmethod
    def load(
        cls,
        path: Path | str,
        key: str | None = None,
        *,
        password: bytes | None = None,
        access: KeyAccess = NO_ACCESS,
    ) -> DeviceIdentity:
        """From a PEM, DER or PFX file; without `key` it is looked for in the same file and beside it."""
        found = bundle.find(path, key, password=password, access=access)
        return cls(found.certificate, found.key, found.chain)

    @property
    def fullchain_pem(self) -> bytes:
        """The certificate and its issuers, nearest first, the root included when known."""
        return pem.fullchain_pem(self.certificate, self.chain)

    def pfx(self, password: bytes) -> bytes:
        """Key, certificate and chain as PKCS#12."""
        if self.key is None:
            raise PkiError("a PFX needs the key, and it is not here", hint="leave out --pfx, or give the key")
        name = common_name(self.certificate) or ""
        return pem.pfx(name, self.key, self.certificate, self.chain, password)
