"""Configuration files of Edge devices: what is written is what other parsers read, whatever the values."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from iotc_admin.errors import SettingsError
from iotc_admin.workflows import EdgeSettings
from iotc_admin.workflows.edge.conversion import convert
from iotc_admin.workflows.edge.format import Format
from iotc_admin.workflows.edge.reading import read
from iotc_admin.workflows.edge.rendering import render
from iotc_admin.workflows.edge.settings import path_of, uri_of
from iotc_admin.workflows.edge.writing import Place, write

PLAIN = EdgeSettings("0ne00112233", "file:///c/edge-01.pem", "file:///c/edge-01.key", "edge-01")
GATEWAY = replace(
    PLAIN,
    hostname="gw",
    edge_ca_cert="file:///c/ca.pem",
    edge_ca_pk="file:///c/ca.key",
    trust_bundle="file:///c/bundle.pem",
)

text = st.text(min_size=1)
settings = st.builds(
    EdgeSettings,
    id_scope=text,
    identity_cert=text,
    identity_pk=text,
    registration_id=st.none() | text,
    global_endpoint=text,
    hostname=st.none() | text,
    edge_ca_cert=st.none() | text,
    edge_ca_pk=st.none() | text,
    trust_bundle=st.none() | text,
)
values = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def outsider(content: str, form: Format) -> dict[str, Any]:
    """The values by a parser that is not ours."""
    loaded: dict[str, Any] = tomllib.loads(content) if form is Format.TOML else yaml.safe_load(content)
    return loaded


def test_config_toml_says_what_the_runtime_of_1_2_reads() -> None:
    content = GATEWAY.render(Format.TOML)

    assert tomllib.loads(content) == {
        "hostname": "gw",
        "auto_reprovisioning_mode": "Dynamic",
        "trust_bundle_cert": "file:///c/bundle.pem",
        "provisioning": {
            "source": "dps",
            "global_endpoint": "https://global.azure-devices-provisioning.net",
            "id_scope": "0ne00112233",
            "attestation": {
                "method": "x509",
                "registration_id": "edge-01",
                "identity_cert": "file:///c/edge-01.pem",
                "identity_pk": "file:///c/edge-01.key",
            },
        },
        "edge_ca": {"cert": "file:///c/ca.pem", "pk": "file:///c/ca.key"},
    }
    assert content.index("trust_bundle_cert") < content.index("[")


def test_config_yaml_says_what_the_runtime_of_1_1_reads() -> None:
    assert yaml.safe_load(GATEWAY.render(Format.YAML)) == {
        "hostname": "gw",
        "provisioning": {
            "source": "dps",
            "global_endpoint": "https://global.azure-devices-provisioning.net",
            "scope_id": "0ne00112233",
            "dynamic_reprovisioning": True,
            "attestation": {
                "method": "x509",
                "registration_id": "edge-01",
                "identity_cert": "file:///c/edge-01.pem",
                "identity_pk": "file:///c/edge-01.key",
            },
        },
        "certificates": {
            "device_ca_cert": "file:///c/ca.pem",
            "device_ca_pk": "file:///c/ca.key",
            "trusted_ca_certs": "file:///c/bundle.pem",
        },
    }


@pytest.mark.parametrize("form", list(Format))
@given(made=settings)
def test_any_values_are_read_back_by_others(form: Format, made: EdgeSettings) -> None:
    content = made.render(form)

    found, document = outsider(content, form), read(content, form)

    assert found == document.data
    assert document.faults == ()
    assert document.get("id_scope") == made.id_scope
    assert document.get("registration_id") == made.registration_id
    assert document.get("identity_cert") == made.identity_cert
    assert document.get("edge_ca_pk") == made.edge_ca_pk


@given(data=st.dictionaries(st.text(), values, max_size=4))
def test_any_tree_of_values_becomes_toml_that_gives_it_back(data: dict[str, Any]) -> None:
    assert tomllib.loads(render(data, Format.TOML)) == data


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("value", ["\ud800", float("nan"), None, Path("x")])
def test_a_value_that_would_not_come_back_is_refused(form: Format, value: Any) -> None:
    with pytest.raises(SettingsError):
        render({"a": {"b": value, "c": object}}, form)


@given(path=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_path_survives_its_uri(path: str) -> None:
    uri = uri_of(f"/{path}")

    assert path_of(uri) == Path(f"/{path}")
    assert uri.isascii()
    assert not set(uri) & set(' "\\?#')


def test_uris_are_absolute_and_encoded() -> None:
    assert uri_of("/var/my certs/ä.pem") == "file:///var/my%20certs/%C3%A4.pem"
    assert uri_of("C:\\my certs\\a.pem") == "file:///C:/my%20certs/a.pem"
    assert uri_of("pkcs11:object=edge%20id?pin-value=1") == "pkcs11:object=edge%20id?pin-value=1"
    assert Place("a.pem").uri == f"file://{Path.cwd()}/a.pem"
    assert Place("here/a.pem", "/on/device").uri == "file:///on/device/a.pem"
    with pytest.raises(SettingsError, match="relative"):
        uri_of("certs/a.pem")


OLD = """\
provisioning:
  source: "dps"
  global_endpoint: "https://global.azure-devices-provisioning.net"
  scope_id: "0ne00112233"
  attestation:
    method: "x509"
    device_id: "edge-01"
    registration_id: "edge-01"
    identity_cert: "/var/my certs/edge-01.pem"
    identity_pk: "file:///c/edge-01.key"
  always_reprovision_on_startup: true
certificates:
  device_ca_cert: "/c/ca.pem"
  device_ca_pk: "/c/ca.key"
  trusted_ca_certs: "/c/bundle.pem"
  auto_generated_ca_lifetime_days: 7
