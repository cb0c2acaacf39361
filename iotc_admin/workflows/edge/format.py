"""What the two configuration files of IoT Edge call things. Source: the templates of Azure/iotedge."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

Path = tuple[str, ...]


class Format(StrEnum):
    """TOML is what 1.2 and later read, YAML what 1.1 reads."""

    TOML = "toml"
    YAML = "yaml"

    @property
    def file_name(self) -> str:
        return f"config.{self.value}"

    @property
    def release(self) -> str:
        return "1.2 and later" if self is Format.TOML else "1.1"

    @property
    def cas_below(self) -> int:
        """How many CAs the runtime makes below the Edge CA: 1.1 makes a workload CA, 1.2 none."""
        return 0 if self is Format.TOML else 1

    @property
    def other(self) -> Format:
        return Format.YAML if self is Format.TOML else Format.TOML


PROVISIONING: Final = ("provisioning",)
ATTESTATION: Final = ("provisioning", "attestation")

# What has one name in config.toml and another in config.yaml.
_RENAMED: Final[dict[str, tuple[Path, Path]]] = {
    "id_scope": ((*PROVISIONING, "id_scope"), (*PROVISIONING, "scope_id")),
    "edge_ca_cert": (("edge_ca", "cert"), ("certificates", "device_ca_cert")),
    "edge_ca_pk": (("edge_ca", "pk"), ("certificates", "device_ca_pk")),
    "trust_bundle": (("trust_bundle_cert",), ("certificates", "trusted_ca_certs")),
    "quick_start_days": (
        ("edge_ca", "auto_generated_edge_ca_expiry_days"),
        ("certificates", "auto_generated_ca_lifetime_days"),
    ),
}
_OF_ATTESTATION: Final = ("method", "registration_id", "identity_cert", "identity_pk")

_REPROVISIONING: Final = "auto_reprovisioning_mode"
_FLAGS: Final = ("always_reprovision_on_startup", "dynamic_reprovisioning")

MODES: Final = ("Dynamic", "AlwaysOnStartup", "OnErrorOnly")
ISSUING_METHODS: Final = ("est", "local_ca")
PKCS11_LIBRARY: Final = ("aziot_keys", "pkcs11_lib_path")
DPS_ENDPOINT: Final = "https://global.azure-devices-provisioning.net"

# In TOML they belong to the table above them unless they stand before the first one.
TOP_LEVEL: Final = (
    *("hostname", "parent_hostname", "trust_bundle_cert", _REPROVISIONING),
    *("allow_elevated_docker_permissions", "cloud_timeout_sec", "cloud_retries", "dps_trust_bundle"),
)

FOREIGN: Final[dict[Format, dict[Path, str]]] = {
    Format.TOML: {
        **{old: ".".join(new) for new, old in _RENAMED.values()},
        **{(*PROVISIONING, flag): _REPROVISIONING for flag in _FLAGS},
    },
    Format.YAML: {
        **{new: ".".join(old) for new, old in _RENAMED.values()},
        (_REPROVISIONING,): " or ".join(f"provisioning.{flag}" for flag in _FLAGS),
    },
}
"""Keys of the other file, each with what this one calls it."""


def where(setting: str, form: Format) -> Path:
    """The path of a setting in a file of this format."""
    if setting in _RENAMED:
        return _RENAMED[setting][0 if form is Format.TOML else 1]
    return (*(ATTESTATION if setting in _OF_ATTESTATION else PROVISIONING), setting)
