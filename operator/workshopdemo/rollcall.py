"""At the start: have the watches told of all that there is? Before that, missing means nothing.

kopf would hold back event handlers until all is listed, if there were handlers of `kopf.index`. But
each object that it has indexed wakes all the others that wait, so that a start takes time with the
square of their number, minutes for thousands, and until its end each whole object is kept.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from workshopdemo.cluster import Cluster
from workshopdemo.errors import ClusterError
from workshopdemo.watches import Watch

_PAUSE: Final = 0.1
"""Seconds between two looks at what was told."""

_PATIENCE: Final = 5.0
"""Seconds until there is another list: what has gone meanwhile is not waited for."""


async def await_all(cluster: Cluster, watches: Iterable[Watch]) -> None:
    """Wait until each watch has told of all that it watches."""
    async with asyncio.TaskGroup() as tasks:
        for watch in watches:
            tasks.create_task(_await(cluster, watch))


async def _await(cluster: Cluster, watch: Watch) -> None:
    loop = asyncio.get_running_loop()
    while True:
        end = loop.time() + _PATIENCE
        try:
            seen = await cluster.list_seen(watch.watched, watch.namespace)
        except ClusterError:  # it is told by readiness
            await asyncio.sleep(_PATIENCE)
            continue
        listed = {one.uid: one.version for one in seen}
        while loop.time() < end:
            listed = watch.untold(listed)
            if not listed:
                return
            await asyncio.sleep(_PAUSE)
