"""Outcome → message: what a tired person wants to know, in words."""

from datetime import timedelta
from typing import Final
from uuid import NAMESPACE_DNS, UUID, uuid5
from zoneinfo import ZoneInfo

from workshopdemo import names
from workshopdemo.model import CronJob, CronJobStatus, JobStatus, Notice, Run, WorkshopDemo
from workshopdemo.notify.message import Message
from workshopdemo.notify.outcomes import Happening
from workshopdemo.observe import parse_time
from workshopdemo.scenarios import Judgement, cron_scenario_of, expectation

_IDS: Final[UUID] = uuid5(NAMESPACE_DNS, names.GROUP)

_WHY: Final = {
    "BackoffLimitExceeded": "every attempt failed, and backoffLimit allows no more",
    "DeadlineExceeded": "it ran longer than activeDeadlineSeconds allows, and was stopped",
    "PodFailurePolicy": "podFailurePolicy says of its exit code that no retry can help",
    "FailedIndexes": "some of its indexes failed for good",
    "MaxFailedIndexesExceeded": "more indexes failed than maxFailedIndexes allows",
    "FromEvents": "its Job was removed before it was read; Kubernetes' Events tell how it ended",
    "NotStarted": "past startingDeadlineSeconds, or Kubernetes' CronJob controller was down",
}
"""Reasons of Kubernetes (batch/v1) and ours, in a sentence."""

_ORDINALS: Final = ("", "first", "second", "third", "fourth", "fifth", "sixth")


def delivery_id(identity: str, end: str, target: str) -> str:
    """The same for each try of this message to this target, whichever operator makes it."""
    return str(uuid5(_IDS, f"{identity}/{end}/{target}"))


def compose(demo: WorkshopDemo, happening: Happening, notice: Notice, identifier: str) -> Message:
    """The message about an outcome."""
    record, entry = happening.record, happening.entry
    is_cron = isinstance(entry, CronJob)
    run = record if isinstance(record, Run) else None
    job = record if isinstance(record, JobStatus) else None
    last = job.attempts[-1] if job and job.attempts else None
    status = happening.status
    return Message(
        id=identifier,
        outcome=notice,
        kind="CronJob" if is_cron else "Job",
        namespace=demo.namespace,
        demo=demo.name,
        entry=entry.name,
        thread=f"{status.uid}" if is_cron else f"{demo.uid}/{entry.name}",
        headline=_headline(happening, notice),
        time=happening.time,
        job=record.job,
        job_uid=record.uid if isinstance(record, Run | JobStatus) else None,
        scheduled=_scheduled(entry, run),
        since=_since(happening),
        first_failure=happening.first_failure,
        failures=happening.failures,
        reason=_reason(happening),
        why=_why(happening),
        exit_code=run.exit_code if run else (last.exit_code if last else None),
        node=run.node if run else (last.node if last else None),
        attempts=_attempts(happening),
        started=record.start_time,
        finished=record.finish_time,
        duration=_duration(record.start_time, record.finish_time),
        next_run=_next_run(status),
        lesson=_lesson(happening),
        log=_log(happening),
        commands=_commands(demo, happening),
    )


def _headline(happening: Happening, notice: Notice) -> str:
    name = happening.entry.name
    match notice:
        case "Recovery":
            times = f"{happening.failures} failures" if happening.failures > 1 else "a failure"
            return f"{name} works again after {times}"
        case "Success":
            attempts = _attempts(happening)
            is_single = isinstance(happening.record, JobStatus) and not _is_parallel(happening)
            after = f" on attempt {attempts}" if is_single and attempts > 1 else ""
            return f"{name} succeeded{after}"
        case "Failure":
            row = f" for the {_ordinal(happening.failures)} time in a row"
            return f"{name} failed{row if happening.failures > 1 else ''}"
        case "Stuck":
            return f"{name} cannot start"
        case "Missed":
            if happening.missed > 1:
                return f"{name} did not run {happening.missed} times, last at {happening.time}"
            return f"{name} did not run at {happening.time}"


def _is_parallel(happening: Happening) -> bool:
    record = happening.record
    return isinstance(record, JobStatus) and (
        record.succeeded > 1 or bool(record.completed_indexes)
    )


def _ordinal(number: int) -> str:
    if number < len(_ORDINALS):
        return _ORDINALS[number]
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else suffix}"


