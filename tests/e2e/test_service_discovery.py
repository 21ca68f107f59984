"""The agents of each node, what they publish, and the cluster's own EndpointSlices beside it."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from kubernetes.client import DiscoveryV1Api, RbacAuthorizationV1Api
from world import GROUP, QUICK, SYSTEM, VERSION, Chart, World, wait_for

AGENT = "workshopdemo.dev/component=node-agent"
SECONDS = 30.0
"""Within "seconds", on a machine that does other things too."""


def apply(world: World, discovery: Mapping[str, Any] | None = None, **more: Any) -> None:
    spec = {"serviceDiscovery": dict(discovery or {})} | more
    world.apply_manifest(
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "WorkshopDemo",
            "metadata": {"name": "shop", "namespace": world.namespace},
            "spec": spec,
        }
    )


def nodes(world: World) -> list[str]:
    return sorted(node.metadata.name for node in world.core.list_node().items)


def agents(world: World) -> dict[str, str]:
    """Name of the agent that is ready on each node."""
    found = world.core.list_namespaced_pod(world.namespace, label_selector=AGENT).items
    return {
        pod.spec.node_name: pod.metadata.name
        for pod in found
        if not pod.metadata.deletion_timestamp
        and any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ())
    }


def published(world: World, agent: str) -> dict[str, dict[str, Any]]:
    """What it publishes, by a student's command."""
    path = f"/api/v1/namespaces/{world.namespace}/pods/{agent}:8082/proxy/pods"
    told = json.loads(world.kubectl("get", "--raw", path))
    return {pod["name"]: pod for pod in told["pods"]}


def told(world: World) -> dict[str, Any]:
    return dict(world.status()["serviceDiscovery"])


def wait_for_discovery(world: World, what: str, **fields: Any) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        status = told(world)
        seen = {name: status.get(name) for name in fields}
        assert seen == fields, f"{seen}: {status['message']}"
        return status

    return wait_for(what, look)


def run_pod(world: World, name: str, node: str, **labels: str) -> None:
    container = {"name": "main", "image": "busybox:1.37.0", "command": ["sleep", "3600"]}
    world.core.create_namespaced_pod(
        world.namespace,
        {
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "nodeName": node,
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
                "tolerations": [{"operator": "Exists"}],
            },
        },
    )


def test_agents_and_endpoint_slices_know_the_same(world: World) -> None:
    apply(world)
    status = world.wait_for_phase("Ready")
    seen = status["serviceDiscovery"]
    assert (seen["desired"], seen["covered"], seen["reason"]) == (3, 3, "ServicesAgree")
    assert [row["node"] for row in seen["nodes"]] == nodes(world)
    assert status["summary"] == "discovery 3/3 nodes, 1/1 services agree"
    (service,) = seen["services"]
    assert (service["agents"], service["endpointSlices"]) == (3, 3)
    assert {"DaemonSet"} == {tale["concept"] for tale in status["story"]}
    # The witness: the addresses of the Pods themselves, of agents and of EndpointSlices.
    pods = world.core.list_namespaced_pod(world.namespace, label_selector=AGENT).items
    addresses = {pod.status.pod_ip for pod in pods}
    slices = DiscoveryV1Api(world.api).list_namespaced_endpoint_slice(
        world.namespace, label_selector=f"kubernetes.io/service-name={service['service']}"
    )
    assert addresses == {
        one for piece in slices.items for end in piece.endpoints for one in end.addresses
    }
    by_agents = [
        pod for agent in agents(world).values() for pod in published(world, agent).values()
    ]
    assert addresses == {ip for pod in by_agents for ip in pod["ips"]}
    assert all(pod["ready"] for pod in by_agents)


def test_a_students_pod_appears_and_disappears_within_seconds(world: World) -> None:
    apply(world)
    world.wait_for_phase("Ready")
    node, agent = max(agents(world).items())
    run_pod(world, "hello", node, lesson="mine")
    found = wait_for("the agent knows it", lambda: published(world, agent).get("hello"), SECONDS)
    assert found["labels"] == {"lesson": "mine"}
    others = [name for where, name in agents(world).items() if where != node]
    assert not any("hello" in published(world, other) for other in others)

    def counted(pods: int) -> bool:
        rows = {row["node"]: row["pods"] for row in told(world)["nodes"]}
        assert rows[node] == pods, rows
        return True

    wait_for("the status counts it", lambda: counted(2), SECONDS)
    world.core.delete_namespaced_pod("hello", world.namespace)
    wait_for("the agent forgets it", lambda: "hello" not in published(world, agent), SECONDS)
    wait_for("the status forgets it", lambda: counted(1), SECONDS)
    assert told(world)["asExpected"] is True


