"""One look at one demo: plan → apply → observe → notify. Again whenever anything moved.

The status is written beside the looks: whoever is to hear of a Job's end does not wait until all
that was seen before is written.
"""

import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from workshopdemo.announce import Announcer
from workshopdemo.apply import Applier
from workshopdemo.cluster import Cache, Cluster
from workshopdemo.courier import Courier
from workshopdemo.discoverer import Discoverer
from workshopdemo.errors import ClusterError, InvalidSpecError, NotFoundError
from workshopdemo.gather import Gatherer
from workshopdemo.look import Draft, Look, Memory
from workshopdemo.model import Story, WorkshopDemo, parse, parse_status
from workshopdemo.names import DemoKey
from workshopdemo.observe import claims_kept, invalid_status, observe, status_of
from workshopdemo.plan import NODE_AGENT, SHIPPER, Plan, build
from workshopdemo.quota import Quota
from workshopdemo.registrar import Registrar
from workshopdemo.scenarios import cron_scenario_of, scenario_of
from workshopdemo.settings import Settings
from workshopdemo.story import Stories
from workshopdemo.surveyor import Surveyor
from workshopdemo.tell import Teller

logger = logging.getLogger(__name__)

_GOING_PAUSE: Final = 10.0
"""Seconds for a namespace to go, before another look at a demo that is still there."""

_TELLING_PAUSE: Final = 0.1
"""Seconds until a new status is written: who is to be notified comes first."""

_CONFLICT_PAUSE: Final = 1.0
"""Seconds for the watch to tell what has changed: the look that it wakes is the better one."""


