"""The demo's volume: the bookshop's database lives there."""

from typing import Final

from workshopdemo import names
from workshopdemo.model import WorkshopDemo
from workshopdemo.plan.meta import Manifest, labels, owner

_SIZE: Final = "128Mi"


def claim_name(demo: WorkshopDemo) -> str:
    """Name of the demo's PersistentVolumeClaim."""
    return names.plain_name(demo.name, "data", names.POD_NAME_LIMIT)


def build_claim(demo: WorkshopDemo) -> Manifest:
    """The claim. One node at a time is enough: its Pods follow the volume to its node."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": claim_name(demo),
            "namespace": demo.namespace,
            "labels": labels(demo),
            "ownerReferences": owner(demo),
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": _SIZE}},
        },
    }
