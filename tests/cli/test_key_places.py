"""CA keys in a token and behind a command, as the command line names them: every KEY takes these URIs."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pkcs11
import pytest

from iotc_admin import CertificateAuthority, Client, Ledger, SettingsError, Slot
from iotc_admin.emulator import Emulator
from iotc_admin.pki import pem, store
from iotc_admin.pki.keys import KeyAccess, open_key, same_key
from iotc_admin.workflows import enroll_group

from ..conftest import InProcess
from ..outside import needed
from ..softhsm import PIN, Token
from .test_door import Environment, environment, shell

__all__ = ["environment"]

GROUP = "plant-7"
KINDS = ["p256", "p384", "rsa"]


@pytest.fixture
def world(environment: Environment, token: Token) -> Environment:
    """The emulator's application, and a token whose PIN is in the environment."""
    return {**environment, **token.environment, "IOTC_PKCS11_MODULE": token.module, "IOTC_PIN": PIN}


def done(line: str, folder: Path, world: Environment, code: int = 0) -> Any:
    """The document on stdout."""
    ended = shell(f"iotc-admin {line} -o json", folder, world)
    assert ended.returncode == code, (ended.stdout, ended.stderr)
    return json.loads(ended.stdout)


def refused(line: str, folder: Path, world: Environment) -> str:
    """Message and hint of a command that fails."""
    error = done(line, folder, world, 1)["error"]
    return f"{error['message']} | {error['hint']}"


def judged(folder: Path, world: Environment, file: str, ca: str = "plant7_cert.pem") -> int:
    """What OpenSSL says: 0 if this CA signed it."""
    needed("openssl", probe="version")
    return shell(f"openssl verify -x509_strict -CAfile {ca} {file}", folder, world).returncode


def verified(client: Client, slot: Slot = Slot.PRIMARY) -> bool:
    return client.enrollment_groups.get_certificate(GROUP, slot).verified is True


def root(token: Token, folder: Path, label: str = "p256", name: str = "plant7") -> str:
    """A CA certificate for a key of the token; the key's place, for a shell."""
    authority = CertificateAuthority.create(name, now=datetime.now(UTC), key=token.keys[label])
    store.save_certificate(folder, name, authority.certificate)
    return shlex.quote(token.uri(label))


@pytest.mark.parametrize("label", KINDS)
def test_a_ca_is_made_where_its_key_is_and_serves_a_group(
    label: str, token: Token, world: Environment, client: Client, tmp_path: Path
) -> None:
    uri = shlex.quote(token.uri(label))
    made = done(f"cert root plant7 --key {uri}", tmp_path, world)
    assert made["files"] == ["plant7_cert.pem", "plant7_fullchain.pem"]
    assert not (tmp_path / "plant7_key.pem").exists()
    certificate = store.load_certificates(tmp_path / "plant7_cert.pem")[0]
    assert same_key(certificate.public_key(), token.keys[label].public_key())
    assert judged(tmp_path, world, "plant7_cert.pem") == 0

    shown = done(f"group create {GROUP} --root plant7_cert.pem --root-key {uri}", tmp_path, world)
    assert shown["slots"]["primary"]["verified"]
    assert verified(client)
    again = shell(f"iotc-admin group create {GROUP} --root plant7_cert.pem --root-key {uri}", tmp_path, world)
    assert (again.returncode, again.stdout) == (0, f"{GROUP}: nothing to do\n")


def test_both_slots_have_their_keys_in_the_token(
    token: Token, world: Environment, client: Client, tmp_path: Path
) -> None:
    first, second = root(token, tmp_path), root(token, tmp_path, "rsa", "next")
    line = f"group create {GROUP} --root plant7_cert.pem --root-key {first}"
    done(f"{line} --secondary next_cert.pem --secondary-key {second}", tmp_path, world)
    assert verified(client)
    assert verified(client, Slot.SECONDARY)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("cert device pump-1", "pump-1_cert.pem"),
        ("cert intermediate line3", "line3_cert.pem"),
        ("cert sign csr", "csr-1_cert.pem"),
        ("cert verification C0DE", "verification_cert.pem"),
        ("edge ca edge-1", "edge-1-edge-ca_cert.pem"),
    ],
)
def test_every_issuer_key_may_be_in_the_token(
    line: str, file: str, token: Token, world: Environment, tmp_path: Path
) -> None:
    uri = root(token, tmp_path, "p384")
    shell("openssl req -new -newkey rsa:2048 -nodes -subj /CN=csr-1 -keyout k -out csr", tmp_path, world)
    done(f"{line} --issuer plant7_cert.pem --issuer-key {uri}", tmp_path, world)
    assert judged(tmp_path, world, file) == 0


