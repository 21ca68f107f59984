"""The operator notices that it has gone blind."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import kopf
import pytest

from support import SETTINGS, FakeCluster, FakeTimeLoop, demo_body
from workshopdemo.app import _kopf_settings, require_watch
from workshopdemo.cluster import Cache
from workshopdemo.errors import DeadWatchError

CI = {"name": "ci", "scenario": "CIPipeline"}


def run(story: Coroutine[Any, Any, None]) -> None:
    loop = FakeTimeLoop()
    try:
        loop.run_until_complete(story)
    finally:
        loop.close()


def test_a_demo_that_no_watch_tells_of_means_a_new_start() -> None:
    cluster = FakeCluster(Cache())
    cluster.add_demo(demo_body(CI))
    with pytest.raises(DeadWatchError, match="workshop/bookshop"):
        run(require_watch(cluster, Cache(), SETTINGS))


def test_a_watch_that_lags_or_a_demo_that_goes_means_none() -> None:
    blind = Cache()
    cluster = FakeCluster(Cache())
    told, gone = cluster.add_demo(demo_body(CI)), cluster.add_demo(demo_body(CI, name="gone"))

    async def story() -> None:
        looking = asyncio.create_task(require_watch(cluster, blind, SETTINGS))
        await asyncio.sleep(5)
        blind.put_demo(cluster.demos[told])
        del cluster.demos[gone]
        await looking

    run(story())


def test_kopf_keeps_no_state_of_objects_and_copies_none() -> None:
    persistence = _kopf_settings().persistence
    body: Any = kopf.Body({"metadata": {"name": "a", "annotations": {"b": "c"}}, "spec": {"d": 1}})
    essence = persistence.diffbase_storage.build(body=body)
    assert not essence
    assert persistence.diffbase_storage.fetch(body=body) is None
    assert persistence.progress_storage.clear(essence=essence) is essence
    patch = kopf.Patch({})
    persistence.diffbase_storage.store(body=body, patch=patch, essence=essence)
    persistence.progress_storage.touch(body=body, patch=patch, value="now")
    assert not patch
