"""A CronJob and its Jobs → what the status says of an entry of spec.cronJobs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from workshopdemo.errors import ClusterError, InvalidSpecError
from workshopdemo.facts import Child
from workshopdemo.model import CronJob, CronJobStatus, Run
from workshopdemo.observe.cronverdict import expected_words, not_expected, verdict
from workshopdemo.observe.runs import (
    FINAL,
    Trace,
    ended_unseen,
    run_key,
    run_of,
    run_of_removed,
    time_key,
    traces,
)
from workshopdemo.observe.slots import GRACE, job_at, slots, without_run
from workshopdemo.observe.stuck import Hindrance, hindrance
from workshopdemo.observe.times import format_time, parse_time
from workshopdemo.schedule import Schedule

KEEP: Final = 12
"""How many runs are told at least; those whose Job is still there are told all."""

_COUNTED: Final = {
    "Complete": "succeeded",
    "Failed": "failed",
    "Skipped": "skipped",
    "Replaced": "replaced",
    "Missed": "missed",
    "Unknown": "unknown",
}


@dataclass(frozen=True, kw_only=True)
class CronJobFacts:
    """All that is known of an entry's CronJob."""

    cron_job: str
    """Name of the CronJob that the plan asks for."""

    live: Child | None = None
    jobs: Sequence[Child] = ()
    removed: Sequence[Child] = ()
    """Jobs that were seen to be removed, as they were last."""

    pods: Sequence[Child] = ()
    told: CronJobStatus | None = None
    logs: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    """Events about the CronJob and about Jobs; asked for only where `needs_events` says so."""

    problem: ClusterError | None = None
    mistake: InvalidSpecError | None = None


def needs_events(entry: CronJob, facts: CronJobFacts, now: datetime) -> bool:
    """Whether something went unseen of which Events may still tell."""
    if facts.live is None or facts.mistake is not None:
        return False
    present = {job.name for job in (*facts.jobs, *facts.removed)}
    told = facts.told.runs if facts.told else ()
    if any(run.outcome not in FINAL and run.job not in present for run in told):
        return True
    known = present | {run.job for run in told}
    due = slots(entry, _counted_until(entry, facts, now), now).due
    return any(job_at(facts.cron_job, time) not in known for time in due)


@dataclass(frozen=True)
class CronJobSeen:
    """What was seen of an entry of spec.cronJobs."""

    status: CronJobStatus
    recheck: datetime | None = None
    """When to look again although nothing may have happened by then."""

    runs: Sequence[Run] = ()
    """All runs that are known, the newest first; the status tells the newest of them."""


def observe_cron_job(entry: CronJob, facts: CronJobFacts, now: datetime) -> CronJobSeen:
    """See how the entry does."""
    told = facts.told or CronJobStatus(
        name=entry.name, scenario=entry.scenario, expected=expected_words(entry)
    )
    if facts.live is None or facts.mistake is not None:
        return CronJobSeen(_judged(entry, facts, _renamed(told, entry, facts)))
    recovered = traces(facts.events, now)
    runs = _runs_with_jobs(entry, facts, told, recovered, now)
    since = _counted_until(entry, facts, now)
    times = slots(entry, since, now)
    counted = since
    for time in times.due:
        if job_at(facts.cron_job, time) not in runs:
            gap = without_run(entry, facts.live, time, list(runs.values()), recovered)
            if gap is None:
                break
            if gap.outcome == "Skipped" and not times.is_overtaken(time, now):
                break  # Forbid only holds it back so far: it may begin when the last run ends
            runs[run_key(gap)] = gap
        counted = time
    newest_first = _newest_first(runs.values())
    status = msgspec.structs.replace(
        _renamed(_counted(told, newest_first, facts), entry, facts),
        schedule=_schedule_words(entry),
        counted_until=format_time(counted),
    )
    status = _with_next_run(entry, status, now)
    recheck = min(
        (moment for moment in _rechecks(entry, facts, times.pending, now) if moment > now),
        default=None,
    )
    return CronJobSeen(_judged(entry, facts, status), recheck, newest_first)


def _schedule_words(entry: CronJob) -> str:
    return f"{entry.schedule} {entry.time_zone or 'UTC'}"


def _counted_until(entry: CronJob, facts: CronJobFacts, now: datetime) -> datetime:
    """Up to when times are accounted for. A new schedule is no news about the past."""
    told = facts.told
    if told is not None and told.counted_until is not None:
        return parse_time(told.counted_until) if told.schedule == _schedule_words(entry) else now
    return parse_time(facts.live.created) if facts.live else now


