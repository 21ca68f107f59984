"""What the tests share: the CRD as the API server applies it, and a cluster in memory."""

import asyncio
import copy
import selectors
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from workshopdemo import names
from workshopdemo.cluster import Cache
from workshopdemo.cluster.port import Access, Seen
from workshopdemo.errors import ClusterError, ConflictError, NotFoundError
from workshopdemo.facts import CHILD_KINDS, Watched
from workshopdemo.names import DemoKey
from workshopdemo.settings import Settings

ROOT = Path(__file__).parent.parent
PREVIOUS = ROOT / "tests" / "previous"
"""The release before, and what it left in a cluster."""

CRD = yaml.safe_load((ROOT / "crds" / "workshopdemos.workshopdemo.dev.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SETTINGS = Settings(
    image="workshop-demo/operator:test",
    collector_image="collector:test",
    aggregator_image="aggregator:test",
    postgres_image="postgres:test",
    status_interval_seconds=0.0,
)
NOW = datetime(2026, 3, 2, 9, 0, 0, tzinfo=UTC)


def with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    """Apply the schema's defaults, as the API server does."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        filled = {
            name: with_defaults(copy.deepcopy(part["default"]), part)
            for name, part in properties.items()
            if "default" in part and name not in value
        }
        known = {
            name: with_defaults(part, properties.get(name, {})) for name, part in value.items()
        }
        return filled | known
    if isinstance(value, list):
        return [with_defaults(part, schema.get("items", {})) for part in value]
    return value


def demo_body(
    *jobs: Mapping[str, Any],
    cron_jobs: Sequence[Mapping[str, Any]] = (),
    log_shipping: Mapping[str, Any] | None = None,
    service_discovery: Mapping[str, Any] | None = None,
    stateful_set: Mapping[str, Any] | None = None,
    targets: Sequence[Mapping[str, Any]] = (),
    name: str = "bookshop",
    namespace: str = "workshop",
    uid: str = "demo-uid-1",
    generation: int = 1,
    status: Mapping[str, Any] | None = None,
    age: float = 0,
) -> dict[str, Any]:
    """A WorkshopDemo as the API server gives it."""
    spec: dict[str, Any] = {
        "jobs": [dict(job) for job in jobs],
        "cronJobs": [dict(one) for one in cron_jobs],
    }
    if log_shipping is not None:
        spec["logShipping"] = dict(log_shipping)
    if service_discovery is not None:
        spec["serviceDiscovery"] = dict(service_discovery)
    if stateful_set is not None:
        spec["statefulSet"] = dict(stateful_set)
    if targets:
        spec["notifications"] = {"targets": [dict(target) for target in targets]}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid,
            "generation": generation,
            "resourceVersion": "1",
            "creationTimestamp": time(-age),
        },
        "spec": with_defaults(spec, SCHEMA["properties"]["spec"]),
        "status": dict(status or {}),
    }


def time(seconds: float = 0) -> str:
    """A timestamp so many seconds after NOW."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, reason: str = "", at: float = 0) -> dict[str, Any]:
    """A True condition of a Job."""
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": f"message of {reason}",
        "lastTransitionTime": time(at),
    }


def pod_body(
    job: Mapping[str, Any],
    name: str,
    phase: str = "Succeeded",
    *,
    at: float = 0,
    exit_code: int | None = None,
    reason: str | None = None,
    waiting: str | None = None,
    scheduled: bool = True,
) -> dict[str, Any]:
    """A Pod of that Job, as the kubelet reports it."""
    state: dict[str, Any] = {"running": {"startedAt": time(at)}}
    if phase in ("Succeeded", "Failed"):
        code = exit_code if exit_code is not None else (0 if phase == "Succeeded" else 1)
        state = {
            "terminated": {
                "exitCode": code,
                "reason": reason or ("Completed" if code == 0 else "Error"),
                "finishedAt": time(at + 1),
            }
        }
    elif phase == "Pending":
        state = {"waiting": {"reason": waiting or "ContainerCreating", "message": "a word"}}
    status: dict[str, Any] = {
        "phase": phase,
        "containerStatuses": [{"name": "main", "image": "some:image", "state": state}],
    }
    if scheduled:
        status["startTime"] = time(at)
    else:
        status["containerStatuses"] = []
        status["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/3 nodes are available",
            }
        ]
    return {
        "metadata": {
            "name": name,
            "namespace": job["metadata"]["namespace"],
            "uid": f"uid-of-{name}",
            "resourceVersion": "5",
            "creationTimestamp": time(at),
            "labels": job["metadata"]["labels"],
            "ownerReferences": [{"uid": job["metadata"]["uid"], "controller": True}],
        },
        "spec": {"nodeName": "worker"} if scheduled else {},
        "status": status,
    }


