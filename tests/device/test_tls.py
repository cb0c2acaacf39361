"""Who trusts whom: server certificates, the device's own, its key, and settings that cannot work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from iotc_admin import (
    AnswerLost,
    CertificateAuthority,
    DeviceIdentity,
    KeyKind,
    PkiError,
    ProvisioningRefused,
    SettingsError,
    Unreachable,
)
from iotc_admin.device.connect import Transport, connect
from iotc_admin.device.endpoint import Endpoint
from iotc_admin.device.https import HttpsPeer
from iotc_admin.device.provisioning import register
from iotc_admin.device.tls import device_context
from iotc_admin.pki import pem
from iotc_admin.pki.keys import SigningKey
from tests.device.standin import Reply
from tests.device.test_https import ASSIGNED, Serving, way

TRANSPORTS: list[Transport] = ["https", "mqtt", "mqtt-ws"]


def reach(device: DeviceIdentity, host: str, ca_file: Path | None, transport: Transport = "https") -> None:
    port = int(host.rpartition(":")[2])
    register(
        device,
        id_scope="0ne1",
        dps_host=host,
        mqtt_port=port,
        transport=transport,
        ca_file=ca_file,
        sleep=lambda _: None,
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_that_nobody_vouches_for_is_not_spoken_to(
    device: DeviceIdentity, serving: Serving, transport: Transport
) -> None:
    server = serving(ASSIGNED)

    with pytest.raises(Unreachable, match="not trusted") as refused:
        reach(device, server.host, None, transport)

    assert "--ca-file" in refused.value.hint
    assert server.seen == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_under_another_name_is_not_spoken_to(
    device: DeviceIdentity, serving: Serving, transport: Transport
) -> None:
    server = serving(ASSIGNED)

    with pytest.raises(Unreachable, match="not trusted"):
        reach(device, f"127.0.0.1:{server.port}", server.ca_file, transport)

    assert server.seen == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_certificate_the_server_cannot_follow_is_explained(
    device: DeviceIdentity, serving: Serving, transport: Transport
) -> None:
    without_chain = DeviceIdentity(device.certificate, device.key)
    server = serving(ASSIGNED)

    with pytest.raises((ProvisioningRefused, AnswerLost)) as refused:
        reach(without_chain, server.host, server.ca_file, transport)

    assert "certificate" in refused.value.hint or "chain" in refused.value.hint
    assert server.seen == []


def test_an_expired_certificate_is_called_expired(
    ca: CertificateAuthority, serving: Serving, now: datetime
) -> None:
    old_ca = CertificateAuthority.create("plant7", now=now - timedelta(days=30), key=ca.key)
    expired = old_ca.issue("pump-1", now=now - timedelta(days=20), lifetime=timedelta(days=1))
    server = serving(ASSIGNED)

    with pytest.raises(ProvisioningRefused, match="certificate expired") as refused:
        reach(DeviceIdentity(expired.certificate, expired.key), server.host, server.ca_file)

    assert "expired" in refused.value.cause


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_closed_port_and_an_unknown_name_are_unreachable(
    device: DeviceIdentity, transport: Transport
) -> None:
    for host in ("localhost:1", "nowhere.invalid:1"):
        with pytest.raises(Unreachable) as refused:
            reach(device, host, None, transport)
        assert "--dps-host" in refused.value.hint


@pytest.mark.parametrize("kind", [KeyKind.EC_P384, KeyKind.RSA_2048])
def test_every_kind_of_key_may_connect(
    ca: CertificateAuthority, serving: Serving, now: datetime, kind: KeyKind
) -> None:
    assert way(ca.issue("pump-1", now=now, kind=kind), serving(ASSIGNED))[0].registration_id == "pump-1"


def test_a_key_that_is_not_here_is_asked_for(device: DeviceIdentity) -> None:
    with pytest.raises(PkiError) as refused:
        device_context(DeviceIdentity(device.certificate))

    assert "--key" in refused.value.hint


class TokenKey:
    """A key that signs where it is, and cannot leave."""

    def __init__(self, key: SigningKey) -> None:
        self.public_key = key.public_key

    def private_bytes(self, *_: object) -> bytes:
        raise NotImplementedError


def test_a_key_that_cannot_leave_where_it_is_is_refused_clearly(device: DeviceIdentity) -> None:
    assert device.key is not None
    key = cast("SigningKey", TokenKey(device.key))

    with pytest.raises(PkiError, match="cannot leave"):
        device_context(DeviceIdentity(device.certificate, key))


def test_the_key_leaves_nothing_on_the_disk(device: DeviceIdentity, tmp_path: Path) -> None:
    assert device.key is not None
    source = tmp_path / "device.pem"
    source.write_bytes(device.fullchain_pem + pem.key_pem(device.key))
    folder = tmp_path / "tmp"
    folder.mkdir()
    program = (
        "import os, sys; from iotc_admin import DeviceIdentity; from iotc_admin.device.tls import *\n"
        "opened = []\n"
        "def watch(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).startswith(sys.argv[2]): opened.append(arguments)\n"
        "sys.addaudithook(watch)\n"
        "device_context(DeviceIdentity.load(sys.argv[1]))\n"
        "assert opened, 'the file was not seen'\n"
        "print(os.listdir(sys.argv[2]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(source), str(folder)],
        env={"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_trust_anchor_that_is_none_is_refused(
    device: DeviceIdentity, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError, match="trust anchor"):
        device_context(device, path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dps_host": "https://localhost"},
        {"dps_host": "localhost:0"},
        {"dps_host": "localhost:70000"},
        {"dps_host": "localhost:"},
        {"dps_host": "me@localhost"},
        {"dps_host": "localhost/x"},
        {"dps_host": ""},
        {"mqtt_port": 0},
        {"id_scope": ""},
        {"id_scope": "0ne/1"},
        {"registration_id": ""},
        {"registration_id": "a/../b"},
        {"registration_id": ".."},
        {"transport": "amqp"},
        {"telemetry": [{"t": float("nan")}]},
        {"telemetry": [{"t": object()}]},
    ],
)
def test_what_cannot_work_is_found_before_anything_is_sent(
    device: DeviceIdentity, serving: Serving, wrong: dict[str, Any]
) -> None:
    server = serving(ASSIGNED)
    options = {"id_scope": "0ne1", "dps_host": server.host, "ca_file": server.ca_file, **wrong}

    with pytest.raises(SettingsError) as refused:
        connect(device, **options)

    assert refused.value.hint
    assert server.connections == 0


def test_a_server_that_says_nothing_is_not_waited_for_forever(
    device: DeviceIdentity, serving: Serving
) -> None:
    server = serving(Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
    context = device_context(device, server.ca_file)

    peer = HttpsPeer(Endpoint("localhost", server.port), context, timeout=httpx.Timeout(0.3))
    with peer, pytest.raises(AnswerLost, match="no answer in time"):
        peer.send("try", "GET", "x")


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Drip: ", b"x"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"),
    ],
)
def test_an_answer_that_drips_is_cut_off(
    device: DeviceIdentity, serving: Serving, start: bytes, drop: bytes
) -> None:
    server = serving(Reply(raw=start, drip=drop))
    context = device_context(device, server.ca_file)

    peer = HttpsPeer(Endpoint("localhost", server.port), context, longest=0.5)
    with peer, pytest.raises(AnswerLost, match="no answer in time"):
        peer.send("try", "GET", "x")


def test_a_proxy_of_the_environment_is_used(
    device: DeviceIdentity,
    monkeypatch: pytest.MonkeyPatch,
    refusing_proxy: Callable[[], tuple[int, list[bytes]]],
) -> None:
    port, heard = refusing_proxy()
    monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{port}")

    with pytest.raises(Unreachable, match="407"):
        reach(device, "dps.invalid:443", None)

    assert heard[0].startswith(b"CONNECT dps.invalid:443 ")


def test_a_proxy_that_is_none_is_a_setting(device: DeviceIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://localhost:1")

    with pytest.raises(SettingsError, match="proxy"):
        reach(device, "dps.invalid:443", None)


def test_nothing_shows_the_key(device: DeviceIdentity, serving: Serving) -> None:
    assert device.key is not None
    secret = pem.key_pem(device.key).decode().splitlines()[1]
    server = serving()

    with pytest.raises(AnswerLost) as lost:
        reach(device, server.host, server.ca_file)

    assert secret not in repr(lost.value) + str(lost.value.__cause__) + repr(device)
