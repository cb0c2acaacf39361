"""The command line: global options, the tree of commands, and what an error becomes."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from iotc_admin import __version__
from iotc_admin.cli.config_file import known_profiles
from iotc_admin.cli.keyfiles import DRY_RUN, epilog
from iotc_admin.cli.listing import Listing
from iotc_admin.cli.output import OUTPUTS, Output
from iotc_admin.cli.settings import Options, Session
from iotc_admin.errors import IotcError, RunIncomplete, SettingsError

# They may stand anywhere on the line; the parser knows them in front of the command only.
_TAKES_VALUE: Final = ("--app", "--profile", "--ca-file", "--token-file", "--output", "-o", "--ledger")
_PARTLY: Final = 4
_FLAGS: Final = ("--quiet", "--verbose", "--yes", "--dry-run")

# typer exports the class of one usage error only; its parent stands for all of them.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

# Commands at the top that bring their own options, loaded when they are asked for.
_LATER: Final = ("roll", "status", "doctor", "completion")


class _Interrupted(Exception):
    """Ctrl-C, under a name that the parser lets through."""


class _Root(Listing):
    """The nouns, and the commands that stand beside them."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted from None

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_LATER]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _LATER:
            return super().get_command(ctx, cmd_name)
        found = typer.main.get_command(import_module(f"iotc_admin.cli.{cmd_name}").app)
        found.name = cmd_name
        return found


class _Noun(Listing):
    """The commands of a noun, loaded when one of them is asked for: a line names one noun only."""

    _loaded: dict[str, Any] | None = None

    @property
    def commands(self) -> MutableMapping[str, Any]:
        if self._loaded is None:
            noun = import_module(f"iotc_admin.cli.{self.name}")
            self._loaded = dict(typer.main.get_group(noun.app).commands)
        return self._loaded

    @commands.setter
    def commands(self, _: object) -> None:
        self._loaded = None


app = typer.Typer(
    name="iotc-admin",
    cls=_Root,
    help="X.509 device identities for Azure IoT Central: certificates, enrollment groups, proofs.",
    epilog="Exit codes: 0 done or nothing to do, 1 refused or failed, 2 wrong usage, "
    "3 something is due or waits for a person, 4 partly done: repeat to resume\n\n"
    "\b\n"
    "Example:  iotc-admin group create MyX509Group --root root_cert.pem\n"
    "Library:  iotc_admin.workflows.enroll_group(client, 'MyX509Group', primary=ca)",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)


