"""How many demos a namespace may have: who was there first is served, the others wait.

What one object says by itself is limited by the chart's ValidatingAdmissionPolicy. How many there
are, no admission rule can know, and a ResourceQuota only in namespaces that are there already.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from workshopdemo.cluster import Cache
from workshopdemo.errors import TooManyDemosError
from workshopdemo.names import DemoKey
from workshopdemo.observe import SPEC_VALID
from workshopdemo.settings import Settings

_NAMED: Final = 5
"""So many demos are named that take the room; a refusal has to stay a sentence."""


class Quota:
    """Who has a place in a namespace with a limit."""

    def __init__(
        self, settings: Settings, cache: Cache, wake: Callable[[DemoKey, float], None]
    ) -> None:
        """Nobody has a place yet.

        Args:
            settings: of the operator: the limit, and where it does not hold.
            cache: what the watches saw.
            wake: asks for a look at a demo in so many seconds.
        """
        self._settings = settings
        self._cache = cache
        self._wake = wake
        self._placed: dict[DemoKey, str] = {}
        """UIDs of demos that got a place here; their status may not say so yet."""

        self._waiting: set[DemoKey] = set()

    def claim(self, key: DemoKey, uid: str) -> None:
        """Take a place for a demo. Who has one keeps it, also when the limit is lowered: nothing
        that runs is stopped by it.

        Raises:
            TooManyDemosError: all are taken, or somebody who is older waits for one.
        """
        limit = self._settings.demos_per_namespace
        if not limit or key.namespace in self._settings.exempt_namespaces:
            return
        placed: list[Mapping[str, Any]] = []
        unplaced: list[Mapping[str, Any]] = []
        for demo in self._cache.demos_in(key.namespace):
            (placed if self._has_place(demo) else unplaced).append(demo)
        next_ones = sorted(unplaced, key=_seniority)[: max(limit - len(placed), 0)]
        if uid in map(_uid, placed + next_ones):
            self._placed[key] = uid
            self._waiting.discard(key)
            return
        self._waiting.add(key)
        raise _too_many(limit, sorted(_name(demo) for demo in placed + next_ones))

    def leave(self, key: DemoKey) -> None:
        """The demo is gone or going: those who wait in its namespace are looked at."""
        self._placed.pop(key, None)
        self._waiting.discard(key)
        for other in self._waiting:
            if other.namespace == key.namespace:
                self._wake(other, 0.0)

    def _has_place(self, demo: Mapping[str, Any]) -> bool:
        metadata = demo["metadata"]
        key = DemoKey(metadata["namespace"], metadata["name"])
        return self._placed.get(key) == metadata["uid"] or _was_served(demo)


def _was_served(demo: Mapping[str, Any]) -> bool:
    """Whether its status tells of it, and not that there was no place."""
    conditions = (demo.get("status") or {}).get("conditions") or ()
    reasons = [one.get("reason") for one in conditions if one.get("type") == SPEC_VALID]
    return bool(reasons) and TooManyDemosError.reason not in reasons


def _seniority(demo: Mapping[str, Any]) -> tuple[str, str]:
    return demo["metadata"]["creationTimestamp"], _uid(demo)


def _uid(demo: Mapping[str, Any]) -> str:
    return str(demo["metadata"]["uid"])


def _name(demo: Mapping[str, Any]) -> str:
    return str(demo["metadata"]["name"])


def _too_many(limit: int, placed: Sequence[str]) -> TooManyDemosError:
    more = len(placed) - _NAMED
    named = ", ".join(placed[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    demos = "one demo" if limit == 1 else f"{limit} demos"
    return TooManyDemosError(
        "metadata.namespace",
        f"a namespace may have {demos} (the value limits.demos of the operator), and {named} came"
        " first: delete one that you do not need, and this one goes on by itself",
    )
