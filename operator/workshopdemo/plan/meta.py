"""What all children share: labels, owner, security."""

from typing import Any, Final

from workshopdemo import names
from workshopdemo.model import WorkshopDemo

NON_ROOT: Final = 65532
"""User and group of every demo Pod: no account of any image's, so no image's files are its own."""

SECCOMP: Final = {"seccompProfile": {"type": "RuntimeDefault"}}

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
        **SECCOMP,
    }


def container_security() -> dict[str, Any]:
    """Container.securityContext that the restricted Pod Security Standard admits."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def ordinary() -> dict[str, Any]:
    """What is so in a Pod's spec unless it says otherwise."""
    return {"automountServiceAccountToken": False, "enableServiceLinks": False}


def field_env(name: str, path: str) -> dict[str, Any]:
    """A variable with a field of the Pod itself."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def http_probe(path: str, port: str) -> dict[str, Any]:
    """A probe of a container's port, by its name."""
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 5, "timeoutSeconds": 3}


def resources(cpu: str, memory: str, memory_limit: str) -> dict[str, Any]:
    """What a container asks for, and the memory that it may use at most."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit}}
