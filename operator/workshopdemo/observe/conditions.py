"""The judgement over a whole demo as metav1 conditions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from workshopdemo.errors import InvalidSpecError
from workshopdemo.model import (
    Condition,
    CronJobStatus,
    JobStatus,
    LogShippingStatus,
    NotificationsStatus,
    Phase,
    ServiceDiscoveryStatus,
    StatefulSetStatus,
)
from workshopdemo.observe.times import format_time
from workshopdemo.scenarios import Expectation

Entry = JobStatus | CronJobStatus
Whole = LogShippingStatus | ServiceDiscoveryStatus | StatefulSetStatus
ConditionStatus = Literal["True", "False", "Unknown"]

READY: Final = "Ready"
PROGRESSING: Final = "Progressing"
JOBS: Final = "JobsAsExpected"
CRON_JOBS: Final = "CronJobsAsExpected"
LOGS: Final = "LogsShipped"
DISCOVERY: Final = "ServicesDiscovered"
STATEFUL_SET: Final = "StatefulSetReady"
NOTIFICATIONS: Final = "NotificationsDelivered"
SPEC_VALID: Final = "SpecValid"


_SECTIONS: Final = {
    LOGS: "the shipping of logs",
    DISCOVERY: "the discovery of services",
    STATEFUL_SET: "the StatefulSet",
}
"""Sections that are judged as a whole, in words."""

_COMPLAINTS: Final = 3
"""So many refused messages are told in the condition; status.notifications has more."""


@dataclass(frozen=True, kw_only=True)
class Sections:
    """What each section of the spec showed."""

    jobs: Sequence[JobStatus] = ()
    cron_jobs: Sequence[CronJobStatus] = ()
    log_shipping: LogShippingStatus | None = None
    service_discovery: ServiceDiscoveryStatus | None = None
    stateful_set: StatefulSetStatus | None = None
    notifications: NotificationsStatus | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Of spec.jobs and spec.cronJobs."""
        return (*self.jobs, *self.cron_jobs)

    @property
    def verdicts(self) -> list[bool | None]:
        """Of each entry and section, whether it is as expected; None: not known yet."""
        wholes = [section.as_expected for section in self.wholes.values()]
        return [entry.as_expected for entry in self.entries] + wholes

    @property
    def wholes(self) -> dict[str, Whole]:
        """The sections that are judged as a whole, by the type of their condition."""
        found: dict[str, Whole | None] = {
            LOGS: self.log_shipping,
            DISCOVERY: self.service_discovery,
            STATEFUL_SET: self.stateful_set,
        }
        return {kind: section for kind, section in found.items() if section is not None}


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


def judge(seen: Sections, mistakes: Sequence[InvalidSpecError]) -> list[Judgement]:
    """Conditions of a demo whose spec can be read."""
    jobs, cron_jobs = seen.jobs, seen.cron_jobs
    sections = []
    if jobs:
        sections.append(_section(JOBS, "jobs", jobs, [_job_complaint(job) for job in jobs]))
    if cron_jobs:
        complaints = [_cron_job_complaint(cron_job) for cron_job in cron_jobs]
        sections.append(_section(CRON_JOBS, "cron jobs", cron_jobs, complaints))
    sections += [_whole(kind, section) for kind, section in seen.wholes.items()]
    if seen.notifications is not None:
        sections.append(_notifications(seen.notifications))
    moving = [entry.name for entry in seen.entries if entry.as_expected is None]
    moving += [
        _SECTIONS[kind] for kind, section in seen.wholes.items() if section.as_expected is None
    ]
    message = _listed("still to end", moving)
    progressing = (
        Judgement(PROGRESSING, "True", "Unfinished", message)
        if moving
        else Judgement(PROGRESSING, "False", "Settled", "nothing is under way")
    )
    return [_ready(sections), progressing, *sections, _spec_valid(mistakes)]


def _whole(kind: str, section: Whole) -> Judgement:
    status: dict[bool | None, ConditionStatus] = {True: "True", False: "False", None: "Unknown"}
    return Judgement(kind, status[section.as_expected], section.reason, section.message)


def _ready(sections: Sequence[Judgement]) -> Judgement:
    # What went wrong is told before what is still to end.
    unready = sorted(
        (section for section in sections if section.status != "True"),
        key=lambda section: section.status != "False",
    )
    if not unready:
        return Judgement(READY, "True", "AsExpected", "everything is as the lesson expects")
    message = "; ".join(section.message for section in unready)
    return Judgement(READY, "False", unready[0].reason, message)


def _notifications(notifications: NotificationsStatus) -> Judgement:
    """Whether everybody was told. A message that is just under way says nothing against it."""
    troubled = complaints(notifications)
    if troubled:
        return Judgement(NOTIFICATIONS, "False", "NotDelivered", "; ".join(troubled))
    count = notifications.delivered
    told = f"{count} delivered" if count else "nothing was to be told yet"
    return Judgement(NOTIFICATIONS, "True", "Delivered" if count else "NothingToTell", told)


def complaints(notifications: NotificationsStatus | None) -> list[str]:
    """What keeps messages from their receivers, each in a sentence that names the target."""
    if notifications is None:
        return []
    found = []
    troubled = set()
    for target in notifications.targets:
        if target.state in ("Retrying", "Refused"):
            troubled.add(target.name)
            waiting = f" ({target.waiting} waiting)" if target.waiting else ""
            found.append(f"{target.name}: {target.message}{waiting}")
    lost = [
        one for one in notifications.recent if one.state == "Failed" and one.target not in troubled
    ]
    found += [
        f"{one.target}: {one.outcome} of {one.of} was not delivered: {one.message}"
        for one in lost[-_COMPLAINTS:]
    ]
    return found


