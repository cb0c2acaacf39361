"""The metrics, judged by the parser of Prometheus's own library."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from iotc_admin.cli.status_metrics import BEGINNING, status_metrics
from iotc_admin.pki.lifetime import Policy
from iotc_admin.workflows.known import Place
from iotc_admin.workflows.status import STATES, Status

from ..workflows.plants import APP, NOW, application, authority, held, judged

HOSTILE = ['a"b', "a\\b", "a\nb", 'x"} 1\nup 1', "\\n", "ö\u202e✓", "{}=,", "x" * 255, "a\r\tb"]


def families(status: Status) -> dict[str, Metric]:
    return {each.name: each for each in text_string_to_metric_families(status_metrics(status))}


def values(family: Metric, label: str = "id") -> dict[str, float]:
    return {each.labels[label]: each.value for each in family.samples}


def one(name: str = "root", *, days: float = 100) -> Status:
    ca = authority(name, age=900, left=days)
    slot = held(Place("group", "plant-7", "primary"), ca)
    return Status(APP, NOW, Policy(), judged([slot, held(Place("group", "plant-7", "secondary"), None)], ca))


def test_every_family_is_a_documented_gauge_with_our_prefix() -> None:
    found = families(application(12))

    assert len(found) == 9
    for name, family in found.items():
        assert name.startswith("iotc_")
        assert (family.type, bool(family.documentation)) == ("gauge", True)
    assert status_metrics(application(0)).encode().startswith(BEGINNING)


def test_times_are_unix_seconds_and_what_is_said_is_what_was_seen() -> None:
    status = one()
    dates = status.slots[0].dates
    assert dates is not None

    found = families(status)

    assert values(found["iotc_certificate_expiry_timestamp_seconds"]) == {
        "plant-7": dates.not_after.timestamp()
    }
    assert values(found["iotc_status_timestamp_seconds"], "app") == {APP: NOW.timestamp()}
    assert values(found["iotc_certificate_due"]) == {"plant-7": 1}
    assert values(found["iotc_certificate_verified"]) == {"plant-7": 1}
    assert values(found["iotc_certificate_managed"]) == {"plant-7": 1}
    assert values(found["iotc_status_waits"], "app") == {APP: 1}
    assert values(found["iotc_status_slots"], "state") == dict.fromkeys(STATES, 0) | {"due": 1, "empty": 1}
    labels = found["iotc_certificate_info"].samples[0].labels
    assert (labels["slot"], labels["kind"], labels["subject"]) == ("primary", "group", "CN=root")


def test_of_what_is_not_known_there_is_no_sample() -> None:
    unknown = held(Place("group", "plant-8", "primary"), authority("unknown"), verified=False)

    found = families(Status(APP, NOW, Policy(), judged([unknown])))

    assert found["iotc_certificate_expiry_timestamp_seconds"].samples == []
    assert found["iotc_certificate_due"].samples == []
    assert values(found["iotc_certificate_managed"]) == {"plant-8": 0}
    assert values(found["iotc_certificate_verified"]) == {"plant-8": 0}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_stays_inside_its_label(name: str) -> None:
    status = one()
    slot = status.slots[0]
    place = Place("device", name, "primary")
    hostile = replace(status, app=name, slots=(replace(slot, held=replace(slot.held, place=place)),))

    found = families(hostile)

    assert set(found) == set(families(status))
    assert set(values(found["iotc_certificate_due"])) == {name}
    assert set(values(found["iotc_status_waits"], "app")) == {name}


def test_an_empty_application_and_a_large_one_are_valid_too() -> None:
    assert sum(len(each.samples) for each in families(application(0)).values()) == 2 + len(STATES)
    large = application(200)
    told = families(large)["iotc_certificate_info"].samples
    assert len(told) == sum(1 for each in large.slots if each.held.thumbprint) > 150
