"""Writes a device's configuration: judged before it is written, never over another unless told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iotc_admin.errors import SettingsError
from iotc_admin.pki import bundle
from iotc_admin.pki.store import PRIVATE, load_certificates, read_file, replace_file, write_new
from iotc_admin.workflows.edge.lint import lint, require
from iotc_admin.workflows.edge.material import look
from iotc_admin.workflows.edge.reading import Document, format_of, read
from iotc_admin.workflows.edge.settings import is_uri, path_of, uri_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from iotc_admin.workflows.edge.findings import Finding
    from iotc_admin.workflows.edge.format import Format
    from iotc_admin.workflows.edge.settings import EdgeSettings


@dataclass(frozen=True)
class Place:
    """A file by its path here, or by its URI on the device. `folder` is where it will lie on the device."""

    file: str
    folder: str | None = None

    @property
    def here(self) -> Path | None:
        """None for what is on the device only."""
        return None if is_uri(self.file) else Path(self.file)

    @property
    def uri(self) -> str:
        """How the configuration names it. SettingsError for a relative folder on the device."""
        if self.here is None:
            return self.file
        if self.folder is None:
            return uri_of(str(self.here.absolute()))
        return uri_of(f"{self.folder.rstrip('/')}/{self.here.name}")


def certificate_place(file: str, folder: str | None = None) -> Place:
    """The file with the full chain, where it lies beside the one that is named."""
    beside = bundle.chain_file_beside(file) if len(load_certificates(file)) == 1 else None
    return Place(str(beside or file), folder)


def key_place(certificate: str, key: str | None, folder: str | None = None) -> Place:
    """The key that is named, or lies beside its certificate.

    SettingsError if there is none, or if a PIN stands where everyone can read it.
    """
    if "pin-value" in (key or ""):
        message = "the PIN of a token does not belong on the command line, where others see it"
        raise SettingsError(message, hint="leave it out, and add it to the file, which is 0600")
    found = key or bundle.key_file_beside(certificate)
    if found is None:
        hint = (
            "name it: --key KEY; if it is on the device only, by its URI, as in file:///var/aziot/secrets/KEY"
        )
        raise SettingsError(f"no key lies beside {certificate}", hint=hint)
    return Place(str(found), folder)


def prepare(
    settings: EdgeSettings, form: Format, places: Iterable[Place], *, now: datetime
) -> tuple[str, list[Finding]]:
    """The text of the file, and warnings about it. NotAllowedHere if the device could not use it.

    What is on the device only is not judged.
    """
    text = settings.render(form)
    document = read(text, form)
    here = {path_of(place.uri): place.here for place in places}
    material = look(document, lambda path: here.get(path) or path)
    only_there = {str(path) for path, file in here.items() if file is None}
    judged = {setting: held for setting, held in material.items() if held.name not in only_there}
    findings = lint(document, judged, now=now)
    require(findings)
    return text, findings


def read_document(file: Path | str, form: Format | None = None) -> Document:
    """A configuration file. SettingsError if it cannot be read or is no text."""
    try:
        text = read_file(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8 text", hint="save it as UTF-8") from None
    return read(text, form or format_of(str(file), text))


def says_so_already(path: Path, data: bytes) -> bool:
    """Whether the file holds just this."""
    return path.is_file() and read_file(path) == data


def write(path: Path, data: bytes, *, replace: bool, mode: int = PRIVATE) -> bool:
    """Write; False if the file says so already. SettingsError if it says something else, unless `replace`."""
    if says_so_already(path, data):
        return False
    if replace:
        replace_file(path, data, mode)
    elif os.path.lexists(path):
        raise SettingsError(
            f"{path}: exists already, and says something else", hint="--replace writes over it"
        )
    else:
        write_new({path: (data, mode)})
    return True
