"""`iotc-admin cert ...`: certificates and keys, without any network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypedDict

import typer

from iotc_admin.cli.keyfiles import (
    DRY_RUN,
    KEY_HELP,
    KeyPasswordFile,
    epilog,
    load_authority,
    load_key,
    password,
)
from iotc_admin.cli.settings import Session
from iotc_admin.cli.views import certificate_document, certificate_lines

if TYPE_CHECKING:
    from cryptography import x509

    from iotc_admin.pki.checks import Finding
    from iotc_admin.pki.identity import DeviceIdentity
    from iotc_admin.pki.keys import SigningKey

app = typer.Typer(rich_markup_mode=None)

# Spelt here because cryptography is too slow to load for `--help`.
KINDS: Final = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096")
DEFAULT_KIND: Final = KINDS[0]


class Passwords(TypedDict):
    """Under what the new key is written encrypted."""

    key_password: bytes | None
    pfx_password: bytes | None


class Role(StrEnum):
    root = "root"
    device = "device"


Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")]
NewKey = Annotated[
    str,
    typer.Option(
        "--key",
        metavar=f"{'|'.join(KINDS)}|URI",
        autocompletion=lambda: list(KINDS),
        help="The kind of key to make, or where one is: pkcs11:..., https://VAULT.vault.azure.net/keys/...",
    ),
]
Days = Annotated[int, typer.Option("--days", min=1, max=36500, help="How long it is valid.")]
OptionalDays = Annotated[
    int | None,
    typer.Option("--days", min=1, max=36500, help="How long it is valid; by default never past its issuer."),
]
Issuer = Annotated[str, typer.Option("--issuer", metavar="CERT", help="The CA certificate that signs.")]
IssuerKey = Annotated[str | None, typer.Option("--issuer-key", metavar="KEY", help=KEY_HELP)]
NewKeyPasswordFile = Annotated[
    str | None,
    typer.Option(
        "--new-key-password-file", metavar="FILE", help="Write the new key encrypted under it; or its PIN."
    ),
]
Pfx = Annotated[bool, typer.Option("--pfx", help="Write NAME.pfx too; needs --pfx-password-file.")]
PfxPasswordFile = Annotated[
    str | None, typer.Option("--pfx-password-file", metavar="FILE", help="Holds the password of the PFX.")
]
PathLength = Annotated[
    int | None,
    typer.Option("--path-length", min=0, max=20, help="How many CAs may stand below it; by default any."),
]


@app.command(
    epilog=epilog(
        "iotc-admin cert root plant7", "CertificateAuthority.create('plant7', now=now)", three=DRY_RUN
    )
)
def root(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The common name; it names the files too.")],
    out: Out = Path(),
    days: Days = 3650,
    key: NewKey = DEFAULT_KIND,
    path_length: PathLength = None,
    key_password_file: Annotated[
        str | None,
        typer.Option(
            "--key-password-file", metavar="FILE", help="Write the key encrypted under it; or a token's PIN."
        ),
    ] = None,
    pfx: Pfx = False,
    pfx_password_file: PfxPasswordFile = None,
) -> None:
    """Make a root CA: NAME_cert.pem, NAME_key.pem (0600) and NAME_fullchain.pem. Never writes over a file.

    A key that is elsewhere stays there: no NAME_key.pem.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    passwords = _passwords(key_password_file, pfx, pfx_password_file)
    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.pki.store import save_authority

    authority = CertificateAuthority.create(
        name,
        now=session.started,
        lifetime=timedelta(days=days),
        key=new_key(session, key, key_password_file),
        path_length=path_length,
    )
    keep(session, authority.certificate, lambda: save_authority(out, name, authority, **passwords))


@app.command(
    epilog=epilog(
        "iotc-admin cert intermediate line3 --issuer plant7_cert.pem",
        "ca.issue_intermediate('line3', now=now)",
        three=DRY_RUN,
    )
)
def intermediate(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The common name; it names the files too.")],
    issuer: Issuer,
    issuer_key: IssuerKey = None,
    out: Out = Path(),
    days: OptionalDays = None,
    key: NewKey = DEFAULT_KIND,
    path_length: PathLength = None,
    key_password_file: KeyPasswordFile = None,
    new_key_password_file: NewKeyPasswordFile = None,
    pfx: Pfx = False,
    pfx_password_file: PfxPasswordFile = None,
) -> None:
    """Make a CA below another, to issue device certificates while the root stays in its safe."""
    session = Session.begin(ctx.command_path, ctx.obj)
    passwords = _passwords(new_key_password_file, pfx, pfx_password_file)
    from iotc_admin.pki.store import save_authority

    authority = load_authority(session, issuer, issuer_key, key_password_file).issue_intermediate(
        name,
        now=session.started,
        lifetime=_lifetime(days),
        key=new_key(session, key, new_key_password_file),
        path_length=path_length,
    )
    keep(session, authority.certificate, lambda: save_authority(out, name, authority, **passwords))