def test_an_agent_that_is_deleted_comes_back_and_is_asked(world: World) -> None:
    apply(world)
    world.wait_for_phase("Ready")
    node, agent = min(agents(world).items())
    before = agents(world)
    world.core.delete_namespaced_pod(agent, world.namespace)
    wait_for("it comes back", lambda: agents(world).get(node) not in (None, agent))
    status = world.wait_for_phase("Ready")
    assert {row["agent"] for row in status["serviceDiscovery"]["nodes"]} == set(
        agents(world).values()
    )
    assert agents(world).keys() == before.keys()


def test_an_agent_that_is_killed_comes_back_and_knows_all(world: World) -> None:
    apply(world)
    world.wait_for_phase("Ready")
    node, agent = max(agents(world).items())
    run_pod(world, "hello", node)
    wait_for("the agent knows it", lambda: published(world, agent).get("hello"), SECONDS)
    world.kubectl("exec", agent, "--", "python3", "-c", "import os; os.kill(1, 15)")

    def restarted() -> bool:
        pod = world.core.read_namespaced_pod(agent, world.namespace)
        return bool(pod.status.container_statuses[0].restart_count)

    wait_for("it was started again", restarted)
    wait_for("it is ready", lambda: agents(world).get(node) == agent)
    assert "hello" in published(world, agent)
    world.wait_for_phase("Ready")


def test_a_node_left_out_is_known_to_endpoint_slices_only(world: World) -> None:
    """Log shipping's aggregator is a Pod of the demo's own that may be there."""
    apply(world, logShipping={"emitter": {"lines": 10, "linesPerSecond": 10}})
    # Agents and slices also agree while the aggregator has no address yet: Ready needs its lines.
    world.wait_for_phase("Ready")
    wait_for_discovery(world, "all agree", asExpected=True, covered=3, reason="ServicesAgree")
    component = "workshopdemo.dev/component=log-aggregator"
    (aggregator,) = world.core.list_namespaced_pod(world.namespace, label_selector=component).items
    there, address = aggregator.spec.node_name, aggregator.status.pod_ip
    elsewhere = next(node for node in nodes(world) if node != there)
    left_out = {"nodeSelector": {"kubernetes.io/hostname": elsewhere}}
    apply(world, left_out, logShipping={"emitter": {"lines": 10, "linesPerSecond": 10}})
    wait_for_discovery(world, "two nodes are left out", covered=1, reason="NodesLeftOut")

    def settled() -> dict[str, Any]:
        # The agents that go are in EndpointSlices for a moment longer.
        status = world.status()
        assert "discovery 1/3 nodes, 1/2 services agree" in status["summary"]
        found: dict[str, Any] = status["serviceDiscovery"]
        assert found["asExpected"] is True
        return found

    status = wait_for("only the aggregator is known to one side", settled)
    services = {one["service"]: one for one in status["services"]}
    assert services["shop-log-aggregator"]["onlyEndpointSlices"] == [address]
    assert services["shop-log-aggregator"]["agents"] == 0
    assert address in status["message"]
    uncovered = {one["node"]: one for one in status["uncovered"]}
    assert (uncovered[there]["reason"], uncovered[there]["asAsked"]) == ("NodeSelector", True)


