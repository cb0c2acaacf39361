"""Hides what a common name may look like: X.509's limits, and the service's for device ids."""

from __future__ import annotations

import re

from iotc_admin.errors import NotAllowedHere

LONGEST_NAME = 64  # ub-common-name of RFC 5280; counted in UTF-8 bytes, as the strictest readers do
_DEVICE_ID = re.compile(r"[A-Za-z0-9\-._:]*[A-Za-z0-9\-]")


def fault_of_name(name: str) -> str:
    """Why `name` cannot be a common name, or the empty string."""
    if not name.strip():
        return "is empty"
    if not name.isprintable():
        return "holds characters that cannot be printed"
    length = len(name.encode(errors="surrogatepass"))
    return f"is {length} bytes long" if length > LONGEST_NAME else ""


def fault_of_device_id(device_id: str) -> str:
    """Why `device_id` cannot be a registration id, or the empty string."""
    if fault := fault_of_name(device_id):
        return fault
    return "" if _DEVICE_ID.fullmatch(device_id) else "holds characters the service does not accept"


def require_name(name: str) -> str:
    """`name` itself, if it may be a common name."""
    if fault := fault_of_name(name):
        raise NotAllowedHere(
            f"the name {name!r} {fault}", hint=f"a common name has 1 to {LONGEST_NAME} printable characters"
        )
    return name


def require_device_id(device_id: str) -> str:
    """`device_id` itself, if it may be a registration id."""
    if fault := fault_of_device_id(device_id):
        raise NotAllowedHere(f"the device id {device_id!r} {fault}", hint=DEVICE_ID_RULE)
    return device_id


DEVICE_ID_RULE = (
    f"a device id has 1 to {LONGEST_NAME} characters: letters, digits and - . _ : "
    "and ends in a letter, a digit or -"
)
