"""From the file of 1.1 to that of 1.2 and later: what goes over, and each key that does not, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.errors import SettingsError
from iotc_admin.workflows.edge.format import Format, Path, where
from iotc_admin.workflows.edge.rendering import render
from iotc_admin.workflows.edge.settings import put, uri_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from iotc_admin.workflows.edge.reading import Document

_URIS: Final = ("identity_cert", "identity_pk", "edge_ca_cert", "edge_ca_pk", "trust_bundle")
_KEPT: Final = ("hostname", "parent_hostname", "agent", "connect", "listen", "watchdog", "moby_runtime")
_SETTINGS: Final = (
    "source",
    "global_endpoint",
    "id_scope",
    "method",
    "registration_id",
    *_URIS,
    "quick_start_days",
)
_SOCKETS: Final = {
    "fd://iotedge.mgmt.socket": "fd://aziot-edged.mgmt.socket",
    "fd://iotedge.socket": "fd://aziot-edged.workload.socket",
}
_FLAGS: Final = {
    ("provisioning", "dynamic_reprovisioning"): "Dynamic",
    ("provisioning", "always_reprovision_on_startup"): "AlwaysOnStartup",
}
_SYMMETRIC_KEY: Final = ("provisioning", "attestation", "symmetric_key")
_REASONS: Final = {
    ("homedir",): "1.2 and later keep their state in folders of their own",
    ("provisioning", "attestation", "device_id"): "DPS says the device id: it is the registration id",
    ("certificates", "auto_generated_ca_lifetime_days"): "there is an Edge CA: none is generated",
}


@dataclass(frozen=True)
class Conversion:
    """`text` is the new file. `dropped` and `noted` say for a key why it went, or what became of it."""

    text: str
    dropped: dict[str, str]
    noted: dict[str, str]


def convert(old: Document) -> Conversion:
    """The file of 1.1 as one of 1.2. SettingsError for a file that gives a device no identity through DPS."""
    _require_dps(old)
    taken: set[Path] = set()
    data: dict[str, Any] = {}
    noted: dict[str, str] = {}
    for name in ("hostname", "parent_hostname"):
        _move(old, (name,), data, (name,), taken)
    put(data, ("auto_reprovisioning_mode",), _mode(old, taken, noted))
    for setting in _SETTINGS:
        if setting != "quick_start_days" or old.get("edge_ca_cert") is None:
            _move(
                old,
                where(setting, Format.YAML),
                data,
                where(setting, Format.TOML),
                taken,
                _value_for(setting),
            )
    _attestation(old, data, taken, noted)
    for name in _KEPT:
        _move(old, (name,), data, (name,), taken, _without_nothing)
    dropped = {".".join(path): _why(path, old) for path in _leaves(old.data) if not _covered(path, taken)}
    dropped |= {".".join(path): "it has no value" for path in _empty(old.data) if _covered(path, taken)}
    return Conversion(render(data, Format.TOML), dropped, noted)


def _require_dps(old: Document) -> None:
    source = old.get("source")
    if not isinstance(old.at(("provisioning",)), dict) or source != "dps":
        message = f"provisioning.source is {source!r}: IoT Central lets devices in through DPS only"
        raise SettingsError(message, hint="write a new file: iotc-admin edge config ID --cert CERT --key KEY")


def _move(
    old: Document, source: Path, data: dict[str, Any], target: Path, taken: set[Path], change: Any = None
) -> None:
    value = old.at(source)
    if value is None:
        return
    taken.add(source)
    put(data, target, change(value) if change else value)


def _value_for(setting: str) -> Any:
    return (lambda value: uri_of(value) if isinstance(value, str) else value) if setting in _URIS else None


def _mode(old: Document, taken: set[Path], noted: dict[str, str]) -> str:
    # Where both are set, the old runtime let the dynamic one go first; where none is, it waited for an error.
    modes = [mode for path, mode in _FLAGS.items() if old.at(path) is True]
    mode = (modes or ["OnErrorOnly"])[0]
    for path in _FLAGS:
        if old.at(path) is not None:
            taken.add(path)
            noted[".".join(path)] = f'is now auto_reprovisioning_mode = "{mode}"'
    return mode


def _attestation(old: Document, data: dict[str, Any], taken: set[Path], noted: dict[str, str]) -> None:
    """The older forms of attestation, which this tool neither makes nor judges."""
    legacy = ("provisioning", "registration_id")
    if old.at(legacy) is not None and old.get("method") is None:
        _move(old, legacy, data, ("provisioning", "attestation", "registration_id"), taken)
        put(data, ("provisioning", "attestation", "method"), "tpm")
    if old.at(_SYMMETRIC_KEY) is not None:
        _move(old, _SYMMETRIC_KEY, data, _SYMMETRIC_KEY, taken, lambda value: {"value": value})
    method = data.get("provisioning", {}).get("attestation", {}).get("method")
    if method in ("symmetric_key", "tpm"):
        noted["provisioning.attestation"] = (
            f"attests by {method} as before: the group must be of that kind; "
            "for an X.509 identity write a new file: iotc-admin edge config ID --cert CERT --key KEY"
        )


def _without_nothing(value: Any) -> Any:
    """TOML has no null; sockets of systemd have other names now."""
    match value:
        case dict():
            return {name: _without_nothing(each) for name, each in value.items() if each is not None}
        case list():
            return [_without_nothing(each) for each in value if each is not None]
        case str():
            return _SOCKETS.get(value, value)
    return value


def _leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict) and (value or not path):
        for name, each in value.items():
            yield from _leaves(each, (*path, name))
    else:
        yield path


def _empty(data: dict[str, Any]) -> Iterator[Path]:
    return (path for path in _leaves(data) if _at(data, path) is None)


def _at(data: Any, path: Path) -> Any:
    for name in path:
        data = data[name]
    return data


def _covered(path: Path, taken: set[Path]) -> bool:
    return any(path[: len(each)] == each for each in taken)


def _why(path: Path, old: Document) -> str:
    if old.at(path) is None:
        return "it has no value"
    return _REASONS.get(path, "1.2 and later know no such key")
