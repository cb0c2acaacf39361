"""A real token, SoftHSM's, with keys whose other halves the tests know."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from iotc_admin.pki import pem
from iotc_admin.pki.keys import KeyKind, SigningKey, new_key

from .outside import needed

PIN = "1234"
LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True)
class Token:
    """One token in a folder of its own; `keys` by their labels, as they were before they were imported."""

    folder: Path
    label: str
    keys: dict[str, SigningKey]

    @property
    def module(self) -> str:
        """The library that reaches it."""
        return library()

    @property
    def environment(self) -> dict[str, str]:
        """What makes the library find this token."""
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    @property
    def pin_file(self) -> Path:
        file = self.folder / "pin"
        file.write_text(f"{PIN}\n")
        return file

    def uri(self, label: str) -> str:
        return f"pkcs11:token={self.label};object={label}"

    def add(self, label: str, number: str, key: SigningKey, *options: str) -> None:
        """Import a key under a label and an id in hexadecimal digits."""
        file = self.folder / "import.pem"
        file.write_bytes(pem.key_pem(key))
        self.run(
            *("--import", str(file), "--token", self.label, "--label", label, "--id", number),
            *("--pin", PIN, "--force", *options),
        )
        file.unlink()
        self.keys.setdefault(label, key)

    def add_public(self, label: str, number: str, key: SigningKey, more: str = "") -> None:
        """Put the public half of an EC key beside whatever has that id; `more` are attributes."""
        der = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.do(
            f"session.create_object({{**decode_ec_public_key(bytes.fromhex({der.hex()!r})), "
            f"Attribute.TOKEN: True, Attribute.LABEL: {label!r}, "
            f"Attribute.ID: bytes.fromhex({number!r}), {more}}})"
        )

    def generate_guarded(self, label: str, number: str) -> None:
        """A key made in the token that wants the PIN again for each signature, as those of PIV cards do."""
        self.do(
            "curve = {Attribute.EC_PARAMS: bytes.fromhex('06082a8648ce3d030107')}\n"
            "session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True).generate_keypair("
            f"label={label!r}, id=bytes.fromhex({number!r}), store=True, "
            "private_template={Attribute.ALWAYS_AUTHENTICATE: True})"
        )

    def do(self, statements: str) -> None:
        """Have python-pkcs11 do it in another process: SoftHSM reads its settings once in each."""
        program = (
            "import pkcs11\nfrom pkcs11 import Attribute\nfrom pkcs11.util.ec import decode_ec_public_key\n"
            f"token = pkcs11.lib({self.module!r}).get_token(token_label={self.label!r})\n"
            f"session = token.open(rw=True, user_pin={PIN!r})\n{statements}\nsession.close()"
        )
        subprocess.run([sys.executable, "-c", program], env={**os.environ, **self.environment}, check=True)

    def another(self, label: str) -> None:
        """One more token in the same place."""
        self.run("--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "4321")

    def run(self, *arguments: str) -> None:
        program = needed("softhsm2-util")
        environment = {**os.environ, **self.environment}
        subprocess.run([program, *arguments], env=environment, check=True, capture_output=True)


def library() -> str:
    """Where SoftHSM is; without it the test is skipped, or fails in CI."""
    needed("softhsm2-util")
    found = next((path for path in LIBRARIES if Path(path).is_file()), None)
    if found is None:
        pytest.skip(f"SoftHSM's library is in none of {', '.join(LIBRARIES)}")
    return found


def new_token(folder: Path, label: str = "plant", more: str = "") -> Token:
    """An empty token in this folder."""
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n{more}\n"
    )
    token = Token(folder, label, {})
    token.another(label)
    return token


def stocked_token(folder: Path) -> Token:
    """A token with a key of each kind, and with all that can be wrong with keys."""
    token = new_token(folder)
    token.add("p256", "01", new_key())
    token.add("p384", "02", new_key(KeyKind.EC_P384))
    token.add("rsa", "03", rsa.generate_private_key(public_exponent=65537, key_size=2048))
    token.add("lonely", "04", new_key(), "--no-public-key")
    token.add("twin", "05", new_key())
    token.add("twin", "06", new_key())
    token.add("mixed", "07", new_key(), "--no-public-key")
    token.add_public("mixed", "07", new_key())
    token.add("broken", "0a", new_key(), "--no-public-key")
    token.add_public("broken", "0a", new_key(), more="Attribute.EC_POINT: b'\\x04\\x41' + b'\\x04' * 65")
    token.generate_guarded("guarded", "0b")
    token.add("curve", "08", ec.generate_private_key(ec.SECP521R1()))
    token.add("root; 7/ü", "09ff", new_key())
    token.another("double")
    token.another("double")
    return token
