"""What keeps a StatefulSet from going on, and the way out: Kubernetes itself says neither."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from workshopdemo import names
from workshopdemo.facts import Child, Node
from workshopdemo.model import Blockage, StatefulSet
from workshopdemo.names import StatefulSetNames
from workshopdemo.observe.attempts import statuses_of
from workshopdemo.observe.coverage import (
    START_PATIENCE,
    is_ready,
    pod_security_level,
    trouble,
    unready_since,
)
from workshopdemo.observe.members import ordinal_of, volume_of
from workshopdemo.observe.stuck import Hindrance, hindrance
from workshopdemo.observe.text import clean, shorten_end
from workshopdemo.observe.times import parse_time

OTHER_DATABASE_EXIT: Final = 42
"""How programs/postgres/start.sh ends when a member's data is of another database."""

COPY_PATIENCE: Final = timedelta(minutes=15)
"""How long a replica may copy the primary's data, as its startup probe has it."""

_SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
"""On a claim: the node that its volume was made for (where the class waits for the first Pod)."""

_CORDONED: Final = "node.kubernetes.io/unschedulable"
"""Key of the taint of a node that takes no new Pods."""

_OF_VOLUMES: Final = re.compile(
    r"PersistentVolumeClaim|persistent volume|free storage|binding volumes", re.IGNORECASE
)
"""The scheduler speaks of a claim's volume. Of a class that waits for the first Pod, a claim has
none while the Pod fits nowhere for quite another reason."""

_UNPLACED: Final = frozenset({"Unschedulable", "SchedulerError", "Pending"})
"""The scheduler has not placed the Pod. Pending: while a volume is being made, it says nothing."""

_ELSEWHERE: Final = re.compile(r"volume node affinity|PersistentVolume's node affinity")
_MESSAGE_LIMIT: Final = 400
_AGAIN: Final = 2
"""A container that has restarted so often without success will hardly have any."""

_BROKEN: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
        "Unschedulable",
    }
)
"""Reasons of Pods that no waiting heals, whatever becomes of the template."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a blockage is looked for in."""

    namespace: str
    asked: StatefulSet
    named: StatefulSetNames
    live: Child | None
    pods: Mapping[str, Child]
    """Members, by name."""

    claims: Mapping[str, Child]
    """Their claims and those of members that are gone, by name."""

    nodes: Sequence[Node]
    refusal: str | None
    """Why Kubernetes makes no Pod or claim, by the StatefulSet's Events."""

    claim_words: Mapping[str, str]
    """Why a claim gets no volume, by its Events."""

    unchangeable: tuple[str, ...]
    """Fields of the StatefulSet that are not as planned and cannot be changed in place."""


Found = tuple[Blockage, datetime | None]
"""A blockage, and when it counts as one: a Pod may take its time. None: at once."""


def blockage(seen: Surroundings) -> Found | None:
    """What keeps the StatefulSet from going on, if anything does."""
    if seen.unchangeable:
        return _unchangeable(seen), None
    if seen.refusal is not None:
        return _refused(seen, seen.refusal), None
    unready = [pod for _, pod in sorted(seen.pods.items()) if not is_ready(pod)]
    found = [why for pod in unready if (why := _of_pod(seen, pod)) is not None]
    # What is so already is told before what may become so.
    return min(found, key=lambda one: (one[1] is not None, one[1] or ""), default=None)


def _unchangeable(seen: Surroundings) -> Blockage:
    name = seen.named.stateful_set
    fields = ", ".join(seen.unchangeable)
    return Blockage(
        reason="ImmutableFields",
        message=f"{fields} of StatefulSet {name} cannot be changed in place (apps/v1)",
        way_out=f"kubectl delete statefulset {name} -n {seen.namespace} --cascade=orphan: it is "
        "made anew around its Pods; claims that there are stay as they are",
    )


