"""The checks in their order, and what none of them may say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from iotc_admin.client.probe import masked
from iotc_admin.workflows.doctor import files, network, provisioning
from iotc_admin.workflows.doctor.findings import Finding, Found, failed, ok
from iotc_admin.workflows.doctor.role import role, throttle
from iotc_admin.workflows.doctor.token import token

if TYPE_CHECKING:
    from iotc_admin.workflows.doctor.case import Case

_SHORTEST_SECRET: Final = 8


def examine(case: Case) -> Iterator[Finding]:
    """Each check in turn, as soon as it is done. Nothing is changed, and no secret is in any of them."""
    done: dict[int, Found] = {}

    def failed_before(number: int) -> bool:
        return number in done and done[number].state == "failed"

    checks: tuple[tuple[str, Callable[[Case], Found]], ...] = (
        ("settings", settings),
        ("proxy", network.proxy),
        ("DNS", network.dns),
        ("TLS", network.tls),
        ("clock", network.clock),
        ("token", token),
        ("role", lambda case: role(case, failed_before)),
        ("throttle", throttle),
        ("DPS over HTTPS", provisioning.https),
        ("DPS over MQTT", provisioning.mqtt),
        ("ledger", files.ledger),
        ("file modes", files.modes),
    )
    for number, (name, check) in enumerate(checks, 1):
        done[number] = _without_secrets(_looked(check, case), case.token)
        yield Finding(number, name, done[number])


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing failed; warnings are allowed."""
    return all(each.state != "failed" for each in findings)


def _looked(check: Callable[[Case], Found], case: Case) -> Found:
    """What the check found; a fault of its own keeps none of the others from being made."""
    try:
        return check(case)
    except Exception as error:  # noqa: BLE001 - whoever is in trouble needs the other checks
        cause = "this is a fault in iotc-admin"
        return failed(f"the check broke off: {type(error).__name__}", cause, "please report it")


def settings(case: Case) -> Found:
    told = tuple(f"{each.name}: {each.value} ({each.source})" for each in case.settings)
    if not case.problems:
        return replace(ok(f"{len(told)} settings"), details=told)
    first, *others = case.problems
    more = [f"{each.what}: {each.fix}" for each in others]
    found = failed(first.what, "a setting is missing or cannot be used", first.fix)
    return replace(found, details=(*more, *told))


def _without_secrets(found: Found, token: str | None) -> Found:
    """Whatever a message from elsewhere may have carried along."""
    secrets = _secrets(token or "")

    def clean(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return masked(text)

    return Found(
        found.state,
        clean(found.seen),
        clean(found.cause),
        clean(found.fix),
        tuple(clean(each) for each in found.details),
    )


def _secrets(token: str) -> list[str]:
    signature = token.partition("sig=")[2].partition("&")[0]
    forms = [token.strip(), signature, unquote(signature)]
    return [each for each in forms if len(each) >= _SHORTEST_SECRET]
