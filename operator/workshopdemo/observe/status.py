"""Everything seen → the whole status, within its size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from workshopdemo.errors import InvalidSpecError
from workshopdemo.model import (
    Attempt,
    CronJobStatus,
    JobStatus,
    LogShippingStatus,
    NotificationsStatus,
    PastRun,
    Run,
    ServiceDiscoveryStatus,
    StatefulSetStatus,
    Status,
    Story,
    WorkshopDemo,
)
from workshopdemo.observe.conditions import Sections, dated, judge, judge_invalid, phase, summary
from workshopdemo.observe.cronjobs import CronJobFacts, observe_cron_job
from workshopdemo.observe.discovery import DiscoveryFacts, observe_discovery
from workshopdemo.observe.fitting import fit_rows, size_of
from workshopdemo.observe.jobs import JobFacts, observe_job
from workshopdemo.observe.logqueries import with_log_queries
from workshopdemo.observe.logshipping import LogShippingFacts, observe_log_shipping
from workshopdemo.observe.statefulset import StatefulSetFacts, observe_stateful_set
from workshopdemo.observe.text import MESSAGE_LIMIT, shorten, shorten_end
from workshopdemo.observe.times import earliest

_Logged = TypeVar("_Logged", Attempt, PastRun, Run)

LOG_LIMIT: Final = 1024
"""Bytes of log told of one attempt."""

LOG_BUDGET: Final = 20 * 1024
"""Bytes of log told of one demo: its status has to stay readable, and under 64 KiB."""

_LEAST_LOGS: Final = 4 * 1024
_LEAST_ROWS: Final = 16 * 1024
"""Where both are many, logs and rows of nodes share what room there is."""

_AGENT_ROWS: Final = 8 * 1024
"""Bytes of rows of nodes and their agents: they are much alike, so some of very many will do."""

_ROOM: Final = 54 * 1024
"""Bytes of a status beside its conditions and messages."""

_ATTEMPTS_EACH: Final = 7
_ATTEMPTS_ALL: Final = 80
_ATTEMPTS_LEAST: Final = 3
_RUN_LOGS: Final = 5
"""Of so many runs of a CronJob the log is told."""

_SUMMARY_LIMIT: Final = 256


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What was seen of a demo, in full: logs uncut, runs however old."""

    jobs: tuple[JobStatus, ...]
    cron_jobs: tuple[CronJobStatus, ...]
    log_shipping: LogShippingStatus | None
    service_discovery: ServiceDiscoveryStatus | None = None
    stateful_set: StatefulSetStatus | None = None
    runs: Mapping[str, Sequence[Run]]
    """All runs known of each entry of spec.cronJobs, the newest first."""

    mistakes: tuple[InvalidSpecError, ...]
    recheck: datetime | None
    """When to look again although nothing may have happened by then."""