@app.command(
    epilog=epilog(
        "iotc-admin cert device pump-042 --issuer plant7_cert.pem",
        "ca.issue('pump-042', now=now)",
        three=DRY_RUN,
    )
)
def device(
    ctx: typer.Context,
    device_id: Annotated[
        str, typer.Argument(metavar="ID", help="The device id: it becomes the common name.")
    ],
    issuer: Annotated[
        str | None, typer.Option(metavar="CERT", help="The CA that signs; self-signed without.")
    ] = None,
    issuer_key: IssuerKey = None,
    out: Out = Path(),
    days: OptionalDays = None,
    key: NewKey = DEFAULT_KIND,
    key_password_file: KeyPasswordFile = None,
    new_key_password_file: NewKeyPasswordFile = None,
    pfx: Pfx = False,
    pfx_password_file: PfxPasswordFile = None,
) -> None:
    """Make a device's certificate and key: signed by a CA, or self-signed for an individual enrollment.

    Valid for 365 days by default. --key-password-file opens the issuer's key; without an issuer it encrypts
    the device's own.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    if issuer is None and issuer_key is not None:
        raise typer.BadParameter("--issuer-key goes with --issuer", ctx)
    own_password = new_key_password_file or (None if issuer else key_password_file)
    passwords = _passwords(own_password, pfx, pfx_password_file)
    from iotc_admin.pki.store import save_identity

    own_key = new_key(session, key, own_password)
    identity = _identity(session, device_id, issuer, issuer_key, key_password_file, _lifetime(days), own_key)
    keep(session, identity.certificate, lambda: save_identity(out, device_id, identity, **passwords))


@app.command(
    epilog=epilog(
        "iotc-admin cert sign pump-042.csr --issuer plant7_cert.pem",
        "ca.sign_request(csr, now=now)",
        three=DRY_RUN,
    )
)
def sign(
    ctx: typer.Context,
    csr: Annotated[str, typer.Argument(metavar="CSR", help="The request, PEM or DER.")],
    issuer: Issuer,
    issuer_key: IssuerKey = None,
    out: Out = Path(),
    days: OptionalDays = None,
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Sign a device's certificate request: its key never leaves it. The common name is the device id."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.pki.description import common_name
    from iotc_admin.pki.store import load_request, save_certificate

    request = load_request(csr)
    authority = load_authority(session, issuer, issuer_key, key_password_file)
    certificate = authority.sign_request(request, now=session.started, lifetime=_lifetime(days))
    chain = (authority.certificate, *authority.chain)
    name = common_name(certificate) or ""
    keep(session, certificate, lambda: save_certificate(out, name, certificate, chain))


@app.command(
    epilog=epilog(
        "iotc-admin cert verification 7A69A3F8.. --issuer plant7_cert.pem",
        "ca.prove(code, now=now)",
        three=DRY_RUN,
    )
)
def verification(
    ctx: typer.Context,
    code: Annotated[str, typer.Argument(metavar="CODE", help="The verification code.")],
    issuer: Issuer,
    issuer_key: IssuerKey = None,
    out: Out = Path(),
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Answer a verification code where the CA's key is: writes verification_cert.pem and keeps no key."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.pki.pem import certificate_pem
    from iotc_admin.pki.store import replace_file

    proof = load_authority(session, issuer, issuer_key, key_password_file).prove(code, now=session.started)
    file = out / "verification_cert.pem"
    # Codes are used once, and so are their answers: the last one is the only one that counts.
    keep(session, proof, lambda: [replace_file(file, certificate_pem(proof))])


@app.command(
    epilog=epilog("iotc-admin cert show plant7_cert.pem", "iotc_admin.pki.description.describe(certificate)")
)
def show(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="PEM, DER or PFX; bundles too.")],
    key_password_file: KeyPasswordFile = None,
) -> None:
    """What a certificate says: subject, issuer, dates, key, thumbprints, what it may be used for."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.pki.description import describe
    from iotc_admin.pki.store import load_certificates

    certificates = load_certificates(file, password(key_password_file))
    documents, lines = [], []
    for certificate in certificates:
        facts = describe(certificate)
        uses = _uses(session, certificate)
        documents.append(certificate_document(facts) | {"usableAs": uses})
        lines += [*certificate_lines(facts), f"usable as    {', '.join(uses) or 'nothing here'}", ""]
    session.output.result(documents[0] | {"chain": documents[1:]}, lines[:-1])


