"""A key in the wrong hands: what is shut, what is replaced, and that nothing opens unless it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import sleep
from typing import Any, Literal

import httpx
import pytest

from iotc_admin import (
    CertificateAuthority,
    Client,
    Device,
    DeviceIdentity,
    EnrollmentGroupPatch,
    Ledger,
    RunIncomplete,
    Slot,
)
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.errors import IotcError, KeyMismatch, NotFound, PlanOutdated, UnsafePlan
from iotc_admin.ledger.breach import Author, Breach, State, devices_of, events_of, last_case, open_case
from iotc_admin.pki.description import common_name, sha1_thumbprint
from iotc_admin.workflows.apply import Hands, apply
from iotc_admin.workflows.attach import attach_certificates
from iotc_admin.workflows.breach.contain import Containment, contain, plan_containment
from iotc_admin.workflows.breach.release import close_case, plan_release, release
from iotc_admin.workflows.breach.replace import Replacement, plan_replacement, replace_certificates
from iotc_admin.workflows.breach.report import look_at_breach
from iotc_admin.workflows.enroll import enroll_group
from iotc_admin.workflows.groups import plan_removal

from ..conftest import InProcess, operator
from ..emulator.arrival import Arriving
from ..emulator.world import App
from .test_crash import Killed, killer
from .test_enroll import GROUP, P, S, count, looked, slots, verified, without_key, writes

GROUP_BREACH = Breach("group", GROUP)
PUMPS = ("pump-1", "pump-2", "pump-3")


def author(client: Client, ledger: Ledger) -> Author:
    return Author(ledger.run("breach", client.now()), "operator", client.now)


def arrive(emulator: Emulator, ca: CertificateAuthority, *devices: str, ledger: Ledger | None = None) -> None:
    """These devices register with a certificate of this CA; the ledger may have seen it."""
    for device in devices:
        identity = ca.issue(device, now=emulator.control.now())
        if ledger:
            ledger.run("cert device", emulator.control.now()).saw(identity.certificate)
        arriving(emulator, identity).register()


def arriving(emulator: Emulator, identity: DeviceIdentity) -> Arriving:
    name = common_name(identity.certificate) or ""
    return Arriving(App(emulator), (identity.certificate, *identity.chain), name)


def planned(client: Client, ledger: Ledger, breach: Breach = GROUP_BREACH, **how: Any) -> Containment:
    return plan_containment(client, ledger, breach, **how)


def contained(client: Client, ledger: Ledger, breach: Breach = GROUP_BREACH, **how: Any) -> int:
    return contain(planned(client, ledger, breach, **how), client, author(client, ledger))


def replaced(
    client: Client, ledger: Ledger, authorities: Mapping[Slot, CertificateAuthority],
    breach: Breach = GROUP_BREACH,
) -> None:  # fmt: skip
    wanted = Replacement(breach, authorities)
    plan = plan_replacement(client, ledger, wanted)
    replace_certificates(wanted, plan, client, author(client, ledger))


def released(client: Client, ledger: Ledger, breach: Breach = GROUP_BREACH, **how: Any) -> int:
    alarm = how.get("false_alarm", "")
    plan = plan_release(client, ledger, breach, **how)
    return release(plan, client, author(client, ledger), false_alarm=alarm)


def blocked(client: Client) -> list[str]:
    return sorted(each.id or "" for each in client.devices.list() if each.enabled is False)


def states(client: Client, ledger: Ledger, breach: Breach = GROUP_BREACH) -> dict[str, str]:
    case = last_case(ledger, client.app, breach)
    assert case is not None
    return {device: state.value for device, state in devices_of(ledger, case)}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(throttle="off", retry_after=0, registrations_per_minute=None) as running:
        yield running


@pytest.fixture
def plant(emulator: Emulator, client: Client, ledger: Ledger, old: CertificateAuthority, group: None) -> None:
    arrive(emulator, old, *PUMPS, ledger=ledger)


@pytest.mark.usefixtures("plant")
def test_containing_shuts_the_group_and_blocks_its_devices_and_a_repeat_changes_nothing(
    emulator: Emulator, client: Client, ledger: Ledger
) -> None:
    plan = planned(client, ledger)
    assert [str(step) for step in plan.plan.steps] == [
        f"update group {GROUP}: disable", *(f"update device {each}: block" for each in PUMPS)
    ]  # fmt: skip
    assert plan.takes == timedelta(0)

    assert contained(client, ledger) == 3

    assert not looked(client).enabled
    assert blocked(client) == list(PUMPS)
    assert states(client, ledger) == dict.fromkeys(PUMPS, "blocked")
    emulator.control.clear_requests()
    assert contained(client, ledger) == 0
    assert writes(emulator) == []


@pytest.mark.usefixtures("plant")
def test_who_is_contained_neither_registers_nor_speaks(
    emulator: Emulator, client: Client, ledger: Ledger, old: CertificateAuthority
) -> None:
    pump = arriving(emulator, old.issue("pump-1", now=client.now()))
    pump.register()
    assert pump.send({"level": 1}).status == 204

    contained(client, ledger, devices=["pump-1"])

    assert pump.send({"level": 1}).status == 401
    assert pump.register()["status"] == "disabled"


@pytest.mark.usefixtures("group")
def test_a_long_look_at_the_devices_is_told_before_it_begins(
    emulator: Emulator, client: Client, ledger: Ledger, old: CertificateAuthority
) -> None:
    arrive(emulator, old, *PUMPS)
    told: list[tuple[int, int]] = []

    def hear(requests: int) -> None:
        told.append((requests, count_of(emulator, "Devices_GetAttestation")))

    planned(client, ledger, told=hear)

    assert told == [(len(PUMPS), 0)]


def count_of(emulator: Emulator, operation: str) -> int:
    return sum(each.operation == operation for each in emulator.control.requests)


@pytest.mark.usefixtures("group")
def test_the_estimate_is_that_of_twenty_requests_a_second(client: Client, ledger: Ledger) -> None:
    for number in range(79):
        client.devices.create(f"pump-{number}", Device())

    plan = planned(client, ledger, devices=[f"pump-{number}" for number in range(79)])

    assert plan.takes == timedelta(seconds=4)
    assert plan.to_json()["seconds"] == 4


@pytest.mark.usefixtures("plant")
def test_a_slot_that_turns_out_suspect_later_is_suspect_too(
    client: Client, ledger: Ledger, old: CertificateAuthority, other_ca: CertificateAuthority,
    new: CertificateAuthority,
) -> None:  # fmt: skip
    enroll_group(client, GROUP, primary=old, secondary=other_ca)
    contained(client, ledger, slots=[P])
    assert contained(client, ledger) == 0
    assert look_at_breach(client, ledger, GROUP_BREACH).case.suspects.keys() == {"primary"}

    late = planned(client, ledger, slots=[S])
    assert dict(late.suspects) == {"primary": verified(old)[0], "secondary": verified(other_ca)[0]}
    assert contain(late, client, author(client, ledger)) == 0

    replaced(client, ledger, {P: new})
    with pytest.raises(UnsafePlan, match="what is suspect still stands in plant-7/secondary"):
        released(client, ledger, enable_group=True)
    timeline = look_at_breach(client, ledger, GROUP_BREACH).timeline
    assert ("suspect, too", {"secondary": verified(other_ca)[0]}) in [(e.what, e.details) for e in timeline]


@pytest.mark.usefixtures("plant")
def test_a_suspect_slot_named_again_after_its_replacement_leaves_the_new_certificate_alone(
    client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    contained(client, ledger, slots=[P])
    replaced(client, ledger, {P: new})

    assert contained(client, ledger, slots=[P]) == 0

    assert dict(look_at_breach(client, ledger, GROUP_BREACH).case.suspects) == {"primary": verified(old)[0]}
    released(client, ledger, enable_group=True)


@pytest.mark.usefixtures("group")
def test_devices_with_a_certificate_of_the_suspect_ca_go_first_and_those_of_their_own_are_left(
    emulator: Emulator, client: Client, ledger: Ledger, old: CertificateAuthority
) -> None:
    factory = old.issue_intermediate("factory", now=client.now())
    ledger.run("cert", client.now()).saw(factory.certificate)
    arrive(emulator, old, "a-unknown")
    arrive(emulator, factory, "m-known", ledger=ledger)
    arrive(emulator, old, "z-known", ledger=ledger)
    client.devices.create("own-1", Device())
    own = DeviceIdentity.self_signed("own-1", now=client.now())
    attach_certificates(client, "own-1", primary=own.certificate)
    arriving(emulator, own).register()
    client.devices.create("never-came", Device())

    steps = planned(client, ledger).blocks

    assert [step.device for step in steps] == ["m-known", "z-known", "a-unknown"]
    assert planned(client, ledger).unproven == ("a-unknown",)


@pytest.mark.usefixtures("plant")
def test_devices_of_a_ca_that_the_group_held_before_are_its_own_and_come_second(
    emulator: Emulator, client: Client, ledger: Ledger, new: CertificateAuthority, ca: CertificateAuthority
) -> None:
    run = ledger.run("group set-cert", client.now())
    enroll_group(client, "plant-8", primary=ca, run=run)
    client.enrollment_groups.delete_certificate(GROUP, P)
    enroll_group(client, GROUP, primary=new, run=run)
    arrive(emulator, new, "z-new", ledger=ledger)

    plan = planned(client, ledger)

    assert [step.device for step in plan.blocks] == ["z-new", *PUMPS]
    assert plan.doubtful == ()


@pytest.mark.usefixtures("plant")
def test_with_several_groups_nobody_is_blocked_on_suspicion(
    emulator: Emulator, client: Client, ledger: Ledger, old: CertificateAuthority, ca: CertificateAuthority
) -> None:
    enroll_group(client, "plant-8", primary=ca, run=ledger.run("group create", client.now()))
    arrive(emulator, ca, "other-1", ledger=ledger)
    arrive(emulator, ca, "doubtful-1")

    plan = planned(client, ledger)

    assert [step.device for step in plan.blocks] == list(PUMPS)
    assert plan.doubtful == ("doubtful-1",)


@pytest.mark.usefixtures("plant")
def test_named_devices_are_blocked_in_the_order_of_the_list_and_no_others(
    client: Client, ledger: Ledger
) -> None:
    plan = planned(client, ledger, devices=["pump-3", "nobody", "pump-1", "pump-3"])

    assert [step.device for step in plan.blocks] == ["pump-3", "pump-1"]
    assert plan.missing == ("nobody",)
    contain(plan, client, author(client, ledger))
    assert blocked(client) == ["pump-1", "pump-3"]


@pytest.mark.usefixtures("plant")
def test_who_was_blocked_before_is_not_this_breach_s_to_let_in(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    client.devices.update("pump-2", Device(enabled=False))

    assert contained(client, ledger) == 2
    assert states(client, ledger)["pump-2"] == "blocked before"
    replaced(client, ledger, {P: new})
    plan = plan_release(client, ledger, GROUP_BREACH, devices=["pump-1", "pump-2"])
    assert plan.others == ("pump-2",)
    assert released(client, ledger, devices=["pump-1", "pump-2"]) == 1
    assert plan_release(client, ledger, GROUP_BREACH, devices=["pump-1"]).others == ()
    assert released(client, ledger, devices=None) == 1
    assert blocked(client) == ["pump-2"]


def test_a_group_that_is_not_there_or_holds_nothing_is_told(
    client: Client, ledger: Ledger, old: CertificateAuthority
) -> None:
    with pytest.raises(NotFound, match="no enrollment group"):
        planned(client, ledger)
    enroll_group(client, GROUP, primary=old)
    with pytest.raises(UnsafePlan, match="nothing there can be breached"):
        planned(client, ledger, slots=[S])
    with pytest.raises(NotFound, match="no device"):
        planned(client, ledger, Breach("device", "pump-1"))


@pytest.mark.usefixtures("plant")
def test_a_ca_removed_in_haste_is_suspect_all_the_same(
    client: Client, ledger: Ledger, old: CertificateAuthority
) -> None:
    run = ledger.run("group remove-cert", client.now())
    apply(plan_removal(client, GROUP, P), client, Hands(run=run))

    assert contained(client, ledger) == 3

    assert not looked(client).enabled
    case = open_case(ledger, client.app, GROUP_BREACH)
    assert case is not None
    assert dict(case.suspects) == {"primary": verified(old)[0]}


@pytest.mark.usefixtures("plant")
def test_where_nothing_tells_what_is_suspect_the_way_to_shut_it_is_told(
    client: Client, ledger: Ledger, now: datetime
) -> None:
    client.enrollment_groups.delete_certificate(GROUP, P)
    with pytest.raises(UnsafePlan, match="nothing there can be breached") as caught:
        planned(client, ledger)
    assert "iotc-admin group update plant-7 --disable" in caught.value.hint
    assert "--block" in caught.value.hint


@pytest.mark.usefixtures("plant")
def test_a_group_deleted_midway_holds_no_device_captive(client: Client, ledger: Ledger) -> None:
    contained(client, ledger, devices=["pump-1", "pump-2"])
    client.enrollment_groups.delete(GROUP)

    assert contained(client, ledger, devices=PUMPS) == 1
    assert look_at_breach(client, ledger, GROUP_BREACH).there is False
    with pytest.raises(NotFound, match="no enrollment group"):
        released(client, ledger, enable_group=True)
    assert released(client, ledger, devices=["pump-1"]) == 1
    assert released(client, ledger, devices=None) == 2

    assert blocked(client) == []
    assert open_case(ledger, client.app, GROUP_BREACH) is None


@pytest.mark.usefixtures("plant")
def test_both_slots_are_replaced_and_the_group_stays_disabled(
    client: Client, ledger: Ledger, old: CertificateAuthority, ca: CertificateAuthority,
    new: CertificateAuthority, other_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enroll_group(client, GROUP, primary=old, secondary=ca)
    contained(client, ledger)

    replaced(client, ledger, {P: new, S: other_ca})
    replaced(client, ledger, {P: new, S: other_ca})

    assert slots(client) == {P: verified(new), S: verified(other_ca)}
    assert not looked(client).enabled
    assert blocked(client) == list(PUMPS)
    whats = [each.what for each in look_at_breach(client, ledger, GROUP_BREACH).timeline]
    assert whats == ["begun", "group disabled", "blocking begun", "devices blocked", "replaced"]


@pytest.mark.usefixtures("group")
def test_nothing_is_replaced_before_it_is_contained(
    emulator: Emulator, client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match="no breach of group plant-7 is on record"):
        replaced(client, ledger, {P: new})
    assert writes(emulator) == []
    contained(client, ledger)
    enabled(client, GROUP)
    with pytest.raises(UnsafePlan, match=r"is enabled: whoever has the old key"):
        replaced(client, ledger, {P: new})


def enabled(client: Client, group: str) -> None:
    client.enrollment_groups.update(group, EnrollmentGroupPatch(enabled=True))


@pytest.mark.usefixtures("group")
def test_only_a_new_key_replaces_one_that_is_suspect(
    client: Client, ledger: Ledger, now: datetime, old: CertificateAuthority
) -> None:
    contained(client, ledger)
    again = CertificateAuthority.create("again", now=now, key=old.key)
    spare = CertificateAuthority.create("spare", now=now - timedelta(days=1))
    ledger.run("cert root", now).saw(spare.certificate)
    respun = CertificateAuthority.create("spare", now=now, key=spare.key)

    with pytest.raises(KeyMismatch, match="is the certificate that is suspect"):
        replaced(client, ledger, {P: old})
    with pytest.raises(KeyMismatch, match=r"was used before, in .*CN=old"):
        replaced(client, ledger, {P: again})
    with pytest.raises(KeyMismatch, match=r"was used before, in .*CN=spare"):
        replaced(client, ledger, {S: respun})
    assert slots(client) == {P: verified(old), S: None}


@pytest.mark.usefixtures("group")
def test_a_certificate_that_was_used_before_replaces_nothing_though_it_is_not_the_suspect_one(
    emulator: Emulator, client: Client, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority,
    other_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enroll_group(client, "elsewhere", primary=other_ca, run=ledger.run("group create", client.now()))
    emulator.control.advance(timedelta(minutes=1))
    contained(client, ledger)
    replaced(client, ledger, {P: new})
    released(client, ledger, enable_group=True)
    client.enrollment_groups.delete("elsewhere")
    emulator.control.advance(timedelta(minutes=1))
    contained(client, ledger)

    with pytest.raises(KeyMismatch, match="was suspect in an earlier breach"):
        replaced(client, ledger, {P: old})
    with pytest.raises(KeyMismatch, match="was used before, in elsewhere/primary, since"):
        replaced(client, ledger, {P: other_ca})
    assert slots(client) == {P: verified(new), S: None}


@pytest.mark.usefixtures("group")
def test_a_certificate_that_stood_in_a_slot_before_does_not_come_back(
    client: Client, ledger: Ledger, now: datetime, ca: CertificateAuthority, new: CertificateAuthority
) -> None:
    for authority, holder in (ca, GROUP), (new, ""):
        ledger.run("group create", now - timedelta(days=1)).saw(
            authority.certificate, app=client.app, holder=holder, slot="primary" if holder else ""
        )
    contained(client, ledger)

    with pytest.raises(KeyMismatch, match=f"CN=plant7 was used before, in {GROUP}/primary"):
        replaced(client, ledger, {P: ca})
    replaced(client, ledger, {P: new})
    ledger.run("breach replace", client.now()).saw(
        new.certificate, app=client.app, holder=GROUP, slot="primary"
    )
    replaced(client, ledger, {P: new})

    assert slots(client) == {P: verified(new), S: None}


@pytest.mark.usefixtures("group")
def test_a_slot_whose_suspect_is_out_is_not_named_again(
    client: Client, ledger: Ledger, old: CertificateAuthority, ca: CertificateAuthority,
    new: CertificateAuthority, other_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enroll_group(client, GROUP, primary=old, secondary=ca)
    contained(client, ledger)

    def named(slot: Slot, authority: CertificateAuthority) -> list[str]:
        wanted = Replacement(GROUP_BREACH, {slot: authority})
        return [each for each in plan_replacement(client, ledger, wanted).warnings if "not named" in each]

    assert named(P, new) == [f"{GROUP}/secondary is suspect, too, and not named: {short(ca)} stays there"]
    replaced(client, ledger, {P: new})
    assert named(S, other_ca) == []


@pytest.mark.usefixtures("group")
def test_what_a_person_should_know_of_a_replacement_is_said(
    client: Client, ledger: Ledger, old: CertificateAuthority, ca: CertificateAuthority
) -> None:
    enroll_group(client, GROUP, primary=old, secondary=ca)
    contained(client, ledger)
    below = old.issue_intermediate("below", now=client.now())

    doubts = plan_replacement(client, ledger, Replacement(GROUP_BREACH, {P: below})).warnings

    assert [each.split(": ")[0] for each in doubts] == [
        f"CN=below is signed by {short(old)}, itself suspect",
        f"the ledger does not know {short(ca)}",
        f"{GROUP}/secondary is suspect, too, and not named",
    ]


def short(authority: CertificateAuthority) -> str:
    thumbprint = sha1_thumbprint(authority.certificate)
    return f"{thumbprint[:4]}..{thumbprint[-4:]}"


@pytest.mark.usefixtures("group")
def test_without_the_key_the_code_waits_and_the_group_stays_shut(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    contained(client, ledger)
    wanted = Replacement(GROUP_BREACH, {P: without_key(new)})

    outcome = replace_certificates(
        wanted, plan_replacement(client, ledger, wanted), client, author(client, ledger)
    )

    assert list(outcome.codes) == [P]
    assert not looked(client).enabled
    assert look_at_breach(client, ledger, GROUP_BREACH).timeline[-1].what == "replaced, proof still open"


@pytest.mark.usefixtures("group")
def test_whoever_opens_the_group_meanwhile_is_noticed(
    emulator: Emulator, client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    contained(client, ledger)
    wanted = Replacement(GROUP_BREACH, {P: new})
    plan = plan_replacement(client, ledger, wanted)
    enabled(client, GROUP)

    with pytest.raises(PlanOutdated, match="is enabled by now"):
        replace_certificates(wanted, plan, client, author(client, ledger))


@pytest.mark.usefixtures("plant")
def test_nothing_is_released_while_what_is_suspect_stands_there_unless_it_was_a_false_alarm(
    emulator: Emulator, client: Client, ledger: Ledger
) -> None:
    contained(client, ledger)
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match=f"still stands in {GROUP}/primary"):
        released(client, ledger, devices=None, enable_group=True)
    assert writes(emulator) == []

    assert released(client, ledger, devices=None, enable_group=True, false_alarm="found the stick") == 3
    assert looked(client).enabled
    report = look_at_breach(client, ledger, GROUP_BREACH)
    assert [each.details for each in report.timeline if each.what == "false alarm"] == [
        {"reason": "found the stick"}
    ]
    assert not report.waits


@pytest.mark.usefixtures("plant")
def test_only_what_is_named_is_opened(client: Client, ledger: Ledger, new: CertificateAuthority) -> None:
    contained(client, ledger)
    replaced(client, ledger, {P: new})

    assert released(client, ledger) == 0
    assert (looked(client).enabled, blocked(client)) == (False, list(PUMPS))
    assert released(client, ledger, devices=["pump-2"]) == 1
    assert (looked(client).enabled, blocked(client)) == (False, ["pump-1", "pump-3"])
    assert released(client, ledger, enable_group=True) == 0
    assert (looked(client).enabled, blocked(client)) == (True, ["pump-1", "pump-3"])
    assert open_case(ledger, client.app, GROUP_BREACH) is not None
    assert released(client, ledger, devices=None) == 2
    assert open_case(ledger, client.app, GROUP_BREACH) is None


@pytest.mark.usefixtures("plant")
def test_waves_pause_between_them(emulator: Emulator, ledger: Ledger, new: CertificateAuthority) -> None:
    slept: list[float] = []
    with operator(emulator, InProcess(emulator)) as client:
        client.sleep = slept.append
        contained(client, ledger)
        replaced(client, ledger, {P: new})

        plan = plan_release(client, ledger, GROUP_BREACH, devices=None, wave=2, pause=timedelta(seconds=90))
        assert ([len(each) for each in plan.waves], plan.takes) == ([2, 1], timedelta(seconds=90))
        told: list[tuple[int, int]] = []
        release(plan, client, author(client, ledger), lambda *how: told.append(how))

    assert (slept, told) == ([90], [(2, 3), (3, 3)])


@pytest.mark.usefixtures("plant")
@pytest.mark.parametrize("how", ["contained", "disabled", "closed", "suspect"])
def test_whoever_shuts_it_again_between_two_waves_is_obeyed(
    emulator: Emulator, ledger: Ledger, old: CertificateAuthority, new: CertificateAuthority, how: str
) -> None:
    with operator(emulator, InProcess(emulator)) as client:
        contained(client, ledger)
        replaced(client, ledger, {P: new})
        shut: dict[str, Callable[[], object]] = {
            "contained": lambda: contained(client, ledger),
            "disabled": lambda: client.enrollment_groups.update(GROUP, EnrollmentGroupPatch(enabled=False)),
            "closed": lambda: close_case(client, GROUP_BREACH, author(client, ledger)),
            "suspect": lambda: enroll_group(client, GROUP, primary=new, secondary=old),
        }

        def meanwhile(_: float) -> None:
            shut[how]()

        client.sleep = meanwhile
        with pytest.raises(PlanOutdated, match="1 of 3 devices are unblocked, the others stay out") as caught:
            released(client, ledger, devices=None, enable_group=how == "disabled", wave=1)

        assert "iotc-admin breach report --group plant-7" in caught.value.hint
        assert {"pump-2", "pump-3"} <= set(blocked(client))


@pytest.mark.usefixtures("plant")
def test_a_release_says_what_a_block_did_and_a_release_does_not_do(
    client: Client, ledger: Ledger, new: CertificateAuthority
) -> None:
    contained(client, ledger)
    replaced(client, ledger, {P: new})

    apart = plan_release(client, ledger, GROUP_BREACH, devices=None).warnings
    together = plan_release(client, ledger, GROUP_BREACH, devices=None, enable_group=True).warnings

    assert "stays disabled" in apart[0]
    assert len(together) == 1
    assert "until a device registers anew" in together[0]


@pytest.mark.usefixtures("plant")
def test_who_is_affected_by_another_breach_too_is_told_before_the_release(
    client: Client, ledger: Ledger
) -> None:
    device = Breach("device", "pump-1")
    contained(client, ledger, device)
    contained(client, ledger)

    told = plan_release(client, ledger, device, devices=["pump-1"]).warnings
    others = plan_release(client, ledger, GROUP_BREACH, devices=["pump-2"], false_alarm="a drill").warnings

    assert "pump-1 is affected by the breach of group plant-7, too, which is open" in told
    assert not any("too, which is open" in each for each in others)


@pytest.mark.usefixtures("plant")
def test_a_closed_breach_stays_as_it_is_and_the_next_is_another(
    client: Client, ledger: Ledger, new: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    contained(client, ledger)
    replaced(client, ledger, {P: new})
    released(client, ledger, devices=["pump-1"], enable_group=True)
    close_case(client, GROUP_BREACH, author(client, ledger))

    with pytest.raises(UnsafePlan, match="no open breach"):
        released(client, ledger, devices=None)
    first = last_case(ledger, client.app, GROUP_BREACH)
    contained(client, ledger)
    second = last_case(ledger, client.app, GROUP_BREACH)

    assert first is not None
    assert second is not None
    assert first.number != second.number
    assert dict(second.suspects) == {"primary": verified(new)[0]}
    assert states(client, ledger) == {
        "pump-1": "blocked", "pump-2": "blocked before", "pump-3": "blocked before"
    }  # fmt: skip


def test_a_device_is_blocked_given_a_new_certificate_and_let_in_again(
    emulator: Emulator, client: Client, ledger: Ledger
) -> None:
    breach = Breach("device", "pump-1")
    client.devices.create("pump-1", Device())
    first, second = (DeviceIdentity.self_signed("pump-1", now=client.now()) for _ in range(2))
    attach_certificates(client, "pump-1", primary=first.certificate)
    arriving(emulator, first).register()

    assert contained(client, ledger, breach) == 1
    assert blocked(client) == ["pump-1"]
    with pytest.raises(UnsafePlan, match="still stands in pump-1/primary"):
        released(client, ledger, breach, devices=["pump-1"])
    replaced(client, ledger, {P: CertificateAuthority(second.certificate, None)}, breach)
    assert blocked(client) == ["pump-1"]
    assert released(client, ledger, breach, devices=["pump-1"]) == 1

    assert blocked(client) == []
    arriving(emulator, second).register()
    assert "Invalid certificate" in arriving(emulator, first).refusal()
    assert not look_at_breach(client, ledger, breach).waits


@pytest.mark.usefixtures("plant")
def test_a_device_of_a_group_has_nothing_to_replace_and_its_release_says_so(
    client: Client, ledger: Ledger
) -> None:
    breach = Breach("device", "pump-1")
    contained(client, ledger, breach)
    own = DeviceIdentity.self_signed("pump-1", now=client.now())

    with pytest.raises(UnsafePlan, match="has no certificate of its own"):
        replaced(client, ledger, {P: CertificateAuthority(own.certificate, None)}, breach)
    plan = plan_release(client, ledger, breach, devices=["pump-1"])
    assert "is let in by its group" in plan.warnings[-1]


def test_a_device_that_is_not_blocked_gets_no_new_certificate(client: Client, ledger: Ledger) -> None:
    breach = Breach("device", "pump-1")
    client.devices.create("pump-1", Device())
    first, second = (DeviceIdentity.self_signed("pump-1", now=client.now()) for _ in range(2))
    attach_certificates(client, "pump-1", primary=first.certificate)
    contained(client, ledger, breach)
    client.devices.update("pump-1", Device(enabled=True))

    with pytest.raises(UnsafePlan, match="is not blocked: whoever has the old key"):
        replaced(client, ledger, {P: CertificateAuthority(second.certificate, None)}, breach)


@pytest.mark.usefixtures("plant")
def test_the_report_shows_what_others_did_since(client: Client, ledger: Ledger) -> None:
    client.devices.update("pump-1", Device(enabled=False))
    contained(client, ledger)
    client.devices.update("pump-2", Device(enabled=True))
    client.devices.delete("pump-3")

    report = look_at_breach(client, ledger, GROUP_BREACH)

    assert report.devices == {
        "blocked before": ("pump-1",), "unblocked by others": ("pump-2",), "deleted": ("pump-3",)
    }  # fmt: skip
    assert (report.shut, report.replaced, report.waits) == (True, False, True)
    assert [(each.slot, each.verified) for each in report.suspects] == [("primary", True)]
    assert {each.actor for each in report.timeline} == {"operator"}


def test_what_was_never_breached_has_no_report(client: Client, ledger: Ledger) -> None:
    for held in (None, ledger):
        with pytest.raises(UnsafePlan, match="no breach of group plant-7 is on record"):
            look_at_breach(client, held, GROUP_BREACH)


@pytest.mark.usefixtures("plant")
def test_requests_are_one_for_each_device_and_few_besides(
    emulator: Emulator, client: Client, ledger: Ledger
) -> None:
    names = [f"pump-{number}" for number in range(120)]
    for name in names[4:]:
        client.devices.create(name, Device())

    taken = count(emulator, lambda: contained(client, ledger, devices=names[1:]))

    present = [name for name in names[1:] if name in PUMPS or name in names[4:]]
    pages = -(-(len(names) - 1) // 25)
    assert blocked(client) == sorted(present)
    assert taken == len(present) + pages + len(("group", "primary", "secondary", "disable"))


Do = Callable[[Client, Ledger], object]


def sequence(client: Client, ledger: Ledger, new: CertificateAuthority) -> Sequence[Do]:
    """The whole procedure, step by step."""
    return (
        contained,
        lambda c, book: replaced(c, book, {P: new}),
        lambda c, book: released(c, book, devices=None, enable_group=True),
    )


FAULTS = [
    Fault(kind="lose-answer"),
    Fault(kind="reset"),
    Fault(kind="reset", times=9),
    *(Fault(status=status) for status in (409, 412, 429, 500, 503)),
    *(Fault(status=status, times=9) for status in (401, 403, 429, 503)),
]


@pytest.mark.usefixtures("plant")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: f"{each.kind}-{each.status}-{each.times}")
@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize(
    "operation",
    [
        "EnrollmentGroups_Update",
        "Devices_Update",
        "EnrollmentGroups_CreateX509",
        "EnrollmentGroups_VerifyX509",
    ],
)
def test_every_step_survives_every_fault_and_nothing_opens_by_itself(
    emulator: Emulator, client: Client, ledger: Ledger, new: CertificateAuthority, old: CertificateAuthority,
    fault: Fault, step: int, operation: str,
) -> None:  # fmt: skip
    doings = sequence(client, ledger, new)
    for do in doings[:step]:
        do(client, ledger)
    emulator.control.fault(fault.model_copy(update={"match": operation}))

    try:
        doings[step](client, ledger)
    except IotcError as error:
        assert error.hint, repr(error)  # noqa: PT017 - any of them may come, each has a hint
    emulator.control.clear_faults()
    if step < 2:
        assert not blocked(client) or not looked(client).enabled
        assert step == 0 or not looked(client).enabled
    for do in doings[step:]:
        if open_case(ledger, client.app, GROUP_BREACH) or do is doings[0]:
            do(client, ledger)

    assert (looked(client).enabled, blocked(client)) == (True, [])
    assert slots(client) == {P: verified(new), S: None}
    assert set(states(client, ledger).values()) == {"released"}


@pytest.mark.usefixtures("plant")
def test_some_that_fail_are_told_and_the_others_are_blocked(
    emulator: Emulator, client: Client, ledger: Ledger
) -> None:
    emulator.control.fault(Fault(match="PATCH /api/devices/pump-2", status=503, times=99))

    with pytest.raises(RunIncomplete, match=r"2 of 3 devices are blocked, 1 could not be: pump-2") as caught:
        contained(client, ledger)

    assert list(caught.value.failures) == ["pump-2"]
    assert blocked(client) == ["pump-1", "pump-3"]
    emulator.control.clear_faults()
    assert contained(client, ledger) == 1
    assert states(client, ledger) == dict.fromkeys(PUMPS, "blocked")


class Unmoved(InProcess):
    """Takes every change of what begins with this path, and shows by its answer that nothing came of it."""

    path = ""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "PATCH" or not request.url.path.startswith(self.path):
            return super().handle_request(request)
        return super().handle_request(httpx.Request("GET", request.url, headers=request.headers))


@pytest.mark.usefixtures("plant")
@pytest.mark.parametrize(
    ("path", "told", "shut"),
    [
        ("/api/enrollmentGroups/", "group plant-7 shows as enabled, though", False),
        ("/api/devices/", "0 of 3 devices are blocked, .* pump-1 shows as not blocked, though", True),
    ],
)
def test_what_the_application_takes_but_does_not_do_is_not_counted_as_done(
    emulator: Emulator, client: Client, ledger: Ledger, path: str, told: str, shut: bool
) -> None:
    wire = Unmoved(emulator)
    wire.path = path
    with operator(emulator, wire) as unmoved, pytest.raises(IotcError, match=told) as caught:
        contained(unmoved, ledger)

    assert "iotc-admin" in caught.value.hint
    assert (blocked(client), looked(client).enabled) == ([], not shut)
    whats = {each.what for each in look_at_breach(client, ledger, GROUP_BREACH).timeline}
    assert ("group disabled" in whats, "devices blocked" in whats) == (shut, False)
    assert contained(client, ledger) == 3


@pytest.mark.usefixtures("plant")
def test_what_meets_every_device_alike_ends_the_run_with_its_reason(
    emulator: Emulator, client: Client, ledger: Ledger
) -> None:
    names = [f"extra-{number}" for number in range(100)]
    for name in names:
        client.devices.create(name, Device())
    emulator.control.fault(Fault(match="Devices_Update", status=401, skip=10, times=1000))
    emulator.control.clear_requests()

    with pytest.raises(RunIncomplete, match=r"10 of 100 devices are blocked, the others wait") as caught:
        contained(client, ledger, devices=names)

    assert "then repeat the command" in caught.value.hint
    assert writes(emulator).count("Devices_Update") <= 64
    emulator.control.clear_faults()
    assert contained(client, ledger, devices=names) == 90
    assert set(states(client, ledger).values()) == {"blocked"}


@pytest.mark.usefixtures("plant")
def test_a_second_operator_at_the_same_devices_is_no_failure(
    emulator: Emulator, client: Client, ledger: Ledger
) -> None:
    plan = planned(client, ledger)
    client.devices.update("pump-1", Device(enabled=False))
    client.devices.update("pump-2", Device(display_name="renamed"))
    client.devices.delete("pump-3")

    assert contain(plan, client, author(client, ledger)) == 1

    assert blocked(client) == ["pump-1", "pump-2"]
    assert states(client, ledger) == {"pump-1": "blocked before", "pump-2": "blocked", "pump-3": "deleted"}


@pytest.mark.usefixtures("plant")
def test_who_a_colleague_s_run_of_the_same_breach_has_blocked_stays_this_breach_s(
    client: Client, ledger: Ledger
) -> None:
    late = planned(client, ledger)
    assert contained(client, ledger) == 3

    assert contain(late, client, author(client, ledger)) == 0

    assert states(client, ledger) == dict.fromkeys(PUMPS, "blocked")


def test_two_who_begin_at_once_begin_one_breach(client: Client, ledger: Ledger) -> None:
    suspects = {"primary": "A" * 40}
    authors = [author(client, ledger), author(client, Ledger(ledger.file))]
    with ThreadPoolExecutor() as pool:
        with Ledger(ledger.file).writing():
            # Both have seen that there is none before either may write.
            both = [pool.submit(each.begin, client.app, GROUP_BREACH, suspects) for each in authors]
            sleep(0.3)
        first, second = (each.result() for each in both)

    assert first == second
    assert [what for what, _ in events_of(ledger, first)] == ["begun"]


def test_a_state_is_known_by_its_word() -> None:
    assert {State(each.value) for each in State} == set(State)


@pytest.mark.usefixtures("plant")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(0, 27, 2))
def test_killed_at_any_request_and_repeated_it_ends_the_same(
    emulator: Emulator, client: Client, ledger: Ledger, new: CertificateAuthority, step: int,
    moment: Literal["before", "after"],
) -> None:  # fmt: skip
    client.devices.create("bystander", Device(enabled=False))
    wire = InProcess(emulator)
    setattr(wire, moment, killer(step))
    doings = sequence(client, ledger, new)
    with operator(emulator, wire) as doomed, pytest.raises(Killed):
        for do in doings:
            do(doomed, ledger)

    if last_case(ledger, client.app, GROUP_BREACH) is None or open_case(ledger, client.app, GROUP_BREACH):
        for do in repeated(client, ledger, doings):
            do(client, ledger)

    assert (looked(client).enabled, blocked(client)) == (True, ["bystander"])
    assert slots(client) == {P: verified(new), S: None}
    assert set(states(client, ledger).values()) == {"released"}


@pytest.mark.usefixtures("plant")
def test_a_release_whose_answer_never_came_is_not_reported_as_a_block(
    emulator: Emulator, client: Client, ledger: Ledger
) -> None:
    contained(client, ledger)
    wire = InProcess(emulator)
    wire.after = killer_of("PATCH", "/pump-2")
    with operator(emulator, wire) as doomed, pytest.raises(Killed):
        released(doomed, ledger, devices=["pump-1", "pump-2"], false_alarm="a drill")
    assert "pump-2" not in blocked(client)

    report = look_at_breach(client, ledger, GROUP_BREACH)

    assert "pump-2" in report.devices["released"]
    assert report.devices["blocked"] == tuple(blocked(client))


@pytest.mark.usefixtures("plant")
def test_a_block_whose_answer_never_came_is_on_record_after_the_repeat(
    emulator: Emulator, client: Client, ledger: Ledger
) -> None:
    wire = InProcess(emulator)
    wire.after = killer_of("PATCH", "/pump-2")
    with operator(emulator, wire) as doomed, pytest.raises(Killed):
        contained(doomed, ledger, devices=["pump-2"])
    assert (blocked(client), states(client, ledger)) == (["pump-2"], {"pump-2": "blocking"})

    assert contained(client, ledger, devices=["pump-2"]) == 0

    assert states(client, ledger) == {"pump-2": "blocked"}


def killer_of(method: str, end: str) -> Callable[[httpx.Request], None]:
    def kill(request: httpx.Request) -> None:
        if request.method == method and request.url.path.endswith(end):
            raise Killed

    return kill


def repeated(client: Client, ledger: Ledger, doings: Sequence[Do]) -> Sequence[Do]:
    """From the step on that was cut short: an operator repeats the last command and goes on."""
    case = open_case(ledger, client.app, GROUP_BREACH)
    noted = {what for what, _ in events_of(ledger, case)} if case else set()
    if "replaced" in noted:
        return doings[2:]
    return doings[1:] if "devices blocked" in noted else doings
