"""What an operator in between costs: the whole bookshop, and the same objects by kubectl alone."""

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from world import GROUP, PLURAL, SYSTEM, VERSION, World, wait_for

from figures import Figure
from ground import Ground, bookshop
from workshopdemo.model import parse
from workshopdemo.plan import PASSWORDS, build
from workshopdemo.settings import Settings, load

TITLE = "the whole bookshop from nothing to Ready, and kubectl apply of the same manifests"

_AIM = 1.10
_DEADLINE = 300.0


def measure(ground: Ground) -> list[Figure]:
    """One after the other, each in a namespace of its own."""
    with ground.world() as world:
        by_operator = _timed(world, _apply_demo, _is_ready)
    with ground.world() as world:
        by_hand = _timed(world, _apply_children, _is_all_there)
    return [
        Figure("ratio", round(by_operator / by_hand, 2), aim=_AIM),
        Figure("by the operator", round(by_operator, 1), "s"),
        Figure("by kubectl apply", round(by_hand, 1), "s"),
    ]


def _timed(world: World, make: Callable[[World], None], is_done: Callable[[World], bool]) -> float:
    began = time.monotonic()
    make(world)
    wait_for("the bookshop", lambda: is_done(world), _DEADLINE)
    return time.monotonic() - began


def _apply_demo(world: World) -> None:
    world.apply_manifest(bookshop(world.namespace))


def _is_ready(world: World) -> bool:
    return bool(world.status("bookshop")["phase"] == "Ready")


def _apply_children(world: World) -> None:
    """What the operator would make, as one file for kubectl."""
    # The API server fills in the defaults, and keeps nothing.
    asked: Any = world.custom.create_namespaced_custom_object(
        GROUP, VERSION, world.namespace, PLURAL, bookshop(world.namespace), dry_run="All"
    )
    plan = build(parse(asked), _settings(world), {})
    manifests = [intent.manifest for intent in plan.intents]
    if plan.credentials is not None:
        passwords = {key: secrets.token_urlsafe() for key in PASSWORDS}
        manifests.insert(0, plan.credentials | {"stringData": passwords})
    for manifest in manifests:
        manifest["metadata"].pop("ownerReferences", None)
    world.apply_manifest({"apiVersion": "v1", "kind": "List", "items": manifests})


def _settings(world: World) -> Settings:
    operator: Any = world.apps.read_namespaced_deployment("workshop-demo", SYSTEM)
    (container,) = operator.spec.template.spec.containers
    return load({one.name: one.value or "" for one in container.env})


def _is_all_there(world: World) -> bool:
    """What the status says of the other one, asked of Kubernetes and of the aggregator."""
    ended = world.ends()
    jobs = world.jobs()
    assert len(ended) == len(jobs), f"{len(ended)} of {len(jobs)} Jobs have ended"
    for one in _objects(world, "statefulsets"):
        assert one["status"].get("readyReplicas") == one["spec"]["replicas"], one["metadata"]
    nodes = 0
    for one in _objects(world, "daemonsets"):
        nodes = one["status"]["desiredNumberScheduled"]
        assert nodes > 0, one["metadata"]
        assert one["status"]["numberReady"] == nodes, one["metadata"]
    each = int(bookshop(world.namespace)["spec"]["logShipping"]["emitter"]["lines"])
    return _lines(world) >= nodes * each


def _objects(world: World, kind: str) -> list[dict[str, Any]]:
    return list(json.loads(world.kubectl("get", kind, "-o", "json"))["items"])


def _lines(world: World) -> int:
    query = "query?query=%22k8s.pod.name%22:=%22bookshop-log-emitter-%22*%20|%20stats%20count()%20n"
    service = f"/api/v1/namespaces/{world.namespace}/services/bookshop-log-aggregator:9428"
    answer = world.kubectl("get", "--raw", f"{service}/proxy/select/logsql/{query}")
    return int(json.loads(answer.splitlines()[0])["n"])
