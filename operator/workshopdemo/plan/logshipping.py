"""spec.logShipping → a log shipper on each node, lines that prove it, and where the logs go."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from workshopdemo import names
from workshopdemo.logsql import EMITTER_CONTAINER, PORT
from workshopdemo.model import FromSecret, Header, LogShipping, WorkshopDemo
from workshopdemo.plan.collector import (
    HEALTH_PORT,
    NODE_NAME_ENV,
    SYNCHRONOUS,
    Places,
    Receiver,
    aggregator,
    collector_config,
    otlp_http,
)
from workshopdemo.plan.component import component_labels, metadata, selector, service
from workshopdemo.plan.daemonset import daemon_set
from workshopdemo.plan.meta import (
    NON_ROOT,
    SECCOMP,
    Manifest,
    container_security,
    field_env,
    http_probe,
    ordinary,
    pod_security,
    resources,
)
from workshopdemo.plan.quantity import quantity
from workshopdemo.plan.volume import claim
from workshopdemo.settings import Settings

SHIPPER: Final = "log-shipper"
EMITTER: Final = EMITTER_CONTAINER
AGGREGATOR: Final = "log-aggregator"
"""Components, and names of their containers."""

_NODE_STATE: Final = "/var/lib/workshop-demo"
_CA_DIRECTORY: Final = "/etc/log-shipper-ca"
_CA_FILE: Final = "ca.crt"
_CONFIG_DIRECTORY: Final = "/etc/log-shipper"
_HEADERS_DIRECTORY: Final = "/etc/log-shipper-headers"
_HEADERS: Final = {"name": "headers", "mountPath": _HEADERS_DIRECTORY}
_CONFIG_FILE: Final = "config.json"

_MEMORY: Final = Decimal("0.8")
"""Part of its memory limit that the collector's Go runtime keeps to."""

_ROOM: Final = Decimal("0.9")
"""Part of its volume that the aggregator may fill before it drops its oldest days."""


@dataclass(frozen=True)
class LogShippingNames:
    """Names of the objects of a demo's log shipping."""

    shipper: str
    emitter: str
    aggregator: str


def log_shipping_names(demo: WorkshopDemo) -> LogShippingNames:
    """What they are called."""
    return LogShippingNames(
        *(names.component_name(demo.name, one) for one in (SHIPPER, EMITTER, AGGREGATOR))
    )


def build_log_shipping(
    demo: WorkshopDemo, asked: LogShipping, settings: Settings
) -> list[Manifest]:
    """All objects, in the order to apply them."""
    config = json.dumps(
        _collector_config(demo, asked), indent=2, sort_keys=True, ensure_ascii=False
    )
    manifests = [_config_map(demo, config)]
    if asked.destination.otlp_http is None:
        manifests += [
            claim(metadata(demo, AGGREGATOR), asked.storage, asked.storage_class_name),
            service(demo, AGGREGATOR, {"http": PORT}),
            _aggregator(demo, asked, settings),
        ]
    return [
        *manifests,
        _shipper(demo, asked, settings, names.digest(config)),
        _emitter(demo, asked, settings),
    ]


def _collector_config(demo: WorkshopDemo, asked: LogShipping) -> dict[str, Any]:
    return collector_config(
        namespace=demo.namespace,
        receiver=_receiver(demo, asked),
        # What they log is about the logs: it would never end.
        left_out=(SHIPPER, AGGREGATOR),
    )


def _receiver(demo: WorkshopDemo, asked: LogShipping) -> Receiver:
    remote = asked.destination.otlp_http
    if remote is None:
        return aggregator(f"{log_shipping_names(demo).aggregator}.{demo.namespace}.svc")
    return otlp_http(remote.endpoint, f"{_CA_DIRECTORY}/{_CA_FILE}" if remote.ca_from else None)


def _config_map(demo: WorkshopDemo, config: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(demo, SHIPPER),
        "data": {_CONFIG_FILE: config},
    }


