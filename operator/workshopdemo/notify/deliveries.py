"""Outcomes × targets → deliveries, and what the status tells of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from workshopdemo.model import (
    CronJobStatus,
    Delivery,
    JobStatus,
    NotificationsStatus,
    Run,
    Target,
    TargetStatus,
    WorkshopDemo,
)
from workshopdemo.notify.compose import compose, delivery_id
from workshopdemo.notify.message import Message
from workshopdemo.notify.outcomes import Happening, end_of, happenings, newest, remembered
from workshopdemo.notify.wire import Dialect, TargetKind
from workshopdemo.observe import Observation, parse_time

RECENT: Final = 20
"""Settled deliveries that stay on the status."""

WAITING: Final = 100
"""Deliveries that may wait at the same time; the oldest beyond that are given up, visibly."""

GIVE_UP_AFTER: Final = timedelta(hours=24)
"""So long a delivery is tried; after that nobody wants to hear of it (design, section 5)."""

OPEN: Final = ("Pending", "Refused")
"""States of a delivery that is still to be made."""

_LOST: Final = ("Failed", "Refused")


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A delivery with all that is needed to make it."""

    delivery: Delivery
    target: Target
    message: Message
    cron_job: str | None
    """Name of the CronJob whose run it is about."""

    @property
    def id(self) -> str:
        """Identity of the delivery."""
        return self.delivery.id

    @property
    def key(self) -> str:
        """Key of its mark on its Job."""
        return end_of(self.delivery.outcome)

    @property
    def far_key(self) -> str:
        """Key of its mark on its CronJob, where there is no Job (any more)."""
        return f"{self.delivery.job or self.delivery.time}/{self.key}"


@dataclass(frozen=True, kw_only=True)
class LineState:
    """How a target does, as the courier sees it."""

    state: str
    message: str | None


def kind_of(target: Target) -> TargetKind:
    """The field of the target that is set."""
    if target.inbox is not None:
        return "inbox"
    if target.slack is not None:
        return "slack"
    if target.google_chat is not None:
        return "googleChat"
    return "alertmanager" if target.alertmanager is not None else "webhook"


def dialect_of(target: Target) -> Dialect:
    """The language that the target speaks."""
    if target.inbox is not None:
        return target.inbox.dialect
    dialects: dict[TargetKind, Dialect] = {
        "slack": "Slack",
        "googleChat": "GoogleChat",
        "alertmanager": "Alertmanager",
        "webhook": "Webhook",
    }
    return dialects[kind_of(target)]


def letters(demo: WorkshopDemo, seen: Observation) -> list[Letter]:
    """Every delivery that is still to be made: those told as open, and those of new outcomes."""
    found = _open_letters(demo, seen)
    for happening in happenings(demo, seen):
        for target in demo.spec.notifications.targets:
            letter = _letter(demo, happening, target, found)
            if letter is not None and all(letter.id != known.id for known in found):
                found.append(letter)
    return found


def _open_letters(demo: WorkshopDemo, seen: Observation) -> list[Letter]:
    targets = {target.name: target for target in demo.spec.notifications.targets}
    told = demo.status.notifications
    found = []
    for delivery in told.recent if told else ():
        if delivery.state not in OPEN or delivery.target not in targets:
            continue
        happening = remembered(demo, seen, delivery)
        if happening is not None:
            found.append(_addressed(demo, happening, delivery, targets[delivery.target]))
    return found


def _letter(
    demo: WorkshopDemo, happening: Happening, target: Target, before: Sequence[Letter]
) -> Letter | None:
    """The letter about a new outcome; None if this target does not want to know."""
    entry = happening.entry
    if entry.notify is not None and target.name not in entry.notify:
        return None
    notice = happening.notice
    if happening.end == "Success":
        if dialect_of(target) == "Alertmanager":
            # An alert that never fired cannot be resolved: Alertmanager would say nothing.
            if entry.name not in _alarmed(demo, target, before):
                return None
        elif notice not in entry.notify_on:
            notice = "Success"
            if notice not in entry.notify_on:
                return None
    elif notice not in entry.notify_on:
        return None
    delivery = Delivery(
        id=delivery_id(happening.identity, happening.end, target.name),
        of=entry.name,
        job=happening.record.job,
        outcome=notice,
        target=target.name,
        state="Pending",
        time=happening.time,
        reason=happening.record.reason,
    )
    return _addressed(demo, happening, delivery, target)


