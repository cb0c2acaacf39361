"""`iotc-admin doctor`: numbered checks, each with cause and fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from iotc_admin.cli.keyfiles import epilog
from iotc_admin.cli.settings import Session, entra_token
from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from iotc_admin.workflows.doctor.case import Case, Problem, Setting
    from iotc_admin.workflows.doctor.findings import Finding

T = TypeVar("T")
Line = list[tuple[str, str]]

app = typer.Typer(rich_markup_mode=None, add_completion=False)

_STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
# What holds where nothing is said.
_DEFAULTS: Final = {
    "app": "none",
    "ca_file": "the system's trust store alone",
    "token_file": "none: Entra ID is asked",
    "output": "table",
    "id_scope": "asked when needed",
    "mqtt_port": "8883",
}


@app.command(
    epilog=epilog(
        "iotc-admin doctor --app myapp",
        "list(iotc_admin.workflows.doctor.examination.examine(case))",
        one="a check failed",
    )
)
def doctor(
    ctx: typer.Context,
    dps_host: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="Where DPS is (IOTC_DPS_HOST).")
    ] = None,
    mqtt_port: Annotated[
        int | None, typer.Option(metavar="PORT", min=1, max=65535, help="(IOTC_MQTT_PORT); default 8883.")
    ] = None,
) -> None:
    """Look for what stands between this machine and the application: numbered checks, with cause and fix.

    Settings and where each came from, proxy, DNS, TLS (names the CA that is missing), clock, token, role,
    throttle, DPS over HTTPS and MQTT, the ledger, file modes. Nothing is changed, and no secret is shown. A
    check that needs one that failed is skipped. Exits 0 if none failed; warnings are allowed.
    """
    session, gathered = _session(ctx)
    case = gathered.case(session, dps_host, mqtt_port)
    from iotc_admin.workflows.doctor.examination import examine, healthy

    findings: list[Finding] = []
    if session.output.json:
        findings += examine(case)
        document = {"checks": [_document(each) for each in findings], "healthy": healthy(findings)}
        session.output.result(document, ())
    else:
        session.output.coloured(None, _lines(examine(case), findings))
    if not healthy(findings):
        raise typer.Exit(1)


@dataclass
class _Gathered:
    """The settings, read one by one: what cannot be used is a finding, no end."""

    problems: list[Problem] = field(default_factory=list)

    def read(self, setting: Callable[[], T]) -> T | None:
        """The setting; None, and a problem more, if it cannot be used."""
        from iotc_admin.workflows.doctor.case import Problem

        try:
            return setting()
        except SettingsError as error:
            self.problems.append(Problem(str(error), error.hint))
            return None

    def case(self, session: Session, dps_host: str | None, mqtt_port: int | None) -> Case:
        from iotc_admin.cli.config_file import config_file
        from iotc_admin.client._application import utc_now
        from iotc_admin.client.origin import Origin
        from iotc_admin.client.pacing import Pacer
        from iotc_admin.device.endpoint import DPS_HOST, MQTT_PORT, dps_endpoint
        from iotc_admin.workflows.doctor.case import Case

        app = self.read(lambda: Origin.of(session.app))
        dps = self.read(lambda: dps_endpoint(session.dps_host(dps_host)))
        port = self.read(lambda: session.mqtt_port(mqtt_port) or MQTT_PORT)
        trusts = self.read(lambda: _check_trust(session)) is not None
        token_file = self.read(lambda: session.token_file)
        ledger = self.read(lambda: session.ledger_file)
        token, unreadable = _token(session)
        return Case(
            settings=_settings(session, {"ledger": ledger, "dps_host": DPS_HOST}, dps_host, mqtt_port),
            problems=tuple(self.problems),
            app=app,
            token=token,
            token_problem=unreadable,
            entra=entra_token(),
            trusts=trusts,
            ca_file=session.ca_file if trusts else None,
            dps=dps,
            mqtt_port=port,
            ledger=ledger,
            private=tuple(each for each in (config_file(), token_file) if each is not None),
            pacer=lambda: Pacer(str(app), file=session.pace_file),
            clock=utc_now,
            application_clock=session.environment.get("IOTC_CLOCK", "") == "application",
        )


def _session(ctx: typer.Context) -> tuple[Session, _Gathered]:
    """The session; without the profile, or the output, that cannot be used."""
    gathered, command, options = _Gathered(), ctx.command_path, ctx.obj
    found = gathered.read(lambda: Session.begin(command, options))
    if found is None:
        again = _Gathered()
        found = again.read(lambda: Session.without_profile(command, options))
        gathered.problems += [each for each in again.problems if each not in gathered.problems]
    return found or Session.without_profile(command, replace(options, output="table")), gathered


def _token(session: Session) -> tuple[str | None, Problem | None]:
    from iotc_admin.workflows.doctor.case import Problem

    try:
        return session.token, None
    except SettingsError as error:
        return None, Problem(str(error), error.hint)


def _check_trust(session: Session) -> bool:
    """Raises `SettingsError` when nothing can be trusted as it is set up."""
    from iotc_admin.client._application import trust

    return bool(trust(session.ca_file))


def _settings(
    session: Session, shown: dict[str, object], dps_host: str | None, mqtt_port: int | None
) -> tuple[Setting, ...]:
    """Each setting with its source, as it was given, whether or not it can be used."""
    from iotc_admin.workflows.doctor.case import Setting

    options = session.options
    rows: tuple[tuple[str, str | int | None, str, str], ...] = (
        ("app", options.app, "--app", "IOTC_APP"),
        ("ca_file", options.ca_file, "--ca-file", "IOTC_CA_FILE"),
        ("token_file", options.token_file, "--token-file", "IOTC_API_TOKEN"),
        ("output", options.output, "--output", "IOTC_OUTPUT"),
        ("ledger", options.ledger, "--ledger", "IOTC_LEDGER"),
        ("id_scope", None, "", "IOTC_ID_SCOPE"),
        ("dps_host", dps_host, "--dps-host", "IOTC_DPS_HOST"),
        ("mqtt_port", mqtt_port, "--mqtt-port", "IOTC_MQTT_PORT"),
    )
    found = [_profile(session)]
    for key, option, name, variable in rows:
        given = option or session.environment.get(variable) or session.profile.get(key)
        if given and key == "token_file":
            given = "given, not shown"
        source = session.source(option, name, variable, key)
        found.append(Setting(key, str(given or _DEFAULTS.get(key) or shown[key]), source))
    return tuple(found)


def _profile(session: Session) -> Setting:
    from iotc_admin.workflows.doctor.case import Setting

    named = "--profile" if session.options.profile else "IOTC_PROFILE"
    source = named if session.options.profile or session.environment.get("IOTC_PROFILE") else "default"
    return Setting("profile", session.profile_name or "none", source)


def _document(finding: Finding) -> dict[str, Any]:
    found = finding.found
    return {
        "number": finding.number,
        "name": finding.name,
        "state": found.state,
        "seen": found.seen,
        "cause": found.cause or None,
        "fix": found.fix or None,
        "details": list(found.details),
    }


def _lines(examined: Iterator[Finding], findings: list[Finding]) -> Iterator[Line]:
    """A few lines for each check as it ends; the last one tells how it went."""
    for each in examined:
        findings.append(each)
        found = each.found
        state = found.state.upper() if found.state == "failed" else found.state
        yield [
            (f"{each.number:2}  ", ""),
            (f"{state:9}", _STYLES[found.state]),
            (f"{each.name:16}", "bold"),
            (found.seen, ""),
        ]
        more = [("cause: ", found.cause), ("fix: ", found.fix), *(("", detail) for detail in found.details)]
        yield from ([(" " * 13, ""), (word, "bold"), (text, "")] for word, text in more if text)
    counts = [(state, sum(each.state == state for each in findings)) for state in _STYLES]
    yield [("", "")]
    yield [(", ".join(f"{count} {state}" for state, count in counts if count), "")]
