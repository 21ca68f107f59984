"""Markdown as GitHub renders it: cells that keep their text, and tables of them."""

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]*`)")
_MARKED = re.compile(r"[*<>]")


class PageError(Exception):
    """A page cannot be written; the sentence names the file and the way out."""


def text(words: str) -> str:
    """Words of a description, so that nothing in them is taken for markup."""
    pieces = _CODE.split(" ".join(words.split()))
    return "".join(
        piece if piece.startswith("`") else _MARKED.sub(lambda found: "\\" + found[0], piece)
        for piece in pieces
    )


def code(words: str) -> str:
    """Words as they would be typed."""
    return f"`{words}`" if "`" not in words else f"`` {words} ``"


def anchor(heading: str) -> str:
    """What GitHub makes of a heading for links to it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table. A bar would end a cell, in code too."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def lines(words: Sequence[str]) -> str:
    """A page."""
    return "\n".join(words).rstrip("\n") + "\n"
