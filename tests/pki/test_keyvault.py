"""Keys in Azure Key Vault: a local stand-in serves the published API over HTTPS, Azure's client asks it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.identity import CredentialUnavailableError
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from iotc_admin import Client, Slot
from iotc_admin.errors import KeyMismatch, NotAllowedHere, PkiError, SettingsError
from iotc_admin.pki import pem, store
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.keys import KeyAccess, KeyKind, new_key, open_key, same_key
from iotc_admin.pki.remote import Algorithm, digest, hash_of
from iotc_admin.workflows import enroll_group

from ..vault import HOST, TOKEN, VERSION, Vault, jwk, running_vault, url

KINDS = [KeyKind.EC_P256, KeyKind.EC_P384, KeyKind.RSA_2048]


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    (tmp_path / "vault").mkdir()
    with running_vault(tmp_path / "vault") as running:
        running.add("root", new_key())
        yield running


@pytest.fixture
def access(vault: Vault) -> KeyAccess:
    return reaching(vault)


def reaching(vault: Vault) -> KeyAccess:
    return KeyAccess(credential=vault, transport=vault.transport)


@pytest.mark.parametrize("kind", KINDS)
def test_a_ca_whose_key_is_in_a_vault_signs(
    kind: KeyKind, vault: Vault, access: KeyAccess, openssl: Callable[..., str], now: datetime, tmp_path: Path
) -> None:
    key = new_key(kind)
    vault.add("root", key)
    remote = open_key(url("root"), access=access)
    assert same_key(remote.public_key(), key.public_key())
    assert TOKEN not in repr(remote) + repr(access)

    ca = CertificateAuthority.create("plant", now=now, key=remote)
    written = store.save_authority(tmp_path, "plant", ca)
    assert [file.name for file in written] == ["plant_cert.pem", "plant_fullchain.pem"]
    for certificate in (ca.prove("C0DE", now=now), ca.issue("pump-1", now=now).certificate):
        (tmp_path / "leaf.pem").write_bytes(pem.certificate_pem(certificate))
        verified = openssl("verify", "-x509_strict", "-CAfile", "plant_cert.pem", "leaf.pem")
        assert verified == "leaf.pem: OK\n"


@pytest.mark.parametrize("kind", KINDS)
def test_azures_own_library_verifies_what_was_signed(kind: KeyKind, vault: Vault, access: KeyAccess) -> None:
    key = new_key(kind)
    vault.add("root", key)
    remote = open_key(url("root"), access=access)
    judge = CryptographyClient.from_jwk({**jwk(key), "kid": "local", "key_ops": ["verify"]})

    if isinstance(remote, ec.EllipticCurvePrivateKey):
        algorithm = Algorithm.ES256 if kind is KeyKind.EC_P256 else Algorithm.ES384
        r, s = decode_dss_signature(remote.sign(b"message", ec.ECDSA(hash_of(algorithm))))
        size = remote.curve.key_size // 8
        signature = r.to_bytes(size, "big") + s.to_bytes(size, "big")
    else:
        algorithm = Algorithm.RS256
        signature = remote.sign(b"message", padding.PKCS1v15(), hash_of(algorithm))
    assert judge.verify(
        SignatureAlgorithm(algorithm.value), digest(algorithm, b"message"), signature
    ).is_valid


def test_a_group_is_made_whole_with_a_key_in_a_vault(
    vault: Vault, access: KeyAccess, client: Client, now: datetime, tmp_path: Path
) -> None:
    key = open_key(url("root"), access=access)
    store.save_authority(tmp_path, "plant", CertificateAuthority.create("plant", now=now, key=key))
    ca = CertificateAuthority.load(tmp_path / "plant_cert.pem", url("root"), access=access)

    assert not enroll_group(client, "plant-7", primary=ca).codes
    assert client.enrollment_groups.get_certificate("plant-7", Slot.PRIMARY).verified


def test_a_vault_that_refuses_midway_leaves_what_a_repetition_completes(
    vault: Vault, access: KeyAccess, client: Client, now: datetime
) -> None:
    ca = CertificateAuthority.create("plant", now=now, key=open_key(url("root"), access=access))
    vault.refuse("sign", 403, "Caller is not authorized")
    with pytest.raises(SettingsError, match="403"):
        enroll_group(client, "plant-7", primary=ca)
    vault.refusals.clear()
    enroll_group(client, "plant-7", primary=ca)
    assert client.enrollment_groups.get_certificate("plant-7", Slot.PRIMARY).verified


def test_the_token_is_given_to_the_vault_only_after_its_challenge_and_messages_never(
    vault: Vault, access: KeyAccess, now: datetime
) -> None:
    ca = CertificateAuthority.create("plant", now=now, key=open_key(url("root"), access=access))
    ca.prove("A-SECRET-CODE", now=now)

    assert vault.asked[0]["scopes"] == ("https://vault.azure.net/.default",)
    bodies = [json.loads(body) for method, _, _, body in vault.seen if method == "POST" and body]
    assert [(body["alg"], len(body["value"])) for body in bodies] == [("ES256", 43)] * 3


def test_the_version_that_was_opened_is_the_one_that_signs(
    vault: Vault, access: KeyAccess, now: datetime
) -> None:
    key = open_key(url("root"), access=access)
    CertificateAuthority.create("plant", now=now, key=key)
    paths = {path.partition("?")[0] for method, path, *_ in vault.seen if method == "POST"}
    assert paths == {f"/keys/root/{VERSION}/sign"}
    assert open_key(url("root", VERSION), access=access)


def test_a_challenge_for_another_domain_gets_no_token(tmp_path: Path) -> None:
    # Azure's client remembers challenges by host: this one is met here alone.
    host = "strange.vault.azure.net"
    with running_vault(tmp_path, host) as vault:
        vault.resource = "https://vault.azure.net.evil.example"
        with pytest.raises(PkiError, match="not to be trusted"):
            open_key(f"https://{host}/keys/root", access=reaching(vault))
        assert vault.asked == []
        assert [headers.get("authorization") for _, _, headers, _ in vault.seen] == [None]


def test_a_server_without_the_vaults_certificate_gets_nothing(tmp_path: Path) -> None:
    with running_vault(tmp_path, "other.vault.azure.net") as other:
        with pytest.raises(PkiError, match="cannot be reached") as caught:
            open_key("https://unmet.vault.azure.net/keys/root", access=reaching(other))
        assert (other.seen, other.asked) == ([], [])
    assert "certificate" in str(caught.value).lower()


@pytest.mark.parametrize(
    "place",
    [
        "https://plant.vault.azure.net",
        "https://plant.vault.azure.net/",
        "https://plant.vault.azure.net/secrets/root",
        "https://plant.vault.azure.net/keys/",
        "https://plant.vault.azure.net/keys/root/",
        "https://plant.vault.azure.net/keys/root/1/2",
        "https://plant.vault.azure.net/keys/root?x=1",
        "https://plant.vault.azure.net/keys/root#x",
        "https://plant.vault.azure.net/keys/ro%6ft",
        "https://plant.vault.azure.net:8443/keys/root",
        "https://user@plant.vault.azure.net/keys/root",
        "https://vault.azure.net/keys/root",
        "https://a.b.vault.azure.net/keys/root",
        "https://plant.vault.azure.net.evil.example/keys/root",
        "https://plantvault.azure.net/keys/root",
        "https://plant.example.com/keys/root",
        "https://plant.vault.azure.net\\@evil.example/keys/root",
        "https://127.0.0.1/keys/root",
        "https://plant.vault.azure.net/keys/root\n",
    ],
)
def test_what_is_not_the_url_of_a_key_in_a_vault_is_refused_unasked(
    place: str, vault: Vault, access: KeyAccess
) -> None:
    with pytest.raises(SettingsError, match=r"is not (the URL of a key in|at) a (key )?vault") as caught:
        open_key(place, access=access)
    assert "VAULT.vault.azure.net" in caught.value.hint
    assert (vault.seen, vault.asked) == ([], [])


@pytest.mark.parametrize("domain", ["vault.azure.cn", "vault.usgovcloudapi.net", "managedhsm.azure.net"])
def test_other_clouds_and_managed_hsms_are_vaults_too(domain: str, tmp_path: Path) -> None:
    host = f"plant.{domain}"
    with running_vault(tmp_path, host) as vault:
        vault.add("root", new_key())
        vault.resource, vault.kid_host = f"https://{domain}", host
        assert open_key(
            f"HTTPS://{host.upper()}/keys/root", access=KeyAccess(credential=vault, transport=vault.transport)
        )
        assert vault.asked[0]["scopes"] == (f"https://{domain}/.default",)


def test_a_key_of_another_vault_is_not_taken(vault: Vault, access: KeyAccess) -> None:
    vault.kid_host = "other.vault.azure.net"
    with pytest.raises(PkiError, match="gave another key, https://other"):
        open_key(url("root"), access=access)
    assert vault.signatures() == 0


@pytest.mark.parametrize("what", ["get", "sign"])
@pytest.mark.parametrize(
    ("status", "said"), [(403, r"\(403\)"), (404, "no such key"), (401, r"\(401\)"), (409, r"\(409\)")]
)
def test_a_refusal_is_said_when_the_key_is_opened(
    what: str, status: int, said: str, vault: Vault, access: KeyAccess
) -> None:
    vault.refuse(what, status, "the vault's own words\nmore")
    with pytest.raises((SettingsError, PkiError), match=said) as caught:
        open_key(url("root"), access=access)
    assert str(caught.value).endswith("the vault's own words")
    assert caught.value.hint
    assert vault.slept == []


def test_a_key_that_is_not_there_is_said(vault: Vault, access: KeyAccess) -> None:
    for name, version in (("nobody", ""), ("root", "ffff")):
        with pytest.raises(SettingsError, match="no such key"):
            open_key(url(name, version), access=access)


def test_a_vault_that_is_busy_is_waited_for_but_not_long(vault: Vault, access: KeyAccess) -> None:
    vault.refuse("sign", 429, "busy", 2, Retry_After="2")
    assert open_key(url("root"), access=access)
    assert vault.slept == [2, 2]

    vault.slept.clear()
    vault.refuse("get", 429, "busy", Retry_After="3600")
    with pytest.raises(PkiError, match="too many requests") as caught:
        open_key(url("root"), access=access)
    assert vault.slept == [10, 10, 10]
    assert "repeat" in caught.value.hint


def test_a_disabled_key_is_refused(vault: Vault, access: KeyAccess) -> None:
    vault.add("root", new_key(), enabled=False)
    with pytest.raises(SettingsError, match="disabled"):
        open_key(url("root"), access=access)
    assert vault.signatures() == 0


def test_a_key_that_may_not_sign_is_refused(vault: Vault, access: KeyAccess) -> None:
    vault.add("root", new_key(), operations=("verify", "wrapKey"))
    with pytest.raises(SettingsError, match="may not sign, it is for verify, wrapKey"):
        open_key(url("root"), access=access)


def test_an_expired_key_is_said_with_its_dates(vault: Vault, access: KeyAccess) -> None:
    vault.add("root", new_key(), nbf=1600000000, exp=1650000000)
    vault.refuse("sign", 403, "Operation sign is not allowed on an expired key.")
    with pytest.raises(SettingsError, match="for 2020-09-13 to 2022-04-15: Operation sign is not allowed"):
        open_key(url("root"), access=access)


def test_a_key_of_another_kind_is_refused(vault: Vault, access: KeyAccess) -> None:
    vault.add("root", ec.generate_private_key(ec.SECP521R1()))
    with pytest.raises(NotAllowedHere, match="EC P-521 cannot be used"):
        open_key(url("root"), access=access)
    vault.keys["root"].jwk.update(kty="oct", crv=None)
    with pytest.raises(NotAllowedHere, match="kind oct"):
        open_key(url("root"), access=access)


def test_a_broken_public_key_is_refused(vault: Vault, access: KeyAccess) -> None:
    vault.keys["root"].jwk["x"] = "AAAA"
    with pytest.raises(PkiError, match="broken public key"):
        open_key(url("root"), access=access)


def test_a_signature_by_another_key_is_never_used(vault: Vault, access: KeyAccess) -> None:
    public = vault.keys["root"].jwk
    vault.add("root", new_key())
    vault.keys["root"].jwk = public
    with pytest.raises(KeyMismatch, match="the signature is not by the key"):
        open_key(url("root"), access=access)


def test_a_vault_that_is_not_there_is_said(vault: Vault, access: KeyAccess) -> None:
    vault.port = 1
    with pytest.raises(PkiError, match="cannot be reached") as caught:
        open_key(url("root"), access=access)
    assert "network" in caught.value.hint


def test_nobody_to_ask_as_is_said(vault: Vault) -> None:
    class Nobody:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            raise CredentialUnavailableError("nobody is logged in")

    with pytest.raises(SettingsError, match="Entra ID gives no token: nobody is logged in") as caught:
        open_key(url("root"), access=KeyAccess(credential=Nobody(), transport=vault.transport))
    assert "az login" in caught.value.hint


def test_a_missing_library_is_said_with_how_to_get_it() -> None:
    program = (
        "import sys; sys.modules['azure.keyvault'] = None\n"
        "from iotc_admin.pki.keys import open_key\n"
        "try: open_key('https://plant.vault.azure.net/keys/root')\n"
        "except Exception as error: print(type(error).__name__, error, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(
        "SettingsError https: needs a library that is not installed: azure.keyvault"
    )
    assert "pip install 'iotc-admin[keyvault]'" in done.stdout


def test_a_vault_that_sends_us_elsewhere_is_not_followed(vault: Vault, access: KeyAccess) -> None:
    for what in ("get", "sign"):
        vault.refuse(what, 307, "moved", Location=f"https://{HOST}/keys/other")
        with pytest.raises(PkiError, match="307"):
            open_key(url("root"), access=access)
        vault.refusals.clear()
    assert not any("/keys/other" in path for _, path, *_ in vault.seen)
