"""A list of devices as people hand it in: an id a line, or CSV with a column `device_id`."""

from __future__ import annotations

import csv

from iotc_admin.cli.settings import read_text
from iotc_admin.errors import SettingsError


def read_ids(file: str) -> list[str]:
    """The ids in their order, each once. Raises `SettingsError` for lines without one."""
    hint = "an id a line, or CSV with a column device_id"
    text = read_text(file, hint=hint)
    lines = [line for line in text.splitlines() if line.strip()]
    header = next(csv.reader(lines[:1]), [])
    if "device_id" in header:
        found = [(row["device_id"] or "").strip() for row in csv.DictReader(lines)]
    else:
        found = [line.strip() for line in lines]
    if not all(found) or any("," in each for each in found):
        raise SettingsError(f"{file} has lines without a device id", hint=hint)
    return list(dict.fromkeys(found))
