"""The page for people: the newest messages as their receivers would show them.

Every word on it is a stranger's. All of it is escaped here, nothing is loaded from elsewhere, and
the browser is told to run nothing and to take styles from us alone.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final
from urllib.parse import urlencode

from workshopdemo.inbox.card import (
    Badge,
    Bar,
    Card,
    Code,
    Fields,
    Heading,
    Line,
    Paragraph,
    Part,
    Rule,
    Small,
    Span,
)
from workshopdemo.inbox.message import DIALECTS, Address, Filter, Message, rfc3339
from workshopdemo.inbox.store import Counts

POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The Content-Security-Policy."""

MOST_CARDS: Final = 50
REFRESH_SECONDS: Final = 3
_MOST_DEMOS: Final = 40
_LONGEST: Final = 4000
"""Characters of one piece of text: the rest is in /messages."""


_LOOKS: Final = {
    "Slack": "Slack",
    "GoogleChat": "Google Chat",
    "Alertmanager": "Alertmanager",
    "Webhook": "Webhook",
    "AlertmanagerWebhook": "from Alertmanager",
}
_TAGS: Final = {"bold": "strong", "italic": "em", "strike": "s", "code": "code"}

# What a browser drops, or what turns the text around it: shown as what it is.
_INVISIBLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What there is to show."""

    wanted: Filter
    cards: Sequence[tuple[Message, Card]]
    """The newest first."""

    counts: Counts
    demos: Sequence[tuple[str, str]]
    faults: Sequence[str]
    """What goes wrong on purpose, in words."""

    now: datetime
    refreshes: bool = True


def render(scene: Scene) -> str:
    """The page, as HTML."""
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if scene.refreshes else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{refresh}<title>{_text(_heading(scene.wanted))}</title>"
        '<link rel="stylesheet" href="page.css"></head><body>'
        f"{_header(scene)}<main>{_cards(scene.cards)}</main></body></html>\n"
    )


def _header(scene: Scene) -> str:
    counts = scene.counts
    refused = ", ".join(f"{count} × {how}" for how, count in sorted(counts.refused.items()))
    said = [
        f"{counts.stored} received",
        f"{counts.repeats} of them again" if counts.repeats else "",
        f"refused: {refused}" if refused else "",
        f"{counts.dropped} forgotten for want of room" if counts.dropped else "",
        f"at {scene.now:%H:%M:%S} UTC",
    ]
    faults = "".join(f"<li>{_text(fault)}</li>" for fault in scene.faults)
    return (
        f"<header><h1>{_text(_heading(scene.wanted))}</h1>"
        f'<p class="counts">{_text(" · ".join(part for part in said if part))} · '
        f"{_pause(scene)}</p>{_choices(scene)}"
        + (f'<ul class="faults">{faults}</ul>' if faults else "")
        + "</header>"
    )


def _heading(wanted: Filter) -> str:
    name = "/".join(one for one in (wanted.namespace, wanted.demo, wanted.target) if one)
    return f"Inbox · {name}" if name else "Inbox"


def _pause(scene: Scene) -> str:
    words = "stop following" if scene.refreshes else "follow"
    return f'<a href="{_href(scene.wanted, follows=not scene.refreshes)}">{words}</a>'


def _choices(scene: Scene) -> str:
    """Links and no form: a page that loads itself anew would empty what is being typed."""
    wanted = scene.wanted
    demos = [("all demos", wanted._replace(namespace=None, demo=None, target=None))]
    demos.extend(
        (
            "/".join(part for part in (namespace, name) if part) or "without a demo",
            wanted._replace(namespace=namespace, demo=name, target=None),
        )
        for namespace, name in scene.demos[:_MOST_DEMOS]
    )
    kinds = [("all kinds", wanted._replace(dialect=None))]
    kinds.extend((_LOOKS[dialect], wanted._replace(dialect=dialect)) for dialect in DIALECTS)
    return "".join(
        f"<nav>{''.join(_choice(words, choice, scene) for words, choice in choices)}</nav>"
        for choices in (demos, kinds)
    )


def _choice(words: str, choice: Filter, scene: Scene) -> str:
    chosen = ' class="chosen"' if choice == scene.wanted else ""
    return f'<a{chosen} href="{_href(choice, follows=scene.refreshes)}">{_text(words)}</a>'


def _href(wanted: Filter, *, follows: bool) -> str:
    query = {name: value for name, value in wanted._asdict().items() if value is not None}
    if not follows:
        query["follow"] = "no"
    return escape("?" + urlencode(query))


def _cards(cards: Sequence[tuple[Message, Card]]) -> str:
    if not cards:
        return '<p class="nothing">Nothing yet.</p>'
    return "".join(_card(message, card) for message, card in cards)


def _card(message: Message, card: Card) -> str:
    address = message.address
    again = f" · received {message.repeats + 1} times" if message.repeats else ""
    when = rfc3339(message.received)
    thread = f" · thread {message.thread.rpartition('/')[2]}" if message.thread else ""
    return (
        f'<article class="{address.dialect.lower()}"><p class="from">'
        f'<span class="app">{_text(_LOOKS[address.dialect])}</span> {_text(_names(address))}'
        f'<span class="when"><time datetime="{when}">{when[11:19]}</time>'
        f"{_text(again + thread)} · #{message.id}</span></p>{_parts(card.parts)}</article>"
    )


def _names(address: Address) -> str:
    return " / ".join(name for name in address[:3] if name)


def _parts(parts: Iterable[Part]) -> str:
    return "".join(map(_part, parts))


def _part(part: Part) -> str:
    match part:
        case Heading(text):
            shown = f"<h2>{_text(text)}</h2>"
        case Paragraph(line):
            shown = f"<p>{_line(line)}</p>"
        case Small(line):
            shown = f'<p class="small">{_line(line)}</p>'
        case Code(text):
            shown = f"<pre>{_text(text)}</pre>"
        case Badge(text, tone):
            shown = f'<p><span class="badge {tone}">{_text(text)}</span></p>'
        case Rule():
            shown = "<hr>"
        case Fields(pairs):
            shown = f"<dl>{''.join(_pair(label, value) for label, value in pairs)}</dl>"
        case Bar(colour, inner):
            shown = f'<section class="bar">{_colour(colour)}{_parts(inner)}</section>'
    return shown


def _pair(label: Line, value: Line) -> str:
    return f"<div>{f'<dt>{_line(label)}</dt>' if label else ''}<dd>{_line(value)}</dd></div>"


def _colour(colour: str) -> str:
    """A drawing, since the policy lets no element have a style of its own."""
    fill = f' fill="{escape(colour)}"' if colour else ""
    return f'<svg aria-hidden="true"><rect width="100%" height="100%"{fill}/></svg>'


def _line(line: Line) -> str:
    return "".join(map(_span, line))


def _span(span: Span) -> str:
    words = _text(span.text)
    tag = _TAGS.get(span.style)
    if tag:
        words = f"<{tag}>{words}</{tag}>"
    if span.url:
        return f'<a rel="noopener noreferrer nofollow" href="{escape(span.url)}">{words}</a>'
    return words


def _text(text: str) -> str:
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
    return escape(_INVISIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text))
