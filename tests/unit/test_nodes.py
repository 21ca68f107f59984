"""Nodes: what about them is news, and to whom."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
import pytest

from logshipping import GPU, node_body, part_body
from support import demo_body
from workshopdemo import app, handlers, names
from workshopdemo.cluster import Cache
from workshopdemo.facts import CHILD_KINDS
from workshopdemo.names import CRD_NAME, DemoKey
from workshopdemo.queue import WorkQueue
from workshopdemo.watches import Watches

CI = {"name": "ci", "scenario": "CIPipeline"}
WITH = DemoKey("workshop", "with-logs")
WITHOUT = DemoKey("workshop", "without")


class Wakes(WorkQueue[DemoKey]):
    """A queue that only writes down who is woken."""

    def __init__(self) -> None:
        super().__init__(clock=lambda: 0.0, rng=random.Random(1))
        self.woken: list[DemoKey] = []

    def wake(self, key: DemoKey, after: float = 0.0) -> None:
        self.woken.append(key)


class Watch:
    """kopf's side of the handlers, when all that there is has been told of."""

    def __init__(self, *, is_complete: bool = True) -> None:
        self.cache = Cache()
        self.cache.is_complete = is_complete
        self.queue = Wakes()
        self.gone = asyncio.Event()
        registry = kopf.OperatorRegistry()
        self.watches = Watches((), lambda: 0.0)
        handlers.register(registry, self.cache, self.watches, self.queue, self.gone)
        # An index would make a start take time with the square of what there is.
        assert not list(registry._indexing.get_all_handlers())
        self.events = {
            str(one.id): _awaited(one.fn) for one in registry._watching.get_all_handlers()
        }

    def tell(self, what: str, kind: str | None, body: dict[str, Any]) -> list[DemoKey]:
        """Tell of an object as a watch does; gives who is woken. Type None is of the first list."""
        self.queue.woken = []

        async def deliver() -> None:
            told: Any = {"body": body, "meta": _Meta(body["metadata"]), "type": kind}
            await self.events[what](**told)

        asyncio.run(deliver())
        return self.queue.woken

    def node(self, body: dict[str, Any], kind: str | None = "MODIFIED") -> list[DemoKey]:
        return self.tell("nodes", kind, body)

    def demo(self, body: dict[str, Any], kind: str | None = "MODIFIED") -> list[DemoKey]:
        return self.tell("demos", kind, body)


def _awaited(handler: Any) -> Callable[..., Awaitable[None]]:
    return handler  # type: ignore[no-any-return]


class _Meta(dict[str, Any]):
    @property
    def labels(self) -> dict[str, str]:
        return dict(self.get("labels") or {})


@pytest.fixture
def watch() -> Watch:
    watch = Watch()
    watch.demo(demo_body(log_shipping={}, name="with-logs"), None)
    watch.demo(demo_body(CI, name="without", uid="2"), None)
    watch.node(node_body("worker-1", labels={"disk": "ssd"}), None)
    return watch


def test_a_heartbeat_wakes_nobody(watch: Watch) -> None:
    for beat in range(1, 5):
        body = node_body("worker-1", labels={"disk": "ssd"}, heartbeat=beat * 10)
        body["metadata"]["resourceVersion"] = str(beat)
        body["status"]["images"] = [{"names": ["x"], "sizeBytes": beat}]
        body["metadata"]["annotations"] = {"volumes": str(beat)}
        assert watch.node(body) == []


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"disk": "hdd"}},
        {"labels": {}},
        {"labels": {"disk": "ssd"}, "ready": False},
        {"labels": {"disk": "ssd"}, "cordoned": True},
    ],
)
def test_what_decides_coverage_wakes_demos_that_ship_logs_and_no_others(
    watch: Watch, change: dict[str, Any]
) -> None:
    assert watch.node(node_body("worker-1", **change)) == [WITH]
    assert watch.node(node_body("worker-1", **change)) == [], "once"
    assert watch.node(node_body("worker-1", labels={"disk": "ssd"})) == [WITH], "and back"


def test_a_taint_is_news_and_its_place_in_the_list_is_not(watch: Watch) -> None:
    other = {"key": "a", "effect": "NoExecute"}
    labels = {"disk": "ssd"}
    assert watch.node(node_body("worker-1", GPU, other, labels=labels)) == [WITH]
    assert watch.node(node_body("worker-1", other, GPU, labels=labels)) == []
    timed = other | {"timeAdded": "2026-03-02T09:00:00Z"}
    assert watch.node(node_body("worker-1", timed, GPU, labels=labels)) == []
    assert watch.node(node_body("worker-1", GPU, labels=labels)) == [WITH]


def test_a_node_that_comes_or_goes_is_news(watch: Watch) -> None:
    assert watch.node(node_body("worker-2"), "ADDED") == [WITH]
    assert [one.name for one in watch.cache.nodes()] == ["worker-1", "worker-2"]
    assert watch.node(node_body("worker-2"), "DELETED") == [WITH]
    assert [one.name for one in watch.cache.nodes()] == ["worker-1"]
    assert watch.node(node_body("worker-2"), "ADDED") == [WITH], "and when it comes again"


