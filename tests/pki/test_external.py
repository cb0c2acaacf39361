"""Keys behind a command: what it is given, what is taken from it, and what becomes of a bad one."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from iotc_admin.errors import KeyMismatch, NotAllowedHere, PkiError, SettingsError
from iotc_admin.pki import pem, store
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.keys import KeyAccess, KeyKind, SigningKey, new_key, open_key

from ..outside import needed


@pytest.fixture
def access() -> KeyAccess:
    return KeyAccess(may_run=True, environment=dict(os.environ), patience=20)


@dataclass(frozen=True)
class Signer:
    """A signer made of OpenSSL's command, with its key; and a shell script as one would write it."""

    key: SigningKey
    place: str


@pytest.fixture
def signer(tmp_path: Path) -> Callable[[KeyKind], Signer]:
    openssl = needed("openssl", probe="version")

    def make(kind: KeyKind) -> Signer:
        key = new_key(kind)
        (tmp_path / "my key.pem").write_bytes(pem.key_pem(key))
        script = tmp_path / "sign it.sh"
        script.write_text(
            'case "$IOTC_SIGN_ALGORITHM" in ES256 | RS256) hash=-sha256 ;; ES384) hash=-sha384 ;; esac\n'
            f'exec {shlex.quote(openssl)} dgst $hash -sign "$1"\n'
        )
        return Signer(key, f"exec:sh '{script}' \"{tmp_path / 'my key.pem'}\"")

    return make


def script(folder: Path, text: str) -> str:
    """A command in Python, as the place of a key."""
    file = folder / "signer.py"
    file.write_text(text)
    return f"exec:{shlex.join([sys.executable, str(file)])}"


@pytest.mark.parametrize("kind", [KeyKind.EC_P256, KeyKind.EC_P384, KeyKind.RSA_2048])
def test_a_ca_whose_key_is_behind_a_command_signs(
    kind: KeyKind,
    signer: Callable[[KeyKind], Signer],
    access: KeyAccess,
    openssl: Callable[..., str],
    now: datetime,
    tmp_path: Path,
) -> None:
    made = signer(kind)
    own = CertificateAuthority.create("plant", now=now, key=made.key)
    store.save_certificate(tmp_path, "plant", own.certificate)
    ca = CertificateAuthority.load(tmp_path / "plant_cert.pem", made.place, access=access)

    for certificate in (ca.prove("C0DE", now=now), ca.issue("pump-1", now=now).certificate):
        (tmp_path / "leaf.pem").write_bytes(pem.certificate_pem(certificate))
        verified = openssl("verify", "-x509_strict", "-CAfile", "plant_cert.pem", "leaf.pem")
        assert verified == "leaf.pem: OK\n"


