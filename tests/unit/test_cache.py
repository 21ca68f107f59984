"""What the cache remembers of children beyond their demo."""

from typing import Any

from workshopdemo import names
from workshopdemo.cluster import Cache
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
    cache.remove_child(CLAIM, "older", "data-1", "older/data-1")
    assert left(cache) == ["data-0"]
    cache.remove_child(CLAIM, "old", "data-0", "old/data-0")
    assert left(cache) == []
