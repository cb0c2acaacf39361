"""A CA rolled without downtime: each state, each gate, cut short anywhere."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509

from iotc_admin import CertificateAuthority, Client, Device, Ledger, Slot
from iotc_admin.contract.devices import DevicePropertiesPatch
from iotc_admin.emulator import Emulator
from iotc_admin.errors import OutsideValidity, PlanOutdated, UnsafePlan
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.workflows.adoption import Asked
from iotc_admin.workflows.enroll import enroll_group
from iotc_admin.workflows.rollover.finish import abort, plan_abortion, plan_retirement, retire
from iotc_admin.workflows.rollover.journal import Scribe, State, last_rollover
from iotc_admin.workflows.rollover.progress import Progress, look, note_progress
from iotc_admin.workflows.rollover.start import Start, StartPlan, plan_start, start

from ..conftest import InProcess, operator
from .test_enroll import GROUP, P, S, slots, unverified, verified, writes

YEAR = timedelta(days=365)
PUMPS = ("pump-1", "pump-2", "pump-3")


def scribe(client: Client, ledger: Ledger) -> Scribe:
    return Scribe(ledger.run("roll", client.now()), client, "operator")


def started(
    client: Client, ledger: Ledger, authority: CertificateAuthority, slot: Slot | None = None
) -> StartPlan:
    wanted = Start(GROUP, authority, slot)
    planned = plan_start(client, ledger, wanted)
    start(client, wanted, planned, scribe(client, ledger))
    return planned


def retired(client: Client, ledger: Ledger, asked: Asked, accepted: frozenset[str] = frozenset()) -> Progress:
    progress = look(client, ledger, GROUP, asked)
    plan = plan_retirement(client, ledger, progress, accepted)
    return retire(client, progress, plan, scribe(client, ledger), accepted=accepted)


def aborted(client: Client, ledger: Ledger, asked: Asked, *, listed: bool = False) -> Progress:
    progress = look(client, ledger, GROUP, asked)
    plan = plan_abortion(client, ledger, progress, listed=listed)
    return abort(client, progress, plan, scribe(client, ledger))


def reports(client: Client, device: str, authority: CertificateAuthority, ledger: Ledger | None) -> None:
    """The device says it registered with a certificate of this CA; the ledger may have seen it."""
    identity = authority.issue(device, now=client.now())
    if ledger:
        ledger.run("cert device", client.now()).saw(identity.certificate)
    says(client, device, certificateThumbprint=sha1_thumbprint(identity.certificate))


def says(client: Client, device: str, **properties: object) -> None:
    client.devices.create(device, Device())
    client.devices.update_properties(device, DevicePropertiesPatch.model_validate(properties))


def all_of(*adopted: str) -> Asked:
    return Asked(devices=PUMPS, adopted=frozenset(adopted))


def history(client: Client, ledger: Ledger) -> list[str]:
    record = last_rollover(ledger, client.app, GROUP)
    return list(record.moments) if record else []


@pytest.mark.usefixtures("group")
def test_from_the_first_step_to_the_last_with_every_state_noted(
    client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    planned = started(client, ledger, new)

    assert (planned.roll.slot, planned.because) == (S, "it is free")
    assert slots(client) == {P: verified(old), S: verified(new)}
    assert look(client, ledger, GROUP, all_of()).state is State.VERIFIED
    assert look(client, ledger, GROUP, all_of("pump-1")).state is State.OVERLAPPING
    assert look(client, ledger, GROUP, all_of(*PUMPS)).state is State.DRAINED
    progress = retired(client, ledger, all_of(*PUMPS))

    assert progress.state is State.CLOSED
    assert slots(client) == {P: None, S: verified(new)}
    states = ["prepared", "staged", "verified", "drained", "retiring", "retired", "closed"]
    assert [each for each in history(client, ledger) if each != "overlapping"] == states
    record = last_rollover(ledger, client.app, GROUP)
    assert record is not None
    assert record.moments["closed"].details["actor"] == "operator"
    assert record.moments["verified"].details["etag"]


@pytest.mark.usefixtures("group")
def test_the_old_ca_stays_while_a_device_may_need_it_and_the_laggards_are_named(
    emulator: Emulator, client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match=r"2 devices .*pump-2, pump-3"):
        retired(client, ledger, all_of("pump-1"))
    with pytest.raises(UnsafePlan, match=r"1 devices .*pump-3"):
        retired(client, ledger, all_of("pump-1"), frozenset({"pump-2"}))
    with pytest.raises(UnsafePlan, match="was not asked"):
        plan_retirement(client, ledger, look(client, ledger, GROUP))

    assert writes(emulator) == []
    progress = retired(client, ledger, all_of("pump-1"), frozenset({"pump-2", "pump-3", "pump-9"}))
    assert progress.state is State.CLOSED
    assert progress.roll.accepted == {"pump-2", "pump-3"}
    assert slots(client) == {P: None, S: verified(new)}


@pytest.mark.usefixtures("group")
def test_a_name_on_the_list_that_is_none_of_the_devices_is_told(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    started(client, ledger, new)

    progress = look(client, ledger, GROUP, all_of("pump-1", "pump-42"))

    assert progress.warnings == ("pump-42 is on the list, and not among the devices that are asked for",)
    assert progress.laggards == ("pump-2", "pump-3")


@pytest.mark.usefixtures("group")
def test_an_unverified_new_ca_retires_nothing(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    started(client, ledger, CertificateAuthority(new.certificate, None))

    with pytest.raises(UnsafePlan, match="staged only"):
        retired(client, ledger, all_of(*PUMPS))


@pytest.mark.usefixtures("group")
def test_an_abort_undoes_what_no_device_depends_on(
    client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    for pump in PUMPS:
        reports(client, pump, old, ledger)

    assert aborted(client, ledger, all_of()).state is State.ABORTED
    assert slots(client) == {P: verified(old), S: None}
    assert aborted(client, ledger, all_of()).state is State.ABORTED
    started(client, ledger, new)
    assert slots(client) == {P: verified(old), S: verified(new)}


@pytest.mark.usefixtures("group")
def test_an_abort_is_refused_when_a_device_has_come_over_or_may_have(
    emulator: Emulator, client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match=r"1 devices .*have a certificate of the new CA: pump-2"):
        aborted(client, ledger, all_of("pump-2"), listed=True)
    with pytest.raises(UnsafePlan, match=r"3 devices .*do not tell"):
        aborted(client, ledger, all_of())
    with pytest.raises(UnsafePlan, match="was not asked"):
        plan_abortion(client, ledger, look(client, ledger, GROUP))

    assert writes(emulator) == []
    assert aborted(client, ledger, all_of(), listed=True).state is State.ABORTED
    assert slots(client) == {P: verified(old), S: None}


@pytest.mark.usefixtures("group")
def test_what_no_device_can_come_by_is_aborted_without_asking(
    client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    started(client, ledger, CertificateAuthority(new.certificate, None))
    assert slots(client)[S] == unverified(new)

    assert aborted(client, ledger, all_of("pump-1")).state is State.ABORTED
    assert slots(client) == {P: verified(old), S: None}


@pytest.mark.usefixtures("group")
def test_with_the_old_ca_gone_there_is_no_way_back(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    client.enrollment_groups.delete_certificate(GROUP, P)

    with pytest.raises(UnsafePlan, match="nothing to go back to"):
        aborted(client, ledger, all_of())

    assert retired(client, ledger, all_of()).state is State.CLOSED


def test_a_group_without_a_certificate_has_nothing_to_roll(
    client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    enroll_group(client, GROUP, primary=old)
    client.enrollment_groups.delete_certificate(GROUP, P)

    with pytest.raises(UnsafePlan, match="nothing to roll"):
        started(client, ledger, new)


@pytest.mark.usefixtures("group")
def test_a_second_roll_does_not_begin_before_the_first_is_over(
    client: Client, ledger: Ledger, now: datetime, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    another = CertificateAuthority.create("another", now=now, lifetime=20 * YEAR)

    with pytest.raises(UnsafePlan, match=r"a roll .* is open since"):
        started(client, ledger, another)

    retired(client, ledger, all_of(*PUMPS))
    planned = started(client, ledger, another)
    assert planned.roll.slot is P


@pytest.mark.usefixtures("group")
def test_a_new_ca_that_does_not_outlast_the_old_is_refused(
    client: Client, ledger: Ledger, now: datetime
) -> None:
    brief = CertificateAuthority.create("brief", now=now, lifetime=timedelta(days=30))

    with pytest.raises(OutsideValidity, match="not after the old one"):
        started(client, ledger, brief)


def test_of_two_filled_slots_the_unverified_then_the_expired_then_the_older_is_taken(
    emulator: Emulator, ledger: Ledger, now: datetime, new: CertificateAuthority
) -> None:
    client = operator(emulator, InProcess(emulator), clock=emulator.control.now)
    elder = CertificateAuthority.create("elder", now=now - timedelta(days=9), lifetime=YEAR)
    brief = CertificateAuthority.create("brief", now=now, lifetime=timedelta(days=5))
    run = ledger.run("group create", client.now())

    enroll_group(client, GROUP, primary=brief, secondary=elder, run=run)
    planned = plan_start(client, ledger, Start(GROUP, new))
    assert (planned.roll.slot, planned.because) == (S, "its certificate is the older of the two")
    emulator.control.advance(timedelta(days=6))
    planned = plan_start(client, ledger, Start(GROUP, new))
    assert (planned.roll.slot, planned.because[:34]) == (P, "its certificate is outside its dat")

    client.enrollment_groups.delete_certificate(GROUP, S)
    client.enrollment_groups.delete_certificate(GROUP, P)
    enroll_group(client, GROUP, primary=elder, run=run)
    enroll_group(client, GROUP, primary=elder, secondary=CertificateAuthority(keyless(client), None), run=run)
    planned = plan_start(client, ledger, Start(GROUP, new))
    assert (planned.roll.slot, planned.because[:29]) == (S, "its certificate is unverified")
    assert planned.replaced is not None


def keyless(client: Client) -> x509.Certificate:
    return CertificateAuthority.create("keyless", now=client.now(), lifetime=YEAR).certificate


def test_which_slot_is_older_is_not_guessed(
    client: Client,
    ledger: Ledger,
    old: CertificateAuthority,
    ca: CertificateAuthority,
    new: CertificateAuthority,
) -> None:
    enroll_group(client, GROUP, primary=old, secondary=ca)

    with pytest.raises(UnsafePlan, match="which is the older is not known"):
        started(client, ledger, new)
    assert plan_start(client, ledger, Start(GROUP, new, P)).because == "it was asked for"


@pytest.mark.usefixtures("group")
def test_a_slot_that_somebody_else_changed_is_seen_and_the_roll_can_be_ended(
    client: Client,
    ledger: Ledger,
    ca: CertificateAuthority,
    old: CertificateAuthority,
    new: CertificateAuthority,
) -> None:
    started(client, ledger, new)
    client.enrollment_groups.delete_certificate(GROUP, S)
    enroll_group(client, GROUP, primary=old, secondary=ca)

    assert "somebody else changed it" in look(client, ledger, GROUP, all_of()).changed
    with pytest.raises(PlanOutdated, match="somebody else changed it"):
        retired(client, ledger, all_of(*PUMPS))
    assert aborted(client, ledger, all_of()).state is State.ABORTED
    assert slots(client) == {P: verified(old), S: verified(ca)}


@pytest.mark.usefixtures("group")
def test_what_somebody_else_put_in_the_place_of_the_old_ca_is_not_removed(
    client: Client, ledger: Ledger, ca: CertificateAuthority, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    client.enrollment_groups.delete_certificate(GROUP, P)
    enroll_group(client, GROUP, primary=ca)

    progress = retired(client, ledger, all_of())

    assert progress.state is State.CLOSED
    assert slots(client) == {P: verified(ca), S: verified(new)}


@pytest.mark.usefixtures("group")
def test_the_new_ca_is_looked_at_once_more_before_the_old_one_goes(
    client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    progress = look(client, ledger, GROUP, all_of(*PUMPS))
    plan = plan_retirement(client, ledger, progress)
    client.enrollment_groups.delete_certificate(GROUP, S)

    with pytest.raises(PlanOutdated, match="is empty by now"):
        retire(client, progress, plan, scribe(client, ledger))

    assert slots(client) == {P: verified(old), S: None}


@pytest.mark.usefixtures("group")
def test_the_old_ca_is_looked_at_once_more_before_the_new_one_goes_again(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    progress = look(client, ledger, GROUP, all_of())
    plan = plan_abortion(client, ledger, progress, listed=True)
    client.enrollment_groups.delete_certificate(GROUP, P)

    with pytest.raises(PlanOutdated, match="is empty by now"):
        abort(client, progress, plan, scribe(client, ledger))

    assert slots(client) == {P: None, S: verified(new)}


@pytest.mark.usefixtures("group")
def test_what_was_noted_once_is_not_noted_again(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    for _ in range(3):
        started(client, ledger, new)
        note_progress(look(client, ledger, GROUP, all_of("pump-1")), scribe(client, ledger))

    lines = [each.event for each in ledger.events() if each.event.startswith("roll ")]
    assert lines == ["roll prepared", "roll staged", "roll verified", "roll overlapping"]


@pytest.mark.usefixtures("group")
def test_half_of_the_overlap_over_is_warned_of(
    emulator: Emulator, ledger: Ledger, new: CertificateAuthority
) -> None:
    client = operator(emulator, InProcess(emulator), clock=emulator.control.now)
    started(client, ledger, new)
    note_progress(look(client, ledger, GROUP, all_of()), scribe(client, ledger))
    assert look(client, ledger, GROUP, all_of()).warnings == ()

    emulator.control.advance(timedelta(days=190))
    assert "half of the overlap is over" in look(client, ledger, GROUP, all_of()).warnings[0]
    emulator.control.advance(timedelta(days=190))
    assert "can no longer register" in look(client, ledger, GROUP, all_of()).warnings[0]


@pytest.mark.usefixtures("group")
def test_whose_certificates_need_a_successor_is_told(
    client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    for pump in PUMPS:
        reports(client, pump, old, ledger)

    planned = plan_start(client, ledger, Start(GROUP, new))

    assert sorted(planned.successors) == [f"CN={pump}" for pump in PUMPS]


@pytest.mark.usefixtures("group")
def test_an_unproven_ca_that_somebody_proves_before_it_goes_again_stays(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    started(client, ledger, CertificateAuthority(new.certificate, None))
    progress = look(client, ledger, GROUP, all_of())
    plan = plan_abortion(client, ledger, progress)
    started(client, ledger, new)
    retired(client, ledger, all_of(*PUMPS))

    with pytest.raises(PlanOutdated, match="has proven it by now"):
        abort(client, progress, plan, scribe(client, ledger))

    assert slots(client) == {P: None, S: verified(new)}


@pytest.mark.usefixtures("group")
def test_a_roll_that_somebody_began_since_this_one_was_planned_is_not_hidden(
    emulator: Emulator, client: Client, ledger: Ledger, ca: CertificateAuthority, new: CertificateAuthority
) -> None:
    wanted = Start(GROUP, new)
    planned = plan_start(client, ledger, wanted)
    started(client, ledger, ca)
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match="is open since"):
        start(client, wanted, planned, scribe(client, ledger))

    assert writes(emulator) == []
    record = last_rollover(ledger, client.app, GROUP)
    assert record is not None
    assert record.new == sha1_thumbprint(ca.certificate)


def test_beside_an_empty_slot_there_is_nothing_to_roll_from(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    enroll_group(client, GROUP, primary=CertificateAuthority(new.certificate, None))

    with pytest.raises(UnsafePlan, match="no old CA beside") as caught:
        started(client, ledger, new)

    assert "--slot primary" in caught.value.hint


@pytest.mark.usefixtures("group")
def test_what_is_over_is_neither_retired_nor_aborted_the_other_way(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    aborted(client, ledger, all_of(), listed=True)
    with pytest.raises(UnsafePlan, match="it was aborted on"):
        retired(client, ledger, all_of(*PUMPS))

    started(client, ledger, new)
    retired(client, ledger, all_of(*PUMPS))
    with pytest.raises(UnsafePlan, match="it was closed on"):
        aborted(client, ledger, all_of(), listed=True)
    assert retired(client, ledger, all_of(*PUMPS)).state is State.CLOSED


@pytest.mark.usefixtures("group")
def test_what_a_person_vouched_for_is_on_record_beside_what_was_accepted(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    started(client, ledger, new)
    reports(client, "pump-2", new, ledger)

    record = retired(client, ledger, all_of("pump-1"), frozenset({"pump-3"})).roll

    assert record.vouched == {"pump-1"}
    assert record.accepted == {"pump-3"}
