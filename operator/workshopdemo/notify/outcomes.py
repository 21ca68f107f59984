"""Statuses → outcomes that nobody has been told of yet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from workshopdemo.model import (
    CronJob,
    CronJobStatus,
    Delivery,
    Job,
    JobStatus,
    Notice,
    PastRun,
    Run,
    RunOutcome,
    WorkshopDemo,
)
from workshopdemo.observe import Observation, run_key

End = Literal["Success", "Failure", "Missed", "Stuck"]
"""What came about; whether a Success is told as a Recovery is the reader's business."""

_ENDS: Final[Mapping[str, End]] = {
    "Complete": "Success",
    "Failed": "Failure",
    "Missed": "Missed",
    "Stuck": "Stuck",
}
_ENDED: Final = ("Complete", "Failed")
SUSPENDED: Final = "Suspended"

Record = JobStatus | PastRun | Run


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One outcome of one Job, or of a time at which there was none."""

    entry: Job | CronJob
    end: End
    identity: str
    """The same whenever this very outcome is seen, with or without its Job."""

    record: Record
    time: str
    status: JobStatus | CronJobStatus
    """Of the entry, as it is now."""

    recovers: bool = False
    """Whether it is the first Success after a Failure."""

    failures: int = 0
    """Failures in a row, this one or those before this Success."""

    first_failure: str | None = None
    missed: int = 0
    """Times that passed without a run, told together."""

    @property
    def notice(self) -> Notice:
        """As what it is told to those who want to hear of recoveries."""
        return "Recovery" if self.recovers else self.end


def happenings(demo: WorkshopDemo, seen: Observation) -> list[Happening]:
    """Outcomes that the demo's status does not tell yet, the oldest first."""
    jobs = {status.name: status for status in demo.status.jobs}
    found: list[Happening] = []
    for entry, status in zip(demo.spec.jobs, seen.jobs, strict=True):
        found += _of_job(entry, jobs.get(entry.name), status)
    cron_jobs = {status.name: status for status in demo.status.cron_jobs}
    for cron_job, cron_status in zip(demo.spec.cron_jobs, seen.cron_jobs, strict=True):
        runs = seen.runs.get(cron_job.name) or ()
        found += _new_runs(cron_job, cron_jobs.get(cron_job.name), cron_status, runs)
    return sorted(found, key=lambda happening: happening.time)


def remembered(demo: WorkshopDemo, seen: Observation, delivery: Delivery) -> Happening | None:
    """The outcome that a delivery of before is about, as far as the status remembers it.

    None: its entry is gone from the spec.
    """
    end = end_of(delivery.outcome)
    for entry, status in zip(demo.spec.jobs, seen.jobs, strict=True):
        if entry.name == delivery.of:
            records: list[JobStatus | PastRun] = [status, *status.history]
            for record in records:
                if record.job == delivery.job and _ENDS.get(record.outcome) == end:
                    return _job_happening(entry, status, record, "")
            return _forgotten(entry, status, delivery)
    for cron_job, cron_status in zip(demo.spec.cron_jobs, seen.cron_jobs, strict=True):
        if cron_job.name == delivery.of:
            runs = list(reversed(seen.runs.get(delivery.of) or ()))
            for index, run in enumerate(runs):
                is_it = run.job == delivery.job if delivery.job else _time(run) == delivery.time
                if is_it and _ENDS.get(run.outcome) == end:
                    return _run_happening(cron_job, cron_status, runs, index)
            return _forgotten(cron_job, cron_status, delivery)
    return None


def newest(demo: WorkshopDemo, seen: Observation, of: str, end: str) -> Happening | None:
    """The newest outcome of that kind of an entry; None if the entry is gone."""
    records: list[tuple[str | None, str]] = []
    for status in seen.jobs:
        if status.name == of:
            records.append((status.job, status.outcome))
            records += [(past.job, past.outcome) for past in status.history]
    for run in seen.runs.get(of) or ():
        records.append((run.job, run.outcome))
    job = next((job for job, outcome in records if _ENDS.get(outcome) == end), None)
    notice: dict[str, Notice] = {"Failure": "Failure", "Missed": "Missed", "Stuck": "Stuck"}
    stand_in = Delivery(
        id="", of=of, job=job, outcome=notice[end], target="", state="Pending", time=""
    )
    return remembered(demo, seen, stand_in)


def end_of(notice: Notice) -> End:
    """What came about, by what is told of it."""
    return "Success" if notice == "Recovery" else notice


