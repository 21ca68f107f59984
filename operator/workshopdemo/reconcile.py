"""One look at one demo: plan → apply → observe → status. Runs again whenever anything moved."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from workshopdemo import names
from workshopdemo.cluster import Cache, Cluster
from workshopdemo.errors import ClusterError, InvalidSpecError, NotFoundError
from workshopdemo.facts import Child
from workshopdemo.model import JobStatus, Status, Story, WorkshopDemo, parse, parse_status
from workshopdemo.names import DemoKey
from workshopdemo.observe import (
    JobFacts,
    Transition,
    format_time,
    invalid_status,
    logs_wanted,
    needs_refusal,
    observe,
    transitions,
)
from workshopdemo.plan import Intent, Plan, build, needs_apply, prepared, superfluous, went_by_ttl
from workshopdemo.scenarios import scenario_of
from workshopdemo.settings import Settings
from workshopdemo.story import Stories

logger = logging.getLogger(__name__)

_LOG_READS: Final = 16
"""How many container logs are read at the same time, all demos together."""

Problems = dict[str, ClusterError]
"""Why a child could not be written, by its name."""


@dataclass
class _Memory:
    """What is known of a demo beside its status: nothing that may not be lost."""

    logs: dict[str, str] = field(default_factory=dict)
    """Logs read but perhaps not on the status yet, by UID of Pod."""

    checked: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Version and intent of each child that was found to be as planned, by its UID."""

    written: float = float("-inf")
    """When its status was last written."""


