"""What the certificate and key files hold that a configuration file names, or why they cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iotc_admin.errors import IotcError
from iotc_admin.pki.parsing import public_key_of
from iotc_admin.pki.store import load_certificates, load_key, open_to_others
from iotc_admin.workflows.edge.settings import path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from iotc_admin.workflows.edge.reading import Document

_CERTIFICATES: Final = ("identity_cert", "edge_ca_cert", "trust_bundle")
_CHANGE: Final = 0o022
_KEYS: Final = ("identity_pk", "edge_ca_pk")


@dataclass(frozen=True)
class Held:
    """What one file holds. Of a private key only its public half is kept."""

    name: str
    certificates: tuple[x509.Certificate, ...] = ()
    key: PublicKeyTypes | None = None
    fault: str = ""
    hint: str = ""
    missing: bool = False
    open_to_others: bool = False

    @property
    def public_key(self) -> PublicKeyTypes | None:
        """Of the key, or of the first certificate."""
        return self.key or (public_key_of(self.certificates[0]) if self.certificates else None)


Material = dict[str, Held]
"""By setting; a setting without a file is not in it."""


def look(document: Document, locate: Callable[[Path], Path] = lambda path: path) -> Material:
    """Read the files that the document names. `locate` says where a file of the device is found here."""
    found: Material = {}
    for setting in (*_CERTIFICATES, *_KEYS):
        path = path_of(document.text(setting) or "")
        if path is not None:
            found[setting] = _held(locate(path), key=setting in _KEYS)
    return found


def _held(path: Path, *, key: bool) -> Held:
    name = str(path)
    if not path.exists():
        return Held(name, missing=True)
    try:
        if key:
            return Held(name, key=load_key(path).public_key(), open_to_others=open_to_others(path))
        return Held(name, tuple(load_certificates(path)), open_to_others=open_to_others(path, rights=_CHANGE))
    except IotcError as failure:
        return Held(name, fault=str(failure), hint=failure.hint)