def _forgotten(
    entry: Job | CronJob, status: JobStatus | CronJobStatus, delivery: Delivery
) -> Happening:
    """What is left of an outcome whose run the status no longer has."""
    end = end_of(delivery.outcome)
    outcomes: dict[End, RunOutcome] = {
        "Success": "Complete",
        "Failure": "Failed",
        "Missed": "Missed",
        "Stuck": "Stuck",
    }
    record = Run(
        job=delivery.job,
        scheduled_time=delivery.time if end == "Missed" else None,
        outcome=outcomes[end],
        reason=delivery.reason,
        finish_time=delivery.time,
    )
    return Happening(
        entry=entry,
        end=end,
        identity="",
        record=record,
        time=delivery.time,
        status=status,
        recovers=delivery.outcome == "Recovery",
        missed=1 if end == "Missed" else 0,
    )


def _of_job(entry: Job, before: JobStatus | None, after: JobStatus) -> Iterator[Happening]:
    known = {run.job for run in before.history if run.outcome in _ENDED} if before else set()
    if before is not None and before.outcome in _ENDED:
        known.add(before.job or "")
    for past in reversed(after.history):
        # A run that ended while nobody looked, and was followed by the next at once.
        if before is not None and past.outcome in _ENDED and past.job not in known:
            uid = before.uid if before.job == past.job and before.uid else past.job
            yield _job_happening(entry, after, past, uid)
    end = _ENDS.get(after.outcome)
    if end is None or after.uid is None or end in after.notified:
        return
    if before is not None and (before.uid, before.outcome) == (after.uid, after.outcome):
        return
    yield _job_happening(entry, after, after, after.uid)


def _job_happening(
    entry: Job, status: JobStatus, record: JobStatus | PastRun, identity: str
) -> Happening:
    end = _ENDS[record.outcome]
    earlier = [past for past in status.history if past.run < record.run and past.job != record.job]
    failed = 0
    for past in earlier:
        if past.outcome != "Failed":
            break
        failed += 1
    first = earlier[failed - 1].finish_time if failed else None
    fails = end == "Failure"
    return Happening(
        entry=entry,
        end=end,
        identity=identity,
        record=record,
        time=record.finish_time or record.start_time or "",
        status=status,
        recovers=end == "Success" and failed > 0,
        failures=failed + fails,
        first_failure=first or (record.finish_time if fails else None),
    )


def _new_runs(
    entry: CronJob, before: CronJobStatus | None, after: CronJobStatus, newest_first: Sequence[Run]
) -> Iterator[Happening]:
    told = {run_key(run): run.outcome for run in before.runs} if before else {}
    runs = list(reversed(newest_first))
    missed: list[int] = []
    for index, run in enumerate(runs):
        end = _ENDS.get(run.outcome)
        is_told = told.get(run_key(run)) == run.outcome or end in run.notified
        if end is None or is_told or run.reason == SUSPENDED:
            continue
        if end == "Missed":
            missed.append(index)
        else:
            yield _run_happening(entry, after, runs, index)
    if missed:
        yield _run_happening(entry, after, runs, missed[-1], missed=len(missed))


def _run_happening(
    entry: CronJob, status: CronJobStatus, runs: Sequence[Run], index: int, missed: int = 1
) -> Happening:
    run = runs[index]
    end = _ENDS[run.outcome]
    streak = _failures_before(runs, index + 1 if end == "Failure" else index)
    failures = len(streak)
    ended = [one for one in runs if one.outcome in _ENDED]
    if streak and ended[: len(streak)] == streak:
        # The streak is older than what is remembered, if it goes on until now.
        newest = _failures_before(runs, len(runs))
        if newest[:1] == streak[:1]:
            failures += max(status.consecutive_failures - len(newest), 0)
    # A Job made by hand may come again under its name; one of the schedule may not, and by its name
    # it is known when its UID is not.
    own = run.uid if run.scheduled_time is None and run.uid else run_key(run)
    return Happening(
        entry=entry,
        end=end,
        identity=f"{status.uid}/{own}",
        record=run,
        time=_time(run),
        status=status,
        recovers=end == "Success" and bool(streak),
        failures=failures,
        first_failure=(streak[0].finish_time or streak[0].scheduled_time) if streak else None,
        missed=missed if end == "Missed" else 0,
    )


def _time(run: Run) -> str:
    return run.finish_time or run.scheduled_time or run.start_time or ""


def _failures_before(runs: Sequence[Run], index: int) -> list[Run]:
    """The failures in a row that end before `index`, the oldest first; gaps do not count."""
    found: list[Run] = []
    for run in reversed(runs[:index]):
        if run.outcome == "Failed":
            found.insert(0, run)
        elif run.outcome == "Complete":
            break
    return found