class Reconciler:
    """Looks at demos."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        settings: Settings,
        stories: Stories,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._settings = settings
        self._stories = stories
        self._now = now
        self._clock = clock
        self._memories: dict[DemoKey, _Memory] = defaultdict(_Memory)
        self._log_reads = asyncio.Semaphore(_LOG_READS)

    async def reconcile(self, key: DemoKey) -> float | None:
        """Look at a demo; gives the seconds until it should be looked at again, or None.

        Raises:
            ClusterError: something could not be done now; it stands on the status too, if that
                could be written.
        """
        body = self._cache.demo(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            self._memories.pop(key, None)
            return None
        try:
            demo = parse(body)
        except InvalidSpecError as error:
            told = parse_status(body)
            status = invalid_status(told, body["metadata"]["generation"], error, self._now())
            return await self._tell(body, told, status)
        try:
            return await self._carry_out(demo, body)
        except NotFoundError as error:
            # The demo or its namespace is going; what is left of it goes with it.
            logger.info("%s: %s", key, error)
            return None

    async def _carry_out(self, demo: WorkshopDemo, body: dict[str, Any]) -> float | None:
        plan = build(demo, self._settings)
        problems = await self._apply(demo, plan)
        troubles = await self._prune(demo, plan)
        facts = await self._facts(demo, plan, problems, troubles)
        observation = observe(demo, facts, self._story(demo, plan), self._now())
        again = await self._tell(body, demo.status, observation.status)
        for problem in (*problems.values(), *troubles):
            if problem.retriable:
                raise problem
        if again is None and observation.recheck is not None:
            again = max((observation.recheck - self._now()).total_seconds(), 0.0)
        return again

    async def _apply(self, demo: WorkshopDemo, plan: Plan) -> Problems:
        problems: Problems = {}
        for intent in plan.intents:
            try:
                await self._apply_one(demo, intent)
            except NotFoundError:
                raise
            except ClusterError as error:
                problems[intent.name] = error
        return problems

    async def _apply_one(self, demo: WorkshopDemo, intent: Intent) -> None:
        child = self._cache.child(demo.uid, intent.kind, intent.name)
        if child is None:
            if went_by_ttl(intent):
                return
            body = prepared(intent, None)
        else:
            checked = self._memories[demo.key].checked
            if checked.get(child.uid) == (child.version, intent.digest):
                return
            live = child.intended
            if not needs_apply(intent, live):
                checked[child.uid] = (child.version, intent.digest)
                return
            body = prepared(intent, live)
        logger.info("%s: applying %s %s", demo.key, intent.kind, intent.name)
        answer = await self._cluster.apply(body)
        self._cache.put_child(intent.kind, answer)
        self._remember_applied(demo, intent)

    def _remember_applied(self, demo: WorkshopDemo, intent: Intent) -> None:
        child = self._cache.child(demo.uid, intent.kind, intent.name)
        if child is not None and needs_apply(intent, child.intended):
            # An admission webhook that has its own mind: applying for ever would not change it.
            logger.warning("%s: the cluster changed what was applied", intent.name)
            self._memories[demo.key].checked[child.uid] = (child.version, intent.digest)

    async def _prune(self, demo: WorkshopDemo, plan: Plan) -> list[ClusterError]:
        jobs = {job.name: job for job in self._cache.children(demo.uid, "Job")}
        troubles = []
        for name in superfluous(plan, [_pruning_facts(job) for job in jobs.values()]):
            logger.info("%s: removing Job %s", demo.key, name)
            try:
                await self._cluster.delete("Job", demo.namespace, name, jobs[name].uid)
            except ClusterError as error:
                troubles.append(error)
            else:
                self._cache.remove_child("Job", demo.uid, name, jobs[name].uid)
        return troubles

    async def _facts(
        self, demo: WorkshopDemo, plan: Plan, problems: Problems, troubles: list[ClusterError]
    ) -> dict[str, JobFacts]:
        """What is known of each entry; what could not be asked now goes to `troubles`."""
        told = {status.name: status for status in demo.status.jobs}
        jobs = self._cache.children(demo.uid, "Job")
        pods = self._cache.children(demo.uid, "Pod")
        facts: dict[str, JobFacts] = {}
        for entry, name in plan.jobs.items():
            live = self._cache.child(demo.uid, "Job", name)
            own_pods = [pod for pod in pods if live is not None and _is_pod_of(pod, live)]
            troubles += await self._read_logs(demo, own_pods, told.get(entry))
            facts[entry] = JobFacts(
                job=name,
                live=live,
                pods=own_pods,
                older=[
                    job
                    for job in jobs
                    if job.labels.get(names.JOB_LABEL) == entry and job.name != name
                ],
                told=told.get(entry),
                logs=self._memories[demo.key].logs,
                refusal=await self._refusal(live, own_pods, troubles),
                problem=problems.get(name),
            )
        return facts

    async def _read_logs(
        self, demo: WorkshopDemo, pods: Sequence[Child], told: JobStatus | None
    ) -> list[ClusterError]:
        """Read what nobody has read yet; a log that cannot be read now is tried again later."""
        logs = self._memories[demo.key].logs
        unread = []
        for wanted in logs_wanted(pods, told):
            if wanted.pod_uid in logs:
                continue
            try:
                texts = await asyncio.gather(
                    *(
                        self._read_log(demo.namespace, wanted.pod, container)
                        for container in wanted.containers
                    )
                )
            except ClusterError as error:
                unread.append(error)
                continue
            logs[wanted.pod_uid] = wanted.told(dict(zip(wanted.containers, texts, strict=True)))
        return unread

    async def _read_log(self, namespace: str, pod: str, container: str) -> str | None:
        async with self._log_reads:
            return await self._cluster.pod_log(namespace, pod, container)

    async def _refusal(
        self, live: Child | None, pods: Sequence[Child], troubles: list[ClusterError]
    ) -> str | None:
        """Why the Job controller makes no Pod: only its Events say it."""
        if live is None or not needs_refusal(live, pods, self._now()):
            return None
        try:
            events = await self._cluster.events_of(live.namespace, live.uid)
        except ClusterError as error:
            troubles.append(error)
            return None
        refusals = [event for event in events if event.get("reason") == "FailedCreate"]
        refusals.sort(key=lambda event: str(event.get("lastTimestamp")))
        return str(refusals[-1].get("message")) if refusals else None

    def _story(self, demo: WorkshopDemo, plan: Plan) -> list[Story]:
        shown: dict[str, str] = {}
        for job in demo.spec.jobs:
            shown.setdefault(scenario_of(job).story, plan.jobs[job.name])
        return [
            self._stories[key].short({"namespace": demo.namespace, "demo": demo.name, "job": job})
            for key, job in shown.items()
        ]

    async def _tell(self, body: dict[str, Any], told: Status, status: Status) -> float | None:
        """Write the status if it changed; gives the seconds to wait if it is too early for that."""
        metadata = body["metadata"]
        memory = self._memories[DemoKey(metadata["namespace"], metadata["name"])]
        if status == told:
            memory.logs.clear()
            return None
        early = memory.written + self._settings.status_interval_seconds - self._clock()
        if early > 0:
            return early
        for transition in transitions(told, status):
            await self._post(metadata, transition)
        answer = await self._cluster.apply_status(
            {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                # With its UID, a namesake that came meanwhile is not told this one's story.
                "metadata": {field: metadata[field] for field in ("name", "namespace", "uid")},
                "status": msgspec.to_builtins(status),
            }
        )
        memory.written = self._clock()
        self._cache.put_demo(answer)
        return None

    async def _post(self, metadata: dict[str, Any], transition: Transition) -> None:
        """Post an Event. Its name is the transition's: told twice, it is still one Event."""
        moment = format_time(self._now())
        try:
            await self._cluster.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Event",
                    "metadata": {
                        "name": f"{metadata['name']}.{names.digest(transition.identity)}",
                        "namespace": metadata["namespace"],
                    },
                    "involvedObject": {
                        "apiVersion": names.API_VERSION,
                        "kind": names.KIND,
                        "name": metadata["name"],
                        "namespace": metadata["namespace"],
                        "uid": metadata["uid"],
                    },
                    "type": transition.type,
                    "reason": transition.reason,
                    "message": transition.message,
                    "source": {"component": names.FIELD_MANAGER},
                    "reportingComponent": names.FIELD_MANAGER,
                    "reportingInstance": names.FIELD_MANAGER,
                    "firstTimestamp": moment,
                    "lastTimestamp": moment,
                    "count": 1,
                }
            )
        except NotFoundError:
            raise
        except ClusterError as error:
            # Events are a courtesy (best effort in Kubernetes too); the status tells the same.
            logger.warning("%s", error)


def _pruning_facts(job: Child) -> tuple[str, str, str, bool]:
    ended = bool(job.condition("Complete") or job.condition("Failed"))
    return job.labels.get(names.JOB_LABEL, ""), job.name, job.created, ended


def _is_pod_of(pod: Child, job: Child) -> bool:
    return pod.labels.get("batch.kubernetes.io/controller-uid") == job.uid
