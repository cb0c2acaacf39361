"""Hides Azure Key Vault: URLs, keys, signatures, and what a vault says when it refuses.

Its network is Azure's own client, opened for each question and closed again. A key's version is fixed when it
is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.policies import RetryPolicy
from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient, KeyOperation
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from iotc_admin.errors import NotAllowedHere, PkiError, SettingsError
from iotc_admin.pki.remote import Algorithm, der, digest, remote_key

if TYPE_CHECKING:
    from azure.keyvault.keys import KeyVaultKey
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from iotc_admin.pki.keys import KeyAccess, SigningKey

DOMAINS: Final = ("vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net", "managedhsm.azure.net")

_URL: Final = re.compile(
    r"https://(?P<vault>[a-z0-9-]{1,63})\.(?P<domain>[a-z.]+)/keys/(?P<name>[a-z0-9-]{1,127})"
    r"(?:/(?P<version>[0-9a-z]{1,64}))?",
    re.IGNORECASE | re.ASCII,
)
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
_TIMEOUTS: Final = {"connection_timeout": 20, "read_timeout": 60}
_LONGEST_WAIT: Final = 10.0  # seconds between two tries, whatever the vault asks for
_HINTS: Final = {
    401: "run 'az login', or set AZURE_CLIENT_ID and the like",
    403: "it takes get and sign (as in the role Key Vault Crypto User); look at the vault's firewall, too",
    404: "check vault, name and version: az keyvault key show --id URL",
    429: "the vault takes no more for now: repeat in a minute",
}
_SETTINGS: Final = (401, 403, 404)
_SHOWN: Final = 300


class _Patience(RetryPolicy[Any, Any]):
    """Tries again a few times, and waits as the vault asks, but not for hours."""

    def get_retry_after(self, response: Any) -> float | None:
        wait = super().get_retry_after(response)
        return wait and min(wait, _LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class _Vault:
    """A key's place, and who asks there."""

    where: str
    url: str
    name: str
    version: str | None
    credential: Any = field(repr=False)
    transport: Callable[[], Any] | None = field(repr=False)

    def get(self) -> KeyVaultKey:
        """The key as the vault has it. Raises `SettingsError` or `PkiError` for what cannot sign."""
        with self._said(), KeyClient(self.url, self.credential, **self._options()) as client:
            return client.get_key(self.name, self.version)

    def sign(self, key: KeyVaultKey, algorithm: Algorithm, message: bytes) -> bytes:
        """A signature made in the vault; only the hash is sent there."""
        wanted = SignatureAlgorithm(algorithm.value)
        with self._said(key), CryptographyClient(key, self.credential, **self._options()) as client:
            signature = client.sign(wanted, digest(algorithm, message)).signature
        return signature if algorithm is Algorithm.RS256 else der(signature)

    def _options(self) -> dict[str, Any]:
        own = {} if self.transport is None else {"transport": self.transport()}
        patience = _Patience(retry_total=3, retry_backoff_max=_LONGEST_WAIT)
        return {"retry_policy": patience, "permit_redirects": False, **_TIMEOUTS, **own}

    @contextmanager
    def _said(self, key: KeyVaultKey | None = None) -> Iterator[None]:
        """What the vault or Azure's client says comes out as our own error."""
        try:
            yield
        except HttpResponseError as failure:
            status = failure.status_code or HTTPStatus.UNAUTHORIZED
            what = _words(status, key) if failure.status_code else "Entra ID gives no token"
            message = f"{self.where}: {what}: {_short(failure)}"
            hint = _HINTS.get(status, "repeat; if it stays, look at the vault in Azure's portal")
            raise (SettingsError if status in _SETTINGS else PkiError)(message, hint=hint) from None
        except AzureError as failure:
            message = f"{self.where}: the vault cannot be reached: {_short(failure)}"
            raise PkiError(
                message, hint="check the vault's name, the network and its proxy, then repeat"
            ) from None
        except ValueError as failure:
            # Azure's client refuses to give a token to a host that is not in the domain it is for.
            message = f"{self.where}: what answers there is not to be trusted: {_short(failure)}"
            raise PkiError(
                message, hint="check the URL; is there a proxy that answers in the vault's place?"
            ) from None