def _refused(seen: Surroundings, refusal: str) -> Blockage:
    words = shorten_end(clean(refusal), _MESSAGE_LIMIT)
    level = pod_security_level(refusal)
    if level is not None:
        reason = "PodSecurity"
        way_out = (
            f"kubectl label namespace {seen.namespace} "
            "pod-security.kubernetes.io/enforce=restricted --overwrite admits these Pods"
        )
    elif "exceeded quota" in refusal:
        reason = "QuotaExceeded"
        way_out = (
            f"kubectl describe quota -n {seen.namespace}: raise it, or lower replicas, resources "
            "or storage of spec.statefulSet"
        )
    else:
        name = seen.named.stateful_set
        reason = "FailedCreate"
        way_out = f"kubectl describe statefulset {name} -n {seen.namespace} tells more"
    return Blockage(reason=reason, message=words, way_out=way_out)


def _of_pod(seen: Surroundings, pod: Child) -> Found | None:
    return (
        _on_lost_node(seen, pod)
        or _of_other_database(seen, pod)
        or _forced_rollback(seen, pod)
        or _unschedulable(seen, pod)
        or _hindered(seen, pod)
    )


def _on_lost_node(seen: Surroundings, pod: Child) -> Found | None:
    name = pod.status.get("nodeName")
    if name is None or name in {node.name for node in seen.nodes if node.is_ready}:
        return None
    blocked = Blockage(
        reason="NodeLost",
        message=f"node {name} is not Ready. {pod.name} may still run there, so Kubernetes makes no "
        "second one: two that write to the same data would be worse than none",
        way_out=f"start {name} again; only if it is gone for good, kubectl delete node {name}",
        pod=pod.name,
    )
    return blocked, None


def _of_other_database(seen: Surroundings, pod: Child) -> Found | None:
    if OTHER_DATABASE_EXIT not in _exit_codes(pod, seen.named.main_container):
        return None
    claim = seen.named.claim(ordinal_of(pod.name))
    blocked = Blockage(
        reason="OtherDatabase",
        message=f"the data of {pod.name} is of another database than {seen.named.pod(0)}'s, and is "
        "left alone",
        way_out=f"if nobody needs it: kubectl delete pvc {claim} -n {seen.namespace} --wait=false; "
        f"kubectl delete pod {pod.name} -n {seen.namespace}: it then copies the primary's",
        pod=pod.name,
    )
    return blocked, None


def _exit_codes(pod: Child, container: str) -> set[int]:
    found = set()
    for status in statuses_of(pod):
        if status.get("name") != container:
            continue
        for state in (status.get("state") or {}, status.get("lastState") or {}):
            ended = state.get("terminated") or {}
            if "exitCode" in ended:
                found.add(int(ended["exitCode"]))
    return found


def _forced_rollback(seen: Surroundings, pod: Child) -> Found | None:
    """A Pod of an older template that is broken: with OrderedReady, Kubernetes waits for it to be
    Ready before it looks at the template again (kubernetes/kubernetes#67250).
    """
    strategy = seen.asked.update_strategy
    # With Parallel, Kubernetes replaces it as any other.
    waits = strategy.type == "OnDelete" or seen.asked.pod_management_policy == "OrderedReady"
    if not _is_older(seen, pod) or not waits or pod.terminating or _is_kept(seen, pod):
        return None
    reason, _, _ = _trouble(pod)
    if reason not in _BROKEN:
        return None
    why = (
        "Kubernetes waits until it is Ready, which it will never be, before it takes the template "
        "of now"
    )
    if strategy.type == "OnDelete":
        why = "With OnDelete it stays so until it is deleted"
    blocked = Blockage(
        reason="ForcedRollback",
        message=f"{pod.name} was made from an older template and is broken ({reason}). {why}",
        way_out=f"kubectl delete pod {pod.name} -n {seen.namespace}",
        pod=pod.name,
    )
    return blocked, None


