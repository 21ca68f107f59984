"""Which key is due when: coalescing, one worker a key, back-off for what failed.

A key is anything that says which object to look at. Waking a key twice before it is looked at means
one look; waking it during a look means another one after. What failed is tried again with growing
pauses; what succeeded may ask to be looked at again later.
"""

import asyncio
import heapq
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

from workshopdemo.errors import WorkshopDemoError

K = TypeVar("K", bound=Hashable)

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 300.0
_DOUBLINGS: Final = 20

logger = logging.getLogger(__name__)


def backoff(failures: int, rng: random.Random, *, first: float = FIRST_PAUSE) -> float:
    """Seconds to wait after so many failures in a row: doubling from `first`, bounded, jittered."""
    # Doubled more often than this, a float would overflow long after the bound is reached.
    longest = min(first * 2 ** min(failures - 1, _DOUBLINGS), LONGEST_PAUSE)
    # Jitter: what failed together must not come back together.
    return float(longest * rng.uniform(0.5, 1.0))


class Backlog(NamedTuple):
    """What waits in a queue."""

    depth: int
    """Keys that are due."""

    oldest: float
    """Seconds since the one that waits longest became due; 0 if none is."""


class WorkQueue(Generic[K]):
    """The one queue of the operator."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        ended: Callable[[float, bool], None] | None = None,
    ) -> None:
        """Empty.

        Args:
            clock: the event loop's time, in seconds.
            rng: for the jitter of pauses.
            ended: is told of each look how many seconds it took, and whether it succeeded.
        """
        self._clock = clock
        self._rng = rng
        self._ended = ended
        self._due: dict[K, float] = {}
        self._order: list[tuple[float, int, K]] = []
        """A heap of what is due; what `_due` says otherwise is stale."""

        self._serial = itertools.count()
        self._running: set[K] = set()
        self._failures: dict[K, int] = {}
        self._poke = asyncio.Event()
        self.last_progress = clock()
        """When a look last ended: an idle queue makes progress too, see `is_stalled`."""

    def wake(self, key: K, after: float = 0.0) -> None:
        """Look at the key in so many seconds, or earlier if that was asked before."""
        due = self._clock() + after
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._line_up(key)
            self._poke.set()

    def _line_up(self, key: K) -> None:
        heapq.heappush(self._order, (self._due[key], next(self._serial), key))

    def backlog(self) -> Backlog:
        """What waits now."""
        now = self._clock()
        waits = [now - due for due in self._due.values() if due <= now]
        return Backlog(len(waits), max(waits, default=0.0))

    def is_stalled(self, patience: float) -> bool:
        """Whether something is due or looked at, and no look has ended for `patience` seconds."""
        now = self._clock()
        waiting = [due for key, due in self._due.items() if key not in self._running]
        overdue = bool(waiting) and now - min(waiting) > patience
        return (overdue or bool(self._running)) and now - self.last_progress > patience

    async def run(self, look: Callable[[K], Awaitable[float | None]], concurrency: int) -> None:
        """Serve the queue until cancelled.

        Args:
            look: looks at a key; gives the seconds until it wants to look again, or None.
            concurrency: how many looks at the same time.
        """
        free = asyncio.Semaphore(concurrency)
        async with asyncio.TaskGroup() as workers:
            while True:
                await free.acquire()
                key = await self._next()
                worker = workers.create_task(self._serve(key, look))
                worker.add_done_callback(lambda _: free.release())

    async def _next(self) -> K:
        while True:
            self._poke.clear()
            now = self._clock()
            first, key = self._first()
            if key is not None and first <= now:
                heapq.heappop(self._order)
                del self._due[key]
                self._running.add(key)
                return key
            try:
                async with asyncio.timeout(first - now if key is not None else None):
                    await self._poke.wait()
            except TimeoutError:
                continue

    def _first(self) -> tuple[float, K | None]:
        """What is due first, of the keys that nobody looks at, and when."""
        while self._order:
            due, _, key = self._order[0]
            if self._due.get(key) == due and key not in self._running:
                return due, key
            # It was woken for an earlier time; or it is looked at, and `_serve` lines it up again.
            heapq.heappop(self._order)
        return float("inf"), None

    async def _serve(self, key: K, look: Callable[[K], Awaitable[float | None]]) -> None:
        begun = self._clock()
        try:
            again = await look(key)
        except WorkshopDemoError as error:
            self._end(begun, succeeded=False)
            self._retry(key, str(error))
        except Exception:
            # A bug in looking at one object must not stop the others; it is told and tried again.
            logger.exception("%s: unexpected failure", key)
            self._end(begun, succeeded=False)
            self._retry(key, "unexpected failure")
        else:
            self._end(begun, succeeded=True)
            self._failures.pop(key, None)
            if again is not None:
                self.wake(key, after=again)
        finally:
            self._running.discard(key)
            if key in self._due:
                self._line_up(key)
            self.last_progress = self._clock()
            self._poke.set()

    def _end(self, begun: float, *, succeeded: bool) -> None:
        """Tell of the end of a look; one that is cancelled has none."""
        if self._ended is not None:
            self._ended(self._clock() - begun, succeeded)

    def _retry(self, key: K, why: str) -> None:
        failures = self._failures.get(key, 0) + 1
        self._failures[key] = failures
        pause = backoff(failures, self._rng)
        logger.warning("%s: %s; try %d follows in %.0f s", key, why, failures + 1, pause)
        self.wake(key, after=pause)
