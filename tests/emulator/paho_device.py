"""A device with paho-mqtt at the emulator's hub: real TLS, real packets."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paho.mqtt.enums import CallbackAPIVersion

from iotc_admin import DeviceIdentity
from iotc_admin.emulator import Emulator

Message = tuple[str, bytes]
_PATIENCE = 5.0


def tls(emulator: Emulator, identity: DeviceIdentity | None, directory: Path) -> ssl.SSLContext:
    """A client context with this certificate."""
    context = ssl.create_default_context(cafile=emulator.ca_file)
    if identity is not None and identity.key is not None:
        file = directory / f"{id(identity)}.pem"
        key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(key + identity.fullchain_pem)
        context.load_cert_chain(file)
    return context


class PahoDevice:
    """One connection attempt and what follows; `refused` is the CONNACK code, if it was not accepted."""

    def __init__(
        self,
        emulator: Emulator,
        context: ssl.SSLContext,
        device_id: str = "pump-1",
        *,
        clean: bool = False,
        websocket: bool = False,
        username: str = "",
    ) -> None:
        self._messages: list[Message] = []
        self._arrived = threading.Condition()
        self.methods: Callable[[str, bytes], tuple[int, bytes] | None] = lambda *_: None
        self.connack: int | None = None
        self.session_present = False
        self.gone = threading.Event()
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=device_id,
            protocol=mqtt.MQTTv311,
            clean_session=clean,
            transport="websockets" if websocket else "tcp",
            reconnect_on_failure=False,
        )
        if websocket:
            self.client.ws_set_options(path="/$iothub/websocket")
        self.client.username_pw_set(username or f"localhost/{device_id}/?api-version=2021-04-12")
        self.client.tls_set_context(context)
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        self.client.on_disconnect = lambda *_: self.gone.set()
        port = int(emulator.dps_host.partition(":")[2]) if websocket else emulator.mqtt_port
        self.client.connect("localhost", port)
        self.client.loop_start()
        self.wait(lambda: self.connack is not None or self.gone.is_set())

    @property
    def connected(self) -> bool:
        return self.connack == 0 and not self.gone.is_set()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def subscribe(self, *topics: str, qos: int = 1) -> list[int]:
        granted: list[int] = []

        def on_subscribe(_c: object, _u: object, _mid: int, codes: list[Any], _p: object) -> None:
            granted.extend(code.value for code in codes)

        self.client.on_subscribe = on_subscribe
        for topic in topics:
            self.client.subscribe(topic, qos)
        self.wait(lambda: len(granted) == len(topics))
        return granted

    def publish(self, topic: str, payload: Any = b"", qos: int = 1) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.client.publish(topic, data, qos).wait_for_publish(_PATIENCE)

    def telemetry(self, payload: Any, properties: str = "") -> None:
        self.publish(f"devices/{self.client._client_id.decode()}/messages/events/{properties}", payload)

    def next(self, prefix: str) -> Message:
        """The first message whose topic begins like this; taken off the list."""
        self.wait(lambda: any(topic.startswith(prefix) for topic, _ in self._messages))
        with self._arrived:
            found = next(each for each in self._messages if each[0].startswith(prefix))
            self._messages.remove(found)
        return found

    def messages(self, prefix: str = "") -> list[Message]:
        with self._arrived:
            return [each for each in self._messages if each[0].startswith(prefix)]

    def twin(self) -> dict[str, Any]:
        self.publish("$iothub/twin/GET/?$rid=g", b" ")
        twin: dict[str, Any] = json.loads(self.next("$iothub/twin/res/200/?$rid=g")[1])
        return twin

    def wait(self, true: Callable[[], bool]) -> None:
        """Until it is true; AssertionError if it stays false."""
        deadline = time.monotonic() + _PATIENCE
        while not true():
            assert time.monotonic() < deadline, self._messages
            with self._arrived:
                self._arrived.wait(0.01)

    def _on_connect(self, _c: object, _u: object, flags: Any, code: Any, _p: object) -> None:
        self.session_present = flags.session_present
        # paho maps the code 5 of MQTT 3.1.1 to the 135 of MQTT 5.
        self.connack = {0: 0, 135: 5}.get(code.value, code.value)

    def _on_message(self, _c: object, _u: object, message: mqtt.MQTTMessage) -> None:
        if message.topic.startswith("$iothub/methods/POST/"):
            name, _, rid = message.topic.removeprefix("$iothub/methods/POST/").partition("/?$rid=")
            if answer := self.methods(unquote(name), bytes(message.payload)):
                self.client.publish(f"$iothub/methods/res/{answer[0]}/?$rid={rid}", answer[1], 0)
        with self._arrived:
            self._messages.append((message.topic, bytes(message.payload)))
            self._arrived.notify_all()


def properties_of(topic: str) -> dict[str, str]:
    """The properties at the end of a cloud-to-device topic."""
    return dict(parse_qsl(topic.rpartition("/")[2]))
