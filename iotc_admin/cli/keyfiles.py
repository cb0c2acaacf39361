"""Certificates and keys as the command line names them: options in, `CertificateAuthority` out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

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
