"""Alertmanager's API v2: an alert fires from the first failure to the next success.

Alertmanager knows an alert by its labels alone. So what differs from run to run is an annotation:
as a label it would be another alert each time, which nobody resolves.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from workshopdemo.model import Notice
from workshopdemo.notify.dialects import text
from workshopdemo.notify.dialects.answers import unless_page
from workshopdemo.notify.dialects.credentials import authorization
from workshopdemo.notify.dialects.text import PLAIN
from workshopdemo.notify.dialects.times import moment, rfc3339
from workshopdemo.notify.message import Kind, Message
from workshopdemo.notify.wire import Answer, Credentials, HttpRequest, Verdict

RESEND_SECONDS: Final = 60.0
"""How often a firing alert is told again, as Prometheus does (`rules.alert.resend-delay`)."""

HOLD: Final = timedelta(seconds=4 * RESEND_SECONDS)
"""How long a firing alert lasts that nobody tells again: four times, as Prometheus has it, so that
one lost request ends no alert."""

_PATH: Final = "/api/v2/alerts"

_NAMES: Final[Mapping[Notice, str]] = {"Failure": "Failed", "Stuck": "Stuck", "Missed": "Missed"}
_ALL: Final[Mapping[Kind, tuple[Notice, ...]]] = {
    "Job": ("Failure", "Stuck"),
    "CronJob": ("Failure", "Stuck", "Missed"),
}
_ENTRY_LABELS: Final[Mapping[Kind, str]] = {"Job": "job_name", "CronJob": "cronjob"}
"""Called as in kube-state-metrics; the value is the entry: a Job's name changes with each run."""

_ANNOTATION: Final = 500
_LONG_ANNOTATION: Final = 3000

_ENDED: Final = "nobody watches for it any more: its entry or its demo is gone"


def request(message: Message, credentials: Credentials, now: datetime) -> HttpRequest:
    """The alert that the message fires; for a success the ends of all alerts of the entry."""
    if message.outcome in _NAMES:
        begins, ends = min(_beginning(message, now), now), now + HOLD
    else:
        # An end in the future would be an alert that fires.
        begins, ends = _beginning(message, now), min(moment(message.time) or now, now)
    return _post(message, credentials, begins, ends, _annotations(message))


def resolution(message: Message, credentials: Credentials, now: datetime) -> HttpRequest:
    """The end of the alert that the message fired, where no success will ever end it."""
    annotations = {**_annotations(message), "resolution": _ENDED}
    return _post(message, credentials, _beginning(message, now), now, annotations)


def alert_key(message: Message) -> tuple[tuple[str, str], ...]:
    """What Alertmanager knows the message's alert by; of a success, the failure that it ends."""
    return tuple(sorted(_label_sets(message)[0].items()))


def _beginning(message: Message, now: datetime) -> datetime:
    """Since when the alert fires; failures in a row are one alert."""
    is_of_failures = message.outcome not in ("Missed", "Stuck")
    first = moment(message.first_failure) if is_of_failures else None
    return first or moment(message.time) or now


def _post(
    message: Message,
    credentials: Credentials,
    begins: datetime,
    ends: datetime,
    annotations: Mapping[str, str],
) -> HttpRequest:
    # An alert that ends before it begins is refused.
    alerts = [
        {
            "labels": labels,
            "annotations": annotations,
            "startsAt": rfc3339(min(begins, ends)),
            "endsAt": rfc3339(ends),
        }
        for labels in _label_sets(message)
    ]
    return HttpRequest(
        url=_url(credentials.url),
        headers={"Content-Type": "application/json", **authorization(credentials)},
        body=text.json_body(alerts),
    )


def _url(url: str) -> str:
    """The API below the URL, which is written as Prometheus and amtool take it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # no URL: it is refused, in words, where it would be connected to
    path = parts.path.rstrip("/").removesuffix(_PATH) + _PATH
    return urlunsplit(parts._replace(path=path))


def _label_sets(message: Message) -> list[dict[str, str]]:
    fires = (message.outcome,) if message.outcome in _NAMES else _ALL[message.kind]
    return [
        {
            "alertname": f"{message.kind}{_NAMES[outcome]}",
            "namespace": text.own(message.namespace),
            "demo": text.own(message.demo),
            _ENTRY_LABELS[message.kind]: text.own(message.entry),
            "severity": "critical" if outcome == "Failure" else "warning",
            "source": "workshopdemo",
        }
        for outcome in fires
    ]


def _annotations(message: Message) -> dict[str, str]:
    """Everything about this run; nothing unknown is named."""
    facts = text.fact_lines(message, PLAIN, first=_ANNOTATION, others=_ANNOTATION)
    lines = {
        "summary": text.headline(message),
        "job": message.job,
        "job_uid": message.job_uid,
        "reason": message.reason,
        "why": message.why,
        "exit_code": None if message.exit_code is None else str(message.exit_code),
        "node": message.node,
        "attempts": str(message.attempts) if message.attempts else None,
        "failures": str(message.failures) if message.failures else None,
        "since": message.since,
        "scheduled": message.scheduled,
        "started": message.started,
        "finished": message.finished,
        "duration": message.duration,
        "next_run": message.next_run,
        "lesson": message.lesson,
    }
    found = {
        name: PLAIN.start(text.one_line(value), _ANNOTATION)
        for name, value in lines.items()
        if value
    }
    found["description"] = text.as_lines(facts)
    found["log"] = PLAIN.end(text.tail(message.log), _LONG_ANNOTATION)
    found["commands"] = PLAIN.start(text.commands(message), _LONG_ANNOTATION)
    return {name: value for name, value in found.items() if value}


def judge(answer: Answer) -> Verdict:
    """What Alertmanager's answer, or that of a proxy before it, means.

    400 does not mean that nothing was stored, but that an alert of the request was no good.
    """
    return unless_page(answer)