class Reconciler:
    """Looks at demos."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        settings: Settings,
        stories: Stories,
        courier: Courier,
        surveyor: Surveyor,
        discoverer: Discoverer,
        registrar: Registrar,
        wake: Callable[[DemoKey, float], None],
        wake_to_tell: Callable[[DemoKey, float], None],
        now: Callable[[], datetime],
        clock: Callable[[], float],
        password: Callable[[], str],
    ) -> None:
        """Nothing is known of any demo.

        Args:
            cluster: the API server.
            cache: what the watches saw.
            settings: of the operator.
            stories: of every concept.
            courier: sends notifications.
            surveyor: counts the lines of logs.
            discoverer: asks the agents of nodes.
            registrar: asks the members of StatefulSets.
            wake: asks for a look at a demo in so many seconds, see `reconcile`.
            wake_to_tell: asks that its status be written in so many seconds, see `tell`.
            now: the time of day.
            clock: the event loop's time, in seconds.
            password: makes one that nobody has had before.
        """
        self._cache = cache
        self._wake = wake
        self._wake_to_tell = wake_to_tell
        self._settings = settings
        self._stories = stories
        self._now = now
        self._clock = clock
        self._quota = Quota(settings, cache, wake)
        self._applier = Applier(cluster, cache, clock, password)
        self._gatherer = Gatherer(
            cluster, cache, surveyor=surveyor, discoverer=discoverer, registrar=registrar, now=now
        )
        self._announcer = Announcer(courier, now)
        interval = settings.status_interval_seconds
        self._teller = Teller(cluster, cache, interval=interval, now=now, clock=clock)
        self._memories: dict[DemoKey, Memory] = defaultdict(Memory)

    async def reconcile(self, key: DemoKey) -> float | None:
        """Look at a demo; gives the seconds until it should be looked at again, or None.

        Raises:
            ClusterError: something could not be done now; it stands on the status too, if that
                could be written.
        """
        body = self._cache.demo(key)
        if body is None or "deletionTimestamp" in body["metadata"]:
            await self._say_farewell(key)
            return None
        if self._memories[key].demo_uid not in (None, body["metadata"]["uid"]):
            # A namesake took its place between two looks: it has nothing of it yet.
            await self._say_farewell(key)
        memory = self._memories[key]
        if memory.leave_until > self._clock():
            return memory.leave_until - self._clock()
        try:
            return await self._look(body, memory)
        except NotFoundError as error:
            await self._leave(key, body["metadata"]["uid"], memory, error)
            return _GOING_PAUSE

    async def _say_farewell(self, key: DemoKey) -> None:
        """The demo is gone or going: forget it, and tell which claims it leaves behind."""
        self._quota.leave(key)
        memory = self._memories.pop(key, None)
        if memory is None or memory.demo_uid is None:
            return
        self._announcer.leave(memory.demo_uid)
        self._gatherer.leave(key)
        claims = self._applier.retained_claims(memory.demo_uid) if memory.retained else []
        if claims:
            metadata = {"name": key.name, "namespace": key.namespace, "uid": memory.demo_uid}
            with suppress(NotFoundError):  # the namespace goes too, with all claims
                await self._teller.post(metadata, claims_kept(memory.demo_uid, claims))

    async def tell(self, key: DemoKey) -> float | None:
        """Write the status of a demo as it was last seen; gives the seconds to wait with that.

        Raises:
            ClusterError: it could not be written now.
        """
        memory = self._memories.get(key)
        if memory is None or memory.draft is None:
            return None
        early = self._teller.early(memory)
        if early > 0:
            return early
        draft, memory.draft = memory.draft, None
        try:
            is_told = not self._teller.is_old(draft) and await self._teller.tell(draft, memory)
        except NotFoundError as error:
            await self._leave(key, draft.metadata["uid"], memory, error)
            self._wake(key, _GOING_PAUSE)
            return None
        except ClusterError:
            memory.draft = memory.draft or draft
            raise
        if is_told:
            self._forget(draft, memory)
        # What was seen while this was written was seen beside a status that is old now.
        if memory.draft is not None or not is_told:
            memory.draft = None
            self._wake(key, 0.0 if is_told or self._teller.is_old(draft) else _CONFLICT_PAUSE)
        return None

    async def _leave(self, key: DemoKey, uid: str, memory: Memory, error: NotFoundError) -> None:
        """The demo or its namespace is going; what is left of it goes with it."""
        logger.info("%s: %s", key, error)
        memory.leave_until = self._clock() + _GOING_PAUSE
        await self._applier.let_go(uid, key.namespace)

    async def _look(self, body: dict[str, Any], memory: Memory) -> float | None:
        metadata = body["metadata"]
        try:
            self._quota.claim(DemoKey(metadata["namespace"], metadata["name"]), metadata["uid"])
            demo = parse(body)
        except InvalidSpecError as error:
            told = parse_status(body)
            status = invalid_status(told, metadata["generation"], error, self._now())
            self._offer(Draft(metadata=metadata, told=told, status=status), memory)
            return None
        return await self._carry_out(demo, metadata, memory)

    async def _carry_out(
        self, demo: WorkshopDemo, metadata: dict[str, Any], memory: Memory
    ) -> float | None:
        memory.demo_uid = demo.uid
        stateful = demo.spec.stateful_set
        memory.retained = stateful is not None and stateful.retain
        uids = {child.name: child.uid for child in self._cache.children(demo.uid, "CronJob")}
        look = Look(demo, build(demo, self._settings, uids), memory)
        await self._applier.apply(look)
        await self._applier.prune(look)
        jobs = await self._gatherer.of_jobs(look)
        cron_jobs = await self._gatherer.of_cron_jobs(look)
        log_shipping = await self._gatherer.of_log_shipping(look)
        discovery = await self._gatherer.of_service_discovery(look)
        stateful_set = await self._gatherer.of_stateful_set(look)
        for event in look.events:
            await self._teller.post(metadata, event)
        story = self._story(demo, look.plan)
        now = self._now()
        seen = observe(
            demo,
            jobs,
            cron_jobs,
            now,
            log_shipping,
            discovery_facts=discovery,
            stateful_set_facts=stateful_set,
        )
        memory.shipping = seen.log_shipping
        seen, notifications = self._announcer.announce(demo, seen)
        draft = Draft(
            metadata=metadata,
            told=demo.status,
            status=status_of(demo, seen, notifications, story, self._now()),
            ended=tuple(job.uid for known in cron_jobs.values() for job in known.removed),
            gone=memory.gone(self._cache.uids(demo.uid)),
        )
        self._offer(draft, memory)
        look.raise_if_retriable()
        waits = [look.look_again]
        if seen.recheck is not None:
            waits.append(max((seen.recheck - self._now()).total_seconds(), 0.0))
        return min((wait for wait in waits if wait is not None), default=None)

    def _offer(self, draft: Draft, memory: Memory) -> None:
        """Have the status written, if it is news."""
        if draft.status == draft.told:
            memory.draft = None
            self._forget(draft, memory)
            return
        memory.draft = draft
        metadata = draft.metadata
        key = DemoKey(metadata["namespace"], metadata["name"])
        self._wake_to_tell(key, max(self._teller.early(memory), _TELLING_PAUSE))

    def _forget(self, draft: Draft, memory: Memory) -> None:
        """Everything that the draft tells stands on the status now."""
        self._cache.forget_buried(draft.metadata["uid"], draft.ended)
        memory.forget(draft.gone)

    def _story(self, demo: WorkshopDemo, plan: Plan) -> list[Story]:
        """The story of each concept shown, told by the first entry that shows it."""
        shown: dict[str, dict[str, str]] = {}
        for job in demo.spec.jobs:
            shown.setdefault(scenario_of(job).story, {"job": plan.jobs[job.name]})
        for entry in demo.spec.cron_jobs:
            places = {"cronjob": plan.cron_jobs[entry.name]}
            shown.setdefault(cron_scenario_of(entry).story, places)
        if plan.node_agent is not None:
            shown["daemonset"] = {"daemonset": plan.node_agent, "component": NODE_AGENT}
        if plan.log_shipping is not None:
            places = {"daemonset": plan.log_shipping.shipper, "component": SHIPPER}
            shown["daemonset"] = places
        if plan.stateful_set is not None:
            shown["statefulset"] = {
                "statefulset": plan.stateful_set.stateful_set,
                "service": plan.stateful_set.stateful_set,
                "members": plan.stateful_set.members,
            }
        common = {"namespace": demo.namespace, "demo": demo.name}
        return [self._stories[key].short(common | places) for key, places in shown.items()]
