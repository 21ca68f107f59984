"""Cluster → facts: what the cache knows of each entry, with the logs and Events that it needs."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, replace
from datetime import datetime, timedelta
from typing import Any, Final

from workshopdemo import names
from workshopdemo.cluster import Cache, Cluster
from workshopdemo.discoverer import Discoverer, DiscoveryOrder
from workshopdemo.errors import ClusterError
from workshopdemo.facts import Child
from workshopdemo.logsql import emitter_query
from workshopdemo.look import Look
from workshopdemo.model import CronJob, LogShipping, LogShippingStatus
from workshopdemo.names import DemoKey, StatefulSetNames
from workshopdemo.observe import (
    CronJobFacts,
    DiscoveryFacts,
    JobFacts,
    LogShippingFacts,
    LogWanted,
    StatefulSetFacts,
    Transition,
    absences,
    agent_pods,
    asked_services,
    bare_nodes,
    emitter_pods,
    is_ready,
    is_settled,
    lacks_pod,
    logs_wanted,
    makes_no_pod,
    member_pods,
    needs_events,
    needs_refusal,
    parse_time,
    told_pods,
    told_rows,
    told_run_pods,
)
from workshopdemo.plan import (
    AGGREGATOR,
    EMITTER,
    NODE_AGENT,
    SHIPPER,
    LogShippingNames,
    unchangeable,
)
from workshopdemo.registrar import Registrar
from workshopdemo.surveyor import Surveyor, SurveyOrder

_LOG_READS: Final = 16
"""How many container logs are read at the same time, all demos together."""


_REFUSAL_PAUSE: Final = 5.0
"""The Events of a DaemonSet that lacks Pods are read so often: no watch tells of them."""

_OLD_REFUSAL_PAUSE: Final = 30.0
"""And so often when that has lasted for `_REFUSAL_PATIENCE`: somebody has to set a label."""

_REFUSAL_PATIENCE: Final = timedelta(minutes=1)

_CLAIM_PATIENCE: Final = timedelta(seconds=15)
"""Before that, a claim without a volume is nothing to ask about."""

_LAST_WORDS_PAUSE: Final = 1.0
"""A Pod that is being removed is read so often: it may be gone, log and all, when it has ended."""


class Gatherer:
    """Gathers facts. What cannot be asked now is a trouble: it is told, and asked again later."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        *,
        surveyor: Surveyor,
        discoverer: Discoverer,
        registrar: Registrar,
        now: Callable[[], datetime],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._surveyor = surveyor
        self._discoverer = discoverer
        self._registrar = registrar
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
                problem=look.problems.get(("Job", name)),
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
                problem=look.problems.get(("CronJob", name))
                or look.problems.get(("Job", manual_run)),
                mistake=plan.mistakes.get(entry.name),
            )
            events = await self._cron_job_events(look, entry, seen)
            facts[entry.name] = replace(seen, events=events)
        return facts

    async def of_log_shipping(self, look: Look) -> LogShippingFacts | None:
        """Facts of spec.logShipping; None if it is not there."""
        demo, named = look.demo, look.plan.log_shipping
        asked = demo.spec.log_shipping
        if asked is None or named is None:
            self._surveyor.offer(demo.key, None)
            look.memory.absent.clear()
            look.memory.shipping = None
            return None
        nodes = self._cache.nodes()
        pods = {
            component: _labelled(
                names.COMPONENT_LABEL, component, self._cache.children(demo.uid, "Pod")
            )
            for component in (SHIPPER, EMITTER, AGGREGATOR)
        }
        daemon_set = self._cache.child(demo.uid, "DaemonSet", named.shipper)
        absent = absences(nodes, pods[SHIPPER], pods[EMITTER], pods[AGGREGATOR])
        look.memory.note_absent(absent, self._now())
        order = self._survey_order(look, asked, named, pods)
        return LogShippingFacts(
            namespace=demo.namespace,
            aggregator=named.aggregator if asked.destination.otlp_http is None else None,
            nodes=nodes,
            daemon_set=daemon_set,
            shippers=pods[SHIPPER],
            emitters=pods[EMITTER],
            aggregators=pods[AGGREGATOR],
            refusal=await self._daemon_set_refusal(look, daemon_set, pods[SHIPPER]),
            absent=look.memory.absent,
            survey=self._surveyor.offer(demo.key, order),
            told=_told_shipping(look),
            problem=_problem_of(look, astuple(named)),
        )

    def _survey_order(
        self,
        look: Look,
        asked: LogShipping,
        named: LogShippingNames,
        pods: Mapping[str, Sequence[Child]],
    ) -> SurveyOrder | None:
        """What is still to be counted; None when all counts are settled."""
        run, knows = asked.emitter.run, asked.destination.otlp_http is None
        told = told_rows(run, _told_shipping(look), knows=knows)
        unsettled = [
            emitter
            for emitter in emitter_pods(pods[EMITTER])
            if not is_settled(emitter, told.get(emitter.pod))
        ]
        if not unsettled:
            return None
        addresses = [pod.status.get("podIP") for pod in pods[AGGREGATOR] if is_ready(pod)]
        return SurveyOrder(
            namespace=look.demo.namespace,
            container=EMITTER,
            emitters=tuple(unsettled),
            run=run,
            query=emitter_query(namespace=look.demo.namespace, daemon_set=named.emitter, run=run),
            address=next((str(address) for address in addresses if address), None),
            knows=knows,
            ships=bool(pods[SHIPPER]),
        )

    async def of_service_discovery(self, look: Look) -> DiscoveryFacts | None:
        """Facts of spec.serviceDiscovery; None if it is not there."""
        demo, name = look.demo, look.plan.node_agent
        if name is None:
            self._discoverer.offer(demo.key, None)
            look.memory.agentless.clear()
            return None
        nodes = self._cache.nodes()
        pods = self._cache.children(demo.uid, "Pod")
        agents = _labelled(names.COMPONENT_LABEL, NODE_AGENT, pods)
        daemon_set = self._cache.child(demo.uid, "DaemonSet", name)
        look.memory.note_agentless(bare_nodes(nodes, agents), self._now())
        order = DiscoveryOrder(
            namespace=demo.namespace,
            agents=agent_pods(agents),
            services=asked_services(self._cache.children(demo.uid, "Service")),
            pods=frozenset(
                (pod.name, str(pod.status.get("podIP", "")), is_ready(pod)) for pod in pods
            ),
        )
        return DiscoveryFacts(
            nodes=nodes,
            agents=agents,
            refusal=await self._daemon_set_refusal(look, daemon_set, agents),
            absent=look.memory.agentless,
            found=self._discoverer.offer(demo.key, order),
            told=demo.status.service_discovery,
            problem=_problem_of(look, (name,)),
        )

    async def of_stateful_set(self, look: Look) -> StatefulSetFacts | None:
        """Facts of spec.statefulSet; None if it is not there."""
        demo, named = look.demo, look.plan.stateful_set
        asked = demo.spec.stateful_set
        if asked is None or named is None:
            self._registrar.offer(demo.key, None)
            return None
        live = self._cache.child(demo.uid, "StatefulSet", named.stateful_set)
        # By name, not by owner: deleted with --cascade=orphan, the StatefulSet is made anew around
        # its Pods; deleted without, its Pods take a while to go.
        pods = {
            pod.name: pod
            for pod in _labelled(
                names.COMPONENT_LABEL, named.component, self._cache.children(demo.uid, "Pod")
            )
            if named.ordinal_of(pod.name) is not None
        }
        claims = self._claims(look, named)
        is_short = live is not None and lacks_pod(asked, named, pods)
        intent = look.plan.intent("StatefulSet", named.stateful_set)
        return StatefulSetFacts(
            namespace=demo.namespace,
            asked=asked,
            named=named,
            live=live,
            pods=pods,
            claims=claims,
            nodes=self._cache.nodes(),
            heard=self._registrar.offer(demo.key, member_pods(pods.values())),
            refusal=await self._set_refusal(look, live) if live and is_short else None,
            claim_words=await self._claim_words(look, claims.values()),
            unchangeable=unchangeable(intent, live.intended) if live is not None else (),
            told=demo.status.stateful_set,
            problem=_problem_of(look, (named.stateful_set, named.members)),
        )

    def _claims(self, look: Look, named: StatefulSetNames) -> dict[str, Child]:
        """The claims of members, also those that an earlier demo of this name has left."""
        demo, kind = look.demo, "PersistentVolumeClaim"
        left = self._cache.heirlooms(demo.key, demo.uid, kind)
        found = {claim.name: claim for claim in (*left, *self._cache.children(demo.uid, kind))}
        return {
            name: claim for name, claim in found.items() if named.ordinal_of_claim(name) is not None
        }

    async def _set_refusal(self, look: Look, live: Child) -> str | None:
        """Why the StatefulSet controller makes no Pod or claim: only its Events say it."""
        is_old = self._now() - parse_time(live.created) > _REFUSAL_PATIENCE
        look.again_in(_OLD_REFUSAL_PAUSE if is_old else _REFUSAL_PAUSE)
        return _newest_refusal(await self._events_of(look, live))

    async def _claim_words(self, look: Look, claims: Iterable[Child]) -> dict[str, str]:
        """Why claims that wait get no volume, by their newest complaints."""
        words = {}
        for claim in claims:
            is_young = self._now() - parse_time(claim.created) < _CLAIM_PATIENCE
            if claim.status.get("phase") != "Pending" or is_young:
                continue
            events = [
                one
                for one in await self._events_of(look, claim)
                if one.get("reason") in ("FailedBinding", "ProvisioningFailed")
            ]
            if events:
                words[claim.name] = str(max(events, key=_event_time).get("message"))
        return words

    async def _daemon_set_refusal(
        self, look: Look, live: Child | None, pods: Sequence[Child]
    ) -> str | None:
        """Why the DaemonSet controller makes no Pod: only its Events say it."""
        if live is None or not makes_no_pod(live, pods):
            return None
        is_old = self._now() - parse_time(live.created) > _REFUSAL_PATIENCE
        look.again_in(_OLD_REFUSAL_PAUSE if is_old else _REFUSAL_PAUSE)
        return _newest_refusal(await self._events_of(look, live))

    def leave(self, key: DemoKey) -> None:
        """The demo is gone."""
        self._surveyor.offer(key, None)
        self._discoverer.offer(key, None)
        self._registrar.offer(key, None)

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
            look.again_in(_LAST_WORDS_PAUSE)

    async def _read_log(self, namespace: str, pod: str, container: str) -> str | None:
        async with self._log_reads:
            return await self._cluster.pod_log(namespace, pod, container)

    async def _refusal(self, look: Look, live: Child | None, pods: Sequence[Child]) -> str | None:
        """Why the Job controller makes no Pod: only its Events say it."""
        if live is None or not needs_refusal(live, pods, self._now()):
            return None
        return _newest_refusal(await self._events_of(look, live))

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


def _problem_of(look: Look, objects: Collection[str]) -> ClusterError | None:
    """Why an object of a section's machinery could not be written; a Job may have the same name."""
    problems = (
        problem
        for (kind, name), problem in look.problems.items()
        if kind not in ("Job", "CronJob") and name in objects
    )
    return next(problems, None)


def _told_shipping(look: Look) -> LogShippingStatus | None:
    return look.memory.shipping or look.demo.status.log_shipping


def _newest_refusal(events: Iterable[Mapping[str, Any]]) -> str | None:
    """The refusal that is not out of date: an Event stays for an hour, whatever came after it."""

    def order(event: Mapping[str, Any]) -> tuple[str, bool]:
        return _event_time(event), event.get("reason") == "FailedCreate"

    told = [one for one in events if one.get("reason") in ("FailedCreate", "SuccessfulCreate")]
    newest = max(told, key=order, default=None)
    if newest is None or newest["reason"] != "FailedCreate":
        return None
    return str(newest.get("message"))


def _event_time(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


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
