"""A demo with spec.serviceDiscovery, from its spec to its status, against a cluster in memory."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import pytest

from logshipping import node_body, part_body
from office import NoRegistrar, NoSurveyor, SilentCourier, look_and_tell, password, settle
from support import NOW, SETTINGS, FakeCluster, demo_body
from workshopdemo import story
from workshopdemo.cluster import Cache
from workshopdemo.discoverer import DiscoveryOrder
from workshopdemo.errors import ForbiddenError, RejectedError
from workshopdemo.names import DemoKey
from workshopdemo.observe import Discovery
from workshopdemo.observe.endpoints import ServiceFound
from workshopdemo.reconcile import Reconciler

NODES = ("worker-1", "worker-2")
KINDS = ["DaemonSet", "Role", "RoleBinding", "Service", "ServiceAccount"]
AGREED = Discovery(
    pods={f"bookshop-node-agent-{name}": 2 for name in NODES},
    services=(ServiceFound("bookshop-node-agent", 2, 2, (), ()),),
)


class Told:
    """A discoverer that has found what a test says."""

    def __init__(self) -> None:
        self.orders: list[DiscoveryOrder | None] = []
        self.found: Discovery | None = None

    def offer(self, _: DemoKey, order: DiscoveryOrder | None) -> Discovery | None:
        self.orders.append(order)
        return self.found if order is not None else None


class World:
    """A cluster of two nodes, and an operator."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cache = Cache()
        self.cluster = FakeCluster(self.cache)
        for name in NODES:
            self.cache.put_node(node_body(name))
        self.start_anew()

    def start_anew(self) -> None:
        """The operator is another process, which has asked nobody yet."""
        self.discoverer = Told()
        self.reconciler = Reconciler(
            cluster=self.cluster,
            cache=self.cache,
            settings=SETTINGS,
            stories=story.load(),
            courier=SilentCourier(),  # type: ignore[arg-type]
            surveyor=NoSurveyor(),  # type: ignore[arg-type]
            discoverer=self.discoverer,  # type: ignore[arg-type]
            registrar=NoRegistrar(),  # type: ignore[arg-type]
            wake=lambda *_: None,
            wake_to_tell=lambda *_: None,
            now=lambda: NOW + timedelta(seconds=self.seconds),
            clock=lambda: self.seconds,
            password=password,
        )

    def look(self, key: DemoKey) -> float | None:
        return asyncio.run(look_and_tell(self.reconciler, key))

    def settle(self, key: DemoKey) -> dict[str, Any]:
        settle(self.cluster, lambda: self.look(key))
        return self.cluster.status(key)

    def run_agents(self) -> None:
        for number, name in enumerate(NODES):
            self.cluster.put("Pod", part_body("node-agent", name, ip=f"10.0.{number}.1"))


@pytest.fixture
def world() -> World:
    return World()


def kinds(world: World) -> list[str]:
    return sorted({kind for kind, _, _ in world.cluster.objects if kind != "Pod"})


def test_a_demo_comes_to_rest_and_then_writes_nothing(world: World) -> None:
    key = world.cluster.add_demo(demo_body(service_discovery={}))
    status = world.settle(key)
    assert kinds(world) == KINDS
    assert status["serviceDiscovery"]["covered"] == 0
    world.run_agents()
    world.discoverer.found = AGREED
    status = world.settle(key)
    assert (status["phase"], status["summary"]) == (
        "Ready",
        "discovery 2/2 nodes, 1/1 services agree",
    )
    assert [tale["concept"] for tale in status["story"]] == ["DaemonSet"]
    assert "kubectl get daemonset bookshop-node-agent -n workshop" in status["story"][0]["try"]
    writes = len(world.cluster.writes)
    for _ in range(10):
        world.seconds += 60
        assert world.look(key) is None, "nothing is to be waited for"
    assert world.cluster.writes[writes:] == []


def test_an_operator_that_starts_anew_writes_nothing_before_it_has_asked(world: World) -> None:
    key = world.cluster.add_demo(demo_body(service_discovery={}))
    world.run_agents()
    world.discoverer.found = AGREED
    assert world.settle(key)["phase"] == "Ready"
    writes = len(world.cluster.writes)
    world.start_anew()
    assert world.discoverer.found is None
    assert world.settle(key)["phase"] == "Ready"
    assert world.cluster.writes[writes:] == []


def test_the_discoverer_is_told_whom_to_ask_and_about_what(world: World) -> None:
    key = world.cluster.add_demo(demo_body(service_discovery={}))
    world.settle(key)
    world.run_agents()
    world.settle(key)
    order = world.discoverer.orders[-1]
    assert order is not None
    assert [agent.address for agent in order.agents] == ["10.0.0.1", "10.0.1.1"]
    (asked,) = order.services
    assert dict(asked.selector) == {
        "workshopdemo.dev/demo-uid": "demo-uid-1",
        "workshopdemo.dev/component": "node-agent",
    }
    assert {name for name, _, is_ready in order.pods if is_ready} == set(AGREED.pods)


def test_a_section_that_goes_takes_everything_with_it(world: World) -> None:
    key = world.cluster.add_demo(demo_body(service_discovery={}))
    world.settle(key)
    world.cluster.change_spec(key, {"name": "ci", "scenario": "CIPipeline"})
    status = world.settle(key)
    assert kinds(world) == ["Job"]
    assert world.discoverer.orders[-1] is None
    assert "serviceDiscovery" not in status


def test_a_demo_that_goes_is_asked_about_no_more(world: World) -> None:
    key = world.cluster.add_demo(demo_body(service_discovery={}))
    world.settle(key)
    del world.cluster.demos[key]
    world.cache.remove_demo(key, "demo-uid-1")
    world.look(key)
    assert world.discoverer.orders[-1] is None


def test_rights_that_were_edited_are_put_right_and_told(world: World) -> None:
    key = world.cluster.add_demo(demo_body(service_discovery={}))
    world.settle(key)
    (role,) = world.cluster.all_of("Role")
    role["rules"] = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    world.cluster.put("Role", role)
    world.settle(key)
    (role,) = world.cluster.all_of("Role")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
    assert "PutRight" in {event["reason"] for event in world.cluster.events}


@pytest.mark.parametrize(
    ("kind", "error", "reason"),
    [
        ("Role", ForbiddenError("attempting to grant RBAC permissions"), "Forbidden"),
        ("RoleBinding", RejectedError("cannot change roleRef"), "ApplyRejected"),
    ],
)
def test_a_right_that_cannot_be_granted_is_told_and_the_rest_goes_on(
    world: World, kind: str, error: Any, reason: str
) -> None:
    world.cluster.failures[kind] = error
    key = world.cluster.add_demo(demo_body(service_discovery={}))
    with contextlib.suppress(ForbiddenError):
        world.look(key)
    told = world.cluster.status(key)["serviceDiscovery"]
    assert (told["asExpected"], told["reason"]) == (False, reason)
    assert set(KINDS) - set(kinds(world)) == {kind}
