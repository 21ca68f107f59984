"""Compares now and then what the watches have told with what there is.

What went while a watch was broken is forgotten, every demo is looked at, and a watch that is dead
is noticed: one whose connection hangs, whose task has ended, or which tells of some objects only,
whatever others do.

A watch is dead when a list shows something, and the watch still has not told of it `PATIENCE`
seconds later, although it is there and the operator may watch it. Then `dead` tells so, the
liveness probe fails, and a new start gets new watches. Nothing else ends the operator here. Where
the API server cannot be asked, nothing is known to be missed, and a new start would find it away
still: connections time out and are made anew by themselves, readiness and the age of the watches
tell the rest. A right that is missing is told by readiness too, and no new start would grant it.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from workshopdemo.cluster import Access, Cache, Cluster, Seen
from workshopdemo.errors import ClusterError
from workshopdemo.facts import CHILD_KINDS, DEMOS, NODES, Child, Node
from workshopdemo.names import DemoKey
from workshopdemo.watches import Watch, Watches

logger = logging.getLogger(__name__)

LAG: Final = 20.0
"""Seconds that a watch may be behind a list."""

SUSPICION_PAUSE: Final = 30.0
"""Seconds until a watch that has missed something is looked at again."""

PATIENCE: Final = 120.0
"""Seconds after which a watch that has missed something is dead. A connection on which nothing
comes any more is replaced before that, see `SILENCE`."""

SILENCE: Final = 70.0
"""Seconds without a word of the API server, after which a watch connects anew: it sends a bookmark
a minute (allowWatchBookmarks)."""


@dataclass(frozen=True)
class _Known:
    """What was known before any list began."""

    demos: Mapping[DemoKey, str]
    children: Mapping[str, Sequence[Child]]
    nodes: Sequence[Node]


@dataclass(frozen=True)
class _List:
    """What there is of what a watch watches."""

    watch: Watch
    begun: float
    told: set[str]
    """UIDs of what was there by the watch's word before the list began."""

    seen: Sequence[Seen]

    @cached_property
    def versions(self) -> dict[str, int]:
        """By UID."""
        return {one.uid: one.version for one in self.seen}


class Watchdog:
    """Looks after the watches."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        watches: Watches,
        wake: Callable[[DemoKey], None],
        pause: float,
        clock: Callable[[], float],
    ) -> None:
        """Nothing is compared yet.

        Args:
            cluster: the API server.
            cache: what the watches saw.
            watches: what they have told.
            wake: asks for a look at a demo.
            pause: seconds between comparisons.
            clock: the event loop's time, in seconds.
        """
        self._cluster = cluster
        self._cache = cache
        self._watches = watches
        self._wake = wake
        self._pause = pause
        self._clock = clock
        self._dead: dict[Watch, str] = {}

    def dead(self) -> list[str]:
        """The watches that are dead, each in a sentence."""
        return [words for watch, words in self._dead.items() if watch.has_missed()]

    async def run(self) -> None:
        """Look after the watches until cancelled."""
        while True:
            end = self._clock() + self._pause
            while (left := end - self._clock()) > 0:
                suspects = [watch for watch in self._watches if watch.has_missed()]
                await asyncio.sleep(min(SUSPICION_PAUSE, left) if suspects else left)
                if suspects:
                    await self._compare(suspects)
            await self._resync()

    async def _resync(self) -> None:
        """Compare all, forget what went unheard, and look at every demo."""
        known = _Known(
            demos=self._cache.demos(),
            children={kind: self._cache.all_children(kind) for kind in CHILD_KINDS},
            nodes=self._cache.nodes(),
        )
        lists = await self._compare(self._watches)
        if not self._cache.is_complete:
            return
        self._forget(known, lists)
        for key in self._cache.demos():
            self._wake(key)

    async def _compare(self, watches: Iterable[Watch]) -> list[_List]:
        """Compare what these watches have told with what there is; gives the lists of that."""
        lists = [found for watch in watches if (found := await self._list(watch)) is not None]
        await asyncio.sleep(LAG)
        for one in lists:
            await self._judge(one)
        return lists

    async def _list(self, watch: Watch) -> _List | None:
        begun, told = self._clock(), watch.uids()
        try:
            seen = await self._cluster.list_seen(watch.watched, watch.namespace)
        except ClusterError as error:
            self._know_nothing(watch, error)
            return None
        return _List(watch, begun, told, seen)

    def _know_nothing(self, watch: Watch, error: ClusterError) -> None:
        logger.warning("%s cannot be compared with what there is: %s", watch, error)
        watch.begin_anew()

    async def _judge(self, found: _List) -> None:
        watch, missed = found.watch, found.watch.untold(found.versions)
        if missed:
            # Without a second look, what has gone meanwhile would count as missed.
            again = await self._list(watch)
            if again is None:
                return
            missed = {
                uid: version
                for uid, version in watch.untold(found.versions).items()
                if uid in again.versions
            }
        gone = found.told - found.versions.keys()
        watch.conclude(listed_at=found.begun, missed=missed, gone=gone)
        if watch.late() > PATIENCE and await self._may_watch(watch):
            self._pronounce_dead(watch)
        else:
            self._dead.pop(watch, None)

    async def _may_watch(self, watch: Watch) -> bool:
        resource = watch.watched.resource
        access = Access("watch", resource.group, resource.plural)
        try:
            return await self._cluster.allowed(access, watch.namespace)
        except ClusterError as error:
            self._know_nothing(watch, error)
            return False

    def _pronounce_dead(self, watch: Watch) -> None:
        if watch not in self._dead:
            self._dead[watch] = f"{watch} is dead: it does not tell of what is there; start again"
            logger.error("%s", self._dead[watch])

    def _forget(self, known: _Known, lists: Sequence[_List]) -> None:
        """Forget what was known before these lists and stands in none of them.

        A watch that was broken for longer than the API server's history begins anew with a list,
        which does not tell what went in between.
        """
        listed = self._by_kind(lists)
        for kind, resource in CHILD_KINDS.items():
            if resource.plural in listed:
                uids = {one.uid for one in listed[resource.plural]}
                for key in self._cache.forget_unlisted(known.children[kind], uids):
                    self._wake(key)
        if DEMOS.plural in listed:
            uids = {one.uid for one in listed[DEMOS.plural]}
            for key in self._cache.forget_unlisted_demos(known.demos, uids):
                self._wake(key)
        if NODES.plural in listed:
            names = {one.name for one in listed[NODES.plural]}
            self._cache.forget_unlisted_nodes(known.nodes, names)

    def _by_kind(self, lists: Sequence[_List]) -> dict[str, list[Seen]]:
        """By plural what there is, of the kinds that could be listed wherever they are watched."""
        found = {one.watch: one.seen for one in lists}
        unknown = {watch.plural for watch in self._watches if watch not in found}
        listed: dict[str, list[Seen]] = defaultdict(list)
        for watch, seen in found.items():
            if watch.plural not in unknown:
                listed[watch.plural] += seen
        return listed
