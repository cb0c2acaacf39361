"""Files of this tool: whether the ledger is sound, and who else may read or write them."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from iotc_admin.ledger.health import examine
from iotc_admin.pki.store import open_to_others
from iotc_admin.workflows.doctor.findings import Found, failed, ok, skipped, warning, worst

if TYPE_CHECKING:
    from iotc_admin.workflows.doctor.case import Case

_OTHERS_WRITE, _ANYBODY_WRITES = 0o022, 0o002


def ledger(case: Case) -> Found:
    file = case.ledger
    if file is None:
        return skipped("because check 1 failed")
    if not file.exists():
        return skipped(f"there is none yet: {file} is made by the first certificate")
    health = examine(file)
    if health.newer:
        cause = "a newer version of iotc-admin wrote it"
        fix = "update iotc-admin, or name another file: --ledger FILE (IOTC_LEDGER)"
        return failed(f"{file}: {health.fault}", cause, fix)
    if health.fault:
        cause = "the file is damaged, is no ledger, or may not be read"
        fix = (
            "move it away and restore a copy, or import the certificates anew: iotc-admin ledger import CERT"
        )
        return failed(f"{file}: {health.fault}", cause, fix)
    return ok(f"{file} is sound (certificates: {health.certificates}, events: {health.events})")


def modes(case: Case) -> Found:
    ledger = [Path(f"{case.ledger}{ending}") for ending in ("", "-wal", "-shm") if case.ledger]
    files = [each for each in (*ledger, *case.private) if each.is_file()]
    if not files:
        return skipped("there are no files yet")
    folders = list(dict.fromkeys(each.absolute().parent for each in files))
    found = [*map(_of_folder, folders), *map(_of_file, files)]
    wrong = [each for each in found if each is not None]
    return (
        worst(wrong)
        if wrong
        else ok(f"all are their owner's alone: {', '.join(each.name for each in files)}")
    )


def _of_file(file: Path) -> Found | None:
    if open_to_others(file, rights=_ANYBODY_WRITES):
        cause = "any user could put another token, application or certificate there"
        return failed(f"{file} may be written by anybody", cause, f"chmod 600 {shlex.quote(str(file))}")
    if open_to_others(file):
        cause = "other users of this machine can look into it"
        return warning(f"{file} is open to others", cause, f"chmod 600 {shlex.quote(str(file))}")
    return None


def _of_folder(folder: Path) -> Found | None:
    # In a folder such as /tmp, where only its owner may replace a file, others do no harm.
    if not open_to_others(folder, rights=_OTHERS_WRITE) or folder.stat().st_mode & stat.S_ISVTX:
        return None
    cause = "others could put files of theirs in the place of yours"
    anybody = open_to_others(folder, rights=_ANYBODY_WRITES)
    seen = f"{folder} may be written by {'anybody' if anybody else 'its group'}"
    return (failed if anybody else warning)(seen, cause, f"chmod go-w {shlex.quote(str(folder))}")