def _shipper(
    demo: WorkshopDemo, asked: LogShipping, settings: Settings, config_digest: str
) -> Manifest:
    needs = asked.resources or resources("20m", "64Mi", "256Mi")
    env = [field_env(NODE_NAME_ENV, "spec.nodeName"), *_memory_env(needs)]
    mounts, volumes = _shipper_files(demo, asked)
    configs = [f"--config={_CONFIG_DIRECTORY}/{_CONFIG_FILE}"]
    if _headers(asked):
        configs.append(f"--config={_HEADERS_DIRECTORY}/{_CONFIG_FILE}")
    pod: dict[str, Any] = {
        # The kubelet writes the logs as root, readable for nobody else (mode 0640), so this Pod
        # is root: without any capability, and with nothing of the node to write to but its state.
        "securityContext": {"runAsUser": 0, "runAsGroup": 0} | SECCOMP,
        "terminationGracePeriodSeconds": 30,
        "containers": [
            {
                "name": SHIPPER,
                "image": settings.collector_image,
                "args": [*configs, SYNCHRONOUS],
                "env": env,
                "ports": [{"name": "health", "containerPort": HEALTH_PORT}],
                "readinessProbe": http_probe("/", "health"),
                "livenessProbe": http_probe("/", "health") | {"failureThreshold": 6},
                "resources": needs,
                "securityContext": container_security(),
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    if _headers(asked):
        pod["initContainers"] = [_header_writer(asked, settings)]
    annotations = {"annotations": {names.CONFIG_ANNOTATION: config_digest}}
    return daemon_set(demo, asked, SHIPPER, pod, annotations)


def _shipper_files(
    demo: WorkshopDemo, asked: LogShipping
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the shipper mounts, and the volumes."""
    remote, places = asked.destination.otlp_http, Places()
    mounts: list[dict[str, Any]] = [
        {"name": "config", "mountPath": _CONFIG_DIRECTORY, "readOnly": True},
        {"name": "pod-logs", "mountPath": places.logs, "readOnly": True},
        {"name": "state", "mountPath": places.state},
    ]
    # Offsets and the queue outlive the Pod, and stay with the node they are about.
    state = f"{_NODE_STATE}/{demo.namespace}_{demo.name}"
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": names.component_name(demo.name, SHIPPER)}},
        {"name": "pod-logs", "hostPath": {"path": places.logs, "type": "Directory"}},
        {"name": "state", "hostPath": {"path": state, "type": "DirectoryOrCreate"}},
    ]
    if remote is not None and remote.ca_from is not None:
        mounts.append({"name": "ca", "mountPath": _CA_DIRECTORY, "readOnly": True})
        volumes.append({"name": "ca", "secret": _ca_secret(remote.ca_from)})
    if _headers(asked):
        mounts.append(_HEADERS | {"readOnly": True})
        in_memory = {"medium": "Memory", "sizeLimit": "1Mi"}
        volumes.append({"name": _HEADERS["name"], "emptyDir": in_memory})
    return mounts, volumes


def _headers(asked: LogShipping) -> tuple[Header, ...]:
    remote = asked.destination.otlp_http
    return remote.headers if remote is not None else ()


def _header_writer(asked: LogShipping, settings: Settings) -> dict[str, Any]:
    """What puts the headers into a file: the collector would look into a variable's value for
    what to put in (see programs/header_values).
    """
    headers = {f"HEADER_{index}": header for index, header in enumerate(_headers(asked))}
    variables = {header.name: variable for variable, header in headers.items()}
    return {
        "name": "header-values",
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": ["python3", "-m", "workshopdemo.programs.header_values"],
        "env": [
            {"name": "FILE", "value": f"{_HEADERS_DIRECTORY}/{_CONFIG_FILE}"},
            {"name": "HEADERS", "value": _not_expanded(json.dumps(variables, sort_keys=True))},
            *(_secret_env(variable, header.value_from) for variable, header in headers.items()),
        ],
        "resources": resources("10m", "16Mi", "64Mi"),
        "securityContext": container_security()
        | {"runAsNonRoot": True, "runAsUser": NON_ROOT, "runAsGroup": NON_ROOT},
        "volumeMounts": [_HEADERS],
    }


def _not_expanded(value: str) -> str:
    """A value of a variable in which the kubelet finds no `$(NAME)` of another to put in."""
    return value.replace("$", "$$")


def _memory_env(needs: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """Go collects its garbage more eagerly near this, before the kernel ends the process."""
    limit = quantity(needs.get("limits", {}).get("memory", ""))
    if limit is None:
        return []
    return [{"name": "GOMEMLIMIT", "value": str(int(limit * _MEMORY))}]


def _ca_secret(source: FromSecret) -> dict[str, Any]:
    reference = source.secret_key_ref
    return {
        "secretName": reference.name,
        "items": [{"key": reference.key, "path": _CA_FILE}],
    }


def _emitter(demo: WorkshopDemo, asked: LogShipping, settings: Settings) -> Manifest:
    emitter = asked.emitter
    amounts = {
        "LINES": emitter.lines,
        "LINES_PER_SECOND": emitter.lines_per_second,
        "RUN": emitter.run,
    }
    env = [{"name": name, "value": str(value)} for name, value in amounts.items()]
    env += [field_env("NODE_NAME", "spec.nodeName"), field_env("POD_NAME", "metadata.name")]
    pod = {
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": EMITTER,
                "image": settings.image,
                "imagePullPolicy": settings.pull_policy,
                "command": ["python3", "-m", "workshopdemo.programs.log_emitter"],
                "env": env,
                "resources": resources("10m", "16Mi", "64Mi"),
                "securityContext": container_security(),
            }
        ],
    }
    return daemon_set(demo, asked, EMITTER, pod)


def _aggregator(demo: WorkshopDemo, asked: LogShipping, settings: Settings) -> Manifest:
    name = names.component_name(demo.name, AGGREGATOR)
    arguments = [
        "-storageDataPath=/data",
        f"-httpListenAddr=:{PORT}",
        f"-retentionPeriod={asked.retention}",
        # What it has taken is not sent again, and a process that is killed loses what it had not
        # written: some seconds. (One that is told to stop loses nothing.)
        "-inmemoryDataFlushInterval=1s",
        # Without it, an empty line is given a text of VictoriaLogs' own.
        "-defaultMsgValue=",
    ]
    room = quantity(asked.storage)
    if room is not None:
        arguments.append(f"-retention.maxDiskSpaceUsageBytes={int(room * _ROOM)}")
    pod = ordinary() | {
        "securityContext": pod_security(),
        "terminationGracePeriodSeconds": 30,
        "containers": [
            {
                "name": AGGREGATOR,
                "image": settings.aggregator_image,
                "args": arguments,
                "ports": [{"name": "http", "containerPort": PORT}],
                "readinessProbe": http_probe("/health", "http"),
                "livenessProbe": http_probe("/health", "http") | {"failureThreshold": 6},
                "resources": resources("20m", "64Mi", "512Mi"),
                "securityContext": container_security(),
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(demo, AGGREGATOR),
        "spec": {
            "replicas": 1,
            "serviceName": name,
            "selector": {"matchLabels": selector(demo, AGGREGATOR)},
            "template": {"metadata": {"labels": component_labels(demo, AGGREGATOR)}, "spec": pod},
        },
    }


def _secret_env(name: str, source: FromSecret) -> dict[str, Any]:
    reference = source.secret_key_ref
    key = {"name": reference.name, "key": reference.key}
    return {"name": name, "valueFrom": {"secretKeyRef": key}}