def test_before_everything_is_told_nobody_is_woken_and_all_is_remembered() -> None:
    watch = Watch(is_complete=False)
    assert watch.demo(demo_body(log_shipping={}, name="with-logs"), None) == []
    assert watch.node(node_body("worker-1"), None) == []
    assert watch.tell("children-Pod", None, part_body("log-shipper", "worker-1")) == []
    assert (watch.cache.demos().keys(), len(watch.cache.nodes())) == ({WITH}, 1)
    assert watch.cache.all_children("Pod")


def test_a_demo_that_ships_logs_no_more_is_not_woken(watch: Watch) -> None:
    body = demo_body(CI, name="with-logs")
    body["metadata"]["resourceVersion"] = "2"
    watch.demo(body)
    assert watch.node(node_body("worker-1", ready=False)) == []


def test_a_pod_of_log_shipping_wakes_its_demo_alone(watch: Watch) -> None:
    body = part_body("log-shipper", "worker-1")
    body["metadata"]["labels"]["workshopdemo.dev/demo"] = "with-logs"
    assert watch.tell("children-Pod", "ADDED", body) == [WITH]


@pytest.mark.parametrize("kind", CHILD_KINDS)
def test_every_kind_of_child_is_remembered_and_forgotten(watch: Watch, kind: str) -> None:
    body = part_body("log-shipper", "worker-1")
    assert watch.tell(f"children-{kind}", "ADDED", body)
    assert len(watch.cache.children("demo-uid-1", kind)) == 1
    assert watch.tell(f"children-{kind}", "DELETED", body)
    assert watch.cache.children("demo-uid-1", kind) == []


def test_what_only_one_of_our_labels_is_on_is_nobody_s_child() -> None:
    """Anybody may set labels; no event of such an object reaches a handler that needs both."""
    registry = kopf.OperatorRegistry()
    watches = Watches((), lambda: 0.0)
    handlers.register(registry, Cache(), watches, Wakes(), asyncio.Event())
    selected = app._kopf_settings().watching.label_selectors
    children = [
        one for one in registry._watching.get_all_handlers() if str(one.id).startswith("children-")
    ]
    assert len(children) == len(CHILD_KINDS)
    for one in children:
        assert one.labels == dict.fromkeys(names.CHILD_LABELS, kopf.PRESENT)
    assert {selected[resource] for resource in CHILD_KINDS.values()} == {
        ",".join(names.CHILD_LABELS)
    }


def test_a_node_that_came_while_it_was_listed_is_not_forgotten() -> None:
    cache = Cache()
    cache.put_node(node_body("old"))
    known = cache.nodes()
    cache.put_node(node_body("new"))
    cache.forget_unlisted_nodes(known, set())
    assert [one.name for one in cache.nodes()] == ["new"]


def test_a_demo_with_agents_is_woken_too(watch: Watch) -> None:
    watch.demo(demo_body(service_discovery={}, name="with-agents", uid="3"), None)
    news = node_body("worker-1", labels={"disk": "hdd"})
    assert set(watch.node(news)) == {WITH, DemoKey("workshop", "with-agents")}


HANDLERS = {
    "workshopdemos": "demos",
    "nodes": "nodes",
    "customresourcedefinitions": "kind",
} | {resource.plural: f"children-{kind}" for kind, resource in CHILD_KINDS.items()}


@pytest.mark.parametrize("plural", HANDLERS)
def test_what_a_watch_tells_is_noted_as_its_word(plural: str) -> None:
    watch = Watch()
    body = {"nodes": node_body("worker-1"), "workshopdemos": demo_body(CI)}.get(
        plural, part_body("log-shipper", "worker-1")
    )
    uid = body["metadata"]["uid"]

    def told() -> dict[str, set[str]]:
        return {one.plural: one.uids() for one in watch.watches if one.uids()}

    watch.tell(HANDLERS[plural], "ADDED", body)
    assert told() == {plural: {uid}}
    watch.tell(HANDLERS[plural], "DELETED", body)
    assert told() == {}


def test_what_nobody_can_make_sense_of_was_told_all_the_same(watch: Watch) -> None:
    """Whatever a user has made of an object, it must not look as if it had been missed."""
    body = part_body("log-shipper", "worker-1")
    del body["metadata"]["labels"]["workshopdemo.dev/demo"]
    with pytest.raises(KeyError):
        watch.tell("children-Pod", "ADDED", body)
    (pods,) = (one for one in watch.watches if one.plural == "pods")
    assert pods.uids() == {body["metadata"]["uid"]}


def test_a_kind_that_goes_is_noticed_and_no_other(watch: Watch) -> None:
    body = {"metadata": {"name": CRD_NAME, "uid": "crd", "resourceVersion": "1"}}
    watch.tell("kind", None, body)
    assert not watch.gone.is_set()
    watch.tell("kind", "DELETED", body | {"metadata": body["metadata"] | {"name": "x"}})
    assert not watch.gone.is_set()
    watch.tell("kind", "DELETED", body)
    assert watch.gone.is_set()
