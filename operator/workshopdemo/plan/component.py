"""What the objects of a section's machinery share: their names, labels and Services."""

from collections.abc import Mapping
from typing import Any

from workshopdemo import names
from workshopdemo.model import WorkshopDemo
from workshopdemo.plan.meta import Manifest, labels, owner


def metadata(demo: WorkshopDemo, component: str, name: str | None = None) -> dict[str, Any]:
    """Metadata of an object of that component, which is called after it unless a name is given."""
    return {
        "name": name or names.component_name(demo.name, component),
        "namespace": demo.namespace,
        "labels": component_labels(demo, component),
        "ownerReferences": owner(demo),
    }


def component_labels(demo: WorkshopDemo, component: str) -> dict[str, str]:
    """Labels of its objects and Pods."""
    return labels(demo) | {
        "app.kubernetes.io/name": component,
        names.COMPONENT_LABEL: component,
    }


def selector(demo: WorkshopDemo, component: str) -> dict[str, str]:
    """Of its Pods; it can never change (apps/v1)."""
    return {names.DEMO_UID_LABEL: demo.uid, names.COMPONENT_LABEL: component}


def service(
    demo: WorkshopDemo,
    component: str,
    ports: Mapping[str, int],
    *,
    name: str | None = None,
    headless: bool = False,
    only: Mapping[str, str] | None = None,
) -> Manifest:
    """A Service for the component's Pods.

    Args:
        demo: the demo.
        component: whose Pods.
        ports: by name, which is also that of the container's port.
        name: of the Service, if it is not the component's.
        headless: without an address of its own: its name leads to those of the Pods.
        only: labels of those Pods that it is for, if it is not for all.
    """
    spec: dict[str, Any] = {
        "selector": selector(demo, component) | dict(only or {}),
        "ports": [
            {"name": port_name, "port": port, "targetPort": port_name, "protocol": "TCP"}
            for port_name, port in ports.items()
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(demo, component, name),
        "spec": spec | ({"clusterIP": "None"} if headless else {}),
    }
