"""Nodes and a DaemonSet's Pods → which nodes are covered, and why the others are not.

A DaemonSet that says 3 of 3 has left out, without a word, every node that its Pods do not tolerate
or do not select. So this starts from the nodes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from workshopdemo import names
from workshopdemo.facts import Child, Node
from workshopdemo.model import OnNodes, UncoveredNode
from workshopdemo.observe.attempts import statuses_of
from workshopdemo.observe.stuck import hindrance
from workshopdemo.observe.text import shorten_end
from workshopdemo.observe.times import parse_time

_ALWAYS_TOLERATED: Final = frozenset(
    f"node.kubernetes.io/{name}"
    for name in (
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
    )
)
"""Taints that the DaemonSet controller lets its Pods tolerate (k8s.io/kubernetes,
pkg/controller/daemon/util, AddOrUpdateDaemonPodTolerations)."""

_REPELLING: Final = frozenset({"NoSchedule", "NoExecute"})

_ON_THE_WAY: Final = frozenset(
    {"NoPod", "Pending", "ContainerCreating", "PodInitializing", "PodNotReady", "Terminating"}
)
"""What each node passes through on its way to be covered, and when its Pod is replaced."""

_MESSAGE_LIMIT: Final = 256

_POD_SECURITY: Final = re.compile(r'violates PodSecurity "(\w+):')

START_PATIENCE: Final = timedelta(seconds=60)
"""How long a node may be on its way to be covered before that is a complaint."""


@dataclass(frozen=True)
class Coverage:
    """How the nodes are covered."""

    covered: tuple[str, ...]
    uncovered: tuple[UncoveredNode, ...]
    overdue: tuple[UncoveredNode, ...]
    """Those of them that should be covered by now."""

    due: datetime | None
    """When one that is on its way will have taken too long."""

    @property
    def wanting(self) -> int:
        """How many nodes the spec asks for and has not got."""
        return sum(1 for node in self.uncovered if not node.as_asked)

    @property
    def asked(self) -> int:
        """How many nodes the spec asks for."""
        return len(self.covered) + self.wanting


@dataclass(frozen=True)
class Placement:
    """Which nodes a spec asks for."""

    tolerate_control_plane: bool
    tolerations: Sequence[Mapping[str, Any]]
    node_selector: Mapping[str, str]


def placement_of(asked: OnNodes) -> Placement:
    """Which nodes a section asks for."""
    return Placement(asked.tolerate_control_plane, asked.tolerations, asked.node_selector)


def coverage(
    placement: Placement,
    nodes: Iterable[Node],
    pods: Iterable[Child],
    *,
    refusal: str | None,
    absent: Mapping[str, datetime],
    now: datetime,
) -> Coverage:
    """See which nodes have a ready Pod.

    Args:
        placement: what the spec asks for.
        nodes: the cluster's.
        pods: those of the DaemonSet.
        refusal: why Kubernetes makes no Pod, by the DaemonSet's Events.
        absent: since when there is no Pod that stays, by name of node.
        now: the time of day.
    """
    by_node: dict[str, list[Child]] = {}
    for pod in pods:
        by_node.setdefault(node_of_pod(pod), []).append(pod)
    covered, uncovered, overdue, due = [], [], [], []
    for node in nodes:
        own = by_node.get(node.name, [])
        if node.is_ready and any(is_ready(pod) for pod in own):
            covered.append(node.name)
            continue
        why = _left_out(placement, node) or _not_ready(node) or _without_pod(node, own, refusal)
        why = why or _pod_unready(node, own)
        uncovered.append(why)
        if why.as_asked:
            continue
        living = [pod for pod in own if not pod.terminating]
        since = max(map(unready_since, living)) if living else absent.get(node.name, now)
        if why.reason in _ON_THE_WAY and now < since + START_PATIENCE:
            due.append(since + START_PATIENCE)
        else:
            overdue.append(why)
    return Coverage(tuple(covered), tuple(uncovered), tuple(overdue), min(due, default=None))


def bare_nodes(nodes: Iterable[Node], pods: Iterable[Child]) -> set[str]:
    """Names of the nodes that have no Pod that stays."""
    there = {node_of_pod(pod) for pod in pods if not pod.terminating}
    return {node.name for node in nodes} - there


def node_of_pod(pod: Child) -> str:
    """Name of the node that the Pod is on or meant for, empty if there is none."""
    return str(pod.status.get("nodeName") or "")


def is_ready(pod: Child) -> bool:
    """Whether the Pod is Ready, by its own condition, and stays."""
    conditions = pod.status.get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not pod.terminating


def unready_since(pod: Child) -> datetime:
    """Since when the Pod is not Ready: since it was, or since it was made."""
    created = parse_time(pod.created)
    for one in pod.status.get("conditions") or ():
        if (one["type"], one["status"]) == ("Ready", "False") and one.get("lastTransitionTime"):
            return max(created, parse_time(one["lastTransitionTime"]))
    return created


def pod_security_level(refusal: str | None) -> str | None:
    """The Pod Security Standard that forbids the Pods, if that is why there are none."""
    found = _POD_SECURITY.search(refusal or "")
    return found[1] if found else None


def _left_out(placement: Placement, node: Node) -> UncoveredNode | None:
    missing = [
        f"{key}={value}"
        for key, value in placement.node_selector.items()
        if node.labels.get(key) != value
    ]
    if missing:
        message = f"it has no label {', '.join(missing)}, which nodeSelector asks for"
        return UncoveredNode(node=node.name, reason="NodeSelector", message=message, as_asked=True)
    repelling = [taint for taint in node.taints if not _tolerates(placement, taint)]
    # A control plane that is left out on purpose may have other taints besides.
    repelling.sort(key=lambda taint: taint[0] != names.CONTROL_PLANE_TAINT)
    return _repelled(node, repelling[0]) if repelling else None


def _repelled(node: Node, taint: tuple[str, str, str]) -> UncoveredNode:
    key, value, effect = taint
    words = f"{key}={value}:{effect}" if value else f"{key}:{effect}"
    if key == names.CONTROL_PLANE_TAINT:
        message = f"taint {words} is not tolerated: set tolerateControlPlane: true"
        return UncoveredNode(node=node.name, reason="ControlPlane", message=message, as_asked=True)
    cure = f"{{key: {key}, operator: Exists, effect: {effect}}}"
    message = f"taint {words} is not tolerated: add {cure} to tolerations"
    return UncoveredNode(
        node=node.name, reason="TaintNotTolerated", message=message, as_asked=False
    )


def _tolerates(placement: Placement, taint: tuple[str, str, str]) -> bool:
    key, value, effect = taint
    if effect not in _REPELLING or key in _ALWAYS_TOLERATED:
        return True
    if placement.tolerate_control_plane and key == names.CONTROL_PLANE_TAINT:
        return True
    return any(_matches(toleration, key, value, effect) for toleration in placement.tolerations)


def _matches(toleration: Mapping[str, Any], key: str, value: str, effect: str) -> bool:
    """Whether the toleration is for that taint (core/v1 Toleration, ToleratesTaint)."""
    if toleration.get("effect") not in (None, "", effect):
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    if toleration["key"] != key:
        return False
    return exists or (toleration.get("value") or "") == value


def _not_ready(node: Node) -> UncoveredNode | None:
    if node.is_ready:
        return None
    return UncoveredNode(
        node=node.name,
        reason="NodeNotReady",
        message=f"the node is not Ready: kubectl describe node {node.name}",
        as_asked=False,
    )


def _without_pod(node: Node, pods: Sequence[Child], refusal: str | None) -> UncoveredNode | None:
    if pods:
        return None
    level = pod_security_level(refusal)
    reason = "PodSecurity" if level else ("FailedCreate" if refusal else "NoPod")
    message = shorten_end(refusal or "Kubernetes has not made its Pod yet", _MESSAGE_LIMIT)
    if level:
        message = f"Pod Security {level} forbids the Pod its hostPath"
    return UncoveredNode(node=node.name, reason=reason, message=message, as_asked=False)


def _pod_unready(node: Node, pods: Sequence[Child]) -> UncoveredNode:
    newest = max(pods, key=lambda pod: (not pod.terminating, pod.created))
    reason, message = trouble(newest)
    return UncoveredNode(node=node.name, reason=reason, message=message, as_asked=False)


def trouble(pod: Child) -> tuple[str, str]:
    """Why a Pod is not Ready, in the kubelet's or the scheduler's words."""
    if pod.terminating:
        return "Terminating", f"Pod {pod.name} is being replaced"
    hindered = hindrance([pod])
    if hindered is not None:
        return hindered.reason, shorten_end(hindered.message, _MESSAGE_LIMIT)
    for status in statuses_of(pod):
        waiting = (status.get("state") or {}).get("waiting")
        if waiting:
            last = (status.get("lastState") or {}).get("terminated") or {}
            ended = f"; it ended with exit code {last['exitCode']}" if "exitCode" in last else ""
            return waiting["reason"], f"Pod {pod.name} has restarted{ended}"
    return "PodNotReady", f"Pod {pod.name} is not Ready yet"
