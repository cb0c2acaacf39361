"""Reads configuration files, with the line of each key, and past the faults that people make most."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from iotc_admin.errors import SettingsError
from iotc_admin.workflows.edge.findings import Finding, error
from iotc_admin.workflows.edge.format import MODES, Format, Path, where

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each costs another reading of the whole file.
_MOST_FAULTS: Final = 20
_PLACE: Final = re.compile(r"\(at line (\d+), column \d+\)")
_HEADER: Final = re.compile(r"\s*\[{1,2}\s*(?P<path>[^\[\]=]+?)\s*\]{1,2}\s*(#.*)?")
_KEY: Final = re.compile(r"\s*(?P<path>[\w.\"' -]+?)\s*=")
_BARE_WORD: Final = re.compile(
    r"(?P<key>\s*(?P<name>[\w.-]+)\s*=\s*)(?P<word>[A-Za-z][^\s#\"'\[{,]*)\s*(#.*)?"
)
_YAML_LINE: Final = re.compile(r"\s*(?P<name>[\w-]+):(\s|$)")
_RENEWAL: Final = re.compile(r"\s*\[?[\w.\s]*\bidentity_cert\.auto_renew\b")


@dataclass(frozen=True)
class Document:
    """A file as it was read. `format` is what it should be; `faults` are those of its form."""

    format: Format
    data: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)
    faults: tuple[Finding, ...] = ()

    def at(self, path: Path) -> Any:
        """What stands there, or None."""
        found: Any = self.data
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    def get(self, setting: str) -> Any:
        """The value of a setting, or None."""
        return self.at(where(setting, self.format))

    def text(self, setting: str) -> str | None:
        """The value of a setting if it is text that is not empty."""
        found = self.get(setting)
        return found if isinstance(found, str) and found else None

    def line(self, path: Path) -> int | None:
        """Where the key stands, or else the table that should hold it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None

    def line_of(self, setting: str) -> int | None:
        return self.line(where(setting, self.format))


def parse(text: str, form: Format) -> dict[str, Any]:
    """The values. SettingsError if the text is not of this format."""
    document = read(text, form)
    for fault in document.faults:
        raise SettingsError(f"it does not read as {form.value}: {fault.what}", hint=fault.fix)
    return document.data


def format_of(name: str, text: str) -> Format:
    """By the ending of the name, else by the content."""
    ending = name.lower().rpartition(".")[2]
    if ending in ("yaml", "yml", "toml"):
        return Format.TOML if ending == "toml" else Format.YAML
    return Format.TOML if _toml_faults(text)[0] is not None else Format.YAML


def read(text: str, form: Format) -> Document:
    """What the text says, and each fault of its form; where nothing can be read, no values."""
    return _read_toml(text) if form is Format.TOML else _read_yaml(text)


def _read_toml(text: str) -> Document:
    data, text, faults = _toml_faults(text)
    if data is not None:
        return Document(Format.TOML, data, dict(_toml_lines(text)), tuple(faults))
    tree, lines, _ = _yaml(text)
    if tree:
        faults = [_other_language(Format.TOML, min(lines.values()))]
    return Document(Format.TOML, tree or {}, lines, tuple(faults))


def _read_yaml(text: str) -> Document:
    tree, lines, fault = _yaml(text)
    if tree is not None:
        return Document(Format.YAML, tree, lines)
    data, text, _ = _toml_faults(text)
    if data:
        fault = _other_language(Format.YAML, 1)
        return Document(Format.YAML, data, dict(_toml_lines(text)), (fault,))
    return Document(Format.YAML, {}, {}, (fault,) if fault else ())


def _toml_faults(text: str) -> tuple[dict[str, Any] | None, str, list[Finding]]:
    """The values, the text they were read from, and what had to be mended in it to read it."""
    faults: list[Finding] = []
    while True:
        try:
            return tomllib.loads(text), text, faults
        except RecursionError:
            return None, text, [*faults, _unreadable("it is nested too deeply", None)]
        except ValueError as failure:
            place = _PLACE.search(str(failure))
            number = int(place[1]) if place else len(text.splitlines()) or 1
            fault, mended = _mend(text, number, str(failure))
        faults.append(fault)
        if mended is None or len(faults) == _MOST_FAULTS:
            return None, text, faults
        text = mended


def _mend(text: str, number: int, said: str) -> tuple[Finding, str | None]:
    """What is wrong in this line, and the text without it if the meaning is beyond doubt."""
    lines = text.split("\n")
    line = lines[number - 1] if number <= len(lines) else ""
    bare = _BARE_WORD.fullmatch(line.rstrip("\r"))
    if bare and bare["word"] not in ("true", "false"):
        lines[number - 1] = f'{bare["key"]}"{bare["word"]}"'
        return _unquoted(bare["name"], bare["word"], number), "\n".join(lines)
    if _RENEWAL.match(line):
        return renewal_without_method(number), _without_renewal(lines, number)
    if named := _YAML_LINE.match(line):
        return _yaml_line(named["name"], number), None
    return _unreadable(said, number if _PLACE.search(said) else None), None


