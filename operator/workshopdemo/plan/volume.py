"""The demo's volume: the bookshop's database lives there."""

from typing import Any, Final

from workshopdemo import names
from workshopdemo.model import WorkshopDemo
from workshopdemo.plan.meta import Manifest, labels, owner

_SIZE: Final = "128Mi"


def claim_name(demo: WorkshopDemo) -> str:
    """Name of the demo's PersistentVolumeClaim."""
    return names.plain_name(demo.name, "data", names.POD_NAME_LIMIT)


def claim(
    metadata: dict[str, Any], storage: str, storage_class_name: str | None = None
) -> Manifest:
    """A claim that one node at a time may use; without a class, the cluster's default one."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage}},
    }
    if storage_class_name is not None:
        spec["storageClassName"] = storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": spec,
    }


def build_claim(demo: WorkshopDemo) -> Manifest:
    """The claim. One node at a time is enough: its Pods follow the volume to its node."""
    metadata = {
        "name": claim_name(demo),
        "namespace": demo.namespace,
        "labels": labels(demo),
        "ownerReferences": owner(demo),
    }
    return claim(metadata, _SIZE)
