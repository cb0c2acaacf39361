"""Who has come over to the new CA: what counts as evidence, and what does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from iotc_admin import CertificateAuthority, Client, Ledger
from iotc_admin.contract.devices import DevicePropertiesPatch
from iotc_admin.workflows.adoption import Asked
from iotc_admin.workflows.rollover.journal import State
from iotc_admin.workflows.rollover.progress import look

from .test_enroll import GROUP
from .test_rollover import PUMPS, YEAR, reports, says, started


@pytest.mark.usefixtures("group")
def test_what_devices_report_is_the_evidence_and_what_the_ledger_does_not_know_is_none(
    client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    reports(client, "pump-1", new, ledger)
    reports(client, "pump-2", old, ledger)
    reports(client, "pump-3", new, None)

    progress = look(client, ledger, GROUP, Asked(devices=(*PUMPS, "pump-4")))

    assert progress.adoption is not None
    assert {each.device: each.state for each in progress.adoption.standings} == {
        "pump-1": "adopted", "pump-2": "old", "pump-3": "unknown", "pump-4": "unknown",
    }  # fmt: skip
    assert "does not know" in progress.adoption.standings[2].why
    assert "no such device" in progress.adoption.standings[3].why


@pytest.mark.usefixtures("group")
def test_a_certificate_of_an_intermediate_counts_for_the_ca_above_it(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    factory = new.issue_intermediate("factory", now=client.now())
    ledger.run("cert", client.now()).saw(factory.certificate)
    reports(client, "pump-1", factory, ledger)

    progress = look(client, ledger, GROUP, Asked(devices=("pump-1",)))

    assert progress.state is State.DRAINED


@pytest.mark.usefixtures("group")
def test_a_registration_counts_only_from_the_time_on_that_is_told_and_never_against_the_thumbprint(
    client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    now = client.now()
    says(client, "pump-1", lastRegistration=now.isoformat(), certificateThumbprint="AB" * 20)
    says(client, "pump-2", lastRegistration=(now - timedelta(days=1)).isoformat())
    reports(client, "pump-3", old, ledger)
    client.devices.update_properties(
        "pump-3", DevicePropertiesPatch.model_validate({"lastRegistration": now.isoformat()})
    )

    assert look(client, ledger, GROUP, Asked(devices=PUMPS)).laggards == PUMPS
    since = Asked(devices=PUMPS, registered_since=now - timedelta(hours=1))
    assert look(client, ledger, GROUP, since).laggards == ("pump-2", "pump-3")


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize(
    "nonsense",
    [
        {"certificateThumbprint": 7, "lastRegistration": ["x"]},
        {"certificateThumbprint": {"deep": {"er": 1}}, "lastRegistration": "soon"},
        {"certificateThumbprint": "AB", "certificateNotAfter": True},
        {"certificateThumbprint": "Z" * 40, "lastRegistration": "9999-99-99T00:00:00Z"},
    ],
)
def test_a_device_may_report_nonsense_it_is_no_evidence(
    client: Client, ledger: Ledger, new: CertificateAuthority, nonsense: dict[str, object]
) -> None:
    started(client, ledger, new)
    says(client, "pump-1", **nonsense)

    progress = look(client, ledger, GROUP, Asked(("pump-1",), registered_since=client.now() - YEAR))

    assert progress.laggards == ("pump-1",)
