"""As Google Chat would show it: the text, and the cards below."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from workshopdemo.inbox.card import (
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
    one_line,
    parts_text,
    plain,
)
from workshopdemo.inbox.markup import as_is, chat_parts, html_line, is_link
from workshopdemo.inbox.message import Json, Message
from workshopdemo.inbox.reading import mapping, objects, text
from workshopdemo.inbox.receivers.chat_schema import json_names

_MOST_WIDGETS: Final = 100
"""In a card, by Google Chat's own limit."""


def view(body: Json, _message: Message, _now: datetime) -> Card:
    """The card of a message."""
    message = mapping(json_names(body))
    words = chat_parts(text(message.get("text")), as_is)
    cards = [mapping(one.get("card")) for one in objects(message.get("cardsV2"))]
    shown = [tuple(_card(one)) for one in cards]
    title = words[:1] or [part for parts in shown[:1] for part in parts[:1]]
    return Card(one_line(parts_text(title)), (*words, *(Bar("", parts) for parts in shown)))


def _card(card: Json) -> Iterator[Part]:
    header = mapping(card.get("header"))
    if header:
        yield Heading(text(header.get("title")))
        if header.get("subtitle"):
            yield Small(plain(text(header.get("subtitle"))))
    for place, section in enumerate(objects(card.get("sections"), _MOST_WIDGETS)):
        if place or header:
            yield Rule()
        if section.get("header"):
            yield Heading(_words(section.get("header")))
        for widget in objects(section.get("widgets"), _MOST_WIDGETS):
            yield from _widget(widget)


def _widget(widget: Json) -> Iterator[Part]:
    if "textParagraph" in widget:
        yield _paragraph(html_line(text(mapping(widget["textParagraph"]).get("text"))))
    elif "decoratedText" in widget:
        yield from _decorated(mapping(widget["decoratedText"]))
    elif "buttonList" in widget:
        buttons = objects(mapping(widget["buttonList"]).get("buttons"))
        yield Small(tuple(_button(one) for one in buttons))
    elif "divider" in widget:
        yield Rule()
    elif "columns" in widget:
        for column in objects(mapping(widget["columns"]).get("columnItems")):
            for inner in objects(column.get("widgets")):
                yield from _widget(inner)
    else:
        yield Small(plain(f"[{', '.join(sorted(widget))}]"))


def _paragraph(line: Line) -> Part:
    """Lines that are code from end to end are a block."""
    if all(span.style == "code" or not span.text.strip() for span in line):
        return Code("".join(span.text for span in line))
    return Paragraph(line)


def _decorated(decorated: Json) -> Iterator[Part]:
    yield Fields(((_label(decorated, "topLabel"), _label(decorated, "text", "contentText")),))
    below = _label(decorated, "bottomLabel")
    if below:
        yield Small(below)
    if "button" in decorated:
        yield Small((_button(mapping(decorated["button"])),))


def _label(decorated: Json, name: str, rich: str = "") -> Line:
    """Each text can be given as a string or as a paragraph of its own."""
    paragraph = mapping(decorated.get(rich or f"{name}Text"))
    return html_line(text(decorated.get(name)) or text(paragraph.get("text")))


def _words(value: object) -> str:
    return "".join(span.text for span in html_line(text(value)))


def _button(button: Json) -> Span:
    url = text(mapping(mapping(button.get("onClick")).get("openLink")).get("url"))
    return Span(f"[{text(button.get('text'))}]", url=url if is_link(url) else "")
