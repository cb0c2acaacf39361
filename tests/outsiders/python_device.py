"""A device with Microsoft's SDK for Python: does what the JSON lines on stdin ask, tells what happened.

    python_device.py CERTIFICATE KEY CA

The SDK needs another paho-mqtt than anything newer does, so this runs in an environment of its own.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

# Not installed where types are checked.
sdk: Any = import_module("azure.iot.device")

_BODY = "Response body: "
_one_at_a_time = Lock()


def tell(event: str, **details: Any) -> None:
    with _one_at_a_time:
        sys.stdout.write(json.dumps({"event": event, **details}) + "\n")
        sys.stdout.flush()


class Bodies(logging.Handler):
    """The SDK's exceptions leave out what the service said; its debug log has it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[str] = []
        logger = logging.getLogger("azure.iot.device.provisioning.pipeline.pipeline_stages_provisioning")
        logger.setLevel(logging.DEBUG)
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        _, found, body = record.getMessage().partition(_BODY)
        if found:
            self.seen.append(body.removeprefix("b'").removesuffix("'"))


def causes(failure: BaseException | None) -> list[BaseException]:
    return [failure, *causes(failure.__cause__)] if failure else []


def told(failure: BaseException) -> dict[str, list[str]]:
    chain = causes(failure)
    return {"errors": [type(each).__name__ for each in chain], "texts": [str(each) for each in chain]}


class Device:
    """One device, and what it can be asked to do."""

    def __init__(self, certificate: str, key: str, ca: str) -> None:
        self._x509 = sdk.X509(certificate, key)
        self._trust = Path(ca).read_text(encoding="ascii")
        self._hub: Any = None

    def register(
        self, host: str, scope: str, registration: str, model: str | None = None, over: str = "mqtt"
    ) -> None:
        client = sdk.ProvisioningDeviceClient.create_from_x509_certificate(
            provisioning_host=host,
            registration_id=registration,
            id_scope=scope,
            x509=self._x509,
            server_verification_cert=self._trust,
            websockets=over == "websocket",
        )
        if model:
            client.provisioning_payload = {"modelId": model}
        result = client.register()
        state = result.registration_state
        tell(
            "registered",
            status=result.status,
            hub=state.assigned_hub,
            device=state.device_id,
            substatus=state.sub_status,
        )

    def connect(
        self,
        hub: str,
        device: str,
        model: str | None = None,
        over: str = "mqtt",
        *,
        listening: bool = False,
    ) -> None:
        self._hub = sdk.IoTHubDeviceClient.create_from_x509_certificate(
            x509=self._x509,
            hostname=hub,
            device_id=device,
            server_verification_cert=self._trust,
            connection_retry_interval=1,
            websockets=over == "websocket",
            **({"product_info": model} if model else {}),
        )
        self._hub.on_connection_state_change = lambda: tell("line", up=self._hub.connected)
        self._hub.on_background_exception = lambda failure: tell("background", **told(failure))
        if listening:
            # The SDK loses a message that arrives before it has any handler.
            self._listen()
        self._hub.connect()
        tell("connected")

    def listen(self) -> None:
        self._listen()
        tell("listening")

    def _listen(self) -> None:
        self._hub.on_method_request_received = self._answer
        self._hub.on_message_received = lambda message: tell(
            "message", payload=message.data.decode(), properties=message.custom_properties
        )
        self._hub.on_twin_desired_properties_patch_received = lambda patch: tell("desired", patch=patch)

    def send(
        self, payload: Any, component: str | None = None, properties: dict[str, str] | None = None
    ) -> None:
        message = sdk.Message(json.dumps(payload), content_encoding="utf-8", content_type="application/json")
        message.custom_properties = {
            **({"$.sub": component} if component else {}),
            **(properties or {}),
        }
        self._hub.send_message(message)
        tell("sent")

    def twin(self) -> None:
        tell("twin", **self._hub.get_twin())

    def report(self, properties: dict[str, Any]) -> None:
        self._hub.patch_twin_reported_properties(properties)
        tell("reported")

    def close(self) -> None:
        self._hub.shutdown()
        tell("closed")

    def _answer(self, request: Any) -> None:
        tell("method", name=request.name, request=request.payload)
        answer = sdk.MethodResponse.create_from_method_request(request, 200, {"echo": request.payload})
        self._hub.send_method_response(answer)


def main() -> None:
    device, bodies = Device(*sys.argv[1:]), Bodies()
    for line in sys.stdin:
        asked = json.loads(line)
        doing: Callable[..., None] = getattr(device, asked.pop("do"))
        try:
            doing(**asked)
        except Exception as refusal:  # noqa: BLE001 - whatever the SDK raises is what is asked for
            tell("refused", **told(refusal), bodies=bodies.seen)
    sys.stdout.flush()
    # The SDK's threads may be waiting for an answer that will never come.
    os._exit(0)


if __name__ == "__main__":
    main()