@app.command(
    epilog=epilog(
        "iotc-admin cert check plant7_cert.pem --role root",
        "iotc_admin.pki.lint.lint(certificate, role='root', now=now)",
        one="it has errors, or is not readable",
    )
)
def check(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="The certificate, with its chain if it has one.")
    ],
    issuer: Annotated[
        str | None, typer.Option(metavar="CERT", help="The CA that should have signed it.")
    ] = None,
    device_id: Annotated[
        str | None, typer.Option("--device", metavar="ID", help="The device it is for.")
    ] = None,
    role: Annotated[
        Role | None, typer.Option(help="What it is to be (default: root for a CA, else device).")
    ] = None,
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Hold a certificate against what the service accepts; each finding with cause and fix.

    Exits 1 on errors, 0 on warnings only.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.pki.description import is_ca
    from iotc_admin.pki.lint import lint
    from iotc_admin.pki.store import load_certificates

    certificate, *chain = load_certificates(file, password(key_password_file))
    signer = load_certificates(issuer)[0] if issuer else None
    wanted = role or (Role.root if is_ca(certificate) and not device_id else Role.device)
    findings = lint(
        certificate, role=wanted.value, now=session.started, issuer=signer, device_id=device_id, chain=chain
    )
    session.output.result(
        {"file": file, "role": wanted.value, "findings": [_finding(each) for each in findings]},
        [line for each in findings for line in _finding_lines(file, each)]
        or [f"{file}: no findings as {wanted}"],
    )
    if any(each.level == "error" for each in findings):
        raise typer.Exit(1)


def _identity(
    session: Session,
    device_id: str,
    issuer: str | None,
    issuer_key: str | None,
    key_password_file: str | None,
    lifetime: timedelta | None,
    key: SigningKey,
) -> DeviceIdentity:
    from iotc_admin.pki.identity import DeviceIdentity

    if issuer is not None:
        authority = load_authority(session, issuer, issuer_key, key_password_file)
        return authority.issue(device_id, now=session.started, lifetime=lifetime, key=key)
    return DeviceIdentity.self_signed(
        device_id, now=session.started, lifetime=lifetime or timedelta(days=365), key=key
    )


def keep(session: Session, certificate: x509.Certificate, save: Any) -> None:
    """Write the files, record the certificate, print it. The ledger is opened first: a run leaves both."""
    from iotc_admin.pki.description import describe

    facts = describe(certificate)
    if session.dry_run:
        session.output.result(certificate_document(facts), ["would make:", *certificate_lines(facts)])
        raise typer.Exit(3)
    run = session.run()
    files: list[Path] = save()
    run.saw(certificate, file=str(files[0]))
    document = certificate_document(facts) | {"files": [str(file) for file in files]}
    session.output.result(document, _made(files, facts.sha1, facts.not_after))


def _made(files: Iterable[Path], thumbprint: str, until: Any) -> Iterator[str]:
    for file in files:
        yield str(file)
    yield f"thumbprint {thumbprint}, valid until {until:%Y-%m-%d}"


def _passwords(key: str | None, pfx: bool, pfx_password_file: str | None) -> Passwords:
    if pfx and pfx_password_file is None:
        raise typer.BadParameter("--pfx needs --pfx-password-file: a PFX holds the key")
    if pfx_password_file is not None and not pfx:
        raise typer.BadParameter("--pfx-password-file goes with --pfx")
    return Passwords(key_password=password(key), pfx_password=password(pfx_password_file))


def new_key(session: Session, wanted: str, password_file: str | None) -> SigningKey:
    """A key of this kind, or the one that the URI names. Wrong usage if it is neither."""
    from iotc_admin.pki import keys

    if wanted in KINDS:
        return keys.new_key(keys.KeyKind(wanted))
    if keys.in_file(wanted):
        message = f"{wanted!r} is none of {', '.join(KINDS)}, nor a pkcs11: or https: URI"
        raise typer.BadParameter(message, param_hint="'--key'")
    return load_key(session, wanted, password_file)


def _lifetime(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def _uses(session: Session, certificate: x509.Certificate) -> list[str]:
    from iotc_admin.pki.lint import lint

    roles = {"CA in an enrollment group": Role.root, "device certificate": Role.device}
    return [
        name
        for name, role in roles.items()
        if not any(each.level == "error" for each in lint(certificate, role=role.value, now=session.started))
    ]


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "level": finding.level,
        "code": finding.code,
        "what": finding.what,
        "cause": finding.cause,
        "fix": finding.fix,
    }


def _finding_lines(file: str, finding: Finding) -> Iterator[str]:
    yield f"{finding.level}: {file} {finding.what} [{finding.code}]"
    yield f"  cause: {finding.cause}"
    yield f"  fix:   {finding.fix}"
