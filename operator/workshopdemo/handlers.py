"""kopf's handlers. They fill the cache and wake keys; all judgement is elsewhere.

Only the low-level `kopf.on.event`: it puts no annotation and no finalizer on anything, so deleting
the operator first and its demos later always works. Nobody is woken before the cache is complete,
see `rollcall`: no reconcile ever sees half a cluster.
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


def _note(watches: Watches, plural: str, type: str, meta: kopf.Meta) -> None:  # noqa: A002
    """Note what a watch has told, before anything is made of it."""
    if type == "DELETED":
        watches.end(plural, meta)
    else:
        watches.tell(plural, meta)


def _register_kind(
    registry: kopf.OperatorRegistry, watches: Watches, kind_gone: asyncio.Event
) -> None:
    @kopf.on.event(*CRDS, registry=registry, id="kind")
    async def hear_of_kind(type: str, meta: kopf.Meta, **_: Any) -> None:  # noqa: A002 - kopf's name
        _note(watches, CRDS.plural, type, meta)
        if type == "DELETED" and meta["name"] == names.CRD_NAME:
            kind_gone.set()


def _register_demos(
    registry: kopf.OperatorRegistry, cache: Cache, watches: Watches, queue: WorkQueue[DemoKey]
) -> None:
    @kopf.on.event(*DEMOS, registry=registry, id="demos")
    async def hear_of_demo(
        type: str,  # noqa: A002 - kopf names it so
        body: kopf.Body,
        meta: kopf.Meta,
        **_: Any,
    ) -> None:
        _note(watches, DEMOS.plural, type, meta)
        key = DemoKey(meta["namespace"], meta["name"])
        if type == "DELETED":
            cache.remove_demo(key, meta["uid"])
        else:
            cache.put_demo(body)
        if cache.is_complete:
            queue.wake(key)


def _register_nodes(
    registry: kopf.OperatorRegistry, cache: Cache, watches: Watches, queue: WorkQueue[DemoKey]
) -> None:
    @kopf.on.event(*NODES, registry=registry, id="nodes")
    async def hear_of_node(
        type: str,  # noqa: A002 - kopf names it so
        body: kopf.Body,
        meta: kopf.Meta,
        **_: Any,
    ) -> None:
        _note(watches, NODES.plural, type, meta)
        if type == "DELETED":
            cache.remove_node(meta["name"])
        elif not cache.put_node(body):
            return
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

    @kopf.on.event(*resource, labels=_OURS, registry=registry, id=f"children-{kind}")
    async def hear_of_child(
        type: str,  # noqa: A002 - kopf names it so
        body: kopf.Body,
        meta: kopf.Meta,
        **_: Any,
    ) -> None:
        _note(watches, resource.plural, type, meta)
        if type == "DELETED":
            cache.bury_child(kind, body)
        else:
            cache.put_child(kind, body)
        if cache.is_complete:
            queue.wake(demo_key_of(meta.labels, meta["namespace"]))
