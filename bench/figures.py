"""Numbers of a scene, and what many runs of it come to."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One number of one run. Smaller is better."""

    name: str
    value: float
    unit: str = ""
    aim: float | None = None
    """What it should be, at most."""

    is_promise: bool = False
    """Whether missing the aim means that the product is broken, not slow."""

    @property
    def is_kept(self) -> bool:
        """Whether it is not worse than promised."""
        return not self.is_promise or self.aim is None or self.value <= self.aim


@dataclass(frozen=True)
class Summary:
    """One number of many runs."""

    typical: float
    """The median of the runs."""

    best: float
    worst: float

    @staticmethod
    def of(values: Sequence[float]) -> "Summary":
        """Of at least one run."""
        return Summary(statistics.median(values), min(values), max(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """By nearest rank: of 100 or fewer the 99th is the largest."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
