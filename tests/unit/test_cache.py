"""What the cache remembers of children beyond their demo."""

from itertools import permutations
from typing import Any

import pytest

from workshopdemo import names
from workshopdemo.cluster import Cache
from workshopdemo.facts import child_of
from workshopdemo.names import DemoKey

CLAIM = "PersistentVolumeClaim"
KEY = DemoKey("workshop", "shop")


def claim(name: str, demo_uid: str, demo: str = "shop", namespace: str = "workshop") -> Any:
    labels = {names.DEMO_LABEL: demo, names.DEMO_UID_LABEL: demo_uid}
    metadata = {"name": name, "namespace": namespace, "uid": f"{demo_uid}/{name}"}
    created = {"creationTimestamp": "2026-11-25T14:00:00Z", "resourceVersion": "1"}
    return {"metadata": metadata | created | {"labels": labels}}


def left(cache: Cache, demo_uid: str = "new") -> list[str]:
    return sorted(child.name for child in cache.heirlooms(KEY, demo_uid, CLAIM))


def test_what_earlier_demos_of_the_name_left_is_found_until_it_is_gone() -> None:
    cache = Cache()
    for body in (
        claim("data-0", "old"),
        claim("data-1", "older"),
        claim("data-2", "new"),
        claim("data-3", "other", demo="cafe"),
        claim("data-4", "elsewhere", namespace="another"),
    ):
        cache.put_child(CLAIM, body)
    assert left(cache) == ["data-0", "data-1"]
    assert left(cache, "old") == ["data-1", "data-2"]
    cache.remove_child(child_of(CLAIM, claim("data-1", "older")))
    assert left(cache) == ["data-0"]
    cache.remove_child(child_of(CLAIM, claim("data-0", "old")))
    assert left(cache) == []


def demo(uid: str, namespace: str = "workshop") -> Any:
    metadata = {"name": "shop", "namespace": namespace, "uid": uid, "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {}}


def job(name: str, demo_uid: str, namespace: str = "workshop") -> Any:
    body = claim(name, demo_uid, namespace=namespace)
    body["metadata"]["uid"] = f"{namespace}/{name}"
    body["metadata"]["labels"][names.CRON_JOB_LABEL] = "report"
    return body


@pytest.mark.parametrize("order", list(permutations(("demo", "own", "foreign"))))
def test_labels_alone_make_nothing_in_another_namespace_a_demo_s(order: tuple[str, ...]) -> None:
    """Whoever may write there can copy them, and take the names of the demo's own objects."""
    cache = Cache()
    for what in order:
        if what == "demo":
            cache.put_demo(demo("new"))
        else:
            namespace = "workshop" if what == "own" else "student-7"
            for name in ("one", what):
                cache.put_child("Job", job(name, "new", namespace))
            cache.put_child("Job", job(f"gone-{what}", "new", namespace))
            cache.bury_child("Job", job(f"gone-{what}", "new", namespace))
    assert sorted(child.name for child in cache.children("new", "Job")) == ["one", "own"]
    assert cache.child("new", "Job", "foreign") is None
    found = cache.child("new", "Job", "one")
    assert found is not None
    assert found.uid == "workshop/one"
    assert cache.uids("new") == {"workshop/one", "workshop/own"}
    assert [child.name for child in cache.buried("new")] == ["gone-own"]
    cache.remove_child(child_of("Job", job("one", "new", "student-7")))
    assert cache.child("new", "Job", "one") is found


def test_the_children_of_a_demo_that_is_gone_are_known_until_they_are_gone_too() -> None:
    cache = Cache()
    cache.put_demo(demo("new"))
    cache.put_child(CLAIM, claim("data-0", "new"))
    cache.remove_demo(KEY, "new")
    assert [child.name for child in cache.children("new", CLAIM)] == ["data-0"]
    cache.remove_child(child_of(CLAIM, claim("data-0", "new")))
    cache.put_child(CLAIM, claim("data-0", "new"))
    assert cache.children("new", CLAIM) == [], "nothing tells any more where it was at home"


@pytest.mark.parametrize(
    ("written", "read"),
    [("3", 3), ("three", None), ("-1", None), ("", None), ("²", None), ("9" * 10, None)],
)
def test_a_number_that_a_user_writes_is_read_with_care(written: str, read: int | None) -> None:
    body = claim("pod", "new")
    body["metadata"]["annotations"] = {"batch.kubernetes.io/job-completion-index": written}
    body["metadata"]["labels"][names.RUN_LABEL] = written
    child = child_of("Pod", body)
    assert (child.index, child.number(names.RUN_LABEL)) == (read, read)
    assert child.number(names.RUN_NOW_LABEL) is None


@pytest.mark.parametrize(
    ("written", "is_read"),
    [("2026-03-02T09:00:00Z", True), ("2026-03-02T09:00:00", False), ("soon", False), ("", False)],
)
def test_a_time_that_a_user_writes_is_read_with_care(written: str, is_read: bool) -> None:
    body = claim("job", "new")
    annotation = {"batch.kubernetes.io/cronjob-scheduled-timestamp": written}
    body["metadata"]["annotations"] = annotation
    assert child_of("Job", body).scheduled == (written if is_read else None)