@pytest.mark.parametrize(
    ("line", "stem"),
    [
        ("cert intermediate line3 --issuer plant7_cert.pem", "line3"),
        ("cert device pump-1 --issuer plant7_cert.pem", "pump-1"),
        ("cert device pump-1", "pump-1"),
        ("edge ca edge-1 --issuer plant7_cert.pem", "edge-1-edge-ca"),
    ],
)
def test_every_new_certificate_may_have_its_key_in_the_token(
    line: str, stem: str, token: Token, world: Environment, tmp_path: Path
) -> None:
    store.save_authority(tmp_path, "plant7", CertificateAuthority.create("plant7", now=datetime.now(UTC)))
    done(f"{line} --key {shlex.quote(token.uri('rsa'))}", tmp_path, world)
    certificate = store.load_certificates(tmp_path / f"{stem}_cert.pem")[0]
    assert same_key(certificate.public_key(), token.keys["rsa"].public_key())
    assert not (tmp_path / f"{stem}_key.pem").exists()


@pytest.fixture
def old(client: Client, now: datetime) -> CertificateAuthority:
    """What a group holds already, verified."""
    authority = CertificateAuthority.create("old", now=now)
    enroll_group(client, GROUP, primary=authority)
    return authority


@pytest.mark.parametrize("command", ["group set-cert {group}", "roll --yes --group {group}"])
def test_a_second_slot_is_filled_by_a_key_in_the_token(
    command: str, old: CertificateAuthority, token: Token, world: Environment, client: Client, tmp_path: Path
) -> None:
    uri = root(token, tmp_path)
    line = f"{command.format(group=GROUP)} --slot secondary --cert plant7_cert.pem --key {uri}"
    done(line, tmp_path, world)
    assert verified(client, Slot.SECONDARY)


def test_a_proof_is_made_later_by_a_key_in_the_token(
    token: Token, world: Environment, client: Client, tmp_path: Path
) -> None:
    uri = root(token, tmp_path)
    done(f"group create {GROUP} --root plant7_cert.pem", tmp_path, world, 3)
    done(f"group verify {GROUP} --slot primary --key {uri}", tmp_path, world)
    assert verified(client)


def test_a_roll_is_started_and_resumed_by_a_key_in_the_token(
    old: CertificateAuthority, token: Token, world: Environment, client: Client, tmp_path: Path
) -> None:
    store.save_authority(tmp_path, "old", old)
    done("ledger import old_cert.pem", tmp_path, world)
    authority = CertificateAuthority.create(
        "next", now=datetime.now(UTC), key=token.keys["rsa"], lifetime=timedelta(days=9999)
    )
    store.save_certificate(tmp_path, "next", authority.certificate)
    uri = shlex.quote(token.uri("rsa"))

    planned = done(f"roll plan --group {GROUP} --cert next_cert.pem --key {uri}", tmp_path, world, 3)
    assert planned
    done(f"roll start --yes --group {GROUP} --cert next_cert.pem", tmp_path, world, 3)
    assert not verified(client, Slot.SECONDARY)
    wrong = refused(
        f"roll resume --yes --group {GROUP} --key {uri}", tmp_path, {**world, "IOTC_PIN": "99999"}
    )
    assert "not the PIN" in wrong
    assert not verified(client, Slot.SECONDARY)
    done(f"roll resume --yes --group {GROUP} --key {uri}", tmp_path, world)
    assert verified(client, Slot.SECONDARY)


