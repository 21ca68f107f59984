"""Status → cluster: the status when it changed, and an Event for each transition."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from workshopdemo import names
from workshopdemo.cluster import Cache, Cluster
from workshopdemo.errors import ClusterError, ConflictError, NotFoundError
from workshopdemo.look import Memory
from workshopdemo.model import Status
from workshopdemo.observe import Transition, format_time, transitions

_CONFLICT_PAUSE: Final = 0.2

logger = logging.getLogger(__name__)


class Teller:
    """Tells what was observed. What is told already is not told again."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        *,
        interval: float,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        """Of any demo.

        Args:
            cluster: the API server.
            cache: is told of the answer.
            interval: seconds between two status writes of one demo, at least.
            now: the time of day.
            clock: the event loop's time, in seconds.
        """
        self._cluster = cluster
        self._cache = cache
        self._interval = interval
        self._now = now
        self._clock = clock

    async def tell(
        self, metadata: dict[str, Any], told: Status, status: Status, memory: Memory
    ) -> float | None:
        """Write the status if it changed; gives the seconds to wait if it is too early for that."""
        if status == told:
            return None
        early = memory.written + self._interval - self._clock()
        if early > 0:
            return early
        # Events first: their names are their transitions', so that told again after a crash they
        # are still one; after the status nobody would know that they are missing.
        for transition in transitions(told, status):
            await self.post(metadata, transition)
        identity = ("name", "namespace", "uid", "resourceVersion")
        try:
            answer = await self._cluster.apply_status(
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.KIND,
                    # With its UID, a namesake that came meanwhile is not told this one's story;
                    # with its version, totals are never counted from a status that is old.
                    "metadata": {field: metadata[field] for field in identity},
                    "status": msgspec.to_builtins(status),
                }
            )
        except ConflictError:
            # The watch is about to tell what has changed.
            return max(self._interval, _CONFLICT_PAUSE)
        memory.written = self._clock()
        self._cache.put_demo(answer)
        return None

    async def post(self, metadata: dict[str, Any], transition: Transition) -> None:
        """Post an Event on the demo."""
        moment = format_time(self._now())
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{names.digest(transition.identity)}",
                "namespace": metadata["namespace"],
            },
            "involvedObject": {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": transition.type,
            "reason": transition.reason,
            "message": transition.message,
            "source": {"component": names.FIELD_MANAGER},
            "reportingComponent": names.FIELD_MANAGER,
            "reportingInstance": names.FIELD_MANAGER,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
        try:
            await self._cluster.apply(event)
        except NotFoundError:
            raise
        except ClusterError as error:
            # Events are a courtesy (best effort in Kubernetes too); the status tells the same.
            logger.warning("%s", error)
