"""The way to the application: proxy, name, TLS, clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iotc_admin.client.probe import addresses
from iotc_admin.workflows.doctor.certificates import certificates, name, of_refusal
from iotc_admin.workflows.doctor.findings import Found, failed, ok, skipped, warning

if TYPE_CHECKING:
    from iotc_admin.client.probe import Visit
    from iotc_admin.workflows.doctor.case import Case

_PROXY_FIX: Final = (
    "check HTTPS_PROXY (and ALL_PROXY), with user and password in it if the proxy asks for them; "
    "or take the host out: NO_PROXY={host}"
)
# Below it nobody notices; above the other, a proof of possession is refused before it is signed.
_NOTICEABLE: Final = timedelta(seconds=30)
_TOO_FAR: Final = timedelta(minutes=5)
_FAULTS: Final = {
    "tls": (
        "something else than the application answers on this port, or a firewall breaks TLS",
        "check --app and its port",
    ),
    "settings": (
        "the environment cannot be used",
        "check SSL_CERT_FILE, SSLKEYLOGFILE, HTTPS_PROXY and ALL_PROXY in it",
    ),
    "silence": (
        "the server closed the connection or is overloaded, or a firewall is in between",
        "repeat in a minute",
    ),
}
_NOBODY_THERE: Final = (
    "nothing listens there, or a firewall drops what we send",
    "check --app, the network and the firewall",
)
_NTP: Final = "let NTP set the clock: timedatectl set-ntp true (Linux), w32tm /resync (Windows)"


def proxy(case: Case) -> Found:
    if case.app is None:
        return skipped("because check 1 failed")
    host, proxy = case.app.host, case.proxy
    if proxy is None:
        return ok("no proxy is set")
    if proxy.bypassed:
        return ok(f"none for {host}: NO_PROXY takes it out of {proxy.url}")
    if case.trusts and case.visit.failure in {"proxy", "settings"}:
        seen = f"{proxy.url} does not let us through to {host}: {case.visit.reason}"
        cause = "the proxy is not there, refuses us, or its address is wrong"
        return failed(seen, cause, _PROXY_FIX.format(host=host))
    return ok(f"{proxy.url} stands before {host}")


def dns(case: Case) -> Found:
    if case.app is None:
        return skipped("because check 1 failed")
    if case.proxied:
        return skipped("the proxy looks the name up")
    found = addresses(case.app.host)
    if isinstance(found, str):
        seen = f"{case.app.host} has no address: {found}"
        cause = "there is no application of this name, or DNS does not answer here"
        return failed(seen, cause, "check --app (IOTC_APP), and the resolver: nslookup azureiotcentral.com")
    return ok(f"{case.app.host} is {', '.join(found[:3])}")


def tls(case: Case) -> Found:
    if case.app is None or not case.trusts:
        return skipped("because check 1 failed")
    if blocker := _before_tls(case):
        return skipped(f"because check {blocker} failed")
    seen = case.visit
    if not seen.failure:
        return reached(seen, str(case.app))
    if seen.failure == "certificate":
        return of_refusal(seen, case.app.host, case.clock())
    cause, fix = _FAULTS.get(seen.failure, _NOBODY_THERE)
    return failed(f"no TLS with {case.app}: {seen.reason}", cause, fix)


def reached(visit: Visit, where: str) -> Found:
    """A server that is trusted, with what it showed."""
    leaf = next(iter(certificates(visit)), None)
    shown = f", {name(leaf.issuer)} vouches until {leaf.not_valid_after_utc:%Y-%m-%d}" if leaf else ""
    return ok(f"{where} is trusted ({visit.protocol}{shown})")


def clock(case: Case) -> Found:
    if case.app is None or not case.trusts:
        return skipped("because check 1 failed")
    if case.visit.failure:
        return skipped(f"because check {_before_tls(case) or 4} failed")
    if case.skew is None:
        return warning("the application did not tell its time", "the answer has no Date", "repeat")
    ahead = "ahead of" if case.skew < timedelta() else "behind"
    off = abs(case.skew)
    seen = f"this machine's clock is {_span(off)} {ahead} the application's"
    if case.application_clock and off > _NOTICEABLE:
        return warning(
            seen, "IOTC_CLOCK=application: its time counts", "leave IOTC_CLOCK out but for rehearsals"
        )
    if off <= _NOTICEABLE:
        return ok("this machine's clock and the application's agree")
    cause = "certificates made here would carry dates that are not true, and tokens seem to live on or to end"
    return (failed if off > _TOO_FAR else warning)(seen, cause, _NTP)


def _before_tls(case: Case) -> int | None:
    """The check that failed already, by what the visit met."""
    match case.visit.failure:
        case "proxy":
            return 2
        case "settings" if case.proxied:
            return 2
        case "name":
            return 3
    return None


def _span(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
