"""What tests need from outside: system programs, another Python, a key that is no file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def _runs(path: str | Path | None, probe: str) -> bool:
    # A version manager's stand-in is found, too, but does not run.
    return path is not None and not subprocess.run([path, probe], capture_output=True, check=False).returncode


def needed(program: str, *, probe: str = "--version") -> str:
    """The program's path. Where it is absent the test is skipped; in CI it fails."""
    path = shutil.which(program)
    if path is None or not _runs(path, probe):
        reason = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def python_3_13() -> str:
    """A Python 3.13, whose TLS contexts are strict by default; no distribution that CI runs on has one."""
    homes = sorted(Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13"))
    for path in (shutil.which("python3.13"), *homes):
        if path is not None and _runs(path, "--version"):
            return str(path)
    pytest.skip("there is no Python 3.13; its strictness is tested by flags as well")


class RemoteKey(ec.EllipticCurvePrivateKey):
    """Signs from elsewhere, as a token or a vault does; its bytes cannot be had."""

    def __init__(self) -> None:
        self._elsewhere = ec.generate_private_key(ec.SECP256R1())

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        return self._elsewhere.sign(data, signature_algorithm)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._elsewhere.public_key()

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._elsewhere.curve

    @property
    def key_size(self) -> int:
        return self._elsewhere.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        raise NotImplementedError

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise NotImplementedError

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,  # noqa: A002
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> RemoteKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> RemoteKey:
        return self