def observe(
    demo: WorkshopDemo,
    facts: Mapping[str, JobFacts],
    cron_facts: Mapping[str, CronJobFacts],
    now: datetime,
    shipping_facts: LogShippingFacts | None = None,
    *,
    discovery_facts: DiscoveryFacts | None = None,
    stateful_set_facts: StatefulSetFacts | None = None,
) -> Observation:
    """See how the sections of a demo do; facts of entries by their name."""
    entries, cron_entries = demo.spec.jobs, demo.spec.cron_jobs
    keep = max(_ATTEMPTS_LEAST, min(_ATTEMPTS_EACH, _ATTEMPTS_ALL // max(len(entries), 1)))
    seen = [observe_job(entry, facts[entry.name], now, keep) for entry in entries]
    cron_seen = [observe_cron_job(entry, cron_facts[entry.name], now) for entry in cron_entries]
    due = [recheck for _, recheck in seen] + [one.recheck for one in cron_seen]
    shipping = None
    if demo.spec.log_shipping is not None and shipping_facts is not None:
        shipping, recheck = observe_log_shipping(demo.spec.log_shipping, shipping_facts, now)
        due.append(recheck)
    discovery = None
    if demo.spec.service_discovery is not None and discovery_facts is not None:
        discovery, recheck = observe_discovery(demo.spec.service_discovery, discovery_facts, now)
        due.append(recheck)
    stateful_set = None
    if stateful_set_facts is not None:
        stateful_set, recheck = observe_stateful_set(stateful_set_facts, now)
        due.append(recheck)
    mistakes = (known.mistake for known in cron_facts.values())
    return Observation(
        jobs=tuple(status for status, _ in seen),
        cron_jobs=tuple(one.status for one in cron_seen),
        log_shipping=shipping,
        service_discovery=discovery,
        stateful_set=stateful_set,
        runs={one.status.name: one.runs for one in cron_seen},
        mistakes=tuple(mistake for mistake in mistakes if mistake is not None),
        recheck=earliest(due),
    )


def status_of(
    demo: WorkshopDemo,
    seen: Observation,
    notifications: NotificationsStatus | None,
    story: Sequence[Story],
    now: datetime,
) -> Status:
    """The status of a demo whose spec can be read."""
    aggregator = seen.log_shipping.aggregator if seen.log_shipping else None
    jobs, cron_jobs = with_log_queries(demo, aggregator, seen.jobs, seen.cron_jobs)
    whole = Sections(
        jobs=jobs,
        cron_jobs=cron_jobs,
        log_shipping=seen.log_shipping,
        service_discovery=seen.service_discovery,
        stateful_set=seen.stateful_set,
        notifications=notifications,
    )
    sections = _within_room(whole, size_of(story))
    judgements = judge(sections, seen.mistakes)
    return Status(
        observed_generation=demo.generation,
        phase=phase(sections),
        summary=shorten_end(summary(sections), _SUMMARY_LIMIT),
        conditions=tuple(
            msgspec.structs.replace(one, message=shorten_end(one.message, MESSAGE_LIMIT))
            for one in dated(judgements, demo.status.conditions, demo.generation, now)
        ),
        jobs=tuple(sections.jobs),
        cron_jobs=tuple(sections.cron_jobs),
        log_shipping=sections.log_shipping,
        service_discovery=sections.service_discovery,
        stateful_set=sections.stateful_set,
        notifications=notifications,
        story=tuple(story),
    )


def invalid_status(told: Status, generation: int, error: InvalidSpecError, now: datetime) -> Status:
    """The status of a demo whose spec cannot be carried out; what was shown before stays told."""
    return msgspec.structs.replace(
        told,
        observed_generation=generation,
        phase="Invalid",
        summary=shorten_end(str(error), _SUMMARY_LIMIT),
        conditions=dated(judge_invalid(error), told.conditions, generation, now),
    )


def _within_room(whole: Sections, taken: int) -> Sections:
    """Cut logs and rows of nodes so that all fit."""
    jobs, cron_jobs = _within_budget(whole.jobs, whole.cron_jobs, LOG_BUDGET)
    shipping, discovery = whole.log_shipping, whole.service_discovery
    if discovery is not None:
        discovery = fit_rows(discovery, _AGENT_ROWS)
    if shipping is not None:
        rest = [jobs, cron_jobs, discovery, whole.stateful_set, whole.notifications]
        room = _ROOM - taken - sum(map(size_of, rest))
        shipping = fit_rows(shipping, max(room, _LEAST_ROWS))
        over = size_of([shipping.nodes, shipping.uncovered]) - room
        if over > 0:
            budget = max(LOG_BUDGET - over, _LEAST_LOGS)
            jobs, cron_jobs = _within_budget(whole.jobs, whole.cron_jobs, budget)
    return replace(
        whole,
        jobs=jobs,
        cron_jobs=cron_jobs,
        log_shipping=shipping,
        service_discovery=discovery,
    )


def _within_budget(
    jobs: Sequence[JobStatus], cron_jobs: Sequence[CronJobStatus], budget: int
) -> tuple[tuple[JobStatus, ...], tuple[CronJobStatus, ...]]:
    """Cut the logs so that all fit; the more there are, the shorter each."""
    cron_jobs = [_without_old_logs(cron_job) for cron_job in cron_jobs]
    told: list[Attempt | PastRun | Run] = []
    for job in jobs:
        told += [*job.attempts, *job.history]
    for cron_job in cron_jobs:
        told += cron_job.runs
    count = sum(1 for one in told if one.log)
    limit = min(LOG_LIMIT, budget // count) if count else LOG_LIMIT
    return (
        tuple(
            msgspec.structs.replace(
                job,
                message=_cut_message(job.message),
                attempts=tuple(_cut(attempt, limit) for attempt in job.attempts),
                history=tuple(_cut(run, limit) for run in job.history),
            )
            for job in jobs
        ),
        tuple(
            msgspec.structs.replace(
                cron_job,
                message=_cut_message(cron_job.message),
                runs=tuple(_cut(run, limit) for run in cron_job.runs),
            )
            for cron_job in cron_jobs
        ),
    )


def _without_old_logs(cron_job: CronJobStatus) -> CronJobStatus:
    # An empty log instead of none: it was read, and is not to be read again.
    runs = [
        msgspec.structs.replace(run, log="") if index >= _RUN_LOGS and run.log else run
        for index, run in enumerate(cron_job.runs)
    ]
    return msgspec.structs.replace(cron_job, runs=tuple(runs))


def _cut_message(message: str | None) -> str | None:
    return shorten_end(message, _SUMMARY_LIMIT) if message else None


def _cut(told: _Logged, limit: int) -> _Logged:
    if told.log is None:
        return told
    return msgspec.structs.replace(told, log=shorten(told.log, limit))