class FakeCluster:
    """The `Cluster` protocol over plain dicts, with a watch into a cache.

    It knows nothing of Jobs: a test says what their controller did.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.demos: dict[DemoKey, dict[str, Any]] = {}
        self.logs: dict[tuple[str, str], str | None] = {}
        self.writes: list[str] = []
        self.log_reads = 0
        self.event_reads = 0
        self.slice_reads = 0
        self.told_events: list[dict[str, Any]] = [
            {"reason": "FailedCreate", "message": "exceeded quota: pods", "lastTimestamp": time()}
        ]
        self.events: list[dict[str, Any]] = []
        self.failures: dict[str, ClusterError] = {}
        """What to fail with, by the first word of a write."""
        self.writes_until_crash: int | None = None
        self._version = 10

    def add_demo(self, body: dict[str, Any]) -> DemoKey:
        key = DemoKey(body["metadata"]["namespace"], body["metadata"]["name"])
        body = copy.deepcopy(body)
        body["metadata"]["resourceVersion"] = self._next()
        self.demos[key] = body
        self.cache.put_demo(copy.deepcopy(body))
        return key

    def change_spec(
        self,
        key: DemoKey,
        *jobs: Mapping[str, Any],
        cron_jobs: Sequence[Mapping[str, Any]] = (),
        log_shipping: Mapping[str, Any] | None = None,
        stateful_set: Mapping[str, Any] | None = None,
        targets: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        body = self.demos[key]
        body["spec"] = demo_body(
            *jobs,
            cron_jobs=cron_jobs,
            log_shipping=log_shipping,
            stateful_set=stateful_set,
            targets=targets,
        )["spec"]
        body["metadata"]["generation"] += 1
        self.add_demo(body)

    def put(self, kind: str, body: dict[str, Any]) -> None:
        body["metadata"]["resourceVersion"] = self._next()
        self.objects[kind, body["metadata"]["namespace"], body["metadata"]["name"]] = body
        self.cache.put_child(kind, copy.deepcopy(body))

    def remove(self, kind: str, body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        del self.objects[kind, metadata["namespace"], metadata["name"]]
        self.cache.bury_child(kind, copy.deepcopy(body))

    def all_of(self, kind: str) -> list[dict[str, Any]]:
        return [body for (of_kind, _, _), body in self.objects.items() if of_kind == kind]

    def jobs(self) -> list[dict[str, Any]]:
        return self.all_of("Job")

    def job(self, entry: str, run: int = 1) -> dict[str, Any]:
        """The Job of that entry and run."""
        (found,) = (
            body
            for body in self.jobs()
            if body["metadata"]["labels"].get(names.JOB_LABEL) == entry
            and body["metadata"]["labels"][names.RUN_LABEL] == str(run)
        )
        return found

    def finish(self, job: dict[str, Any], kind: str, reason: str, at: float = 10) -> None:
        """The Job controller ends a Job."""
        counts = {"succeeded": 1} if kind == "Complete" else {"failed": 1}
        job["status"] = {"startTime": time(), **counts, "conditions": [condition(kind, reason, at)]}
        self.put("Job", job)

    def status(self, key: DemoKey) -> dict[str, Any]:
        return self.demos[key].get("status", {})

    # The protocol.

    async def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        metadata = manifest["metadata"]
        self._write(f"apply {manifest['kind']} {metadata['name']}")
        key = (manifest["kind"], metadata["namespace"], metadata["name"])
        known = self.objects.get(key)
        body = copy.deepcopy(manifest)
        if known is None:
            body["metadata"] |= {"uid": f"uid-{self._next()}", "creationTimestamp": time()}
            body["status"] = {}
        else:
            body["metadata"] = known["metadata"] | body["metadata"]
            body["status"] = known["status"]
            for field in ("spec", "data"):
                if field in body:
                    body[field] = known[field] | body[field]
        body["metadata"]["resourceVersion"] = self._next()
        self.objects[key] = body
        return copy.deepcopy(body)

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        metadata = manifest["metadata"]
        key = (manifest["kind"], metadata["namespace"], metadata["name"])
        self._write(f"create {manifest['kind']} {metadata['name']}")
        if key not in self.objects:
            body = copy.deepcopy(manifest)
            body["metadata"] |= {"uid": f"uid-{self._next()}", "creationTimestamp": time()}
            body["metadata"]["resourceVersion"] = self._next()
            self.objects[key] = body
        return copy.deepcopy(self.objects[key])

    async def post_event(self, event: dict[str, Any]) -> None:
        self._write(f"post Event {event['metadata']['name']}")
        if all(event["metadata"] != known["metadata"] for known in self.events):
            self.events.append(event)

    async def apply_status(self, demo: dict[str, Any]) -> dict[str, Any]:
        key = DemoKey(demo["metadata"]["namespace"], demo["metadata"]["name"])
        self._write(f"status {key.name}")
        if key not in self.demos:
            raise NotFoundError("gone")
        body = self.demos[key]
        self._check_version(demo, body)
        body["status"] = copy.deepcopy(demo["status"])
        body["metadata"]["resourceVersion"] = self._next()
        return copy.deepcopy(body)

    async def annotate(
        self, kind: str, namespace: str, name: str, version: str, annotations: dict[str, str]
    ) -> dict[str, Any]:
        self._write(f"annotate {kind} {name}")
        body = self.objects.get((kind, namespace, name))
        if body is None:
            raise NotFoundError("gone")
        if body["metadata"]["resourceVersion"] != version:
            raise ConflictError("modified")
        known = body["metadata"].get("annotations") or {}
        body["metadata"]["annotations"] = known | annotations
        body["metadata"]["resourceVersion"] = self._next()
        return copy.deepcopy(body)

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    async def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        self._write(f"delete {kind} {name}")
        known = self.objects.get((kind, namespace, name))
        if known is not None and known["metadata"]["uid"] == uid:
            del self.objects[kind, namespace, name]

    async def pod_log(self, namespace: str, pod: str, container: str) -> str | None:
        self.log_reads += 1
        if "log" in self.failures:
            raise self.failures["log"]
        return self.logs.get((pod, container), f"log of {pod}\n")

    async def newest_log_lines(self, namespace: str, pod: str, container: str) -> str | None:
        return self.logs.get((pod, container))

    async def list_events(self, namespace: str, **about: str) -> list[dict[str, Any]]:
        self.event_reads += 1
        return [
            event
            for event in self.told_events
            if about.get("kind") in (None, event.get("involvedObject", {}).get("kind"))
        ]

    async def list_endpoint_slices(
        self, namespace: str, services: Collection[str]
    ) -> list[dict[str, Any]]:
        self.slice_reads += 1
        if "slices" in self.failures:
            raise self.failures["slices"]
        return [
            piece
            for piece in self.all_of("EndpointSlice")
            if piece["metadata"]["labels"]["kubernetes.io/service-name"] in services
        ]

    async def list_seen(self, watched: Watched, namespace: str | None) -> list[Seen]:
        kinds = {resource.plural: kind for kind, resource in CHILD_KINDS.items()}
        kinds |= {"nodes": "Node", "customresourcedefinitions": "CustomResourceDefinition"}
        plural = watched.resource.plural
        found = self.demos.values() if plural == "workshopdemos" else self.all_of(kinds[plural])
        return [
            Seen(one["uid"], int(one["resourceVersion"]), one.get("namespace", ""), one["name"])
            for one in (body["metadata"] for body in found)
            if namespace in (None, one.get("namespace"))
        ]

    async def allowed(self, access: Access, namespace: str | None) -> bool:
        return "allowed" not in self.failures

    async def machine_addresses(self) -> list[str]:
        return ["10.0.0.1"]

    async def serves_demos(self) -> bool:
        return "serves" not in self.failures

    @staticmethod
    def _check_version(wanted: dict[str, Any], body: dict[str, Any]) -> None:
        version = wanted["metadata"].get("resourceVersion")
        if version is not None and version != body["metadata"]["resourceVersion"]:
            raise ConflictError("modified")

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _write(self, what: str) -> None:
        failure = self.failures.get(what.split(maxsplit=1)[0]) or self.failures.get(what.split()[1])
        if failure is not None:
            raise failure
        if self.writes_until_crash is not None:
            if self.writes_until_crash == 0:
                raise CrashError
            self.writes_until_crash -= 1
        self.writes.append(what)


class CrashError(BaseException):
    """The operator's process ends here."""


class _NoWaiting(selectors.SelectSelector):
    """A selector that moves the loop's clock instead of waiting."""

    loop: "FakeTimeLoop"

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing will ever happen")
        if not ready and timeout:
            self.loop.now += timeout
        return ready


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which hours pass in no time."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = _NoWaiting()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now
