"""How one device reaches DPS and its hub: one TLS context, one transport, the ports of both."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from iotc_admin.device.endpoint import (
    MQTT_PORT,
    Endpoint,
    Transport,
    dps_endpoint,
    port_number,
    require_transport,
)
from iotc_admin.device.tls import device_context

if TYPE_CHECKING:
    from iotc_admin.pki.identity import DeviceIdentity


@dataclass(frozen=True)
class Route:
    """The hub is served at the ports of DPS."""

    dps: Endpoint
    mqtt_port: int
    transport: Transport
    context: ssl.SSLContext = field(repr=False)
    monotonic: Callable[[], float]

    @classmethod
    def of(
        cls,
        identity: DeviceIdentity,
        *,
        dps_host: str,
        mqtt_port: int | None,
        transport: Transport,
        ca_file: Path | None,
        monotonic: Callable[[], float],
    ) -> Route:
        """Raises `SettingsError` and `PkiError` for what cannot work, before anything is sent."""
        require_transport(transport)
        endpoint = dps_endpoint(dps_host)
        port = port_number(MQTT_PORT if mqtt_port is None else mqtt_port)
        return cls(endpoint, port, transport, device_context(identity, ca_file), monotonic)

    def hub(self, host: str) -> Endpoint:
        """The hub over HTTPS."""
        return Endpoint(host, self.dps.port)

    def mqtt(self, host: str) -> Endpoint:
        """DPS or a hub over this route's kind of MQTT."""
        return Endpoint(host, self.dps.port if self.transport == "mqtt-ws" else self.mqtt_port)
