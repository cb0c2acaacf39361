"""What is said of each slot, beside a real application and a real ledger."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority, Client, Device, DeviceIdentity, Ledger
from iotc_admin.contract.devices import Attestation
from iotc_admin.contract.enrollment_groups import EnrollmentGroupPatch, Slot, SymmetricKey
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.errors import NotAllowed
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.pki.lifetime import Policy
from iotc_admin.pki.store import load_certificates
from iotc_admin.workflows.apply import Hands, apply
from iotc_admin.workflows.attach import attach_certificates, plan_detachment
from iotc_admin.workflows.devices import plan_device_deletion
from iotc_admin.workflows.enroll import Enrollment, carry_out, enroll_group, plan_enrollment
from iotc_admin.workflows.groups import plan_deletion, plan_removal
from iotc_admin.workflows.known import Place
from iotc_admin.workflows.plan import details
from iotc_admin.workflows.status import SlotStatus, Status, look_at_status

from .plants import NOW, authority, held, judged
from .test_enroll import GROUP, count, without_key

DATA = Path(__file__).parents[1] / "pki" / "data"
PUMP = "pump-1"
DAY = timedelta(days=1)


def kinds(slot: SlotStatus) -> list[str]:
    return [each.kind for each in slot.findings]


def by_place(status: Status) -> dict[str, SlotStatus]:
    return {str(each.held.place): each for each in status.slots}


def enrolled(client: Client, ledger: Ledger, ca: CertificateAuthority, group: str = GROUP) -> None:
    enroll_group(client, group, primary=ca, run=ledger.run("group create", client.now()))


def put(client: Client, ca: CertificateAuthority, *, replace: bool = True) -> None:
    """As somebody else does it, with a ledger of their own."""
    wanted = Enrollment(GROUP, {Slot.PRIMARY: ca}, replace=replace)
    carry_out(client, wanted, plan_enrollment(client, wanted))


def test_a_new_application_has_nothing_to_say(client: Client, ledger: Ledger) -> None:
    seen = look_at_status(client, ledger, devices=True)

    assert (seen.slots, seen.waits, seen.count) == ((), False, {})
    assert set(seen.others) == {"SAS-IoT-Devices", "SAS-IoT-Edge-Devices"}


def test_a_slot_is_told_with_all_that_the_ledger_knows(
    client: Client, ledger: Ledger, ca: CertificateAuthority
) -> None:
    enrolled(client, ledger, ca)

    slot, empty = look_at_status(client, ledger).slots

    certificate = ca.certificate
    assert (slot.state, slot.findings, slot.due, slot.held.verified) == ("ok", (), False, True)
    assert slot.held.thumbprint == sha1_thumbprint(certificate)
    assert slot.dates is not None
    assert slot.dates.not_after == certificate.not_valid_after_utc
    assert (slot.days_left, slot.entry and slot.entry.subject) == (3649, "CN=plant7")
    assert (empty.state, str(empty.held.place), empty.held.verified) == ("empty", f"{GROUP}/secondary", None)


def test_it_costs_a_list_and_two_requests_a_group_and_one_a_device(
    emulator: Emulator,
    client: Client,
    ledger: Ledger,
    ca: CertificateAuthority,
    other_ca: CertificateAuthority,
) -> None:
    enrolled(client, ledger, ca)
    enrolled(client, ledger, other_ca, "plant-8")
    for number in range(5):
        client.devices.create(f"pump-{number}", Device())

    groups = count(emulator, lambda: look_at_status(client, ledger))
    devices = count(emulator, lambda: look_at_status(client, ledger, devices=True))

    assert (groups, devices) == (1 + 2 * 2, 1 + 2 * 2 + 1 + 5)
    assert {each.method for each in emulator.control.requests} == {"GET"}


def test_what_the_ledger_does_not_know_is_unmanaged_until_it_is_imported(
    client: Client, ledger: Ledger, ca: CertificateAuthority
) -> None:
    put(client, ca)

    (before, _) = look_at_status(client, ledger).slots
    (without, _) = look_at_status(client, None).slots
    ledger.run("ledger import", client.now()).saw(ca.certificate)
    (after, _) = look_at_status(client, ledger).slots

    assert kinds(before) == kinds(without) == ["unmanaged"]
    assert (before.due, before.days_left, before.entry, before.waits) == (None, None, None, False)
    assert before.findings[0].hint == "adopt it: iotc-admin ledger import CERT"
    assert after.state == "ok"


def test_a_slot_without_proof_waits(client: Client, ledger: Ledger, ca: CertificateAuthority) -> None:
    enrolled(client, ledger, without_key(ca))

    seen = look_at_status(client, ledger)

    assert kinds(seen.slots[0]) == ["unverified"]
    assert f"group verify {GROUP} --slot primary" in seen.slots[0].findings[0].hint
    assert seen.waits


@pytest.mark.parametrize(
    ("days", "kind", "left"),
    [(0, None, 89), (40, None, 49), (61, "due", 28), (89.9, "due", 0), (91, "expired", -2)],
)
def test_dates_are_judged_by_the_time_of_the_client(
    days: float, kind: str | None, left: int, now: datetime
) -> None:
    ca = CertificateAuthority.create("brief", now=now, lifetime=90 * DAY).certificate
    place = Place("group", GROUP, "primary")

    (slot,) = judged([held(place, ca)], ca, now=now + days * DAY)

    assert kinds(slot) == ([kind] if kind else [])
    assert (slot.days_left, slot.waits, slot.due) == (left, kind is not None, kind is not None)
    assert [each.hint for each in slot.findings] == [
        f"make a new CA and roll to it: iotc-admin roll plan --group {GROUP} --cert NEW"
    ] * len(slot.findings)


def test_a_span_decides_instead_of_the_age() -> None:
    ca = authority("old", age=900, left=100)
    slots = [held(Place("group", GROUP, "primary"), ca)]

    found = [kinds(judged(slots, ca, policy=Policy(each))[0]) for each in (None, 99 * DAY, 101 * DAY)]

    assert found == [["due"], [], ["due"]]


def test_what_is_not_valid_yet_is_said_and_is_not_due() -> None:
    ca = authority("early", age=-3)

    (slot,) = judged([held(Place("group", GROUP, "primary"), ca)], ca)

    assert (kinds(slot), slot.due, slot.waits) == (["early"], False, False)


@pytest.mark.parametrize("file", ["rsa1024_root.pem", "sha1_root.pem", "md5_root.pem"])
def test_a_weak_key_or_signature_is_found(file: str) -> None:
    (certificate,) = load_certificates(DATA / file)

    (slot,) = judged([held(Place("group", GROUP, "primary"), certificate)], certificate)

    assert "weak" in kinds(slot)


def test_one_key_in_several_places_is_named_in_each(now: datetime) -> None:
    first = CertificateAuthority.create("a", now=NOW - DAY)
    again = CertificateAuthority.create("b", now=NOW - DAY, key=first.key)
    alone = authority("c")
    slots = [
        held(Place("group", "g-1", "primary"), first.certificate),
        held(Place("group", "g-2", "primary"), again.certificate),
        held(Place("group", "g-3", "primary"), alone),
        held(Place("group", "g-3", "secondary"), None),
        held(Place("group", "g-4", "secondary"), None),
    ]

    one, two, three, *empty = judged(slots, first.certificate, again.certificate, alone)

    told = {str(each.held.place): each.findings[0].message for each in (one, two)}
    assert told == {
        "g-1/primary": "has the same key as g-2/primary",
        "g-2/primary": "has the same key as g-1/primary",
    }
    assert [three.findings, *(each.findings for each in empty)] == [(), (), ()]


def test_one_certificate_that_nobody_knows_is_shared_all_the_same_and_few_places_are_named() -> None:
    unknown = authority("unknown")
    slots = [held(Place("group", f"g-{number:03}", "primary"), unknown) for number in range(200)]

    seen = judged(slots)

    assert kinds(seen[0]) == ["shared", "unmanaged"]
    assert (
        seen[0].findings[0].message
        == "has the same key as g-001/primary, g-002/primary, g-003/primary and 196 more"
    )
    assert seen[-1].findings[0].message.endswith("g-000/primary, g-001/primary, g-002/primary and 196 more")


def test_a_slot_that_somebody_else_changed_is_drift_until_that_is_made_known(
    client: Client, ledger: Ledger, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    enrolled(client, ledger, ca)
    put(client, other_ca)

    (before, _) = look_at_status(client, ledger).slots
    ledger.run("ledger import", client.now()).saw(other_ca.certificate)
    (after, _) = look_at_status(client, ledger).slots

    assert kinds(before) == ["drift", "unmanaged"]
    assert "(group create)" in before.findings[0].message
    assert before.findings[0].hint.startswith(f"see iotc-admin group show {GROUP}")
    assert kinds(after) == []


def test_a_slot_that_somebody_else_emptied_is_drift(
    client: Client, ledger: Ledger, ca: CertificateAuthority
) -> None:
    enrolled(client, ledger, ca)
    client.enrollment_groups.delete_certificate(GROUP, Slot.PRIMARY)

    assert [kinds(each) for each in look_at_status(client, ledger).slots] == [["drift"], []]


def test_what_this_tool_emptied_or_deleted_itself_is_no_drift(
    client: Client, ledger: Ledger, ca: CertificateAuthority
) -> None:
    enrolled(client, ledger, ca)
    hands = Hands(run=ledger.run("group remove-cert", client.now()))

    apply(plan_removal(client, GROUP, Slot.PRIMARY), client, hands)
    emptied = look_at_status(client, ledger)
    put(client, ca)
    ledger.run("x", client.now()).saw(ca.certificate)
    apply(plan_deletion(client, GROUP), client, hands)
    enroll_group(client, GROUP, primary=without_key(ca))
    made_again = look_at_status(client, ledger)

    assert [kinds(each) for each in emptied.slots] == [[], []]
    assert [kinds(each) for each in made_again.slots] == [["unverified"], []]


def test_what_was_begun_and_may_have_happened_is_no_drift(
    client: Client, ledger: Ledger, ca: CertificateAuthority
) -> None:
    enrolled(client, ledger, ca)
    (step,) = plan_removal(client, GROUP, Slot.PRIMARY).steps
    run = ledger.run("group remove-cert", client.now())

    # As it is when the connection ends, or the power, after the request has left.
    run.note(f"begin: {step}", client.now(), app=client.app, **details(step))
    before, _ = look_at_status(client, ledger).slots
    client.enrollment_groups.delete_certificate(GROUP, Slot.PRIMARY)
    after, _ = look_at_status(client, ledger).slots

    assert (kinds(before), kinds(after)) == ([], [])


def test_groups_that_attest_otherwise_are_named_and_disabled_ones_judged_like_others(
    client: Client, ledger: Ledger, ca: CertificateAuthority
) -> None:
    enrolled(client, ledger, without_key(ca))
    client.enrollment_groups.update(GROUP, EnrollmentGroupPatch(enabled=False, display_name="Plant 7"))

    seen = look_at_status(client, ledger)

    assert {each.held.place.id for each in seen.slots} == {GROUP}
    assert (seen.slots[0].held.enabled, seen.slots[0].held.display_name) == (False, "Plant 7")
    assert seen.waits
    assert "SAS-IoT-Devices" in seen.others


def test_devices_are_looked_at_by_their_own_slots_or_the_leaf_that_the_ledger_knows(
    client: Client, ledger: Ledger, ca: CertificateAuthority, now: datetime
) -> None:
    run = ledger.run("cert device", now)
    for name in (PUMP, "Pump-2", "pump-3", "plant7", "keyed"):
        client.devices.create(name, Device())
    client.devices.update(PUMP, Device(enabled=False))
    keys = SymmetricKey(primary_key="AAAA", secondary_key="AAAA")
    client.devices.create_attestation("keyed", Attestation(type="symmetricKey", symmetric_key=keys))
    run.saw(ca.certificate)  # has the name of a device, but is a CA
    own = DeviceIdentity.self_signed(PUMP, now=now).certificate
    attach_certificates(client, PUMP, primary=own, run=run)
    older, newer = (ca.issue("PUMP-2", now=now + wait, lifetime=9 * DAY) for wait in (0 * DAY, DAY))
    for identity in (newer, older):
        run.saw(identity.certificate)

    seen = by_place(look_at_status(client, ledger, devices=True))

    assert set(seen) == {f"{PUMP}/primary", f"{PUMP}/secondary", "Pump-2"}
    assert seen[f"{PUMP}/primary"].state == "ok"
    assert seen[f"{PUMP}/secondary"].state == "empty"
    assert [seen[each].held.enabled for each in (f"{PUMP}/primary", "Pump-2")] == [False, True]
    assert seen["Pump-2"].held.thumbprint == sha1_thumbprint(newer.certificate)


def test_a_device_may_drift_too_and_its_own_removal_does_not(
    client: Client, ledger: Ledger, now: datetime
) -> None:
    client.devices.create(PUMP, Device())
    first, second = (DeviceIdentity.self_signed(PUMP, now=now).certificate for _ in "ab")
    run = ledger.run("device attach-cert", now)
    attach_certificates(client, PUMP, primary=first, secondary=second, run=run)

    def found() -> dict[str, list[str]]:
        seen = look_at_status(client, ledger, devices=True)
        return {str(each.held.place): kinds(each) for each in seen.slots}

    assert found() == {f"{PUMP}/primary": [], f"{PUMP}/secondary": []}
    client.devices.delete_attestation(PUMP)
    third = DeviceIdentity.self_signed(PUMP, now=now).certificate
    attach_certificates(client, PUMP, primary=third)
    assert found() == {f"{PUMP}/primary": ["drift", "unmanaged"], f"{PUMP}/secondary": ["drift"]}
    hands = Hands(run=run)
    apply(plan_detachment(client, PUMP), client, hands)
    attach_certificates(client, PUMP, primary=third)
    assert found() == {f"{PUMP}/primary": ["drift", "unmanaged"], f"{PUMP}/secondary": []}
    apply(plan_device_deletion(client, PUMP), client, hands)
    client.devices.create(PUMP, Device())
    attach_certificates(client, PUMP, primary=third)
    assert found() == {f"{PUMP}/primary": ["unmanaged"], f"{PUMP}/secondary": []}


@pytest.mark.parametrize(
    ("slot", "hint"),
    [
        ("primary", "roll --device 'a b;$(rm)' --slot primary --cert NEW"),
        ("", "cert device 'a b;$(rm)' --issuer CERT"),
    ],
)
def test_a_hint_may_be_pasted_into_a_shell_whatever_the_device_is_called(slot: str, hint: str) -> None:
    leaf = DeviceIdentity.self_signed("pump", now=NOW - 364 * DAY, lifetime=365 * DAY).certificate

    (seen,) = judged([held(Place("device", "a b;$(rm)", slot), leaf)], leaf)

    assert seen.findings[0].hint.endswith(hint)


def test_the_worst_stands_in_front_and_what_expires_first(now: datetime) -> None:
    made = {name: authority(name, age=900, left=left) for name, left in
            (("fine", 9000), ("later", 9900), ("due", 90), ("over", -3), ("open", 9000))}  # fmt: skip
    slots = [
        held(Place("group", name, "primary"), each, verified=name != "open") for name, each in made.items()
    ]
    slots += [held(Place("group", "empty", "primary"), None)]

    seen = judged(slots, *made.values())

    assert [each.held.place.id for each in seen] == ["over", "due", "open", "fine", "later", "empty"]


def test_a_refusal_on_the_way_is_told_as_it_is(
    emulator: Emulator, client: Client, ledger: Ledger, ca: CertificateAuthority
) -> None:
    enrolled(client, ledger, ca)
    emulator.control.fault(Fault(kind="status", status=403, match="EnrollmentGroups_GetX509", times=100))

    with pytest.raises(NotAllowed):
        look_at_status(client, ledger)
