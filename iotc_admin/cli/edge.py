"""`iotc-admin edge ...`: IoT Edge devices, their configuration files and the certificates around them."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iotc_admin.cli.cert import DEFAULT_KIND, Issuer, IssuerKey, NewKey, OptionalDays, Out, keep, new_key
from iotc_admin.cli.edge_views import finding_document, finding_lines, written
from iotc_admin.cli.idscope import id_scope_of
from iotc_admin.cli.keyfiles import DRY_RUN, KeyPasswordFile, epilog, load_authority
from iotc_admin.cli.settings import Session

if TYPE_CHECKING:
    from iotc_admin.workflows.edge.format import Format
    from iotc_admin.workflows.edge.settings import EdgeSettings
    from iotc_admin.workflows.edge.writing import Place

app = typer.Typer(rich_markup_mode=None)

_ANY_SCOPE = "0ne00000000"


class FormatName(StrEnum):
    """`toml` is what 1.2 and later read, `yaml` what 1.1 reads."""

    toml = "toml"
    yaml = "yaml"


class Release(StrEnum):
    """The release of the runtime, as far as the Edge CA is concerned."""

    r1_1 = "1.1"
    r1_2 = "1.2"


Replace = Annotated[bool, typer.Option("--replace", help="Write over a file that says something else.")]


@app.command(
    epilog=epilog(
        "iotc-admin edge config edge-01 --cert edge-01_cert.pem --key edge-01_key.pem",
        "iotc_admin.workflows.EdgeSettings(id_scope, identity_cert, identity_pk).render(Format.TOML)",
        three=DRY_RUN,
    )
)
def config(
    ctx: typer.Context,
    device_id: Annotated[str | None, typer.Argument(metavar="ID", help="The registration id.")] = None,
    cert: Annotated[
        str | None, typer.Option(metavar="CERT", help="Its certificate; a full chain beside it goes first.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Its key, if not found beside it; by its URI on the device (file:, pkcs11:)."
        ),
    ] = None,
    form: Annotated[
        FormatName,
        typer.Option("--format", help="toml: config.toml (1.2 and later), yaml: config.yaml (1.1)."),
    ] = FormatName.toml,
    id_scope: Annotated[
        str | None,
        typer.Option(metavar="SCOPE", help="The application's (IOTC_ID_SCOPE); without it, it is asked."),
    ] = None,
    dps_host: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="Where DPS is (IOTC_DPS_HOST).")
    ] = None,
    device_certs: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where certificates will lie on the device, if elsewhere."),
    ] = None,
    device_keys: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where keys will lie on the device, if elsewhere.")
    ] = None,
    edge_ca: Annotated[
        str | None, typer.Option(metavar="CERT", help="The CA for its modules, from `edge ca`.")
    ] = None,
    edge_ca_key: Annotated[str | None, typer.Option(metavar="KEY", help="Its key, as --key.")] = None,
    trust_bundle: Annotated[
        str | None, typer.Option(metavar="FILE", help="What modules trust, from `edge bundle`.")
    ] = None,
    hostname: Annotated[
        str | None, typer.Option(metavar="NAME", help="By which downstream devices find this gateway.")
    ] = None,
    parent_hostname: Annotated[
        str | None, typer.Option(metavar="NAME", help="Refused: behind a gateway there is SAS only.")
    ] = None,
    pkcs11_library: Annotated[
        str | None, typer.Option(metavar="PATH", help="The library that reaches a pkcs11: key.")
    ] = None,
    from_file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Convert this config.yaml of 1.1 instead.")
    ] = None,
    out: Out = Path(),
    replace: Replace = False,
) -> None:
    """Write the configuration file of an Edge device, or convert an old one; judged before it is written.

    Writes config.toml or config.yaml (0600). --from names each key that does not go over, with the reason.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    identity = [device_id, cert, key, device_certs, device_keys]
    gateway = [edge_ca, edge_ca_key, trust_bundle, hostname, pkcs11_library]
    if from_file is not None:
        if any(identity + gateway) or form is FormatName.yaml:
            raise typer.BadParameter(
                "--from takes all from the file: only --out and --replace go with it", ctx
            )
        _convert(session, from_file, out, replace)
        return
    if device_id is None or cert is None:
        raise typer.BadParameter("an ID and --cert are needed, or --from FILE", ctx)
    _refuse_parent(parent_hostname)
    from iotc_admin.workflows.edge.format import Format
    from iotc_admin.workflows.edge.settings import EdgeSettings

    places = _places(cert, key, edge_ca, edge_ca_key, trust_bundle, device_certs, device_keys)
    draft = EdgeSettings(
        id_scope=_ANY_SCOPE,
        registration_id=device_id,
        global_endpoint=f"https://{session.dps_host(dps_host)}",
        hostname=hostname,
        pkcs11_library=pkcs11_library,
        **{name: place.uri for name, place in places.items()},
    )
    _write(session, draft, id_scope, Format(form.value), list(places.values()), out, replace)


