"""Members of a StatefulSet, their claims and what they say, as the cluster tells of them."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec

from logshipping import moment, node
from support import demo_body, time
from workshopdemo import names
from workshopdemo.errors import ClusterError
from workshopdemo.facts import Child, child_of
from workshopdemo.model import Blockage, StatefulSet, StatefulSetStatus, Step, WorkshopDemo, parse
from workshopdemo.observe import Hearing, Silence, StatefulSetFacts
from workshopdemo.observe.statefulset import observe_stateful_set
from workshopdemo.plan.statefulset import stateful_set_names
from workshopdemo.testimony import ENTRIES, Entry, Testimony

NODES = ("worker-1", "worker-2")
OLD, NEW = "aaaa", "bbbb"
"""Revisions of the Pod template."""


def demo_with(section: Mapping[str, Any], *jobs: Mapping[str, Any], **more: Any) -> WorkshopDemo:
    return parse(demo_body(*jobs, stateful_set=section, **more))


def labels_of(component: str, demo_uid: str = "demo-uid-1") -> dict[str, str]:
    return {
        "workshopdemo.dev/demo": "bookshop",
        "workshopdemo.dev/demo-uid": demo_uid,
        "workshopdemo.dev/component": component,
    }


def member_body(
    ordinal: int,
    component: str = "diary",
    *,
    life: int = 1,
    at: float = 0,
    ready: bool = True,
    ready_at: float | None = None,
    node: str | None = "worker-1",
    revision: str = OLD,
    waiting: str | None = None,
    message: str = "a word",
    ended: int | None = None,
    last: int | None = None,
    restarts: int = 0,
    started: bool | None = None,
    terminating: bool = False,
    unplaced: str | None = None,
    unplaced_reason: str = "Unschedulable",
    owner: str = "uid-of-set",
    container: str | None = None,
) -> dict[str, Any]:
    """A member's Pod.

    Args:
        ordinal: which member.
        component: of which StatefulSet.
        life: counts Pods of that name.
        at: when it was made.
        ready: whether it is.
        ready_at: since when it is, or is not.
        node: where it is.
        revision: of its template.
        waiting: why its container does not run.
        message: of that.
        ended: exit code with which its container has ended.
        last: exit code with which it ended before.
        restarts: of its container.
        started: whether its startup probe is through.
        terminating: whether it is being removed.
        unplaced: why the scheduler finds no node.
        unplaced_reason: of its condition.
        owner: UID of the StatefulSet.
        container: which one is not well, if it is not the main one.
    """
    main = "postgres" if component == "database" else component
    metadata: dict[str, Any] = {
        "name": f"bookshop-{component}-{ordinal}",
        "namespace": "workshop",
        "uid": f"{component}-{ordinal}-life-{life}",
        "labels": labels_of(component)
        | {names.REVISION_LABEL: f"bookshop-{component}-{revision}"}
        | {names.POD_NAME_LABEL: f"bookshop-{component}-{ordinal}"},
        "creationTimestamp": time(at),
        "ownerReferences": [{"uid": owner, "controller": True}],
        "resourceVersion": "5",
    }
    if terminating:
        metadata["deletionTimestamp"] = time(at)
    if unplaced is not None:
        scheduled = {"type": "PodScheduled", "status": "False", "reason": unplaced_reason}
        status: dict[str, Any] = {
            "phase": "Pending",
            "conditions": [scheduled | {"message": unplaced, "lastTransitionTime": time(at)}],
        }
        return {"metadata": metadata, "spec": {}, "status": status}
    state: dict[str, Any] = {"running": {}}
    if waiting is not None:
        state = {"waiting": {"reason": waiting, "message": message}}
    elif ended is not None:
        state = {"terminated": {"exitCode": ended, "reason": "Error"}}
    well = waiting is None and ended is None and last is None
    ailing: dict[str, Any] = {
        "name": container or main,
        "image": "some:image",
        "ready": ready,
        "started": ready if started is None else started,
        "state": state,
        "restartCount": restarts,
    }
    if last is not None:
        ailing["lastState"] = {"terminated": {"exitCode": last, "reason": "Error"}}
    statuses = [ailing]
    if container is not None:
        statuses.insert(0, {"name": main, "state": {"running": {}}, "ready": True, "started": True})
    is_pending = waiting is not None and last is None
    return {
        "metadata": metadata,
        "spec": {"nodeName": node} if node else {},
        "status": {
            "phase": "Pending" if is_pending else "Running",
            "podIP": f"10.0.{ordinal}.{life}",
            "containerStatuses": statuses,
            "conditions": [
                {
                    "type": "Ready",
                    "status": str(ready and well),
                    "lastTransitionTime": time(at if ready_at is None else ready_at),
                },
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": time(at)},
            ],
        },
    }


def claim_body(
    ordinal: int,
    component: str = "diary",
    *,
    volume: str | None = "",
    at: float = 0,
    node: str | None = None,
    owned: bool = False,
    demo_uid: str = "demo-uid-1",
    terminating: bool = False,
) -> dict[str, Any]:
    """A member's claim; its volume is one of its own unless one is given, or None."""
    name = f"data-bookshop-{component}-{ordinal}"
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "workshop",
        "uid": f"uid-of-{name}-{demo_uid}",
        "labels": labels_of(component, demo_uid),
        "creationTimestamp": time(at),
        "resourceVersion": "5",
    }
    if node is not None:
        metadata["annotations"] = {"volume.kubernetes.io/selected-node": node}
    if owned:
        metadata["ownerReferences"] = [{"uid": "uid-of-set", "controller": True}]
    if terminating:
        metadata["deletionTimestamp"] = time(at)
    spec: dict[str, Any] = {"resources": {"requests": {"storage": "256Mi"}}}
    if volume is not None:
        spec["volumeName"] = volume or f"pv-{ordinal}"
    phase = "Pending" if volume is None else "Bound"
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase}}


