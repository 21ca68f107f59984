"""A line: all that is under way to one target of one demo."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from workshopdemo.courier.alerts import AlertKeeper
from workshopdemo.model import Delivery, Target
from workshopdemo.names import DemoKey
from workshopdemo.notify.deliveries import OPEN, Letter, LineState, dialect_of
from workshopdemo.notify.marks import Mark

PACED: Final = ("Slack", "GoogleChat")
"""Dialects of receivers that take one message a second."""

TOGETHER: Final = 8
"""Deliveries to one target at the same time, where the receiver sets no pace."""


class LineKey(NamedTuple):
    """Identity of a line."""

    demo_uid: str
    target: str

    def __str__(self) -> str:
        return f"notifications to {self.target}"


@dataclass
class Parcel:
    """A letter on its way."""

    letter: Letter
    seen: float
    """When the outcome was seen, by the loop's clock."""

    due: float
    delivery: Delivery
    """As it stands now."""

    claims: list[Mark] = field(default_factory=list)
    """Marks that this process wrote, or tried to write."""

    is_under_way: bool = False
    """Whether it is being sent at this moment."""

    foreign: Mark | None = None
    """Another operator's claim, and since when it has stood unchanged."""

    foreign_since: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it is still to be delivered."""
        return self.delivery.state in OPEN

    def change(self, **fields: object) -> None:
        """Change what is told of it."""
        self.delivery = msgspec.structs.replace(self.delivery, **fields)


@dataclass
class Line:
    """The way to one target."""

    demo: DemoKey
    uid: str
    target: Target
    parcels: dict[str, Parcel] = field(default_factory=dict)
    alerts: AlertKeeper = field(default_factory=AlertKeeper)
    not_before: float = float("-inf")
    """Nothing is tried before: the receiver failed, or asked for a pause."""

    failures: int = 0
    """Tries in a row that came to nothing."""

    state: LineState | None = None
    """None: nothing was tried since this process began."""

    is_wanted: bool = True
    """Whether the demo still has this target."""

    refused: str | None = None
    """Digest of the address that was refused: it is not tried again."""

    @property
    def key(self) -> LineKey:
        """Its identity."""
        return LineKey(self.uid, self.target.name)

    def due(self, now: float) -> list[Parcel]:
        """What is to be tried now, the longest waiting first."""
        waiting = [parcel for parcel in self.parcels.values() if parcel.is_open]
        ready = sorted(
            (parcel for parcel in waiting if parcel.due <= now), key=lambda parcel: parcel.due
        )
        # While the receiver fails, one message at a time finds out when it is well again.
        is_slow = dialect_of(self.target) in PACED or self.failures or self.refused
        return ready[: 1 if is_slow else TOGETHER]

    def picture(self) -> tuple[object, ...]:
        """What its demo's status tells of it."""
        return self.state, tuple(parcel.delivery for parcel in self.parcels.values())

    def wait(self, now: float) -> float | None:
        """Seconds until something is due; None if nothing is."""
        moments = [parcel.due for parcel in self.parcels.values() if parcel.is_open]
        moments += self.alerts.moments()
        if not moments:
            return None
        return max(min(moments) - now, self.not_before - now, 0.0)

    def retain(self, ids: Collection[str]) -> None:
        """Forget deliveries that the demo does not ask for any more: they are told, or given up."""
        self.parcels = {
            identifier: parcel
            for identifier, parcel in self.parcels.items()
            if identifier in ids or parcel.is_under_way
        }
