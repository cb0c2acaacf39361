"""The CA of an Edge device: OpenSSL says whether what stands below it is accepted."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority, DeviceIdentity
from iotc_admin.errors import BrokenChain, NotAllowedHere, OutsideValidity
from iotc_admin.pki import profiles
from iotc_admin.pki.keys import new_key
from iotc_admin.pki.pem import fullchain_pem
from iotc_admin.pki.validity import lasting
from iotc_admin.workflows import issue_edge_ca, trust_bundle
from iotc_admin.workflows.edge.format import Format

EDGE = "edge-01"


def openssl_accepts(identity: DeviceIdentity, bundle: bytes, folder: Path) -> bool:
    """`openssl verify` of a module's server certificate with the chain it sends and the trust bundle."""
    leaf, *sent = (identity.certificate, *identity.chain)
    (folder / "leaf.pem").write_bytes(fullchain_pem(leaf, ()))
    (folder / "sent.pem").write_bytes(fullchain_pem(sent[0], sent[1:]))
    (folder / "bundle.pem").write_bytes(bundle)
    line = "openssl verify -x509_strict -purpose sslserver -CAfile bundle.pem -untrusted sent.pem leaf.pem"
    done = subprocess.run(line.split(), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "path length constraint exceeded" in done.stderr
    return done.returncode == 0


def bundle_of(*authorities: CertificateAuthority) -> bytes:
    first, *others = trust_bundle(each.certificate for each in authorities)
    return fullchain_pem(first, others)


def workload_ca(edge_ca: CertificateAuthority, now: datetime) -> CertificateAuthority:
    """As the runtime of 1.1 makes it, which asks for no room."""
    key = new_key()
    assert edge_ca.key is not None
    certificate = profiles.certify(
        "iotedged workload ca",
        key.public_key(),
        profiles.authority(0),
        lasting(timedelta(days=30), now=now),
        issuer=edge_ca.certificate,
        key=edge_ca.key,
    )
    return CertificateAuthority(certificate, key, (edge_ca.certificate, *edge_ca.chain))


@pytest.fixture
def line(ca: CertificateAuthority, now: datetime) -> CertificateAuthority:
    return ca.issue_intermediate("line3", now=now)


def test_1_2_signs_the_modules_servers_by_the_edge_ca_itself(
    ca: CertificateAuthority, line: CertificateAuthority, now: datetime, tmp_path: Path
) -> None:
    edge_ca = issue_edge_ca(line, EDGE, now=now, target=Format.TOML)

    server = edge_ca.issue_server(["edgehub", "gw.plant7.example"], now=now)

    assert openssl_accepts(server, bundle_of(ca), tmp_path)


def test_1_1_signs_them_by_a_workload_ca_in_between(
    ca: CertificateAuthority, line: CertificateAuthority, now: datetime, tmp_path: Path
) -> None:
    edge_ca = issue_edge_ca(line, EDGE, now=now, target=Format.YAML)

    server = workload_ca(edge_ca, now).issue_server(["edgehub"], now=now)

    assert openssl_accepts(server, bundle_of(ca), tmp_path)


def test_an_edge_ca_for_1_2_is_too_short_for_1_1(
    ca: CertificateAuthority, line: CertificateAuthority, now: datetime, tmp_path: Path
) -> None:
    edge_ca = issue_edge_ca(line, EDGE, now=now, target=Format.TOML)

    server = workload_ca(edge_ca, now).issue_server(["edgehub"], now=now)

    assert not openssl_accepts(server, bundle_of(ca), tmp_path)


@pytest.mark.parametrize(
    ("length", "target", "fits"),
    [(0, Format.TOML, False), (1, Format.TOML, True), (1, Format.YAML, False), (2, Format.YAML, True)],
)
def test_an_issuer_must_leave_the_room_that_the_release_takes(
    now: datetime, length: int, target: Format, fits: bool
) -> None:
    root = CertificateAuthority.create("plant7", now=now, path_length=length)

    if fits:
        assert issue_edge_ca(root, EDGE, now=now, target=target).chain == (root.certificate,)
    else:
        with pytest.raises(NotAllowedHere, match=f"an Edge CA for {target.release}") as refused:
            issue_edge_ca(root, EDGE, now=now, target=target)
        assert "--path-length" in refused.value.hint


def test_a_root_further_up_that_leaves_no_room_is_seen(now: datetime) -> None:
    root = CertificateAuthority.create("plant7", now=now, path_length=2)
    line = root.issue_intermediate("line3", now=now)

    issue_edge_ca(line, EDGE, now=now, target=Format.TOML)
    with pytest.raises(NotAllowedHere):
        issue_edge_ca(line, EDGE, now=now, target=Format.YAML)


def test_it_lives_a_year_or_as_long_as_its_issuer(now: datetime) -> None:
    long = CertificateAuthority.create("long", now=now)
    short = CertificateAuthority.create("short", now=now, lifetime=timedelta(days=30))

    year = issue_edge_ca(long, EDGE, now=now, target=Format.TOML).certificate
    month = issue_edge_ca(short, EDGE, now=now, target=Format.TOML).certificate

    assert timedelta(days=364) < year.not_valid_after_utc - now <= timedelta(days=365)
    assert month.not_valid_after_utc == short.certificate.not_valid_after_utc
    with pytest.raises(OutsideValidity):
        issue_edge_ca(short, EDGE, now=now, target=Format.TOML, lifetime=timedelta(days=31))


@pytest.mark.parametrize("device_id", ["", "a b", "a" * 60])
def test_a_name_that_no_device_has_makes_no_edge_ca(
    ca: CertificateAuthority, now: datetime, device_id: str
) -> None:
    with pytest.raises(NotAllowedHere):
        issue_edge_ca(ca, device_id, now=now, target=Format.TOML)


def test_a_bundle_holds_the_roots_once(
    ca: CertificateAuthority, other_ca: CertificateAuthority, line: CertificateAuthority
) -> None:
    root, other = ca.certificate, other_ca.certificate

    assert trust_bundle([root, line.certificate, root, other]) == (root, other)


def test_a_bundle_refuses_a_device_and_says_how_devices_connect_behind_a_gateway(
    ca: CertificateAuthority, now: datetime
) -> None:
    with pytest.raises(NotAllowedHere, match="SAS only") as refused:
        trust_bundle([ca.certificate, ca.issue("pump-042", now=now).certificate])

    assert "symmetric key" in refused.value.hint


def test_a_bundle_refuses_a_ca_whose_root_is_not_there(line: CertificateAuthority) -> None:
    with pytest.raises(BrokenChain, match="line3"):
        trust_bundle([line.certificate])
