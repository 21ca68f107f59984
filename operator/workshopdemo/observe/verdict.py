"""What is said of a section that has a Pod on each node, and of its nodes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from workshopdemo.observe.coverage import Coverage

NAMED: Final = 3
"""So many are named in a message; the section's status has all."""


@dataclass(frozen=True)
class Verdict:
    """Whether a section is as expected; None: not known yet, and when to look again."""

    as_expected: bool | None
    reason: str
    message: str
    due: datetime | None = None


def fine(reason: str, message: str) -> Verdict:
    """It is."""
    return Verdict(as_expected=True, reason=reason, message=message)


def moving(reason: str, message: str, due: datetime | None = None) -> Verdict:
    """It may well be, in a moment."""
    return Verdict(as_expected=None, reason=reason, message=message, due=due)


def wrong(reason: str, message: str, due: datetime | None = None) -> Verdict:
    """It is not."""
    return Verdict(as_expected=False, reason=reason, message=message, due=due)


def named(found: Sequence[tuple[str, str]]) -> str:
    """The first of them, each with what is said of it."""
    return listed([f"{name}: {message}" for name, message in found], "; ")


def listed(words: Sequence[str], between: str = ", ") -> str:
    """The first of them, and how many more there are."""
    more = len(words) - NAMED
    return between.join(words[:NAMED]) + (f" and {more} more" if more > 0 else "")


def of_nodes(seen: Coverage) -> Verdict | None:
    """What is wrong with the nodes, None if each that is asked for is covered."""
    if not seen.wanting:
        return None if seen.asked else wrong("NoNodes", "the spec leaves out every node")
    if not seen.overdue:
        count = f"{len(seen.covered)}/{seen.asked} nodes covered"
        return moving("Starting", f"{count}, the others are on their way", seen.due)
    words = named([(node.node, node.message) for node in seen.overdue])
    return wrong("NodesUncovered", f"{len(seen.overdue)} uncovered: {words}", seen.due)


def with_nodes(found: Verdict, seen: Coverage) -> Verdict:
    """The verdict, told with how many nodes it is about, and which are none of its business."""
    every = len(seen.covered) + len(seen.uncovered)
    left_out = [(node.node, node.message) for node in seen.uncovered if node.as_asked]
    aside = f"; left out as asked: {named(left_out)}" if left_out else ""
    words = f"{len(seen.covered)}/{every} nodes covered; {found.message}{aside}"
    return replace(found, message=words)
