"""Each check of the doctor, shown failing for its own reason: real sockets, real chains, real files."""

from __future__ import annotations

import base64
import dataclasses
import json
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from iotc_admin import CertificateAuthority, DeviceIdentity, Ledger, Pacer
from iotc_admin.client._application import utc_now
from iotc_admin.client.handshake import certificates_in
from iotc_admin.client.origin import Origin
from iotc_admin.device.endpoint import Endpoint, dps_endpoint
from iotc_admin.emulator import Emulator
from iotc_admin.emulator.tokens import ADMINISTRATOR, OPERATOR
from iotc_admin.pki import pem
from iotc_admin.workflows.doctor.case import Case, Problem, Setting
from iotc_admin.workflows.doctor.examination import examine, healthy
from iotc_admin.workflows.doctor.findings import Finding

DAY = timedelta(days=1)
AUDIENCE = "https://apps.azureiotcentral.com"


class Entra:
    """A credential that hands out what it was given."""

    entra = True

    def __init__(self, text: str) -> None:
        self._text = text

    def header(self, now: datetime) -> str:  # noqa: ARG002
        return f"Bearer {self._text}"


def jwt(**claims: object) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{middle}.c2lnbmF0dXJl"


@pytest.fixture
def case(emulator: Emulator, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return Case(
        settings=(Setting("app", emulator.app, "--app"),),
        problems=(),
        app=Origin.of(emulator.app),
        token=emulator.api_token,
        token_problem=None,
        entra=Entra("none"),
        trusts=True,
        ca_file=emulator.ca_file,
        dps=dps_endpoint(emulator.dps_host),
        mqtt_port=emulator.mqtt_port,
        ledger=ledger.file,
        private=(),
        pacer=lambda: Pacer("doctor", file=tmp_path / "pace.db"),
        clock=utc_now,
    )


def examined(case: Case, **other: Any) -> dict[str, Finding]:
    return {each.name: each for each in examine(dataclasses.replace(case, **other))}


def told(finding: Finding) -> str:
    found = finding.found
    return "\n".join([found.seen, found.cause, found.fix, *found.details])


def states(found: dict[str, Finding]) -> dict[str, str]:
    """What is not in order."""
    return {name: each.state for name, each in found.items() if each.state != "ok"}


Serving = Callable[..., Origin]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Serves HTTPS with this identity: each request gets an empty 404 with the right time."""
    with ExitStack() as stack:

        def serve(identity: DeviceIdentity, folder: Path) -> Origin:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            file = folder / "server.pem"
            assert identity.key is not None
            file.write_bytes(identity.fullchain_pem + pem.key_pem(identity.key))
            context.load_cert_chain(file)
            return Origin("localhost", stack.enter_context(_answering(context)))

        yield serve


class _answering:  # noqa: N801 - reads as what it does
    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> int:
        self._thread.start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                plain.settimeout(5)
                with suppress(OSError), plain:
                    self._answer(plain)

    def _answer(self, plain: socket.socket) -> None:
        if self._context is None:
            plain.recv(4096)
            plain.sendall(b"220 mail.example ESMTP\r\n")
            return
        with self._context.wrap_socket(plain, server_side=True) as tls:
            tls.recv(4096)
            date = format_datetime(datetime.now(UTC), usegmt=True)
            tls.sendall(f"HTTP/1.1 404 x\r\nContent-Length: 0\r\nDate: {date}\r\n\r\n".encode())


def without_root(issuer: CertificateAuthority, now: datetime) -> DeviceIdentity:
    """A server's identity with its issuer, as servers send it."""
    server = issuer.issue_server(["localhost"], now=now)
    return DeviceIdentity(server.certificate, server.key, chain=(issuer.certificate,))


def trusting(folder: Path, authority: CertificateAuthority) -> Path:
    file = folder / "trusted.pem"
    file.write_bytes(pem.certificate_pem(authority.certificate))
    return file


def test_everything_is_in_order_with_the_emulator(case: Case) -> None:
    found = examined(case)

    assert states(found) == {}
    assert [each.number for each in found.values()] == list(range(1, 13))
    assert healthy(list(found.values()))
    assert found["role"].found.seen == "reads enrollment groups and devices as Administrator"


def test_doctor_changes_nothing(case: Case, emulator: Emulator, ledger: Ledger, tmp_path: Path) -> None:
    ledger.close()
    before = {file.name: file.read_bytes() for file in tmp_path.glob("ledger*")}

    examined(case)

    assert {file.name: file.read_bytes() for file in tmp_path.glob("ledger*")} == before
    assert {each.method for each in emulator.control.requests} == {"GET"}


def test_a_setting_that_cannot_be_used_is_named_and_what_needs_it_is_skipped(case: Case) -> None:
    found = examined(case, app=None, problems=(Problem("no application is named", "--app myapp"),))

    assert found["settings"].state == "failed"
    assert "no application is named" in told(found["settings"])
    for name in ("proxy", "DNS", "TLS", "clock", "role", "throttle"):
        assert (found[name].state, found[name].found.seen) == ("skipped", "because check 1 failed")
    assert found["DPS over HTTPS"].state == "ok"


def test_a_dead_proxy_is_named_without_its_password(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:geheim@127.0.0.1:9")

    found = examined(case)

    assert "http://***@127.0.0.1:9 does not let us through to localhost" in told(found["proxy"])
    assert "NO_PROXY=localhost" in found["proxy"].found.fix
    assert found["TLS"].found.seen == "because check 2 failed"
    assert "geheim" not in "".join(map(told, found.values()))


def test_behind_a_proxy_a_name_need_not_have_an_address_here(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")

    found = examined(case, app=Origin("no-such-host.invalid"))

    assert (found["DNS"].state, found["DNS"].found.seen) == ("skipped", "the proxy looks the name up")
    assert found["proxy"].state == "failed"


def test_a_proxy_that_asks_for_a_password_is_told_from_a_dead_one(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 407 Password\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=refuse)
    thread.start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
    try:
        found = examined(case)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)

    assert found["proxy"].state == "failed"
    assert "407" in found["proxy"].found.seen


def test_a_proxy_that_cannot_be_used_is_named(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "foo://user:geheim@proxy")

    found = examined(case)

    assert found["proxy"].state == "failed"
    assert "geheim" not in "".join(map(told, found.values()))


def test_no_proxy_takes_the_host_out(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "localhost")

    found = examined(case)

    assert states(found) == {}
    assert "NO_PROXY takes it out of http://127.0.0.1:9" in found["proxy"].found.seen


def test_a_name_without_an_address_fails_in_dns(case: Case) -> None:
    found = examined(case, app=Origin("no-such-host.invalid"))

    assert "no-such-host.invalid has no address" in told(found["DNS"])
    assert found["TLS"].found.seen == "because check 3 failed"


def test_a_closed_port_fails_in_tls(case: Case) -> None:
    found = examined(case, app=Origin("localhost", 1))

    assert found["TLS"].state == "failed"
    assert "refused" in found["TLS"].found.seen
    assert found["clock"].found.seen == "because check 4 failed"


def test_something_else_on_the_port_is_said_to_be_no_tls(case: Case) -> None:
    with _answering(None) as port:
        found = examined(case, app=Origin("localhost", port))

    assert "something else than the application answers" in found["TLS"].found.cause


def test_a_missing_root_is_named(
    case: Case, serving: Serving, tmp_path: Path, ca: CertificateAuthority, now: datetime
) -> None:
    below = ca.issue_intermediate("line3", now=now)
    app = serving(without_root(below, now), tmp_path)

    unknown_root = examined(case, app=app)["TLS"]
    of_proxy = examined(case, app=app, ca_file=trusting(tmp_path, below))["TLS"]

    assert unknown_root.state == "failed"
    assert "CN=plant7, is missing: it is in no trust store here" in unknown_root.found.cause
    assert "the chain ends at CN=line3" in unknown_root.found.cause
    assert "--ca-file PEM" in unknown_root.found.fix
    assert of_proxy.state == "failed"
    assert examined(case, app=app, ca_file=trusting(tmp_path, ca))["TLS"].state == "ok"


def test_a_chain_without_its_intermediate_ends_at_the_server(
    case: Case, serving: Serving, tmp_path: Path, ca: CertificateAuthority, now: datetime
) -> None:
    server = ca.issue_intermediate("line3", now=now).issue_server(["localhost"], now=now)
    app = serving(DeviceIdentity(server.certificate, server.key), tmp_path)

    found = examined(case, app=app, ca_file=trusting(tmp_path, ca))["TLS"]

    assert "the chain ends at CN=localhost" in found.found.cause
    assert "CN=line3, is missing" in found.found.cause


def test_a_root_that_is_sent_but_not_trusted_is_named(case: Case, tmp_path: Path) -> None:
    found = examined(case, ca_file=None)["TLS"]

    assert "the chain ends at its root, CN=iotc-admin emulator, which is in no trust store" in told(found)


def test_an_expired_certificate_is_told_from_an_untrusted_one(
    case: Case, serving: Serving, tmp_path: Path, now: datetime
) -> None:
    old = CertificateAuthority.create("plant7", now=now - 20 * DAY)
    server = old.issue_server(["localhost"], now=now - 10 * DAY, lifetime=2 * DAY)
    app = serving(server, tmp_path)

    found = examined(case, app=app, ca_file=trusting(tmp_path, old))["TLS"]

    assert f"CN=localhost expired on {now - 8 * DAY:%Y-%m-%d}" in found.found.cause
    assert "renew" in found.found.fix


def test_a_certificate_of_the_future_points_to_the_clock(
    case: Case, serving: Serving, tmp_path: Path, now: datetime
) -> None:
    young = CertificateAuthority.create("plant7", now=now)
    server = young.issue_server(["localhost"], now=now + 5 * DAY, lifetime=2 * DAY)
    app = serving(server, tmp_path)

    found = examined(case, app=app, ca_file=trusting(tmp_path, young))["TLS"]

    assert "CN=localhost is not valid before" in found.found.cause
    assert "set the clock" in found.found.fix


def test_a_certificate_of_another_host_shows_its_names(
    case: Case, serving: Serving, tmp_path: Path, ca: CertificateAuthority, now: datetime
) -> None:
    app = serving(ca.issue_server(["portal.hotel.example"], now=now), tmp_path)

    found = examined(case, app=app, ca_file=trusting(tmp_path, ca))["TLS"]

    assert "a certificate of another host: portal.hotel.example" in found.found.seen


def test_what_a_server_shows_is_read_from_whole_records_only() -> None:
    certificate = b"der"
    listed = len(certificate).to_bytes(3) + certificate
    body = len(listed).to_bytes(3) + listed
    message = b"\x0b" + len(body).to_bytes(3) + body
    record = b"\x16\x03\x03" + len(message).to_bytes(2) + message

    assert certificates_in(record) == (certificate,)
    assert all(certificates_in(record[:end]) == () for end in range(len(record)))
    assert certificates_in(b"\x15" + record[1:]) == ()


@pytest.mark.parametrize(("by", "state"), [(0, "ok"), (90, "warning"), (600, "failed"), (-600, "failed")])
def test_a_clock_that_differs_is_told(case: Case, emulator: Emulator, by: int, state: str) -> None:
    emulator.control.skew_date(timedelta(seconds=by))

    found = examined(case)["clock"]

    assert found.state == state
    if state == "failed":
        assert ("behind" if by > 0 else "ahead of") in found.found.seen
        assert "NTP" in found.found.fix


def test_where_the_applications_time_counts_a_moved_clock_is_no_failure(
    case: Case, emulator: Emulator
) -> None:
    emulator.control.advance(30 * DAY)

    assert examined(case)["clock"].state == "failed"
    assert examined(case, application_clock=True)["clock"].state == "warning"


def test_a_token_that_has_expired_by_the_applications_clock_is_told_so(
    case: Case, emulator: Emulator, now: datetime
) -> None:
    short = emulator.issue_token("short", role=ADMINISTRATOR, expiry=now + DAY)
    soon, over = examined(case, token=short), {}
    emulator.control.advance(2 * DAY)
    over = examined(case, token=short)

    assert soon["token"].state == "warning"
    assert over["token"].state == "failed"
    assert "it has expired" in over["token"].found.seen
    assert over["role"].found.seen == "because check 6 failed"


def test_a_token_that_is_cut_short_is_malformed_and_never_shown(case: Case, emulator: Emulator) -> None:
    cut = emulator.api_token.partition("&se=")[0]

    found = examined(case, token=cut)

    assert "it has no se" in found["token"].found.seen
    assert cut not in "".join(map(told, found.values()))


def test_a_file_that_cannot_be_read_is_the_tokens_failure(case: Case) -> None:
    found = examined(case, token=None, token_problem=Problem("t: no such file", "check the path"))

    assert "t: no such file" in told(found["token"])
    assert found["role"].found.seen == "because check 6 failed"


def test_an_entra_token_in_the_place_of_an_api_token_is_recognised(case: Case) -> None:
    text = jwt(aud=AUDIENCE, exp=1893456000, tid="tenant-1")

    found = examined(case, token=text)["token"]

    assert found.state == "failed"
    assert (
        f"a token of Entra ID, for {AUDIENCE}, of the tenant tenant-1, until 2030-01-01" in found.found.seen
    )
    assert text not in told(found)


def test_without_a_token_entra_is_not_asked_for_a_host_that_is_not_microsofts(case: Case) -> None:
    found = examined(case, token=None)["token"]

    assert (found.state, found.found.seen) == ("failed", "no API token is given")


@pytest.mark.parametrize(
    ("claims", "state", "said"),
    [
        ({"aud": AUDIENCE, "exp": 4102444800, "tid": "t-1"}, "ok", "of the tenant t-1, until 2100-01-01"),
        ({"aud": "https://management.azure.com", "exp": 4102444800}, "failed", "takes those for"),
        ({"aud": AUDIENCE, "exp": 1}, "failed", "it has expired"),
    ],
)
def test_an_entra_token_is_judged_by_audience_and_expiry(
    case: Case, claims: dict[str, object], state: str, said: str
) -> None:
    text = jwt(**claims)

    found = examined(case, app=Origin.of("no-such-application-0"), token=None, entra=Entra(text))["token"]

    assert found.state == state
    assert said in told(found)
    assert text not in told(found)


def test_a_token_of_another_application_is_401(case: Case) -> None:
    with Emulator(throttle="off") as other:
        found = examined(case, token=other.api_token)["role"]

    assert found.state == "failed"
    assert found.found.cause.startswith("401")
    assert "--app" in found.found.fix


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ("EnrollmentGroups_List", "'Device connectivity management', read global"),
        ("Devices_List", "'Device', view instances"),
    ],
)
def test_a_role_without_the_right_is_403_and_the_permission_is_named(
    case: Case, emulator: Emulator, operation: str, said: str
) -> None:
    emulator.control.fault(kind="status", status=403, match=operation)

    found = examined(case)["role"]

    assert found.state == "failed"
    assert found.found.cause.startswith("403")
    assert said in found.found.cause


