"""Writes configuration files: plain values in, text out that reads back as the same values, or none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from iotc_admin.errors import SettingsError
from iotc_admin.workflows.edge.format import Format
from iotc_admin.workflows.edge.reading import parse

Data = Mapping[str, Any]

_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_BASIC_PLANE: Final = 0xFFFF


def render(data: Data, form: Format) -> str:
    """The text of the file. SettingsError for values that it would not give back."""
    text = "".join(f"{line}\n" for line in (_toml(data) if form is Format.TOML else _yaml(data)))
    if parse(text, form) != data:
        message = f"{form.file_name} would not give back the values it is made from"
        raise SettingsError(message, hint="a value holds half a character, or is no text, number or list")
    return text


def _toml(data: Data, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Values first: what follows a table's header would belong to the table."""
    tables = {name: value for name, value in data.items() if isinstance(value, Mapping)}
    for name, value in data.items():
        if name not in tables:
            yield f"{_key(name)} = {_inline(value)}"
    for name, table in tables.items():
        here = (*path, name)
        if not table or any(not isinstance(value, Mapping) for value in table.values()):
            yield ""
            yield f"[{'.'.join(_key(each) for each in here)}]"
        yield from _toml(table, here)


def _inline(value: Any, between: str = " = ") -> str:
    match value:
        case str():
            return quoted(value)
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(_inline(each, between) for each in value)}]"
        case Mapping():
            pairs = (f"{_key(name)}{between}{_inline(each, between)}" for name, each in value.items())
            return f"{{{', '.join(pairs)}}}"
    return repr(value)


def _yaml(data: Data, depth: int = 0) -> Iterator[str]:
    for name, value in data.items():
        start = f"{'  ' * depth}{_key(name)}:"
        if isinstance(value, Mapping) and value:
            yield start
            yield from _yaml(value, depth + 1)
        else:
            yield f"{start} {_inline(value, ': ')}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else quoted(name)


def quoted(text: str) -> str:
    """In double quotes, as TOML and YAML both read it: escapes for all that cannot be printed."""
    return f'"{"".join(_escaped(each) for each in text)}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code <= _BASIC_PLANE else f"\\U{code:08X}"
