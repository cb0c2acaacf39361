"""The requests of `az iot central`, header by header and byte by byte, through the real door."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.emulator.world import App, Authority, base64_der, base64_pem, pem, sha1

if TYPE_CHECKING:
    from collections.abc import Iterator


class Az:
    """Sends what az sends: no merge-patch, no Content-Type without a body, etags in the body."""

    def __init__(self, app: App) -> None:
        trust = ssl.create_default_context(cafile=str(app.emulator.ca_file))
        self.app = app
        self.http = httpx.Client(base_url=app.emulator.app, verify=trust)

    def send(self, method: str, path: str, body: Any = None, version: str = "2022-07-31") -> httpx.Response:
        headers = {
            "User-Agent": "IoTPlatformCliExtension/0.25.0",
            "Accept-Encoding": "gzip, deflate",
            "Accept": "*/*",
            "Authorization": self.app.emulator.api_token,
            "x-ms-client-request-id": "9f6e2f4e-8f2b-11ee-b9d1-0242ac120002",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else json.dumps(body).encode()
        url = f"/api{path}?api-version={version}"
        return self.http.request(method, url, content=content, headers=headers)


@pytest.fixture
def az(app: App) -> Iterator[Az]:
    client = Az(app)
    with client.http:
        yield client


def test_az_creates_a_group_and_proves_possession(az: Az, root: Authority) -> None:
    group = "/enrollmentGroups/g1"
    body = {"displayName": "Group one", "attestation": {"type": "x509"}, "type": "iot", "enabled": True}
    assert az.send("PUT", group, body).status_code == 200
    uploaded = az.send("PUT", f"{group}/certificates/primary", {"certificate": base64_pem(root.certificate)})
    assert uploaded.json()["info"]["sha1Thumbprint"] == sha1(root.certificate)
    code = az.send("POST", f"{group}/certificates/primary/generateVerificationCode")
    assert code.request.headers["content-length"] == "0"
    assert "content-type" not in code.request.headers
    proof = root.sign(code.json()["verificationCode"])
    verified = az.send("POST", f"{group}/certificates/primary/verify", {"certificate": base64_pem(proof)})
    assert (verified.status_code, verified.content) == (204, b"")
    assert az.send("GET", f"{group}/certificates/primary").json()["verified"] is True


def test_az_sends_null_when_no_certificate_was_given(az: Az) -> None:
    az.app.group("g1")

    answer = az.send("POST", "/enrollmentGroups/g1/certificates/secondary/verify", {"certificate": None})
    assert answer.status_code == 422
    assert set(answer.json()["error"]) == {"code", "message", "requestId", "time"}


def test_az_creates_a_symmetric_group_with_an_etag(az: Az) -> None:
    body = {"displayName": "S", "attestation": {"type": "symmetricKey"}, "type": "iot", "enabled": True}

    assert az.send("PUT", "/enrollmentGroups/s", {**body, "etag": "x"}).status_code == 200


def test_az_updates_a_group_with_plain_json(az: Az) -> None:
    az.app.group("g1")

    answer = az.send("PATCH", "/enrollmentGroups/g1", {"displayName": "Renamed", "enabled": True})
    assert answer.json()["displayName"] == "Renamed"


def test_az_sends_the_whole_device_back(az: Az) -> None:
    body = {"displayName": "azdev1", "enabled": True, "simulated": False}
    device = {**az.send("PUT", "/devices/azdev1", body).json(), "displayName": "renamed", "enabled": False}
    updated = az.send("PATCH", "/devices/azdev1", device)

    assert updated.status_code == 200
    assert updated.json()["enabled"] is False
    assert az.send("PATCH", "/devices/azdev1", device).status_code == 412


def test_az_lists_devices_and_templates_with_the_preview_version(az: Az) -> None:
    assert az.send("GET", "/devices", version="2022-06-30-preview").json() == {"value": []}
    templates = az.send("GET", "/deviceTemplates", version="2022-06-30-preview").json()["value"]
    assert [each["displayName"] for each in templates] == ["Temperature Controller", "Thermostat"]


@pytest.mark.parametrize("encode", [base64_pem, base64_der, pem])
def test_az_attests_with_whatever_the_file_held(az: Az, root: Authority, encode: Any) -> None:
    az.send("PUT", "/devices/d", {})
    leaf = root.sign("d")
    content = {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": encode(leaf)}}}}

    assert az.send("PUT", "/devices/d/attestation", content).status_code == 200
    shown = az.send("GET", "/devices/d/attestation").json()
    assert shown["x509"]["clientCertificates"]["primary"]["info"]["sha1Thumbprint"] == sha1(leaf)


def test_az_deletes(az: Az) -> None:
    az.app.group("g1")

    assert az.send("DELETE", "/enrollmentGroups/g1").status_code == 204
    assert az.send("GET", "/enrollmentGroups/g1").json()["error"]["code"] == "NotFound"
