"""`iotc-admin device explain`: who would let a device in, or why nobody would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli.device_state import DeviceId
from iotc_admin.cli.keyfiles import epilog
from iotc_admin.cli.settings import Session

if TYPE_CHECKING:
    from cryptography import x509

    from iotc_admin.workflows.explain import KnownCertificate

app = typer.Typer(rich_markup_mode=None)

_REFUSED = 1


@app.command(
    epilog=epilog(
        "iotc-admin device explain pump-042 --cert pump-042_cert.pem",
        "iotc_admin.workflows.explain_provisioning(client, 'pump-042', chain, known=known, now=now)",
        one="refused or failed, or the device would be refused",
    )
)
def explain(
    ctx: typer.Context,
    device_id: DeviceId,
    cert: Annotated[
        str,
        typer.Option(metavar="CERT", help="Its certificate; a full chain, or one beside it, counts too."),
    ],
    model_id: Annotated[
        str | None, typer.Option(metavar="DTMI", help="What the device says it is: its template.")
    ] = None,
) -> None:
    """Tell which enrollment would decide about a device with this certificate, and how.

    Reads the application and the ledger, and sends nothing to the provisioning service. Exits with 0 if the
    device would be let in, else with 1.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.pki.bundle import presented
    from iotc_admin.workflows.explain import explain_provisioning

    chain = presented(cert)
    with session.client() as client:
        found = explain_provisioning(
            client, device_id, chain, known=_known(session), now=client.now(), model_id=model_id
        )
    document = {
        "id": device_id,
        "enrollment": found.enrollment,
        "accepted": found.accepted,
        "reasons": found.reasons,
        "hint": found.hint or None,
    }
    end = "would be let in" if found.accepted else "would be refused"
    hint = [f"hint: {found.hint}"] if found.hint else []
    session.output.result(document, [*found.reasons, f"{device_id} {end}", *hint])
    if not found.accepted:
        raise typer.Exit(_REFUSED)


def _known(session: Session) -> KnownCertificate:
    from iotc_admin.pki.pem import read_certificate

    ledger = session.ledger_if_any()

    def known(thumbprint: str) -> x509.Certificate | None:
        entry = ledger.find(thumbprint) if ledger else None
        return read_certificate(entry.pem.encode()) if entry else None

    return known
