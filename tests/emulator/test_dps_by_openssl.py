"""OpenSSL judges the same chains as the provisioning service, and comes to the same verdict."""

from __future__ import annotations

import random
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from iotc_admin.emulator import Emulator
from tests.emulator.arrival import Arriving, verified
from tests.emulator.test_dps import constrain
from tests.emulator.world import App, Authority, authority, pem
from tests.outside import needed

SEEDS = range(60)


@pytest.fixture(scope="module")
def authorities() -> dict[str, Authority]:
    """Roots, CAs below them, one that may have no CA below itself, and a certificate that is none."""
    root, other = authority("root"), authority("other")
    plant = authority("plant", issuer=root)
    short = constrain(root, "short", path_length=0)
    return {
        "root": root,
        "other": other,
        "plant": plant,
        "line": authority("line", issuer=plant),
        "short": short,
        "beyond": authority("beyond", issuer=short),
        "none": authority("none", ca=False, issuer=root),
    }


def by_openssl(leaf: x509.Certificate, sent: list[Authority], trusted: list[Authority], folder: Path) -> bool:
    files = {
        "leaf": [leaf],
        "sent": [a.certificate for a in sent],
        "trusted": [a.certificate for a in trusted],
    }
    for name, certificates in files.items():
        (folder / name).write_text("".join(pem(each) for each in certificates) or "\n")
    command = [needed("openssl", probe="version"), "verify", "-partial_chain", "-no-CApath", "-no-CAstore"]
    command += ["-CAfile", "trusted", *(["-untrusted", "sent"] if sent else []), "leaf"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_openssl_agrees(seed: int, authorities: dict[str, Authority], tmp_path: Path) -> None:
    chance = random.Random(seed)
    signer = authorities[chance.choice(list(authorities))]
    sent = chance.sample(list(authorities.values()), chance.randint(0, 5))
    able = [each for name, each in authorities.items() if name != "none"]
    trusted = chance.sample(able, chance.randint(1, 3))
    leaf = signer.sign("pump-1", not_before=datetime.now(UTC) - timedelta(minutes=1))

    with Emulator(throttle="off", retry_after=0) as emulator:
        app = App(emulator)
        verified(app, "first", *trusted[:2])
        verified(app, "second", *trusted[2:])
        answer = Arriving(app, (leaf, *(each.certificate for each in sent))).put()

    assert (answer.status == 202) == by_openssl(leaf, sent, trusted, tmp_path), answer.json


def test_the_chances_hold_both_verdicts(authorities: dict[str, Authority], tmp_path: Path) -> None:
    plant, root = authorities["plant"], authorities["root"]
    leaf = plant.sign("pump-1")
    assert by_openssl(leaf, [plant], [root], tmp_path)
    assert not by_openssl(leaf, [], [root], tmp_path)
