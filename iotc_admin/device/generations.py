"""Hides how a device keeps its certificates on disk: numbered generations; a file names the one in use.

    0001_cert.pem  0001_fullchain.pem  0001_key.pem    0002_...    current

`current` says `0001`, and `trying 0002` in a second line while that one is being tried. Each change is one
rename of that file, so whatever ends the process leaves the state before the change, or the one after it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iotc_admin.errors import NotAllowedHere, OutsideValidity, PkiError, SettingsError
from iotc_admin.pki import store
from iotc_admin.pki.description import common_name
from iotc_admin.pki.identity import DeviceIdentity

if TYPE_CHECKING:
    from datetime import datetime

_NUMBERED: Final = re.compile(r"([0-9]{4,9})_(cert|fullchain|key)\.pem")
_POINTER: Final = re.compile(r"([0-9]{4,9})\n(?:trying ([0-9]{4,9})\n)?")
_LEFT_BEHIND: Final = ".iotc-*"
_MINUTE: Final = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class _Pointer:
    """Which generation is in use, and which is being tried."""

    current: str
    trying: str | None = None

    def text(self) -> str:
        return f"{self.current}\n" + (f"trying {self.trying}\n" if self.trying else "")


class Generations:
    """The certificates of one device, in a directory of their own; for one process at a time."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._file = self.directory / "current"

    @property
    def current(self) -> DeviceIdentity:
        """The identity in use. SettingsError before the first was put in."""
        return self._load(self._pointer().current)

    @property
    def trying(self) -> DeviceIdentity | None:
        """The identity that is being tried, if one is."""
        number = self._pointer().trying
        return None if number is None else self._load(number)

    def begin(self, identity: DeviceIdentity, now: datetime) -> None:
        """The first identity of this device. SettingsError when there is one."""
        if self._file.exists():
            message = f"{self.directory} holds a device's certificates already"
            raise SettingsError(message, hint="renew it there, or choose an empty directory")
        _require_usable(identity, now)
        self._point(_Pointer(self._add(identity)))

    def stage(self, identity: DeviceIdentity, now: datetime) -> None:
        """From now on this one is being tried; the one in use stays. PkiError for one that cannot serve."""
        pointer = self._pointer()
        _require_usable(identity, now)
        _require_same_device(identity, self._load(pointer.current))
        number = self._add(identity)
        self._sweep({pointer.current, number})
        self._point(_Pointer(pointer.current, number))

    def commit(self) -> None:
        """What is being tried is the one in use."""
        pointer = self._pointer()
        self._point(_Pointer(pointer.trying or pointer.current))

    def give_up(self) -> None:
        """Nothing is being tried any more."""
        self._point(_Pointer(self._pointer().current))

    def _pointer(self) -> _Pointer:
        if not self._file.exists():
            message = f"{self.directory} holds no certificate of a device"
            raise SettingsError(message, hint="put the device's first identity in: begin()")
        found = _POINTER.fullmatch(store.read_file(self._file).decode("ascii", "replace"))
        if found is None:
            message = f"{self._file} does not say which certificate is in use"
            raise SettingsError(message, hint="write the number of a generation into it, as in 0001")
        return _Pointer(found[1], found[2])

    def _point(self, pointer: _Pointer) -> None:
        store.replace_file(self._file, pointer.text().encode())

    def _add(self, identity: DeviceIdentity) -> str:
        taken = [int(found[1]) for found in map(_NUMBERED.fullmatch, self._names()) if found]
        number = f"{max(taken, default=0) + 1:04}"
        store.save_identity(self.directory, number, identity)
        # What was written is what will be used: a disk that lies is found out before anything depends on it.
        if self._load(number) != identity:
            message = f"{self.directory}: what was written as {number} is not what is read back"
            raise SettingsError(message, hint="check the disk")
        return number

    def _load(self, number: str) -> DeviceIdentity:
        path = self.directory / f"{number}_fullchain.pem"
        return DeviceIdentity.load(path, str(self.directory / f"{number}_key.pem"))

    def _names(self) -> list[str]:
        return [path.name for path in self.directory.glob("*")]

    def _sweep(self, kept: set[str]) -> None:
        """Older keys, and what a lost power left behind.

        Called when a new generation is safely on disk, and with it the rename that made the older ones old.
        """
        for path in [*self.directory.glob("*_*.pem"), *self.directory.glob(_LEFT_BEHIND)]:
            found = _NUMBERED.fullmatch(path.name)
            if path.match(_LEFT_BEHIND) or (found and found[1] not in kept):
                path.unlink(missing_ok=True)


def _require_usable(identity: DeviceIdentity, now: datetime) -> None:
    certificate = identity.certificate
    if identity.key is None:
        raise PkiError("the new certificate came without its key", hint="hand both in as one DeviceIdentity")
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= now <= last:
        message = (
            f"the new certificate is valid from {first:{_MINUTE}} to {last:{_MINUTE}}, not at {now:{_MINUTE}}"
        )
        raise OutsideValidity(message, hint="check the device's clock, or issue another certificate")


def _require_same_device(identity: DeviceIdentity, current: DeviceIdentity) -> None:
    new, old = common_name(identity.certificate), common_name(current.certificate)
    if new != old:
        message = f"the new certificate is for {new!r}, but this device is {old!r}"
        raise NotAllowedHere(message, hint=f"issue it with the same name, or a second device appears: {old}")