def test_an_operator_is_warned_that_writing_is_403(case: Case, emulator: Emulator, now: datetime) -> None:
    token = emulator.issue_token("op", role=OPERATOR, expiry=now + 100 * DAY)

    found = examined(case, token=token)["role"]

    assert found.state == "warning"
    assert "as Operator" in found.found.seen


def test_a_host_without_the_application_is_404(case: Case, emulator: Emulator) -> None:
    emulator.control.fault(kind="status", status=404, match="EnrollmentGroups_List")

    found = examined(case)["role"]

    assert found.found.cause.startswith("404")


def test_a_service_that_fails_is_no_matter_of_the_role(case: Case, emulator: Emulator) -> None:
    emulator.control.fault(kind="status", status=503, match="EnrollmentGroups_List", times=5)

    assert examined(case)["role"].found.cause == "the service itself fails"


def test_an_application_that_is_used_up_fails_in_throttle(case: Case, emulator: Emulator) -> None:
    emulator.control.fault(kind="status", status=429, match="EnrollmentGroups_List", times=9)

    found = examined(case)
    emulator.control.clear_faults()
    after = examined(case)

    assert found["role"].found.seen == "because check 8 failed"
    assert found["throttle"].state == "failed"
    assert "429" in found["throttle"].found.cause
    assert after["throttle"].state == "warning"
    assert "within the last minute" in after["throttle"].found.seen


