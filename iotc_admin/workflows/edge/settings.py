"""What a device's configuration file is to say, independent of its format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from iotc_admin.errors import SettingsError
from iotc_admin.workflows.edge.format import DPS_ENDPOINT, PKCS11_LIBRARY, Format, where
from iotc_admin.workflows.edge.rendering import render

PKCS11: Final = "pkcs11:"
_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True)
class EdgeSettings:
    """An X.509 identity that provisions through DPS. Files are named by URIs, as the device finds them.

    Without `registration_id` the runtime takes the common name of the certificate.
    """

    id_scope: str
    identity_cert: str
    identity_pk: str
    registration_id: str | None = None
    global_endpoint: str = DPS_ENDPOINT
    hostname: str | None = None
    edge_ca_cert: str | None = None
    edge_ca_pk: str | None = None
    trust_bundle: str | None = None
    pkcs11_library: str | None = None

    def render(self, form: Format) -> str:
        """The text of the file. SettingsError for what this format cannot say."""
        return render(self._data(form), form)

    def _data(self, form: Format) -> dict[str, Any]:
        # The order of the file is the order of these lines.
        first = {"auto_reprovisioning_mode": "Dynamic"} if form is Format.TOML else {}
        data: dict[str, Any] = {**({"hostname": self.hostname} if self.hostname else {}), **first}
        values: dict[str, str | None] = {
            "trust_bundle": self.trust_bundle,
            "source": "dps",
            "global_endpoint": self.global_endpoint,
            "id_scope": self.id_scope,
            "method": "x509",
            "registration_id": self.registration_id,
            "identity_cert": self.identity_cert,
            "identity_pk": self.identity_pk,
            "edge_ca_cert": self.edge_ca_cert,
            "edge_ca_pk": self.edge_ca_pk,
        }
        for setting, value in values.items():
            if value is not None:
                put(data, where(setting, form), value)
        if self.pkcs11_library:
            put(data, PKCS11_LIBRARY, self.pkcs11_library)
        if form is Format.YAML:
            data["provisioning"]["dynamic_reprovisioning"] = True
        return data


def put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value, with the tables around it."""
    *tables, name = path
    for each in tables:
        data = data.setdefault(each, {})
    data[name] = value


def is_uri(text: str) -> bool:
    """Whether it names a file or a key by a URI."""
    return text.startswith((PKCS11, "file:"))


def is_absolute(path: str) -> bool:
    """Whether it is an absolute path, Windows' too."""
    return path.startswith("/") or _WINDOWS.match(path) is not None


def uri_of(path: str) -> str:
    """The file URI of an absolute path, Windows' too; a URI stays. SettingsError if it is relative."""
    if is_uri(path):
        return path
    if not is_absolute(path):
        message = f"{path!r} is a relative path, and the runtime has no folder to start from"
        raise SettingsError(message, hint="name the file by its absolute path on the device")
    if _WINDOWS.match(path):
        return "file:///" + quote(path.replace("\\", "/"), safe="/:")
    return "file://" + quote(path)


def path_of(uri: str) -> Path | None:
    """The file that a file URI or an absolute path names; None for anything else."""
    if uri.startswith("/"):
        return Path(uri)
    if not uri.startswith("file:///"):
        return None
    return Path(unquote(uri.removeprefix("file://")))
