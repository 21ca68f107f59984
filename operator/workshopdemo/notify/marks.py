"""The ledger's entries: what is noted of a delivery on the object that it is about.

An annotation a target holds one mark for each outcome. A mark is written before a message is sent
and after, each time only if nobody else has written meanwhile: of two operators one sends, and the
next one after a crash knows what was under way.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from workshopdemo import names

KEPT: Final = 40
"""Marks kept in an annotation; a CronJob outlives its runs, and an object's annotations may
hold 256 KiB in all (apimachinery, TotalAnnotationSizeLimitB)."""

State = Literal["sending", "retry", "refused", "sent", "failed"]
SETTLED: Final = frozenset({"sent", "failed"})


class Mark(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What is noted of one delivery."""

    state: State
    by: str
    """Which operator wrote it."""

    at: str
    """When, RFC 3339 in UTC."""

    attempts: int = 0
    first: str | None = None
    """When it was first tried."""

    due: str | None = None
    """When it is to be tried again."""

    code: int | None = None
    latency: str | None = None
    words: str | None = None
    config: str | None = None
    """Digest of the configuration that was refused: it is not tried again as it is."""

    unsure: bool = False
    """Whether the receiver may have it already, without our knowing."""


def annotation(target: str) -> str:
    """Name of the annotation that holds a target's marks."""
    return names.LEDGER_PREFIX + target


def read(annotations: Mapping[str, str], target: str) -> dict[str, Mark]:
    """A target's marks; what somebody has garbled counts as none."""
    text = annotations.get(annotation(target), "")
    try:
        return msgspec.json.decode(text, type=dict[str, Mark])
    except msgspec.DecodeError:
        return {}


def written(marks: Mapping[str, Mark]) -> str:
    """The annotation's value. Beyond `KEPT`, the oldest that are settled are dropped."""
    settled = sorted(
        (key for key, mark in marks.items() if mark.state in SETTLED),
        key=lambda key: marks[key].at,
    )
    dropped = set(settled[: max(len(marks) - KEPT, 0)])
    kept = {key: mark for key, mark in marks.items() if key not in dropped}
    return msgspec.json.encode(kept).decode()
