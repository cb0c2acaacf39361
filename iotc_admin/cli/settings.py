"""Settings: option, then environment, then profile. The only place that reads the environment."""

from __future__ import annotations

import getpass
import logging
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.cli.output import Output, plain
from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.client.credentials import Credential
    from iotc_admin.ledger.ledger import Ledger, Run
    from iotc_admin.pki.keys import KeyAccess

_NAME: Final = "iotc-admin"
_LONGEST_PORT: Final = 5
_OUTPUTS: Final = ("table", "json")
# What a signer has no business with.
_SECRETS: Final = ("IOTC_API_TOKEN", "IOTC_PIN")
_KEYS: Final = ("app", "ca_file", "token_file", "output", "ledger", "id_scope", "dps_host", "mqtt_port")


@dataclass(frozen=True)
class Options:
    """What stood on the command line."""

    app: str | None = None
    profile: str | None = None
    ca_file: str | None = None
    token_file: str | None = None
    output: str | None = None
    ledger: str | None = None
    quiet: bool = False
    verbose: bool = False
    yes: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Session:
    """One run of the command line: its settings, and what they open."""

    command: str
    options: Options
    environment: Mapping[str, str] = field(repr=False)
    started: datetime
    profile: Mapping[str, Any]

    @classmethod
    def begin(cls, command: str, options: Options) -> Session:
        """Raises `SettingsError` for a profile that is not there."""
        environment = dict(os.environ)
        name = options.profile or environment.get("IOTC_PROFILE")
        session = cls(command, options, environment, datetime.now(UTC), _profile(name) if name else {})
        if options.verbose:
            _log_requests()
        # What is wrong with the output must not come to light after the work is done.
        _ = session.output
        return session

    @property
    def output(self) -> Output:
        wanted = self._setting(self.options.output, "IOTC_OUTPUT", "output") or "table"
        if wanted not in _OUTPUTS:
            raise SettingsError(
                f"{wanted!r} is no output", hint="IOTC_OUTPUT, and output in a profile, take table or json"
            )
        return Output(json=wanted == "json", quiet=self.options.quiet)

    @property
    def yes(self) -> bool:
        return self.options.yes

    @property
    def dry_run(self) -> bool:
        return self.options.dry_run

    @property
    def ca_file(self) -> Path | None:
        """Trusted besides the system's store."""
        ca_file = self._setting(self.options.ca_file, "IOTC_CA_FILE", "ca_file")
        return Path(ca_file).expanduser() if ca_file else None

    def id_scope(self, option: str | None) -> str | None:
        """The application's ID scope, if a setting names it."""
        return self._setting(option, "IOTC_ID_SCOPE", "id_scope")

    def dps_host(self, option: str | None) -> str:
        """Where DPS is; Azure's own unless a setting names another."""
        from iotc_admin.device.connect import DPS_HOST

        return self._setting(option, "IOTC_DPS_HOST", "dps_host") or DPS_HOST

    def mqtt_port(self, option: int | None) -> int | None:
        """The port for MQTT, if a setting names it."""
        text = self._setting(None if option is None else str(option), "IOTC_MQTT_PORT", "mqtt_port")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_PORT):
            raise SettingsError(f"{text!r} is no port", hint="IOTC_MQTT_PORT takes a number, as in 8883")
        return int(text)

    def client(self) -> Client:
        """The application. Raises `SettingsError` if none is named or there is no way in."""
        from iotc_admin.client._application import utc_now
        from iotc_admin.client.client import Client
        from iotc_admin.client.origin import Origin
        from iotc_admin.client.pacing import Pacer

        app = self._setting(self.options.app, "IOTC_APP", "app")
        if not app:
            raise SettingsError("no application is named", hint="--app myapp, or IOTC_APP, or a profile")
        credential = self._credential()
        trusted = self.ca_file
        pace = self._folder("state") / "pace.db"

        def opened(offset: timedelta) -> Client:
            pacer = Pacer(str(Origin.of(app)), file=pace)
            return Client(app, credential, ca_file=trusted, pacer=pacer, clock=lambda: utc_now() + offset)

        return opened(self._offset(opened))

    def key_access(self) -> KeyAccess:
        """How keys are reached that the command line names and that are in no file."""
        from iotc_admin.pki.keys import KeyAccess

        module = self.environment.get("IOTC_PKCS11_MODULE")
        environment = {name: each for name, each in self.environment.items() if name not in _SECRETS}
        _hush_azure()
        return KeyAccess(
            pin=self._pin, modules=(module,) if module else (), may_run=True, environment=environment
        )

    def ledger(self) -> Ledger:
        """The ledger. Raises `SettingsError` when it cannot be used."""
        from iotc_admin.ledger.ledger import Ledger

        return Ledger(self._ledger_file())

    def ledger_if_any(self) -> Ledger | None:
        """The ledger for reading; None when nothing was ever written."""
        return self.ledger() if self._ledger_file().exists() else None

    def run(self) -> Run:
        """This run, as the ledger is to record it."""
        return self.ledger().run(self.command, self.started)

    @property
    def actor(self) -> str:
        """Who does it, for the journal: the user of this machine, and the name of the API token."""
        from iotc_admin.client.credentials import ApiToken

        try:
            user = getpass.getuser()
        except (OSError, KeyError):
            user = "unknown user"
        text = self._token()
        return f"{user} (API token {ApiToken(text).name})" if text else user

    @property
    def named_ledger(self) -> Path | None:
        """The ledger that a setting names, if one does."""
        named = self._setting(self.options.ledger, "IOTC_LEDGER", "ledger")
        return Path(named).expanduser() if named else None

    def _offset(self, opened: Any) -> timedelta:
        # For rehearsals against an emulator whose clock was moved: its time counts, not this machine's.
        if self.environment.get("IOTC_CLOCK", "") != "application":
            return timedelta()
        with opened(timedelta()) as client:
            next(client.roles.list(), None)
            return client.skew or timedelta()

    def _pin(self, token: str) -> str | None:
        """The PIN of a token; asked for at a terminal only."""
        pin = self.environment.get("IOTC_PIN")
        if pin or not all(stream and stream.isatty() for stream in (sys.stdin, sys.stderr)):
            return pin
        try:
            return getpass.getpass(f"PIN of {plain(token)}: ", sys.stderr)
        except EOFError:
            return None

    def _credential(self) -> Credential:
        from iotc_admin.client.credentials import ApiToken, EntraToken

        text = self._token()
        if text is None:
            _hush_azure()
            return EntraToken()
        token = ApiToken(text)
        if warning := token.warning(datetime.now(UTC)):
            self.output.warn(warning)
        return token

    def _token(self) -> str | None:
        if self.options.token_file:
            return read_secret(self.options.token_file)
        if token := self.environment.get("IOTC_API_TOKEN"):
            return token
        file = self.profile.get("token_file")
        return read_secret(str(Path(str(file)).expanduser())) if file else None

    def _ledger_file(self) -> Path:
        return self.named_ledger or self._folder("data") / "ledger.db"

    def _folder(self, kind: str) -> Path:
        import platformdirs

        dirs = platformdirs.PlatformDirs(_NAME, appauthor=False)
        return {"data": dirs.user_data_path, "state": dirs.user_state_path}[kind]

    def _setting(self, option: str | None, variable: str, key: str) -> str | None:
        value = option or self.environment.get(variable) or self.profile.get(key)
        if value is not None and not isinstance(value, str):
            raise SettingsError(f"{key} in the profile is {value!r}, not text", hint=f'write {key} = "..."')
        return value


