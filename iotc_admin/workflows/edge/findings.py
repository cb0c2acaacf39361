"""A remark about a configuration file: what is wrong, why, what to do, and the line if it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from iotc_admin.pki.lint import Finding as CertificateFinding


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable; `line` counts from 1, None where nothing stands that could be pointed at."""

    level: Literal["error", "warning"]
    code: str
    what: str
    cause: str
    fix: str
    line: int | None = None


def error(code: str, what: str, cause: str, fix: str, line: int | None = None) -> Finding:
    return Finding("error", code, what, cause, fix, line)


def warning(code: str, what: str, cause: str, fix: str, line: int | None = None) -> Finding:
    return Finding("warning", code, what, cause, fix, line)


def about(
    file: str, found: CertificateFinding, line: int | None, *, prefix: str = "", fix: str | None = None
) -> Finding:
    """A finding about a certificate, as one about the line that names it."""
    return Finding(
        found.level, prefix + found.code, f"{file} {found.what}", found.cause, fix or found.fix, line
    )
