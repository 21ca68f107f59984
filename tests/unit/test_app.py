"""How kopf is set up."""

import itertools
from typing import Any

import kopf
import pytest

from workshopdemo.app import _kopf_settings
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