def _is_older(seen: Surroundings, pod: Child) -> bool:
    """Whether it was made from another template than today's."""
    update = (seen.live.status if seen.live else {}).get("updateRevision")
    revision = pod.labels.get(names.REVISION_LABEL)
    return update is not None and revision is not None and revision != update


def _is_kept(seen: Surroundings, pod: Child) -> bool:
    """Whether the partition keeps it on the template that it has, even when it is deleted."""
    strategy = seen.asked.update_strategy
    return strategy.type == "RollingUpdate" and ordinal_of(pod.name) < strategy.partition


def _unschedulable(seen: Surroundings, pod: Child) -> Found | None:
    hindered = hindrance([pod])
    if hindered is None or hindered.reason not in _UNPLACED:
        return None
    claim = seen.claims.get(seen.named.claim(ordinal_of(pod.name)))
    if claim is not None and volume_of(claim) is None and claim.status.get("phase") == "Pending":
        if claim.name in seen.claim_words:
            return _without_volume(seen, pod, claim), parse_time(pod.created) + START_PATIENCE
        if _OF_VOLUMES.search(hindered.message):
            return _without_volume(seen, pod, claim), hindered.due
    if hindered.reason != "Unschedulable":
        return None
    if claim is not None and _ELSEWHERE.search(hindered.message):
        return _volume_elsewhere(seen, pod, claim, hindered)
    words = shorten_end(hindered.message, _MESSAGE_LIMIT)
    blocked = Blockage(
        reason="Unschedulable",
        message=f"{pod.name} fits on no node: {words}",
        way_out=f"kubectl describe pod {pod.name} -n {seen.namespace}; lower "
        "spec.statefulSet.resources or replicas, or make room",
        pod=pod.name,
    )
    return blocked, hindered.due


def _without_volume(seen: Surroundings, pod: Child, claim: Child) -> Blockage:
    wanted = seen.asked.storage_class_name
    said = shorten_end(clean(seen.claim_words.get(claim.name, "")), _MESSAGE_LIMIT)
    way = (
        "kubectl get storageclass; to take another one, remove spec.statefulSet, apply, delete "
        f"claim {claim.name} if it is still there, and add the section again with storageClassName"
    )
    if wanted is None and "no storage class is set" in said:
        reason, why = "NoDefaultStorageClass", "the cluster has no default storage class"
        way = (
            'kubectl patch storageclass NAME -p \'{"metadata":{"annotations":'
            '{"storageclass.kubernetes.io/is-default-class":"true"}}}\', or ' + way
        )
    elif wanted is not None and "not found" in said:
        reason, why = "NoSuchStorageClass", f"there is no storage class {wanted}"
    else:
        reason, why = "VolumePending", said or "nothing provides a volume for it"
    return Blockage(
        reason=reason,
        message=f"claim {claim.name} of {pod.name} has no volume: {why}",
        way_out=way,
        pod=pod.name,
    )


def _selected_node(claim: Child) -> str | None:
    annotations: Mapping[str, Any] = claim.intended["metadata"].get("annotations") or {}
    return annotations.get(_SELECTED_NODE)


def _node_of(seen: Surroundings, claim: Child) -> Node | None:
    """The node that the claim's volume was made for, if it is there and Ready."""
    name = _selected_node(claim)
    return next((node for node in seen.nodes if node.name == name and node.is_ready), None)


def _is_cordoned(node: Node) -> bool:
    return any(key == _CORDONED for key, _, _ in node.taints)


def _volume_on_cordoned(pod: Child, node: Node) -> Blockage:
    return Blockage(
        reason="VolumeOnCordonedNode",
        message=f"the volume of {pod.name} is on node {node.name}, which takes no new Pods: "
        "somebody has cordoned or drained it. Such a volume is on one node only, so the Pod waits",
        way_out=f"kubectl uncordon {node.name}, when the work on it is done",
        pod=pod.name,
    )