def _spec_valid(mistakes: Sequence[InvalidSpecError]) -> Judgement:
    if mistakes:
        return Judgement(SPEC_VALID, "False", "InvalidSpec", "; ".join(map(str, mistakes)))
    return Judgement(SPEC_VALID, "True", "Valid", "the spec can be carried out as it is")


def judge_invalid(error: InvalidSpecError) -> list[Judgement]:
    """Conditions of a demo whose spec cannot be carried out."""
    until = f"nothing is done until {error.waits_for}"
    return [
        Judgement(READY, "False", error.reason, str(error)),
        Judgement(PROGRESSING, "False", error.reason, until),
        Judgement(SPEC_VALID, "False", error.reason, str(error)),
    ]


def _section(
    kind: str,
    what: str,
    entries: Sequence[Entry],
    complaints: Sequence[str],
) -> Judgement:
    wrong = [
        complaint
        for entry, complaint in zip(entries, complaints, strict=True)
        if entry.as_expected is False
    ]
    moving = [entry.name for entry in entries if entry.as_expected is None]
    if wrong:
        return Judgement(kind, "False", "NotAsExpected", "; ".join(wrong))
    if moving:
        return Judgement(kind, "Unknown", "Unfinished", _listed("still to end", moving))
    return Judgement(
        kind, "True", "AsExpected", f"{len(entries)}/{len(entries)} {what} as expected"
    )


def _job_complaint(job: JobStatus) -> str:
    wanted = Expectation(job.expected, job.expected_reason)
    got = f"{job.outcome} ({job.reason})" if job.reason else job.outcome
    because = f": {job.message}" if job.message else ""
    return f"{job.name} should be {wanted} but is {got}{because}"


def _cron_job_complaint(cron_job: CronJobStatus) -> str:
    because = f" ({cron_job.reason})" if cron_job.reason else ""
    return f"{cron_job.name} should be {cron_job.expected}{because}: {cron_job.message}"


def _listed(what: str, entries: Sequence[str]) -> str:
    return f"{what}: {', '.join(entries)}"


def phase(seen: Sections) -> Phase:
    """Where the lesson stands."""
    if False in seen.verdicts or complaints(seen.notifications):
        return "Degraded"
    if all(seen.verdicts):
        return "Ready"
    begun = any(job.outcome != "Pending" for job in seen.jobs)
    begun |= any(one.covered for one in (seen.log_shipping, seen.service_discovery) if one)
    begun |= seen.stateful_set is not None and bool(seen.stateful_set.steps)
    if not begun and not any(cron_job.runs for cron_job in seen.cron_jobs):
        return "Pending"
    return "Progressing"


def summary(seen: Sections) -> str:
    """The whole demo in a line."""
    jobs, cron_jobs = seen.jobs, seen.cron_jobs
    parts = []
    sections: dict[str, Sequence[Entry]] = {"jobs": jobs, "cron jobs": cron_jobs}
    for what, entries in sections.items():
        if entries:
            expected = sum(1 for entry in entries if entry.as_expected)
            parts.append(f"{expected}/{len(entries)} {what} as expected")
    words = {"Running": "running", "Pending": "pending", "Suspended": "suspended"}
    for outcome, word in words.items():
        count = sum(1 for job in jobs if job.outcome == outcome and job.as_expected is None)
        if count:
            parts.append(f"{count} {word}")
    active = sum(cron_job.active for cron_job in cron_jobs)
    if active:
        parts.append(f"{active} runs go on" if active > 1 else "1 run goes on")
    parts += [
        f"{job.name}: {job.reason or job.outcome}" for job in jobs if job.as_expected is False
    ]
    parts += [
        f"{cron_job.name}: {cron_job.reason or cron_job.last_outcome}"
        for cron_job in cron_jobs
        if cron_job.as_expected is False
    ]
    if seen.log_shipping is not None:
        parts.append(_shipping_words(seen.log_shipping))
    if seen.service_discovery is not None:
        parts.append(_discovery_words(seen.service_discovery))
    if seen.stateful_set is not None:
        parts.append(_stateful_set_words(seen.stateful_set))
    if seen.notifications is not None:
        counts = {
            "notified": seen.notifications.delivered,
            "waiting": seen.notifications.pending,
            "not delivered": seen.notifications.failed,
        }
        parts += [f"{count} {word}" for word, count in counts.items() if count]
    return " · ".join(parts)


def _shipping_words(shipping: LogShippingStatus) -> str:
    words = f"logs {shipping.covered}/{shipping.desired} nodes"
    if shipping.as_expected is False:
        return f"{words}: {shipping.reason}"
    if shipping.as_expected is None and shipping.received is not None:
        return f"{words}, {shipping.received} of {shipping.written} lines"
    return words


def _discovery_words(discovery: ServiceDiscoveryStatus) -> str:
    words = f"discovery {discovery.covered}/{discovery.desired} nodes"
    if discovery.as_expected is False:
        return f"{words}: {discovery.reason}"
    if not discovery.services:
        return words
    alike = sum(
        1 for one in discovery.services if not (one.only_agents or one.only_endpoint_slices)
    )
    return f"{words}, {alike}/{len(discovery.services)} services agree"


def _stateful_set_words(stateful_set: StatefulSetStatus) -> str:
    what = "database" if stateful_set.scenario == "Postgres" else "diary"
    words = f"{what} {stateful_set.ready}/{stateful_set.replicas}"
    return f"{words}: {stateful_set.reason}" if stateful_set.as_expected is False else words