@app.command(
    epilog=epilog(
        "iotc-admin edge lint /etc/aziot/config.toml",
        "iotc_admin.workflows.edge.lint.lint(document, material, now=now)",
        one="it has errors, or is not readable",
    )
)
def lint(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="config.toml or config.yaml.")],
    form: Annotated[FormatName | None, typer.Option("--format", help="Where the name does not tell.")] = None,
    certs: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Holds the files it names, away from the device.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Look, too, whether this group would let it in.")
    ] = None,
) -> None:
    """Hold a configuration file against what the runtime, DPS and downstream devices need.

    Each finding has its line, cause and fix. Exits 1 on errors, 0 on warnings only.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.edge.format import Format
    from iotc_admin.workflows.edge.lint import lint as judge
    from iotc_admin.workflows.edge.lint import look_at_enrollments
    from iotc_admin.workflows.edge.material import look
    from iotc_admin.workflows.edge.writing import read_document

    document = read_document(file, Format(form.value) if form else None)
    material = look(document, lambda path: certs / path.name if certs else path)
    enrollments = None
    if group is not None:
        with session.client() as client:
            enrollments = look_at_enrollments(client, group, document, material)
    findings = judge(document, material, now=session.started, enrollments=enrollments)
    session.output.result(
        {
            "file": str(file),
            "format": document.format.value,
            "findings": [finding_document(each) for each in findings],
        },
        [line for each in findings for line in finding_lines(str(file), each)] or [f"{file}: no findings"],
    )
    if any(each.level == "error" for each in findings):
        raise typer.Exit(1)


@app.command(
    epilog=epilog(
        "iotc-admin edge ca edge-01 --issuer plant7_cert.pem",
        "iotc_admin.workflows.issue_edge_ca(issuer, 'edge-01', now=now, target=Format.TOML)",
        three=DRY_RUN,
    )
)
def ca(
    ctx: typer.Context,
    device_id: Annotated[str, typer.Argument(metavar="ID", help="The Edge device.")],
    issuer: Issuer,
    issuer_key: IssuerKey = None,
    target: Annotated[
        Release, typer.Option(help="1.1 makes a CA below it, 1.2 and later none.")
    ] = Release.r1_2,
    out: Out = Path(),
    days: OptionalDays = None,
    key: NewKey = DEFAULT_KIND,
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Make the CA that signs the certificates of a device's modules, with a key of its own.

    Writes ID-edge-ca_cert.pem, its key (0600) and the full chain, which is what the device needs.
    Valid for 365 days by default.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.pki.store import save_authority
    from iotc_admin.workflows.edge.authority import edge_ca_name, issue_edge_ca
    from iotc_admin.workflows.edge.format import Format

    made = issue_edge_ca(
        load_authority(session, issuer, issuer_key, key_password_file),
        device_id,
        now=session.started,
        target=Format.YAML if target is Release.r1_1 else Format.TOML,
        lifetime=None if days is None else timedelta(days=days),
        key=new_key(session, key, None),
    )
    keep(session, made.certificate, lambda: save_authority(out, edge_ca_name(device_id), made))


@app.command(
    epilog=epilog(
        "iotc-admin edge bundle plant7_cert.pem --out trust-bundle.pem",
        "iotc_admin.workflows.trust_bundle(certificates)",
        three=DRY_RUN,
    )
)
def bundle(
    ctx: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="CERT...", help="Roots, or files with full chains.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where it goes.")] = Path("trust-bundle.pem"),
    replace: Replace = False,
) -> None:
    """Put the roots that modules and downstream devices are to trust into one file.

    Takes CAs only. Behind a gateway, IoT Central takes devices by SAS only: an X.509 device is refused.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.cli.views import certificate_document
    from iotc_admin.pki.description import describe
    from iotc_admin.pki.pem import fullchain_pem
    from iotc_admin.pki.store import PUBLIC, load_certificates
    from iotc_admin.workflows.edge.authority import trust_bundle

    roots = trust_bundle(each for file in files for each in load_certificates(file))
    document = {"file": str(out), "certificates": [certificate_document(describe(each)) for each in roots]}
    lines = [str(out), *(f"trusts {each.subject.rfc4514_string()}" for each in roots)]
    written(session, out, fullchain_pem(roots[0], roots[1:]), replace, document, lines, mode=PUBLIC)


