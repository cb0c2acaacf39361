"""The clock, keys and authorities of the pki tests, and the system programs that judge them."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.keys import KeyKind, new_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives import serialization


@pytest.fixture(scope="session")
def now() -> datetime:
    # The real clock: other programs judge these certificates too.
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def root(now: datetime) -> CertificateAuthority:
    return CertificateAuthority.create("plant-7", now=now)


@pytest.fixture(scope="session")
def line(root: CertificateAuthority, now: datetime) -> CertificateAuthority:
    return root.issue_intermediate("line-3", now=now)


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    key = new_key(KeyKind.RSA_2048)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(__file__).parent / "data"


@pytest.fixture
def remote_key() -> ec.EllipticCurvePrivateKey:
    return RemoteKey()


def needed(program: str, *, probe: str = "--version") -> str:
    """The program's path. Where it is absent the test is skipped; in CI it fails."""
    path = shutil.which(program)
    # A version manager's stand-in is found, too, but does not run.
    if path is None or subprocess.run([path, probe], capture_output=True, check=False).returncode:
        reason = f"{program} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture
def need() -> Callable[[str], str]:
    return needed


@pytest.fixture
def openssl(tmp_path: Path) -> Callable[..., str]:
    """Run the openssl command in the test's folder; its output, or a failed test."""
    program = needed("openssl", probe="version")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [program, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


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
