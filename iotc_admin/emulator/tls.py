"""Hides the emulator's own PKI: a CA that stays, and a server certificate made anew at each start."""

from __future__ import annotations

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from iotc_admin.pki import pem, store
from iotc_admin.pki.authority import CertificateAuthority

if TYPE_CHECKING:
    from datetime import datetime

    from iotc_admin.pki.identity import DeviceIdentity

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
    """TLS 1.2 or newer, under the names of this machine's loopback."""
    identity = issuer.issue_server(_NAMES, _ADDRESSES, now=now)
    # Not create_default_context: a server needs no list of trusted roots, and loading it takes 20 ms.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, identity)
    return context


def _load(context: ssl.SSLContext, identity: DeviceIdentity) -> None:
    if identity.key is None:
        raise AssertionError("unreachable: a server identity is issued with its key")
    with TemporaryDirectory() as directory:
        path = Path(directory) / "server.pem"
        path.touch(mode=0o600)
        path.write_bytes(pem.key_pem(identity.key) + identity.fullchain_pem)
        context.load_cert_chain(path)