@pytest.mark.parametrize(
    ("uri", "more", "said"),
    [
        ("pkcs11:token=plant;object=p256", {"IOTC_PIN": "99999"}, "not the PIN of the token | correct it"),
        ("pkcs11:token=plant;object=p256", {"IOTC_PIN": ""}, "none is given | put it in a file"),
        ("pkcs11:token=plant;object=none", {}, "no such private key"),
        ("pkcs11:token=none;object=p256", {}, "no such token"),
        ("pkcs11:token=plant;object=twin", {}, "names 2 private keys"),
        ("pkcs11:token=plant;object=rsa", {}, "but the private key belongs to"),
        ("pkcs11:token=plant;object=mixed", {}, "the signature is not by the key"),
        ("pkcs11:token=plant;object=p256?pin-value=1234", {}, "pin-value is refused"),
        ("pkcs11:token=plant", {}, "names no key"),
        ("pkcs11:token=plant;object=p256", {"IOTC_PKCS11_MODULE": "/none.so"}, "tried were /none.so"),
        ("https://plant.example.com/keys/root", {}, "is not at a key vault of Azure"),
        ("exec:false", {}, "ended with exit code 1"),
        ("exec:/no/such/signer", {}, "cannot be run"),
    ],
)
def test_what_cannot_sign_is_refused_before_the_first_request(
    uri: str,
    more: Environment,
    said: str,
    token: Token,
    world: Environment,
    emulator: Emulator,
    tmp_path: Path,
) -> None:
    root(token, tmp_path)
    line = f"group create {GROUP} --root plant7_cert.pem --root-key {shlex.quote(uri)}"
    assert said in refused(line, tmp_path, {**world, **more})
    assert emulator.control.requests == ()


def test_a_token_that_is_pulled_out_midway_leaves_what_a_repetition_completes(
    token: Token, client: Client, wire: InProcess, now: datetime
) -> None:
    key = open_key(token.uri("p256"), password=PIN.encode(), access=KeyAccess(modules=(token.module,)))
    ca = CertificateAuthority.create("plant7", now=now, key=key)
    there, gone = token.folder / "tokens", token.folder / "gone"

    def pull_out(request: httpx.Request) -> None:
        if request.url.path.endswith("generateVerificationCode"):
            there.rename(gone)

    wire.before = pull_out
    try:
        with pytest.raises(SettingsError, match="no such token") as caught:
            enroll_group(client, GROUP, primary=ca)
    finally:
        wire.before = lambda _: None
        gone.rename(there)
        # As the next command would find it.
        pkcs11.lib(token.module).reinitialize()
    assert "plug it in" in caught.value.hint
    assert not verified(client)
    enroll_group(client, GROUP, primary=ca)
    assert verified(client)


def test_the_pin_comes_from_a_file(token: Token, world: Environment, tmp_path: Path) -> None:
    uri = token.uri("p256")
    without = {name: value for name, value in world.items() if name != "IOTC_PIN"}
    named = f"--key {shlex.quote(uri)} --key-password-file {token.pin_file}"
    done(f"cert root one {named}", tmp_path, without)
    inside = shlex.quote(f"{uri}?pin-source=file:{token.pin_file}&module-path={token.module}")
    done(f"cert root two --key {inside}", tmp_path, without)
    assert "wants a PIN" in refused(f"cert root three --key {shlex.quote(uri)}", tmp_path, without)


def test_the_pin_is_asked_for_at_a_terminal(token: Token, world: Environment, tmp_path: Path) -> None:
    without = {name: value for name, value in world.items() if name != "IOTC_PIN"}
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "iotc_admin", "cert", "root", "asked", "--key", token.uri("p256")],
        cwd=tmp_path,
        env=without,
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
    )
    os.close(there)
    said = read_until(here, "PIN of plant:")
    os.write(here, f"{PIN}\n".encode())
    said += read_until(here, "valid until")
    assert process.wait(20) == 0
    os.close(here)
    assert PIN not in said


def read_until(terminal: int, words: str) -> str:
    said = ""
    while words not in said:
        assert select.select([terminal], [], [], 20)[0], said
        said += os.read(terminal, 4096).decode()
    return said


@pytest.fixture
def signer(token: Token, tmp_path: Path) -> str:
    """The place of a key behind a command, which notes the environment that it saw."""
    (tmp_path / "hidden.pem").write_bytes(pem.key_pem(token.keys["p384"]))
    (tmp_path / "sign.sh").write_text(
        'env > seen; test ! -e broken && test "$IOTC_SIGN_ALGORITHM" = ES384 || exit 9\n'
        "exec openssl dgst -sha384 -sign hidden.pem\n"
    )
    return "exec:sh sign.sh"