def set_body(
    component: str = "diary", *, revision: str = OLD, generation: int = 1, seen: int = 1
) -> dict[str, Any]:
    """The StatefulSet, and which of its generations Kubernetes has seen."""
    name = f"bookshop-{component}"
    return {
        "metadata": {
            "name": name,
            "namespace": "workshop",
            "uid": "uid-of-set",
            "labels": labels_of(component),
            "creationTimestamp": time(),
            "generation": generation,
            "resourceVersion": "5",
        },
        "spec": {},
        "status": {"observedGeneration": seen, "updateRevision": f"{name}-{revision}"},
    }


def checksum(identifier: str, member: str, number: int) -> str:
    return hashlib.sha256(f"{identifier} {member} {number}".encode()).hexdigest()


def said_by(
    pod: Child, starts: int = 1, *, identifier: str = "7412", chain: str = "", **more: Any
) -> Testimony:
    """What the member in that Pod says; another chain has other checksums."""
    entries = tuple(
        Entry(
            number=number,
            time=time(number),
            checksum=checksum(chain or identifier, pod.name, number),
        )
        for number in range(max(1, starts - ENTRIES + 1), starts + 1)
    )
    words: dict[str, Any] = {"first": time(), "intact": True, "rows": starts} | more
    return Testimony(
        member=pod.name,
        pod=pod.uid,
        identifier=identifier,
        starts=starts,
        entries=entries,
        **words,
    )


