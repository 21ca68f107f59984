"""Jobs of a CronJob → its runs, with what is left of those whose Job is gone."""

from collections.abc import Iterable, Mapping, Sequence
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
    manual = job.labels.get(RUN_NOW_LABEL)
    counts = job.status
    return Run(
        job=job.name,
        uid=job.uid,
        scheduled_time=_scheduled_time(job),
        manual=int(manual) if manual else None,
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


def ended_unseen(run: Run, ending: str | None) -> Run:
    """A run whose Job went while nobody looked; `ending` is what Events tell of it, if anything."""
    if ending == "Complete":
        return msgspec.structs.replace(run, outcome="Complete", reason="FromEvents")
    if ending == "Failed":
        return msgspec.structs.replace(run, outcome="Failed", reason="FromEvents")
    return msgspec.structs.replace(run, outcome="Unknown", reason="JobVanished")


JUST_STARTED: Final = "just started"
STARTED: Final = "started"


def recovered_outcomes(events: Iterable[Mapping[str, Any]], now: datetime) -> dict[str, str]:
    """What a CronJob's Events tell of Jobs that are not seen: Complete, Failed, or that they began.

    Events are best effort, and kept for an hour only; the texts are those of Kubernetes' CronJob
    controller ("Created job X", "Saw completed job: X, condition: Y"). They are asked for, and so
    may be ahead of the watches: a Job that has just been made is on its way to us.
    """
    found: dict[str, str] = {}
    for event in events:
        message = str(event.get("message", ""))
        if event.get("reason") == "SawCompletedJob":
            name, _, condition = message.removeprefix("Saw completed job: ").partition(
                ", condition: "
            )
            found[name] = condition
        elif event.get("reason") == "SuccessfulCreate":
            said = event.get("lastTimestamp")
            is_recent = said is not None and now - parse_time(str(said)) < WATCH_LAG
            name = message.removeprefix("Created job ")
            found.setdefault(name, JUST_STARTED if is_recent else STARTED)
    return found


def told_run_pods(told: CronJobStatus | None, pods: Iterable[Child]) -> set[str]:
    """Pods whose log needs no more reading: those of runs that ended and are told with a log."""
    if told is None:
        return set()
    whole = {run.uid for run in told.runs if run.outcome in FINAL and run.log is not None}
    return {pod.name for pod in pods if pod.controller in whole}
