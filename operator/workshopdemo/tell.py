"""Status → cluster: the status when it changed, and an Event for each transition."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from workshopdemo import names
from workshopdemo.cluster import Cache, Cluster
from workshopdemo.errors import ClusterError, ConflictError, NotFoundError
from workshopdemo.look import Draft, Memory
from workshopdemo.names import DemoKey
from workshopdemo.observe import Transition, format_time, transitions

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

    def early(self, memory: Memory) -> float:
        """Seconds until the status of a demo may be written again."""
        return max(memory.written + self._interval - self._clock(), 0.0)

    def is_old(self, draft: Draft) -> bool:
        """Whether the draft was made of a demo that has changed since."""
        metadata = draft.metadata
        body = self._cache.demo(DemoKey(metadata["namespace"], metadata["name"]))
        known = body["metadata"] if body is not None else {}
        return any(known.get(field) != metadata[field] for field in ("uid", "resourceVersion"))

    async def tell(self, draft: Draft, memory: Memory) -> bool:
        """Write the status; False: the demo has changed meanwhile, and a new look must be had."""
        # Events first: their names are their transitions', so that told again after a crash they
        # are still one; after the status nobody would know that they are missing.
        for transition in transitions(draft.told, draft.status):
            await self.post(draft.metadata, transition)
        identity = ("name", "namespace", "uid", "resourceVersion")
        try:
            answer = await self._cluster.apply_status(
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.KIND,
                    # With its UID, a namesake that came meanwhile is not told this one's story;
                    # with its version, totals are never counted from a status that is old.
                    "metadata": {field: draft.metadata[field] for field in identity},
                    "status": msgspec.to_builtins(draft.status),
                }
            )
        except ConflictError:
            return False
        memory.written = self._clock()
        self._cache.put_demo(answer)
        return True

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
            await self._cluster.post_event(event)
        except NotFoundError:
            raise
        except ClusterError as error:
            # Events are a courtesy (best effort in Kubernetes too); the status tells the same.
            logger.warning("%s", error)
