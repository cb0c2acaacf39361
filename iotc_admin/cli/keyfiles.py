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


DRY_RUN: Final = "a dry run found changes to make"
PROOF_WAITS: Final = f"the proof waits for a person, or {DRY_RUN}"
CODES: Final = "refused or failed"


def epilog(example: str, library: str, *, one: str = CODES, three: str = "", partly: bool = False) -> str:
    """The end of each help page: exit codes, one example, and the library call that does the same.

    `one` and `three` say when the command exits with 1 and with 3; without `three` it never does, and
    without `partly` never with 4.
    """
    codes = ["0 done or nothing to do", f"1 {one}", "2 wrong usage"]
    codes += [f"3 {three}"] if three else []
    codes += ["4 partly done: repeat to resume"] if partly else []
    return f"Exit codes: {', '.join(codes)}\n\n\b\nExample:  {example}\nLibrary:  {library}"
