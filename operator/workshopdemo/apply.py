"""Plan → cluster: apply what differs, remove what the plan no longer has."""

import logging
from typing import Final

from workshopdemo import names
from workshopdemo.cluster import Cache, Cluster
from workshopdemo.errors import ClusterError, NameTakenError, NotFoundError
from workshopdemo.facts import WRITTEN_KINDS, Child
from workshopdemo.look import Look
from workshopdemo.model import WorkshopDemo
from workshopdemo.observe import Transition
from workshopdemo.plan import (
    Intent,
    needs_apply,
    prepared,
    superfluous,
    superfluous_jobs,
    was_edited,
    went_by_ttl,
)

_PRUNED: Final = tuple(kind for kind in WRITTEN_KINDS if kind != "Job")
"""Kinds of which only what the plan names may be there; Jobs have a history."""

logger = logging.getLogger(__name__)


class Applier:
    """Writes children. What is as planned is not written."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache

    async def apply(self, look: Look) -> None:
        """Apply every intent that the cluster does not meet; one that fails stops no other.

        Raises:
            NotFoundError: the demo's namespace is going.
        """
        for intent in look.plan.intents:
            try:
                await self._apply_one(look, intent)
            except NotFoundError:
                raise
            except ClusterError as error:
                look.problems[intent.kind, intent.name] = error

    async def _apply_one(self, look: Look, intent: Intent) -> None:
        demo, memory = look.demo, look.memory
        child = self._cache.child(demo.uid, intent.kind, intent.name)
        if child is None:
            if went_by_ttl(intent):
                return
            if intent.has_plain_name:
                await self._refuse_foreign(demo, intent)
            body = prepared(intent, None)
        else:
            if memory.checked.get(child.uid) == (child.version, intent.digest):
                return
            live = child.intended
            if not needs_apply(intent, live):
                memory.checked[child.uid] = (child.version, intent.digest)
                return
            body = prepared(intent, live)
            if was_edited(intent, live):
                look.events.append(_put_right(child))
        logger.info("%s: applying %s %s", demo.key, intent.kind, intent.name)
        self._cache.put_child(intent.kind, await self._cluster.apply(body))
        applied = self._cache.child(demo.uid, intent.kind, intent.name)
        if applied is not None and needs_apply(intent, applied.intended):
            # An admission webhook that has its own mind: applying for ever would not change it.
            logger.warning("%s: the cluster changed what was applied", intent.name)
            memory.checked[applied.uid] = (applied.version, intent.digest)

    async def _refuse_foreign(self, demo: WorkshopDemo, intent: Intent) -> None:
        """Leave an object alone that has the name but is not this demo's."""
        found = await self._cluster.get(intent.kind, demo.namespace, intent.name)
        if found is None:
            return
        labels = found["metadata"].get("labels") or {}
        if labels.get(names.DEMO_UID_LABEL) != demo.uid:
            raise NameTakenError(
                f"{intent.kind} {intent.name} is there and is not this demo's: "
                "give the entry another name, or remove that object"
            )

    async def prune(self, look: Look) -> None:
        """Remove what the plan no longer has."""
        demo, plan = look.demo, look.plan
        jobs = [
            job
            for job in self._cache.children(demo.uid, "Job")
            if names.JOB_LABEL in job.labels  # a CronJob's Jobs are its own to remove
        ]
        doomed = {("Job", name) for name in superfluous_jobs(plan, map(_pruning_facts, jobs))}
        for kind in _PRUNED:
            existing = [child.name for child in self._cache.children(demo.uid, kind)]
            doomed |= {(kind, name) for name in superfluous(plan, kind, existing)}
        for kind, name in sorted(doomed):
            child = self._cache.child(demo.uid, kind, name)
            if child is None or child.terminating:
                continue
            logger.info("%s: removing %s %s", demo.key, kind, name)
            try:
                await self._cluster.delete(kind, demo.namespace, name, child.uid)
            except ClusterError as error:
                look.troubles.append(error)
            else:
                self._cache.remove_child(kind, demo.uid, name, child.uid)

    async def let_go(self, demo_uid: str, namespace: str) -> None:
        """Delete a demo's Jobs because their namespace is going.

        In Kubernetes 1.34 such a namespace hangs while a Job with backoffLimitPerIndex waits for a
        retry: the failed Pod is kept for the next one, which may not be made any more.
        """
        for job in self._cache.children(demo_uid, "Job"):
            try:
                await self._cluster.delete("Job", namespace, job.name, job.uid)
            except ClusterError as error:
                logger.warning("%s", error)


def _put_right(child: Child) -> Transition:
    return Transition(
        "Normal",
        "PutRight",
        f"{child.kind} {child.name} was changed by hand: it is as the demo says again",
        f"PutRight {child.uid} {child.version}",
    )


def _pruning_facts(job: Child) -> tuple[str, str, str, bool]:
    ended = bool(job.condition("Complete") or job.condition("Failed"))
    return job.labels[names.JOB_LABEL], job.name, job.created, ended
