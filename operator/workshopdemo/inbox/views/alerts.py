"""Alerts: what fires, what is over, and what was said of it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from workshopdemo.inbox.card import (
    Badge,
    Bar,
    Card,
    Code,
    Fields,
    Line,
    Paragraph,
    Part,
    Small,
    Span,
    Tone,
    more,
    one_line,
    plain,
)
from workshopdemo.inbox.markup import is_link
from workshopdemo.inbox.message import Alert, Json, Message, rfc3339
from workshopdemo.inbox.reading import SHOWN, mapping, sequence, text

_COLOURS: Final[dict[Tone, str]] = {"bad": "#e01e5a", "good": "#2eb67d", "quiet": "#8a8f98"}
_FIRST: Final = ("summary", "description", "message")
"""Annotations that are sentences, by custom."""


def view(body: Json, message: Message, now: datetime) -> Card:
    """The card of one alert that was posted, as it stands now."""
    alert = message.alert
    if alert is None:
        return Card("", ())
    alert.settle(now)
    firing = alert.state(now) == "firing"
    tone: Tone = "bad" if firing else "good"
    word = "FIRING" if firing else "RESOLVED"
    parts = (Badge(word, tone), *_alert(body), Small(plain(_life(alert, message))))
    return Card(_title(word, body), (Bar(_COLOURS[tone], parts),))


def notification_view(body: Json, _message: Message, _now: datetime) -> Card:
    """The card of what a real Alertmanager tells of a group of alerts."""
    alerts = [mapping(one) for one in sequence(body.get("alerts"))]
    firing = [one for one in alerts if one.get("status") == "firing"]
    left = more(len(alerts) - SHOWN)
    word = f"FIRING:{len(firing)}" if firing else f"RESOLVED:{len(alerts)}"
    bars = tuple(_notified(one) for one in alerts[:SHOWN])
    return Card(_title(word, alerts[0] if alerts else {}), (*bars, *left))


def _notified(alert: Json) -> Bar:
    firing = alert.get("status") == "firing"
    tone: Tone = "bad" if firing else "good"
    times = " · ".join(
        f"{name} {text(alert.get(field))}"
        for name, field in (("since", "startsAt"), ("until", "endsAt"))
        if alert.get(field) and not (firing and field == "endsAt")
    )
    badge = Badge("FIRING" if firing else "RESOLVED", tone)
    return Bar(_COLOURS[tone], (badge, *_alert(alert), Small(plain(times))))


def _title(word: str, alert: Json) -> str:
    labels, annotations = mapping(alert.get("labels")), mapping(alert.get("annotations"))
    said = next((text(annotations[name]) for name in _FIRST if annotations.get(name)), "")
    name = text(labels.get("alertname"))
    return one_line(f"[{word}] " + ": ".join(part for part in (name, said) if part))


def _alert(alert: Json) -> Iterator[Part]:
    labels, annotations = mapping(alert.get("labels")), mapping(alert.get("annotations"))
    name = text(labels.get("alertname"))
    if name:
        yield Paragraph((Span(name, "bold"),))
    for field in _FIRST:
        if annotations.get(field):
            yield Paragraph(plain(text(annotations[field])))
    others = [(one, text(value)) for one, value in annotations.items() if one not in _FIRST][:SHOWN]
    short = tuple((plain(one), _value(value)) for one, value in others if "\n" not in value)
    if short:
        yield Fields(short)
    for one, value in others:
        if "\n" in value:
            yield Small(plain(one))
            yield Code(value)
    shown = (f"{one}={text(value)}" for one, value in labels.items() if one != "alertname")
    yield Small(plain(" · ".join(shown)))


def _value(value: str) -> Line:
    return (Span(value, url=value if is_link(value) and " " not in value else ""),)


def _life(alert: Alert, message: Message) -> str:
    times = message.repeats + 1
    said = [f"received {times} {'time' if times == 1 else 'times'}"]
    said.append(f"since {rfc3339(alert.starts)}")
    if not alert.has_fired:
        said.append("never fired here: Alertmanager tells nobody of an end without a beginning")
    said.extend(
        f"{'expired, nobody resolved it' if flip.expired else flip.state} {rfc3339(flip.at)}"
        for flip in alert.flips[1:][-5:]
    )
    return " · ".join(said)
