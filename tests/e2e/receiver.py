"""A receiver of a test's own: it outlives the chart, whose inbox comes and goes with it."""

from typing import Any

from inbox import Inbox
from world import World, wait_for

NAME = "receiver"
PORT = 9093
"""One that the chart is told to allow, see `ALLOWED_HOSTS`."""

_CONTAINER_PORT = 8081
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def open_receiver(world: World, image: str) -> Inbox:
    """Run the inbox's program in the test's namespace, on the node that nobody drains."""
    for manifest in _manifests(world.namespace, image):
        world.apply_manifest(manifest)
    inbox = Inbox(world.api, world.namespace, world.namespace, NAME, PORT)
    wait_for("the receiver", lambda: inbox.counts() is not None)
    return inbox


def _manifests(namespace: str, image: str) -> list[dict[str, Any]]:
    metadata = {"name": NAME, "namespace": namespace, "labels": {"app": NAME}}
    container = {
        "name": NAME,
        "image": image,
        "command": ["python3", "-m", "workshopdemo.inbox"],
        "env": [{"name": "WORKSHOPDEMO_INBOX_PORT", "value": str(_CONTAINER_PORT)}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": _CONTAINER_PORT}},
    }
    pod = {
        "containers": [container],
        "nodeSelector": {_CONTROL_PLANE: ""},
        "tolerations": [{"key": _CONTROL_PLANE, "operator": "Exists"}],
        "terminationGracePeriodSeconds": 1,
    }
    ports = [{"name": "http", "port": PORT, "targetPort": _CONTAINER_PORT}]
    service = {"selector": {"app": NAME}, "ports": ports}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]
