"""The user's config file: named sets of settings. Hides where it is, how it is read, and how it is edited.

Edited whole, 0600, one writer at a time; what else stands in it, comments included, stays.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

NAME: Final = "iotc-admin"
KEYS: Final = ("app", "ca_file", "token_file", "output", "ledger", "id_scope", "dps_host", "mqtt_port")
PROFILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OTHERS_TURN: Final = 10.0


@dataclass(frozen=True)
class Profiles:
    """What stands in the file: every profile by its name, and the one that is used when none is named."""

    file: Path
    default: str | None
    by_name: Mapping[str, Any]

    def settings(self, name: str) -> Mapping[str, Any]:
        """The settings of one profile. Raises `SettingsError` if there is none, or an unknown key in it."""
        found = self.by_name.get(name)
        if not isinstance(found, dict):
            known = ", ".join(self.by_name) or "none"
            message = f"there is no profile {name!r} in {self.file}"
            hint = f"make it: iotc-admin profile add {name} --app myapp; known are: {known}"
            raise SettingsError(message, hint=hint)
        unknown = sorted(set(found) - set(KEYS))
        if unknown:
            message = f"the profile {name!r} in {self.file} has an unknown key: {', '.join(unknown)}"
            raise SettingsError(
                message, hint=f"known are {', '.join(KEYS)}; a token stands in a file of its own"
            )
        return dict(found)


def config_file() -> Path:
    """Where profiles stand, whether or not the file is there."""
    import platformdirs

    return platformdirs.user_config_path(NAME, appauthor=False) / "config.toml"


def read_profiles() -> Profiles:
    """The file as it is; nothing in it when there is none. Raises `SettingsError` when it is not readable."""
    file = config_file()
    try:
        return _profiles(file, tomllib.loads(_text(file)))
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from None


def known_profiles(incomplete: str = "") -> list[str]:
    """The names that may be completed; none where the file cannot be read."""
    try:
        names = list(read_profiles().by_name)
    except SettingsError:
        return []
    return [name for name in names if name.startswith(incomplete) and PROFILE_NAME.fullmatch(name)]


def edit(change: Callable[[TOMLDocument], None]) -> None:
    """Change the file; an error from `change` leaves it as it is. Raises `SettingsError`."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    from iotc_admin.pki.store import PRIVATE, replace_file

    # Where somebody keeps it elsewhere and links to it, that file is the one to write.
    file = config_file().resolve()
    with _alone(config_file()):
        try:
            document = tomlkit.parse(_text(file))
            _ = _profiles(file, document.unwrap())
        except (OSError, ValueError, TOMLKitError) as error:
            raise _unreadable(file, error) from None
        change(document)
        replace_file(file, tomlkit.dumps(document).encode(), PRIVATE)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One writer at a time, of all processes; a lock of SQLite's goes with its process."""
    import sqlite3

    lock = file.with_suffix(".lock")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with closing(sqlite3.connect(lock, timeout=_OTHERS_TURN, isolation_level=None)) as turn:
            turn.execute("BEGIN EXCLUSIVE")
            yield
    except (OSError, sqlite3.Error) as error:
        hint = f"check the folder {file.parent}: its owner and its mode"
        raise SettingsError(f"{file} cannot be edited: {error}", hint=hint) from None


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""


def _profiles(file: Path, document: Mapping[str, Any]) -> Profiles:
    found, default = document.get("profiles", {}), document.get("default")
    if not isinstance(found, dict) or not isinstance(default, str | None):
        raise ValueError("profiles is no table, or default no text")  # noqa: TRY004 - translated above
    return Profiles(file, default or None, found)


def _unreadable(file: Path, error: Exception) -> SettingsError:
    return SettingsError(f"{file} cannot be read: {error}", hint="it is a TOML file with [profiles.NAME]")
