"""A CloudEvent: its attributes, and what it carries."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from workshopdemo.inbox.card import Bar, Card, Code, Fields, Part, Small, one_line, plain
from workshopdemo.inbox.message import Json, Message
from workshopdemo.inbox.reading import SHOWN, mapping, text

_MOST_CODE = 4000
_ATTRIBUTES = ("type", "source", "subject", "time", "id")


def view(body: Json, message: Message, _now: datetime) -> Card:
    """The card of an event."""
    title = " · ".join(text(body.get(name)) for name in ("type", "subject") if body.get(name))
    return Card(one_line(title), (Bar("", tuple(_parts(body, message))),))


def _parts(body: Json, message: Message) -> Iterator[Part]:
    known = [(name, body[name]) for name in _ATTRIBUTES if body.get(name)]
    yield Fields(tuple((plain(name), plain(text(value))) for name, value in known))
    blocks = [one for one in mapping(body.get("data")).items() if _is_block(one[1])]
    logs = dict(blocks[:SHOWN])
    data = body.get("data")
    if logs and isinstance(data, dict):
        data = {name: value for name, value in data.items() if name not in logs}
    if data is not None:
        yield Code(msgspec.json.format(msgspec.json.encode(data), indent=2).decode()[:_MOST_CODE])
    for name, value in logs.items():
        yield Small(plain(name))
        yield Code(text(value)[:_MOST_CODE])
    yield Small(plain(_delivery(message)))


def _is_block(value: object) -> bool:
    """Lines are read as lines, and not as one long JSON string."""
    return "\n" in text(value)


def _delivery(message: Message) -> str:
    signature = message.signature
    if signature is None:
        return "not signed"
    count = f"{signature.count} {'signature' if signature.count == 1 else 'signatures'}"
    return f"{count}, {'verified' if signature.verified else 'not checked: no key was given here'}"
