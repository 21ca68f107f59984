"""Jobs of a CronJob → its runs, with what is left of those whose Job is gone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from workshopdemo.facts import Child
from workshopdemo.model import CronJob, CronJobStatus, Run, RunOutcome
from workshopdemo.names import RUN_NOW_LABEL
from workshopdemo.observe.attempts import newest_end
from workshopdemo.observe.jobs import finish_time
from workshopdemo.observe.stuck import hindrance
from workshopdemo.observe.times import format_time, parse_time

FINAL: Final = frozenset(
    {"Complete", "Failed", "Replaced", "Skipped", "Missed", "Deleted", "Unknown"}
)
"""Outcomes that do not change any more."""

WATCH_LAG: Final = timedelta(seconds=20)
"""How long after an Event about an object a watch may take to tell of the object itself."""

ENDINGS: Final = ("Complete", "Failed")

_JOB_ENDINGS: Final[Mapping[str, RunOutcome]] = {
    "Completed": "Complete",
    "BackoffLimitExceeded": "Failed",
    "DeadlineExceeded": "Failed",
    "FailedIndexes": "Failed",
    "MaxFailedIndexesExceeded": "Failed",
    "PodFailurePolicy": "Failed",
}
"""Reasons of the Job controller's Events about the end of a Job (batch/v1, JobReason…)."""


def run_key(run: Run) -> str:
    """What tells runs of one CronJob apart: the Job's name, else the time."""
    return run.job or time_key(run.scheduled_time)


def time_key(scheduled_time: str | None) -> str:
    """Key of a time of the schedule at which no run began."""
    return f"at {scheduled_time}"


def run_of(
    job: Child,
    pods: Sequence[Child],
    known: Run | None,
    logs: Mapping[str, str],
    now: datetime,
) -> Run:
    """The run of a Job that is there."""
    outcome, reason = _outcome(job, pods, now)
    end = newest_end(pods)
    log = logs.get(end.uid) if end else None
    counts = job.status
    return Run(
        job=job.name,
        uid=job.uid,
        scheduled_time=_scheduled_time(job),
        manual=job.number(RUN_NOW_LABEL),
        outcome=outcome,
        reason=reason,
        start_time=counts.get("startTime"),
        finish_time=finish_time(job),
        attempts=max(
            counts.get("succeeded", 0) + counts.get("failed", 0), known.attempts if known else 0
        ),
        exit_code=end.exit_code if end else (known.exit_code if known else None),
        node=end.node if end else (known.node if known else None),
        notified=known.notified if known else (),
        log=log if log is not None else (known.log if known else None),
    )


def _outcome(job: Child, pods: Sequence[Child], now: datetime) -> tuple[RunOutcome, str | None]:
    for ending in ENDINGS:
        condition = job.condition(ending)
        if condition:
            return ending, condition.get("reason")
    hindered = hindrance(pods)
    if hindered is not None and now >= hindered.due:
        return "Stuck", hindered.reason
    return "Running", None


def _scheduled_time(job: Child) -> str | None:
    # The annotation is written in the CronJob's time zone.
    return format_time(parse_time(job.scheduled)) if job.scheduled else None


def run_of_removed(job: Child, entry: CronJob, known: Run | None, now: datetime) -> Run:
    """The run of a Job that was seen to be removed."""
    last = run_of(job, (), known, {}, now)
    if last.outcome in ENDINGS:
        return last
    # Replace deletes the running Job, which never gets a condition; nothing else tells of it.
    if entry.concurrency_policy == "Replace" and last.scheduled_time is not None:
        return msgspec.structs.replace(last, outcome="Replaced", reason="ConcurrencyReplaced")
    return msgspec.structs.replace(last, outcome="Deleted", reason="JobDeleted")


@dataclass(frozen=True)
class Trace:
    """What Events tell of a run whose Job is not seen."""

    ending: RunOutcome | None
    """How it ended; None: they tell only that it began."""

    time: datetime | None
    """When they say so."""

    is_coming: bool
    """It has just begun: the watches are about to tell of it."""


def ended_unseen(run: Run, trace: Trace | None) -> Run:
    """A run whose Job went while nobody looked."""
    if trace is None or trace.ending is None:
        return msgspec.structs.replace(run, outcome="Unknown", reason="JobVanished")
    finished = format_time(trace.time) if trace.time else run.finish_time
    return msgspec.structs.replace(
        run, outcome=trace.ending, reason="FromEvents", finish_time=finished
    )


def traces(events: Iterable[Mapping[str, Any]], now: datetime) -> dict[str, Trace]:
    """What Events of CronJobs and of Jobs tell, by the Job's name.

    Events are best effort, and kept for an hour only. The CronJob controller tells of each Job that
    it started, and of the end of those that it saw ended: not of one that the history limits take
    first (limit 0), and after ten alike only of the latest ("(combined from similar events): …").
    So the Job's own Events are read too. They are asked for, and so may be ahead of the watches.
    """
    found: dict[str, Trace] = {}
    for event in events:
        name, ending = _told_by(event)
        known = found.get(name)
        if name and (known is None or known.ending is None):
            said = event.get("lastTimestamp")
            time = parse_time(str(said)) if said else None
            is_recent = time is not None and now - time < WATCH_LAG
            found[name] = Trace(ending, time, is_coming=is_recent and ending is None)
    return found


def _told_by(event: Mapping[str, Any]) -> tuple[str, RunOutcome | None]:
    """The Job that an Event is about, and how it ended; the name is empty if it tells neither.

    The texts are those of Kubernetes' CronJob controller, the reasons those of batch/v1.
    """
    about = event.get("involvedObject") or {}
    reason, message = str(event.get("reason")), str(event.get("message", ""))
    if about.get("kind") == "Job":
        return str(about["name"]), _JOB_ENDINGS.get(reason)
    message = message.removeprefix("(combined from similar events): ")
    if reason == "SawCompletedJob":
        name, _, condition = message.removeprefix("Saw completed job: ").partition(", condition: ")
        return name, "Complete" if condition == "Complete" else "Failed"
    if reason == "SuccessfulCreate":
        return message.removeprefix("Created job "), None
    return "", None


def told_run_pods(told: CronJobStatus | None, pods: Iterable[Child]) -> set[str]:
    """Pods whose log needs no more reading: those of runs that ended and are told with a log."""
    if told is None:
        return set()
    whole = {run.uid for run in told.runs if run.outcome in FINAL and run.log is not None}
    return {pod.name for pod in pods if pod.controller in whole}
