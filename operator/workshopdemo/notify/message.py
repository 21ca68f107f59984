"""What is told of one outcome: everything a tired person needs at 02:00, in no dialect yet."""

from dataclasses import dataclass
from typing import Literal

from workshopdemo.model import Notice

Kind = Literal["Job", "CronJob"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One outcome. Every text in it is a stranger's: each dialect escapes and cuts it."""

    id: str
    """The same for every try and every target: what receivers drop repeats by. A UUID."""

    outcome: Notice
    kind: Kind
    """Kind of the entry."""

    namespace: str
    demo: str
    entry: str
    """Name of the entry in the demo's spec."""

    thread: str
    """What belongs together: UID of the CronJob, else of the demo with the entry's name."""

    headline: str
    """A sentence: `nightly-report failed for the third time in a row`."""

    time: str
    """When it happened, RFC 3339 in UTC."""

    job: str | None = None
    job_uid: str | None = None
    scheduled: str | None = None
    """Time by the schedule, in words, in the CronJob's own time zone too."""

    since: str | None = None
    """Since when it has been so, in words: the first failure in a row, the last success."""

    first_failure: str | None = None
    """When the first of the failures in a row ended, RFC 3339; an alert starts there."""

    failures: int = 0
    """How many runs in a row have failed, this one included."""

    reason: str | None = None
    """Kubernetes' word, such as BackoffLimitExceeded."""

    why: str | None = None
    """The reason in a sentence."""

    exit_code: int | None = None
    node: str | None = None
    attempts: int = 0
    started: str | None = None
    finished: str | None = None
    duration: str | None = None
    """In words: `1 min 12 s`."""

    next_run: str | None = None
    """In words."""

    lesson: str | None = None
    """Whether the lesson expects this, in a sentence."""

    log: str = ""
    """The last lines of the last attempt's log."""

    commands: tuple[str, ...] = ()
    """What to type next."""

    may_repeat: bool = False
    """An earlier try got no answer: the receiver may have this already."""


def facts(message: Message) -> list[tuple[str, str]]:
    """What is known, as labels and values, the most important first. Nothing unknown is named."""
    where = [f"namespace {message.namespace}", f"demo {message.demo}"]
    if message.job:
        where.append(f"Job {message.job}")
    if message.node:
        where.append(f"node {message.node}")
    why = " · ".join(part for part in (message.reason, message.why) if part)
    found = [
        ("Why", why),
        ("Exit code", str(message.exit_code or "")),
        ("Where", ", ".join(where)),
        ("When", message.time),
        ("Scheduled", message.scheduled or ""),
        ("Since", message.since or ""),
        ("Attempts", str(message.attempts) if message.attempts else ""),
        ("Took", message.duration or ""),
        ("Next run", message.next_run or ""),
        ("Lesson", message.lesson or ""),
    ]
    return [(label, value) for label, value in found if value]