def test_a_pace_that_was_cut_often_is_a_warning(case: Case, tmp_path: Path) -> None:
    minutes = iter(range(10**9, 10**9 + 10**6, 60))
    pacer = Pacer("doctor", file=tmp_path / "pace.db", clock=lambda: float(next(minutes)))
    for _ in range(9):
        pacer.was_refused()
    pacer.close()

    found = examined(case)["throttle"]

    assert (found.state, found.found.cause) == ("warning", "the application refused often for the rate")


def test_a_blocked_mqtt_port_points_to_websockets(case: Case) -> None:
    found = examined(case, mqtt_port=1)

    assert states(found) == {"DPS over MQTT": "failed"}
    assert "--transport mqtt-ws" in found["DPS over MQTT"].found.fix


def test_a_blocked_https_port_of_dps_leaves_mqtt_alone(case: Case) -> None:
    found = examined(case, dps=Endpoint("localhost", 1))

    assert states(found) == {"DPS over HTTPS": "failed"}


def test_a_dps_without_an_address_is_told_once(case: Case) -> None:
    found = examined(case, dps=Endpoint("no-such-host.invalid", 443))

    assert "DNS does not know it" in found["DPS over HTTPS"].found.cause
    assert found["DPS over MQTT"].found.seen == "because check 9 failed"


