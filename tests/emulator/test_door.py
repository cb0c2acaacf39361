"""The real door: TLS, sockets, garbage, crowds, and an emulator's beginning and end."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from iotc_admin.emulator import Emulator, Switches
from iotc_admin.errors import SettingsError
from tests.emulator.world import VERSION, App

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def trust(emulator: Emulator) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(emulator.ca_file))


def _name_version(request: httpx.Request) -> None:
    if "api-version" not in request.url.params:
        request.url = request.url.copy_with(query=VERSION.encode())


def client(emulator: Emulator) -> httpx.Client:
    return httpx.Client(
        base_url=f"{emulator.app}/api",
        verify=trust(emulator),
        headers={"authorization": emulator.api_token},
        event_hooks={"request": [_name_version]},
    )


@pytest.fixture
def http(app: App) -> Iterator[httpx.Client]:
    with client(app.emulator) as opened:
        yield opened


def connect(app: App) -> ssl.SSLSocket:
    host, _, port = app.emulator.dps_host.partition(":")
    raw = socket.create_connection((host, int(port)), timeout=10)
    return trust(app.emulator).wrap_socket(raw, server_hostname=host)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1"])
def test_the_certificate_passes_strict_checks_under_each_name(app: App, name: str) -> None:
    context = trust(app.emulator)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    port = int(app.emulator.dps_host.partition(":")[2])

    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        assert tls.version() == "TLSv1.3"
        certificate = tls.getpeercert()
    assert certificate is not None
    assert "('DNS', '*.localhost')" in str(certificate["subjectAltName"])


def test_tls_1_2_is_spoken_and_nothing_older(app: App) -> None:
    context = trust(app.emulator)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(verify=context) as http:
        assert http.get(app.emulator.app).status_code == 404


def test_all_verbs_go_through_the_door(http: httpx.Client) -> None:
    assert http.put("/devices/a%2Fb", json={}).json()["id"] == "a/b"
    assert http.patch("/devices/a%2Fb", json={"displayName": "x"}).json()["displayName"] == "x"
    answer = http.delete("/devices/a%2Fb")
    assert (answer.status_code, answer.content) == (204, b"")
    assert http.post("/devices", json={}).status_code == 405
    assert http.request("OPTIONS", "/devices").status_code == 405
    refused = http.get("/devices/nobody")
    assert refused.headers["x-ms-error-code"] == "NotFound"
    assert refused.headers["content-type"] == "application/json"
    assert refused.headers.get_list("date") == [refused.headers["date"]]


def test_the_next_link_is_followed_verbatim(http: httpx.Client) -> None:
    for number in range(60):
        http.put(f"/devices/d{number:02}", json={})
    page, found = http.get("/devices").json(), 0
    while "nextLink" in page:
        found += len(page["value"])
        page = http.get(page["nextLink"]).json()
    assert found + len(page["value"]) == 60


def test_a_get_with_a_body_leaves_the_connection_usable(app: App) -> None:
    head = f"Host: localhost\r\nAuthorization: {app.emulator.api_token}\r\n"
    with connect(app) as tls:
        for _ in range(3):
            tls.sendall(f"GET /api/roles?{VERSION} HTTP/1.1\r\n{head}Content-Length: 2\r\n\r\n{{}}".encode())
            answer = tls.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_large_body_is_refused_with_413(http: httpx.Client) -> None:
    kind = {"content-type": "application/json"}
    answer = http.put("/devices/d", content=b" " * (1024 * 1024 + 1), headers=kind)

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "PayloadTooLarge"
    assert http.get("/devices").status_code == 200


def test_faults_reach_the_socket(app: App, http: httpx.Client) -> None:
    control = app.emulator.control
    for kind in ("reset", "lose-answer"):
        control.fault(kind=kind)
        with pytest.raises(httpx.TransportError):
            http.put(f"/devices/{kind}", json={})
    assert http.get("/devices/reset").status_code == 404
    assert http.get("/devices/lose-answer").status_code == 200
    control.fault(kind="truncate")
    with pytest.raises(httpx.RemoteProtocolError):
        http.get("/devices")
    control.fault(kind="delay", delay=0.3)
    before = time.monotonic()
    assert http.get("/devices").status_code == 200
    assert time.monotonic() - before >= 0.3


def test_a_delayed_answer_delays_nobody_else(app: App, http: httpx.Client) -> None:
    app.emulator.control.fault(kind="delay", delay=1, match="Roles_List")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(http.get, "/roles")
        while not app.emulator.control.requests:
            time.sleep(0.01)
        assert http.get("/devices").status_code == 200
        assert not slow.done()
        assert slow.result().status_code == 200


def test_garbage_harms_nobody(app: App, http: httpx.Client) -> None:
    host, _, port = app.emulator.dps_host.partition(":")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 500, b"\0" * 9000, b""):
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(garbage)
    bad_length = b"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n"
    for garbage in (b"nonsense\r\n\r\n", b"GET /" + b"a" * 20_000, bad_length):
        with connect(app) as tls:
            tls.sendall(garbage)
    assert http.get("/devices").status_code == 200


def test_a_client_that_leaves_in_the_middle_harms_nobody(app: App, http: httpx.Client) -> None:
    for _ in range(20):
        with connect(app) as tls:
            tls.sendall(b"PUT /api/devices/d HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert http.get("/devices").status_code == 200
    assert http.get("/devices/d").status_code == 404


def test_slow_clients_do_not_hold_up_others(app: App, http: httpx.Client) -> None:
    slow = [connect(app) for _ in range(50)]
    for tls in slow:
        tls.sendall(b"GET /api/devices HTTP/1.1\r\nHo")
    before = time.monotonic()
    assert http.get("/devices").status_code == 200
    assert time.monotonic() - before < 2
    for tls in slow:
        tls.close()


async def _crowd(app: App, count: int) -> list[bytes]:
    host, _, port = app.emulator.dps_host.partition(":")
    request = (
        f"GET /api/roles?{VERSION} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: {app.emulator.api_token}\r\n\r\n"
    ).encode()
    context = trust(app.emulator)

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer[:12]

    return await asyncio.gather(*(one() for _ in range(count)))


def test_a_thousand_connections_at_once_are_all_served(app: App) -> None:
    answers = asyncio.run(_crowd(app, 1000))

    assert answers == [b"HTTP/1.1 200"] * 1000


def test_many_clients_write_at_once_and_nothing_is_lost(app: App) -> None:
    def write(worker: int) -> None:
        with client(app.emulator) as http:
            for number in range(25):
                assert http.put(f"/devices/w{worker}-{number}", json={}).status_code == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert app.emulator.control.state()["counts"]["device"] == 200


def test_two_emulators_know_nothing_of_each_other(started: Callable[..., App]) -> None:
    one, two = started(), started()
    one.put("/devices/d", {})

    assert two.get("/devices/d").status == 404
    assert one.emulator.id_scope != two.emulator.id_scope
    with pytest.raises(httpx.ConnectError), httpx.Client(verify=trust(one.emulator)) as http:
        http.get(two.emulator.app)


def test_a_port_in_use_is_refused_with_a_hint(app: App) -> None:
    port = int(app.emulator.dps_host.partition(":")[2])

    with pytest.raises(SettingsError) as refusal:
        Emulator(port=port).start()
    assert str(port) in str(refusal.value)
    assert "--port" in refusal.value.hint


def test_stopping_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    emulator = Emulator().start()
    with client(emulator) as http:
        assert http.get("/devices").status_code == 200
        hanging = connect(App(emulator))
        hanging.sendall(b"GET /api")
        host, _, port = emulator.dps_host.partition(":")
        shy = socket.create_connection((host, int(port)))
        directory = emulator.ca_file.parent
        emulator.stop()
        emulator.stop()
        hanging.close()
        shy.close()
    gc.collect()

    assert set(threading.enumerate()) == before
    assert not directory.exists()
    with pytest.raises(SettingsError):
        _ = emulator.app
    with emulator:
        assert emulator.app


def test_an_emulator_is_started_once(app: App) -> None:
    with pytest.raises(SettingsError):
        app.emulator.start()


def test_the_files_of_the_ca_have_their_modes(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path / "new" / "state") as emulator:
        directory = emulator.ca_file.parent
        modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}

    assert modes["ca_cert.pem"] == 0o644
    assert modes["ca_key.pem"] == 0o600


def test_the_plugin_gives_other_people_an_emulator(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(iotc_emulator):\n    assert iotc_emulator.app\n")
    plugin = "iotc_admin.emulator.pytest_plugin"
    source = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-p", plugin, "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_the_public_place_has_three_names() -> None:
    import iotc_admin.emulator as public

    assert public.__all__ == ["Emulator", "Fault", "Switches"]
    assert Switches().same_put == "resets"
