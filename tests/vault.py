"""A stand-in for Azure Key Vault on a local HTTPS port: the published API to get a key and to sign.

Requests and replies as in Microsoft's REST reference: GET /keys/NAME[/VERSION], POST /keys/NAME/VERSION/sign,
and 401 with a challenge to whoever brings no token. Azure's own library signs for it, by a local JWK.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from requests.adapters import HTTPAdapter

from iotc_admin import CertificateAuthority
from iotc_admin.pki import store
from iotc_admin.pki.keys import SigningKey

HOST = "plant.vault.azure.net"
VERSION = "0123456789abcdef0123456789abcdef"
TOKEN = "a-token-for-the-vault"


def url(name: str, version: str = "") -> str:
    return f"https://{HOST}/keys/{name}" + (f"/{version}" if version else "")


@dataclass
class Stored:
    """A key in the vault, and how it answers."""

    jwk: dict[str, Any]
    attributes: dict[str, Any]
    operations: list[str]
    signs_with: CryptographyClient


@dataclass
class Vault:
    """The stand-in: its keys, what came in, and how often it refuses to `get` and to `sign`."""

    port: int = 0
    ca_file: Path = Path()
    keys: dict[str, Stored] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    refusals: dict[str, list[tuple[int, str, dict[str, str]]]] = field(default_factory=dict)
    resource: str = "https://vault.azure.net"
    kid_host: str = HOST
    slept: list[float] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        name: str,
        key: SigningKey,
        *,
        operations: tuple[str, ...] = ("sign", "verify"),
        **attributes: Any,
    ) -> None:
        whole = jwk(key)
        public = {
            part: value for part, value in whole.items() if part not in ("d", "p", "q", "dp", "dq", "qi")
        }
        signer = CryptographyClient.from_jwk({**whole, "kid": "local", "key_ops": ["sign"]})
        self.keys[name] = Stored(
            {part: text(value) if isinstance(value, bytes) else value for part, value in public.items()},
            {"enabled": True, "created": 1700000000, "updated": 1700000000, **attributes},
            list(operations),
            signer,
        )

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], Any]:
        self.seen.append((method, path, headers, body))
        if headers.get("authorization") != f"Bearer {TOKEN}":
            login = "https://login.microsoftonline.com/tenant"
            challenge = f'Bearer authorization="{login}", resource="{self.resource}"'
            return 401, {"WWW-Authenticate": challenge}, error("Unauthorized", "AKV10000: it has no token.")
        parts = urlsplit(path)
        what = "sign" if parts.path.endswith("/sign") else "get"
        if refusals := self.refusals.get(what):
            status, message, more = refusals.pop(0)
            return status, more, error("Refused", message)
        _, _, name, *rest = parts.path.split("/")
        found, version = self.keys.get(name), rest[0] if rest else ""
        if found is None or version not in ("", VERSION) or "api-version=" not in parts.query:
            return 404, {}, error("KeyNotFound", f"A key with (name/id) {name} was not found.")
        kid = f"https://{self.kid_host}/keys/{name}/{VERSION}"
        if (method, what) == ("POST", "sign") and version:
            asked = json.loads(body)
            done = found.signs_with.sign(SignatureAlgorithm(asked["alg"]), raw(asked["value"]))
            return 200, {}, {"kid": kid, "value": text(done.signature)}
        assert (method, what) == ("GET", "get")
        return (
            200,
            {},
            {"key": {"kid": kid, "key_ops": found.operations, **found.jwk}, "attributes": found.attributes},
        )

    def refuse(self, what: str, status: int, message: str, times: int = 99, **headers: str) -> None:
        self.refusals[what] = [
            (status, message, {name.replace("_", "-"): value for name, value in headers.items()})
        ] * times

    def signatures(self) -> int:
        return sum(1 for method, *_, body in self.seen if method == "POST" and body)

    def transport(self) -> Transport:
        return Transport(self)

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """As a credential of azure-identity: notes for what a token was asked."""
        self.asked.append({"scopes": scopes, **options})
        return AccessToken(TOKEN, int((datetime.now(UTC) + timedelta(hours=1)).timestamp()))


class ToStandIn(HTTPAdapter):
    """The vault's name leads to the local port; TLS is checked against that name."""

    def __init__(self, vault: Vault) -> None:
        self.vault = vault
        super().__init__()

    def get_connection_with_tls_context(self, request: Any, *_: Any, **__: Any) -> Any:
        host = urlsplit(request.url).hostname
        return self.poolmanager.connection_from_host(
            "127.0.0.1",
            self.vault.port,
            scheme="https",
            pool_kwargs={
                "assert_hostname": host,
                "server_hostname": host,
                "cert_reqs": "CERT_REQUIRED",
                "ca_certs": str(self.vault.ca_file),
            },
        )


class Transport(RequestsTransport):  # type: ignore[misc]
    """Azure's own transport over HTTPS; it waits for nothing, but notes for how long it would have."""

    def __init__(self, vault: Vault) -> None:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", ToStandIn(vault))
        self.vault = vault
        super().__init__(session=session, session_owner=True, connection_verify=str(vault.ca_file))

    def sleep(self, duration: float) -> None:
        self.vault.slept.append(duration)


def jwk(key: SigningKey) -> dict[str, Any]:
    """The key as a JWK, numbers as bytes."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers, size = key.private_numbers(), (key.curve.key_size + 7) // 8
        curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[key.curve.name]
        public = numbers.public_numbers
        named = {"x": public.x, "y": public.y, "d": numbers.private_value}
        return {
            "kty": "EC",
            "crv": curve,
            **{name: value.to_bytes(size, "big") for name, value in named.items()},
        }
    rsa = key.private_numbers()
    values = {
        "n": rsa.public_numbers.n,
        "e": rsa.public_numbers.e,
        "d": rsa.d,
        "p": rsa.p,
        "q": rsa.q,
        "dp": rsa.dmp1,
        "dq": rsa.dmq1,
        "qi": rsa.iqmp,
    }
    return {
        "kty": "RSA",
        **{name: value.to_bytes((value.bit_length() + 7) // 8, "big") for name, value in values.items()},
    }


def text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def raw(value: str) -> bytes:
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


@contextmanager
def running_vault(folder: Path, name: str = HOST) -> Iterator[Vault]:
    """A vault behind TLS, its certificate for `name` by a CA of its own."""
    vault = Vault()
    now = datetime.now(UTC)
    ca = CertificateAuthority.create("vault CA", now=now)
    store.save_authority(folder, "vault-ca", ca)
    store.save_identity(folder, "server", ca.issue_server([name], now=now))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, document = vault.answer(self.command, self.path, headers, self.rfile.read(length))
            body = json.dumps(document).encode()
            self.send_response(status)
            for key, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **more,
            }.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server_fullchain.pem", folder / "server_key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    vault.port, vault.ca_file = server.server_address[1], folder / "vault-ca_cert.pem"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield vault
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
