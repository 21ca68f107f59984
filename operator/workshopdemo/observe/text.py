"""Logs of strangers made fit for a status: no escapes, no control characters, bounded, marked."""

import re
import unicodedata
from typing import Final

MAX_LINES: Final = 10
MAX_LINE: Final = 240
CUT: Final = "…"

# CSI, OSC and two-byte escape sequences (ECMA-48): colours, cursor moves, window titles.
MESSAGE_LIMIT: Final = 1024
"""Characters of what a condition or a section says."""

_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\|$)|[@-Z\\-_])?"
)


def clean(log: str, lines: int = MAX_LINES) -> str:
    """The last lines, each readable and of bounded length."""
    plain = _ESCAPES.sub("", log).replace("\t", "    ")
    # A carriage return redraws a line on a terminal: what counts is what was drawn last.
    drawn = (line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n"))
    printable = ["".join(map(_printable, line)).rstrip() for line in drawn]
    kept = [line for line in printable if line][-lines:] if lines else []
    return "\n".join(_cut(line) for line in kept)


def shorten(text: str, limit: int) -> str:
    """The end of the text in at most `limit` bytes of UTF-8, marked where it was cut."""
    data = text.encode()
    if len(data) <= limit:
        return text
    room = max(limit - len(CUT.encode()), 0)
    tail = data[len(data) - room :].decode(errors="ignore")
    return CUT + tail


def shorten_end(text: str, limit: int) -> str:
    """The beginning of the text in at most `limit` characters, marked where it was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def shorten_middle(text: str, limit: int) -> str:
    """Beginning and end of the text in at most `limit` characters, marked where it was cut.

    For errors that wrap each other: what was tried stands first, and the cause last.
    """
    if len(text) <= limit:
        return text
    beginning = (limit - 3) // 2
    return f"{text[:beginning]} … {text[len(text) - (limit - 3 - beginning) :]}"


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + CUT


def _printable(character: str) -> str:
    category = unicodedata.category(character)
    # Cc, Cf, Cs, Co, Cn: control, invisible formatting (bidi overrides too), unassigned.
    return "\ufffd" if category.startswith("C") else character
