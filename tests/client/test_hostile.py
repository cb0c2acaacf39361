"""Answers that echo, never end, drip, inflate or cannot be parsed."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from iotc_admin import BadRequest, IotcError, ServiceDown, UnexpectedAnswer
from iotc_admin.client._body import LARGEST

from .test_retry import GROUP_JSON, TOKEN, Script, json

SECRET = "c2VjcmV0"


def raised(*answers: httpx.Response) -> IotcError:
    with pytest.raises(IotcError) as caught:
        Script(*answers).client(attempts=1).enrollment_groups.get("g")
    return caught.value


@pytest.mark.parametrize(
    "echo", [TOKEN.text, SECRET, f"sig={SECRET}", quote(TOKEN.text), f"x?a=sig%3D{SECRET}"]
)
@pytest.mark.parametrize(
    "answer",
    [
        lambda echo: json({"error": {"code": "C", "message": echo}}, 400),
        lambda echo: json({"error": {"code": echo, "message": "m"}}, 400),
        lambda echo: json({"error": {"code": "C", "message": "m", "requestId": echo}}, 500),
        lambda echo: httpx.Response(302, headers={"location": f"https://evil.example/?t={echo}"}),
        lambda echo: httpx.Response(200, text=f"<html>{echo}"),
    ],
)
def test_a_token_that_is_echoed_is_not_repeated(echo: str, answer: object) -> None:
    error = raised(answer(echo))  # type: ignore[operator]

    assert SECRET not in repr(vars(error)) + str(error)


@pytest.mark.parametrize("content", [b"<html>Please log in</html>", b"OK", b"\xff"])
def test_a_page_of_somebody_else_is_no_success_where_nothing_is_expected(content: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        Script(httpx.Response(200, content=content)).client().enrollment_groups.delete("g")


def endless() -> Iterator[bytes]:
    while True:
        yield b" " * 1_000_000


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.Response(200, content=endless()),
        lambda: httpx.Response(
            200, content=gzip.compress(b" " * (LARGEST + 1)), headers={"content-encoding": "gzip"}
        ),
    ],
)
def test_an_answer_that_does_not_end_is_given_up(answer: object) -> None:
    script = Script()

    def send(request: httpx.Request) -> httpx.Response:
        script.requests.append(request)
        return answer()  # type: ignore[operator,no-any-return]

    client = Script().client()
    client._http = httpx.Client(transport=httpx.MockTransport(send))
    client.enrollment_groups._driver.http = client._http  # type: ignore[attr-defined]

    with pytest.raises(UnexpectedAnswer, match="does not end"):
        client.enrollment_groups.get("g")
    assert len(script.requests) == 1


def test_a_compressed_answer_is_read_all_the_same() -> None:
    packed = gzip.compress(b'{"id":"g","displayName":"g","type":"iot","attestation":{"type":"x509"}}')
    script = Script(httpx.Response(200, content=packed, headers={"content-encoding": "gzip"}))

    assert script.client().enrollment_groups.get("g").id == "g"


@pytest.mark.parametrize(
    "date", ["Mon, 23 Nov 2026 00:10:00 -0000", "Mon, 23 Nov 2026 00:10:00 +99999999", "x", ""]
)
def test_an_odd_date_header_breaks_nothing(date: str) -> None:
    script = Script(json(GROUP_JSON, date=date))

    assert script.client().enrollment_groups.get("g").id == "g"


@pytest.mark.parametrize("after", ["-1", "NaN", "9" * 18, "Mon, 23 Nov 2026 00:10:00 -0000", "1e9", "\x00"])
def test_an_odd_retry_after_breaks_nothing(after: str) -> None:
    error = raised(json({"error": {"code": "C", "message": "m"}}, 503, retry_after=after))

    assert isinstance(error, ServiceDown)


def test_a_wait_beyond_patience_is_not_waited_for() -> None:
    script = Script(json({"error": {"code": "C", "message": "m"}}, 429, retry_after="9" * 12))

    with pytest.raises(IotcError):
        script.client().enrollment_groups.get("g")
    assert not script.slept


def test_an_error_nested_without_end_is_an_answer_that_cannot_be_read() -> None:
    assert isinstance(raised(httpx.Response(400, content=b'{"error":' * 50_000)), UnexpectedAnswer)
    assert isinstance(raised(httpx.Response(500, content=b"[" * 50_000)), ServiceDown)


@pytest.mark.parametrize("charset", ["hex", "idna", "undefined", "utf-7"])
def test_an_odd_charset_breaks_nothing(charset: str) -> None:
    headers = {"content-type": f"text/html; charset={charset}"}

    assert isinstance(raised(httpx.Response(400, content=b"\xff<html>", headers=headers)), UnexpectedAnswer)


def test_a_message_of_the_service_is_kept() -> None:
    error = raised(json({"error": {"code": "C", "message": "Nothing secret here."}}, 422))

    assert isinstance(error, BadRequest)
    assert "Nothing secret here." in str(error)
