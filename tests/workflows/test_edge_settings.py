"""What is wrong with the settings of an Edge device's file: each fault by its code and its line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority, Client
from iotc_admin.contract.enrollment_groups import EnrollmentGroupPatch
from iotc_admin.pki.store import load_certificates
from iotc_admin.workflows import attach_certificates, enroll_group
from iotc_admin.workflows.edge.findings import Finding
from iotc_admin.workflows.edge.format import Format
from iotc_admin.workflows.edge.lint import lint, look_at_enrollments
from iotc_admin.workflows.edge.material import look
from iotc_admin.workflows.edge.reading import format_of, read

from .gateway import EDGE, Gateway, codes

TOML = """\
auto_reprovisioning_mode = "Dynamic"
trust_bundle_cert = "file:///c/bundle.pem"

[provisioning]
source = "dps"
global_endpoint = "https://global.azure-devices-provisioning.net"
id_scope = "0ne00112233"

[provisioning.attestation]
method = "x509"
registration_id = "edge-01"
identity_cert = "file:///c/edge-01.pem"
identity_pk = "file:///c/edge-01.key.pem"

[edge_ca]
cert = "file:///c/ca.pem"
pk = "file:///c/ca.key.pem"
"""
YAML = """\
provisioning:
  source: "dps"
  global_endpoint: "https://global.azure-devices-provisioning.net"
  scope_id: "0ne00112233"
  dynamic_reprovisioning: true
  attestation:
    method: "x509"
    registration_id: "edge-01"
    identity_cert: "/c/edge-01.pem"
    identity_pk: "file:///c/edge-01.key.pem"
certificates:
  device_ca_cert: "/c/ca.pem"
  device_ca_pk: "/c/ca.key.pem"
  trusted_ca_certs: "/c/bundle.pem"