def _volume_elsewhere(seen: Surroundings, pod: Child, claim: Child, hindered: Hindrance) -> Found:
    node = _node_of(seen, claim)
    if node is None:
        return _volume_on_lost(seen, pod, claim), hindered.due
    if _is_cordoned(node):
        return _volume_on_cordoned(pod, node), None
    blocked = Blockage(
        reason="VolumeOnFullNode",
        message=f"the volume of {pod.name} is on node {node.name}, which does not take the Pod: "
        f"{shorten_end(hindered.message, _MESSAGE_LIMIT)}",
        way_out=f"make room on {node.name}: kubectl describe node {node.name} tells what it has",
        pod=pod.name,
    )
    return blocked, hindered.due


def _volume_on_lost(seen: Surroundings, pod: Child, claim: Child) -> Blockage:
    node = _selected_node(claim)
    return Blockage(
        reason="VolumeOnLostNode",
        message=f"the volume of {pod.name} is on {f'node {node}' if node else 'a node'}, which is "
        "gone or not Ready; such a volume is on one node only",
        way_out="bring the node back; if its data may be lost: "
        f"kubectl delete pvc {claim.name} -n {seen.namespace} --wait=false; "
        f"kubectl delete pod {pod.name} -n {seen.namespace}",
        pod=pod.name,
    )


def _hindered(seen: Surroundings, pod: Child) -> Found | None:
    hindered = hindrance([pod])
    started = hindered is None
    patience = COPY_PATIENCE if _is_copying(seen, pod) else START_PATIENCE
    due = hindered.due if hindered is not None else unready_since(pod) + patience
    reason, message, container = _trouble(pod)
    if pod.terminating:
        return None
    way_out = f"kubectl describe pod {pod.name} -n {seen.namespace}"
    if reason in _BROKEN and _is_kept(seen, pod) and _is_older(seen, pod):
        way_out = (
            "lower spec.statefulSet.updateStrategy.rollingUpdate.partition to "
            f"{ordinal_of(pod.name)}: members below it keep the template that they have"
        )
    elif reason in ("ImagePullBackOff", "ErrImagePull", "InvalidImageName"):
        way_out = "correct spec.statefulSet.image, or leave it out"
    elif started:
        container = container or seen.named.main_container
        previous = " --previous" if reason == "CrashLoopBackOff" else ""
        way_out = f"kubectl logs {pod.name} -n {seen.namespace} -c {container}{previous}"
    words = shorten_end(message, _MESSAGE_LIMIT)
    blocked = Blockage(reason=reason, message=f"{pod.name}: {words}", way_out=way_out, pod=pod.name)
    return blocked, due


def _is_copying(seen: Surroundings, pod: Child) -> bool:
    """Whether it may be a replica that makes its first copy: it has run without a restart."""
    main = seen.named.main_container
    statuses = [one for one in statuses_of(pod) if one.get("name") == main]
    return ordinal_of(pod.name) > 0 and any(
        "running" in (one.get("state") or {})
        and not one.get("started")
        and not one.get("restartCount")
        for one in statuses
    )


def _trouble(pod: Child) -> tuple[str, str, str | None]:
    """Why a Pod is not Ready, and the container that is to blame for it.

    What fails again and again is told in the same way while it waits, runs and ends: each of that
    is so for a moment.
    """
    for status in statuses_of(pod):
        last = (status.get("lastState") or {}).get("terminated") or {}
        waiting = (status.get("state") or {}).get("waiting")
        again = int(status.get("restartCount", 0)) >= _AGAIN and not status.get("ready")
        fails = waiting["reason"] == "CrashLoopBackOff" if waiting else again
        if fails and "exitCode" in last:
            why = last.get("reason")
            because = f" ({why})" if why not in (None, "Error", "Completed") else ""
            code = last["exitCode"]
            message = f"Pod {pod.name} has restarted; it ended with exit code {code}{because}"
            return "CrashLoopBackOff", message, str(status.get("name"))
    return *trouble(pod), None
