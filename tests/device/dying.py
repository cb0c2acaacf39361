"""A device that dies at its n-th step of a renewal, for n = 1, 2, ...; each time another one starts after it.

Run as a program of its own, single-threaded, so that a fork is a device. Steps are files written, linked,
renamed and removed, connections made, and whatever the renewal itself says it has done.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from iotc_admin import DeviceIdentity
from iotc_admin.device.renewal import Renewal, Way
from iotc_admin.pki.description import sha1_thumbprint

DEADLY = ("open", "os.link", "os.rename", "os.remove", "socket.connect")


class Death:
    """Comes at the n-th step."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in DEADLY:
            return
        reads = event == "open" and (
            arguments[1] in {"r", "rb"} or not arguments[2] & (os.O_CREAT | os.O_WRONLY)
        )
        if not reads:
            self.step()


def renew(directory: Path, new: Path, way: dict[str, Any], death: Death) -> None:
    renewal = Renewal(directory, _way(way, death.step))
    identity = DeviceIdentity.load(new)
    sys.addaudithook(death.audit)
    renewal.renew(identity)


def _way(way: dict[str, Any], on_step: Any) -> Way:
    return Way(
        id_scope=way["id_scope"],
        dps_host=way["dps_host"],
        mqtt_port=way["mqtt_port"],
        transport=way["transport"],
        ca_file=Path(way["ca_file"]),
        clock=lambda: datetime.now(UTC),
        sleep=lambda _: None,
        on_step=on_step,
    )


def forked(work: Any) -> int:
    """The signal that ended it, 0 if it came to its end."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def main(directory: Path, old: Path, new: Path, way: dict[str, Any]) -> None:
    for steps in count(1):
        home = directory / str(steps)
        Renewal(home, _way(way, lambda _: None)).begin(DeviceIdentity.load(old))
        ended = forked(lambda: renew(home, new, way, Death(steps)))  # noqa: B023 - called at once
        survivor = Renewal(home, _way(way, lambda _: None))
        before = sha1_thumbprint(survivor.identity.certificate)
        standing = survivor.start()
        after = sha1_thumbprint(standing.identity.certificate)
        found = {"ended": ended, "before": before, "after": after, "home": str(home)}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
        if not ended:
            return


if __name__ == "__main__":
    homes, before, after = map(Path, sys.argv[1:4])
    main(homes, before, after, json.loads(sys.argv[4]))