def test_a_dps_that_is_not_trusted_names_the_missing_root(
    case: Case, serving: Serving, tmp_path: Path, ca: CertificateAuthority, now: datetime
) -> None:
    app = serving(without_root(ca.issue_intermediate("line3", now=now), now), tmp_path)

    found = examined(case, dps=Endpoint("localhost", app.port), mqtt_port=app.port)

    for name in ("DPS over HTTPS", "DPS over MQTT"):
        assert found[name].state == "failed"
        assert "CN=plant7, is missing" in found[name].found.cause


def test_a_damaged_ledger_is_found(
    case: Case, ledger: Ledger, ca: CertificateAuthority, now: datetime
) -> None:
    for number in range(40):
        ledger.run("x", now).saw(ca.issue(f"pump-{number}", now=now).certificate)
    ledger.close()
    assert examined(case)["ledger"].state == "ok"
    data = bytearray(ledger.file.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    ledger.file.write_bytes(data)

    found = examined(case)["ledger"]

    assert found.state == "failed"
    assert "ledger import" in found.found.fix


def test_a_ledger_of_a_newer_version_is_told_from_a_damaged_one(case: Case, ledger: Ledger) -> None:
    ledger.close()
    db = sqlite3.connect(ledger.file)
    db.execute("PRAGMA user_version = 99")
    db.close()

    assert "update iotc-admin" in examined(case)["ledger"].found.fix


def test_a_file_that_is_no_ledger_is_failed_and_left_as_it_is(case: Case, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine " * 1000)

    assert examined(case, ledger=other)["ledger"].state == "failed"
    assert other.read_text() == "mine " * 1000


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_a_ledger_that_others_may_read_is_a_warning_with_the_command(
    case: Case, ledger: Ledger, ending: str
) -> None:
    file = Path(f"{ledger.file}{ending}")
    file.chmod(0o644)

    found = examined(case)["file modes"]

    assert (found.state, found.found.fix) == ("warning", f"chmod 600 {file}")


@pytest.mark.parametrize(("mode", "state"), [(0o600, "ok"), (0o640, "warning"), (0o602, "failed")])
def test_a_token_file_open_to_others_is_told(case: Case, tmp_path: Path, mode: int, state: str) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    token.chmod(mode)

    assert examined(case, private=(token,))["file modes"].state == state


@pytest.mark.parametrize(
    ("mode", "state"), [(0o755, "ok"), (0o775, "warning"), (0o777, "failed"), (0o1777, "ok")]
)
def test_a_folder_in_which_others_may_write_is_told(
    case: Case, tmp_path: Path, mode: int, state: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "token").touch(0o600)
    folder.chmod(mode)

    assert examined(case, private=(folder / "token",))["file modes"].state == state


def test_no_secret_is_in_any_finding(case: Case, emulator: Emulator) -> None:
    emulator.control.fault(kind="status", status=401, match="EnrollmentGroups_List")
    secret = emulator.api_token.partition("sig=")[2].partition("&")[0]

    # A setting that was given in the wrong place.
    found = examined(case, settings=(Setting("app", f"https://x/?{emulator.api_token}", "--app"),))

    everything = "".join(map(told, found.values()))
    assert secret not in everything
    assert "sig=***" in everything or "***" in everything


def test_a_fault_of_one_check_keeps_none_of_the_others_from_being_made(case: Case) -> None:
    def broken() -> Pacer:
        raise RuntimeError("boom")

    found = examined(case, pacer=broken)

    assert {name: each.state for name, each in found.items() if each.state == "failed"} == {
        "role": "failed",
        "throttle": "failed",
    }
    assert found["ledger"].state == "ok"
