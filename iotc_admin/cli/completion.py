"""`iotc-admin completion`: what the Tab key may offer, and the script that asks for it, shell by shell.

Nothing here reaches the network, and no room below the door is loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from iotc_admin.cli.keyfiles import epilog

if TYPE_CHECKING:
    from typer.core import TyperGroup

app = typer.Typer(rich_markup_mode=None, add_completion=False)

# Each asks `iotc-admin complete -- WORD...`, the last being the one under the cursor, and gets lines of a
# value, a tab and what it is; no line means that only a file can stand there.
_BASH: Final = r"""
_iotc_admin() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <(iotc-admin complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _iotc_admin iotc-admin
"""
_ZSH: Final = r"""
#compdef iotc-admin
_iotc_admin() {
    local line
    local -a found
    while IFS= read -r line; do
        found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done < <(iotc-admin complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( $#found )); then _describe -V iotc-admin found; else _files; fi
}
if [ "$funcstack[1]" = "_iotc-admin" ]; then _iotc_admin "$@"; else compdef _iotc_admin iotc-admin; fi
"""
_FISH: Final = r"""
function __iotc_admin
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l found (iotc-admin complete -- $words[2..-1] "$current" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path "$current"
    end
end
complete -c iotc-admin -f -a '(__iotc_admin)'
"""


class Shell(StrEnum):
    bash = "bash"
    zsh = "zsh"
    fish = "fish"


_SCRIPTS: Final = {Shell.bash: _BASH, Shell.zsh: _ZSH, Shell.fish: _FISH}


@app.command(epilog=epilog("source <(iotc-admin completion bash)", "none: it is the shell's"))
def completion(shell: Annotated[Shell, typer.Argument(help="The shell that is to complete.")]) -> None:
    """Print a script for the shell that completes commands, options, their values and profiles on Tab.

    bash: source <(iotc-admin completion bash), in ~/.bashrc. zsh: the same with zsh, after compinit, in
    ~/.zshrc. fish: iotc-admin completion fish > ~/.config/fish/completions/iotc-admin.fish
    """
    sys.stdout.write(_SCRIPTS[shell].lstrip())


@dataclass(frozen=True)
class _Place:
    """Where the cursor is: in which command, after so many of its arguments, or behind an option."""

    command: Any
    context: typer.Context
    arguments: int = 0
    option: Any = None


def complete(root: TyperGroup, words: Sequence[str]) -> list[tuple[str, str]]:
    """What may stand in the place of the last word: values, each with what it is."""
    *before, current = _without_equals(words) or [""]
    place = _Place(root, typer.Context(root, info_name="iotc-admin"))
    for word in before:
        if (further := _after(root, place, word)) is None:
            return []
        place = further
    if place.option is None and current.startswith("-") and "=" in current:
        name, _, current = current.partition("=")
        option = _option(root, place, name)
        return [(f"{name}={value}", told) for value, told in _values(option, place, current)]
    return [found for found in _offers(root, place, current) if found[0].startswith(current)]


def _without_equals(words: Sequence[str]) -> list[str]:
    """bash takes --option=value apart: as if it had been written with a space."""
    return [word for place, word in enumerate(words) if word != "="] + ([""] if words[-1:] == ["="] else [])


def _after(root: TyperGroup, place: _Place, word: str) -> _Place | None:
    """The place behind one more word; None for a command that there is not."""
    command, context = place.command, place.context
    if place.option is not None:
        return _Place(command, context, place.arguments)
    if word.startswith("-"):
        option = _option(root, place, word)
        takes = option is not None and not option.is_flag and "=" not in word
        return _Place(command, context, place.arguments, option if takes else None)
    if not hasattr(command, "get_command"):
        return _Place(command, context, place.arguments + 1)
    below = command.get_command(context, word)
    return None if below is None else _Place(below, typer.Context(below, parent=context, info_name=word))


def _option(root: TyperGroup, place: _Place, word: str) -> Any:
    """The option of the command, or of all commands, that this word names."""
    name = word.partition("=")[0]
    own = [*place.command.get_params(place.context), *root.params]
    return next((each for each in own if name in (*each.opts, *each.secondary_opts)), None)


def _offers(root: TyperGroup, place: _Place, current: str) -> Iterator[tuple[str, str]]:
    command = place.command
    if place.option is not None:
        yield from _values(place.option, place, current)
    elif current.startswith("-"):
        shown: dict[int, Any] = {
            id(each): each for each in (*command.get_params(place.context), *root.params)
        }
        for each in shown.values():
            if each.param_type_name == "option" and not each.hidden:
                yield from ((name, each.help or "") for name in (*each.opts, *each.secondary_opts))
    elif hasattr(command, "list_commands"):
        for name in command.list_commands(place.context):
            yield name, command.get_command(place.context, name).get_short_help_str(100)
    else:
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        if arguments:
            yield from _values(arguments[min(place.arguments, len(arguments) - 1)], place, current)


def _values(parameter: Any, place: _Place, current: str) -> Iterator[tuple[str, str]]:
    if parameter is not None:
        for item in parameter.shell_complete(place.context, current):
            if item.type == "plain":
                yield item.value, item.help or ""