def test_a_command_signs_for_a_group_and_sees_no_secret_of_ours(
    signer: str, token: Token, world: Environment, client: Client, tmp_path: Path
) -> None:
    root(token, tmp_path, "p384")
    done(f"group create {GROUP} --root plant7_cert.pem --root-key {shlex.quote(signer)}", tmp_path, world)
    assert verified(client)
    seen = (tmp_path / "seen").read_text()
    assert "IOTC_SIGN_ALGORITHM=ES384" in seen
    assert "IOTC_API_TOKEN" not in seen
    assert "IOTC_PIN" not in seen


def test_a_proof_is_made_later_by_a_command(
    signer: str, token: Token, world: Environment, client: Client, tmp_path: Path
) -> None:
    root(token, tmp_path, "p384")
    done(f"group create {GROUP} --root plant7_cert.pem", tmp_path, world, 3)
    done(f"group verify {GROUP} --slot primary --key {shlex.quote(signer)}", tmp_path, world)
    assert verified(client)


def test_a_command_makes_no_ca_as_it_tells_no_public_key(
    signer: str, world: Environment, tmp_path: Path
) -> None:
    assert "cannot tell its public key" in refused(
        f"cert root new --key {shlex.quote(signer)}", tmp_path, world
    )
    assert not (tmp_path / "seen").exists()


def test_a_profile_names_no_command(signer: str, world: Environment, tmp_path: Path) -> None:
    config = tmp_path / ".config" / "iotc-admin" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f'[profiles.x]\nroot_key = "{signer}"\n')
    home = {**world, "XDG_CONFIG_HOME": str(tmp_path / ".config"), "IOTC_PROFILE": "x"}
    assert "unknown key: root_key" in refused("group list", tmp_path, home)


def test_the_ledger_names_no_command(
    old: CertificateAuthority, signer: str, token: Token, world: Environment, client: Client, tmp_path: Path
) -> None:
    authority = CertificateAuthority.create(
        "next", now=datetime.now(UTC), key=token.keys["p384"], lifetime=timedelta(days=9999)
    )
    store.save_certificate(tmp_path, "next", authority.certificate)
    done(f"roll start --yes --group {GROUP} --cert next_cert.pem", tmp_path, world, 3)
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.run("somebody", datetime.now(UTC)).saw(authority.certificate, file=signer)
    ledger.close()
    done(f"roll resume --yes --group {GROUP}", tmp_path, world, 3)
    assert not (tmp_path / "seen").exists()
    assert not verified(client, Slot.SECONDARY)


def test_a_key_is_made_or_named_and_never_copied_from_a_file(world: Environment, tmp_path: Path) -> None:
    ended = shell("iotc-admin cert root x --key plant7_key.pem", tmp_path, world)
    assert ended.returncode == 2
    assert "is none of ec-p256, ec-p384" in ended.stderr
    assert list(tmp_path.glob("x_*")) == []


def test_no_pfx_is_made_of_a_key_in_the_token(token: Token, world: Environment, tmp_path: Path) -> None:
    uri = shlex.quote(token.uri("p256"))
    line = f"cert root x --key {uri} --pfx --pfx-password-file {token.pin_file}"
    assert "cannot" in refused(line, tmp_path, world)
    assert list(tmp_path.glob("x*")) == []


def test_a_connection_takes_no_key_from_a_token(token: Token, world: Environment, tmp_path: Path) -> None:
    root(token, tmp_path)
    line = f"device connect plant7 --cert plant7_cert.pem --key {shlex.quote(token.uri('p256'))} --id-scope x"
    assert "needs the device's key in a file" in refused(line, tmp_path, world)


def test_a_vault_that_is_not_there_is_said_in_good_time(
    token: Token, world: Environment, emulator: Emulator, tmp_path: Path
) -> None:
    # No vault may have such a name, so there is none, with a network and without.
    root(token, tmp_path)
    key = "https://no--such--vault.vault.azure.net/keys/root"
    said = refused(f"group create {GROUP} --root plant7_cert.pem --root-key {key}", tmp_path, world)
    assert f"{key}: the vault cannot be reached" in said
    assert emulator.control.requests == ()
