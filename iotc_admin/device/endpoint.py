"""Hides where DPS and hubs are: host names, ports, and what may stand in an address or a topic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from iotc_admin.errors import SettingsError, UnexpectedAnswer

DPS_HOST: Final = "global.azure-devices-provisioning.net"
HTTPS_PORT: Final = 443
MQTT_PORT: Final = 8883
_HIGHEST_PORT: Final = 65535

Transport = Literal["https", "mqtt", "mqtt-ws"]

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
_HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_ID_SCOPE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# What may stand in a topic, a user name and a path without changing what they say.
_DEVICE_ID: Final = re.compile(r"[A-Za-z0-9._:@=-]{0,127}[A-Za-z0-9_:@=-]")


@dataclass(frozen=True)
class Endpoint:
    """A host and the port it is reached at; `host` without the brackets of an IPv6 address."""

    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" if self.port == HTTPS_PORT else f"https://{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def dps_endpoint(dps_host: str) -> Endpoint:
    """`host` or `host:port`; SettingsError for anything else."""
    found = _HOST_AND_PORT.fullmatch(dps_host)
    host = found["host"] if found else ""
    bracketed = host.startswith("[")
    if not found or not (bracketed or _NAME.fullmatch(host)):
        message = f"{dps_host!r} is no DPS host"
        raise SettingsError(message, hint=f"as in {DPS_HOST} or localhost:8443, without https://")
    return Endpoint(host.strip("[]"), port_number(int(found["port"] or HTTPS_PORT)))


def port_number(port: int) -> int:
    """`port` itself, if it is one."""
    if not 0 < port <= _HIGHEST_PORT:
        raise SettingsError(f"{port} is no port", hint=f"a port is a number from 1 to {_HIGHEST_PORT}")
    return port


def require_transport(transport: str) -> None:
    """SettingsError for a transport that there is not."""
    if transport not in get_args(Transport):
        message = f"{transport!r} is no transport"
        raise SettingsError(message, hint=f"use one of {', '.join(get_args(Transport))}")


def require_id_scope(id_scope: str) -> str:
    """`id_scope` itself, if it may be one."""
    if not _ID_SCOPE.fullmatch(id_scope):
        message = f"{id_scope!r} is no ID scope"
        raise SettingsError(message, hint="as in 0ne00112233: iotc-admin device credentials ID prints it")
    return id_scope


def hub_name(name: object, operation: str) -> str:
    """The assigned hub, if it is a plain host name: a certificate is shown to no other place."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    message = f"{operation}: the assigned hub is no host name: {str(name)[:100]!r}"
    raise UnexpectedAnswer(message, operation=operation, hint="check --dps-host")


def hub_device_id(device_id: object, operation: str) -> str:
    """The assigned device id, if it may stand in an address and a topic."""
    if isinstance(device_id, str) and _DEVICE_ID.fullmatch(device_id):
        return device_id
    message = f"{operation}: the assigned device id is none: {str(device_id)[:100]!r}"
    raise UnexpectedAnswer(message, operation=operation, hint="check --dps-host")
