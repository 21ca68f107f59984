"""What each watch has told, and whether it can have missed anything.

A watch tells when something happens, and nothing when nothing does: its silence alone does not say
whether it is dead. So what it has told is kept, by UID and resourceVersion, to be compared with a
list of what there is. What the operator's own writes have answered is no word of a watch, and so
the cache will not do for that.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from workshopdemo.facts import WATCHED, Watched


class Missed(NamedTuple):
    """What a watch ought to have told of an object, and has not."""

    version: int
    since: float


class Watch:
    """One watch: on one kind, in one namespace or in all."""

    def __init__(self, watched: Watched, namespace: str | None, clock: Callable[[], float]) -> None:
        """Nothing is told yet.

        Args:
            watched: the kind.
            namespace: None is all.
            clock: the event loop's time, in seconds.
        """
        self.watched = watched
        self.namespace = namespace
        self._clock = clock
        self._told: dict[str, int] = {}
        """Newest version by UID, of what is there."""

        self._missed: dict[str, Missed] = {}
        self._true_at = self.heard_at = clock()

    @property
    def plural(self) -> str:
        """The kind."""
        return self.watched.resource.plural

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"the watch on {self.plural}{where}"

    def tell(self, uid: str, version: int) -> None:
        """It has told of an object."""
        self._told[uid] = max(version, self._told.get(uid, 0))
        missed = self._missed.get(uid)
        if missed is not None and missed.version <= version:
            del self._missed[uid]
        self._heard()

    def end(self, uid: str) -> None:
        """It has told that an object is gone."""
        self._told.pop(uid, None)
        self._missed.pop(uid, None)
        self._heard()

    def _heard(self) -> None:
        self.heard_at = self._clock()
        # Who tells of one thing may still have missed another.
        if not self._missed:
            self._true_at = self._clock()

    def uids(self) -> set[str]:
        """UIDs of all that is there, by its word."""
        return set(self._told)

    def untold(self, listed: Mapping[str, int]) -> dict[str, int]:
        """What of a list, version by UID, it has told nothing of, or only something older."""
        return {uid: version for uid, version in listed.items() if self._told.get(uid, 0) < version}

    def conclude(
        self, *, listed_at: float, missed: Mapping[str, int], gone: Collection[str]
    ) -> None:
        """Take over what a comparison with a list has shown.

        Args:
            listed_at: when the list began.
            missed: what it ought to have told: version by UID.
            gone: UIDs of what it ought to have told the end of. It is forgiven that once: a watch
                that was broken for longer than the API server's history begins anew with a list,
                which does not tell what went in between.
        """
        now = self._clock()
        lost = [uid for uid in gone if self._told.pop(uid, None) is not None]
        self._missed = {
            uid: self._missed.get(uid) or Missed(version, now) for uid, version in missed.items()
        }
        if not self._missed and not lost:
            self._true_at = max(self._true_at, listed_at)

    def begin_anew(self) -> None:
        """Count from now on what was missed: meanwhile the API server may have been away."""
        now = self._clock()
        self._missed = {uid: Missed(one.version, now) for uid, one in self._missed.items()}

    def late(self) -> float:
        """Seconds since it is known to have missed what it still has not told; 0 if nothing."""
        since = min((one.since for one in self._missed.values()), default=None)
        return 0.0 if since is None else self._clock() - since

    def has_missed(self) -> bool:
        """Whether something is known that it has not told."""
        return bool(self._missed)

    def age(self) -> float:
        """Seconds since it is last known to have told everything."""
        return self._clock() - self._true_at


class Watches:
    """All watches."""

    def __init__(self, namespaces: Sequence[str], clock: Callable[[], float]) -> None:
        """Nothing is told yet.

        Args:
            namespaces: those served, each with watches of its own; none means all.
            clock: the event loop's time, in seconds.
        """
        self._watches = {
            (plural, namespace): Watch(watched, namespace, clock)
            for plural, watched in WATCHED.items()
            for namespace in (namespaces if watched.is_namespaced else ()) or (None,)
        }
        self._is_clusterwide = not namespaces

    def __iter__(self) -> Iterator[Watch]:
        return iter(self._watches.values())

    def tell(self, plural: str, metadata: Mapping[str, Any]) -> None:
        """The watch on that kind has told of the object with that metadata."""
        self._of(plural, metadata).tell(metadata["uid"], int(metadata["resourceVersion"]))

    def end(self, plural: str, metadata: Mapping[str, Any]) -> None:
        """It has told that this object is gone."""
        self._of(plural, metadata).end(metadata["uid"])

    def _of(self, plural: str, metadata: Mapping[str, Any]) -> Watch:
        namespace = None if self._is_clusterwide else metadata.get("namespace")
        return self._watches[plural, namespace]

    def ages(self) -> dict[str, float]:
        """By plural, the age of the watch that is worst off, see `Watch.age`."""
        ages: dict[str, float] = {}
        for (plural, _), watch in self._watches.items():
            ages[plural] = max(watch.age(), ages.get(plural, 0.0))
        return ages
