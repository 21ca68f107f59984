"""Schedules as Kubernetes reckons them, clock changes included."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshopdemo.schedule import Schedule

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]


def times(schedule: str, start: str, count: int, zone: str = "UTC") -> list[str]:
    after = datetime.fromisoformat(start).replace(tzinfo=UTC)
    found = Schedule.parse(schedule).times_after(after, ZoneInfo(zone))
    return [time.strftime("%m-%dT%H:%M") for time in islice(found, count)]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("* * * * *", ["01-01T00:01", "01-01T00:02"]),
        ("*/20 * * * *", ["01-01T00:20", "01-01T00:40"]),
        ("5/25 3 * * *", ["01-01T03:05", "01-01T03:30"]),
        ("0 2 * * *", ["01-01T02:00", "01-02T02:00"]),
        ("0 0 1 * *", ["02-01T00:00", "03-01T00:00"]),
        ("30 8 * * mon-fri", ["01-01T08:30", "01-02T08:30"]),
        ("0 12 ? JAN,Mar Sun", ["01-04T12:00", "01-11T12:00"]),
        ("0 0 13 * 5", ["01-02T00:00", "01-09T00:00"]),
        ("0 0 */10 * 1", ["01-05T00:00", "01-11T00:00"]),
        ("@hourly", ["01-01T01:00", "01-01T02:00"]),
        ("@weekly", ["01-04T00:00", "01-11T00:00"]),
        ("@yearly", ["01-01T00:00"]),
        ("0 0 30 2 *", []),
    ],
)
def test_times(schedule: str, expected: list[str]) -> None:
    assert times(schedule, "2026-01-01T00:00:30", len(expected) or 1) == expected


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("61 * * * *", "61 is no minute: it goes from 0 to 59"),
        ("* * * * 7", "7 is no day of week: it goes from 0 to 6"),
        ("* * 0 * *", "0 is no day of month"),
        ("9-5 * * * *", "begins after its end"),
        ("*/0 * * * *", "step of 0"),
        ("* * * * caturday", "'caturday' is no day of week"),
        ("* * * *", "has 4 fields and needs 5"),
        ("a-b-c * * * *", "is no minute"),
        ("@fortnightly", "has 1 fields"),
    ],
)
def test_a_wrong_schedule_says_which_part(schedule: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Schedule.parse(schedule)


def test_a_time_that_is_left_out_in_spring_is_not_run() -> None:
    # 2026-03-29: 02:00 CET becomes 03:00 CEST.
    assert times("30 2 * * *", "2026-03-27T12:00:00", 3, "Europe/Berlin") == [
        "03-28T01:30",
        "03-30T00:30",
        "03-31T00:30",
    ]


def test_a_time_that_comes_twice_in_autumn_runs_twice() -> None:
    # 2026-10-25: 03:00 CEST becomes 02:00 CET.
    assert times("30 2 * * *", "2026-10-24T12:00:00", 3, "Europe/Berlin") == [
        "10-25T00:30",
        "10-25T01:30",
        "10-26T01:30",
    ]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("schedule", ["*/7 1-3 * * *", "0 0 * * *", "15 2 * * sun", "59 23 31 * *"])
@given(minutes=st.integers(0, 366 * 24 * 60))
def test_the_next_time_is_the_first_minute_that_matches(
    schedule: str, zone: str, minutes: int
) -> None:
    """Against the plainest reckoning: look at each minute's clock on the wall."""
    parsed = Schedule.parse(schedule)
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = parsed.next_after(start, ZoneInfo(zone))
    assert found is not None
    assert found > start
    assert _matches(parsed, found.astimezone(ZoneInfo(zone)))
    minute = start.replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(200):
        if minute == found:
            break
        assert not _matches(parsed, minute.astimezone(ZoneInfo(zone)))
        minute += timedelta(minutes=1)


def _matches(schedule: Schedule, local: datetime) -> bool:
    day, weekday = local.day in schedule.days, local.isoweekday() % 7 in schedule.weekdays
    either = schedule.any_day or schedule.any_weekday
    return (
        local.minute in schedule.minutes
        and local.hour in schedule.hours
        and local.month in schedule.months
        and ((day and weekday) if either else (day or weekday))
    )
