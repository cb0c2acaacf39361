"""Behind the MQTT door: tells devices that register from devices of the hub, by their user names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from iotc_admin.emulator import hub
from iotc_admin.emulator.exchange import Request
from iotc_admin.emulator.faults import Dropped
from iotc_admin.emulator.hub_session import HubSession
from iotc_admin.emulator.sessions import NOT_AUTHORIZED, HangUp, Outgoing, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from iotc_admin.emulator.service import Service
    from iotc_admin.emulator.sessions import Connecting, Link, Session

_DPS_USER: Final = re.compile(r"([^/]+)/registrations/([^/]+)/(.*)", re.DOTALL)
_HUB_USER: Final = re.compile(r"[^/]+/([^/?]+)/?(\?.*)?", re.DOTALL)
_ANSWERS: Final = "$dps/registrations/res/#"
_REGISTER: Final = re.compile(r"\$dps/registrations/PUT/iotdps-register/\?\$rid=([^&$]+)")
_STATUS: Final = re.compile(
    r"\$dps/registrations/GET/iotdps-get-operationstatus/\?\$rid=([^&$]+)&operationId=([^&]+)"
)
_FAILURE: Final = 0x80


class ServiceBroker:
    """The sessions of one application."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def connect(self, connecting: Connecting, link: Link) -> Session:
        # Without a certificate there is nothing to judge later.
        if not connecting.chain:
            raise Refused(NOT_AUTHORIZED)
        if found := _DPS_USER.fullmatch(connecting.username):
            scope, registration_id, query = found.groups()
            if unquote(registration_id).lower() != connecting.client_id.lower():
                raise Refused(NOT_AUTHORIZED)
            return ProvisioningSession(
                self._service, f"/{scope}/registrations/{registration_id}", query, connecting
            )
        if found := _HUB_USER.fullmatch(connecting.username):
            return self._hub_session(unquote(found[1]), connecting, link)
        raise Refused(NOT_AUTHORIZED)

    def _hub_session(self, device_id: str, connecting: Connecting, link: Link) -> Session:
        state = self._service.state
        if device_id != connecting.client_id:
            raise Refused(NOT_AUTHORIZED)
        with state.transaction():
            try:
                hub.require_let_in(state, device_id, connecting.chain)
            except hub.NotLetIn:
                raise Refused(NOT_AUTHORIZED) from None
            session = HubSession(self._service, device_id, link, clean=connecting.clean_session)
            # Attached before the lock is free again: a device blocked from now on is found and dropped.
            state.links.attach(device_id, session)
        return session


class ProvisioningSession:
    """A device on its way in: each publish is one request to the provisioning service."""

    present = False

    def __init__(self, service: Service, path: str, query: str, connecting: Connecting) -> None:
        self._service = service
        self._path, self._query = path, query
        self._chain = connecting.chain
        self._listens = False

    def subscribe(self, topic_filter: str, qos: int) -> int:
        if topic_filter != _ANSWERS:
            return _FAILURE
        self._listens = True
        return min(qos, 1)

    def subscribed(self) -> Sequence[Outgoing]:
        return ()

    def unsubscribe(self, topic_filter: str) -> None:
        self._listens = self._listens and topic_filter != _ANSWERS

    def publish(self, topic: str, payload: bytes) -> Sequence[Outgoing]:
        if found := _REGISTER.fullmatch(topic):
            request = self._request("PUT", "/register", payload)
        elif found := _STATUS.fullmatch(topic):
            request = self._request("GET", f"/operations/{quote(unquote(found[2]), safe='')}", b"")
        else:
            raise HangUp
        try:
            reply = self._service.answer(request)
        except Dropped:
            raise HangUp from None
        waiting = reply.headers.get("retry-after")
        ending = "" if waiting is None else f"&retry-after={waiting}"
        answer = f"$dps/registrations/res/{reply.status}/?$rid={found[1]}{ending}"
        return (Outgoing(answer, reply.body, delay=reply.delay),) if self._listens else ()

    def received(self, receipt: str) -> None:
        """Its answers have no receipts."""

    def closed(self) -> None:
        """Nothing is kept of a device that only registered."""

    def _request(self, method: str, ending: str, body: bytes) -> Request:
        return Request(method, f"{self._path}{ending}", self._query, body=body, chain=self._chain)
