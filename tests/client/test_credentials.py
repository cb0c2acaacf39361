"""Tokens: their form, their end, and where they may go."""

from __future__ import annotations

import sys
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from iotc_admin import ApiToken, Client, EntraToken, SettingsError, UnexpectedAnswer
from iotc_admin.client.credentials import ENTRA_SCOPE

from .test_retry import Script

NOW = datetime(2026, 11, 23, tzinfo=UTC)
GOOD = "SharedAccessSignature sr=app-1&sig=c2VjcmV0LXNpZ25hdHVyZQ%3D%3D&skn=ci&se={}"


def token_ending(moment: datetime) -> str:
    return GOOD.format(int(moment.timestamp() * 1000))


def test_a_token_knows_its_name_and_its_end_in_milliseconds() -> None:
    token = ApiToken(token_ending(NOW + timedelta(days=100)) + "\r\n")

    assert token.name == "ci"
    assert token.expires == NOW + timedelta(days=100)
    assert token.header(NOW) == token_ending(NOW + timedelta(days=100))
    assert token.warning(NOW) == ""


def test_an_expired_token_is_refused_before_anything_is_sent() -> None:
    script = Script()
    transport = httpx.MockTransport(script)
    client = Client("myapp", ApiToken(token_ending(NOW)), transport=transport, clock=lambda: NOW)

    with pytest.raises(SettingsError, match="'ci' expired on 2026-11-23 00:00 UTC") as caught:
        client.devices.get("d")

    assert "Permissions > API tokens" in caught.value.hint
    assert not script.requests


def test_a_token_that_ends_soon_says_so() -> None:
    token = ApiToken(token_ending(NOW + timedelta(days=13)))

    assert token.warning(NOW) == "the API token 'ci' expires on 2026-12-06 00:00 UTC"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not begin"),
        ("Bearer abc", "does not begin"),
        ("sr=a&sig=b&skn=c&se=1893456000000", "does not begin"),
        ("SharedAccessSignature sr=a&sig=b&skn=c", "has no se"),
        ("SharedAccessSignature sr=a&skn=c&se=1893456000000", "has no sig"),
        ("SharedAccessSignature sr=a&sig=b&skn=c&se=tomorrow", "not a number"),
        ("SharedAccessSignature sr=a&sig=b&skn=c&se=1893456000", "counts seconds"),
        ("SharedAccessSignature sr=a&sig=b&skn=c&se=999999999999999", "beyond the calendar"),
        ("SharedAccessSignature sr=a&sig=b&skn=c&se=1893456000000\nX: y", "white space"),
    ],
)
def test_a_malformed_token_says_what_is_wrong_and_shows_nothing_of_it(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        ApiToken(text)

    assert "sig=b" not in str(caught.value)


def test_only_form_and_se_count_not_what_the_signature_looks_like() -> None:
    assert ApiToken("SharedAccessSignature sr=x&sig=!!&skn=a%20b&se=1893456000000").name == "a b"


def test_secrets_are_in_no_repr_and_no_traceback() -> None:
    token = ApiToken(token_ending(NOW + timedelta(days=100)))
    client = Client(
        "myapp", token, transport=httpx.MockTransport(lambda _: httpx.Response(401)), clock=lambda: NOW
    )
    with pytest.raises(UnexpectedAnswer) as caught:
        client.devices.get("d")
    shown = "".join(traceback.format_exception(caught.value))

    assert "c2VjcmV0" not in repr(token) + repr(client) + shown


class Entra:
    """Stands where azure-identity's credentials stand."""

    def __init__(self, *tokens: AccessToken | Exception) -> None:
        self.tokens = list(tokens)
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        token = self.tokens.pop(0)
        if isinstance(token, Exception):
            raise token
        return token


def test_an_entra_token_is_kept_until_five_minutes_before_its_end() -> None:
    entra = Entra(
        AccessToken("one", int(NOW.timestamp()) + 3600), AccessToken("two", int(NOW.timestamp()) + 9999)
    )
    token = EntraToken(entra)

    assert token.header(NOW) == "Bearer one"
    assert token.header(NOW + timedelta(minutes=54)) == "Bearer one"
    assert token.header(NOW + timedelta(minutes=56)) == "Bearer two"
    assert entra.scopes == [ENTRA_SCOPE, ENTRA_SCOPE]
    assert "two" not in repr(token)


def test_entra_without_a_token_says_what_to_do() -> None:
    token = EntraToken(Entra(ClientAuthenticationError("no account\nlong story")))

    with pytest.raises(SettingsError, match=r"gave no token: no account$") as caught:
        token.header(NOW)

    assert "az login" in caught.value.hint


@pytest.mark.parametrize(
    "app",
    [
        "https://localhost:8443",
        "https://myapp.azureiotcentral.com.evil.example",
        "https://azureiotcentral.com",
    ],
)
def test_an_entra_token_goes_to_microsofts_hosts_only(app: str) -> None:
    with pytest.raises(SettingsError, match=r"is not sent to .*: it is no host of Microsoft's"):
        Client(app, EntraToken(Entra()))


def test_azure_identity_is_not_imported_for_an_api_token() -> None:
    import subprocess

    program = (
        "import sys, iotc_admin as i; "
        "i.Client('a', i.ApiToken('SharedAccessSignature sr=a&sig=b&skn=c&se=1893456000000')); "
        "sys.exit('azure.identity' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("app", "url"),
    [
        ("myapp", "https://myapp.azureiotcentral.com"),
        (" MyApp ", "https://myapp.azureiotcentral.com"),
        ("myapp.azureiotcentral.com", "https://myapp.azureiotcentral.com"),
        ("https://myapp.azureiotcentral.com/", "https://myapp.azureiotcentral.com"),
        ("https://myapp.azureiotcentral.com:443/api", "https://myapp.azureiotcentral.com"),
        ("https://localhost:8443", "https://localhost:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_an_application_is_named_by_subdomain_or_url(app: str, url: str) -> None:
    with Client(app, ApiToken(token_ending(NOW))) as client:
        assert client.app == url


@pytest.mark.parametrize(
    "app",
    [
        "",
        "my app",
        "my_app",
        "-app",
        "myapp.example.com",
        "http://localhost:8443",
        "ftp://myapp",
        "https://",
        "https://user:secret@myapp.azureiotcentral.com",
        "https://myapp.azureiotcentral.com/devices",
        "https://myapp.azureiotcentral.com/?x=1",
        "https://myapp:port",
    ],
)
def test_what_cannot_be_an_application_is_refused(app: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Client(app, ApiToken(token_ending(NOW)))

    assert "secret" not in str(caught.value)


def test_a_ca_file_that_is_none_is_refused(tmp_path: Any) -> None:
    garbage = tmp_path / "ca.pem"
    garbage.write_text("garbage")

    for file in (garbage, tmp_path, tmp_path / "missing.pem"):
        with pytest.raises(SettingsError, match="cannot be used as a trust anchor"):
            Client("myapp", ApiToken(token_ending(NOW)), ca_file=file)
