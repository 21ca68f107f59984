"""How fast a receiver is spoken to, and how long to wait after a failure."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from workshopdemo.queue import backoff

CHAT_INTERVAL: Final = 1.05
"""Seconds between two messages to one Slack or Google Chat webhook: both take one a second
(Slack: rate limits, Google Chat: usage limits); a little more, as clocks and networks differ."""

FIRST_PAUSE: Final = 2.0


class Pace:
    """The pace of one receiver's URL, whoever sends to it: one at a time, and not too often."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()
        self._next = float("-inf")
        self.users = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, in the order of asking, and keep it while sending."""
        self.users += 1
        try:
            async with self._lock:
                await asyncio.sleep(max(self._next - self._clock(), 0.0))
                try:
                    yield
                finally:
                    self._next = max(self._next, self._clock() + CHAT_INTERVAL)
        finally:
            self.users -= 1

    def is_idle(self) -> bool:
        """Whether nobody would have to wait."""
        return not self.users and self._next <= self._clock()

    def hold(self, seconds: float) -> None:
        """Send nothing for so long: the receiver asked for it."""
        self._next = max(self._next, self._clock() + seconds)


def pause(failures: int, rng: random.Random) -> float:
    """Seconds to wait for a receiver after so many failures in a row."""
    return backoff(failures, rng, first=FIRST_PAUSE)
