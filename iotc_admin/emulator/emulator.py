"""The emulator as a whole: start, stop, addresses. Hides where its state, keys and listeners are."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self

from iotc_admin.contract.access import RoleAssignment
from iotc_admin.emulator.access import issue
from iotc_admin.emulator.broker import ServiceBroker
from iotc_admin.emulator.clock import wall_clock
from iotc_admin.emulator.faults import Fault, Faults, RegistrationLimit, Throttle, ThrottleKind
from iotc_admin.emulator.service import Service
from iotc_admin.emulator.state import State
from iotc_admin.emulator.switches import Switches
from iotc_admin.emulator.tokens import ADMINISTRATOR, sign
from iotc_admin.errors import SettingsError

try:
    from iotc_admin.emulator import http, mqtt, tls
    from iotc_admin.emulator.control import Control, control_front
    from iotc_admin.emulator.listening import Listener, Listening
except ModuleNotFoundError as missing:
    if missing.name not in {"aiohttp", "OpenSSL"}:
        raise
    message = f"the emulator needs {missing.name}, which is not installed"
    raise SettingsError(message, hint="pip install 'iotc-admin[emulator]'") from missing

if TYPE_CHECKING:
    from types import TracebackType

    from iotc_admin.contract.access import Role
    from iotc_admin.emulator.exchange import Reply, Request
    from iotc_admin.emulator.records import TokenRecord

_LOOPBACK: Final = "127.0.0.1"
_OWN_TOKEN: Final = "emulator"  # noqa: S105 - the name of a token, not a token
_LONG: Final = timedelta(days=100 * 365)
_YEAR: Final = timedelta(days=365)


@dataclass(frozen=True)
class _Started:
    """What exists between start and stop."""

    service: Service
    ca_file: Path
    ports: tuple[int, ...]
    api_token: str = field(repr=False)
    secret: str = field(repr=False)
    stack: ExitStack = field(repr=False)


class Emulator:
    """One IoT Central application on this machine, between `start` and `stop` or inside `with`.

    REST, provisioning and WebSocket are on `port`, MQTT on `mqtt_port`; 0 picks a free one. A device that
    registers is told to come back after `retry_after` seconds.

    With `data_dir` all that was answered survives, whatever ends the process; without it all is forgotten.
    `clock` tells the time of day: it can also be moved later, by `control`, as faults can be added there.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        mqtt_port: int = 0,
        host: str = _LOOPBACK,
        data_dir: Path | None = None,
        throttle: ThrottleKind = "window",
        registrations_per_minute: int | None = 200,
        retry_after: int = 3,
        switches: Switches = Switches(),  # noqa: B008 - frozen
        faults: Iterable[Fault] = (),
        fault_rate: float = 0,
        seed: int | None = None,
        page_size: int = 25,
        clock: Callable[[], datetime] | None = None,
        wall_clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._port, self._mqtt_port, self._host = port, mqtt_port, host
        self._data_dir = data_dir
        self._throttle: ThrottleKind = throttle
        self._registrations, self._retry_after = RegistrationLimit(registrations_per_minute), retry_after
        self._switches, self._page_size = switches, page_size
        self._faults = Faults(faults, rate=fault_rate, seed=seed)
        self._wall_clock = wall_clock
        self._clock = clock or wall_clock
        self._started: _Started | None = None

    def __repr__(self) -> str:
        return f"Emulator({self.app!r})" if self._started else "Emulator(not started)"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Open state and listeners; SettingsError when the port or the directory is in use."""
        if self._started is not None:
            raise SettingsError("this emulator is running already", hint="start another Emulator()")
        with ExitStack() as stack:
            self._started = self._open(stack)
        return self

    def stop(self) -> None:
        """Close everything; without `data_dir` all is forgotten. Stopping twice is no mistake."""
        if self._started is not None:
            started, self._started = self._started, None
            started.stack.close()

    def answer(self, request: Request) -> Reply:
        """The in-process door: serves a request without a socket. ConnectionResetError for a lost answer."""
        return self._running.service.answer(request)

    @property
    def app(self) -> str:
        """The URL of the application."""
        return f"https://localhost:{self._running.ports[0]}"

    @property
    def api_token(self) -> str:
        """An administrator's token, good for a hundred years."""
        return self._running.api_token

    @property
    def ca_file(self) -> Path:
        """The certificate that clients need to trust."""
        return self._running.ca_file

    @property
    def id_scope(self) -> str:
        return self._running.service.state.application.id_scope

    @property
    def dps_host(self) -> str:
        """Host and port of the HTTPS side."""
        return f"localhost:{self._running.ports[0]}"

    @property
    def mqtt_port(self) -> int:
        """The port for MQTT, of provisioning as of the hub."""
        return self._running.ports[1]

    @property
    def seed(self) -> int:
        """What the random faults were drawn from."""
        return self._faults.seed

    @property
    def control(self) -> Control:
        """The clock, faults and the journal of requests."""
        return Control(self._running.service)

    @property
    def control_url(self) -> str:
        """The same over HTTP; whoever knows the URL may use it."""
        return f"http://{_LOOPBACK}:{self._running.ports[2]}/{self._running.secret}"

    def issue_token(
        self, token_id: str, *, role: Role = ADMINISTRATOR, expiry: datetime | None = None
    ) -> str:
        """Another API token, good for a year unless told otherwise."""
        state = self._running.service.state
        with state.transaction():
            record = _issue(state, token_id, role, expiry or state.clock.now() + _YEAR)
        return sign(state.application.id, record)

    @property
    def _running(self) -> _Started:
        if self._started is None:
            raise SettingsError("the emulator is not started", hint="use `with Emulator() as emulator:`")
        return self._started

    def _open(self, stack: ExitStack) -> _Started:
        directory = self._data_dir or Path(stack.enter_context(TemporaryDirectory(prefix="iotc-emulator-")))
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as failure:
            message = f"{directory} cannot hold the state: {failure.strerror}"
            raise SettingsError(message, hint="choose another --data-dir") from failure
        state = self._open_state(directory)
        stack.callback(state.close)
        service = Service(state, Throttle(self._throttle), self._registrations, self._faults)
        secret = secrets.token_hex(16)
        listening = self._listen(service, directory, secret)
        stack.callback(listening.stop)
        return _Started(
            service, directory / tls.CA_FILE, listening.ports, _own_token(state), secret, stack.pop_all()
        )

    def _open_state(self, directory: Path) -> State:
        path = directory / "state.sqlite" if self._data_dir else None
        return State(
            path,
            switches=self._switches,
            page_size=self._page_size,
            retry_after=self._retry_after,
            clock=self._clock,
        )

    def _listen(self, service: Service, directory: Path, secret: str) -> Listening:
        now = self._wall_clock()
        context = tls.server_context(tls.authority(directory, now=now), now=now)
        broker = ServiceBroker(service)
        listeners = [
            Listener(lambda: http.Door(http.front(service, broker)), self._host, self._port, context),
            Listener(lambda: mqtt.Door(broker), self._host, self._mqtt_port, context),
            Listener(lambda: http.Door(control_front(Control(service), secret)), _LOOPBACK),
        ]
        try:
            return Listening(listeners)
        except OSError as failure:
            hint = "choose another --port or --mqtt-port, or 0 for a free one"
            message = f"cannot listen on {failure.filename}: {failure.strerror}"
            raise SettingsError(message, hint=hint) from failure


def _own_token(state: State) -> str:
    with state.transaction():
        record = state.tokens.get(_OWN_TOKEN)
        record = record or _issue(state, _OWN_TOKEN, ADMINISTRATOR, state.clock.now() + _LONG)
    return sign(state.application.id, record)


def _issue(state: State, token_id: str, role: Role, expiry: datetime) -> TokenRecord:
    return issue(state, token_id, (RoleAssignment(role=role.id or ""),), expiry)
