"""Certificates and keys as the command line names them: options in, `CertificateAuthority` out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli.settings import read_secret

if TYPE_CHECKING:
    from iotc_admin.pki.authority import CertificateAuthority

KeyPasswordFile = Annotated[
    str | None,
    typer.Option("--key-password-file", metavar="FILE", help="Holds the password of an encrypted key."),
]


def password(file: str | None) -> bytes | None:
    """The password in a file, as bytes."""
    return None if file is None else read_secret(file).encode()


def load_authority(certificate: str, key: str | None, password_file: str | None) -> CertificateAuthority:
    """A CA by its files; its key, when not named, is looked for beside it. Raises `PkiError`."""
    from iotc_admin.pki.authority import CertificateAuthority

    return CertificateAuthority.load(certificate, key, password=password(password_file))


def epilog(example: str, library: str) -> str:
    """The end of each help page: one example, and the library call that does the same."""
    return f"\b\nExample:  {example}\nLibrary:  {library}"