def _addressed(
    demo: WorkshopDemo, happening: Happening, delivery: Delivery, target: Target
) -> Letter:
    status = happening.status
    return Letter(
        delivery=delivery,
        target=target,
        message=compose(demo, happening, delivery.outcome, delivery.id),
        cron_job=status.cron_job if isinstance(status, CronJobStatus) else None,
    )


def _alarmed(demo: WorkshopDemo, target: Target, letters: Iterable[Letter]) -> set[str]:
    """Entries of which this Alertmanager has heard, or is to hear, that something is wrong."""
    told = demo.status.notifications
    states = {state.name: state for state in told.targets} if told else {}
    firing = states[target.name].firing if target.name in states else ()
    return {alert_entry(alert) for alert in firing} | {
        letter.delivery.of
        for letter in letters
        if letter.target.name == target.name and letter.key != "Success"
    }


def alert_name(delivery: Delivery) -> str:
    """How a firing alert is told on the status."""
    return f"{delivery.of}/{end_of(delivery.outcome)}"


def alert_entry(alert: str) -> str:
    """The entry that a firing alert is about."""
    return alert.partition("/")[0]


def with_notified(seen: Observation, made: Iterable[Letter]) -> Observation:
    """Note on each Job and run of which outcomes there are messages."""
    notes: dict[tuple[str, str], list[str]] = {}
    for letter in made:
        known = notes.setdefault((letter.delivery.of, letter.delivery.job or ""), [])
        if letter.key not in known:
            known.append(letter.key)
    if not notes:
        return seen
    return replace(
        seen,
        jobs=tuple(_noted_job(status, notes) for status in seen.jobs),
        cron_jobs=tuple(
            msgspec.structs.replace(
                status, runs=tuple(_noted_run(status.name, run, notes) for run in status.runs)
            )
            for status in seen.cron_jobs
        ),
    )


def _noted_job(status: JobStatus, notes: Mapping[tuple[str, str], list[str]]) -> JobStatus:
    new = notes.get((status.name, status.job or ""), [])
    notified = (*status.notified, *(end for end in new if end not in status.notified))
    return msgspec.structs.replace(status, notified=notified)


def _noted_run(entry: str, run: Run, notes: Mapping[tuple[str, str], list[str]]) -> Run:
    if run.job is None:
        return run
    new = notes.get((entry, run.job), [])
    notified = (*run.notified, *(end for end in new if end not in run.notified))
    return msgspec.structs.replace(run, notified=notified)


def tally(
    demo: WorkshopDemo,
    current: Sequence[Delivery],
    lines: Mapping[str, LineState],
    now: datetime,
) -> NotificationsStatus:
    """What the status tells of deliveries.

    Args:
        demo: with its status as it was told.
        current: every open delivery and every new one, as they stand now.
        lines: how targets do, by name; one that is missing does as it was told.
        now: the time of day.
    """
    told = demo.status.notifications or NotificationsStatus(delivered=0, pending=0, failed=0)
    targets = demo.spec.notifications.targets
    entries = {entry.name for entry in (*demo.spec.jobs, *demo.spec.cron_jobs)}
    before = {delivery.id: delivery for delivery in told.recent}
    after = {delivery.id: delivery for delivery in current}
    everything = [
        after.get(one.id) or _left(one) for one in told.recent
    ] + [one for one in current if one.id not in before]  # fmt: skip
    everything = _bounded([_given_up(one, now) for one in everything])
    changes = [(before.get(one.id), one) for one in everything]
    return NotificationsStatus(
        delivered=told.delivered + _count(changes, ("Delivered",)),
        pending=sum(1 for one in everything if one.state == "Pending"),
        failed=told.failed + _count(changes, _LOST),
        targets=tuple(
            _target_status(target, told, changes, lines.get(target.name), entries)
            for target in targets
        ),
        recent=_recent(everything),
    )