def _attempts(happening: Happening) -> int:
    record = happening.record
    if isinstance(record, JobStatus):
        return max(record.succeeded + record.failed, len(record.attempts))
    return record.attempts


def _reason(happening: Happening) -> str | None:
    """Kubernetes' word, where it says more than the outcome does."""
    reason = happening.record.reason
    return None if happening.end == "Success" and reason != "FromEvents" else reason


def _why(happening: Happening) -> str | None:
    record = happening.record
    if happening.end == "Success":
        return _WHY["FromEvents"] if record.reason == "FromEvents" else None
    if isinstance(record, JobStatus) and happening.end == "Stuck":
        return record.message
    return _WHY.get(record.reason or "")


def _scheduled(entry: object, run: Run | None) -> str | None:
    if run is None or not isinstance(entry, CronJob):
        return None
    if run.scheduled_time is None:
        return "made by hand, outside the schedule"
    if entry.time_zone is None:
        return run.scheduled_time
    local = parse_time(run.scheduled_time).astimezone(ZoneInfo(entry.time_zone))
    return f"{local:%Y-%m-%d %H:%M} {entry.time_zone} ({run.scheduled_time})"


def _since(happening: Happening) -> str | None:
    status = happening.status
    if happening.end == "Success":
        return f"it had failed since {happening.first_failure}" if happening.recovers else None
    parts = []
    if happening.failures > 1 and happening.first_failure:
        parts.append(f"failing since {happening.first_failure}")
    if isinstance(status, CronJobStatus):
        parts.append(
            f"last success {status.last_success}" if status.last_success else "it never succeeded"
        )
    return ", ".join(parts) or None


def _duration(start: str | None, finish: str | None) -> str | None:
    if start is None or finish is None:
        return None
    return duration_words(parse_time(finish) - parse_time(start))


def duration_words(duration: timedelta) -> str:
    """A duration for a person: `1 h 2 min`, `3 min 4 s`, `5 s`."""
    minutes, seconds = divmod(max(int(duration.total_seconds()), 0), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _next_run(status: JobStatus | CronJobStatus) -> str | None:
    if not isinstance(status, CronJobStatus) or status.next_run is None:
        return None
    is_utc = (status.next_run_local or "").endswith(" UTC")
    return status.next_run if is_utc else f"{status.next_run_local} ({status.next_run})"


def _lesson(happening: Happening) -> str | None:
    """Whether a failure is what the lesson is about."""
    if happening.end not in ("Failure", "Stuck"):
        return None
    entry = happening.entry
    if isinstance(entry, CronJob):
        judgement = cron_scenario_of(entry).judgement
        if judgement is not Judgement.EACH_RUN:
            return f"the lesson expects its runs to be: {judgement.value}"
    expected = expectation(entry)
    record = happening.record
    outcome = {"Failure": "Failed", "Stuck": "Stuck"}[happening.end]
    if expected.outcome == outcome and expected.reason in (None, record.reason):
        return f"as the lesson expects: {expected}"
    return f"the lesson expects {expected}"


def _log(happening: Happening) -> str:
    record = happening.record
    if isinstance(record, JobStatus):
        logs = [attempt.log for attempt in record.attempts if attempt.log]
        return logs[-1] if logs else ""
    return record.log or ""


def _commands(demo: WorkshopDemo, happening: Happening) -> tuple[str, ...]:
    where = f"-n {demo.namespace}"
    whole = f"kubectl describe wd {demo.name} {where}"
    job = happening.record.job
    cron_job = happening.status.cron_job if isinstance(happening.status, CronJobStatus) else None
    if happening.end == "Missed":
        return (f"kubectl describe cronjob {cron_job} {where}", whole)
    if job is None or happening.record.reason == "FromEvents":
        return (whole,)
    if happening.end == "Stuck":
        pods = f"kubectl describe pods -l batch.kubernetes.io/job-name={job} {where}"
        return (pods, whole)
    found = [f"kubectl logs job/{job} {where}"]
    if happening.end == "Failure":
        found.append(f"kubectl describe job {job} {where}")
        if cron_job is not None:
            found.append(f"kubectl create job --from=cronjob/{cron_job} {cron_job}-again {where}")
    return (*found, whole)
