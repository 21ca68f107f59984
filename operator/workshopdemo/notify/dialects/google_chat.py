"""Google Chat's webhooks: `spaces.messages.create` with a card.

With `requestId` Chat makes a message once, however often it is sent, as long as the requests are
identical: so nothing of the time of sending and of earlier tries may be in it.
"""

import html
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from workshopdemo.model import Notice
from workshopdemo.notify.dialects import text
from workshopdemo.notify.dialects.answers import mapping, parsed, unless_page
from workshopdemo.notify.dialects.text import Markup
from workshopdemo.notify.message import Message
from workshopdemo.notify.wire import Answer, Credentials, HttpRequest, Verdict

_SYMBOLS: Final[Mapping[Notice, str]] = {
    "Failure": "🔴",
    "Stuck": "🔴",
    "Missed": "🟡",
    "Success": "🟢",
    "Recovery": "🟢",
}
"""Cards have no colours of their own."""

# A message has at most 32,000 bytes (discovery document, `spaces.messages.create`); these, as often
# as they are used, come to less than 20,000.
_HEADLINE: Final = 400
_TITLE: Final = 200
_FIRST_FACT: Final = 1500
_FACT: Final = 500
_LOG: Final = 6000
_COMMANDS: Final = 3000

_HTML: Final = Markup(lambda one: html.escape(one, quote=False), text.json_size)
"""Card texts are HTML (`textSyntax`)."""

_NEXT_LINE: Final = "</code><br><code>"
_CODE: Final = Markup(
    lambda one: _NEXT_LINE if one == "\n" else html.escape(one, quote=False), text.json_size
)

# The text beside a card has marks and mentions, a card's title perhaps HTML, and no escape is
# documented for either: what could begin one is replaced by its likeness.
_WORDS: Final = Markup(lambda one: one.translate(text.LIKENESSES), text.json_size)

_SPACES: Final = re.compile(r"^ +| {2,}", re.MULTILINE)


def request(message: Message, credentials: Credentials, _now: datetime) -> HttpRequest:
    """The message for Google Chat."""
    headline = f"{_SYMBOLS[message.outcome]} *{_WORDS.start(text.headline(message), _HEADLINE)}*"
    body = {
        "text": headline,
        "fallbackText": headline,
        "cardsV2": [{"cardId": text.identifier(message), "card": _card(message)}],
        "thread": {"threadKey": text.own(message.thread)},
    }
    return HttpRequest(
        url=_url(credentials.url, text.identifier(message)),
        headers={"Content-Type": "application/json; charset=UTF-8"},
        body=text.json_body(body),
    )


def _url(url: str, identifier: str) -> str:
    """The webhook's URL with what makes the request idempotent, and a reply in its thread."""
    added = {
        "requestId": identifier,
        "messageReplyOption": "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD",
    }
    try:
        parts = urlsplit(url)
    except ValueError:
        return url  # no URL: it is refused, in words, where it would be connected to
    given = [pair for pair in parts.query.split("&") if pair and pair.split("=")[0] not in added]
    return urlunsplit(parts._replace(query="&".join([*given, urlencode(added)])))


def _card(message: Message) -> object:
    title = text.one_line(f"{message.kind} {message.entry}")
    where = text.one_line(f"demo {message.demo} in namespace {message.namespace}")
    facts = text.fact_lines(message, _HTML, first=_FIRST_FACT, others=_FACT)
    sections = [_section("", [_fact(*fact) for fact in facts])]
    log, commands = text.tail(message.log), text.commands(message)
    if log:
        spaced = _SPACES.sub(lambda found: "\u00a0" * len(found[0]), log)
        sections.append(_section(text.LOG_CAPTION, [_code(_CODE.end(spaced, _LOG))]))
    if commands:
        sections.append(_section(text.COMMANDS_CAPTION, [_code(_CODE.start(commands, _COMMANDS))]))
    sections.append(_section("", [_paragraph(f"<i>id {text.identifier(message)}</i>")]))
    return {
        "header": {"title": _WORDS.start(title, _TITLE), "subtitle": _WORDS.start(where, _TITLE)},
        "sections": [section for section in sections if section["widgets"]],
    }


def _section(header: str, widgets: list[object]) -> dict[str, object]:
    return {"header": header, "widgets": widgets} if header else {"widgets": widgets}


def _fact(label: str, value: str) -> object:
    return {"decoratedText": {"topLabel": label, "text": value, "wrapText": True}}


def _code(escaped: str) -> object:
    return _paragraph(f"<code>{escaped}</code>")


def _paragraph(escaped: str) -> object:
    return {"textParagraph": {"text": escaped}}


def judge(answer: Answer) -> Verdict:
    """What Google's answer means: errors are `{"error": {"code", "message", "details"}}`."""
    verdict = unless_page(answer)
    if verdict.fate == "MessageRefused" and _is_wrong_key(answer.body):
        return Verdict(fate="TargetRefused", words=verdict.words)
    return verdict


def _is_wrong_key(body: str) -> bool:
    """A wrong `key` in the URL is a 400 too."""
    details = mapping(mapping(parsed(body)).get("error")).get("details")
    return isinstance(details, list) and any(
        mapping(detail).get("reason") == "API_KEY_INVALID" for detail in details
    )
