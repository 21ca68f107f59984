"""Plan → cluster: apply what differs, remove what the plan no longer has."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from workshopdemo import names
from workshopdemo.cluster import Cache, Cluster
from workshopdemo.errors import ClusterError, NameTakenError, NotFoundError
from workshopdemo.facts import WRITTEN_KINDS, Child
from workshopdemo.look import Look
from workshopdemo.model import WorkshopDemo
from workshopdemo.observe import Transition
from workshopdemo.plan import (
    MEMBER_COMPONENTS,
    PASSWORDS,
    Intent,
    is_of_this_version,
    left_over_claims,
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


_CREDENTIALS_PAUSE: Final = 60.0
"""Seconds after which a Secret is looked for again: nothing tells of one that was removed."""

_TAKEN_PAUSE: Final = 2.0
"""And where another one has its name, that of a demo before this one, which is on its way out."""


class Applier:
    """Writes children. What is as planned is not written."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        clock: Callable[[], float],
        password: Callable[[], str],
    ) -> None:
        """Of any demo.

        Args:
            cluster: the API server.
            cache: what the watches saw.
            clock: the event loop's time, in seconds.
            password: makes one that nobody has had before.
        """
        self._cluster = cluster
        self._cache = cache
        self._clock = clock
        self._password = password

    async def apply(self, look: Look) -> None:
        """Apply every intent that the cluster does not meet; one that fails stops no other.

        Raises:
            NotFoundError: the demo's namespace is going.
        """
        await self._ensure_credentials(look)
        for intent in look.plan.intents:
            try:
                await self._apply_one(look, intent)
            except NotFoundError:
                raise
            except ClusterError as error:
                look.problems[intent.kind, intent.name] = error

    async def _ensure_credentials(self, look: Look) -> None:
        """Make the plan's Secret if there is none: once, as nobody could tell a second one's
        passwords from the first one's.
        """
        wanted, memory = look.plan.credentials, look.memory
        if wanted is None:
            return
        if memory.credentials_until > self._clock():
            look.again_in(memory.credentials_until - self._clock())
            return
        metadata = wanted["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        try:
            found = await self._cluster.get("Secret", namespace, name)
            if found is None:
                passwords = {key: self._password() for key in PASSWORDS}
                found = await self._cluster.create(wanted | {"stringData": passwords})
                logger.info("%s: made Secret %s", look.demo.key, name)
            if not _is_own(look.demo, found):
                raise _taken("Secret", name)
        except NotFoundError:
            raise
        except ClusterError as error:
            look.problems["Secret", name] = error
            look.again_in(_TAKEN_PAUSE)
        else:
            memory.credentials_until = self._clock() + _CREDENTIALS_PAUSE
            look.again_in(_CREDENTIALS_PAUSE)

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
        if not _is_own(demo, found):
            raise _taken(intent.kind, intent.name)

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
            existing = [
                child.name
                for child in self._cache.children(demo.uid, kind)
                if not _is_members_claim(child) and is_of_this_version(child.labels)
            ]
            doomed |= {(kind, name) for name in superfluous(plan, kind, existing)}
        doomed |= {("PersistentVolumeClaim", name) for name in self._left_over_claims(look)}
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
                self._cache.remove_child(child)

    def _left_over_claims(self, look: Look) -> list[str]:
        """Claims of members that are gone, which Kubernetes does not remove."""
        demo, named = look.demo, look.plan.stateful_set
        asked = demo.spec.stateful_set
        if asked is None or named is None:
            return []
        pods = [child.name for child in self._cache.children(demo.uid, "Pod")]
        return left_over_claims(asked, named, self.retained_claims(demo.uid), pods)

    def retained_claims(self, demo_uid: str) -> list[str]:
        """Claims of a demo's members that nothing owns, and so nothing removes."""
        return sorted(
            child.name
            for child in self._cache.children(demo_uid, "PersistentVolumeClaim")
            if _is_members_claim(child)
            and not child.terminating
            and not child.intended["metadata"].get("ownerReferences")
        )

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


def _is_own(demo: WorkshopDemo, found: Mapping[str, Any]) -> bool:
    labels = found["metadata"].get("labels") or {}
    return bool(labels.get(names.DEMO_UID_LABEL) == demo.uid)


def _taken(kind: str, name: str) -> NameTakenError:
    return NameTakenError(
        f"{kind} {name} is there and is not this demo's: "
        "give the entry another name, or remove that object"
    )


def _put_right(child: Child) -> Transition:
    return Transition(
        "Normal",
        "PutRight",
        f"{child.kind} {child.name} was changed by hand: it is as the demo says again",
        f"PutRight {child.uid} {child.version}",
    )


def _is_members_claim(child: Child) -> bool:
    """Whether Kubernetes made this claim for a member of a StatefulSet, and removes it."""
    is_members = child.labels.get(names.COMPONENT_LABEL) in MEMBER_COMPONENTS
    return child.kind == "PersistentVolumeClaim" and is_members


def _pruning_facts(job: Child) -> tuple[str, str, str, bool]:
    ended = bool(job.condition("Complete") or job.condition("Failed"))
    return job.labels[names.JOB_LABEL], job.name, job.created, ended
