"""Hides the emulator's own PKI: a CA that stays, and a server certificate made anew at each start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iotc_admin.emulator.handshake import AnyClientCertificate
from iotc_admin.pki import store
from iotc_admin.pki.authority import CertificateAuthority

if TYPE_CHECKING:
    import ssl
    from datetime import datetime
    from pathlib import Path

CA_FILE: Final = "ca_cert.pem"

_NAMES: Final = ("localhost", "*.localhost")
_ADDRESSES: Final = ("127.0.0.1", "::1")


def authority(directory: Path, *, now: datetime) -> CertificateAuthority:
    """The CA kept in this directory; a new one, saved there, when there is none."""
    if (directory / CA_FILE).exists():
        return CertificateAuthority.load(directory / CA_FILE)
    created = CertificateAuthority.create("iotc-admin emulator", now=now)
    store.save_authority(directory, "ca", created)
    return created


def server_context(issuer: CertificateAuthority, *, now: datetime) -> ssl.SSLContext:
    """TLS 1.2 or newer, under the names of this machine's loopback; any client certificate, or none."""
    return AnyClientCertificate(issuer.issue_server(_NAMES, _ADDRESSES, now=now))
