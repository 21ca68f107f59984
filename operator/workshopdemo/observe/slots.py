"""Times of a schedule at which no run began, and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final
from zoneinfo import ZoneInfo

from workshopdemo.facts import Child
from workshopdemo.model import CronJob, Run, RunOutcome
from workshopdemo.observe.runs import Trace, ended_unseen
from workshopdemo.observe.times import format_time, parse_time
from workshopdemo.schedule import Schedule

GRACE: Final = timedelta(seconds=20)
"""How long after its time a run may begin: the CronJob controller looks about every second, but
may itself have to start again."""

MOST: Final = 2000
"""How many times are accounted for in one look; more than a day of a run a minute."""


@dataclass(frozen=True)
class Slots:
    """Times of the schedule from the last that is accounted for until now."""

    due: tuple[datetime, ...]
    """Long enough ago that a run would have begun."""

    pending: datetime | None
    """The first that is too young for that, or that is still to come."""

    def is_overtaken(self, time: datetime, now: datetime) -> bool:
        """Whether a later time has come. Kubernetes makes up for the latest time only."""
        later = next((due for due in self.due if due > time), self.pending)
        return later is not None and later <= now


def slots(entry: CronJob, since: datetime, now: datetime) -> Slots:
    """Times of the schedule after `since`."""
    schedule = Schedule.parse(entry.schedule)
    zone = ZoneInfo(entry.time_zone or "UTC")
    times = schedule.times_after(since, zone)
    due = tuple(islice(takewhile(lambda time: time <= now - GRACE, times), MOST))
    return Slots(due, schedule.next_after(due[-1] if due else since, zone))


def job_at(cron_job: str, time: datetime) -> str:
    """Name of the Job that Kubernetes makes for that time (cronjob utils, getJobName)."""
    return f"{cron_job}-{int(time.timestamp()) // 60}"


def without_run(
    entry: CronJob,
    cron_job: Child,
    time: datetime,
    runs: Sequence[Run],
    recovered: Mapping[str, Trace],
) -> Run | None:
    """What to tell of a time for which there is no Job and no record of one.

    None: its Job was just made, and the watch will tell of it in a moment.
    """
    name = job_at(cron_job.name, time)
    scheduled = format_time(time)
    active = {job.get("name") for job in cron_job.status.get("active") or ()}
    trace = recovered.get(name)
    if name in active or (trace is not None and trace.is_coming):
        return None
    last = cron_job.status.get("lastScheduleTime")
    if trace is not None or last == scheduled:  # it did begin, and its Job is gone already
        began = Run(job=name, scheduled_time=scheduled, outcome="Unknown")
        return ended_unseen(began, trace)
    outcome, reason = _why_not_begun(entry, time, runs, parse_time(last) if last else None)
    return Run(scheduled_time=scheduled, outcome=outcome, reason=reason)


def _why_not_begun(
    entry: CronJob, time: datetime, runs: Sequence[Run], last: datetime | None
) -> tuple[RunOutcome, str]:
    if entry.suspend:
        return "Missed", "Suspended"
    if entry.concurrency_policy == "Forbid" and _is_running_at(time, runs):
        return "Skipped", "ConcurrencyForbidden"
    if last is not None and last > time:
        # A later one began. Whether this one did, nobody knows who was not there.
        return "Unknown", "NobodyWatched"
    return "Missed", "NotStarted"


def _is_running_at(time: datetime, runs: Iterable[Run]) -> bool:
    for run in runs:
        if run.start_time is None or run.scheduled_time is None:
            continue  # the CronJob controller does not count a Job that it did not make
        started = parse_time(run.start_time)
        ended = parse_time(run.finish_time) if run.finish_time else None
        # A second of leave on both sides: these times have no fractions.
        second = timedelta(seconds=1)
        if started - second <= time and (ended is None or time <= ended + second):
            return True
    return False
