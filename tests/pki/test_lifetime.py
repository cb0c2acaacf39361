"""When a certificate is due: by its age, or by the days that are left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotc_admin.errors import SettingsError
from iotc_admin.pki.lifetime import Policy, days_left, due, due_from, expired, read_duration
from iotc_admin.pki.validity import Validity

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
BY_AGE = Policy()


def lasting(days: float) -> Validity:
    return Validity(START, START + timedelta(days=days))


@pytest.mark.parametrize(("life", "after"), [(3650, 3650 * 2 / 3), (30, 20), (10, 5), (1, 0.5), (10.5, 7)])
def test_due_is_after_two_thirds_of_a_life_and_after_half_of_a_short_one(life: float, after: float) -> None:
    begins = START + timedelta(days=after)

    assert due_from(lasting(life), BY_AGE) == begins
    assert not due(lasting(life), BY_AGE, begins - SECOND)
    assert due(lasting(life), BY_AGE, begins)


def test_a_span_takes_the_place_of_the_age() -> None:
    policy = Policy(timedelta(days=30))

    assert due_from(lasting(365), policy) == START + timedelta(days=335)
    assert not due(lasting(365), policy, START + timedelta(days=335) - SECOND)
    assert due(lasting(365), policy, START + timedelta(days=335))


def test_an_expired_certificate_is_due_whatever_the_policy() -> None:
    dates = lasting(365)

    assert due(dates, Policy(timedelta(0)), dates.not_after + SECOND)
    assert due(dates, Policy(-DAY), dates.not_after + SECOND)
    assert due_from(dates, Policy(timedelta(0))) == dates.not_after


def test_the_last_second_is_still_valid() -> None:
    dates = lasting(365)

    assert not expired(dates, dates.not_after)
    assert expired(dates, dates.not_after + timedelta(microseconds=1))


def test_days_left_are_whole_days_and_negative_when_it_is_over() -> None:
    dates = lasting(2)

    left = [days_left(dates, START + timedelta(days=each)) for each in (0, 0.1, 1, 1.9, 2, 2.1, 4)]

    assert left == [2, 1, 1, 0, 0, -1, -2]


def test_a_certificate_that_ends_before_it_begins_is_due() -> None:
    backwards = Validity(START, START - DAY)

    assert due_from(backwards, BY_AGE) == backwards.not_after
    assert due(backwards, BY_AGE, START - 2 * DAY) is False
    assert due(backwards, BY_AGE, START) is True


def test_a_span_beyond_the_calendar_means_always() -> None:
    always = Policy(timedelta(weeks=999_999) / 7 * 5)

    assert due_from(lasting(365), always) == datetime.min.replace(tzinfo=UTC)
    assert due(lasting(365), always, START)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        (" 4w ", timedelta(days=28)),
        ("0d", 0 * DAY),
    ],
)
def test_a_span_is_written_as_people_do(text: str, span: timedelta) -> None:
    assert read_duration(text) == span


@pytest.mark.parametrize(
    "text", ["", "30", "d", "-1d", "1.5d", "3x", "3D", "1d2h", "9999999d", "٣d", "3d\n4"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no span of time") as caught:
        read_duration(text)
    assert "30d" in caught.value.hint


@given(
    begins=st.datetimes(timezones=st.just(UTC)),
    life=st.timedeltas(timedelta(days=-400), timedelta(days=40_000)),
    moment=st.datetimes(timezones=st.just(UTC)),
    span=st.none() | st.timedeltas(timedelta(0), timedelta(days=999_999)),
)
def test_for_any_dates_due_and_its_beginning_agree(
    begins: datetime, life: timedelta, moment: datetime, span: timedelta | None
) -> None:
    try:
        dates = Validity(begins, begins + life)
    except OverflowError:
        return
    policy = Policy(span)

    assert due(dates, policy, moment) == (moment >= due_from(dates, policy) or moment > dates.not_after)
    assert due_from(dates, policy) <= dates.not_after
    assert expired(dates, moment) == (days_left(dates, moment) < 0)