def test_a_command_is_run_only_where_whoever_runs_this_named_it(tmp_path: Path, access: KeyAccess) -> None:
    place = script(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')")
    public = new_key().public_key()
    for nothing in (KeyAccess(), replace(access, may_run=False)):
        with pytest.raises(SettingsError, match="none may be named"):
            open_key(place, access=nothing, public_key=public)
    assert not (tmp_path / "ran").exists()


def test_no_shell_reads_the_command(tmp_path: Path, access: KeyAccess) -> None:
    place = script(tmp_path, f"import sys; open({str(tmp_path / 'words')!r}, 'w').write(repr(sys.argv[1:]))")
    with pytest.raises(PkiError, match="wrote nothing"):
        open_key(f"{place} $HOME 'a b' ; rm *", access=access, public_key=new_key().public_key())
    assert (tmp_path / "words").read_text() == repr(["$HOME", "a b", ";", "rm", "*"])


def test_a_command_sees_the_environment_that_it_is_given_and_no_other(tmp_path: Path) -> None:
    place = script(
        tmp_path, f"import os; open({str(tmp_path / 'seen')!r}, 'w').write(repr(sorted(os.environ)))"
    )
    access = KeyAccess(may_run=True, environment={"LC_ALL": "C", "MINE": "1"}, patience=20)
    with pytest.raises(PkiError, match="wrote nothing"):
        open_key(place, access=access, public_key=new_key().public_key())
    assert (tmp_path / "seen").read_text() == repr(["IOTC_SIGN_ALGORITHM", "LC_ALL", "MINE"])


def test_a_signature_by_another_key_is_never_used(
    signer: Callable[[KeyKind], Signer], access: KeyAccess, tmp_path: Path
) -> None:
    place = signer(KeyKind.EC_P256).place
    with pytest.raises(KeyMismatch, match="the signature is not by the key"):
        open_key(place, access=access, public_key=new_key().public_key())


def test_each_signature_is_checked_not_the_first_alone(
    signer: Callable[[KeyKind], Signer], access: KeyAccess, now: datetime, tmp_path: Path
) -> None:
    made = signer(KeyKind.EC_P256)
    key = open_key(made.place, access=access, public_key=made.key.public_key())
    ca = CertificateAuthority.create("plant", now=now, key=key)
    assert ca.prove("C0DE", now=now)
    (tmp_path / "my key.pem").write_bytes(pem.key_pem(new_key()))
    with pytest.raises(KeyMismatch, match="the signature is not by the key"):
        ca.prove("C0DE", now=now)


@pytest.mark.parametrize("garbage", ["b''", "b'no signature'", "b'0' * 64", "b'\\0'"])
def test_what_is_no_signature_is_not_used(garbage: str, tmp_path: Path, access: KeyAccess) -> None:
    place = script(tmp_path, f"import sys; sys.stdout.buffer.write({garbage})")
    for kind in (KeyKind.EC_P256, KeyKind.RSA_2048):
        with pytest.raises(PkiError):
            open_key(place, access=access, public_key=new_key(kind).public_key())


@pytest.mark.parametrize(
    "text",
    [
        "import time; time.sleep(60)",
        # It ends, but leaves something behind that holds its output open.
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(5)'])",
    ],
)
def test_a_command_that_hangs_is_ended(text: str, tmp_path: Path, access: KeyAccess) -> None:
    began = time.monotonic()
    with pytest.raises(PkiError, match="gave no signature within 1 seconds"):
        open_key(
            script(tmp_path, text), access=replace(access, patience=1), public_key=new_key().public_key()
        )
    assert time.monotonic() - began < 15


def test_a_command_that_floods_is_ended(tmp_path: Path, access: KeyAccess) -> None:
    began = time.monotonic()
    for stream in ("stdout", "stderr"):
        place = script(tmp_path, f"import sys\nwhile True: sys.{stream}.write('x' * 65536)")
        with pytest.raises(PkiError, match="wrote more than 16 KiB"):
            open_key(place, access=access, public_key=new_key().public_key())
    assert time.monotonic() - began < 15


def test_what_a_failed_command_said_is_shown_short_and_harmless(tmp_path: Path, access: KeyAccess) -> None:
    text = "import sys; sys.stderr.write('no card\\n\\x1b[2J' + 'x' * 9999); sys.exit(7)"
    with pytest.raises(PkiError, match=r"ended with exit code 7: no card \?\[2Jx+\.\.\.$") as caught:
        open_key(script(tmp_path, text), access=access, public_key=new_key().public_key())
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("exec:", "names no command"),
        ("exec:'open", "cannot be split into words"),
        ("exec:/no/such/signer --key 1", "cannot be run"),
    ],
)
def test_a_command_that_cannot_be_is_said(place: str, why: str, access: KeyAccess) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        open_key(place, access=access, public_key=new_key().public_key())
    assert caught.value.hint


def test_a_command_cannot_tell_its_public_key(access: KeyAccess) -> None:
    with pytest.raises(NotAllowedHere, match="cannot tell its public key"):
        open_key("exec:true", access=access)


def test_the_words_of_a_command_are_not_shown(signer: Callable[[KeyKind], Signer], access: KeyAccess) -> None:
    made = signer(KeyKind.EC_P256)
    assert "my key" not in repr(open_key(made.place, access=access, public_key=made.key.public_key()))


def test_a_key_on_another_curve_is_refused(access: KeyAccess) -> None:
    public = ec.generate_private_key(ec.SECP521R1()).public_key()
    with pytest.raises(NotAllowedHere, match="EC P-521 cannot be used"):
        open_key("exec:true", access=access, public_key=public)
