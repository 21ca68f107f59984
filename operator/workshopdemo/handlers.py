"""kopf's handlers. They fill the cache and wake keys; all judgement is elsewhere.

Only low-level handlers (`kopf.index`, `kopf.on.event`): they put no annotation and no finalizer on
anything, so deleting the operator first and its demos later always works.
"""

import asyncio
from typing import Any, Final

import kopf

from workshopdemo import names
from workshopdemo.cluster import Cache, demo_key_of
from workshopdemo.facts import CHILD_KINDS, CRDS, DEMOS, NODES
from workshopdemo.names import DemoKey
from workshopdemo.queue import WorkQueue
from workshopdemo.watches import Watches

_OURS: Any = dict.fromkeys(names.CHILD_LABELS, kopf.PRESENT)

NODE_SECTIONS: Final = ("logShipping", "serviceDiscovery", "statefulSet")
"""Sections of a demo's spec to which nodes matter."""


def register(
    registry: kopf.OperatorRegistry,
    cache: Cache,
    watches: Watches,
    queue: WorkQueue[DemoKey],
    kind_gone: asyncio.Event,
) -> None:
    """Register all handlers for demos, their children and their kind."""
    _register_kind(registry, watches, kind_gone)
    _register_demos(registry, cache, watches, queue)
    _register_nodes(registry, cache, watches, queue)
    for kind in CHILD_KINDS:
        _register_children(registry, cache, watches, queue, kind)


def _register_kind(
    registry: kopf.OperatorRegistry, watches: Watches, kind_gone: asyncio.Event
) -> None:
    @kopf.index(*CRDS, registry=registry, id="kinds")
    async def hear_of_kind(body: kopf.Body, **_: Any) -> None:
        watches.tell(CRDS.plural, body["metadata"])

    @kopf.on.event(*CRDS, registry=registry, id="kind")
    async def notice_kind(type: str, meta: kopf.Meta, **_: Any) -> None:  # noqa: A002 - kopf's name
        if type == "DELETED":
            watches.end(CRDS.plural, meta)
            if meta["name"] == names.CRD_NAME:
                kind_gone.set()


def _register_demos(
    registry: kopf.OperatorRegistry, cache: Cache, watches: Watches, queue: WorkQueue[DemoKey]
) -> None:
    # An index handler runs before every event handler, and event handlers wait until all indexed
    # kinds are listed: no reconcile ever sees half a cluster. The index itself stays empty, since
    # kopf does not take out of it what went while a watch was broken; our cache does.
    @kopf.index(*DEMOS, registry=registry, id="demos")
    async def remember_demo(body: kopf.Body, **_: Any) -> None:
        watches.tell(DEMOS.plural, body["metadata"])
        cache.put_demo(body)

    @kopf.on.event(*DEMOS, registry=registry, id="wake-demo")
    async def wake_demo(
        type: str,  # noqa: A002 - kopf names it so
        meta: kopf.Meta,
        **_: Any,
    ) -> None:
        cache.is_complete = True
        key = DemoKey(meta["namespace"], meta["name"])
        if type == "DELETED":
            watches.end(DEMOS.plural, meta)
            cache.remove_demo(key, meta["uid"])
        queue.wake(key)


def _register_nodes(
    registry: kopf.OperatorRegistry, cache: Cache, watches: Watches, queue: WorkQueue[DemoKey]
) -> None:
    # Without an event handler kopf would not wait until the nodes are listed before others run.
    @kopf.index(*NODES, registry=registry, id="nodes")
    async def remember_node(body: kopf.Body, **_: Any) -> None:
        watches.tell(NODES.plural, body["metadata"])
        if cache.put_node(body):
            wake_all()

    @kopf.on.event(*NODES, registry=registry, id="wake-by-node")
    async def wake_by_node(
        type: str,  # noqa: A002 - kopf names it so
        meta: kopf.Meta,
        **_: Any,
    ) -> None:
        if type == "DELETED":
            watches.end(NODES.plural, meta)
            cache.remove_node(meta["name"])
            wake_all()

    def wake_all() -> None:
        for key in cache.demos_with(*NODE_SECTIONS) if cache.is_complete else ():
            queue.wake(key)


def _register_children(
    registry: kopf.OperatorRegistry,
    cache: Cache,
    watches: Watches,
    queue: WorkQueue[DemoKey],
    kind: str,
) -> None:
    resource = CHILD_KINDS[kind]

    @kopf.index(*resource, labels=_OURS, registry=registry, id=f"children-{kind}")
    async def remember_child(body: kopf.Body, **_: Any) -> None:
        watches.tell(resource.plural, body["metadata"])
        cache.put_child(kind, body)

    @kopf.on.event(*resource, labels=_OURS, registry=registry, id=f"wake-by-{kind}")
    async def wake_by_child(
        type: str,  # noqa: A002 - kopf names it so
        body: kopf.Body,
        meta: kopf.Meta,
        **_: Any,
    ) -> None:
        cache.is_complete = True
        if type == "DELETED":
            watches.end(resource.plural, meta)
            cache.bury_child(kind, body)
        queue.wake(demo_key_of(meta.labels, meta["namespace"]))
