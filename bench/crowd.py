"""A crowd: nodes that nobody runs, and Pods on them that cost next to nothing.

kwok (kwok.sigs.k8s.io) plays the kubelets: Pods on these nodes start, are ready, end when they are
a Job's, and have a log of a line. Their volumes are there before them, and nobody mounts them.
Their addresses lead to an understudy, which answers as members of StatefulSets and as an aggregator
of logs. All else is real: the API server, the scheduler, the controllers, the operator, the inbox.

While there is a crowd, Kubernetes' controllers may make more requests than by default: their limit
would be what is measured.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from string import Template
from typing import Any

import yaml
from stage import load_images
from world import World, wait_for

from ground import Ground
from support import ROOT

NODES = 50
NODE_LABEL = {"type": "kwok"}
"""What Pods select that belong on the nodes of the crowd alone."""

_HERE = ROOT / "bench" / "fakes"
_NAMESPACE = "workshop-fakes"
_CIDR = "10.60.0.0/16"
"""Of Pods that do not exist; none of kind's own."""

_WRITERS = 8
_SERIES = "0badcafe"
_TAINT = {"key": "bench.workshopdemo.dev/real", "effect": "NoSchedule"}
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_MANIFEST = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
_FASTER = (
    "--kube-api-qps=300",
    "--kube-api-burst=600",
    # The nodes' own network would make a route for each range of addresses.
    "--allocate-node-cidrs=false",
)


@contextmanager
def crowd(ground: Ground, world: World, lines: int) -> Iterator[None]:
    """Have the crowd, and the operator on a node beside it.

    Args:
        ground: the cluster.
        world: any namespace of it.
        lines: how many lines each emitter of logs is to have written.
    """
    kwok, busybox = load_images(ground.stage.name, "kwok", "busybox")
    real = _nodes(world)
    home = next(name for name in real if name.endswith("-worker"))
    values = {"kwok": kwok, "busybox": busybox, "operator": ground.stage.image, "node": home}
    values |= {"cidr": _CIDR, "lines": str(lines), "series": _SERIES}
    with (
        _at_home(ground, home),
        _faster_controllers(world),
        _taken(world, real),
        _default_class(world),
    ):
        try:
            _play(world, values)
            yield
        finally:
            _leave(world)


def _nodes(world: World, selector: str = "") -> list[str]:
    found: Any = world.core.list_node(label_selector=selector).items
    return [str(node.metadata.name) for node in found]


def _taints(world: World, node: str) -> list[dict[str, str]]:
    found: Any = world.core.read_node(node)
    fields = ("key", "value", "effect")
    return [
        {field: value for field in fields if (value := getattr(taint, field)) is not None}
        for taint in found.spec.taints or ()
    ]


@contextmanager
def _at_home(ground: Ground, home: str) -> Iterator[None]:
    """Keep operator and inbox on that node, also when no other Pod may run there."""
    tolerations = json.dumps([_TAINT | {"operator": "Exists"}])
    selector = json.dumps({"kubernetes.io/hostname": home})
    ground.stage.chart().install(
        "--set-json", f"tolerations={tolerations}", "--set-json", f"nodeSelector={selector}"
    )
    try:
        yield
    finally:
        ground.stage.chart().install()


@contextmanager
def _faster_controllers(world: World) -> Iterator[None]:
    """Change the command line of the controllers' static Pod, and put it back."""
    before = world.node("cat", _MANIFEST)
    (pod,) = yaml.safe_load_all(before)
    (container,) = pod["spec"]["containers"]
    changed = {argument.partition("=")[0] for argument in _FASTER}
    kept = [one for one in container["command"] if one.partition("=")[0] not in changed]
    container["command"] = [*kept, *_FASTER]
    _write_controllers(world, yaml.safe_dump(pod))
    try:
        yield
    finally:
        _write_controllers(world, before)


