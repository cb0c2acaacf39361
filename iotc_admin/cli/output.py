"""The one place that prints: results to stdout, for people or programs; everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.errors import IotcError, ProvisioningRefused, ServiceError, SettingsError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

OUTPUTS: Final = ("table", "json")
_NO_END: Final = 100_000


@dataclass(frozen=True)
class Output:
    """Where and how a command speaks."""

    json: bool = False
    quiet: bool = False

    def result(self, document: object, lines: Iterable[str]) -> None:
        """The result: a JSON document, or lines for people."""
        if self.json:
            _write(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            for line in lines:
                _write(plain(line))

    def table(self, document: object, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A list: a JSON document, or a table for people."""
        if self.json:
            self.result(document, ())
            return
        from rich import box
        from rich.console import Console
        from rich.table import Table

        console = Console(highlight=False, markup=False)
        table = Table(
            box=box.SIMPLE_HEAD if sys.stdout.isatty() else None,
            pad_edge=False,
            header_style="" if console.no_color else "bold",
        )
        for title in header:
            table.add_column(title, no_wrap=True)
        for row in rows:
            table.add_row(*(plain(cell) for cell in row))
        # A line that is too long is the terminal's to wrap: what people copy from it stays whole.
        console.width = max(console.width, console.measure(table, options=_endless(console)).maximum)
        console.print(table)

    def coloured(self, document: object, lines: Iterable[Sequence[tuple[str, str]]]) -> None:
        """The result: a JSON document, or lines of pieces of text, each with its style on a terminal."""
        if self.json or not (console := _colours()):
            self.result(document, ("".join(text for text, _ in line).rstrip() for line in lines))
            return
        from rich.text import Text

        for line in lines:
            # A long line is the terminal's to wrap: what is copied from it stays one line.
            console.print(Text.assemble(*((plain(text), style) for text, style in line)), soft_wrap=True)

    def say(self, text: str) -> None:
        """Progress, for people."""
        if not self.quiet:
            _tell(text)

    def warn(self, text: str) -> None:
        """Something that a person should know, asked for or not."""
        _tell(f"warning: {text}")

    def error(self, error: IotcError | str, hint: str = "", *, kind: str = "") -> None:
        """What went wrong, and what to do next. `kind` names it for programs when it is none of ours."""
        message = " ".join(str(error).split())
        hint = error.hint if isinstance(error, IotcError) else hint
        _tell(f"error: {message}" + (f"\nhint: {' '.join(hint.split())}" if hint else ""))
        if self.json:
            document = _error_document(error, message, hint) | ({"kind": kind} if kind else {})
            with suppress(OSError):
                _write(json.dumps({"error": document}, indent=2, ensure_ascii=False))


def ask(question: str, *, yes: bool) -> None:
    """Ask before something is lost. Raises `SettingsError` without a terminal, or when the answer is no."""
    if yes:
        return
    question = plain(question)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        message = f"{question} There is no terminal to ask at"
        raise SettingsError(message, hint="repeat with --yes if that is what you want")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SettingsError("nothing was done", hint="answer y, or repeat with --yes")


def plain(text: str) -> str:
    """Text that may come from elsewhere, without what would steer a terminal: shown as escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def iso(moment: datetime) -> str:
    """A time as JSON has it here: ISO 8601 in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"


def _colours() -> Console | None:
    """What prints in colour, where that is wanted: on a terminal, without NO_COLOR."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    return None if console.no_color or console.color_system is None else console


def _endless(console: Console) -> ConsoleOptions:
    return console.options.update(max_width=_NO_END)


def _error_document(error: IotcError | str, message: str, hint: str) -> dict[str, Any]:
    service = error if isinstance(error, ServiceError) else None
    code = error.error_code if isinstance(error, ProvisioningRefused) else service and service.code
    return {
        "kind": type(error).__name__ if isinstance(error, IotcError) else "UsageError",
        "message": message,
        "hint": hint or None,
        "status": service.status if service else None,
        "code": code or None,
        "requestId": (service.request_id or None) if service else None,
    }


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


def _tell(text: str) -> None:
    with suppress(OSError):
        sys.stderr.write("".join(f"{plain(line)}\n" for line in text.split("\n")))
