"""Certificates and keys of an Edge device: each fault is found, and nothing is found where there is none."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority
from iotc_admin.pki.keys import new_key
from iotc_admin.pki.pem import key_pem
from iotc_admin.pki.store import load_certificates
from iotc_admin.workflows import issue_edge_ca
from iotc_admin.workflows.edge.format import Format
from iotc_admin.workflows.edge.material import look
from iotc_admin.workflows.edge.reading import read

from .gateway import EDGE, Gateway, codes


@pytest.fixture(params=list(Format))
def gateway(request: pytest.FixtureRequest, tmp_path: Path, now: datetime) -> Gateway:
    return Gateway.made(tmp_path, now, request.param)


def test_a_gateway_as_it_should_be_has_no_findings(gateway: Gateway) -> None:
    assert gateway.findings() == []


def test_dates_are_judged_all_the_way_up(gateway: Gateway) -> None:
    late = codes(gateway.findings(after=timedelta(days=400)))

    assert sorted(late) == ["edge-ca-expired", "identity-expired"]
    assert "issuer-not-valid" in codes(gateway.findings(after=timedelta(days=4000)))
    assert "identity-not-yet-valid" in codes(gateway.findings(after=timedelta(days=-1)))


def test_the_common_name_must_be_the_registration_id(gateway: Gateway) -> None:
    assert codes(gateway.findings(lambda text: text.replace(f'"{EDGE}"', '"edge-02"'))) == [
        "identity-name-differs"
    ]


def test_without_a_registration_id_the_common_name_serves(gateway: Gateway) -> None:
    gateway.settings = replace(gateway.settings, registration_id=None)

    assert gateway.findings() == []


@pytest.mark.parametrize("name", [f"{EDGE}_key.pem", "ca_key.pem"])
def test_a_key_must_be_the_certificates_own(gateway: Gateway, name: str) -> None:
    (gateway.folder / name).write_bytes(key_pem(new_key()))

    (finding,) = gateway.findings()

    assert finding.code == "key-mismatch"
    assert finding.line is not None
    assert name in gateway.text.splitlines()[finding.line - 1]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_key_that_others_may_read_or_change_is_found(gateway: Gateway, mode: int) -> None:
    (gateway.folder / f"{EDGE}_key.pem").chmod(mode)

    assert codes(gateway.findings()) == ["key-open"]


@pytest.mark.parametrize("name", [f"{EDGE}_fullchain.pem", "ca_key.pem", "bundle.pem"])
def test_a_file_that_is_not_there_or_holds_something_else_is_found(gateway: Gateway, name: str) -> None:
    (gateway.folder / name).write_text("nothing")
    assert "file-unusable" in codes(gateway.findings())

    (gateway.folder / name).unlink()
    assert "file-absent" in codes(gateway.findings())


def test_a_key_with_a_password_cannot_be_used(gateway: Gateway) -> None:
    (gateway.folder / f"{EDGE}_key.pem").write_bytes(key_pem(new_key(), b"secret"))

    assert codes(gateway.findings()) == ["file-unusable"]


def test_an_identity_that_is_a_ca_is_found(gateway: Gateway, now: datetime) -> None:
    gateway.have(EDGE, gateway.line.issue_intermediate(EDGE, now=now))

    assert "identity-is-a-ca" in codes(gateway.findings())


def test_one_key_for_two_jobs_is_found(gateway: Gateway, now: datetime) -> None:
    key = new_key()
    shared = gateway.line.issue_intermediate("edge-01-edge-ca", now=now, key=key, path_length=1)
    gateway.have("ca", shared)
    identity = gateway.line.issue(EDGE, now=now, key=key)
    gateway.put(f"{EDGE}_fullchain.pem", identity.certificate, *identity.chain)
    (gateway.folder / f"{EDGE}_key.pem").write_bytes(key_pem(key))

    assert codes(gateway.findings()) == ["key-shared"]


def test_an_edge_ca_that_is_no_ca_is_found(gateway: Gateway, now: datetime) -> None:
    leaf = gateway.line.issue("edge-01-edge-ca", now=now)
    gateway.put("ca_fullchain.pem", leaf.certificate, *leaf.chain)
    assert leaf.key is not None
    (gateway.folder / "ca_key.pem").write_bytes(key_pem(leaf.key))

    found = {each.code: each for each in gateway.findings()}

    assert "iotc-admin edge ca" in found["edge-ca-not-a-ca"].fix


def test_an_identity_alone_is_worth_a_warning_for_dps_may_know_its_signer(gateway: Gateway) -> None:
    leaf, *_ = load_certificates(gateway.folder / f"{EDGE}_fullchain.pem")

    gateway.put(f"{EDGE}_fullchain.pem", leaf)
    assert [each.code for each in gateway.findings()] == ["identity-chain-incomplete"]


def test_the_chain_of_an_identity_may_lack_its_root_but_no_link(gateway: Gateway, now: datetime) -> None:
    cell = gateway.line.issue_intermediate("cell9", now=now)
    identity = cell.issue(EDGE, now=now)
    assert identity.key is not None
    (gateway.folder / f"{EDGE}_key.pem").write_bytes(key_pem(identity.key))

    gateway.put(f"{EDGE}_fullchain.pem", identity.certificate, cell.certificate, gateway.line.certificate)
    assert gateway.findings() == []

    gateway.put(f"{EDGE}_fullchain.pem", identity.certificate, cell.certificate, gateway.root.certificate)
    (finding,) = gateway.findings()
    assert (finding.level, finding.code) == ("warning", "identity-chain-incomplete")
    assert "CN=cell9" in finding.what


def test_the_edge_ca_needs_its_chain_up_to_what_is_trusted(gateway: Gateway) -> None:
    ca, line, root = gateway.edge_ca.certificate, gateway.line.certificate, gateway.root.certificate
    gateway.put("ca_fullchain.pem", ca, line)
    assert gateway.findings() == []

    gateway.put("ca_fullchain.pem", ca, root)
    assert codes(gateway.findings()) == ["edge-ca-chain-incomplete"]


def test_a_bundle_without_the_root_of_the_edge_ca_is_found(
    gateway: Gateway, other_ca: CertificateAuthority
) -> None:
    gateway.trust(other_ca)
    assert codes(gateway.findings()) == ["trust-bundle-lacks-root"]

    gateway.trust(other_ca, gateway.root)
    assert gateway.findings() == []


def test_no_room_for_the_workload_ca_of_1_1(tmp_path: Path, now: datetime) -> None:
    gateway = Gateway.made(tmp_path, now, Format.YAML)
    gateway.have("ca", issue_edge_ca(gateway.line, EDGE, now=now, target=Format.TOML))

    (finding,) = gateway.findings()

    assert finding.code == "edge-ca-path-length"
    assert finding.fix.endswith("--target 1.1")
    gateway.form = Format.TOML
    assert gateway.findings() == []


def test_room_that_a_ca_further_up_does_not_leave(tmp_path: Path, now: datetime) -> None:
    gateway = Gateway.made(tmp_path, now)
    narrow = CertificateAuthority.create("plant7", now=now, key=gateway.root.key, path_length=1)
    gateway.put("ca_fullchain.pem", gateway.edge_ca.certificate, gateway.line.certificate, narrow.certificate)
    gateway.trust(narrow)

    assert codes(gateway.findings()) == ["edge-ca-path-length"]


def test_where_a_file_is_here_is_told_by_the_caller(tmp_path: Path, now: datetime) -> None:
    gateway = Gateway.made(tmp_path / "here", now)
    document = read(gateway.text.replace("/here/", "/on/the%20device/"), Format.TOML)

    material = look(document, lambda path: tmp_path / "here" / path.name)

    assert not any(held.missing for held in material.values())
    assert all(held.missing for held in look(document).values())


def test_no_private_key_is_kept(tmp_path: Path, now: datetime) -> None:
    gateway = Gateway.made(tmp_path, now)
    material = look(read(gateway.text, Format.TOML))

    assert not any(hasattr(held.key, "private_bytes") for held in material.values())


def test_a_bundle_that_others_may_change_or_that_trusts_no_ca_is_found(
    gateway: Gateway, now: datetime
) -> None:
    gateway.put("bundle.pem", gateway.root.certificate, gateway.line.issue("pump", now=now).certificate)
    assert codes(gateway.findings()) == ["trust-bundle-not-a-ca"]

    gateway.trust(gateway.root)
    (gateway.folder / "bundle.pem").chmod(0o664)
    assert codes(gateway.findings()) == ["certificate-open"]


def test_a_root_in_the_bundle_that_has_expired_is_worth_a_warning(gateway: Gateway, now: datetime) -> None:
    brief = CertificateAuthority.create("brief", now=now, lifetime=timedelta(days=1))
    gateway.trust(gateway.root, brief)

    assert codes(gateway.findings(after=timedelta(days=2)), "warning") == ["trust-bundle-expired"]
