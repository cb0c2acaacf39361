"""Hides how a signature comes from a command of the user's own: `exec:COMMAND`, for keys in any other place.

The command gets the message on stdin and the algorithm in IOTC_SIGN_ALGORITHM, and writes the signature alone
to stdout.
"""

from __future__ import annotations

import shlex
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, TYPE_CHECKING, Final

from iotc_admin.errors import NotAllowedHere, PkiError, SettingsError
from iotc_admin.pki.remote import Algorithm, remote_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from iotc_admin.pki.keys import KeyAccess, SigningKey

# The longest signature, of RSA 16384, is 2 KiB; what a command says when it fails is cut anyway.
_MOST: Final = 16 << 10
_SHOWN: Final = 300
_AFTERWARDS: Final = 1.0  # seconds for what was said last


def open_key(
    where: str,
    password: bytes | None,  # noqa: ARG001 - a command has its own ways
    access: KeyAccess,
    public_key: PublicKeyTypes | None,
) -> SigningKey:
    """The key that a command signs with, `public_key` being its public half.

    Raises `SettingsError` where no command may be named or none can be run, `PkiError` if it does not sign.
    """
    if not access.may_run:
        message = "exec: runs a command, and where this stands none may be named"
        raise SettingsError(message, hint="name it on the command line, never in a file")
    arguments = _split(where.partition(":")[2])
    if public_key is None:
        message = "exec: cannot tell its public key, and here no certificate tells it"
        raise NotAllowedHere(
            message, hint="use it where its certificate is named too, as in --root with --root-key"
        )
    signer = _Signer(f"exec:{arguments[0]}", arguments, access)
    return remote_key(signer.name, public_key, signer.sign)


@dataclass(frozen=True, slots=True)
class _Signer:
    """A command; its arguments are shown to nobody."""

    name: str
    arguments: list[str] = field(repr=False)
    access: KeyAccess = field(repr=False)

    def sign(self, algorithm: Algorithm, message: bytes) -> bytes:
        """What the command wrote. Raises `PkiError` when it fails, hangs or writes nothing or too much."""
        with TemporaryFile() as given:
            given.write(message)
            given.seek(0)
            return self._run(given, {**self.access.environment, "IOTC_SIGN_ALGORITHM": algorithm.value})

    def _run(self, given: IO[bytes], environment: dict[str, str]) -> bytes:
        process = self._started(given, environment)
        written, said = (_Reader(process, pipe) for pipe in (process.stdout, process.stderr))
        try:
            code = process.wait(self.access.patience)
            written.join(self.access.patience)
            said.join(_AFTERWARDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        if written.too_much or said.too_much:
            message = f"{self.name}: wrote more than {_MOST >> 10} KiB, which is no signature"
            raise PkiError(message, hint="it must write the signature alone to stdout")
        if code is None or written.is_alive():
            message = f"{self.name}: gave no signature within {self.access.patience:g} seconds{said.shown}"
            raise PkiError(message, hint="run it by hand: does it wait for somebody?")
        if code or not written.data:
            outcome = f"ended with exit code {code}" if code else "wrote nothing"
            raise PkiError(
                f"{self.name}: {outcome}{said.shown}", hint="run it by hand, and see what it lacks"
            )
        return written.data

    def _started(self, given: IO[bytes], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        try:
            # The user wrote it for this, and no shell sees it.
            return subprocess.Popen(  # noqa: S603
                self.arguments, bufsize=0, stdin=given, stdout=pipe, stderr=pipe, env=environment
            )
        except (OSError, ValueError) as failure:
            message = f"{self.name}: cannot be run: {failure}"
            hint = "check the command: its words are split as a shell does, but no shell runs it"
            raise SettingsError(message, hint=hint) from failure


class _Reader(Thread):
    """Reads what a command writes, up to the limit, beyond which it ends the command."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes] | None) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._pipe = pipe
        self.data = b""
        self.start()

    def run(self) -> None:
        # The pipe is closed under us when the command was too slow.
        with suppress(OSError, ValueError):
            while self._pipe and not self.too_much and (part := self._pipe.read(_MOST)):
                self.data += part
        if self.too_much:
            self._process.kill()

    @property
    def too_much(self) -> bool:
        return len(self.data) > _MOST

    @property
    def shown(self) -> str:
        """What was said, for people: short, on one line, and nothing that steers a terminal."""
        text = " ".join(self.data.decode("utf-8", "replace").split())
        plain = "".join(each if each.isprintable() else "?" for each in text)
        return f": {plain[:_SHOWN]}{'...' * (len(plain) > _SHOWN)}" if plain else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _split(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError as failure:
        raise SettingsError(
            f"exec: cannot be split into words: {failure}", hint="close each quote"
        ) from failure
    if not arguments:
        raise SettingsError("exec: names no command", hint="as in exec:/usr/local/bin/sign-with-hsm")
    return arguments
