"""A concept's story from the status of a WorkshopDemo, laid out for a terminal."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

MAX_WIDTH = 100
LABELS = {
    "problem": "The problem",
    "why": "Why",
    "solution": "Kubernetes",
    "alternatives": "What else",
    "useCases": "Use cases",
    "try": "Try",
}
COLUMN = 14


def render(item: Mapping[str, Any], width: int) -> Iterator[str]:
    """Lines: the concept as a heading, then a labelled paragraph or list for each part told."""
    concept = str(item["concept"])
    yield concept
    yield "─" * len(concept)
    for key, label in LABELS.items():
        told = item.get(key)
        if isinstance(told, str) and told:
            yield from _paragraph(label, told, width)
        elif told:
            yield from _list(label, [str(one) for one in told], width, commands=key == "try")


def _paragraph(label: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=label.ljust(COLUMN), subsequent_indent=" " * COLUMN
    )


def _list(label: str, texts: list[str], width: int, *, commands: bool) -> Iterator[str]:
    for number, text in enumerate(texts):
        lead = (label if number == 0 else "").ljust(COLUMN)
        if commands:
            # Never wrapped: a command is to be copied whole.
            yield f"{lead}$ {text}"
        else:
            yield from textwrap.wrap(
                text,
                width,
                initial_indent=f"{lead}· ",
                subsequent_indent=" " * (COLUMN + 2),
            )
