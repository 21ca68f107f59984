"""Log shipping while nodes come and go and the operator is replaced. One test at a time."""

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import ApiClient, CoreV1Api
from logs import AGGREGATOR, SHIPPER, Logs, numbers, on_node, twice
from world import QUICK, SYSTEM, Chart, World, wait_for

pytestmark = pytest.mark.disruptive

LINES = 1500
NETWORK = "kind"
FILLERS = 20


@pytest.fixture(autouse=True)
def _nodes_are_well(api: ApiClient, chart: Chart) -> Iterator[None]:
    core = CoreV1Api(api)
    before = {node.metadata.name: node.spec.taints for node in core.list_node().items}
    yield
    for name, taints in before.items():
        docker("start", name)
        core.patch_node(name, {"spec": {"taints": taints, "unschedulable": None}})
    wait_for("all nodes", lambda: all(map(_is_ready, core.list_node().items)))
    chart.restore()


def _is_ready(node: Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def address_of(container: str) -> str:
    form = f"{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}"
    return docker("inspect", "--format", form, container)


def stop(node: str) -> str:
    """Switch the node off; gives its address."""
    address = address_of(node)
    docker("stop", "-t", "5", node)
    return address


def start(node: str, address: str) -> None:
    """Switch it on: machines keep their address, and containers get the lowest that is free.

    (Docker gives an address that is asked for only in networks whose subnet was asked for too.)
    """
    fillers: list[str] = []
    try:
        while not fillers or address_of(fillers[-1]) != address:
            assert len(fillers) < FILLERS, f"{address} is not free any more"
            sleep = ("--detach", "--network", NETWORK, QUICK["image"], "sleep", "60")
            fillers.append(docker("run", *sleep))
        docker("rm", "--force", fillers.pop())
        docker("start", node)
    finally:
        for filler in fillers:
            docker("rm", "--force", filler)
    assert address_of(node) == address


def why(logs: Logs, node: str) -> str | None:
    """Why the node is not covered."""
    return logs.uncovered().get(node, {}).get("reason")


def free_worker(world: World) -> str:
    """A worker without the operator."""
    operator = world.core.read_namespaced_pod(world.operator_pod(), SYSTEM).spec.node_name
    return next(
        node.metadata.name
        for node in world.core.list_node().items
        if "worker" in node.metadata.name and node.metadata.name != operator
    )


def test_a_node_that_is_cordoned_tainted_drained_stopped_and_back_loses_nothing(
    world: World,
) -> None:
    logs, worker = Logs(world), free_worker(world)
    # The aggregator goes where the node does not.
    world.kubectl("cordon", worker)
    logs.apply({"emitter": {"lines": LINES, "linesPerSecond": 25}})
    logs.wait_for("a cordoned node is covered", lambda status: status["covered"] == 3)
    world.kubectl("uncordon", worker)
    (aggregator,) = logs.pods(AGGREGATOR)
    assert aggregator.spec.node_name != worker

    # DaemonSets stay where all else leaves.
    before = {pod.metadata.uid for pod in logs.pods(SHIPPER)}
    mine = ["--pod-selector=workshopdemo.dev/demo", "--timeout=60s"]
    world.kubectl("drain", worker, "--ignore-daemonsets", *mine)
    assert logs.status()["covered"] == 3
    assert {pod.metadata.uid for pod in logs.pods(SHIPPER)} == before
    world.kubectl("uncordon", worker)

    wait_for("lines of it", lambda: logs.rows().get(worker, {}).get("received", 0) > 100)
    address = stop(worker)
    began = time.monotonic()
    wait_for("its name", lambda: why(logs, worker) == "NodeNotReady", 150)
    print(f"NodeNotReady is told {time.monotonic() - began:.0f} s after it was stopped")
    status = world.wait_for_phase("Degraded")
    assert "logs 2/3 nodes" in status["summary"]
    assert f"{worker}: the node is not Ready" in logs.status()["message"]
    written = logs.rows()[worker]["written"]
    start(worker, address)
    began = time.monotonic()
    logs.wait_for("all nodes again", lambda status: status["covered"] == 3)
    print(f"covered {time.monotonic() - began:.0f} s after it was started")
    status = logs.wait_for_all_lines(LINES)
    assert logs.rows()[worker]["restarts"] == 1
    # What was written before is not forgotten: the second series comes on top of the first.
    assert logs.rows()[worker]["written"] >= LINES + written
    arrived = logs.arrived()
    assert sum(numbers(arrived)) == status["received"] == status["written"]
    assert twice(arrived) == status["duplicate"]
    print(f"written {status['written']}, arrived twice: {twice(arrived)}")

    taint = f"e2e/{world.namespace}"
    world.kubectl("taint", "node", worker, f"{taint}=books:NoExecute")
    began = time.monotonic()
    wait_for("its name", lambda: why(logs, worker) == "TaintNotTolerated")
    print(f"a taint is told after {time.monotonic() - began:.1f} s")
    message = logs.uncovered()[worker]["message"]
    toleration = f"{{key: {taint}, operator: Exists, effect: NoExecute}}"
    assert f"taint {taint}=books:NoExecute is not tolerated: add {toleration}" in message
    assert world.wait_for_phase("Degraded")["logShipping"]["covered"] == 2
    logs.apply(
        {
            "emitter": {"lines": LINES, "linesPerSecond": 1000},
            "tolerations": [{"key": taint, "operator": "Exists", "effect": "NoExecute"}],
        }
    )
    logs.wait_for("all nodes again", lambda status: status["covered"] == 3)
    logs.wait_for_all_lines(LINES)
    world.wait_for_phase("Ready")


def test_an_operator_that_starts_anew_goes_on_and_then_leaves_a_demo_alone(world: World) -> None:
    logs, aggregator = Logs(world), f"shop-{AGGREGATOR}-0"
    # So much at once that the kubelet lays the whole log aside, and the last line with it.
    logs.apply({"emitter": {"lines": 2000, "linesPerSecond": 1000}}, [QUICK])
    wait_for("the aggregator", lambda: logs.pods(AGGREGATOR))
    logs.hold(aggregator)
    try:
        world.kubectl("delete", "pod", aggregator, "--wait=false")
        wait_for("files that are laid aside", lambda: laid_aside(logs) == 3)
        start_operator_anew(world)
    finally:
        logs.let_go(aggregator)
    logs.wait_for_all_lines(2000)
    world.wait_for_phase("Ready")
    time.sleep(5)
    before, told = logs.requests(), world.status()
    start_operator_anew(world)
    # Proof that it looked at everything: a new demo goes through it.
    other = f"{world.namespace}-late"
    world.create_namespace(other)
    world.apply(QUICK, namespace=other)
    world.wait_for_phase("Ready", namespace=other)
    time.sleep(5)
    new = [one for one in logs.requests() if one not in before]
    print(f"asked after its start: {new}")
    assert [one for one in new if one.split()[1] not in {"get", "list", "watch"}] == []
    assert world.status() == told


def start_operator_anew(world: World) -> None:
    world.scale_operator(0)
    world.scale_operator(1)


def laid_aside(logs: Logs) -> int:
    """How many emitters' newest file is empty."""
    command = 'find /var/log/pods/"$1"_shop-log-emitter-*/log-emitter/0.log -size 0 | wc -l'
    return sum(
        int(on_node(node, "sh", "-c", command, "sh", logs.world.namespace)) for node in logs.nodes()
    )