def _write_controllers(world: World, manifest: str) -> None:
    # The kubelet reads every file in that directory, whatever its name: written beside, and moved.
    script = (
        'umask 077; printf %s "$1" > /etc/kubernetes/new.yaml && mv /etc/kubernetes/new.yaml "$0"'
    )
    world.node("sh", "-c", script, _MANIFEST, manifest)
    wanted = yaml.safe_load(manifest)["spec"]["containers"][0]["command"]
    name = f"kube-controller-manager-{world.cluster.name}-control-plane"

    def restarted() -> bool:
        pod: Any = world.core.read_namespaced_pod(name, "kube-system")
        ready = [one.status for one in pod.status.conditions or () if one.type == "Ready"] == [
            "True"
        ]
        return bool(ready and pod.spec.containers[0].command == wanted)

    wait_for("the controllers", restarted)


@contextmanager
def _taken(world: World, nodes: list[str]) -> Iterator[None]:
    """Keep Pods off the nodes that are real."""
    before = {node: _taints(world, node) for node in nodes}
    for node, taints in before.items():
        world.core.patch_node(node, {"spec": {"taints": [*taints, _TAINT]}})
    try:
        yield
    finally:
        for node, taints in before.items():
            world.core.patch_node(node, {"spec": {"taints": taints}})


@contextmanager
def _default_class(world: World) -> Iterator[None]:
    """Volumes that do not exist for all claims that name no class."""
    listed = json.loads(world.kubectl("get", "storageclasses", "-o", "json"))["items"]
    usual = [
        one["metadata"]["name"]
        for one in listed
        if (one["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    ]

    def mark(value: str) -> None:
        for name in usual:
            change = ("annotate", "storageclass", name, f"{_DEFAULT_CLASS}={value}", "--overwrite")
            world.kubectl(*change)

    mark("false")
    try:
        yield
    finally:
        mark("true")


def _play(world: World, values: dict[str, str]) -> None:
    for manifest in yaml.safe_load_all(_filled("machinery.yaml", values)):
        world.apply_manifest(manifest)
    stamp = "2026-01-01T00:00:00Z stdout F"
    last = f"run=1 series={_SERIES} seq={values['lines']} of={values['lines']} node=kwok"
    for name, data in {
        "kwok": {
            "kwok.yaml": _filled("kwok.yaml", values),
            "emitter.log": f'{stamp} {last} text="the end"\n',
            "program.log": f"{stamp} done\n",
        },
        "understudy": {"understudy.py": (_HERE / "understudy.py").read_text()},
    }.items():
        metadata = {"name": name, "namespace": _NAMESPACE}
        world.apply_manifest(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        )
    for name in ("kwok", "understudy"):
        wait = ("rollout", "status", f"deployment/{name}", "--timeout=120s")
        world.kubectl("-n", _NAMESPACE, *wait)
    for number in range(NODES):
        name = f"kwok-{number:02}"
        labels = NODE_LABEL | {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name}
        node: Any = {"metadata": {"name": name, "labels": labels}}
        world.core.create_node(node)
    condition = ("--for=condition=Ready", "nodes", "-l", "type=kwok", "--timeout=120s")
    world.kubectl("wait", *condition)


def make_volumes(world: World, count: int) -> None:
    """So many more volumes: Kubernetes' own controller gives them to claims."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Ti"},
        "hostPath": {"path": "/nowhere"},
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "kwok",
    }
    volume: Any = {"metadata": {"generateName": "kwok-", "labels": NODE_LABEL}, "spec": spec}
    with ThreadPoolExecutor(_WRITERS) as writers:
        list(writers.map(world.core.create_persistent_volume, [volume] * count))


def _filled(name: str, values: dict[str, str]) -> str:
    return Template((_HERE / name).read_text()).substitute(values)


def _leave(world: World) -> None:
    """Remove what belongs to no namespace that goes by itself."""
    for node in _nodes(world, "type=kwok"):
        world.core.delete_node(node)
    world.core.delete_collection_persistent_volume(label_selector="type=kwok")
    for kind in ("storageclass/kwok", "clusterrolebinding/workshop-fakes", f"ns/{_NAMESPACE}"):
        world.kubectl("delete", kind, "--ignore-not-found", "--wait=false")
