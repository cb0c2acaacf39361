"""Certificates and keys as the command line names them: options in, `CertificateAuthority` out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from iotc_admin.cli.settings import Session, read_secret

if TYPE_CHECKING:
    from cryptography import x509

    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.pki.keys import SigningKey

KeyPasswordFile = Annotated[
    str | None,
    typer.Option(
        "--key-password-file", metavar="FILE", help="Holds an encrypted key's password, or a token's PIN."
    ),
]

KEY_HELP: Final = (
    "Its key, if not found beside it: a file, pkcs11:token=...;object=..., "
    "https://VAULT.vault.azure.net/keys/NAME or exec:COMMAND."
)


def password(file: str | None) -> bytes | None:
    """The password in a file, as bytes."""
    return None if file is None else read_secret(file).encode()


def load_authority(
    session: Session, certificate: str, key: str | None, password_file: str | None
) -> CertificateAuthority:
    """A CA by its certificate's file; its key, when not named, is looked for beside it. Raises `PkiError`."""
    from iotc_admin.pki.authority import CertificateAuthority

    return CertificateAuthority.load(
        certificate, key, password=password(password_file), access=session.key_access()
    )


def load_key(
    session: Session, key: str, password_file: str | None, certificate: x509.Certificate | None = None
) -> SigningKey:
    """A key by its file or URI, and the certificate that it is for. Raises `SettingsError` or `PkiError`."""
    from iotc_admin.pki.keys import open_key
    from iotc_admin.pki.parsing import public_key_of

    public_key = public_key_of(certificate) if certificate else None
    secret = password(password_file)
    return open_key(key, password=secret, access=session.key_access(), public_key=public_key)


def epilog(example: str, library: str) -> str:
    """The end of each help page: one example, and the library call that does the same."""
    return f"\b\nExample:  {example}\nLibrary:  {library}"