def open_key(
    where: str,
    password: bytes | None,  # noqa: ARG001 - a vault knows people, not passwords
    access: KeyAccess,
    public_key: PublicKeyTypes | None,  # noqa: ARG001 - a vault tells it itself
) -> SigningKey:
    """The key of a vault or managed HSM, `https://VAULT.vault.azure.net/keys/NAME[/VERSION]`.

    Raises `SettingsError` for the URL, for who asks and for what is not there, `PkiError` for what the vault
    does not do with it.
    """
    vault = _vault(where, access)
    key = vault.get()
    _require_signs(vault, key)
    return remote_key(where, _public_key(where, key), partial(vault.sign, key))


def _vault(where: str, access: KeyAccess) -> _Vault:
    parts = _URL.fullmatch(where)
    if parts is None:
        message = f"{where} is not the URL of a key in a vault"
        raise SettingsError(message, hint="write it as in https://VAULT.vault.azure.net/keys/NAME")
    domain = parts["domain"].lower()
    if domain not in DOMAINS:
        message = f"{where} is not at a key vault of Azure: they end in {', '.join(DOMAINS)}"
        raise SettingsError(message, hint="write it as in https://VAULT.vault.azure.net/keys/NAME")
    url = f"https://{parts['vault'].lower()}.{domain}"
    credential = access.credential or DefaultAzureCredential()
    return _Vault(where, url, parts["name"], parts["version"], credential, access.transport)


def _require_signs(vault: _Vault, key: KeyVaultKey) -> None:
    """Unless the key is the one asked for, and may sign."""
    given, asked = (key.id or "").lower(), f"{vault.url}/keys/{vault.name}/{vault.version or ''}".lower()
    if given != asked if vault.version else not given.startswith(asked):
        message = f"{vault.where}: the vault gave another key, {key.id}"
        raise PkiError(message, hint="check the URL; is there a proxy that answers in the vault's place?")
    if key.properties.enabled is False:
        raise SettingsError(f"{vault.where}: the key is disabled", hint="enable it, or name another version")
    if KeyOperation.sign not in (key.key_operations or ()):
        allowed = ", ".join(str(each) for each in key.key_operations or ()) or "nothing"
        message = f"{vault.where}: the key may not sign, it is for {allowed}"
        raise SettingsError(message, hint="make a key with the operation sign")


def _public_key(where: str, key: KeyVaultKey) -> PublicKeyTypes:
    told: Any = key.key
    kind, curve = (str(getattr(each, "value", each) or "") for each in (key.key_type, told.crv))
    kind = kind.removesuffix("-HSM")
    try:
        if kind == "RSA":
            return rsa.RSAPublicNumbers(_number(told.e), _number(told.n)).public_key()
        if kind == "EC" and curve in _CURVES:
            return ec.EllipticCurvePublicNumbers(
                _number(told.x), _number(told.y), _CURVES[curve]
            ).public_key()
    except (TypeError, ValueError) as failure:
        raise PkiError(f"{where}: the vault tells a broken public key", hint="repeat") from failure
    message = f"{where}: a key of kind {f'{kind} {curve}'.strip()} cannot be used from there"
    raise NotAllowedHere(message, hint="use EC P-256, EC P-384 or RSA")


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _words(status: int, key: KeyVaultKey | None) -> str:
    """What a status means here, and what a key's dates may have to do with it."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "the vault has had too many requests (429)"
    if status == HTTPStatus.NOT_FOUND:
        return "the vault has no such key (404)"
    what = "sign" if key else "show the key"
    dates = key and [key.properties.not_before, key.properties.expires_on]
    until = (
        f", which is for {' to '.join(f'{each:%Y-%m-%d}' if each else 'any' for each in dates)}"
        if dates
        else ""
    )
    return f"the vault does not {what} ({status}){until}"


def _short(failure: Exception) -> str:
    """The first line of what was said, with nothing in it that steers a terminal."""
    said = getattr(getattr(failure, "error", None), "message", None) or str(failure)
    first = next(iter(str(said).strip().splitlines()), type(failure).__name__)
    plain = "".join(each if each.isprintable() else "?" for each in first)
    return plain[:_SHOWN]
