"""The clock, keys and authorities of the pki tests, and the system programs that judge them."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.keys import KeyKind, new_key

from ..outside import RemoteKey, needed

if TYPE_CHECKING:
    from collections.abc import Callable


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