class Scene:
    """A StatefulSet and all that is seen of it, over many looks."""

    def __init__(self, scenario: str = "Diary", replicas: int = 2, **section: Any) -> None:
        self.section: dict[str, Any] = {"scenario": scenario, "replicas": replicas} | section
        self.component = "diary" if scenario == "Diary" else "database"
        self.live: Child | None = child_of("StatefulSet", set_body(self.component))
        self.pods: dict[str, Child] = {}
        self.claims: dict[str, Child] = {}
        self.nodes = [node(name) for name in NODES]
        self.heard: Hearing | None = None
        self.refusal: str | None = None
        self.claim_words: dict[str, str] = {}
        self.unchangeable: tuple[str, ...] = ()
        self.told: StatefulSetStatus | None = None
        self.problem: ClusterError | None = None
        self.due: datetime | None = None

    @property
    def asked(self) -> StatefulSet:
        found = demo_with(self.section).spec.stateful_set
        assert found is not None
        return found

    def change(self, **section: Any) -> None:
        """The spec is another one."""
        self.section |= section

    def pod(self, ordinal: int) -> Child:
        return self.pods[f"bookshop-{self.component}-{ordinal}"]

    def member(self, ordinal: int, *, claimed: bool = True, **more: Any) -> Child:
        """There is a Pod of that member now, and its claim."""
        pod = child_of("Pod", member_body(ordinal, self.component, **more))
        self.pods[pod.name] = pod
        if claimed and f"data-{pod.name}" not in self.claims:
            self.claim(ordinal)
        return pod

    def claim(self, ordinal: int, **more: Any) -> Child:
        claim = child_of("PersistentVolumeClaim", claim_body(ordinal, self.component, **more))
        self.claims[claim.name] = claim
        return claim

    def gone(self, ordinal: int) -> None:
        """Its Pod is."""
        del self.pods[f"bookshop-{self.component}-{ordinal}"]

    def template(self, revision: str) -> None:
        """Kubernetes knows of a newer template."""
        self.live = child_of("StatefulSet", set_body(self.component, revision=revision))

    def say(self, ordinal: int, starts: int = 1, **more: Any) -> None:
        """The member has answered."""
        before = self.heard or Hearing()
        pod = self.pod(ordinal)
        if self.component == "database":
            more = {"role": "Replica" if ordinal else "Primary"} | more
        said = said_by(pod, starts, **more)
        silent = {uid: one for uid, one in before.silent.items() if uid != pod.uid}
        self.heard = replace(before, said={**before.said, pod.uid: said}, silent=silent)

    def silence(self, ordinal: int, since: float = 0) -> None:
        """The member does not answer."""
        before = self.heard or Hearing()
        why = Silence(moment(since), "the member did not answer within 5 s")
        self.heard = replace(before, silent={**before.silent, self.pod(ordinal).uid: why})

    def idles(self, ordinal: int, since: float = 0) -> None:
        """The replica does not stream."""
        before = self.heard or Hearing()
        self.heard = replace(before, idle={**before.idle, self.pod(ordinal).uid: moment(since)})

    def all_well(self, members: Iterable[int] | None = None, **more: Any) -> None:
        """Every member is there and has answered."""
        for ordinal in range(self.asked.replicas) if members is None else members:
            self.member(ordinal, **more)
            self.say(ordinal)

    def restart_operator(self) -> None:
        """Another process has heard nothing yet."""
        self.heard = None

    @property
    def facts(self) -> StatefulSetFacts:
        return StatefulSetFacts(
            namespace="workshop",
            asked=self.asked,
            named=stateful_set_names(demo_with(self.section), self.asked),
            live=self.live,
            pods=dict(self.pods),
            claims=dict(self.claims),
            nodes=self.nodes,
            heard=self.heard,
            refusal=self.refusal,
            claim_words=self.claim_words,
            unchangeable=self.unchangeable,
            told=self.told,
            problem=self.problem,
        )

    def look(self, seconds: float = 0) -> StatefulSetStatus:
        """Look, and write the status. Whoever looks again at the same finds nothing to write, and
        is not asked to look again at once.
        """
        now = moment(seconds)
        status, self.due = observe_stateful_set(self.facts, now)
        written = msgspec.json.decode(msgspec.json.encode(status), type=StatefulSetStatus)
        assert written == status, "what is told is what is read again"
        again = observe_stateful_set(replace(self.facts, told=status), now)
        assert again == (status, self.due), "at rest nothing is written"
        assert self.due is None or self.due > now, "nobody waits for what has been"
        self.told = status
        return status

    def blockage(self, seconds: float = 0) -> Blockage:
        """What is told to be in the way."""
        status = self.look(seconds)
        assert status.blocked is not None, (status.reason, status.message)
        assert status.as_expected is False
        assert status.reason == status.blocked.reason
        assert status.blocked.way_out in status.message
        return status.blocked


def what(steps: Iterable[Step]) -> list[str]:
    """Steps in short, such as `0 Ready`."""
    return [f"{step.pod.rpartition('-')[2]} {step.what}" for step in steps]
