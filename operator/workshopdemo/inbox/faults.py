"""Failing on demand: what a sender has to live with, made to happen when a class looks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from workshopdemo.inbox.message import Address, Filter

MOST_FAULTS: Final = 100

Name = Annotated[str, msgspec.Meta(max_length=253)]


class Fault(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True,
    omit_defaults=True,
):  # fmt: skip
    """What shall go wrong, for whom, and for how long. Without an end, until it is removed."""

    namespace: Name | None = None
    demo: Name | None = None
    target: Name | None = None
    dialect: Name | None = None

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None
    """Answer with this; without a body, in the words of the receiver that is played."""

    retry_after: (
        Annotated[int, msgspec.Meta(ge=0)]
        | Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[ -~]+$")]
        | None
    ) = None
    """The Retry-After header: seconds, or a date."""

    body: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    """Answer with this, and with 200 where no status is given."""

    delay: Annotated[float, msgspec.Meta(ge=0, le=300)] = 0.0
    """Seconds to wait before anything else; alone, the message is taken afterwards."""

    reset: bool = False
    """Close the connection without an answer."""

    after_storing: bool = False
    """Take the message first: only the answer is lost. It spares what would be refused anyway."""

    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None

    def __post_init__(self) -> None:
        """Refuse what would do nothing, or two things at once."""
        if self.reset and (self.status is not None or self.body is not None):
            raise ValueError("reset leaves no answer: neither status nor body goes with it")
        if self.retry_after is not None and self.status is None:
            raise ValueError("retryAfter needs a status")
        if not (self.reset or self.delay or self.status is not None or self.body is not None):
            raise ValueError("a fault needs one of status, body, delay and reset")

    @property
    def filter(self) -> Filter:
        """Whose deliveries it hits."""
        return Filter(
            namespace=self.namespace, demo=self.demo, target=self.target, dialect=self.dialect
        )

    @property
    def answers(self) -> bool:
        """Whether it answers in the receiver's place, or at least leaves it no answer."""
        return self.reset or self.status is not None or self.body is not None


@dataclass(kw_only=True)
class ActiveFault:
    """A fault and how far it has got."""

    id: int
    fault: Fault
    ends: float
    """By the clock."""

    used: int = 0


class TooManyFaultsError(Exception):
    """There is an end to what can go wrong."""


class Faults:
    """The faults in the order in which they were asked for; the first that matches applies."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """None.

        Args:
            clock: seconds that never go back.
        """
        self._clock = clock
        self._active: list[ActiveFault] = []
        self._last_id = 0

    def __iter__(self) -> Iterator[ActiveFault]:
        """Those that are not over."""
        now = self._clock()
        self._active = [
            one
            for one in self._active
            if one.ends > now and (one.fault.count is None or one.used < one.fault.count)
        ]
        return iter(self._active)

    def add(self, fault: Fault) -> ActiveFault:
        """Have it happen from now on.

        Raises:
            TooManyFaultsError: remove some first.
        """
        if len(list(self)) >= MOST_FAULTS:
            raise TooManyFaultsError(f"there are {MOST_FAULTS} faults already: remove some first")
        self._last_id += 1
        ends = float("inf") if fault.seconds is None else self._clock() + fault.seconds
        active = ActiveFault(id=self._last_id, fault=fault, ends=ends)
        self._active.append(active)
        return active

    def find(self, address: Address) -> ActiveFault | None:
        """The one that a delivery to this address meets; it is not used up by that."""
        return next((one for one in self if one.fault.filter.matches(address)), None)

    def remove(self, wanted: Filter) -> int:
        """Remove those that were asked for with these very names; gives how many."""
        kept = [one for one in self if not wanted.contains(one.fault.filter)]
        removed = len(self._active) - len(kept)
        self._active = kept
        return removed
