"""`iotc-admin emulator ...`: the stand-in for the service, in the foreground or around a command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli.keyfiles import epilog
from iotc_admin.cli.output import Output
from iotc_admin.cli.settings import Session
from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from iotc_admin.emulator import Emulator

app = typer.Typer(rich_markup_mode=None)


class ThrottleKind(StrEnum):
    window = "window"
    bucket = "bucket"
    off = "off"


DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Keep the state here; else it is forgotten.")
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")]
Throttle = Annotated[ThrottleKind, typer.Option("--throttle", help="How 20 requests a second are counted.")]
RetryAfter = Annotated[
    int,
    typer.Option("--retry-after", min=0, metavar="SECONDS", help="How long a registration takes."),
]
Registrations = Annotated[
    int,
    typer.Option(
        "--registrations-per-minute", min=0, metavar="N", help="How many devices may register; 0: no limit."
    ),
]
Clock = Annotated[
    str | None, typer.Option("--clock", metavar="ISO-TIME", help="Where its clock starts (default: now).")
]
PageSize = Annotated[int, typer.Option("--page-size", min=1, max=100, help="Items on a page.")]
FaultSpecs = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        metavar="KIND[,FIELD=VALUE...]",
        help="What goes wrong, as in lose-answer,times=2. Repeatable.",
    ),
]
SwitchSpecs = Annotated[
    list[str] | None,
    typer.Option(
        "--switch", metavar="NAME=VALUE", help="How it behaves where the real one's is unknown. Repeatable."
    ),
]


@app.command(
    epilog=epilog(
        "iotc-admin emulator run --data-dir ./state", "with iotc_admin.emulator.Emulator() as emulator: ..."
    )
)
def run(
    ctx: typer.Context,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")] = 8443,
    mqtt_port: Annotated[int, typer.Option("--mqtt-port", min=0, max=65535, help="Likewise.")] = 8883,
    data_dir: DataDir = None,
    host: Host = "127.0.0.1",
    throttle: Throttle = ThrottleKind.window,
    registrations: Registrations = 200,
    retry_after: RetryAfter = 3,
    clock: Clock = None,
    page_size: PageSize = 25,
    fault: FaultSpecs = None,
    switch: SwitchSpecs = None,
) -> None:
    """Run the emulator in the foreground until Ctrl-C.

    When it is ready it prints one line of JSON: app, apiToken, caFile, idScope, dpsHost, mqttPort, pid and
    control, a loopback URL for faults and the clock.
    """
    Session.begin(ctx.command_path, ctx.obj)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, lambda *_: over.set())
    with _emulator(
        _Doors(port, mqtt_port, host, throttle, registrations, retry_after),
        data_dir,
        clock,
        page_size,
        fault,
        switch,
    ) as emulator:
        sys.stdout.write(json.dumps(_ready(emulator)) + "\n")
        sys.stdout.flush()
        while not over.wait(timeout=3600):
            pass


@app.command(
    "exec",
    epilog=epilog(
        "iotc-admin emulator exec -- iotc-admin group list",
        "with iotc_admin.emulator.Emulator() as emulator: ...",
        one="refused or failed; else the code of the command",
    ),
)
def execute(
    ctx: typer.Context,
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND ARG...", help="What to run.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 picks a free one.")] = 0,
    mqtt_port: Annotated[int, typer.Option("--mqtt-port", min=0, max=65535, help="Likewise.")] = 0,
    data_dir: DataDir = None,
    host: Host = "127.0.0.1",
    throttle: Throttle = ThrottleKind.window,
    registrations: Registrations = 200,
    retry_after: RetryAfter = 3,
    clock: Clock = None,
    page_size: PageSize = 25,
    fault: FaultSpecs = None,
    switch: SwitchSpecs = None,
) -> None:
    """Start the emulator, run a command against it, stop, and exit with the command's code.

    The command finds IOTC_APP, IOTC_API_TOKEN, IOTC_CA_FILE, IOTC_ID_SCOPE, IOTC_DPS_HOST, IOTC_MQTT_PORT,
    IOTC_EMULATOR_CONTROL and IOTC_LEDGER in its environment.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    with _emulator(
        _Doors(port, mqtt_port, host, throttle, registrations, retry_after),
        data_dir,
        clock,
        page_size,
        fault,
        switch,
    ) as emulator:
        ledger = session.named_ledger or emulator.ca_file.parent / "ledger.db"
        own = _environment(emulator, ledger, moved=clock is not None)
        # A profile names another application; in here there is only this one.
        outer = {name: value for name, value in os.environ.items() if name != "IOTC_PROFILE"}
        code = _run(command, outer | own, session.output)
    raise typer.Exit(code)


@dataclass(frozen=True)
class _Doors:
    """Where the emulator listens, and how much it lets pass."""

    port: int
    mqtt_port: int
    host: str
    throttle: ThrottleKind
    registrations: int
    retry_after: int


@contextmanager
def _emulator(
    doors: _Doors,
    data_dir: Path | None,
    clock: str | None,
    page_size: int,
    fault: list[str] | None,
    switch: list[str] | None,
) -> Iterator[Emulator]:
    from iotc_admin.emulator import Emulator, Fault, Switches

    moment = _moment(clock)
    emulator = Emulator(
        port=doors.port,
        mqtt_port=doors.mqtt_port,
        host=doors.host,
        data_dir=data_dir.resolve() if data_dir else None,
        throttle=doors.throttle.value,
        registrations_per_minute=doors.registrations or None,
        retry_after=doors.retry_after,
        page_size=page_size,
        faults=[Fault.parse(text) for text in fault or []],
        switches=Switches.parse(switch or []),
    )
    with emulator:
        if moment is not None:
            emulator.control.set_clock(moment)
        yield emulator


def _run(command: list[str], environment: Mapping[str, str], output: Output) -> int:
    try:
        child = subprocess.Popen(command, env=environment)  # noqa: S603 - running it is what was asked for
    except OSError as error:
        # As shells have it: 127, which no command of its own is likely to return.
        message = f"{command[0]} cannot be run: {error.strerror}"
        output.error(message, "the command stands behind --, as typed in a shell")
        return 127
    # Ctrl-C reaches the child from the terminal by itself; what is sent to us alone is passed on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = child.wait()
    return code if code >= 0 else 128 - code


def _ready(emulator: Emulator) -> dict[str, object]:
    return {
        "app": emulator.app,
        "apiToken": emulator.api_token,
        "caFile": str(emulator.ca_file),
        "idScope": emulator.id_scope,
        "dpsHost": emulator.dps_host,
        "mqttPort": emulator.mqtt_port,
        "pid": os.getpid(),
        "control": emulator.control_url,
    }


def _environment(emulator: Emulator, ledger: Path, *, moved: bool) -> dict[str, str]:
    return {
        "IOTC_APP": emulator.app,
        "IOTC_API_TOKEN": emulator.api_token,
        "IOTC_CA_FILE": str(emulator.ca_file),
        "IOTC_ID_SCOPE": emulator.id_scope,
        "IOTC_DPS_HOST": emulator.dps_host,
        "IOTC_MQTT_PORT": str(emulator.mqtt_port),
        "IOTC_EMULATOR_CONTROL": emulator.control_url,
        "IOTC_LEDGER": str(ledger.resolve()),
        # Commands that are to live in the emulator's time take theirs from it.
        **({"IOTC_CLOCK": "application"} if moved else {}),
    }


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not an ISO 8601 time"
        raise SettingsError(message, hint="as in 2027-01-31 or 2027-01-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
