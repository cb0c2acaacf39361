"""The hub's HTTPS interface: one message per request. No sockets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote

from iotc_admin.emulator import hub
from iotc_admin.emulator.dps import Refusal
from iotc_admin.emulator.exchange import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotc_admin.emulator.exchange import Request
    from iotc_admin.emulator.hub import Message
    from iotc_admin.emulator.state import State

TELEMETRY: Final = "Hub_Telemetry"

_PATH: Final = re.compile(r"/devices/([^/]+)/messages/events/?")
_APPLICATION_PROPERTY: Final = "iothub-app-"
_SYSTEM_PROPERTIES: Final = {
    "iothub-messageid": "$.mid",
    "iothub-correlationid": "$.cid",
    "iothub-contenttype": "$.ct",
    "iothub-contentencoding": "$.ce",
    "dt-subject": "$.sub",
}


def operation_of(request: Request) -> str | None:
    """The name of the hub's operation that a request asks for, if it is one."""
    return TELEMETRY if request.method == "POST" and _PATH.fullmatch(request.path) else None


def take(state: State, request: Request) -> Message:
    """The message in a request, kept. Refusal tells the device why not."""
    found = _PATH.fullmatch(request.path)
    device_id = unquote(found[1]) if found else ""
    if "api-version" not in parse_qs(request.query):
        raise Refusal(400002, "The api-version is missing.")
    if len(request.body) > hub.LARGEST_MESSAGE:
        raise Refusal(413001, f"MessageTooLarge: more than {hub.LARGEST_MESSAGE} bytes.")
    with state.transaction():
        try:
            hub.require_let_in(state, device_id, request.chain)
        except hub.NotLetIn:
            raise Refusal(401003, "IotHubUnauthorized") from None
        return hub.take_telemetry(state, device_id, request.body, _properties(request.headers))


def taken() -> Reply:
    return Reply(204)


def _properties(headers: Mapping[str, str]) -> dict[str, str]:
    system = {key: headers[name] for name, key in _SYSTEM_PROPERTIES.items() if name in headers}
    own = {
        name.removeprefix(_APPLICATION_PROPERTY): value
        for name, value in headers.items()
        if name.startswith(_APPLICATION_PROPERTY)
    }
    return system | own
