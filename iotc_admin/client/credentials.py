"""How a request proves who sends it: an API token of the application, or Entra ID.

Hidden here: the form of API tokens (their `se` counts milliseconds), and that azure-identity is imported
only when it is used.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import parse_qs

from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

ENTRA_SCOPE: Final = "https://apps.azureiotcentral.com/.default"

_PREFIX: Final = "SharedAccessSignature "
# A token is shown once and lives a year by default: a fortnight is time to have a new one made.
_NEARLY: Final = timedelta(days=14)
# The year 2001 in milliseconds; anything below is a time in seconds, as other Azure services write it.
_LEAST_MILLISECONDS: Final = 10**12
# azure-identity hands out tokens of about one hour; this one is replaced in good time before its end.
_ENTRA_MARGIN: Final = timedelta(minutes=5)

_log = logging.getLogger("iotc_admin.client")


class Credential(Protocol):
    """What `Client` needs of a credential."""

    @property
    def entra(self) -> bool:
        """Whether the token opens more than one application, and so may go to Microsoft's hosts only."""
        ...

    def header(self, now: datetime) -> str:
        """The value of `Authorization`. Raises `SettingsError` if there is none to be had."""
        ...


@dataclass(frozen=True)
class ApiToken:
    """An API token of one application, `SharedAccessSignature sr=...&sig=...&skn=...&se=...`.

    Raises `SettingsError` when its form or its `se` is wrong.
    """

    text: str = field(repr=False)
    entra: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text.strip())
        if not self.text.startswith(_PREFIX):
            raise _malformed("it does not begin with 'SharedAccessSignature '")
        if re.search(r"[^\x21-\x7e]", self.text.removeprefix(_PREFIX)):
            raise _malformed("it holds white space, a line break or a character outside ASCII")
        missing = [name for name in ("sr", "sig", "skn", "se") if name not in self._parts]
        if missing:
            raise _malformed(f"it has no {', '.join(missing)}")
        _ = self.expires

    @property
    def _parts(self) -> dict[str, list[str]]:
        return parse_qs(self.text.removeprefix(_PREFIX))

    @property
    def name(self) -> str:
        """The token's id in the application; not a secret."""
        return self._parts["skn"][0]

    @property
    def expires(self) -> datetime:
        """When the token ends, by its `se`."""
        se = self._parts["se"][0]
        if not re.fullmatch(r"[0-9]{1,15}", se):
            raise _malformed("its se is not a number of milliseconds")
        if int(se) < _LEAST_MILLISECONDS:
            raise _malformed("its se counts seconds, IoT Central counts milliseconds")
        try:
            return datetime.fromtimestamp(int(se) / 1000, UTC)
        except (OverflowError, ValueError) as error:
            raise _malformed("its se is beyond the calendar") from error

    def header(self, now: datetime) -> str:
        """The token itself. Raises `SettingsError` when it has expired by `now`."""
        if self.expires <= now:
            message = f"the API token {self.name!r} expired on {self.expires:%Y-%m-%d %H:%M} UTC"
            raise SettingsError(message, hint="make a new one in IoT Central: Permissions > API tokens")
        return self.text

    def warning(self, now: datetime) -> str:
        """A sentence when the token ends soon, else nothing; one that has ended is refused by `header`."""
        if not timedelta() < self.expires - now <= _NEARLY:
            return ""
        return f"the API token {self.name!r} expires on {self.expires:%Y-%m-%d %H:%M} UTC"


def _malformed(why: str) -> SettingsError:
    return SettingsError(
        f"the API token is malformed: {why}",
        hint="copy the whole text that IoT Central showed when the token was made: "
        "SharedAccessSignature sr=...&sig=...&skn=...&se=...",
    )


class EntraToken:
    """A token of Entra ID. Without a credential of azure-identity: `DefaultAzureCredential`."""

    entra = True

    def __init__(self, credential: TokenCredential | None = None) -> None:
        self._credential = credential
        self._token: AccessToken | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self._credential is None else type(self._credential).__name__})"

    def header(self, now: datetime) -> str:
        """A bearer token, fresh for minutes to come. Raises `SettingsError` if Entra ID gives none."""
        if self._token is None or self._token.expires_on <= (now + _ENTRA_MARGIN).timestamp():
            self._token = self._fetch()
        return f"Bearer {self._token.token}"

    def _fetch(self) -> AccessToken:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - costs 160 ms, used by few
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415

        if self._credential is None:
            self._credential = DefaultAzureCredential()
        try:
            return self._credential.get_token(ENTRA_SCOPE)
        except AzureError as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            message = f"Entra ID gave no token: {reason}"
            raise SettingsError(
                message, hint="run 'az login', or give an API token with --token-file or IOTC_API_TOKEN"
            ) from None
