"""A real Alertmanager, as somebody runs it beside the operator and knows nothing of it."""

from typing import Any

import yaml

from unit.kind_modules import load

IMAGE = load("pins").PINS.images["alertmanager"]
PORT = 9093
_CONFIG = "/etc/alertmanager"
_STORAGE = "/alertmanager"


def manifests(
    namespace: str,
    webhook: str,
    *,
    name: str = "alertmanager",
    receiver: str = "webhook",
    replicas: int = 1,
) -> list[dict[str, Any]]:
    """A ConfigMap, a Deployment and a Service of this name, to be applied as they are.

    Every alert goes to the URL `webhook`, alone and soon after it came; the notification calls the
    receiver by its name. Replicas know nothing of each other: whoever wants to reach all of them
    tells each, so the Service of several is headless, and its name has the address of each.
    """
    labels = {"app": name}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    headless = {"clusterIP": "None"} if replicas > 1 else {}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"alertmanager.yml": yaml.safe_dump(_config(receiver, webhook))},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _pod(name)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "selector": labels,
                "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
            }
            | headless,
        },
    ]


def _config(receiver: str, webhook: str) -> dict[str, Any]:
    return {
        "route": {
            "receiver": receiver,
            "group_by": ["..."],  # each alert is a group of its own
            "group_wait": "1s",
            "group_interval": "2s",
            "repeat_interval": "1h",
        },
        "receivers": [
            {"name": receiver, "webhook_configs": [{"url": webhook, "send_resolved": True}]}
        ],
    }


def _pod(config_map: str) -> dict[str, Any]:
    """All that a namespace with the restricted Pod Security Standard asks for, and no more."""
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "alertmanager",
                "image": IMAGE,
                "args": [
                    f"--config.file={_CONFIG}/alertmanager.yml",
                    f"--storage.path={_STORAGE}",
                    f"--web.listen-address=:{PORT}",
                    "--cluster.listen-address=",
                ],
                "ports": [{"name": "http", "containerPort": PORT}],
                "readinessProbe": {
                    "httpGet": {"path": "/-/ready", "port": "http"},
                    "periodSeconds": 1,
                },
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [
                    {"name": "config", "mountPath": _CONFIG, "readOnly": True},
                    {"name": "storage", "mountPath": _STORAGE},
                ],
            }
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": config_map}},
            {"name": "storage", "emptyDir": {}},
        ],
    }
