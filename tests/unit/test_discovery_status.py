"""What the status says of spec.serviceDiscovery."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest

from logshipping import CONTROL_PLANE, cluster_nodes, moment, node, part, taint
from support import NOW, demo_body
from workshopdemo.errors import ForbiddenError
from workshopdemo.facts import Child, Node, child_of
from workshopdemo.model import ServiceDiscovery, ServiceDiscoveryStatus, parse
from workshopdemo.observe import (
    Discovery,
    DiscoveryFacts,
    Silence,
    agent_pods,
    asked_services,
    compare,
    observe,
    status_of,
)
from workshopdemo.observe.discovery import observe_discovery
from workshopdemo.observe.endpoints import Endpoint, ServiceFound
from workshopdemo.published import PublishedPod

NODES = ("control", "worker-1", "worker-2")
AGREED = ServiceFound("bookshop-node-agent", 3, 3, (), ())


def agent(on: str, **more: Any) -> Child:
    return part("node-agent", on, **({"ip": f"10.0.{NODES.index(on)}.1"} | more))


AGENTS = [agent(name) for name in NODES]
KNOWN = {one.name: 4 for one in AGENTS}


def asked(**section: Any) -> ServiceDiscovery:
    spec = parse(demo_body(service_discovery=section)).spec
    assert spec.service_discovery is not None
    return spec.service_discovery


def facts(
    found: Discovery | None,
    *,
    agents: Sequence[Child] = AGENTS,
    nodes: Sequence[Node] | None = None,
    absent: Mapping[str, datetime] | None = None,
    told: ServiceDiscoveryStatus | None = None,
    problem: ForbiddenError | None = None,
) -> DiscoveryFacts:
    return DiscoveryFacts(
        nodes=cluster_nodes() if nodes is None else nodes,
        agents=agents,
        refusal=None,
        absent=absent or {},
        found=found,
        told=told,
        problem=problem,
    )


def look(
    found: Discovery | None, *, seconds: float = 0, section: Mapping[str, Any] = {}, **more: Any
) -> tuple[ServiceDiscoveryStatus, datetime | None]:
    return observe_discovery(asked(**section), facts(found, **more), moment(seconds))


def found(*services: ServiceFound, **more: Any) -> Discovery:
    since = {one.service: NOW for one in services if not one.agrees}
    return Discovery(**({"pods": KNOWN, "services": services, "since": since} | more))


def differing(*addresses: str, node: str | None = "worker-1") -> ServiceFound:
    elsewhere = tuple(Endpoint(address, node) for address in addresses)
    return ServiceFound("bookshop-log-aggregator", 0, len(addresses), (), elsewhere)


def test_all_agents_know_what_endpoint_slices_have() -> None:
    status, due = look(found(AGREED))
    assert status.as_expected is True
    assert (status.desired, status.covered, status.reason) == (3, 3, "ServicesAgree")
    assert status.message == (
        "3/3 nodes covered; 1/1 services agree: 3 addresses by agents and EndpointSlices alike"
    )
    assert [(row.node, row.pods) for row in status.nodes] == [(name, 4) for name in NODES]
    assert due is None, "at rest there is nothing to wait for"


def test_a_difference_counts_when_it_lasts() -> None:
    telling = found(AGREED, differing("10.0.1.9"))
    status, due = look(telling, seconds=19)
    assert (status.as_expected, status.reason) == (None, "Comparing")
    assert due == moment(20)
    status, due = look(telling, seconds=20)
    assert (status.as_expected, status.reason) == (False, "ServicesDiffer")
    assert due is None
    assert "1/2 services agree" in status.message
    assert "bookshop-log-aggregator: only EndpointSlices have 10.0.1.9" in status.message
    (_, told) = status.services
    assert (told.agents, told.endpoint_slices, told.only_endpoint_slices) == (0, 1, ("10.0.1.9",))


def test_what_only_agents_know_is_told_too() -> None:
    stale = ServiceFound("web", 2, 1, ("10.0.0.7",), ())
    status, _ = look(found(AGREED, stale), seconds=30)
    assert status.as_expected is False
    assert "web: only agents have 10.0.0.7" in status.message
    assert status.services[1].only_agents == ("10.0.0.7",)


def test_a_node_that_is_left_out_explains_what_only_endpoint_slices_have() -> None:
    nodes = [node("control", taint(CONTROL_PLANE)), node("worker-1"), node("worker-2")]
    more = {"agents": AGENTS[1:], "nodes": nodes, "section": {"tolerateControlPlane": False}}
    alone = {one.name: 4 for one in AGENTS[1:]}
    there = found(AGREED, differing("10.0.0.9", node="control"), pods=alone)
    status, due = look(there, seconds=60, **more)
    assert (status.as_expected, status.reason, due) == (True, "NodesLeftOut", None)
    assert (status.desired, status.covered) == (3, 2)
    assert "only EndpointSlices have 10.0.0.9, on nodes without an agent" in status.message
    assert "left out as asked: control" in status.message
    elsewhere = found(AGREED, differing("10.0.0.9", node="worker-1"), pods=alone)
    assert look(elsewhere, seconds=60, **more)[0].as_expected is False
    unknown = found(AGREED, differing("10.0.0.9", node=None), pods=alone)
    assert look(unknown, seconds=60, **more)[0].as_expected is False


def test_before_anything_was_asked_nothing_is_known() -> None:
    for nothing in (None, Discovery(), found(AGREED, pods={})):
        status, _ = look(nothing)
        assert (status.as_expected, status.reason) == (None, "Asking")


def test_after_the_operator_started_anew_only_what_was_fine_is() -> None:
    fine, _ = look(found(AGREED))
    assert look(None, told=fine) == (fine, None), "not a word of it is written anew"
    differs, _ = look(found(AGREED, differing("10.0.1.9")), seconds=30)
    for told in (differs, look(None)[0]):
        status, _ = look(None, told=told)
        assert (status.as_expected, status.reason) == (None, "Asking")


def test_after_the_operator_started_anew_what_was_fine_is_asked_about_all_the_same() -> None:
    fine, _ = look(found(AGREED))
    status, _ = look(found(AGREED, differing("10.0.1.9")), seconds=20, told=fine)
    assert (status.as_expected, status.reason) == (False, "ServicesDiffer")


@pytest.mark.parametrize(
    "change",
    [
        {"agents": [*AGENTS[:2], agent("worker-2", name="new")]},
        {"agents": AGENTS[:2], "absent": {"worker-2": NOW}},
        {"nodes": [*cluster_nodes(), node("worker-3")], "absent": {"worker-3": NOW}},
        {"problem": ForbiddenError("cannot apply Role bookshop-node-agent")},
    ],
)
def test_after_the_operator_started_anew_what_has_changed_meanwhile_is_not_fine(
    change: dict[str, Any],
) -> None:
    fine, _ = look(found(AGREED))
    assert look(None, told=fine, **change)[0].as_expected is not True


def test_an_agent_that_is_new_is_asked_before_anything_is_said() -> None:
    renewed = [*AGENTS[:2], agent("worker-2", name="new")]
    status, _ = look(found(AGREED), agents=renewed)
    assert status.as_expected is None
    assert [row.node for row in status.nodes] == ["control", "worker-1"]


def test_an_agent_that_does_not_answer_is_named_when_that_lasts() -> None:
    silence = Silence(NOW, "the agent did not answer within 5 s")
    silent = found(
        differing("10.0.2.1"),
        pods={name: count for name, count in KNOWN.items() if name != AGENTS[2].name},
        silent={AGENTS[2].name: silence},
    )
    status, due = look(silent, seconds=5)
    assert (status.as_expected, status.reason, due) == (None, "AgentSilent", moment(20))
    status, _ = look(silent, seconds=20)
    assert (status.as_expected, status.reason) == (False, "AgentSilent")
    assert status.message == "3/3 nodes covered; worker-2: the agent did not answer within 5 s"


def test_slices_that_cannot_be_read_are_told_when_that_lasts() -> None:
    unread = found(AGREED, unread=Silence(NOW, "cannot list EndpointSlices: forbidden"))
    assert look(unread, seconds=5)[0].as_expected is None
    status, _ = look(unread, seconds=20)
    assert (status.as_expected, status.reason) == (False, "SlicesUnread")
    assert "cannot list EndpointSlices" in status.message


def test_a_node_without_an_agent_comes_before_all_else() -> None:
    alone = found(differing("10.0.2.9", node="worker-2"))
    absent = {"worker-2": NOW}
    status, due = look(alone, agents=AGENTS[:2], absent=absent, seconds=10)
    assert (status.as_expected, status.reason, due) == (None, "Starting", moment(60))
    status, _ = look(alone, agents=AGENTS[:2], absent=absent, seconds=60)
    assert (status.as_expected, status.reason) == (False, "NodesUncovered")
    assert [one.node for one in status.uncovered] == ["worker-2"]


def test_an_object_that_cannot_be_written_is_told() -> None:
    refused = ForbiddenError("cannot apply Role bookshop-node-agent: it would grant more")
    status, _ = look(found(AGREED), problem=refused)
    assert (status.as_expected, status.reason) == (False, "Forbidden")
    assert "cannot apply Role" in status.message


def test_no_list_grows_beyond_what_the_crd_takes() -> None:
    many = [f"10.1.{number // 250}.{number % 250}" for number in range(600)]
    big = [
        ServiceFound(
            f"service-{number}",
            600,
            600,
            tuple(many),
            tuple(Endpoint(address, None) for address in many),
        )
        for number in range(60)
    ]
    status, _ = look(found(*big), seconds=60)
    assert len(status.services) == 50
    assert {len(one.only_agents) for one in status.services} == {10}
    assert {len(one.only_endpoint_slices) for one in status.services} == {10}
    assert len(status.message) <= 1024


# The arithmetic.


def service(name: str, **spec: Any) -> Child:
    metadata = {
        "name": name,
        "namespace": "workshop",
        "uid": name,
        "labels": {"workshopdemo.dev/demo": "bookshop", "workshopdemo.dev/demo-uid": "demo-uid-1"},
        "creationTimestamp": "2026-03-02T09:00:00Z",
    }
    return child_of("Service", {"metadata": metadata, "spec": {"selector": {"app": name}} | spec})


def piece(of: str, *endpoints: dict[str, Any]) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": of}
    return {"metadata": {"name": f"{of}-x", "labels": labels}, "endpoints": list(endpoints)}


def endpoint(address: str, node: str = "worker-1", *, ready: bool | None = True) -> dict[str, Any]:
    conditions = {} if ready is None else {"ready": ready}
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def web(address: str, *, ready: bool = True, app: str = "web") -> PublishedPod:
    return PublishedPod((address,), ready, {"app": app, "tier": "front"})


def test_only_ready_addresses_of_matching_pods_count() -> None:
    published = [web("10.0.0.1"), web("10.0.0.2", ready=False), web("10.0.0.3", app="db")]
    slices = [
        piece("web", endpoint("10.0.0.1"), endpoint("10.0.0.2", ready=False)),
        piece("web", endpoint("10.0.0.4", "worker-2", ready=None)),
        piece("other", endpoint("10.0.0.3")),
    ]
    (one,) = compare(asked_services([service("web")]), published, slices)
    assert (one.agents, one.endpoint_slices, one.only_agents) == (1, 2, ())
    assert one.only_endpoint_slices == (Endpoint("10.0.0.4", "worker-2"),)
    assert not one.agrees


def test_a_service_that_takes_unready_pods_is_compared_by_all() -> None:
    slices = [piece("web", endpoint("10.0.0.1"), endpoint("10.0.0.2"))]
    published = [web("10.0.0.1"), web("10.0.0.2", ready=False)]
    (one,) = compare(
        asked_services([service("web", publishNotReadyAddresses=True)]), published, slices
    )
    assert one.agrees


@pytest.mark.parametrize(
    ("families", "slices"),
    [
        (["IPv4"], [piece("web", endpoint("10.0.0.1"))]),
        (["IPv6"], [piece("web", endpoint("fd00::1"))]),
        (["IPv4", "IPv6"], [piece("web", endpoint("10.0.0.1")), piece("web", endpoint("fd00::1"))]),
    ],
)
def test_of_two_families_only_the_services_own_count(
    families: list[str], slices: list[dict[str, Any]]
) -> None:
    both = PublishedPod(("10.0.0.1", "fd00::1"), is_ready=True, labels={"app": "web"})
    (one,) = compare(asked_services([service("web", ipFamilies=families)]), [both], slices)
    assert one.agrees
    assert one.agents == len(families)


def test_an_address_counts_once_however_often_it_is_told() -> None:
    slices = [piece("web", endpoint("10.0.0.1")), piece("web", endpoint("10.0.0.1"))]
    (one,) = compare(asked_services([service("web")]), [web("10.0.0.1")] * 2, slices)
    assert (one.agents, one.endpoint_slices, one.agrees) == (1, 1, True)


def test_a_service_without_selector_or_endpoints_is_no_trouble() -> None:
    (one,) = asked_services([service("web"), service("by-hand", selector={})])
    assert one.name == "web"
    assert compare([one], [], []) == (ServiceFound("web", 0, 0, (), ()),)
    empty = piece("web") | {"endpoints": None}
    assert compare([one], [], [empty])[0].agrees


def test_only_agents_that_can_answer_are_asked() -> None:
    pods = [
        agent("worker-1"),
        agent("worker-2", ready=False),
        agent("control", ip=None),
        agent("control", name="going", terminating=True),
    ]
    assert [one.node for one in agent_pods(pods)] == ["worker-1"]


# The whole status.


def whole(discovery: Discovery | None, seconds: float = 0) -> Any:
    demo = parse(demo_body(service_discovery={}))
    seen = observe(demo, {}, {}, moment(seconds), None, discovery_facts=facts(discovery))
    return status_of(demo, seen, None, [], moment(seconds))


def test_the_demo_is_ready_when_all_agree_and_says_so_in_a_line() -> None:
    status = whole(found(AGREED))
    assert (status.phase, status.summary) == ("Ready", "discovery 3/3 nodes, 1/1 services agree")
    condition = next(one for one in status.conditions if one.type == "ServicesDiscovered")
    assert (condition.status, condition.reason) == ("True", "ServicesAgree")


def test_a_difference_is_unknown_first_and_then_degrades() -> None:
    telling = found(AGREED, differing("10.0.1.9"))
    status = whole(telling, 5)
    assert status.phase == "Progressing"
    assert "the discovery of services" in _message(status, "Progressing")
    assert _status(status, "ServicesDiscovered") == "Unknown"
    status = whole(telling, 30)
    assert status.phase == "Degraded"
    assert status.summary == "discovery 3/3 nodes: ServicesDiffer"
    assert _status(status, "ServicesDiscovered") == "False"


def test_a_thousand_nodes_fit_on_a_status() -> None:
    nodes = [node(f"worker-{number}") for number in range(1000)]
    pods = [part("node-agent", one.name, ip="10.0.0.1") for one in nodes]
    known = found(AGREED, pods={pod.name: 3 for pod in pods})
    demo = parse(demo_body(service_discovery={}))
    told = facts(known, agents=pods, nodes=nodes)
    seen = observe(demo, {}, {}, NOW, None, discovery_facts=told)
    status = status_of(demo, seen, None, [], NOW)
    assert status.service_discovery is not None
    assert status.service_discovery.covered == 1000
    assert 50 < len(status.service_discovery.nodes) <= 200
    assert len(msgspec.json.encode(status)) < 16 * 1024


def _status(status: Any, kind: str) -> str:
    return next(one.status for one in status.conditions if one.type == kind)


def _message(status: Any, kind: str) -> str:
    return next(one.message for one in status.conditions if one.type == kind)
