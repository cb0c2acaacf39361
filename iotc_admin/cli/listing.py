"""The list of commands on a help page."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class Listing(TyperGroup):
    """Says what each command is for in a whole sentence: it may wrap, but is not cut short."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        longest = max(len(each.help or "") for _, each in commands if each)
        rows = [
            (name, each.get_short_help_str(longest)) for name, each in commands if each and not each.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
