"""A device at the emulator's provisioning service and hub, spoken to without sockets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from iotc_admin.emulator.exchange import Request
from tests.emulator.world import Answer, App, Authority, answer_of, authority, base64_pem

DPS = "api-version=2021-06-01"
HUB = "api-version=2020-03-13"

Chain = tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class Arriving:
    """One device with its certificates, leaf first."""

    app: App
    chain: Chain
    id: str = "pump-1"

    def put(self, body: Any = None, *, scope: str = "", query: str = DPS, raw: bytes | None = None) -> Answer:
        """The first request of a registration."""
        data = raw if raw is not None else json.dumps(body or {"registrationId": self.id}).encode()
        path = f"/{scope or self.app.emulator.id_scope}/registrations/{self.id}/register"
        return answer_of(self.app.emulator.answer(Request("PUT", path, query, {}, data, chain=self.chain)))

    def poll(self, operation: str) -> Answer:
        path = f"/{self.app.emulator.id_scope}/registrations/{self.id}/operations/{operation}"
        return answer_of(self.app.emulator.answer(Request("GET", path, DPS, chain=self.chain)))

    def register(self, model: str | None = None) -> dict[str, Any]:
        """The registration state, once it is told."""
        named = {} if model is None else {"payload": {"modelId": model}}
        first = self.put({"registrationId": self.id, **named})
        assert first.status == 202, first.json
        state: dict[str, Any] = self.poll(first.json["operationId"]).json["registrationState"]
        return state

    def refusal(self) -> str:
        """Why the registration is refused at once: the code and the message."""
        answer = self.put()
        assert answer.status == answer.json["errorCode"] // 1000
        return f"{answer.json['errorCode']} {answer.json['message']}"

    def send(self, payload: Any, **headers: str) -> Answer:
        """One message to the hub."""
        path, data = f"/devices/{self.id}/messages/events", json.dumps(payload).encode()
        return answer_of(
            self.app.emulator.answer(Request("POST", path, HUB, headers, data, chain=self.chain))
        )


def issued(app: App, by: Authority, name: str = "pump-1", *above: Authority) -> Arriving:
    """A device with a certificate of this CA, which sends those of the CAs `above` along."""
    return Arriving(app, (by.sign(name), *(each.certificate for each in above)), name)


def verified(app: App, group: str, *authorities: Authority) -> str:
    """A group with these CAs in its slots, all of them verified."""
    path = app.group(group)
    for slot, each in zip(("primary", "secondary"), authorities, strict=False):
        body = {"certificate": base64_pem(each.certificate), "verified": True}
        assert app.put(f"{path}/certificates/{slot}", body).status == 200
    return path


def self_signed(name: str = "pump-1", *, not_before: datetime | None = None) -> x509.Certificate:
    own = authority(name, ca=False)
    return own.sign(name, not_before=not_before)


def attest(app: App, device: str, **certificates: x509.Certificate) -> None:
    """A device with an individual enrollment."""
    slots = {slot: {"certificate": base64_pem(each)} for slot, each in certificates.items()}
    assert app.put(f"/devices/{device}", {}).status == 200
    body = {"type": "x509", "x509": {"clientCertificates": slots}}
    assert app.put(f"/devices/{device}/attestation", body).status == 200
