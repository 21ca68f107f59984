"""How many messages a receiver takes in a time."""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

_MOST_BUCKETS: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Rate:
    """So many a second on average, and so many at once."""

    per_second: float
    burst: int


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float
    """When `tokens` was last true, by the clock."""


class RateLimits:
    """Token buckets, one a key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """All full.

        Args:
            clock: seconds that never go back.
        """
        self.enabled = True
        self._clock = clock
        self._buckets: dict[Hashable, _Bucket] = {}

    def wait(self, key: Hashable, rate: Rate) -> float:
        """Take a token. Zero: there was one; else the seconds until there is, and none is taken."""
        if not self.enabled:
            return 0.0
        now = self._clock()
        bucket = self._buckets.pop(key, None) or _Bucket(rate.burst, now)
        self._buckets[key] = bucket  # the last one used stands last
        if len(self._buckets) > _MOST_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        grown = bucket.tokens + (now - bucket.filled) * rate.per_second
        bucket.tokens, bucket.filled = min(float(rate.burst), grown), now
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) / rate.per_second


def whole_seconds(wait: float) -> int:
    """As a Retry-After header says it."""
    return max(1, math.ceil(wait))
