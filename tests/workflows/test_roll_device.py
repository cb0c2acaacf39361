"""One slot of a device rolled: a patch of that slot, and every reason to stop before."""

from __future__ import annotations

from datetime import datetime, timedelta

import httpx
import pytest

from iotc_admin import CertificateAuthority, Client, Device, DeviceIdentity, Ledger, Slot
from iotc_admin.emulator import Emulator
from iotc_admin.errors import KeyMismatch, NotAllowedHere, NotFound, PlanOutdated, UnsafePlan
from iotc_admin.workflows.apply import Outcome
from iotc_admin.workflows.attach import attach_certificates
from iotc_admin.workflows.look import look_at_attestation
from iotc_admin.workflows.roll import Reason, Roll, carry_out_roll, plan_roll, roll_certificate

from ..conftest import InProcess, operator
from .test_enroll import P, S, verified, writes
from .test_roll import YEAR, refused

PUMP = "pump-1"


def own(now: datetime, *, device: str = PUMP, lifetime: timedelta = YEAR) -> DeviceIdentity:
    return DeviceIdentity.self_signed(device, now=now, lifetime=lifetime)


def roll_device(
    client: Client,
    ledger: Ledger,
    identity: DeviceIdentity,
    slot: Slot = S,
    *,
    reason: Reason = "expiry",
    renew_same_key: bool = False,
) -> Outcome:
    authority = CertificateAuthority(identity.certificate, None)
    wanted = Roll("device", PUMP, slot, authority, reason, renew_same_key=renew_same_key)
    return roll_certificate(client, wanted, run=ledger.run("roll", client.now()))


def attached(
    client: Client, ledger: Ledger, primary: DeviceIdentity, secondary: DeviceIdentity | None = None
) -> None:
    client.devices.create(PUMP, Device())
    attach_certificates(
        client, PUMP, primary=primary.certificate, secondary=secondary.certificate if secondary else None,
        run=ledger.run("attach", client.now()),
    )  # fmt: skip


def held(client: Client) -> dict[Slot, str | None]:
    view = look_at_attestation(client, PUMP)
    assert view is not None
    return dict(view.slots)


def thumbprint(identity: DeviceIdentity) -> str:
    return verified(CertificateAuthority(identity.certificate, None))[0]


def test_a_device_gets_one_slot_changed_by_a_patch_of_that_slot_only(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime
) -> None:
    first, second, third = own(now), own(now), own(now, lifetime=2 * YEAR)
    attached(client, ledger, first, second)
    emulator.control.clear_requests()

    roll_device(client, ledger, third)

    assert writes(emulator) == ["Devices_UpdateAttestation"]
    assert held(client) == {P: thumbprint(first), S: thumbprint(third)}
    emulator.control.clear_requests()
    assert roll_device(client, ledger, third).done == ()
    assert writes(emulator) == []


def test_the_only_certificate_of_a_device_is_not_taken_away(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime
) -> None:
    first, second = own(now), own(now, lifetime=2 * YEAR)
    attached(client, ledger, first)

    refused(
        emulator, lambda: roll_device(client, ledger, second, P), UnsafePlan, "holds the only certificate"
    )

    roll_device(client, ledger, second, P, reason="breach")
    assert held(client) == {P: thumbprint(second), S: None}


def test_a_device_without_certificates_of_its_own_has_nothing_to_roll(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime
) -> None:
    client.devices.create(PUMP, Device())

    refused(emulator, lambda: roll_device(client, ledger, own(now)), UnsafePlan, "nothing to roll")


def test_the_certificate_of_another_device_is_refused(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime
) -> None:
    attached(client, ledger, own(now))

    refused(
        emulator, lambda: roll_device(client, ledger, own(now, device="pump-2")), NotAllowedHere, "pump-2"
    )


def test_keys_of_a_device_are_not_used_twice_either(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime
) -> None:
    first, second = own(now), own(now)
    attached(client, ledger, first, second)
    twin = DeviceIdentity.self_signed(PUMP, now=now, key=first.key, lifetime=2 * YEAR)
    renewed = DeviceIdentity.self_signed(PUMP, now=now, key=second.key, lifetime=2 * YEAR)

    refused(emulator, lambda: roll_device(client, ledger, twin), KeyMismatch, "same key")
    refused(emulator, lambda: roll_device(client, ledger, renewed), KeyMismatch, "key of the one it replaces")
    roll_device(client, ledger, renewed, renew_same_key=True)
    assert held(client)[S] == thumbprint(renewed)


def test_a_device_that_is_not_there_is_said(client: Client, ledger: Ledger, now: datetime) -> None:
    with pytest.raises(NotFound, match=PUMP):
        roll_device(client, ledger, own(now))


def test_the_certificate_that_a_device_is_to_keep_is_looked_at_once_more(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime
) -> None:
    attached(client, ledger, own(now), own(now))
    other, third = own(now), own(now, lifetime=2 * YEAR)
    wanted = Roll("device", PUMP, S, CertificateAuthority(third.certificate, None))
    planned = plan_roll(client, ledger, wanted)
    attach_certificates(client, PUMP, primary=other.certificate)
    emulator.control.clear_requests()

    with pytest.raises(PlanOutdated, match="was changed meanwhile"):
        carry_out_roll(client, wanted, planned.plan, ledger.run("roll", client.now()))

    assert writes(emulator) == []


def test_a_patch_that_has_to_wait_is_sent_again_only_after_a_look(
    emulator: Emulator, ledger: Ledger, now: datetime
) -> None:
    wire = InProcess(emulator)
    client, stranger = operator(emulator, wire), operator(emulator, InProcess(emulator))
    attached(client, ledger, own(now), own(now))
    other = own(now)
    emulator.control.fault(status=429, match="Devices_UpdateAttestation")

    def intrude(request: httpx.Request) -> None:
        if request.method == "PATCH":
            wire.after = lambda _: None
            attach_certificates(stranger, PUMP, secondary=other.certificate)

    wire.after = intrude

    with pytest.raises(PlanOutdated, match="was changed meanwhile"):
        roll_device(client, ledger, own(now, lifetime=2 * YEAR))

    assert held(client)[S] == thumbprint(other)
