"""A Job and its Pods → what the status says of an entry of spec.jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from workshopdemo.errors import ClusterError
from workshopdemo.facts import Child
from workshopdemo.model import Attempt, Job, JobStatus, Outcome, PastRun
from workshopdemo.names import RUN_LABEL
from workshopdemo.observe.attempts import attempts_of
from workshopdemo.observe.stuck import Hindrance, hindrance, no_pod
from workshopdemo.scenarios import expectation

_ENDED: Final = frozenset({"Complete", "Failed"})


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """All that is known of an entry's Jobs."""

    job: str
    """Name of the Job that the plan asks for."""

    live: Child | None = None
    pods: Sequence[Child] = ()
    older: Sequence[Child] = ()
    """Jobs of earlier runs that are still there."""

    told: JobStatus | None = None
    """What the status says so far."""

    logs: Mapping[str, str] = field(default_factory=dict)
    """Logs just read, by UID of Pod."""

    refusal: str | None = None
    """Why the Job controller makes no Pod, by its Events."""

    problem: ClusterError | None = None
    """Why the Job could not be written."""


@dataclass(frozen=True)
class _Verdict:
    outcome: Outcome
    reason: str | None = None
    message: str | None = None
    recheck: datetime | None = None


def observe_job(
    entry: Job, facts: JobFacts, now: datetime, keep: int
) -> tuple[JobStatus, datetime | None]:
    """The entry's status, and when to look again although nothing may have happened by then."""
    told = facts.told if facts.told and _is_same_job(facts, facts.told) else None
    history = _history(entry, facts, told)
    if facts.live is None and told is not None and told.outcome in _ENDED:
        # Removed by its time to live, after its end was recorded: the record stands.
        return _judged(entry, msgspec.structs.replace(told, history=history)), None
    attempts = attempts_of(facts.pods, told, facts.logs, keep)
    verdict = _verdict(facts, attempts, now)
    live = facts.live
    counts = live.status if live else {}
    status = JobStatus(
        name=entry.name,
        scenario=entry.scenario,
        run=entry.run,
        expected="Complete",
        outcome=verdict.outcome,
        reason=verdict.reason,
        message=verdict.message,
        job=facts.job,
        uid=live.uid if live else None,
        start_time=counts.get("startTime"),
        finish_time=finish_time(live) if live else None,
        active=counts.get("active", 0),
        succeeded=counts.get("succeeded", 0),
        failed=counts.get("failed", 0),
        completed_indexes=counts.get("completedIndexes"),
        failed_indexes=counts.get("failedIndexes"),
        notified=told.notified if told else (),
        attempts=attempts,
        history=history,
    )
    return _judged(entry, status, has_problem=facts.problem is not None), verdict.recheck


def _is_same_job(facts: JobFacts, told: JobStatus) -> bool:
    if told.job != facts.job:
        return False
    return facts.live is None or told.uid in (None, facts.live.uid)


def _verdict(facts: JobFacts, attempts: Sequence[Attempt], now: datetime) -> _Verdict:
    if facts.live is None:
        if facts.problem is not None:
            return _Verdict("Pending", facts.problem.reason, str(facts.problem))
        return _Verdict("Pending")
    for outcome in ("Complete", "Failed"):
        condition = facts.live.condition(outcome)
        if condition:
            return _Verdict(outcome, condition.get("reason"), condition.get("message"))
    if facts.live.condition("Suspended"):
        message = "held back: set suspend: false to let it run"
        return _Verdict("Suspended", "JobSuspended", message)
    return _unfinished(facts.live, facts, attempts, now)


def _unfinished(
    live: Child, facts: JobFacts, attempts: Sequence[Attempt], now: datetime
) -> _Verdict:
    hindered = hindrance(facts.pods)
    if hindered is None and _makes_no_pod(live, facts.pods):
        hindered = no_pod(live, facts.refusal)
    running: Outcome = (
        "Running" if any(attempt.outcome != "Pending" for attempt in attempts) else "Pending"
    )
    if hindered is None:
        return _Verdict(running)
    if now < hindered.due:
        early = None if hindered.is_ordinary else hindered
        return _Verdict(
            running,
            early.reason if early else None,
            early.message if early else None,
            recheck=hindered.due,
        )
    return _stuck(hindered)


def _stuck(hindered: Hindrance) -> _Verdict:
    return _Verdict("Stuck", hindered.reason, hindered.message)


def needs_refusal(live: Child, pods: Sequence[Child], now: datetime) -> bool:
    """Whether it is time to ask why a Job has no Pod."""
    halted = any(live.condition(kind) for kind in (*_ENDED, "Suspended"))
    return not halted and _makes_no_pod(live, pods) and now >= no_pod(live, None).due


def _makes_no_pod(live: Child, pods: Sequence[Child]) -> bool:
    """Whether the Job controller has made no Pod at all so far."""
    counts = ("active", "succeeded", "failed", "terminating")
    return not pods and not any(live.status.get(count) for count in counts)


def finish_time(job: Child) -> str | None:
    """When the Job ended; None while it has not."""
    # completionTime is set on success only (batch/v1 JobStatus).
    for outcome in _ENDED:
        condition = job.condition(outcome)
        if condition:
            return str(job.status.get("completionTime") or condition["lastTransitionTime"])
    return None


def _judged(entry: Job, status: JobStatus, *, has_problem: bool = False) -> JobStatus:
    expected = expectation(entry)
    as_expected: bool | None = None
    if status.outcome in (*_ENDED, "Stuck"):
        as_expected = status.outcome == expected.outcome and expected.reason in (
            None,
            status.reason,
        )
    elif has_problem:
        as_expected = False
    return msgspec.structs.replace(
        status,
        expected=expected.outcome,
        expected_reason=expected.reason,
        as_expected=as_expected,
    )


def _history(entry: Job, facts: JobFacts, told: JobStatus | None) -> tuple[PastRun, ...]:
    """Earlier runs: those recorded, the one just replaced, and what their Jobs say now."""
    previous = facts.told
    runs = {run.job: run for run in previous.history} if previous else {}
    if previous is not None and told is None and previous.job and previous.uid:
        runs = {previous.job: _past(previous, facts.job)} | runs
    for job in facts.older:
        runs[job.name] = _updated(job, runs.get(job.name))
    newest_first = sorted(runs.values(), key=lambda run: (run.run, run.start_time or ""))[::-1]
    return tuple(newest_first[: entry.history_limit])


def _past(previous: JobStatus, current: str) -> PastRun:
    gone = "Deleted" if previous.job == current else "Replaced"
    ended = previous.outcome in _ENDED
    logs = [attempt.log for attempt in previous.attempts if attempt.log]
    return PastRun(
        job=previous.job or current,
        run=previous.run,
        outcome=previous.outcome if ended else gone,
        reason=previous.reason if ended else None,
        start_time=previous.start_time,
        finish_time=previous.finish_time,
        attempts=len(previous.attempts),
        log=logs[-1] if logs else None,
    )


def _updated(job: Child, known: PastRun | None) -> PastRun:
    """The record of an older run; its Job may have ended since, or never have been recorded."""
    ended = next((name for name in ("Complete", "Failed") if job.condition(name)), None)
    condition = job.condition(ended) if ended else None
    counted = job.status.get("succeeded", 0) + job.status.get("failed", 0)
    return PastRun(
        job=job.name,
        run=job.number(RUN_LABEL) or 1,
        outcome=ended or "Replaced",
        reason=condition.get("reason") if condition else None,
        start_time=job.status.get("startTime"),
        finish_time=finish_time(job),
        attempts=known.attempts if known else counted,
        log=known.log if known else None,
    )