def _add_noun(name: str, purpose: str, example: str, library: str) -> None:
    end = epilog(f"iotc-admin {name} {example}", library, three=f"something waits, or {DRY_RUN}")
    noun = typer.Typer(cls=_Noun, help=purpose, epilog=end, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(noun, name=name)


_add_noun(
    "cert",
    "Certificates and keys, without any network.",
    "root plant7",
    "iotc_admin.CertificateAuthority, iotc_admin.DeviceIdentity",
)
_add_noun(
    "group",
    "Enrollment groups and the CA certificates in their slots.",
    "create MyX509Group --root root_cert.pem",
    "client.enrollment_groups",
)
_add_noun(
    "device",
    "Devices and their own certificates (individual enrollment).",
    "create pump-042",
    "client.devices",
)
_add_noun(
    "breach",
    "When a key is in the wrong hands: contain, replace, release, report.",
    "contain --group MyX509Group",
    "iotc_admin.workflows.breach",
)
_add_noun(
    "ledger",
    "The certificates behind the thumbprints, and the journal of runs.",
    "list",
    "iotc_admin.Ledger(path)",
)
_add_noun(
    "edge",
    "IoT Edge: configuration files, the CA for modules, the trust bundle.",
    "lint /etc/aziot/config.toml",
    "iotc_admin.workflows.EdgeSettings",
)
_add_noun(
    "profile",
    "Named sets of settings: an application, its token file, its trust.",
    "add plant7 --app myapp --token-file ~/plant7.token",
    "none: profiles are the command line's own",
)
_add_noun(
    "emulator",
    "A stand-in for IoT Central that really validates.",
    "exec -- iotc-admin group list",
    "with iotc_admin.emulator.Emulator() as emulator: ...",
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"iotc-admin {__version__}\n")
        raise typer.Exit


@app.callback()
def _global_options(
    ctx: typer.Context,
    app_name: Annotated[
        str | None, typer.Option("--app", metavar="NAME|URL", help="The application (IOTC_APP).")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", autocompletion=known_profiles, help="A named set of settings (IOTC_PROFILE)."
        ),
    ] = None,
    ca_file: Annotated[
        str | None,
        typer.Option(metavar="PEM", help="Trusted besides the system's store (IOTC_CA_FILE)."),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Holds an API token (or IOTC_API_TOKEN); else Entra ID is asked."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="table|json",
            autocompletion=lambda: list(OUTPUTS),
            help="For whom (IOTC_OUTPUT).",
        ),
    ] = None,
    ledger_file: Annotated[
        str | None,
        typer.Option("--ledger", metavar="FILE", help="Where certificates are remembered (IOTC_LEDGER)."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No messages; warnings and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log each request to stderr.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask no question.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan and send reads only; exit 3 if it holds changes."),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if output not in (None, *OUTPUTS):
        raise typer.BadParameter(f"{output!r} is neither table nor json", ctx, param_hint="--output")
    ctx.obj = Options(
        app_name, profile, ca_file, token_file, output, ledger_file, quiet, verbose, yes, dry_run
    )


def run(arguments: Sequence[str]) -> int:
    """Run one command line. Returns the exit code; every error is printed, none leaves."""
    if arguments[:2] == ["complete", "--"]:
        return _complete(arguments[2:])
    line = _with_global_options_first(list(arguments))
    try:
        _check_text(line)
        code = typer.main.get_command(app).main(line, prog_name="iotc-admin", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, _Interrupted):
        _output(line).error("interrupted", "repeat: what is done is not done again", kind="Interrupted")
        return 130
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user
        return _failed(error, line)
    return code if isinstance(code, int) else 0


def _complete(words: Sequence[str]) -> int:
    """What the scripts of `iotc-admin completion` ask: the way of a command would cost a Tab key 100 ms."""
    from iotc_admin.cli.completion import complete

    with suppress(OSError):
        for value, told in complete(typer.main.get_group(app), words):
            sys.stdout.write(f"{value}\t{' '.join(told.split())}\n")
        sys.stdout.flush()
    return 0


def _failed(error: Exception, line: list[str]) -> int:
    match error:
        case _UsageError():
            return _wrong_usage(error, _output(line))
        case IotcError():
            _output(line).error(error)
            return _PARTLY if isinstance(error, RunIncomplete) else 1
        case OSError():
            # Nobody reads our output, or the disk is full: the interpreter must not complain at exit, too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if not isinstance(error, BrokenPipeError):
                reason = f"the output cannot be written: {error.strerror}"
                _output(line).error(reason, "check where stdout goes", kind="OutputError")
        case _:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            hint = "please report it, with the command; what is done is not done again when you repeat"
            _output(line).error(f"this is a fault in iotc-admin: {where}", hint, kind="Fault")
    return 1


def _wrong_usage(error: Exception, output: Output) -> int:
    context = getattr(error, "ctx", None)
    hint = f"see {context.command_path if context else 'iotc-admin'} --help"
    said = str(getattr(error, "format_message", error.__str__)()).replace("Value error, ", "")
    if said.startswith("Usage: "):
        # The parser answers a line that names no command with the whole help page.
        output.say(said)
        said = "no command is given"
    output.error(said, hint)
    return 2


def _output(line: list[str]) -> Output:
    """How to speak when the options could not be parsed."""
    wanted = os.environ.get("IOTC_OUTPUT") or _profile_output(line)
    for place, word in enumerate(_before_double_dash(line)):
        if word in ("-o", "--output"):
            wanted = line[place + 1] if place + 1 < len(line) else ""
        elif word.startswith(("--output=", "-o")):
            wanted = word.removeprefix("--output=").removeprefix("-o")
    return Output(json=wanted == "json")


def _profile_output(line: list[str]) -> str:
    """What the profile says, which may be the very thing that is wrong."""
    names = [line[place + 1] for place, word in enumerate(line[:-1]) if word == "--profile"]
    names += [word.removeprefix("--profile=") for word in line if word.startswith("--profile=")]
    try:
        output = Session.begin("", Options(profile=names[-1] if names else None)).output
    except SettingsError:
        return ""
    return "json" if output.json else ""


def _check_text(line: list[str]) -> None:
    """Bytes that could not be decoded would only be found out half way."""
    if any("\ud800" <= each <= "\udfff" for word in line for each in word):
        raise typer.BadParameter("an argument is not UTF-8: check the locale (LANG, LC_ALL)")


def _with_global_options_first(line: list[str]) -> list[str]:
    first: list[str] = []
    rest: list[str] = []
    own = _before_double_dash(line)
    words = iter(own)
    for word in words:
        if word in _TAKES_VALUE:
            first += [word, *_next(words)]
        elif word in _FLAGS or word.partition("=")[0] in _TAKES_VALUE or _short_output(word):
            first.append(word)
        else:
            rest.append(word)
    return first + rest + line[len(own) :]


def _before_double_dash(line: list[str]) -> list[str]:
    return line[: line.index("--")] if "--" in line else line


def _next(words: Iterator[str]) -> list[str]:
    following = next(words, None)
    return [] if following is None else [following]


def _short_output(word: str) -> bool:
    return word.startswith("-o") and not word.startswith("--") and len(word) > len("-o")
