"""The ledger of deliveries: marks on Jobs and CronJobs, written only over what was read."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from workshopdemo.cluster import Cache, Cluster
from workshopdemo.errors import ClusterError, ConflictError, NotFoundError
from workshopdemo.facts import Child, child_of
from workshopdemo.notify import marks
from workshopdemo.notify.deliveries import Letter
from workshopdemo.notify.marks import Mark

_TRIES: Final = 10
"""So often a write is tried that others overtake: a Job's controller writes a few times at its
end, a CronJob's at each run."""


@dataclass(frozen=True)
class Place:
    """Where a letter's mark is."""

    kind: str
    namespace: str
    name: str
    uid: str
    key: str


@dataclass
class _Entry:
    target: str
    key: str
    expected: Mark | None
    new: Mark
    outcome: "asyncio.Future[Mark | None]"


@dataclass
class _Page:
    """An object that marks are written to; all that come at the same time go in one request."""

    entries: list[_Entry] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None


class Ledger:
    """Reads and writes marks."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache
        self._pages: dict[str, _Page] = {}

    def place(self, demo_uid: str, letter: Letter) -> Place | None:
        """Where the letter's mark belongs: its Job, else its CronJob; None if both are gone."""
        job = letter.delivery.job
        found = self._cache.child(demo_uid, "Job", job) if job else None
        if found is not None and letter.message.job_uid in (None, found.uid):
            return Place("Job", found.namespace, found.name, found.uid, letter.key)
        if letter.cron_job is not None:
            cron_job = self._cache.child(demo_uid, "CronJob", letter.cron_job)
            if cron_job is not None:
                return Place(
                    "CronJob", cron_job.namespace, cron_job.name, cron_job.uid, letter.far_key
                )
        return None

    def mark(self, demo_uid: str, letter: Letter) -> Mark | None:
        """The letter's mark, as far as the watches have told."""
        place = self.place(demo_uid, letter)
        child = self._child(demo_uid, place) if place else None
        if place is None or child is None:
            return None
        return marks.read(child.marks, letter.target.name).get(place.key)

    async def write(
        self, demo_uid: str, letter: Letter, expected: Mark | None, new: Mark
    ) -> Mark | None:
        """Write a mark over the one that was read; gives the mark that stands there now.

        Where there is nothing (any more) to write on, the new mark counts as written.

        Raises:
            ClusterError: it could not be written now.
        """
        place = self.place(demo_uid, letter)
        if place is None:
            return new
        page = self._pages.setdefault(place.uid, _Page())
        outcome: asyncio.Future[Mark | None] = asyncio.get_running_loop().create_future()
        page.entries.append(_Entry(letter.target.name, place.key, expected, new, outcome))
        if page.task is None:
            page.task = asyncio.create_task(self._write_page(demo_uid, place, page))
        return await outcome

    def _child(self, demo_uid: str, place: Place) -> Child | None:
        child = self._cache.child(demo_uid, place.kind, place.name)
        return child if child is not None and child.uid == place.uid else None

    async def _write_page(self, demo_uid: str, place: Place, page: _Page) -> None:
        try:
            while page.entries:
                # The letters to the other targets come in the same turn of the loop.
                await asyncio.sleep(0)
                entries, page.entries = page.entries, []
                await self._write_entries(demo_uid, place, entries)
        finally:
            page.task = None
            if not page.entries:
                self._pages.pop(place.uid, None)

    async def _write_entries(self, demo_uid: str, place: Place, entries: list[_Entry]) -> None:
        try:
            found = await self._swap(demo_uid, place, entries)
        except NotFoundError:
            found = [entry.new for entry in entries]
        except ClusterError as error:
            for entry in entries:
                if not entry.outcome.done():
                    entry.outcome.set_exception(error)
            return
        for entry, mark in zip(entries, found, strict=True):
            if not entry.outcome.done():
                entry.outcome.set_result(mark)

    async def _swap(self, demo_uid: str, place: Place, entries: list[_Entry]) -> list[Mark | None]:
        """Write what still stands as it was expected; gives the marks that stand there now."""
        child = self._child(demo_uid, place)
        for _ in range(_TRIES):
            if child is None:
                child = await self._look_up(place)
            changes, found = _changes(child.marks, entries)
            if not changes:
                return found
            try:
                body = await self._cluster.annotate(
                    place.kind, place.namespace, place.name, str(child.version), changes
                )
            except ConflictError:
                child = None
                continue
            self._cache.put_child(place.kind, body)
            return found
        raise ConflictError(f"{place.kind} {place.name} changes faster than it can be written")

    async def _look_up(self, place: Place) -> Child:
        body = await self._cluster.get(place.kind, place.namespace, place.name)
        if body is None or body["metadata"]["uid"] != place.uid:
            raise NotFoundError(f"{place.kind} {place.name} is gone")
        self._cache.put_child(place.kind, body)
        return child_of(place.kind, body)


def _changes(
    annotations: Mapping[str, str], entries: list[_Entry]
) -> tuple[dict[str, str], list[Mark | None]]:
    """Annotations to write, and the mark of each entry after that."""
    pages: dict[str, dict[str, Mark]] = {}
    changed: set[str] = set()
    found: list[Mark | None] = []
    for entry in entries:
        page = pages.setdefault(entry.target, marks.read(annotations, entry.target))
        standing = page.get(entry.key)
        if standing == entry.expected:
            page[entry.key] = entry.new
            changed.add(entry.target)
        found.append(page.get(entry.key))
    written = {marks.annotation(target): marks.written(pages[target]) for target in changed}
    return written, found
