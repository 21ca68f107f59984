"""At the start: have the watches told of all that there is? Before that, missing means nothing.

kopf would hold back event handlers until all is listed, if there were handlers of `kopf.index`. But
each object that it has indexed wakes all the others that wait, so that a start takes time with the
square of their number, minutes for thousands, and until its end each whole object is kept.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from workshopdemo.cluster import Cluster
from workshopdemo.errors import ClusterError
from workshopdemo.watches import Watch

_PAUSE: Final = 0.1
"""Seconds between two looks at what was told."""

_SILENCE: Final = 5.0
"""Seconds without a word of any watch until there is another list: what has gone meanwhile is not
waited for. While they tell, a busy machine may need long, and lists would make it longer."""

_PATIENCE: Final = 30.0
"""The same, whatever they tell: somewhere in a cluster, something happens all the time."""


async def await_all(cluster: Cluster, watches: Collection[Watch]) -> None:
    """Wait until each watch has told of all that it watches."""
    async with asyncio.TaskGroup() as tasks:
        for watch in watches:
            tasks.create_task(_await(cluster, watch, watches))


async def _await(cluster: Cluster, watch: Watch, watches: Collection[Watch]) -> None:
    while True:
        listed = await _listed(cluster, watch)
        if listed is not None and await _is_told(watch, listed, watches):
            return


async def _listed(cluster: Cluster, watch: Watch) -> dict[str, int] | None:
    """Version by UID of all that there is; None if that cannot be known now."""
    try:
        seen = await cluster.list_seen(watch.watched, watch.namespace)
    except ClusterError:  # it is told by readiness
        await asyncio.sleep(_SILENCE)
        return None
    return {one.uid: one.version for one in seen}


async def _is_told(watch: Watch, listed: dict[str, int], watches: Collection[Watch]) -> bool:
    """Whether the watch tells of all that is listed, before there is reason to list anew."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    while listed := watch.untold(listed):
        heard_at = max(begun, *(one.heard_at for one in watches))
        if clock() > min(heard_at + _SILENCE, begun + _PATIENCE):
            return False
        await asyncio.sleep(_PAUSE)
    return True