def _left(delivery: Delivery) -> Delivery:
    """A delivery of before that nobody makes any more: its target or its entry was removed."""
    if delivery.state in OPEN:
        return msgspec.structs.replace(delivery, state="Withdrawn")
    return delivery


def _given_up(delivery: Delivery, now: datetime) -> Delivery:
    is_old = delivery.attempts and now - parse_time(delivery.time) > GIVE_UP_AFTER
    if delivery.state not in OPEN or not is_old:
        return delivery
    last = f"; the last answer: {delivery.message}" if delivery.message else ""
    return msgspec.structs.replace(delivery, state="Failed", message=f"given up after a day{last}")


def _bounded(deliveries: list[Delivery]) -> list[Delivery]:
    waiting = [one.id for one in deliveries if one.state in OPEN]
    beyond = set(waiting[: max(len(waiting) - WAITING, 0)])
    return [
        msgspec.structs.replace(
            one, state="Failed", message=f"given up: more than {WAITING} messages waited"
        )
        if one.id in beyond
        else one
        for one in deliveries
    ]


def _count(changes: Iterable[tuple[Delivery | None, Delivery]], states: Sequence[str]) -> int:
    """How many more deliveries are in one of these states than were told."""
    return sum(
        (after.state in states) - (before is not None and before.state in states)
        for before, after in changes
    )


def _recent(deliveries: Sequence[Delivery]) -> tuple[Delivery, ...]:
    settled = [one.id for one in deliveries if one.state not in OPEN]
    dropped = set(settled[: max(len(settled) - RECENT, 0)])
    return tuple(one for one in deliveries if one.id not in dropped)


def _target_status(
    target: Target,
    told: NotificationsStatus,
    changes: Sequence[tuple[Delivery | None, Delivery]],
    line: LineState | None,
    entries: Collection[str],
) -> TargetStatus:
    before = next(
        (state for state in told.targets if state.name == target.name),
        TargetStatus(name=target.name, kind=kind_of(target), state="Idle"),
    )
    own = [(was, now) for was, now in changes if now.target == target.name]
    delivered = before.delivered + _count(own, ("Delivered",))
    status = msgspec.structs.replace(
        before,
        kind=kind_of(target),
        delivered=delivered,
        waiting=sum(1 for _, now in own if now.state in OPEN),
        firing=tuple(
            alert for alert in _firing(before.firing, own) if alert_entry(alert) in entries
        )
        if dialect_of(target) == "Alertmanager"
        else (),
    )
    if line is not None:
        status = msgspec.structs.replace(status, state=line.state, message=line.message)
    elif status.state == "Idle" and delivered:
        status = msgspec.structs.replace(status, state="Delivering")
    return status


def _firing(
    before: tuple[str, ...], changes: Iterable[tuple[Delivery | None, Delivery]]
) -> tuple[str, ...]:
    firing = list(before)
    for was, now in changes:
        if now.state != "Delivered" or (was is not None and was.state == "Delivered"):
            continue
        if end_of(now.outcome) == "Success":
            firing = [alert for alert in firing if alert_entry(alert) != now.of]
        elif alert_name(now) not in firing:
            firing.append(alert_name(now))
    return tuple(firing)


def alerts(demo: WorkshopDemo, seen: Observation) -> dict[str, dict[str, Message]]:
    """Alerts that fire now, by target and as they are told.

    An Alertmanager forgets what it is not told again (resolve_timeout, endsAt).
    """
    told = demo.status.notifications
    found: dict[str, dict[str, Message]] = {}
    for state in told.targets if told else ():
        for alert in state.firing:
            happening = newest(demo, seen, alert_entry(alert), alert.partition("/")[2])
            if happening is not None:
                identifier = delivery_id("alert", alert, state.name)
                message = compose(demo, happening, happening.end, identifier)
                found.setdefault(state.name, {})[alert] = message
    return found