def _refuse_parent(parent_hostname: str | None) -> None:
    from iotc_admin.errors import NotAllowedHere
    from iotc_admin.workflows.edge.identity_checks import DOWNSTREAM_FIX, DOWNSTREAM_REASON

    if parent_hostname is not None:
        raise NotAllowedHere(
            f"an X.509 identity cannot stand behind {parent_hostname}: {DOWNSTREAM_REASON}",
            hint=DOWNSTREAM_FIX,
        )


def _places(
    cert: str,
    key: str | None,
    edge_ca: str | None,
    edge_ca_key: str | None,
    trust_bundle: str | None,
    device_certs: str | None,
    device_keys: str | None,
) -> dict[str, Place]:
    from iotc_admin.workflows.edge.writing import Place, certificate_place, key_place

    places = {
        "identity_cert": certificate_place(cert, device_certs),
        "identity_pk": key_place(cert, key, device_keys),
    }
    if edge_ca is not None:
        places["edge_ca_cert"] = certificate_place(edge_ca, device_certs)
        places["edge_ca_pk"] = key_place(edge_ca, edge_ca_key, device_keys)
    if trust_bundle is not None:
        places["trust_bundle"] = Place(trust_bundle, device_certs)
    return places


def _write(
    session: Session,
    draft: EdgeSettings,
    id_scope: str | None,
    form: Format,
    places: list[Place],
    out: Path,
    replace: bool,
) -> None:
    from iotc_admin.workflows.edge.writing import prepare

    # What can be refused here is refused before the application is asked.
    prepare(draft, form, places, now=session.started)
    settings = dataclasses.replace(draft, id_scope=id_scope_of(session, id_scope))
    text, findings = prepare(settings, form, places, now=session.started)
    file = out / form.file_name
    for each in findings:
        session.output.warn(f"{file} {each.what}: {each.cause}; {each.fix}")
    document: dict[str, Any] = {
        "file": str(file),
        "format": form.value,
        "registrationId": settings.registration_id,
        "idScope": settings.id_scope,
        "findings": [finding_document(each) for each in findings],
    }
    written(session, file, text.encode(), replace, document, [str(file)])


def _convert(session: Session, old: Path, out: Path, replace: bool) -> None:
    from iotc_admin.workflows.edge.conversion import convert
    from iotc_admin.workflows.edge.format import Format
    from iotc_admin.workflows.edge.writing import read_document

    converted = convert(read_document(old, Format.YAML))
    file = out / Format.TOML.file_name
    for name, text in converted.noted.items():
        session.output.say(f"{name} {text}")
    for name, reason in converted.dropped.items():
        session.output.warn(f"{name} is dropped: {reason}")
    document = {
        "file": str(file),
        "format": Format.TOML.value,
        "dropped": [{"key": name, "reason": reason} for name, reason in converted.dropped.items()],
        "notes": [{"key": name, "note": text} for name, text in converted.noted.items()],
    }
    written(session, file, converted.text.encode(), replace, document, [str(file)])
