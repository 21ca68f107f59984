"""As Slack would show it: the text, or the blocks instead of it, and the attachments below."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from workshopdemo.inbox.card import (
    Bar,
    Card,
    Fields,
    Heading,
    Line,
    Paragraph,
    Part,
    Rule,
    Small,
    Span,
    line_text,
    more,
    one_line,
    parts_text,
    plain,
)
from workshopdemo.inbox.markup import as_is, chat_line, chat_parts, is_link, slack_unescape
from workshopdemo.inbox.message import Json, Message
from workshopdemo.inbox.reading import SHOWN, mapping, objects, sequence, text

_TITLE: Final = 400
"""Characters of the text that may come to a title once the marks are gone."""

_MOST_BLOCKS: Final = 50
"""In a message, by Slack's own limit."""

_COLOURS: Final = {"good": "#2eb67d", "warning": "#ecb22e", "danger": "#e01e5a"}


def view(body: Json, _message: Message, _now: datetime) -> Card:
    """The card of a message."""
    words = text(body.get("text"))
    blocks = list(_blocks(body.get("blocks")))
    parts: list[Part] = blocks or chat_parts(words, slack_unescape)
    parts.extend(
        Bar(colour(text(attachment.get("color"))), tuple(_attachment(attachment)))
        for attachment in objects(body.get("attachments"))
    )
    parts.extend(more(len(sequence(body.get("attachments"))) - SHOWN))
    return Card(_title(words) or one_line(parts_text(parts)), tuple(parts))


def _title(words: str) -> str:
    first = words.strip().partition("\n")[0][:_TITLE]
    return one_line(line_text(chat_line(first, slack_unescape)))


def colour(name: str) -> str:
    """#RRGGBB of Slack's three names, or of itself."""
    found = _COLOURS.get(name, name if name.startswith("#") else f"#{name}")
    return found.lower() if re.fullmatch(r"#[0-9a-fA-F]{6}", found) else ""


def _attachment(attachment: Json) -> list[Part]:
    return list(_blocks(attachment.get("blocks"))) or list(_legacy(attachment))


def _legacy(attachment: Json) -> Iterator[Part]:
    """The form that attachments had before there were blocks."""
    yield from chat_parts(text(attachment.get("pretext")), slack_unescape)
    title = text(attachment.get("title"))
    if title:
        yield Heading(slack_unescape(title))
    words = text(attachment.get("text")) or text(attachment.get("fallback"))
    yield from chat_parts(words, slack_unescape)
    fields = objects(attachment.get("fields"))
    if fields:
        yield Fields(
            tuple(
                (
                    plain(slack_unescape(text(one.get("title")))),
                    chat_line(text(one.get("value")), slack_unescape),
                )
                for one in fields
            )
        )
    yield from chat_parts(text(attachment.get("footer")), slack_unescape, small=True)


def _blocks(value: object) -> Iterator[Part]:
    for block in objects(value, _MOST_BLOCKS):
        yield from _block(block)


def _block(block: Json) -> Iterator[Part]:
    match block.get("type"):
        case "header":
            yield Heading(_words(mapping(block.get("text"))))
        case "section":
            yield from _text(mapping(block.get("text")))
            fields = objects(block.get("fields"))
            if fields:
                yield Fields(tuple(_field(one) for one in fields))
        case "context":
            elements = objects(block.get("elements"))
            yield Small(_joined([_element(one) for one in elements], " · "))
        case "actions":
            elements = objects(block.get("elements"))
            yield Small(_joined([_button(one) for one in elements], " · "))
        case "divider":
            yield Rule()
        case "markdown":
            yield from chat_parts(text(block.get("text")), as_is)
        case "image":
            yield Small(_element(block))
        case kind:
            yield Small(plain(f"[{kind}]"))


def _text(text_object: Json) -> list[Part]:
    """In plain text, marks mean nothing."""
    if text_object.get("type") == "plain_text":
        return [Paragraph(plain(_words(text_object)))]
    return chat_parts(text(text_object.get("text")), slack_unescape)


def _field(text_object: Json) -> tuple[Line, Line]:
    """`*Label*`, a line break and the value: so everybody writes them."""
    label, found, value = text(text_object.get("text")).partition("\n")
    if found and text_object.get("type") == "mrkdwn":
        return chat_line(label, slack_unescape), chat_line(value, slack_unescape)
    return (), _line(text_object)


def _line(text_object: Json) -> Line:
    if text_object.get("type") == "plain_text":
        return plain(_words(text_object))
    return chat_line(text(text_object.get("text")), slack_unescape)


def _words(text_object: Json) -> str:
    return slack_unescape(text(text_object.get("text")))


def _element(element: Json) -> Line:
    if element.get("type") == "image":
        return plain(f"[{text(element.get('alt_text'))}]")
    return _line(element)


def _button(element: Json) -> Line:
    url = text(element.get("url"))
    words = _words(mapping(element.get("text"))) or text(element.get("type"))
    return (Span(f"[{words}]", url=url if is_link(url) else ""),)


def _joined(lines: list[Line], between: str) -> Line:
    spans: list[Span] = []
    for line in lines:
        spans.extend(([Span(between)] if spans else []) + list(line))
    return tuple(spans)
