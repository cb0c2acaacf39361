"""How findings about an Edge device's files look, and how a file is written or would be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from iotc_admin.cli.doing import WAITS

if TYPE_CHECKING:
    from pathlib import Path

    from iotc_admin.cli.settings import Session
    from iotc_admin.workflows.edge.findings import Finding


def finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level,
        "code": finding.code,
        "line": finding.line,
        "what": finding.what,
        "cause": finding.cause,
        "fix": finding.fix,
    }


def finding_lines(file: str, finding: Finding) -> Iterator[str]:
    place = f"{file}:{finding.line}" if finding.line else file
    yield f"{finding.level}: {place} {finding.what} [{finding.code}]"
    yield f"  cause: {finding.cause}"
    yield f"  fix:   {finding.fix}"


def written(
    session: Session,
    file: Path,
    data: bytes,
    replace: bool,
    document: dict[str, Any],
    lines: Iterable[str],
    *,
    mode: int = 0o600,
) -> None:
    """Write the file and print the result; in a dry run, say what would be written."""
    from iotc_admin.workflows.edge.writing import says_so_already, write

    if session.dry_run:
        same = says_so_already(file, data)
        session.output.result(document, ["nothing to do"] if same else [f"write {file}"])
        raise typer.Exit(0 if same else WAITS)
    if not write(file, data, replace=replace, mode=mode):
        session.output.say("nothing to do")
    session.output.result(document, lines)