def test_an_address_that_somebody_else_adds_is_told_when_it_lasts(world: World) -> None:
    """Whoever may write EndpointSlices can send what is meant for a Service elsewhere."""
    apply(world)
    world.wait_for_phase("Ready")
    DiscoveryV1Api(world.api).create_namespaced_endpoint_slice(
        world.namespace,
        {
            "metadata": {
                "name": "by-hand",
                "labels": {"kubernetes.io/service-name": "shop-node-agent"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.7"], "conditions": {"ready": True}}],
            "ports": [{"name": "http", "port": 8082}],
        },
    )
    wait_for_discovery(world, "it may be for a moment", asExpected=None, reason="Comparing")
    status = wait_for_discovery(world, "it lasts", asExpected=False, reason="ServicesDiffer")
    assert status["services"][0]["onlyEndpointSlices"] == ["192.0.2.7"]
    assert world.status()["phase"] == "Degraded"
    DiscoveryV1Api(world.api).delete_namespaced_endpoint_slice("by-hand", world.namespace)
    wait_for_discovery(world, "it is gone", asExpected=True)


def test_an_agent_may_see_pods_and_nothing_else(world: World) -> None:
    apply(world)
    world.wait_for_phase("Ready")
    who = f"--as=system:serviceaccount:{world.namespace}:shop-node-agent"
    for verb in ("list", "watch"):
        assert world.kubectl("auth", "can-i", verb, "pods", who).strip() == "yes"
    for verb, resource in (
        ("get", "pods"),
        ("delete", "pods"),
        ("list", "secrets"),
        ("get", "pods/log"),
        ("create", "pods/exec"),
        ("list", "configmaps"),
    ):
        assert world.kubectl("auth", "can-i", verb, resource, who, fails=True).strip() == "no"
    elsewhere = world.kubectl("auth", "can-i", "list", "pods", who, "-n", "default", fails=True)
    assert elsewhere.strip() == "no"


def test_it_runs_where_pod_security_is_strictest(world: World) -> None:
    world.core.patch_namespace(
        world.namespace,
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    )
    apply(world)
    world.wait_for_phase("Ready")


def test_a_section_that_goes_takes_its_rights_along(world: World) -> None:
    apply(world)
    world.wait_for_phase("Ready")
    world.apply({"name": "ci", "scenario": "CIPipeline"})
    rbac = RbacAuthorizationV1Api(world.api)

    def left() -> list[str]:
        found = [
            rbac.list_namespaced_role(world.namespace),
            rbac.list_namespaced_role_binding(world.namespace),
            world.core.list_namespaced_service(world.namespace),
            world.apps.list_namespaced_daemon_set(world.namespace),
        ]
        accounts = world.core.list_namespaced_service_account(world.namespace).items
        names = [one.metadata.name for each in found for one in each.items]
        return names + [one.metadata.name for one in accounts if one.metadata.name != "default"]

    wait_for("nothing is left", lambda: not left())


@pytest.mark.disruptive
@pytest.mark.usefixtures("chart_as_before")
def test_roles_in_one_namespace_suffice(world: World, chart: Chart) -> None:
    """An operator grants only what it may do itself, and there that is by a Role."""
    chart.install("--set", f"namespaces={{{world.namespace}}}")
    who = f"--as=system:serviceaccount:{SYSTEM}:workshop-demo"
    asked = world.kubectl("auth", "can-i", "list", "pods", who, "-n", "default", fails=True)
    assert asked.strip() == "no"
    apply(world)
    status = world.wait_for_phase("Ready")
    assert status["serviceDiscovery"]["covered"] == 3


@pytest.mark.disruptive
def test_operator_and_agents_outlive_a_lost_api_server(world: World) -> None:
    apply(world)
    world.wait_for_phase("Ready")
    world.apply(QUICK | {"command": ["sh", "-c", "sleep 30; echo meanwhile"]}, name="other")
    wait_for("its Pod", lambda: world.pods_of("ok"))
    node, agent = max(agents(world).items())
    pod = world.operator_pod()
    manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    world.node("mv", manifest, "/root/kube-apiserver.yaml")
    try:
        time.sleep(60)
    finally:
        world.node("mv", "/root/kube-apiserver.yaml", manifest)
    world.wait_for_api_server()
    world.wait_for_phase("Ready", "other", deadline=240)
    world.wait_for_log("ok", "meanwhile", "other")
    run_pod(world, "late", node)
    wait_for("the agent learns again", lambda: published(world, agent).get("late"))
    world.wait_for_phase("Ready")
    assert world.operator_pod() == pod
    read = world.core.read_namespaced_pod(agent, world.namespace)
    assert read.status.container_statuses[0].restart_count == 0


@pytest.mark.disruptive
def test_at_rest_nothing_is_written(world: World) -> None:
    apply(world)
    world.wait_for_phase("Ready")
    time.sleep(10)
    before = world.demo()["metadata"]["resourceVersion"]
    since = len(world.requests())
    time.sleep(60)
    mine = [
        request
        for request in world.requests()[since:]
        if request["user"]["username"] == f"system:serviceaccount:{SYSTEM}:workshop-demo"
        and request["verb"] in {"create", "update", "patch", "delete"}
        and request["stage"] == "ResponseComplete"
    ]
    assert mine == []
    assert world.demo()["metadata"]["resourceVersion"] == before
