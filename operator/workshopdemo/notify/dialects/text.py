"""Strangers' texts made harmless, and cut to what a receiver takes.

Nothing here knows a dialect: each brings its own `Markup`.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from workshopdemo import names
from workshopdemo.notify.message import Message, facts
from workshopdemo.observe.text import CUT, clean

LOG_CAPTION: Final = "Last lines of its log"
COMMANDS_CAPTION: Final = "What to type"
REPEAT: Final = "may be a repeat: an earlier try got no answer"

_LINES: Final = 40
"""Of a log; more is no message any more."""

_FACTS: Final = 10
"""As many as there are; the limits hold if one day there are more."""

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")

_LONGEST: Final = 20_000
"""Characters of a text that are looked at: no receiver takes more, and a log may have millions."""

_LONGEST_NAME: Final = 253
"""Of anything in Kubernetes (RFC 1123 subdomain)."""

LIKENESSES: Final = str.maketrans("<>&*_~`@", "‹›＆∗＿∼ˋ＠")
"""Where a mark cannot be escaped, its likeness stands for it: people read on, nothing is marked."""


@dataclass(frozen=True)
class Markup:
    """How a text is written for a receiver, and how long it is there."""

    escape: Callable[[str], str]
    """Of a single character, so that no cut can fall into an escape."""

    size: Callable[[str], int]
    """Of what was escaped, as the receiver counts."""

    def start(self, text: str, limit: int) -> str:
        """The beginning of the text, escaped, within the limit; a cut is marked."""
        kept = self._kept(text, limit)
        return "".join(self._fitting(text, limit)).rstrip() + CUT if kept is None else kept

    def end(self, text: str, limit: int) -> str:
        """The end of the text, escaped, within the limit; a cut is marked."""
        kept = self._kept(text, limit)
        return CUT + "".join(self._fitting(text[::-1], limit)[::-1]) if kept is None else kept

    def _kept(self, text: str, limit: int) -> str | None:
        """All of the text, if there is room for it."""
        if len(text) > limit:  # no character is shorter than 1
            return None
        pieces = [self.escape(character) for character in text]
        return "".join(pieces) if sum(map(self.size, pieces)) <= limit else None

    def _fitting(self, text: str, limit: int) -> list[str]:
        room = limit - self.size(CUT)
        pieces: list[str] = []
        for character in text:
            piece = self.escape(character)
            room -= self.size(piece)
            if room < 0:
                break
            pieces.append(piece)
        return pieces


def utf16_size(text: str) -> int:
    """UTF-16 code units: never less than characters, however those are counted."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def json_size(text: str) -> int:
    """Bytes within a JSON string as `json_body` writes it."""
    return len(_json(text).encode(errors="surrogatepass")) - len('""')


PLAIN: Final = Markup(escape=str, size=json_size)


def json_body(value: object) -> bytes:
    """JSON in UTF-8: what was tamed is sent as it is, which is shorter than ASCII's escapes."""
    return _json(value).encode(errors="replace")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def one_line(text: str) -> str:
    """The text on one line, every character visible: no control, no formatting, no surrogate."""
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + CUT
    return " ".join("".join(map(_visible, text)).split())


def _visible(character: str) -> str:
    return character if character.isprintable() or character.isspace() else "\ufffd"


def tail(log: str) -> str:
    """The last lines of a log, every character visible; what is missing is marked."""
    # Unicode has spaces and line ends that a receiver may show as it likes.
    kept = [
        "".join(one if one.isprintable() else " " for one in line)
        for line in clean(log[-_LONGEST:], _LINES + 1).split("\n")
    ]
    if len(log) <= _LONGEST and len(kept) <= _LINES:
        return "\n".join(kept)
    return "\n".join([CUT, *kept[-_LINES:]])


def identifier(message: Message) -> str:
    """The message's id, or the UUID that stands for it where it could not stand in a header."""
    if _ID.fullmatch(message.id):
        return message.id
    return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(message.id)))


def own(name: str) -> str:
    """The name as it is; of what is none, something short that is as much its own."""
    is_name = 0 < len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable()
    return name if is_name and name.strip() == name else names.digest(name)


def headline(message: Message) -> str:
    """The headline on one line; never empty, as no receiver takes an empty title."""
    return one_line(message.headline) or f"{message.kind}: {message.outcome}"


def fact_lines(
    message: Message, markup: Markup, *, first: int, others: int
) -> list[tuple[str, str]]:
    """The facts as labels and escaped values, each on one line.

    Each has a limit of its own, the first and most important one another: a long one drowns none.
    """
    lines = [(label, one_line(value)) for label, value in facts(message)]
    return [
        (label, markup.start(line, others if place else first))
        for place, (label, line) in enumerate((label, line) for label, line in lines if line)
    ][:_FACTS]


def as_lines(pairs: Iterable[tuple[str, str]]) -> str:
    """Facts one below the other."""
    return "\n".join(f"{label}: {value}" for label, value in pairs)


def commands(message: Message) -> str:
    """What to type, a command a line."""
    shown = [one_line(command) for command in message.commands[:_LINES]]
    if len(message.commands) > _LINES:
        shown.append(CUT)
    return "\n".join(filter(None, shown))


def plain_text(message: Message) -> str:
    """The whole message as plain text, in less than 5000 bytes of JSON."""
    parts = [
        PLAIN.start(headline(message), 400),
        as_lines(fact_lines(message, PLAIN, first=600, others=200)),
    ]
    log, typed = tail(message.log), commands(message)
    if log:
        parts.append(f"{LOG_CAPTION}:\n{PLAIN.end(log, 1000)}")
    if typed:
        parts.append(f"{COMMANDS_CAPTION}:\n{PLAIN.start(typed, 600)}")
    return "\n\n".join(parts)
