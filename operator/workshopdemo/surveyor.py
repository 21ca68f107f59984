"""Counts lines: asks kubelets what was written and aggregators what arrived, beside the looks.

A demo's look hands in what is to be counted and takes what was found; asking takes its time here,
and a slow aggregator delays nobody but itself.
"""

import asyncio
import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from workshopdemo.cluster import Cluster
from workshopdemo.desks import Desks
from workshopdemo.errors import AggregatorError, ClusterError
from workshopdemo.logsql import SeriesCount
from workshopdemo.names import DemoKey
from workshopdemo.observe import (
    EmitterPod,
    LastLine,
    Survey,
    Tally,
    newest_line,
    overdue,
    tallies,
)
from workshopdemo.queue import WorkQueue

WINDOW: Final = 60.0
"""Seconds after which what is missing counts as missing: batches may arrive out of order."""

_PAUSE: Final = 2.0
_IDLE_PAUSE: Final = 30.0
_READS: Final = 16
"""How many kubelets are asked at the same time, all demos together."""

_ENDS: Final = 32
"""How many earlier series of a Pod are remembered."""

_PODS_PER_SECOND: Final = 5
"""With many nodes, they are asked less often."""


class Counter(Protocol):
    """The aggregator, as far as counting goes."""

    async def count(self, address: str, query: str) -> tuple[SeriesCount, ...]:
        """Count the lines of a run, by Pod and series.

        Raises:
            AggregatorError: it did not answer, or not sensibly.
        """


@dataclass(frozen=True)
class SurveyOrder:
    """What to count."""

    namespace: str
    container: str
    """Name of the emitters' container."""

    emitters: tuple[EmitterPod, ...]
    run: int
    query: str
    """Counts what has arrived of their lines."""

    address: str | None
    """IP address of the aggregator's Pod; None: it is not Ready."""

    knows: bool
    """Whether there is an aggregator to ask."""

    ships: bool = True
    """Whether there is any log shipper; without one, nothing moves."""


@dataclass
class _Desk:
    """What is known of a demo."""

    order: SurveyOrder
    survey: Survey | None = None
    past: deque[tuple[float, Mapping[str, Tally]]] = field(default_factory=deque)
    """What was counted when, for as long as `WINDOW` and a bit."""


class Surveyor:
    """Counts for all demos."""

    def __init__(
        self,
        *,
        queue: WorkQueue[DemoKey],
        cluster: Cluster,
        counter: Counter,
        wake: Callable[[DemoKey], None],
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        """Know nothing yet.

        Args:
            queue: of its own.
            cluster: the API server, which asks the kubelets.
            counter: asks aggregators.
            wake: is told when there is news of a demo.
            clock: the event loop's time, in seconds.
            now: the time of day.
        """
        self._cluster = cluster
        self._counter = counter
        self._wake = wake
        self._clock = clock
        self._now = now
        self._desks: Desks[SurveyOrder, _Desk] = Desks(queue, _Desk, _changed)
        self._reads = asyncio.Semaphore(_READS)

    def offer(self, key: DemoKey, order: SurveyOrder | None) -> Survey | None:
        """Have this counted from now on, until it is offered None; gives what was found so far."""
        desk = self._desks.offer(key, order)
        return desk.survey if desk is not None else None

    async def serve(self, key: DemoKey) -> float | None:
        """Count once; gives the seconds until the next time, or None."""
        desk = self._desks.get(key)
        if desk is None:
            return None
        order = desk.order
        survey = await self._ask(order, desk.survey)
        if self._desks.get(key) is not desk or desk.order != order:
            return self._desks.again(key)
        if survey.trouble is None:
            survey = dataclasses.replace(survey, gaps=self._gaps(desk, survey))
        else:
            desk.past.clear()
        if survey != desk.survey:
            desk.survey = survey
            self._wake(key)
        pause = _PAUSE if order.ships else _IDLE_PAUSE
        return max(pause, len(order.emitters) / _PODS_PER_SECOND)

    async def _ask(self, order: SurveyOrder, before: Survey | None) -> Survey:
        before = before or Survey()
        # What was written is asked first: what arrives meanwhile makes nothing look missing.
        found = await asyncio.gather(
            *(self._last_line(order, emitter.pod) for emitter in order.emitters)
        )
        last = {
            emitter.pod: line or before.last[emitter.pod]
            for emitter, line in zip(order.emitters, found, strict=True)
            if line is not None or emitter.pod in before.last
        }
        ends = {pod: known for pod, line in last.items() if (known := _ends(pod, line, before))}
        if not order.knows:
            return Survey(last=last, ends=ends)
        try:
            received = await self._count(order)
        except AggregatorError as error:
            return Survey(
                last=last,
                ends=ends,
                received=before.received,
                gaps=before.gaps,
                trouble=str(error),
                unheard=before.unheard or self._now(),
            )
        return Survey(last=last, ends=ends, received=received)

    async def _count(self, order: SurveyOrder) -> tuple[SeriesCount, ...]:
        if order.address is None:
            raise AggregatorError("the aggregator is not Ready")
        return await self._counter.count(order.address, order.query)

    async def _last_line(self, order: SurveyOrder, pod: str) -> LastLine | None:
        try:
            async with self._reads:
                text = await self._cluster.newest_log_lines(order.namespace, pod, order.container)
        except ClusterError:
            return None  # its node does not answer: what it wrote last is what counts
        return newest_line(text)

    def _gaps(self, desk: _Desk, survey: Survey) -> Mapping[str, int] | None:
        """What was written so long ago that it should be there by now, and is not."""
        pods = [emitter.pod for emitter in desk.order.emitters]
        now = self._clock()
        counted = tallies(pods, survey, desk.order.run)
        desk.past.append((now, counted))
        while len(desk.past) > 1 and desk.past[1][0] <= now - WINDOW:
            desk.past.popleft()
        if desk.past[0][0] > now - WINDOW:
            return None
        return overdue(desk.past[0][1], counted)


def _changed(desk: _Desk, order: SurveyOrder) -> _Desk:
    if desk.order.query != order.query:
        # Another run: what was counted is none of its lines.
        return _Desk(order)
    if desk.order.address != order.address and desk.survey is not None:
        # Whoever did not answer has gone, and who is there now was not asked yet.
        desk.survey = dataclasses.replace(desk.survey, trouble=None, unheard=None)
    return desk


def _ends(pod: str, line: LastLine, before: Survey) -> Mapping[str, int]:
    """The last line seen of each series that the Pod had written before this one."""
    known = before.ends.get(pod, {})
    previous = before.last.get(pod)
    if previous is None or previous.series == line.series:
        return known
    # Whoever writes lines of its own into such a log makes a series of each: enough is enough.
    newest = list(known.items())[-_ENDS:]
    return {**dict(newest), previous.series: previous.seq}
