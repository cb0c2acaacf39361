"""`iotc-admin profile ...`: named sets of settings in the user's config file; never a secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from iotc_admin.cli.config_file import KEYS, PROFILE_NAME, config_file, edit, known_profiles, read_profiles
from iotc_admin.cli.keyfiles import DRY_RUN, epilog
from iotc_admin.cli.settings import Options, Session
from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

    from iotc_admin.cli.config_file import Profiles

app = typer.Typer(rich_markup_mode=None)

# What an API token, a JWT and a private key look like, wherever they were copied from.
_SECRET: Final = re.compile(r"SharedAccess|sig=|eyJ[\w-]{20,}\.|PRIVATE KEY|//[^/@]*:[^/@]*@", re.IGNORECASE)


ProfileName = Annotated[str, typer.Argument(metavar="NAME", autocompletion=known_profiles, help="Its name.")]


@app.command(
    epilog=epilog(
        "iotc-admin profile add plant7 --app myapp --token-file ~/plant7.token",
        "none: profiles are the command line's own",
        three=DRY_RUN,
    )
)
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_' and '-'.")],
    id_scope: Annotated[str | None, typer.Option(metavar="SCOPE", help="The application's ID scope.")] = None,
    dps_host: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="Where DPS is, if not Azure's.")
    ] = None,
    mqtt_port: Annotated[
        int | None, typer.Option(metavar="PORT", min=1, max=65535, help="If not 8883.")
    ] = None,
) -> None:
    """Keep the settings of this line under a name: for --profile, IOTC_PROFILE and `profile use`.

    Kept are --app, --ca-file, --token-file, --ledger and --output (which holds for this run, too), and the
    options below; the environment is not. Files are kept with their whole path. A token is never kept: only
    the file that holds it is named. A profile that exists is not changed: remove it first.
    """
    session = Session.without_profile(ctx.command_path, ctx.obj)
    wanted = _wanted(ctx.obj, id_scope, dps_host, mqtt_port)
    _check(ctx, name, wanted)
    there = read_profiles().by_name.get(name)
    if there == wanted:
        _tell(session, name, "nothing to do")
        return
    if there is not None:
        raise _exists(name)
    if session.dry_run:
        _plan(session, f"add the profile {name} to {config_file()}")

    def change(document: TOMLDocument) -> None:
        profiles = _profiles_of(document)
        # Somebody else may have been quicker.
        if name in profiles and profiles[name].unwrap() != wanted:
            raise _exists(name)
        profiles[name] = wanted

    edit(change)
    _warn_of_missing(session, wanted)
    _tell(session, name, "added")


@app.command("list", epilog=epilog("iotc-admin profile list", "none: profiles are the command line's own"))
def list_profiles(ctx: typer.Context) -> None:
    """Every profile: its application, and a star at the one that is used when none is named."""
    session = Session.without_profile(ctx.command_path, ctx.obj)
    profiles = read_profiles()
    documents = [_document(profiles, name) for name in profiles.by_name]
    session.output.table(
        documents,
        ("NAME", "DEFAULT", "APP"),
        ((each["name"], "*" if each["default"] else "", each["app"] or "") for each in documents),
    )


@app.command(epilog=epilog("iotc-admin profile show plant7", "none: profiles are the command line's own"))
def show(ctx: typer.Context, name: ProfileName) -> None:
    """The settings of one profile, and whether it is used when none is named. It holds no secret to hide."""
    session = Session.without_profile(ctx.command_path, ctx.obj)
    _tell(session, name)


@app.command(
    epilog=epilog("iotc-admin profile use plant7", "none: profiles are the command line's own", three=DRY_RUN)
)
def use(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", autocompletion=known_profiles, help="Its name.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="No profile is to be used unless named.")] = False,
) -> None:
    """Use this profile whenever neither --profile nor IOTC_PROFILE names one; with --none, use none.

    What options and environment say still goes before it, setting by setting; but its token file is read
    for its own application only.
    """
    session = Session.without_profile(ctx.command_path, ctx.obj)
    if (name is None) != none:
        raise typer.BadParameter("give the NAME of a profile, or --none", ctx)
    profiles = read_profiles()
    if name is not None:
        _ = profiles.settings(name)
    if session.dry_run and profiles.default != name:
        _plan(session, f"use {name or 'no profile'} when none is named")

    def change(document: TOMLDocument) -> None:
        if name is None:
            document.pop("default", None)
            return
        _ = _there(document, name)
        document["default"] = name

    if profiles.default != name:
        edit(change)
    if name is None:
        session.output.result({"default": None}, ["no profile is used unless it is named"])
    else:
        _tell(session, name, "used when none is named")


@app.command(
    epilog=epilog(
        "iotc-admin profile remove plant7", "none: profiles are the command line's own", three=DRY_RUN
    )
)
def remove(ctx: typer.Context, name: ProfileName) -> None:
    """Forget a profile. Nothing is asked: the files that it names, the token's among them, stay as they are.

    If it was the one that is used when none is named, none is used from then on.
    """
    session = Session.without_profile(ctx.command_path, ctx.obj)
    profiles = read_profiles()
    if name not in profiles.by_name:
        _ = profiles.settings(name)
    if session.dry_run:
        _plan(session, f"remove the profile {name} from {config_file()}")

    def change(document: TOMLDocument) -> None:
        del _there(document, name)[name]
        if document.get("default") == name:
            del document["default"]

    edit(change)
    was_default = ": no profile is used unless it is named" if profiles.default == name else ""
    session.output.result({"name": name, "removed": True}, [f"{name}: removed{was_default}"])


def _wanted(
    options: Options, id_scope: str | None, dps_host: str | None, mqtt_port: int | None
) -> dict[str, str]:
    """The settings of the line, by their keys in the file."""
    given = {
        "app": options.app,
        "ca_file": _whole(options.ca_file),
        "token_file": _whole(options.token_file),
        "output": options.output,
        "ledger": _whole(options.ledger),
        "id_scope": id_scope,
        "dps_host": dps_host,
        "mqtt_port": None if mqtt_port is None else str(mqtt_port),
    }
    return {key: value for key, value in given.items() if value}


def _whole(file: str | None) -> str | None:
    """The path from the root: a profile is used in every folder."""
    return None if not file or _SECRET.search(file) else str(Path(file).expanduser().absolute())


def _check(ctx: typer.Context, name: str, wanted: dict[str, str]) -> None:
    """Raises for a name that is none, and for settings that could never work."""
    from iotc_admin.client.origin import Origin
    from iotc_admin.device.endpoint import dps_endpoint, require_id_scope

    options: Options = ctx.obj
    given = (*wanted.values(), options.ca_file, options.token_file, options.ledger)
    if any(_SECRET.search(each) for each in given if each):
        hint = "write it to a file of your own (chmod 600), and name that: --token-file FILE"
        raise SettingsError("this holds a token, a key or a password, which no profile keeps", hint=hint)
    if not PROFILE_NAME.fullmatch(name):
        raise typer.BadParameter(f"{name!r} is no name: take letters, digits, '.', '_' and '-'", ctx)
    if not wanted:
        raise typer.BadParameter("a profile holds at least one setting, as in --app myapp", ctx)
    if "app" in wanted:
        Origin.of(wanted["app"])
    if "dps_host" in wanted:
        dps_endpoint(wanted["dps_host"])
    if "id_scope" in wanted:
        require_id_scope(wanted["id_scope"])


def _warn_of_missing(session: Session, wanted: dict[str, str]) -> None:
    for key in ("ca_file", "token_file"):
        if key in wanted and not Path(wanted[key]).exists():
            session.output.warn(f"{wanted[key]} is not there yet")


def _profiles_of(document: TOMLDocument) -> Any:
    import tomlkit

    if "profiles" not in document:
        document["profiles"] = tomlkit.table(is_super_table=True)
    return document["profiles"]


def _there(document: TOMLDocument, name: str) -> Any:
    """The profiles, if this one is still among them."""
    profiles = _profiles_of(document)
    if name not in profiles:
        raise SettingsError(f"the profile {name!r} was removed meanwhile", hint="see iotc-admin profile list")
    return profiles


def _exists(name: str) -> SettingsError:
    hint = f"see iotc-admin profile show {name}; to change it: iotc-admin profile remove {name}, then add it"
    return SettingsError(f"there is a profile {name!r} already, with other settings", hint=hint)


def _plan(session: Session, step: str) -> None:
    session.output.result({"steps": [step]}, [step])
    raise typer.Exit(3)


def _tell(session: Session, name: str, done: str = "") -> None:
    profiles = read_profiles()
    settings = profiles.settings(name)
    star = " (used when none is named)" if profiles.default == name else ""
    lines = [f"{key:11}{settings[key]}" for key in KEYS if key in settings]
    session.output.result(_document(profiles, name), [f"{name}: {done}"] if done else [name + star, *lines])


def _document(profiles: Profiles, name: str) -> dict[str, Any]:
    """What `profile show -o json` prints; null where the profile says nothing."""
    found = profiles.by_name[name]
    settings = found if isinstance(found, dict) else {}
    return {
        "name": name,
        "default": profiles.default == name,
        **{_camel(key): settings.get(key) for key in KEYS},
    }


def _camel(key: str) -> str:
    first, *others = key.split("_")
    return first + "".join(each.capitalize() for each in others)
