"""What all children share: labels, owner, security."""

from typing import Any, Final

from workshopdemo import names
from workshopdemo.model import WorkshopDemo

NON_ROOT: Final = 65532
"""User and group of every demo Pod: no account of any image's, so no image's files are its own."""

Manifest = dict[str, Any]


def labels(demo: WorkshopDemo) -> dict[str, str]:
    """Labels of every child and its Pods."""
    return {
        "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
        "app.kubernetes.io/part-of": demo.name,
        names.DEMO_LABEL: demo.name,
        names.DEMO_UID_LABEL: demo.uid,
    }


def owner(demo: WorkshopDemo) -> list[dict[str, Any]]:
    """The owner reference by which Kubernetes removes the child with its demo.

    No blockOwnerDeletion: it needs `update` on the owner's finalizers where
    OwnerReferencesPermissionEnforcement is on, and nothing here waits for a child to go.
    """
    return [
        {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "name": demo.name,
            "uid": demo.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def pod_security() -> dict[str, Any]:
    """PodSpec.securityContext that the restricted Pod Security Standard admits."""
    return {
        "runAsNonRoot": True,
        "runAsUser": NON_ROOT,
        "runAsGroup": NON_ROOT,
        "fsGroup": NON_ROOT,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """Container.securityContext that the restricted Pod Security Standard admits."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
