"""What a refusal of DPS, of a hub or in TLS means: likely cause and what to do, as data.

`ID` in a text stands for the device's registration id. Rows are read from the top; the first that fits wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Source = Literal["dps", "hub", "connack", "tls"]


@dataclass(frozen=True)
class Explanation:
    """`transient`: the same request may succeed in a moment."""

    cause: str
    fix: str
    transient: bool = False


class _Row(NamedTuple):
    source: Source
    code: str
    text: str
    cause: str
    fix: str
    transient: bool = False


_EXPLAIN: Final = "iotc-admin device explain ID --cert CERT tells which enrollment decides"
_UNBLOCK: Final = "iotc-admin device update ID --unblock; if it is new, iotc-admin device show ID"
_LEAF: Final = "iotc-admin cert check CERT --device ID says what is wrong with the certificate"
_NOT_ALLOWED: Final = "the device waits for approval or is blocked in the application"
_TOO_MANY: Final = "too many registrations: 200 a minute for an application, 1000 for a DPS"
_OTHER_THUMBPRINT: Final = (
    "the hub holds another certificate's thumbprint for this device, or the device is disabled there"
)

# Code and text are regular expressions; the code has to match as a whole, the text anywhere.
_ROWS: Final = (
    _Row("dps", "400004", "", "the registration id has characters, a case or a length that DPS does not take",
         "use 1 to 64 letters, digits and - as id: iotc-admin cert device ID"),
    _Row("dps", "400209", "", _NOT_ALLOWED, _UNBLOCK),
    _Row("dps", ".*", "custom allocation failed", "the application refused to assign the device: it is "
         "blocked, or nobody approved it", _UNBLOCK),
    _Row("dps", "disabled", "", "the enrollment that decides for this device is disabled; no other one is "
         "asked", "iotc-admin group update NAME --enable, or iotc-admin device update ID --unblock"),
    _Row("dps", "401002", "signing certificate info", "the chain was sent, but none of its certificates is "
         "in a slot of a group, or the one that is there is not verified",
         "iotc-admin group list shows what is in the slots; " + _EXPLAIN),
    _Row("dps", "401002", "ca certificate not found", "the intermediate certificates were not sent, or no "
         "group has this CA", "give the _fullchain.pem as --cert; " + _EXPLAIN),
    _Row("dps", "401002", "invalid certificate", "the certificate has expired, is a CA's, or is not the one "
         "of this device's individual enrollment", _LEAF + "; " + _EXPLAIN),
    _Row("dps", "401002|", "unauthorized access|iothubunauthorized", "the hub did not accept the assignment, "
         "which at times passes by itself", "repeat in a minute; if it stays: " + _EXPLAIN, transient=True),
    _Row("dps", "401002", "", "no enrollment accepts this certificate", _EXPLAIN),
    _Row("dps", "401[0-9]*", "", "no enrollment knows this device, or nobody approved it", _EXPLAIN),
    _Row("dps", "403[0-9]*", "", _NOT_ALLOWED, _UNBLOCK),
    _Row("dps", "404[0-9]*", "", "the ID scope is wrong, or DPS does not know this registration",
         "compare --id-scope with iotc-admin device credentials ID"),
    _Row("dps", "(409|412)[0-9]*", "", "somebody changes the same enrollment or registers the same device "
         "at this moment", "repeat in a minute"),
    _Row("dps", "429[0-9]*", "", _TOO_MANY, "repeat in a minute, devices a few at a time", transient=True),
    _Row("dps", "5[0-9]+", "", "DPS failed", "repeat in a minute", transient=True),
    _Row("hub", ".*", "DEVICE_DISABLED", "the device was moved to another hub, or is disabled in this one",
         "connect again, which registers anew; if it stays: iotc-admin device update ID --unblock"),
    _Row("hub", ".*", "DEVICE_BLOCKED", "the device is blocked in the application",
         "iotc-admin device update ID --unblock"),
    _Row("hub", "401[0-9]*|.*Unauthorized.*", "", _OTHER_THUMBPRINT,
         "connect again, which registers anew with this certificate; " + _LEAF),
    _Row("hub", "403[0-9]*", "", "the device is disabled, or the hub's daily messages are used up",
         "iotc-admin device update ID --unblock"),
    _Row("hub", "404[0-9]*", "", "the hub does not know the device: it was deleted or moved to another hub",
         "connect again, which registers anew; iotc-admin device show ID"),
    _Row("hub", "413[0-9]*", "", "the message is larger than 256 KiB", "send less at once"),
    _Row("hub", "429[0-9]*", "", "the hub throttles: too many messages at once",
         "send slower: --interval S", transient=True),
    _Row("hub", "5[0-9]+", "", "the hub failed", "repeat in a minute", transient=True),
    _Row("connack", "2", "", "the server does not take the registration id as client id",
         "use letters, digits and - in the device's id"),
    _Row("connack", "3", "", "the server is out of service for now, or throttles", "repeat in a minute",
         transient=True),
    _Row("connack", "[45]", "DPS", "DPS did not accept certificate, ID scope or registration id",
         "--transport https tells DPS's own reason; " + _EXPLAIN),
    _Row("connack", "[45]", "", _OTHER_THUMBPRINT,
         "connect again, which registers anew with this certificate; " + _LEAF),
    _Row("tls", ".*EXPIRED.*", "", "the device's certificate, or one of its chain, has expired",
         "issue a new one: iotc-admin cert device ID --issuer CERT"),
    _Row("tls", ".*UNKNOWN_CA.*", "", "the server knows no CA of the device's chain, or no chain was sent",
         "give the _fullchain.pem as --cert; " + _EXPLAIN),
    _Row("tls", ".*REVOKED.*", "", "the device's certificate is revoked",
         "issue a new one: iotc-admin cert device ID --issuer CERT"),
    _Row("tls", ".*CERTIFICATE.*|.*DECRYPT_ERROR.*", "",
         "the server does not accept the device's certificate", _LEAF),
    _Row("tls", ".*PROTOCOL_VERSION.*", "", "the server speaks no TLS 1.2 or newer", "check --dps-host"),
    _Row("tls", ".*", "", "the server broke the handshake off: often for the device's certificate",
         _LEAF + "; check --dps-host and the port"),
)  # fmt: skip

_UNKNOWN: Final = {
    "dps": _EXPLAIN,
    "hub": "connect again, which registers anew; " + _LEAF,
    "connack": "check --dps-host and --mqtt-port",
    "tls": _LEAF,
}


def explain(source: Source, code: str, text: str, device: str) -> Explanation:
    """The likely cause of a refusal, and what to do. `cause` is empty for a refusal nobody has met."""
    for row in _ROWS:
        if (
            row.source == source
            and re.fullmatch(row.code, code, re.IGNORECASE)
            and re.search(row.text, text, re.IGNORECASE)
        ):
            return Explanation(row.cause, _naming(device, row.fix), row.transient)
    return Explanation("", _naming(device, _UNKNOWN[source]))


def _naming(device: str, fix: str) -> str:
    return re.sub(r"\bID\b(?! scope)", lambda _: device, fix)