agent:
  name: "edgeAgent"
  env: {}
  config:
    image: "mcr.microsoft.com/azureiotedge-agent:1.1"
    auth: {username: "u", password: ~}
hostname: "gw"
connect: {management_uri: "unix:///var/run/iotedge/mgmt.sock"}
listen:
  management_uri: "fd://iotedge.mgmt.socket"
  workload_uri: "fd://iotedge.socket"
homedir: "/var/lib/iotedge"
watchdog: {max_retries: 2}
moby_runtime: {uri: "unix:///var/run/docker.sock"}
invented: {a: 1, b: [2]}
"""


def test_an_old_file_becomes_a_new_one_and_each_key_that_goes_is_named() -> None:
    converted = convert(read(OLD, Format.YAML))

    assert tomllib.loads(converted.text) == {
        "hostname": "gw",
        "auto_reprovisioning_mode": "AlwaysOnStartup",
        "trust_bundle_cert": "file:///c/bundle.pem",
        "provisioning": {
            "source": "dps",
            "global_endpoint": "https://global.azure-devices-provisioning.net",
            "id_scope": "0ne00112233",
            "attestation": {
                "method": "x509",
                "registration_id": "edge-01",
                "identity_cert": "file:///var/my%20certs/edge-01.pem",
                "identity_pk": "file:///c/edge-01.key",
            },
        },
        "edge_ca": {"cert": "file:///c/ca.pem", "pk": "file:///c/ca.key"},
        "agent": {
            "name": "edgeAgent",
            "env": {},
            "config": {"image": "mcr.microsoft.com/azureiotedge-agent:1.1", "auth": {"username": "u"}},
        },
        "connect": {"management_uri": "unix:///var/run/iotedge/mgmt.sock"},
        "listen": {
            "management_uri": "fd://aziot-edged.mgmt.socket",
            "workload_uri": "fd://aziot-edged.workload.socket",
        },
        "watchdog": {"max_retries": 2},
        "moby_runtime": {"uri": "unix:///var/run/docker.sock"},
    }
    assert set(converted.dropped) == {
        "provisioning.attestation.device_id",
        "certificates.auto_generated_ca_lifetime_days",
        "agent.config.auth.password",
        "homedir",
        "invented.a",
        "invented.b",
    }
    assert set(converted.noted) == {
        "provisioning.always_reprovision_on_startup",
        "agent.config.image",
    }


@pytest.mark.parametrize(
    ("flags", "mode"),
    [
        ("", "OnErrorOnly"),
        ("dynamic_reprovisioning: false", "OnErrorOnly"),
        ("dynamic_reprovisioning: true", "Dynamic"),
        ("dynamic_reprovisioning: yes", "Dynamic"),
        ("{always}: true, dynamic_reprovisioning: true", "Dynamic"),
        ("{always}: true, dynamic_reprovisioning: false", "AlwaysOnStartup"),
    ],
)
def test_when_the_old_runtime_provisioned_again_the_new_one_does(flags: str, mode: str) -> None:
    flags = flags.replace("{always}", "always_reprovision_on_startup")
    old = f"provisioning: {{source: dps, attestation: {{method: x509}}, {flags}}}"

    converted = convert(read(old, Format.YAML))

    assert tomllib.loads(converted.text)["auto_reprovisioning_mode"] == mode
    assert converted.dropped == {}


def test_a_symmetric_key_and_a_tpm_go_over_as_they_are_and_it_is_said() -> None:
    by_key = "provisioning: {source: dps, attestation: {method: symmetric_key, symmetric_key: c2VjcmV0}}"
    oldest = "provisioning: {source: dps, registration_id: edge-01}"

    symmetric, tpm = (convert(read(each, Format.YAML)) for each in (by_key, oldest))

    attestation = tomllib.loads(symmetric.text)["provisioning"]["attestation"]
    assert attestation == {"method": "symmetric_key", "symmetric_key": {"value": "c2VjcmV0"}}
    attestation = tomllib.loads(tpm.text)["provisioning"]["attestation"]
    assert attestation == {"method": "tpm", "registration_id": "edge-01"}
    for each in (symmetric, tpm):
        assert "iotc-admin edge config" in each.noted["provisioning.attestation"]
        assert "c2VjcmV0" not in str((each.dropped, each.noted))


def test_a_quick_start_ca_stays_one() -> None:
    old = "provisioning: {source: dps, attestation: {method: x509}}\n"
    old += "certificates: {auto_generated_ca_lifetime_days: 7}"

    converted = convert(read(old, Format.YAML))

    assert tomllib.loads(converted.text)["edge_ca"] == {"auto_generated_edge_ca_expiry_days": 7}


@pytest.mark.parametrize("source", ["manual", "external", "~"])
def test_a_device_that_does_not_come_through_dps_is_refused(source: str) -> None:
    with pytest.raises(SettingsError, match="DPS") as refused:
        convert(read(f"provisioning: {{source: {source}, device_connection_string: secret}}", Format.YAML))

    assert "secret" not in str(refused.value) + refused.value.hint


@pytest.mark.parametrize(
    "old",
    [
        "",
        "provisioning:",
        "provisioning: 1",
        "provisioning: {source: dps}",
        "x: [\n",
        PLAIN.render(Format.TOML),
    ],
)
def test_what_is_no_old_file_is_refused(old: str) -> None:
    with pytest.raises(SettingsError):
        convert(read(old, Format.YAML))


def test_a_file_is_written_once_and_replaced_only_when_told(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"

    assert write(file, b"a", replace=False)
    assert not write(file, b"a", replace=False)
    with pytest.raises(SettingsError, match="exists already") as refused:
        write(file, b"b", replace=False)
    assert "--replace" in refused.value.hint
    assert file.read_bytes() == b"a"
    assert write(file, b"b", replace=True)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"b", 0o600)
