"""The rules of the house, kept by machine: the shelf, the error tree, sizes, help, what loads what."""

from __future__ import annotations

import ast
import functools
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import typer.main
from typer.core import TyperGroup

import iotc_admin
from iotc_admin import CertificateAuthority, Client, Ledger, errors
from iotc_admin.cli.app import app

PACKAGE = Path(iotc_admin.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FUNCTION = 50
LONGEST_FILE = 500
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}

# Functions whose parameter list alone is long: an option table is flat.
LONG_BUT_FLAT = {
    "_global_options": "eleven global options, each with its help",
    "create": "group create has eleven options",
    "connect": "device connect has thirteen options",
    "config": "edge config has sixteen options",
}


COMMANDS = {
    "cert": "root intermediate device sign verification show check",
    "group": "create list show update delete set-cert code verify remove-cert",
    "device": "create show list update delete attach-cert detach-cert credentials telemetry connect explain",
    "breach": "contain replace release report",
    "ledger": "import list export",
    "edge": "config lint ca bundle",
    "emulator": "run exec",
    "profile": "add list show use remove",
    "roll": "plan start status resume retire abort",
}

# Commands without a noun.
ALONE = {"roll", "status", "doctor", "completion"}


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield str(path.relative_to(PACKAGE)), node


def test_what_is_tested_is_what_a_user_installs() -> None:
    if os.environ.get("IOTC_TESTED") != "wheel":
        pytest.skip("only scripts/test builds and installs a wheel")

    assert "site-packages" in PACKAGE.parts


def test_the_shelf_is_sorted_and_complete() -> None:
    assert iotc_admin.__all__ == sorted(iotc_admin.__all__)
    assert len(set(iotc_admin.__all__)) == len(iotc_admin.__all__)
    for name in iotc_admin.__all__:
        assert getattr(iotc_admin, name) is not None
    assert set(dir(iotc_admin)) == {*iotc_admin.__all__, "__version__"}
    with pytest.raises(AttributeError):
        iotc_admin.nothing_of_the_kind  # noqa: B018


def test_every_public_name_has_a_docstring() -> None:
    for name in iotc_admin.__all__:
        assert inspect.getdoc(getattr(iotc_admin, name)), name


def drawn(text: str) -> dict[str, str]:
    """The tree in the docstring: each class with its parent."""
    parents: dict[int, str] = {}
    tree: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        match = re.match(r"^([│ ├└─]*)([A-Z]\w+)", line)
        if match:
            depth = len(match[1]) // 3
            parents[depth] = match[2]
            tree[match[2]] = parents.get(depth - 1, "Exception")
    return tree


def test_the_error_tree_is_the_one_that_is_drawn() -> None:
    classes = {
        name: each.__bases__[0].__name__
        for name, each in vars(errors).items()
        if inspect.isclass(each) and issubclass(each, Exception)
    }

    assert drawn(errors.__doc__ or "") == classes


def test_functions_are_short() -> None:
    long = [
        f"{path}:{node.name} has {length} lines"
        for path, node in functions()
        if (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
        and node.name not in LONG_BUT_FLAT
    ]

    assert long == []


def test_files_are_of_middling_size() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}

    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_module_says_what_it_is_and_none_is_vague() -> None:
    for path in SOURCES:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
        assert path.stem not in VAGUE, path
        assert path.parent.name not in VAGUE, path


def calls(path: Path, pattern: str) -> bool:
    source = re.sub(r'"""(.|\n)*?"""', "", path.read_text(encoding="utf-8"))
    return re.search(pattern, source) is not None


def test_the_world_comes_in_as_an_argument() -> None:
    clocks = {str(p.relative_to(PACKAGE)) for p in SOURCES if calls(p, r"datetime\.now\(|date\.today\(")}
    environment = {str(p.relative_to(PACKAGE)) for p in SOURCES if calls(p, r"os\.environ|os\.getenv")}

    # Each is a default argument that callers replace.
    below_the_door = {path for path in clocks if not path.startswith("cli/")}
    assert below_the_door == {"client/_application.py", "emulator/clock.py"}
    assert {path for path in environment if not path.startswith(("cli/", "__main__"))} == set()


