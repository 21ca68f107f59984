"""What sections with a Pod on each node share: the DaemonSet."""

from typing import Any

from workshopdemo import names
from workshopdemo.model import OnNodes, WorkshopDemo
from workshopdemo.plan.component import component_labels, metadata, selector
from workshopdemo.plan.meta import Manifest, ordinary


def daemon_set(
    demo: WorkshopDemo,
    asked: OnNodes,
    component: str,
    pod: dict[str, Any],
    annotations: dict[str, dict[str, str]] | None = None,
) -> Manifest:
    """A Pod on each node that is asked for.

    Args:
        demo: the demo.
        asked: the section.
        component: what part of it this is.
        pod: the Pod's spec, without what decides where it runs.
        annotations: metadata of the Pod beside its labels.
    """
    tolerations = list(asked.tolerations)
    if asked.tolerate_control_plane:
        # Kubernetes lets a DaemonSet's Pods stay on nodes that are not ready, cordoned or short of
        # memory, but gives them no way onto a control plane.
        tolerations.append({"key": names.CONTROL_PLANE_TAINT, "operator": "Exists"})
    placement: dict[str, Any] = {"tolerations": tolerations} if tolerations else {}
    if asked.node_selector:
        placement["nodeSelector"] = asked.node_selector
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata(demo, component),
        "spec": {
            "selector": {"matchLabels": selector(demo, component)},
            # What a node lacks while its Pod is replaced is made up for, so many may be at a time.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "50%"}},
            "template": {
                "metadata": {"labels": component_labels(demo, component)} | (annotations or {}),
                "spec": ordinary() | pod | placement,
            },
        },
    }
