"""Settings: option, then environment, then profile. The only place that reads the environment."""

from __future__ import annotations

import codecs
import getpass
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.cli.config_file import NAME
from iotc_admin.cli.output import OUTPUTS, Output, plain
from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.client.credentials import Credential, EntraToken
    from iotc_admin.ledger.ledger import Ledger, Run
    from iotc_admin.pki.keys import KeyAccess

_LONGEST_PORT: Final = 5
# What a signer has no business with.
_SECRETS: Final = ("IOTC_API_TOKEN", "IOTC_PIN")
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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
    profile_name: str | None = None

    @classmethod
    def begin(cls, command: str, options: Options) -> Session:
        """Raises `SettingsError` for a profile that is not there."""
        return cls._of(command, options, *_chosen(options.profile or os.environ.get("IOTC_PROFILE")))

    @classmethod
    def without_profile(cls, command: str, options: Options) -> Session:
        """For what has to work whatever the config file holds."""
        return cls._of(command, options, None, {})

    @classmethod
    def _of(cls, command: str, options: Options, name: str | None, profile: Mapping[str, Any]) -> Session:
        session = cls(command, options, dict(os.environ), datetime.now(UTC), profile, name)
        _log(requests=options.verbose)
        # What is wrong with the output must not come to light after the work is done.
        _ = session.output
        return session

    @property
    def output(self) -> Output:
        wanted = self._setting(self.options.output, "IOTC_OUTPUT", "output") or "table"
        if wanted not in OUTPUTS:
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
    def app(self) -> str:
        """The application, as it was named. Raises `SettingsError` when none is."""
        app = self._setting(self.options.app, "IOTC_APP", "app")
        if not app:
            raise SettingsError("no application is named", hint="--app myapp, or IOTC_APP, or a profile")
        return app

    @property
    def pace_file(self) -> Path:
        """What all processes of this user share to keep the pace."""
        return self._folder("state") / "pace.db"

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

        app = self.app
        credential = self._credential()
        trusted = self.ca_file

        def opened(offset: timedelta) -> Client:
            pacer = Pacer(str(Origin.of(app)), file=self.pace_file)
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

        return Ledger(self.ledger_file)

    def ledger_if_any(self) -> Ledger | None:
        """The ledger for reading; None when nothing was ever written."""
        return self.ledger() if self.ledger_file.exists() else None

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
        text = self.token
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
        from iotc_admin.client.credentials import ApiToken

        text = self.token
        if text is None:
            return entra_token()
        token = ApiToken(text)
        if warning := token.warning(datetime.now(UTC)):
            self.output.warn(warning)
        return token

    @property
    def token(self) -> str | None:
        """The API token's text; None when Entra ID is to be asked. Raises `SettingsError`."""
        if self.options.token_file:
            return read_secret(self.options.token_file)
        if token := self.environment.get("IOTC_API_TOKEN"):
            return token
        file = self.token_file
        if file and not self._of_profiles_application():
            message = (
                f"the token of profile {self.profile_name!r} is for {self.profile['app']}, not {self.app}"
            )
            raise SettingsError(message, hint="name a token for it: --token-file or IOTC_API_TOKEN")
        return read_secret(str(file)) if file else None

    @property
    def token_file(self) -> Path | None:
        """The file of the API token, if one is named and the environment holds no token."""
        named = self.options.token_file
        if not named and not self.environment.get("IOTC_API_TOKEN"):
            named = self._setting(None, "", "token_file")
        return Path(named).expanduser() if named else None

    def _of_profiles_application(self) -> bool:
        """A profile's token goes to the profile's application, whatever else is named."""
        from iotc_admin.client.origin import Origin

        own = self.profile.get("app")
        return not isinstance(own, str) or Origin.of(own) == Origin.of(self.app)

    @property
    def ledger_file(self) -> Path:
        """Where certificates are remembered, whether or not the file is there."""
        return self.named_ledger or self._folder("data") / "ledger.db"

    def _folder(self, kind: str) -> Path:
        import platformdirs

        dirs = platformdirs.PlatformDirs(NAME, appauthor=False)
        return {"data": dirs.user_data_path, "state": dirs.user_state_path}[kind]

    def source(self, option: str | int | None, name: str, variable: str, key: str) -> str:
        """Where a setting comes from, for people: the option `name`, the variable, or the profile."""
        if option:
            return name
        if self.environment.get(variable):
            return variable
        return f"profile {self.profile_name}" if self.profile.get(key) else "default"

    def _setting(self, option: str | None, variable: str, key: str) -> str | None:
        value = option or self.environment.get(variable) or self.profile.get(key)
        if value is not None and not isinstance(value, str):
            raise SettingsError(f"{key} in the profile is {value!r}, not text", hint=f'write {key} = "..."')
        return value


def entra_token() -> EntraToken:
    """Entra ID, asked when a request needs it."""
    from iotc_admin.client.credentials import EntraToken

    _hush_azure()
    return EntraToken()


def read_text(file: str, *, hint: str) -> str:
    """The text of a file in UTF-8; or in UTF-16 with a mark of it in front, as PowerShell writes it."""
    from iotc_admin.pki.store import read_file

    data = read_file(file)
    try:
        return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not text", hint=hint) from None


def read_secret(file: str) -> str:
    """The one line of a file that holds a token or a password, its line end aside."""
    secret = read_text(file, hint="it should hold one line").rstrip("\r\n")
    if not secret:
        raise SettingsError(f"{file} is empty", hint="it should hold one line")
    return secret


def _chosen(name: str | None) -> tuple[str | None, Mapping[str, Any]]:
    """The profile of this name, else the default one, else none."""
    from iotc_admin.cli.config_file import read_profiles

    profiles = read_profiles()
    chosen = name or profiles.default
    return chosen, profiles.settings(chosen) if chosen else {}


def _hush_azure() -> None:
    # What Azure's libraries have to say comes as our own error; their log is for their developers.
    logging.getLogger("azure").addHandler(logging.NullHandler())


class _Worded(logging.Formatter):
    """A warning is called one here, too."""

    def format(self, record: logging.LogRecord) -> str:
        said = super().format(record)
        return f"warning: {said}" if record.levelno == logging.WARNING else said


def _log(*, requests: bool) -> None:
    logger = logging.getLogger("iotc_admin")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(_Worded("%(message)s"))
        logger.addHandler(handler)
    if requests:
        logger.setLevel(logging.INFO)
