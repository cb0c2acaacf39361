"""What is looked at and written as one: again as a whole after a refusal that passes."""

from __future__ import annotations

import pytest

from iotc_admin import Client, Device
from iotc_admin.client.client import Once
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.errors import NotFound, RateLimited


@pytest.mark.parametrize(
    "fault",
    [Fault(status=429, times=3), Fault(kind="lose-answer", times=3), Fault(kind="reset"), Fault(status=503)],
    ids=lambda each: f"{each.kind}-{each.status}",
)
def test_each_attempt_begins_with_what_comes_before_the_write(
    emulator: Emulator, client: Client, fault: Fault
) -> None:
    attempts: list[int] = []

    def create(once: Once) -> str | None:
        attempts.append(len(emulator.control.requests))
        return once.devices.create("pump-1", Device(display_name="Pump 1")).display_name

    emulator.control.fault(fault)

    assert client.patiently(create) == "Pump 1"
    # One request after each look, and no more.
    assert attempts == list(range(fault.times + 1))


def test_patience_has_an_end_and_what_does_not_pass_is_not_tried_again(
    emulator: Emulator, client: Client
) -> None:
    with pytest.raises(NotFound):
        client.patiently(lambda once: once.devices.get("nobody"))
    assert len(emulator.control.requests) == 1
    emulator.control.fault(Fault(status=429, times=40))

    with pytest.raises(RateLimited):
        client.patiently(lambda once: once.devices.get("nobody"))

    assert len(emulator.control.requests) == 1 + 6
