"""What is repeated, when, and what never is. The wire is played by a script of answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from iotc_admin import (
    AnswerLost,
    ApiToken,
    AsyncClient,
    Client,
    Conflict,
    NotFound,
    Pacer,
    RateLimited,
    ServiceDown,
    Slot,
    Unreachable,
    X509VerificationCertificate,
)
from iotc_admin.contract.enrollment_groups import EnrollmentGroup, EnrollmentGroupPatch, GroupAttestation

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TOKEN = ApiToken("SharedAccessSignature sr=a&sig=c2VjcmV0&skn=ci&se=1893456000000")
GROUP = EnrollmentGroup(display_name="g", type="iot", attestation=GroupAttestation(type="x509"))
GROUP_JSON = {"id": "g", "displayName": "g", "type": "iot", "attestation": {"type": "x509"}, "enabled": True}

Answer = httpx.Response | Exception


class Script:
    """A transport that gives these answers in this order, and remembers what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **options: Any) -> Client:
        return Client(
            "myapp",
            TOKEN,
            transport=httpx.MockTransport(self),
            clock=lambda: NOW,
            sleep=self.slept.append,
            pacer=Pacer("test", ahead=1000),
            **options,
        )

    def async_client(self) -> AsyncClient:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        return AsyncClient(
            "myapp",
            TOKEN,
            transport=httpx.MockTransport(self),
            clock=lambda: NOW,
            sleep=sleep,
            pacer=Pacer("test", ahead=1000),
        )


def json(body: object, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def refused(status: int, code: str = "Code", **headers: str) -> httpx.Response:
    return json({"error": {"code": code, "message": "No."}}, status, **headers)


def lost() -> httpx.ReadTimeout:
    return httpx.ReadTimeout("silence")


@pytest.mark.parametrize("failure", [lost(), refused(503), refused(429), httpx.ReadError("cut")])
def test_a_read_is_repeated(failure: Answer) -> None:
    script = Script(failure, json(GROUP_JSON))

    assert script.client().enrollment_groups.get("g").id == "g"
    assert len(script.requests) == 2


def test_retry_after_is_honoured_to_the_second() -> None:
    script = Script(refused(429, retry_after="7"), json(GROUP_JSON))

    script.client().enrollment_groups.get("g")

    assert script.slept == [7.0]


def test_retry_after_may_be_a_date_judged_by_the_services_own_clock() -> None:
    script = Script(
        refused(429, retry_after="Mon, 23 Nov 2020 10:00:09 GMT", date="Mon, 23 Nov 2020 10:00:00 GMT"),
        json(GROUP_JSON),
    )

    script.client().enrollment_groups.get("g")

    assert script.slept == [9.0]


def test_a_wait_of_an_hour_is_left_to_the_caller() -> None:
    script = Script(refused(429, retry_after="3600"))

    with pytest.raises(RateLimited) as caught:
        script.client().enrollment_groups.get("g")

    assert caught.value.retry_after == 3600
    assert not script.slept


def test_without_retry_after_the_waits_are_jittered_and_grow_within_bounds() -> None:
    script = Script(*[refused(429) for _ in range(6)])

    with pytest.raises(RateLimited):
        script.client().enrollment_groups.get("g")

    assert len(script.requests) == 6
    assert all(0 <= wait <= 0.5 * 2**place for place, wait in enumerate(script.slept))


POSTS_AND_PATCHES: list[tuple[str, Callable[[Client], object]]] = [
    (
        "verify",
        lambda c: c.enrollment_groups.verify("g", Slot.PRIMARY, X509VerificationCertificate(certificate="x")),
    ),
    ("patch", lambda c: c.enrollment_groups.update("g", EnrollmentGroupPatch(enabled=False))),
]


@pytest.mark.parametrize(("name", "send"), POSTS_AND_PATCHES)
@pytest.mark.parametrize(("failure", "error"), [(lost(), AnswerLost), (refused(500), ServiceDown)])
def test_what_may_have_happened_and_must_not_happen_twice_is_not_repeated(
    name: str, send: Callable[[Client], object], failure: Answer, error: type[Exception]
) -> None:
    script = Script(failure)

    with pytest.raises(error):
        send(script.client())

    assert len(script.requests) == 1


@pytest.mark.parametrize(("name", "send"), POSTS_AND_PATCHES)
def test_what_was_refused_for_the_rate_did_not_happen_and_is_repeated(
    name: str, send: Callable[[Client], object]
) -> None:
    script = Script(refused(429), json(GROUP_JSON))

    send(script.client())

    assert len(script.requests) == 2


def test_asking_for_a_code_again_is_safe() -> None:
    script = Script(lost(), json({"verificationCode": "ABC"}))

    code = script.client().enrollment_groups.generate_verification_code("g", Slot.PRIMARY)

    assert code.verification_code == "ABC"


def test_a_put_is_repeated() -> None:
    script = Script(lost(), json(GROUP_JSON))

    script.client().enrollment_groups.create("g", GROUP)

    assert [request.method for request in script.requests] == ["PUT", "PUT"]


@pytest.mark.parametrize("failure", [lost(), refused(500)])
def test_not_found_after_a_delete_whose_answer_was_lost_means_that_it_worked(failure: Answer) -> None:
    script = Script(failure, refused(404))

    script.client().enrollment_groups.delete("g")

    assert len(script.requests) == 2


@pytest.mark.parametrize("before", [(), (refused(429),), (httpx.ConnectTimeout("no"),)])
def test_not_found_after_a_delete_that_certainly_did_nothing_is_an_error(before: Iterable[Answer]) -> None:
    script = Script(*before, refused(404))

    with pytest.raises(NotFound):
        script.client().enrollment_groups.delete("g")


def test_what_never_left_is_tried_three_times() -> None:
    script = Script(*[httpx.ConnectError("refused") for _ in range(9)])

    with pytest.raises(Unreachable):
        script.client().enrollment_groups.update("g", EnrollmentGroupPatch(enabled=True))

    assert len(script.requests) == 3


def test_a_conflict_is_never_repeated_blindly() -> None:
    script = Script(refused(412))

    with pytest.raises(Conflict):
        script.client().enrollment_groups.get("g")

    assert len(script.requests) == 1


async def _with_async_client(script: Script) -> None:
    async with script.async_client() as client:
        assert (await client.enrollment_groups.get("g")).id == "g"
        await client.enrollment_groups.delete("g")
        assert [group.id async for group in client.enrollment_groups.list()] == ["g", "g"]


def test_the_async_client_walks_the_same_road() -> None:
    import asyncio

    link = "https://myapp.azureiotcentral.com/api/enrollmentGroups?x=1"
    script = Script(
        refused(429, retry_after="2"),
        json(GROUP_JSON),
        lost(),
        refused(404),
        json({"value": [GROUP_JSON], "nextLink": link}),
        json({"value": [GROUP_JSON]}),
    )

    asyncio.run(_with_async_client(script))

    assert script.slept[0] == 2.0
    assert str(script.requests[-1].url) == link
