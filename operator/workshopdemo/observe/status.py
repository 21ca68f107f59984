"""Everything seen → the whole status, within its size."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from workshopdemo.errors import InvalidSpecError
from workshopdemo.model import Attempt, JobStatus, PastRun, Status, Story, WorkshopDemo
from workshopdemo.observe.conditions import dated, judge, judge_invalid, phase, summary
from workshopdemo.observe.jobs import JobFacts, observe_job
from workshopdemo.observe.text import shorten

_Logged = TypeVar("_Logged", Attempt, PastRun)

LOG_LIMIT: Final = 1024
"""Bytes of log told of one attempt."""

LOG_BUDGET: Final = 20 * 1024
"""Bytes of log told of one demo: its status has to stay readable, and under 64 KiB."""

_ATTEMPTS_EACH: Final = 7
_ATTEMPTS_ALL: Final = 80
_ATTEMPTS_LEAST: Final = 3
_SUMMARY_LIMIT: Final = 256
_MESSAGE_LIMIT: Final = 1024


@dataclass(frozen=True)
class Observation:
    """The status, and when to look again although nothing may have happened by then."""

    status: Status
    recheck: datetime | None


def observe(
    demo: WorkshopDemo,
    facts: Mapping[str, JobFacts],
    story: Sequence[Story],
    now: datetime,
) -> Observation:
    """The status of a demo whose spec is valid; `facts` by name of entry."""
    entries = demo.spec.jobs
    keep = max(_ATTEMPTS_LEAST, min(_ATTEMPTS_EACH, _ATTEMPTS_ALL // max(len(entries), 1)))
    seen = [observe_job(entry, facts[entry.name], now, keep) for entry in entries]
    jobs = _within_budget([status for status, _ in seen])
    due = [recheck for _, recheck in seen if recheck is not None]
    status = Status(
        observed_generation=demo.generation,
        phase=phase(jobs),
        summary=shorten_end(summary(jobs), _SUMMARY_LIMIT),
        conditions=tuple(
            msgspec.structs.replace(
                condition, message=shorten_end(condition.message, _MESSAGE_LIMIT)
            )
            for condition in dated(judge(jobs), demo.status.conditions, demo.generation, now)
        ),
        jobs=jobs,
        story=tuple(story),
    )
    return Observation(status, min(due, default=None))


def invalid_status(told: Status, generation: int, error: InvalidSpecError, now: datetime) -> Status:
    """The status of a demo whose spec cannot be carried out; what was shown before stays told."""
    return msgspec.structs.replace(
        told,
        observed_generation=generation,
        phase="Invalid",
        summary=shorten_end(str(error), _SUMMARY_LIMIT),
        conditions=dated(judge_invalid(error), told.conditions, generation, now),
    )


def shorten_end(text: str, limit: int) -> str:
    """The beginning of the text in at most `limit` characters, marked where it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _within_budget(jobs: Iterable[JobStatus]) -> tuple[JobStatus, ...]:
    """Cut the logs so that all fit; the more there are, the shorter each."""
    jobs = tuple(jobs)
    count = sum(len(job.attempts) + len(job.history) for job in jobs)
    limit = min(LOG_LIMIT, LOG_BUDGET // count) if count else LOG_LIMIT
    return tuple(
        msgspec.structs.replace(
            job,
            message=shorten_end(job.message, _SUMMARY_LIMIT) if job.message else None,
            attempts=tuple(_cut(attempt, limit) for attempt in job.attempts),
            history=tuple(_cut(run, limit) for run in job.history),
        )
        for job in jobs
    )


def _cut(told: _Logged, limit: int) -> _Logged:
    if told.log is None:
        return told
    return msgspec.structs.replace(told, log=shorten(told.log, limit))
