"""What was seen of a child, trimmed to what a reconcile reads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from workshopdemo import names

Object = dict[str, Any]

_INDEX_ANNOTATION: Final = "batch.kubernetes.io/job-completion-index"
_SCHEDULED_ANNOTATION: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"

_NUMBER: Final = re.compile(r"[0-9]{1,9}")

_RBAC: Final = "rbac.authorization.k8s.io"


class Resource(NamedTuple):
    """How a kind is called in URLs and rules."""

    group: str
    version: str
    plural: str


CHILD_KINDS: Final = {
    "ConfigMap": Resource("", "v1", "configmaps"),
    "CronJob": Resource("batch", "v1", "cronjobs"),
    "DaemonSet": Resource("apps", "v1", "daemonsets"),
    "Job": Resource("batch", "v1", "jobs"),
    "PersistentVolumeClaim": Resource("", "v1", "persistentvolumeclaims"),
    "Pod": Resource("", "v1", "pods"),
    "Role": Resource(_RBAC, "v1", "roles"),
    "RoleBinding": Resource(_RBAC, "v1", "rolebindings"),
    "Service": Resource("", "v1", "services"),
    "ServiceAccount": Resource("", "v1", "serviceaccounts"),
    "StatefulSet": Resource("apps", "v1", "statefulsets"),
}
"""Kinds of children: what is watched, cached, written and pruned."""

WRITTEN_KINDS: Final = tuple(kind for kind in CHILD_KINDS if kind != "Pod")
"""Those that the operator writes; Pods are made by Kubernetes."""

DEMOS: Final = Resource(names.GROUP, names.VERSION, names.PLURAL)
NODES: Final = Resource("", "v1", "nodes")
CRDS: Final = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions")


class Watched(NamedTuple):
    """What is watched of a kind."""

    resource: Resource
    labels: str = ""
    """Label selector; empty: all."""

    fields: str = ""
    """Field selector; empty: all."""

    is_namespaced: bool = True


WATCHED: Final = {
    watched.resource.plural: watched
    for watched in (
        Watched(DEMOS),
        *(Watched(resource, ",".join(names.CHILD_LABELS)) for resource in CHILD_KINDS.values()),
        Watched(NODES, is_namespaced=False),
        Watched(CRDS, fields=f"metadata.name={names.CRD_NAME}", is_namespaced=False),
    )
}
"""All that is watched, by plural."""

API_VERSIONS: Final = {
    kind: f"{resource.group}/{resource.version}".removeprefix("/")
    for kind, resource in CHILD_KINDS.items()
}
"""What a list gives does not say its kind."""

_CONTENT: Final = (
    "spec",
    "data",
    "rules",
    "roleRef",
    "subjects",
    "automountServiceAccountToken",
)
"""What children of any kind say beside their metadata."""

_POD_STATUS: Final = (
    "phase",
    "reason",
    "message",
    "startTime",
    "conditions",
    "containerStatuses",
    "initContainerStatuses",
    "podIP",
)


@dataclass(frozen=True)
class Child:
    """A child of a demo. What a plan may speak of is kept as JSON: it is read seldom."""

    kind: str
    name: str
    namespace: str
    uid: str
    version: int
    labels: Mapping[str, str]
    created: str
    generation: int
    """Counts changes of what is asked of it."""

    status: Mapping[str, Any]
    content: bytes
    index: int | None
    """Completion index of a Pod of an Indexed Job."""

    controller: str | None
    """UID of the object that controls it."""

    terminating: bool
    """Whether it is being deleted."""

    scheduled: str | None
    """Time by the schedule, of a Job that a CronJob made."""

    marks: Mapping[str, str]
    """Its annotations with the ledger of notifications."""

    @property
    def intended(self) -> Object:
        """The object without its status; empty for a Pod, which no plan speaks of."""
        return dict(msgspec.json.decode(self.content))

    @property
    def demo_uid(self) -> str:
        """UID of the demo it belongs to."""
        return self.labels[names.DEMO_UID_LABEL]

    def number(self, label: str) -> int | None:
        """A label that is a number."""
        return _number(self.labels.get(label))

    def condition(self, kind: str) -> Mapping[str, Any] | None:
        """The condition of that type whose status is True.

        Searched by type: the order of conditions means nothing, and a Job may have several.
        """
        for condition in self.status.get("conditions") or ():
            if condition["type"] == kind and condition["status"] == "True":
                return dict(condition)
        return None


@dataclass(frozen=True)
class Node:
    """A node of the cluster, trimmed to what decides whether a DaemonSet's Pod runs on it."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[tuple[str, str, str], ...]
    """Key, value and effect of each."""

    is_ready: bool


def node_of(body: Mapping[str, Any]) -> Node:
    """A node from its API object."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    conditions = (body.get("status") or {}).get("conditions") or ()
    return Node(
        name=metadata["name"],
        labels=dict(metadata.get("labels") or {}),
        taints=tuple(
            sorted(
                (taint["key"], taint.get("value") or "", taint["effect"])
                for taint in spec.get("taints") or ()
            )
        ),
        is_ready=any(one["type"] == "Ready" and one["status"] == "True" for one in conditions),
    )


def child_of(kind: str, body: Mapping[str, Any]) -> Child:
    """A child from its API object, which must carry our labels."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    is_pod = kind == "Pod"
    return Child(
        kind=kind,
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        version=int(metadata.get("resourceVersion") or 0),
        labels=dict(metadata["labels"]),
        created=metadata["creationTimestamp"],
        generation=int(metadata.get("generation") or 0),
        status=_pod_status(body) if is_pod else dict(body.get("status") or {}),
        content=b"{}" if is_pod else msgspec.json.encode(_intended(kind, body)),
        index=_number(annotations.get(_INDEX_ANNOTATION)),
        controller=names.controller_of(metadata),
        terminating="deletionTimestamp" in metadata,
        scheduled=_moment(annotations.get(_SCHEDULED_ANNOTATION)),
        marks={
            name: str(value)
            for name, value in annotations.items()
            if name.startswith(names.LEDGER_PREFIX)
        },
    )


# Whoever may write in the namespace may write anything into labels and annotations.
def _number(text: str | None) -> int | None:
    return int(text) if text and _NUMBER.fullmatch(text) else None


def _moment(text: str | None) -> str | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return text if moment.tzinfo is not None else None


def _intended(kind: str, body: Mapping[str, Any]) -> Object:
    metadata = body["metadata"]
    return {
        "apiVersion": API_VERSIONS[kind],
        "kind": kind,
        "metadata": {
            field: metadata[field]
            for field in ("name", "namespace", "labels", "annotations", "ownerReferences")
            if field in metadata
        },
    } | {field: body[field] for field in _CONTENT if field in body}


def _pod_status(body: Mapping[str, Any]) -> Object:
    status = body.get("status") or {}
    spec = body.get("spec") or {}
    node = spec.get("nodeName") or _meant_for(spec)
    kept = {field: status[field] for field in _POD_STATUS if field in status}
    return kept | {"nodeName": node} if node else kept


def _meant_for(spec: Mapping[str, Any]) -> str | None:
    """The node of a DaemonSet's Pod that is not bound yet: its controller writes an affinity."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == "metadata.name" and field.get("values"):
                return str(field["values"][0])
    return None
