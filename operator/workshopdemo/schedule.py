"""Times of a CronJob's schedule, as Kubernetes reckons them.

Kubernetes uses robfig/cron (v3, `ParseStandard`), and so the rules here are its rules. Well-kept
cron libraries follow Debian's cron instead, which differs where clocks change: there a time that
is left out in spring is made up for, here it is not run; one that comes twice in autumn runs
twice here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

MINUTE: Final = timedelta(minutes=1)

_HORIZON: Final = timedelta(days=5 * 366)
"""A schedule such as February 30th never comes; robfig/cron gives up after five years."""

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = {
    "jan": 1,
    "feb": 2,
    "mar": 3,
    "apr": 4,
    "may": 5,
    "jun": 6,
    "jul": 7,
    "aug": 8,
    "sep": 9,
    "oct": 10,
    "nov": 11,
    "dec": 12,
}
_DAYS: Final = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_PART: Final = re.compile(r"^(?:(\*|\?)|(\w+)(?:-(\w+))?)(?:/(\d+))?$", re.ASCII)


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: dict[str, int]


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


@dataclass(frozen=True)
class Schedule:
    """A parsed schedule."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """The schedule written so.

        Raises:
            ValueError: Kubernetes would not take it; says which part and what would do.
        """
        parts = _MACROS.get(text.strip(), text).split()
        if len(parts) != len(_FIELDS):
            raise ValueError(f"{text!r} has {len(parts)} fields and needs {len(_FIELDS)}")
        parsed = [_parse_field(part, field) for part, field in zip(parts, _FIELDS, strict=True)]
        (minutes, _), (hours, _), (days, any_day), (months, _), (weekdays, any_weekday) = parsed
        return cls(
            minutes=minutes,
            hours=hours,
            days=days,
            months=months,
            weekdays=weekdays,
            any_day=any_day,
            any_weekday=any_weekday,
        )

    def times_after(self, moment: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Times after a moment, in UTC, as long as there are any."""
        now = moment.astimezone(UTC).replace(second=0, microsecond=0) + MINUTE
        end = now + _HORIZON
        while now < end:
            local = now.astimezone(zone)
            if not self._is_day(local):
                now = max(_next_midnight(local), now + MINUTE)
            elif local.hour not in self.hours:
                now += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minutes:
                now += MINUTE
            else:
                yield now
                now += MINUTE
                end = now + _HORIZON

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first time after a moment, in UTC; None if there is none."""
        return next(self.times_after(moment, zone), None)

    def _is_day(self, local: datetime) -> bool:
        if local.month not in self.months:
            return False
        day = local.day in self.days
        weekday = local.isoweekday() % 7 in self.weekdays
        # Where both are restricted, either will do (crontab(5), and robfig/cron's dayMatches).
        if self.any_day or self.any_weekday:
            return day and weekday
        return day or weekday


def _next_midnight(local: datetime) -> datetime:
    tomorrow = local.date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=local.tzinfo).astimezone(
        UTC
    )


def _parse_field(text: str, field: _Field) -> tuple[frozenset[int], bool]:
    """Numbers of a field, and whether it is left open by a star."""
    numbers: set[int] = set()
    is_open = False
    for part in text.split(","):
        match = _PART.match(part)
        if match is None:
            raise ValueError(f"{part!r} is no {field.name}")
        star, first, last, step = match.groups()
        low = field.low if star else _number(first, field)
        is_open_ended = star or (step and not last)
        high = field.high if is_open_ended else _number(last or first, field)
        if low > high:
            raise ValueError(f"{part!r} in {field.name} begins after its end")
        if step == "0":
            raise ValueError(f"{part!r} in {field.name} has a step of 0")
        numbers.update(range(low, high + 1, int(step or 1)))
        is_open = is_open or (bool(star) and int(step or 1) == 1)
    return frozenset(numbers), is_open


def _number(text: str, field: _Field) -> int:
    number = field.words.get(text.lower())
    if number is None:
        if not text.isdecimal():
            raise ValueError(f"{text!r} is no {field.name}")
        number = int(text)
    if not field.low <= number <= field.high:
        raise ValueError(f"{number} is no {field.name}: it goes from {field.low} to {field.high}")
    return number