def _without_renewal(lines: list[str], number: int) -> str:
    """Without the table that begins in this line, or without the line."""
    end = number
    while lines[number - 1].lstrip().startswith("[") and end < len(lines):
        if lines[end].lstrip().startswith("["):
            break
        end += 1
    # Blank lines keep the numbers of those that follow.
    return "\n".join([*lines[: number - 1], *([""] * (end - number + 1)), *lines[end:]])


def _toml_lines(text: str) -> Iterator[tuple[Path, int]]:
    table: Path = ()
    seen: set[Path] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        header = _HEADER.fullmatch(line.rstrip("\r"))
        key = None if header else _KEY.match(line)
        if header:
            table = _parts(header["path"])
        path = table if header else (*table, *_parts(key["path"])) if key else ()
        if path and path not in seen:
            seen.add(path)
            yield path, number


def _parts(dotted: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _yaml(text: str) -> tuple[dict[str, Any] | None, dict[Path, int], Finding | None]:
    try:
        yaml = YAML(typ="safe", pure=True)
        lines = dict(_yaml_lines(yaml.compose(text), (), set()))
        data = _with_text_keys(YAML(typ="safe", pure=True).load(text))
    except RecursionError:
        return None, {}, _unreadable("it is nested too deeply", None)
    except (YAMLError, ValueError) as failure:
        mark = getattr(failure, "problem_mark", None)
        # Some of its sentences go on with the values, which may be secrets.
        said = str(getattr(failure, "problem", None) or "a value is malformed").partition(" with value")[0]
        return None, {}, _unreadable(said, mark.line + 1 if mark else None)
    if not isinstance(data, dict):
        return None, {}, _unreadable("it holds no keys with values", 1)
    return data, lines, None


def _with_text_keys(value: Any) -> Any:
    match value:
        case dict():
            return {str(name): _with_text_keys(each) for name, each in value.items()}
        case list():
            return [_with_text_keys(each) for each in value]
    return value


def _yaml_lines(node: Any, path: Path, seen: set[int]) -> Iterator[tuple[Path, int]]:
    if id(node) in seen:
        # One node in many places can stand for more values than fit into memory.
        said = "an alias (*name) is not read here: write the value out"
        raise MarkedYAMLError(problem=said, problem_mark=node.start_mark)
    seen.add(id(node))
    if getattr(node, "id", "") == "mapping":
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _yaml_lines(value, here, seen)
    elif getattr(node, "id", "") == "sequence":
        for each in node.value:
            yield from _yaml_lines(each, (*path, "[]"), seen)


def _unreadable(said: str, line: int | None) -> Finding:
    reason = _PLACE.sub("", said).strip()
    return error(
        "unreadable",
        f"cannot be read: {reason}",
        "the runtime reads nothing of a file with such a fault",
        "mend it; on Windows' paths: in double quotes a backslash is doubled"
        if "\\" in reason
        else "mend the line, or write the file anew: iotc-admin edge config ID --cert CERT",
        line,
    )


def _unquoted(name: str, word: str, line: int) -> Finding:
    # Of the words that may stand here, these are no secrets.
    shown = word if word in MODES else "..."
    return error(
        "value-unquoted",
        f"has the value of {name} without quotes",
        "TOML takes no bare words; the commented-out line of the runtime's own template lacks them too"
        if name == "auto_reprovisioning_mode"
        else "TOML takes no bare words",
        f'write {name} = "{shown}"',
        line,
    )


def _yaml_line(name: str, line: int) -> Finding:
    return error(
        "yaml-in-toml",
        f"has YAML in it: {name}:",
        "lines of config.yaml (1.1) were put into config.toml (1.2 and later)",
        f"write {name} = ..., or convert the old file: iotc-admin edge config --from FILE",
        line,
    )


def _other_language(form: Format, line: int) -> Finding:
    wrong = form.other
    return error(
        f"{wrong.value}-in-{form.value}",
        f"holds {wrong.value.upper()}, but {form.release} reads {form.value.upper()} from it",
        f"{wrong.value.upper()} is what {wrong.release} reads, from {wrong.file_name}",
        "convert it: iotc-admin edge config --from FILE"
        if form is Format.TOML
        else f"write it anew: iotc-admin edge config ID --cert CERT --format {form.value}",
        line,
    )


def renewal_without_method(line: int | None) -> Finding:
    """auto_renew for a certificate that nobody issues."""
    return error(
        "auto-renew-without-method",
        "renews an identity certificate by itself that comes from a file",
        "auto_renew asks an issuer for the next certificate, and a file has none",
        'remove auto_renew, or set identity_cert = { method = "est", common_name = ... }',
        line,
    )
