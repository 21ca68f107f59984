"""What was seen of a child, trimmed to what a reconcile reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from workshopdemo import names

Object = dict[str, Any]

_INDEX_ANNOTATION: Final = "batch.kubernetes.io/job-completion-index"
_SCHEDULED_ANNOTATION: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"

API_VERSIONS: Final = {
    "CronJob": "batch/v1",
    "Job": "batch/v1",
    "PersistentVolumeClaim": "v1",
    "Pod": "v1",
}
"""Kinds of children; what a list gives does not say its kind."""

_POD_STATUS: Final = (
    "phase",
    "reason",
    "message",
    "startTime",
    "conditions",
    "containerStatuses",
    "initContainerStatuses",
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

    def condition(self, kind: str) -> Mapping[str, Any] | None:
        """The condition of that type whose status is True.

        Searched by type: the order of conditions means nothing, and a Job may have several.
        """
        for condition in self.status.get("conditions") or ():
            if condition["type"] == kind and condition["status"] == "True":
                return dict(condition)
        return None


def child_of(kind: str, body: Mapping[str, Any]) -> Child:
    """A child from its API object, which must carry our labels."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations") or {}
    index = annotations.get(_INDEX_ANNOTATION)
    is_pod = kind == "Pod"
    return Child(
        kind=kind,
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        version=int(metadata.get("resourceVersion") or 0),
        labels=dict(metadata["labels"]),
        created=metadata["creationTimestamp"],
        status=_pod_status(body) if is_pod else dict(body.get("status") or {}),
        content=b"{}" if is_pod else msgspec.json.encode(_intended(kind, body)),
        index=int(index) if index is not None else None,
        controller=names.controller_of(metadata),
        terminating="deletionTimestamp" in metadata,
        scheduled=annotations.get(_SCHEDULED_ANNOTATION),
        marks={
            name: str(value)
            for name, value in annotations.items()
            if name.startswith(names.LEDGER_PREFIX)
        },
    )


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
        "spec": body["spec"],
    }


def _pod_status(body: Mapping[str, Any]) -> Object:
    status = body.get("status") or {}
    node = (body.get("spec") or {}).get("nodeName")
    kept = {field: status[field] for field in _POD_STATUS if field in status}
    return kept | {"nodeName": node} if node else kept