def test_paths_and_verbs_of_the_service_stand_in_the_contract_only() -> None:
    pattern = r'"/(enrollmentGroups|devices|deviceTemplates|deviceGroups|organizations|roles|apiTokens)'
    found = {str(path.relative_to(PACKAGE)) for path in SOURCES if calls(path, pattern)}

    # The hub's own HTTPS interface, which is another protocol, begins with the same word.
    assert found == {"contract/operations.py", "emulator/hub_http.py"}


def loaded_by(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {
        "typer",
        "httpx",
        "ruamel",
        "cryptography",
        "pydantic",
        "aiohttp",
        "azure",
        "iotc_admin.emulator",
    }

    assert loaded_by("import iotc_admin") & heavy == set()


def test_the_version_is_told_before_the_command_line_is_loaded() -> None:
    program = "sys.argv = ['iotc-admin', '--version']\nfrom iotc_admin.__main__ import main\nmain()"

    assert loaded_by(program) & {"typer", "httpx", "pydantic", "cryptography"} == set()


def test_the_command_line_loads_its_rooms_only_when_a_command_needs_them() -> None:
    heavy = {"httpx", "cryptography", "azure", "pydantic", "aiohttp", "rich", "ruamel"}

    assert loaded_by("import iotc_admin.cli.app") & heavy == set()


def commands() -> dict[str, object]:
    """Every command of the tree, by its words."""
    found: dict[str, object] = {}
    todo: list[tuple[str, object]] = [("", typer.main.get_command(app))]
    while todo:
        words, command = todo.pop()
        found[words] = command
        todo += [(f"{words} {name}".strip(), each) for name, each in below(command)]
    return found


def below(command: object) -> list[tuple[str, object]]:
    if not isinstance(command, TyperGroup):
        return []
    context = typer.Context(command)
    names = command.list_commands(context)
    return [(name, command.get_command(context, name)) for name in names]


def runs(command: object) -> bool:
    """Whether it does something itself, commands below it or not."""
    return not isinstance(command, TyperGroup) or command.invoke_without_command


@pytest.mark.parametrize("words", sorted(commands()))
def test_every_help_page_has_a_purpose_and_ends_with_exit_codes_and_an_example(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "iotc_admin", *words.split(), "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert getattr(commands()[words], "help", "")
    *page, example, library = done.stdout.strip().splitlines()
    assert re.search(rf"(Example:  |\()iotc-admin {words}", example)
    assert "Library:  " in library
    codes = " ".join("\n".join(page).rpartition("Exit codes: ")[2].split())
    assert re.match(r"0 done or nothing to do, 1 [^0-9]+, 2 wrong usage(, 3 [^0-9]+)?(, 4 [^0-9]+)?$", codes)


def test_the_commands_are_those_of_this_version() -> None:
    names = {words for words, each in commands().items() if runs(each)}

    nouns = {f"{noun} {verb}" for noun, verbs in COMMANDS.items() for verb in verbs.split()}
    assert names == nouns | ALONE


# What the library's examples call by a name that the reader has given.
GIVEN = {"ca": CertificateAuthority, "ledger": Ledger, "client": Client}


@pytest.mark.parametrize("words", sorted(words for words, each in commands().items() if runs(each)))
def test_the_library_call_of_each_help_page_is_there(words: str, client: Client) -> None:
    epilog = str(getattr(commands()[words], "epilog", ""))
    call = epilog.partition("Library:  ")[2].removeprefix("list(").removeprefix("with ")
    if call.startswith("none: "):
        return
    first, *rest = re.split(r"[(\n]", call)[0].split(".")

    found: object = {**GIVEN, "client": client}.get(first) or getattr(iotc_admin, first, None)
    if first == "iotc_admin":
        found = pkgutil.resolve_name(".".join((first, *rest)))
    else:
        found = functools.reduce(getattr, rest, found)
    assert callable(found), call