"""
EST = '{ method = "est", common_name = "edge-01" }'
ISSUER = '[cert_issuance.est]\nurls = { default = "https://est.example" }\n'
RENEWAL = "[provisioning.attestation.identity_cert.auto_renew]\nrotate_key = true\n"


def judged(text: str, form: Format, now: datetime) -> list[Finding]:
    """The findings that are not about files."""
    return lint(read(text, form), {}, now=now)


def test_files_as_they_should_be_have_no_findings(now: datetime) -> None:
    assert judged(TOML, Format.TOML, now) == []
    assert judged(YAML, Format.YAML, now) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ('= "Dynamic"', "= Dynamic", "value-unquoted", 1),
        ('= "Dynamic"', '= "dynamic"', "mode-unknown", 1),
        ('= "Dynamic"', "= 'Dynamic", "unreadable", None),
        ("[edge_ca]\n", '[edge_ca]\nhostname = "gw"\n', "key-after-table", 16),
        ("[edge_ca]\n", '[agent.env]\ncloud_retries = "1"\n[edge_ca]\n', "key-after-table", 16),
        ("[edge_ca]\n", 'auto_reprovisioning_mode = "Dynamic"\n[edge_ca]\n', "key-after-table", 15),
        ("id_scope", "scope_id", "scope-key", 7),
        ('id_scope = "0ne00112233"\n', "", "scope-absent", 4),
        ('"0ne00112233"', '""', "scope-absent", 7),
        ('source = "dps"', 'source = "manual"', "source-not-dps", 5),
        ('source = "dps"\n', "", "source-not-dps", 4),
        ("https://global", "http://global", "endpoint-invalid", 6),
        ('global_endpoint = "https://global.azure-devices-provisioning.net"\n', "", "endpoint-absent", 5),
        ("provisioning.net", "provisioning.net/x", "endpoint-invalid", 6),
        ('"https://global.azure-devices-provisioning.net"', "7", "value-not-text", 6),
        ('"x509"', '"x.509"', "method-unknown", 10),
        ('method = "x509"\n', "", "method-unknown", 9),
        ('"edge-01"', "17", "value-not-text", 11),
        ('"edge-01"', '""', "value-not-text", 11),
        ('"file:///c/edge-01.pem"', "12", "value-not-text", 12),
        (TOML[TOML.index('cert = "file:///c/ca') :], 'method = "est"', "issuer-absent", 15),
        ('identity_pk = "file:///c/edge-01.key.pem"\n', "", "identity-absent", 10),
        ("file:///c/edge-01.pem", "/c/edge-01.pem", "uri-not-absolute", 12),
        ("file:///c/edge-01.pem", "file://c/edge-01.pem", "uri-not-absolute", 12),
        ('"file:///c/edge-01.pem"', '"C:\\\\c\\\\edge-01.pem"', "uri-not-absolute", 12),
        ('"file:///c/edge-01.pem"', '"C:\\c\\edge-01.pem"', "unreadable", 12),
        ("file:///c/edge-01.key.pem", "pkcs11:object=edge", "pkcs11-without-library", 13),
        ("file:///c/edge-01.pem", "pkcs11:object=edge", "pkcs11-not-here", 12),
        ('"file:///c/edge-01.pem"', EST, "issuer-absent", 12),
        ('"file:///c/edge-01.pem"', '{ method = "scep" }', "issuing-method", 12),
        ("[edge_ca]\n", RENEWAL + "[edge_ca]\n", "auto-renew-without-method", 15),
        ("identity_pk", "auto_renew = {}\nidentity_pk", "auto-renew-without-method", 13),
        ("identity_pk", "identity_cert.auto_renew = {}\nidentity_pk", "auto-renew-without-method", 13),
        ('pk = "file:///c/ca.key.pem"\n', "", "edge-ca-half", 16),
        ("file:///c/ca.key.pem", "file:///c/edge-01.key.pem", "key-shared", 17),
        ("id_scope =", "id_scope:", "yaml-in-toml", 7),
    ],
)
def test_each_fault_of_config_toml_is_found_in_its_line(
    old: str, new: str, code: str, line: int | None, now: datetime
) -> None:
    assert old in TOML

    for text in (TOML.replace(old, new, 1), TOML.replace(old, new, 1).replace("\n", "\r\n")):
        errors = [(each.code, each.line) for each in judged(text, Format.TOML, now) if each.level == "error"]

        assert errors == [(code, line)]


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("scope_id", "id_scope", "scope-key", 4),
        ("  attestation:", "   attestation:", "unreadable", 6),
        ("/c/edge-01.pem", "c/edge-01.pem", "uri-not-absolute", 9),
        ("file:///c/edge-01.key.pem", "pkcs11:object=edge", "pkcs11-not-here", 10),
        ("device_ca_pk", "device_ca_key", "edge-ca-half", 12),
        ('  trusted_ca_certs: "/c/bundle.pem"\n', "", "trust-bundle-absent", 12),
        ("certificates:", "edge_ca: {cert: x}\ncertificates:", "key-of-other-format", 11),
        ("provisioning:", "auto_reprovisioning_mode: Dynamic\nprovisioning:", "key-of-other-format", 1),
        ('"dps"', "*dps", "unreadable", 2),
    ],
)
def test_each_fault_of_config_yaml_is_found_in_its_line(
    old: str, new: str, code: str, line: int, now: datetime
) -> None:
    assert old in YAML

    found = judged(YAML.replace(old, new, 1), Format.YAML, now)

    assert [(each.code, each.line) for each in found if each.level == "error"] == [(code, line)]


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("0ne00112233", "<SCOPE>", "scope-odd", 7),
        ('"x509"', '"symmetric_key"', "method-not-x509", 10),
        ("file:///c/edge-01.pem", "file:///c/edge 01.pem", "uri-with-blank", 12),
        ('trust_bundle_cert = "file:///c/bundle.pem"\n', "", "trust-bundle-absent", 15),
        ("[edge_ca]\n", '[agent.env]\nhostname = "gw"\n[edge_ca]\n', "", None),
        ("registration_id", "registraton_id", "key-unknown", 11),
        (
            "provisioning.attestation]",
            "provisioning.authentication]\n[provisioning.attestation]",
            "key-unknown",
            9,
        ),
        ("[provisioning]", 'parent_hostname = "gw"\n[provisioning]', "downstream-x509", 4),
        (TOML[TOML.index("[edge_ca]") :], "", "edge-ca-quick-start", None),
        (
            TOML[TOML.index('cert = "file:///c/ca') :],
            "auto_generated_edge_ca_expiry_days = 90\n",
            "edge-ca-quick-start",
            16,
        ),
        ('"file:///c/edge-01.pem"', EST, "", None),
    ],
)
def test_what_works_but_not_as_meant_is_a_warning(
    old: str, new: str, code: str, line: int | None, now: datetime
) -> None:
    found = judged(TOML.replace(old, new, 1) + (ISSUER if EST in new else ""), Format.TOML, now)

    assert [(each.level, each.code, each.line) for each in found] == (
        [("warning", code, line)] if code else []
    )


def test_a_fault_of_form_does_not_hide_those_behind_it(now: datetime) -> None:
    text = TOML.replace('"Dynamic"', "Dynamic").replace('"x509"', "x509").replace("id_scope", "scope_id")

    assert codes(judged(text, Format.TOML, now)) == ["value-unquoted", "scope-key", "value-unquoted"]


def test_a_file_of_faults_is_given_up_after_twenty(now: datetime) -> None:
    text = "".join(f"a{number} = b\n" for number in range(30_000))

    assert len(judged(text, Format.TOML, now)) == 20


def test_a_whole_file_in_the_other_language_is_judged_all_the_same(now: datetime) -> None:
    assert codes(judged(YAML, Format.TOML, now))[:2] == ["yaml-in-toml", "scope-key"]
    assert codes(judged(TOML, Format.YAML, now))[:2] == ["toml-in-yaml", "key-of-other-format"]


def test_renewal_by_an_issuer_is_allowed_and_said_to_need_a_group(now: datetime) -> None:
    text = TOML.replace('"file:///c/edge-01.pem"', EST.replace(" }", ", auto_renew = { retry = '4%' } }"))

    (finding,) = judged(text + ISSUER, Format.TOML, now)

    assert (finding.level, finding.code, finding.line) == ("warning", "auto-renew-group-only", 12)


def test_the_old_runtime_takes_paths_too(now: datetime) -> None:
    text = YAML.replace('"/c/edge-01.pem"', "'C:\\c\\edge-01.pem'")

    assert judged(text, Format.YAML, now) == []
    assert codes(judged(YAML.replace('"/c/edge-01.pem"', "'c\\edge-01.pem'"), Format.YAML, now)) == [
        "uri-not-absolute"
    ]


def test_an_issued_identity_must_be_asked_for_under_the_registration_id(now: datetime) -> None:
    text = TOML.replace('"file:///c/edge-01.pem"', EST.replace("edge-01", "edge-02"))

    assert codes(judged(text + ISSUER, Format.TOML, now)) == ["name-differs"]


@pytest.mark.parametrize(
    "text",
    ["", "# all of it is a comment", "x", "[" * 100_000, "a: &a [*a]", "a: 1\na: 2", "- 1", "a\x00", "\\"],
)
@pytest.mark.parametrize("form", list(Format))
def test_no_text_whatever_is_taken_for_a_configuration(text: str, form: Format, now: datetime) -> None:
    found = judged(text, form, now)

    assert codes(found)


def test_an_alias_is_not_followed_for_it_can_stand_for_anything(now: datetime) -> None:
    (finding,) = judged("a: &x [1]\nb: *x\n" + YAML, Format.YAML, now)

    assert "alias" in finding.what
    assert finding.line == 1


@pytest.mark.parametrize(
    "text",
    [
        "[cert_issuance.est.auth]\npassword = Secret1\n",
        "symmetric_key: Secret1\nsymmetric_key: Secret1\n",
        "[provisioning.attestation]\nsymmetric_key: Secret1",
        TOML.replace("file:///c/edge-01.key.pem", "Secret1"),
        TOML.replace("file:///c/edge-01.key.pem", "pkcs11:object=a?pin-value=Secret1"),
        TOML.replace('"file:///c/edge-01.key.pem"', "Secret1"),
        YAML.replace("file:///c/edge-01.key.pem", "Secret1"),
        YAML.replace('"file:///c/edge-01.key.pem"', "!!int Secret1"),
    ],
)
@pytest.mark.parametrize("form", list(Format))
def test_what_may_be_a_secret_is_not_repeated(text: str, form: Format, now: datetime) -> None:
    found = judged(text, form, now)

    assert found
    assert "Secret1" not in str(found)


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("config.toml", YAML, Format.TOML),
        ("CONFIG.YML", TOML, Format.YAML),
        ("/dev/stdin", TOML, Format.TOML),
        ("config", YAML, Format.YAML),
    ],
)
def test_the_name_says_the_format_and_else_the_content(name: str, text: str, form: Format) -> None:
    assert format_of(name, text) is form


@pytest.fixture
def gateway(tmp_path: Path, now: datetime) -> Gateway:
    return Gateway.made(tmp_path, now)


def found_with(group: str, gateway: Gateway, client: Client, text: str = "") -> list[str]:
    document = read(text or gateway.text, Format.TOML)
    material = look(document)
    enrollments = look_at_enrollments(client, group, document, material)
    return codes(lint(document, material, now=gateway.now, enrollments=enrollments))


def test_a_group_for_edge_devices_lets_it_in(gateway: Gateway, client: Client) -> None:
    enroll_group(client, "edges", primary=gateway.root, type="iotEdge")

    assert found_with("edges", gateway, client) == []


def test_a_group_of_the_other_type_is_found(gateway: Gateway, client: Client) -> None:
    enroll_group(client, "pumps", primary=gateway.root)

    assert found_with("pumps", gateway, client) == ["group-not-edge"]


def test_a_group_that_is_absent_or_disabled_or_of_another_ca_is_found(
    gateway: Gateway, client: Client, other_ca: CertificateAuthority
) -> None:
    assert found_with("edges", gateway, client) == ["group-absent"]

    enroll_group(client, "edges", primary=other_ca, type="iotEdge")
    client.enrollment_groups.update("edges", EnrollmentGroupPatch(enabled=False))

    assert sorted(found_with("edges", gateway, client)) == ["group-disabled", "group-other-ca"]


def test_a_file_without_the_root_says_too_little_about_the_group(
    gateway: Gateway, client: Client, other_ca: CertificateAuthority
) -> None:
    enroll_group(client, "edges", primary=other_ca, type="iotEdge")
    leaf, line, _ = load_certificates(gateway.folder / f"{EDGE}_fullchain.pem")
    gateway.put(f"{EDGE}_fullchain.pem", leaf, line)

    assert found_with("edges", gateway, client) == []


def test_renewal_with_an_individual_enrollment_is_found(
    gateway: Gateway, client: Client, now: datetime
) -> None:
    enroll_group(client, "edges", primary=gateway.root, type="iotEdge")
    issued = EST.replace(" }", ", auto_renew = { retry = '4%' } }")
    text = TOML.replace('"file:///c/edge-01.pem"', issued) + ISSUER
    assert "auto-renew-individual" not in found_with("edges", gateway, client, text)

    from iotc_admin import Device

    client.devices.create(EDGE, Device())
    attach_certificates(client, EDGE, primary=gateway.line.issue(EDGE, now=now).certificate)

    assert "auto-renew-individual" in found_with("edges", gateway, client, text)
