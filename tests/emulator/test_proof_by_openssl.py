"""Proof of possession with certificates that the openssl program makes, as the manuals tell people to."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from tests.emulator.world import App, base64_pem
from tests.outside import needed

if TYPE_CHECKING:
    from collections.abc import Callable

_MICROSOFT = """
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:true
[leaf]
extendedKeyUsage = critical,clientAuth
"""


@pytest.fixture
def openssl(tmp_path: Path) -> Callable[..., None]:
    program = needed("openssl", probe="version")

    def run(*arguments: str) -> None:
        subprocess.run([program, *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "openssl.cnf").write_text(_MICROSOFT)
    return run


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _root(openssl: Callable[..., None], *extensions: str) -> None:
    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem")
    openssl(*new, "-subj", "/CN=Root", "-days", "30", "-config", "openssl.cnf", *extensions)


def _proof(openssl: Callable[..., None], code: str, *options: str) -> None:
    new = ("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "proof.key", "-out", "proof.csr")
    openssl(*new, "-subj", f"/CN={code}", "-config", "openssl.cnf")
    signed = (
        "x509",
        "-req",
        "-in",
        "proof.csr",
        "-CA",
        "root.pem",
        "-CAkey",
        "root.key",
        "-out",
        "proof.pem",
    )
    openssl(*signed, "-CAcreateserial", "-days", "1", *options)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="X.509 v1, no extension file"),
        pytest.param(("-extfile", "openssl.cnf", "-extensions", "leaf"), id="critical clientAuth"),
        pytest.param(("-set_serial", "0x3fffffff"), id="a serial of 30 bits"),
    ],
)
def test_a_proof_made_by_openssl_is_accepted(
    app: App, tmp_path: Path, openssl: Callable[..., None], options: tuple[str, ...]
) -> None:
    _root(openssl, "-extensions", "ca")
    slot = f"{app.group('plant-7', _certificate(tmp_path / 'root.pem'))}/certificates/primary"
    _proof(openssl, app.code(slot), *options)

    answer = app.verify(slot, _certificate(tmp_path / "proof.pem"))

    assert answer.status == 204, answer.body
    assert app.get(slot).json["verified"] is True


def test_the_root_itself_is_no_proof(app: App, tmp_path: Path, openssl: Callable[..., None]) -> None:
    _root(openssl, "-extensions", "ca")
    root = _certificate(tmp_path / "root.pem")
    slot = f"{app.group('plant-7', root)}/certificates/primary"
    app.code(slot)

    assert app.verify(slot, root).status == 400


def test_a_v1_root_is_refused(app: App, tmp_path: Path, openssl: Callable[..., None]) -> None:
    _root(openssl, "-extensions", "ca")
    _proof(openssl, "Old Root")
    old = _certificate(tmp_path / "proof.pem")
    answer = app.put(f"{app.group()}/certificates/primary", {"certificate": base64_pem(old)})

    assert old.version is x509.Version.v1
    assert answer.status == 422
    assert "CA" in answer.message
