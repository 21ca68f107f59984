"""spec.serviceDiscovery → an agent on each node that knows its Pods, and its right to do so."""

from typing import Any, Final

from workshopdemo import names
from workshopdemo.model import ServiceDiscovery, WorkshopDemo
from workshopdemo.plan.component import metadata, service
from workshopdemo.plan.daemonset import daemon_set
from workshopdemo.plan.meta import (
    Manifest,
    container_security,
    field_env,
    http_probe,
    pod_security,
    resources,
)
from workshopdemo.settings import Settings

NODE_AGENT: Final = "node-agent"
"""Component, and name of the container."""

AGENT_PORT: Final = 8082
"""Where each agent answers (programs/node_agent)."""

_RBAC_GROUP: Final = "rbac.authorization.k8s.io"


def node_agent_name(demo: WorkshopDemo) -> str:
    """Name of each of its objects."""
    return names.component_name(demo.name, NODE_AGENT)


def build_service_discovery(
    demo: WorkshopDemo, asked: ServiceDiscovery, settings: Settings
) -> list[Manifest]:
    """All objects, in the order to apply them."""
    return [
        *_rights(demo),
        service(demo, NODE_AGENT, {"http": AGENT_PORT}, headless=True),
        _agent(demo, asked, settings),
    ]


def _rights(demo: WorkshopDemo) -> list[Manifest]:
    """Who the agent is, and that it may see the Pods of its namespace, which only the API server
    knows the addresses of. RBAC cannot narrow it to the Pods of one node.
    """
    name = node_agent_name(demo)
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(demo, NODE_AGENT),
            # The agent's own Pod asks for the token: nobody else's gets it by chance.
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": f"{_RBAC_GROUP}/v1",
            "kind": "Role",
            "metadata": metadata(demo, NODE_AGENT),
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}],
        },
        {
            "apiVersion": f"{_RBAC_GROUP}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(demo, NODE_AGENT),
            "roleRef": {"apiGroup": _RBAC_GROUP, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": demo.namespace}],
        },
    ]


def _agent(demo: WorkshopDemo, asked: ServiceDiscovery, settings: Settings) -> Manifest:
    pod: dict[str, Any] = {
        "serviceAccountName": node_agent_name(demo),
        "automountServiceAccountToken": True,
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": NODE_AGENT,
                "image": settings.image,
                "imagePullPolicy": settings.pull_policy,
                "command": ["python3", "-m", "workshopdemo.programs.node_agent"],
                "env": [
                    field_env("NODE_NAME", "spec.nodeName"),
                    field_env("NAMESPACE", "metadata.namespace"),
                ],
                "ports": [{"name": "http", "containerPort": AGENT_PORT}],
                "readinessProbe": http_probe("/healthz", "http"),
                "livenessProbe": http_probe("/livez", "http") | {"failureThreshold": 6},
                "resources": resources("10m", "32Mi", "128Mi"),
                "securityContext": container_security(),
            }
        ],
    }
    return daemon_set(demo, asked, NODE_AGENT, pod)
