"""A message for people: what every dialect comes to before it is shown, as text or as a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Style = Literal["plain", "bold", "italic", "strike", "code"]
Tone = Literal["good", "bad", "quiet"]

_LONGEST_TITLE: Final = 200


@dataclass(frozen=True)
class Span:
    """A piece of a line."""

    text: str
    style: Style = "plain"
    url: str = ""


Line = tuple[Span, ...]


@dataclass(frozen=True)
class Heading:
    """A line that stands out."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Text."""

    line: Line


@dataclass(frozen=True)
class Small:
    """Text that does not push itself forward."""

    line: Line


@dataclass(frozen=True)
class Code:
    """Lines of a log, or of anything else where every character counts."""

    text: str


@dataclass(frozen=True)
class Fields:
    """Labels and what they say, side by side where there is room."""

    pairs: tuple[tuple[Line, Line], ...]


@dataclass(frozen=True)
class Badge:
    """A word in a coloured box."""

    text: str
    tone: Tone


@dataclass(frozen=True)
class Rule:
    """A line across."""


@dataclass(frozen=True)
class Bar:
    """Parts with a bar of a colour beside them."""

    colour: str
    """#RRGGBB, or empty: none was given, or none that is a colour."""

    parts: "tuple[Part, ...]"


Part = Heading | Paragraph | Small | Code | Fields | Badge | Rule | Bar


@dataclass(frozen=True)
class Card:
    """All of a message."""

    title: str
    parts: tuple[Part, ...]


def plain(text: str) -> Line:
    """A line without any markup."""
    return (Span(text),)


def line_text(line: Line) -> str:
    """The words alone; a link is followed by where it leads."""
    return "".join(
        f"{span.text} ({span.url})" if span.url and span.url != span.text else span.text
        for span in line
    )


def more(count: int) -> "tuple[Part, ...]":
    """What stands below where so many could not be shown."""
    return (Small(plain(f"… and {count} more")),) if count > 0 else ()


def one_line(text: str) -> str:
    """The beginning, as a title."""
    joined = " ".join(text.split())
    return joined if len(joined) <= _LONGEST_TITLE else joined[: _LONGEST_TITLE - 1] + "…"


def parts_text(parts: Sequence[Part]) -> str:
    """Plain text, a part a line or more."""
    return "\n".join(text for text in map(_part_text, parts) if text)


def _part_text(part: Part) -> str:
    match part:
        case Heading(text) | Code(text) | Badge(text):
            return text
        case Paragraph(line) | Small(line):
            return line_text(line)
        case Fields(pairs):
            shown = ((line_text(label), line_text(value)) for label, value in pairs)
            return "\n".join(": ".join(part for part in pair if part) for pair in shown)
        case Rule():
            return ""
        case Bar(_, parts):
            return parts_text(parts)