def _runs_with_jobs(
    entry: CronJob,
    facts: CronJobFacts,
    told: CronJobStatus,
    recovered: Mapping[str, Trace],
    now: datetime,
) -> dict[str, Run]:
    """Runs by name of Job; times without a run by the time."""
    runs = {run_key(run): run for run in told.runs}
    for job in facts.removed:
        known = runs.get(job.name)
        if known is None or known.outcome not in FINAL:
            runs[job.name] = run_of_removed(job, entry, known, now)
    for job in facts.jobs:
        known = runs.get(job.name)
        own = [pod for pod in facts.pods if pod.controller == job.uid]
        runs[job.name] = run = run_of(job, own, known, facts.logs, now)
        # It began late, when its time was told as missed already.
        runs.pop(time_key(run.scheduled_time), None)
    present = {job.name for job in (*facts.jobs, *facts.removed)}
    for name, run in runs.items():
        if run.job is not None and run.outcome not in FINAL and name not in present:
            runs[name] = ended_unseen(run, recovered.get(run.job))
    return runs


def _newest_first(runs: Iterable[Run]) -> list[Run]:
    def when(run: Run) -> tuple[str, str]:
        return run.start_time or run.scheduled_time or "~", run.job or ""

    return sorted(runs, key=when, reverse=True)


def _counted(told: CronJobStatus, runs: list[Run], facts: CronJobFacts) -> CronJobStatus:
    """Totals, by what has become final since the status was last told."""
    before = {run.job or run.scheduled_time: run.outcome for run in told.runs}
    changes = Counter[str]()
    failures = told.consecutive_failures
    for run in reversed(runs):
        old = before.get(run.job or run.scheduled_time)
        if run.outcome not in FINAL or old in FINAL:
            continue
        changes[_COUNTED.get(run.outcome, "")] += 1
        if run.outcome == "Complete":
            failures = 0
        elif run.outcome == "Failed":
            failures += 1
    begun = {run.scheduled_time for run in runs if run.job}
    for run in told.runs:
        if not run.job and run.scheduled_time in begun:  # it began late after all
            changes[_COUNTED[run.outcome]] -= 1
    active = [run for run in runs if run.outcome in ("Running", "Stuck")]
    by_schedule = sum(1 for run in active if run.scheduled_time is not None)
    began = [run for run in runs if run.job is not None]
    present = {job.name for job in facts.jobs}
    kept = [run for index, run in enumerate(runs) if index < KEEP or run.job in present]
    return msgspec.structs.replace(
        told,
        succeeded=told.succeeded + changes["succeeded"],
        failed=told.failed + changes["failed"],
        skipped=told.skipped + changes["skipped"],
        replaced=told.replaced + changes["replaced"],
        missed=told.missed + changes["missed"],
        unknown=told.unknown + changes["unknown"],
        consecutive_failures=failures,
        active=len(active),
        peak_active=max(told.peak_active, by_schedule),
        run_now=max([told.run_now, *(run.manual or 0 for run in runs)]),
        last_run=(began[0].start_time or began[0].scheduled_time) if began else told.last_run,
        last_outcome=began[0].outcome if began else told.last_outcome,
        last_success=max(
            (run.finish_time for run in runs if run.outcome == "Complete" and run.finish_time),
            default=told.last_success,
        ),
        runs=tuple(kept),
    )


def _renamed(status: CronJobStatus, entry: CronJob, facts: CronJobFacts) -> CronJobStatus:
    return msgspec.structs.replace(
        status,
        name=entry.name,
        scenario=entry.scenario,
        expected=expected_words(entry),
        cron_job=facts.cron_job,
        uid=facts.live.uid if facts.live else status.uid,
    )


def _with_next_run(entry: CronJob, status: CronJobStatus, now: datetime) -> CronJobStatus:
    zone = ZoneInfo(entry.time_zone or "UTC")
    following = None if entry.suspend else Schedule.parse(entry.schedule).next_after(now, zone)
    if following is None:
        return msgspec.structs.replace(status, next_run=None, next_run_local=None)
    local = following.astimezone(zone)
    return msgspec.structs.replace(
        status,
        next_run=format_time(following),
        next_run_local=f"{local:%Y-%m-%d %H:%M} {zone.key}",
    )


def _rechecks(
    entry: CronJob, facts: CronJobFacts, pending: datetime | None, now: datetime
) -> list[datetime]:
    """When the clock alone changes what is told: a time passes, a Pod has waited too long."""
    moments = [why.due for job in facts.jobs if (why := _hindrance_of(job, facts))]
    if pending is not None:
        moments += [pending + timedelta(seconds=1), pending + GRACE + timedelta(seconds=1)]
    zone = ZoneInfo(entry.time_zone or "UTC")
    following = Schedule.parse(entry.schedule).next_after(now, zone)
    if following is not None:
        moments.append(following + timedelta(seconds=1))
    return moments


def _hindrance_of(job: Child, facts: CronJobFacts) -> Hindrance | None:
    return hindrance([pod for pod in facts.pods if pod.controller == job.uid])


def _judged(entry: CronJob, facts: CronJobFacts, status: CronJobStatus) -> CronJobStatus:
    if facts.mistake is not None:
        found = not_expected("InvalidSpec", str(facts.mistake))
    elif facts.problem is not None:
        found = not_expected(facts.problem.reason, str(facts.problem))
    else:
        found = verdict(entry, status)
    return msgspec.structs.replace(
        status, as_expected=found.as_expected, reason=found.reason, message=found.message
    )
