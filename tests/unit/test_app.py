"""How kopf is set up, and when the watches are looked after."""

import asyncio
import itertools
from typing import Any

import kopf
import pytest

from logshipping import node_body
from support import SETTINGS, FakeCluster, FakeTimeLoop
from workshopdemo import app
from workshopdemo.app import _kopf_settings
from workshopdemo.cluster import Cache
from workshopdemo.facts import WATCHED, Watched
from workshopdemo.watchdog import PATIENCE


@pytest.mark.parametrize("watched", WATCHED.values(), ids=WATCHED)
def test_kopf_watches_what_the_watchdog_lists(watched: Watched) -> None:
    watching = _kopf_settings().watching
    resource = kopf.Resource(*watched.resource)
    assert set(watching.label_selectors.collect(resource)) == {watched.labels} - {""}
    assert set(watching.field_selectors.collect(resource)) == {watched.fields} - {""}


def test_a_connection_that_hangs_is_replaced_before_its_watch_is_called_dead() -> None:
    settings = _kopf_settings()
    longest_backoff = max(itertools.islice(settings.networking.error_backoffs, 9))
    assert settings.watching.inactivity_timeout + longest_backoff < PATIENCE


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


@pytest.mark.parametrize("is_there", [False, True])
def test_watches_that_tell_nothing_are_dead_only_where_the_kind_is_there(
    monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Who waits for its CustomResourceDefinition watches nothing, and no new start helps."""
    cluster = FakeCluster(Cache())
    cluster.objects["Node", "", "worker"] = node_body("worker")
    monkeypatch.setattr(app, "ApiServer", lambda _: cluster)

    async def await_kind(_: Any) -> bool:
        await asyncio.sleep(0 if is_there else 10_000)
        return is_there

    async def blind(*_: Any) -> None:
        await asyncio.sleep(10_000)

    monkeypatch.setattr(app, "_await_kind", await_kind)
    monkeypatch.setattr(app, "_run_kopf", blind)

    async def story() -> list[str]:
        operator = app._Operator(SETTINGS)
        running = asyncio.create_task(operator.run())
        await asyncio.sleep(3600)
        found = operator._ailments()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await operator._post.close()
        return found

    loop = FakeTimeLoop()
    try:
        found = loop.run_until_complete(story())
    finally:
        loop.close()
    assert ["nodes" in sentence for sentence in found] == [True] * is_there
