"""Nodes and Pods of log shipping, as the API server tells of them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from support import NOW, time
from workshopdemo.facts import Child, Node, child_of, node_of

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
WORKERS = ("worker-1", "worker-2")


def taint(key: str, effect: str = "NoSchedule", value: str | None = None) -> dict[str, Any]:
    return {"key": key, "effect": effect} | ({"value": value} if value is not None else {})


GPU = taint("dedicated", "NoSchedule", "gpu")


def node_body(
    name: str,
    *taints: dict[str, Any],
    ready: bool = True,
    labels: dict[str, str] | None = None,
    cordoned: bool = False,
    heartbeat: float = 0,
) -> dict[str, Any]:
    spec: dict[str, Any] = {"unschedulable": True} if cordoned else {}
    every = [*taints, *([taint("node.kubernetes.io/unschedulable")] if cordoned else [])]
    if every:
        spec["taints"] = every
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "labels": labels or {},
            "resourceVersion": "1",
        },
        "spec": spec,
        "status": {
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "lastHeartbeatTime": time(heartbeat)},
                {
                    "type": "Ready",
                    "status": "True" if ready else "Unknown",
                    "lastHeartbeatTime": time(heartbeat),
                },
            ]
        },
    }


def node(name: str, *taints: dict[str, Any], **more: Any) -> Node:
    return node_of(node_body(name, *taints, **more))


def cluster_nodes(workers: Sequence[str] = WORKERS) -> list[Node]:
    """A control plane and workers, as kubeadm makes them."""
    return [node("control", taint(CONTROL_PLANE)), *map(node, workers)]


def part_body(
    component: str,
    node: str | None,
    *,
    name: str | None = None,
    at: float = 0,
    ready: bool = True,
    ready_at: float | None = None,
    waiting: str | None = None,
    message: str = "a word",
    phase: str | None = None,
    restarts: int = 0,
    exit_code: int | None = None,
    terminating: bool = False,
    bound: bool = True,
    ip: str | None = None,
    bare: bool = False,
) -> dict[str, Any]:
    """A Pod of a part of log shipping, as the kubelet reports it."""
    metadata: dict[str, Any] = {
        "name": name or f"bookshop-{component}-{node}",
        "namespace": "workshop",
        "labels": {
            "workshopdemo.dev/demo": "bookshop",
            "workshopdemo.dev/demo-uid": "demo-uid-1",
            "workshopdemo.dev/component": component,
        },
        "creationTimestamp": time(at),
        "resourceVersion": "5",
    }
    metadata["uid"] = f"uid-of-{metadata['name']}"
    if terminating:
        metadata["deletionTimestamp"] = time(at + 100)
    spec: dict[str, Any] = {"nodeName": node} if bound and node else {}
    if not bound:
        fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
        terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
        spec["affinity"] = {"nodeAffinity": required}
    status: dict[str, Any] = {"phase": phase or ("Running" if ready or not waiting else "Pending")}
    if ip:
        status["podIP"] = ip
    if bare:
        return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
    if not bound:
        status["phase"] = "Pending"
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/3 nodes are available: 1 Insufficient memory",
            }
        ]
        return {"metadata": metadata, "spec": spec, "status": status}
    state = {"waiting": {"reason": waiting, "message": message}} if waiting else {"running": {}}
    container: dict[str, Any] = {
        "name": component,
        "image": "some:image",
        "state": state,
        "restartCount": restarts,
    }
    if exit_code is not None:
        container["lastState"] = {"terminated": {"exitCode": exit_code, "reason": "Error"}}
    changed = time(at if ready_at is None else ready_at)
    status["containerStatuses"] = [container]
    status["conditions"] = [
        {"type": "Ready", "status": str(ready), "lastTransitionTime": changed},
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": time(at)},
    ]
    return {"metadata": metadata, "spec": spec, "status": status}


def part(component: str, node: str | None, **more: Any) -> Child:
    return child_of("Pod", part_body(component, node, **more))


def shipper(node: str, **more: Any) -> Child:
    return part("log-shipper", node, **more)


def emitter(node: str, **more: Any) -> Child:
    return part("log-emitter", node, **more)


def aggregator(**more: Any) -> Child:
    return part("log-aggregator", "worker-1", **({"name": "bookshop-log-aggregator-0"} | more))


def moment(seconds: float) -> Any:
    return NOW + timedelta(seconds=seconds)