def read_secret(file: str) -> str:
    """The one line of a file that holds a token or a password, its line end aside."""
    from iotc_admin.pki.store import read_file

    try:
        text = read_file(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not text", hint="it should hold one line") from None
    secret = text.rstrip("\r\n")
    if not secret:
        raise SettingsError(f"{file} is empty", hint="it should hold one line")
    return secret


def _profile(name: str) -> Mapping[str, Any]:
    import platformdirs

    file = platformdirs.user_config_path(_NAME, appauthor=False) / "config.toml"
    try:
        profiles = tomllib.loads(file.read_text(encoding="utf-8")).get("profiles", {})
    except FileNotFoundError:
        profiles = {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read: {error}", hint="it is a TOML file") from None
    if not isinstance(profiles, dict) or not isinstance(profiles.get(name), dict):
        message = f"there is no profile {name!r} in {file}"
        raise SettingsError(
            message, hint=f"write a table [profiles.{name}] there; known are: {', '.join(profiles) or 'none'}"
        )
    unknown = sorted(set(profiles[name]) - set(_KEYS))
    if unknown:
        message = f"the profile {name!r} in {file} has an unknown key: {', '.join(unknown)}"
        raise SettingsError(
            message, hint=f"known are {', '.join(_KEYS)}; a token stands in a file of its own"
        )
    return dict(profiles[name])


def _hush_azure() -> None:
    # What Azure's libraries have to say comes as our own error; their log is for their developers.
    logging.getLogger("azure").addHandler(logging.NullHandler())


def _log_requests() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("iotc_admin")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
