"""The judgement over a whole demo as metav1 conditions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from workshopdemo.errors import InvalidSpecError
from workshopdemo.model import Condition, JobStatus, Phase
from workshopdemo.observe.times import format_time

ConditionStatus = Literal["True", "False", "Unknown"]

READY: Final = "Ready"
PROGRESSING: Final = "Progressing"
JOBS: Final = "JobsAsExpected"
SPEC_VALID: Final = "SpecValid"


@dataclass(frozen=True)
class Judgement:
    """A condition before it knows since when."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


def dated(
    judgements: Sequence[Judgement],
    before: Sequence[Condition],
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """Conditions; lastTransitionTime moves only when the status flips (metav1.Condition)."""
    since = {(old.type, old.status): old.last_transition_time for old in before}
    return tuple(
        Condition(
            type=judgement.type,
            status=judgement.status,
            observed_generation=generation,
            last_transition_time=since.get((judgement.type, judgement.status), format_time(now)),
            reason=judgement.reason,
            message=judgement.message,
        )
        for judgement in judgements
    )


def judge(jobs: Sequence[JobStatus]) -> list[Judgement]:
    """Conditions of a demo whose spec is valid."""
    of_jobs = _jobs(jobs)
    moving = [job.name for job in jobs if job.as_expected is None]
    if moving:
        progressing = Judgement(
            PROGRESSING, "True", "JobsUnfinished", _listed("still to end", moving)
        )
    else:
        progressing = Judgement(PROGRESSING, "False", "Settled", "nothing is under way")
    if of_jobs.status == "True":
        ready = Judgement(READY, "True", "AsExpected", "everything is as the lesson expects")
    else:
        ready = Judgement(READY, "False", of_jobs.reason, of_jobs.message)
    valid = Judgement(SPEC_VALID, "True", "Valid", "the spec can be carried out as it is")
    return [ready, progressing, of_jobs, valid]


def judge_invalid(error: InvalidSpecError) -> list[Judgement]:
    """Conditions of a demo whose spec cannot be carried out."""
    return [
        Judgement(READY, "False", "InvalidSpec", str(error)),
        Judgement(PROGRESSING, "False", "InvalidSpec", "nothing is done until the spec is mended"),
        Judgement(SPEC_VALID, "False", "InvalidSpec", str(error)),
    ]


def _jobs(jobs: Sequence[JobStatus]) -> Judgement:
    wrong = [job for job in jobs if job.as_expected is False]
    moving = [job.name for job in jobs if job.as_expected is None]
    if wrong:
        return Judgement(JOBS, "False", "NotAsExpected", "; ".join(map(_complaint, wrong)))
    if moving:
        return Judgement(JOBS, "Unknown", "Unfinished", _listed("still to end", moving))
    return Judgement(JOBS, "True", "AsExpected", f"{len(jobs)}/{len(jobs)} jobs as expected")


def _complaint(job: JobStatus) -> str:
    wanted = f"{job.expected} ({job.expected_reason})" if job.expected_reason else job.expected
    got = f"{job.outcome} ({job.reason})" if job.reason else job.outcome
    because = f": {job.message}" if job.message else ""
    return f"{job.name} should be {wanted} but is {got}{because}"


def _listed(what: str, entries: Sequence[str]) -> str:
    return f"{what}: {', '.join(entries)}"


def phase(jobs: Sequence[JobStatus]) -> Phase:
    """Where the lesson stands."""
    if any(job.as_expected is False for job in jobs):
        return "Degraded"
    if all(job.as_expected for job in jobs):
        return "Ready"
    if all(job.outcome == "Pending" for job in jobs):
        return "Pending"
    return "Progressing"


def summary(jobs: Sequence[JobStatus]) -> str:
    """The whole demo in a line."""
    expected = sum(1 for job in jobs if job.as_expected)
    parts = [f"{expected}/{len(jobs)} jobs as expected"]
    words = {"Running": "running", "Pending": "pending", "Suspended": "suspended"}
    for outcome, word in words.items():
        count = sum(1 for job in jobs if job.outcome == outcome and job.as_expected is None)
        if count:
            parts.append(f"{count} {word}")
    parts += [
        f"{job.name}: {job.reason or job.outcome}" for job in jobs if job.as_expected is False
    ]
    return " · ".join(parts)
