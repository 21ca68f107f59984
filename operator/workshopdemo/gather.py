"""Cluster → facts: what the cache knows of each entry, with the logs and Events that it needs."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from workshopdemo import names
from workshopdemo.cluster import Cache, Cluster
from workshopdemo.errors import ClusterError
from workshopdemo.facts import Child
from workshopdemo.look import Look
from workshopdemo.model import CronJob
from workshopdemo.observe import (
    CronJobFacts,
    JobFacts,
    LogWanted,
    Transition,
    logs_wanted,
    needs_events,
    needs_refusal,
    told_pods,
    told_run_pods,
)

_LOG_READS: Final = 16
"""How many container logs are read at the same time, all demos together."""


_LAST_WORDS_PAUSE: Final = 1.0
"""A Pod that is being removed is read so often: it may be gone, log and all, when it has ended."""


class Gatherer:
    """Gathers facts. What cannot be asked now is a trouble: it is told, and asked again later."""

    def __init__(self, cluster: Cluster, cache: Cache, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._cache = cache
        self._now = now
        self._log_reads = asyncio.Semaphore(_LOG_READS)

    async def of_jobs(self, look: Look) -> dict[str, JobFacts]:
        """Facts of each entry of spec.jobs."""
        demo, plan = look.demo, look.plan
        told = {status.name: status for status in demo.status.jobs}
        jobs = self._cache.children(demo.uid, "Job")
        pods = self._cache.children(demo.uid, "Pod")
        facts: dict[str, JobFacts] = {}
        own: dict[str, list[Child]] = defaultdict(list)
        for pod in pods:
            own[pod.controller or ""].append(pod)
        living = {
            entry: self._cache.child(demo.uid, "Job", name) for entry, name in plan.jobs.items()
        }
        await self._read_logs(
            look,
            [
                (own[live.uid], told_pods(told.get(entry)))
                for entry, live in living.items()
                if live is not None
            ],
        )
        for entry, name in plan.jobs.items():
            live = living[entry]
            own_pods = own[live.uid] if live is not None else []
            older = [job for job in _labelled(names.JOB_LABEL, entry, jobs) if job.name != name]
            facts[entry] = JobFacts(
                job=name,
                live=live,
                pods=own_pods,
                older=older,
                told=told.get(entry),
                logs=look.memory.logs,
                refusal=await self._refusal(look, live, own_pods),
                problem=look.problems.get(name),
            )
        return facts

    async def of_cron_jobs(self, look: Look) -> dict[str, CronJobFacts]:
        """Facts of each entry of spec.cronJobs."""
        demo, plan = look.demo, look.plan
        told = {status.name: status for status in demo.status.cron_jobs}
        jobs = self._cache.children(demo.uid, "Job")
        pods = self._cache.children(demo.uid, "Pod")
        buried = self._cache.buried(demo.uid)
        facts: dict[str, CronJobFacts] = {}
        own = {
            entry.name: _labelled(names.CRON_JOB_LABEL, entry.name, pods)
            for entry in demo.spec.cron_jobs
        }
        await self._read_logs(
            look,
            [(own_pods, told_run_pods(told.get(name), own_pods)) for name, own_pods in own.items()],
        )
        for entry in demo.spec.cron_jobs:
            name = plan.cron_jobs[entry.name]
            manual_run = plan.manual_runs.get(entry.name, "")
            seen = CronJobFacts(
                cron_job=name,
                live=self._cache.child(demo.uid, "CronJob", name),
                jobs=_labelled(names.CRON_JOB_LABEL, entry.name, jobs),
                removed=_labelled(names.CRON_JOB_LABEL, entry.name, buried),
                pods=own[entry.name],
                told=told.get(entry.name),
                logs=look.memory.logs,
                problem=look.problems.get(name) or look.problems.get(manual_run),
                mistake=plan.mistakes.get(entry.name),
            )
            events = await self._cron_job_events(look, entry, seen)
            facts[entry.name] = replace(seen, events=events)
        return facts

    async def _read_logs(
        self, look: Look, entries: Iterable[tuple[Sequence[Child], Collection[str]]]
    ) -> None:
        """Read what nobody has read yet, all at the same time: of many ends none waits for another.

        Args:
            look: whose memory gets the logs.
            entries: Pods of each entry, and names of those whose whole log is told already.
        """
        wanted: list[LogWanted] = []
        for pods, known in entries:
            _note_removals(look, pods)
            wanted += [one for one in logs_wanted(pods, known) if not look.memory.has_read(one)]
        if wanted:
            await asyncio.gather(*(self._read_logs_of(look, one) for one in wanted))

    async def _read_logs_of(self, look: Look, wanted: LogWanted) -> None:
        try:
            texts = await asyncio.gather(
                *(
                    self._read_log(look.demo.namespace, wanted.pod, container)
                    for container in wanted.containers
                )
            )
        except ClusterError as error:
            look.troubles.append(error)
            return
        told = wanted.told(dict(zip(wanted.containers, texts, strict=True)))
        look.memory.remember(wanted, told)
        if not wanted.is_final:
            look.look_again = _LAST_WORDS_PAUSE

    async def _read_log(self, namespace: str, pod: str, container: str) -> str | None:
        async with self._log_reads:
            return await self._cluster.pod_log(namespace, pod, container)

    async def _refusal(self, look: Look, live: Child | None, pods: Sequence[Child]) -> str | None:
        """Why the Job controller makes no Pod: only its Events say it."""
        if live is None or not needs_refusal(live, pods, self._now()):
            return None
        events = await self._events_of(look, live)
        refusals = [event for event in events if event.get("reason") == "FailedCreate"]
        refusals.sort(key=lambda event: str(event.get("lastTimestamp")))
        return str(refusals[-1].get("message")) if refusals else None

    async def _cron_job_events(
        self, look: Look, entry: CronJob, seen: CronJobFacts
    ) -> Sequence[Mapping[str, Any]]:
        """Events of a CronJob and of Jobs, where something went unseen that they may tell of."""
        if seen.live is None or not needs_events(entry, seen, self._now()):
            return []
        return [
            *await self._events_of(look, seen.live),
            # Of Jobs that are gone nobody knows the UID, so those of all Jobs are read.
            *await self._events(look, kind="Job"),
        ]

    async def _events_of(self, look: Look, child: Child) -> Sequence[Mapping[str, Any]]:
        return await self._events(look, uid=child.uid)

    async def _events(self, look: Look, **about: str) -> Sequence[Mapping[str, Any]]:
        try:
            return await self._cluster.list_events(look.demo.namespace, **about)
        except ClusterError as error:
            look.troubles.append(error)
            return []


def _note_removals(look: Look, pods: Iterable[Child]) -> None:
    """Note an Event for each Pod that begins to be removed.

    It is the first write that a namespace refuses which is being deleted, and so the operator's
    first sign of that.
    """
    for pod in pods:
        if pod.terminating and pod.uid not in look.memory.removed:
            look.memory.removed.add(pod.uid)
            message = f"Pod {pod.name} is being removed"
            look.events.append(Transition("Normal", "PodRemoved", message, pod.uid))


def _labelled(label: str, entry: str, children: Iterable[Child]) -> list[Child]:
    return [child for child in children if child.labels.get(label) == entry]
