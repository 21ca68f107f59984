"""Composition root: builds everything, wires it together, runs it until it is told to stop."""

import asyncio
import logging
import random
import secrets
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import kopf

from workshopdemo import handlers, names, rollcall, story
from workshopdemo.addressbook import AddressBook
from workshopdemo.agents import Agents
from workshopdemo.aggregator import Aggregator
from workshopdemo.cluster import Cache
from workshopdemo.cluster.access import obstacles
from workshopdemo.cluster.api import ApiServer
from workshopdemo.cluster.port import Cluster
from workshopdemo.courier import Courier, LineKey
from workshopdemo.discoverer import Discoverer
from workshopdemo.errors import ClusterError
from workshopdemo.facts import WATCHED
from workshopdemo.ledger import Ledger
from workshopdemo.members import Members
from workshopdemo.metrics import Metrics, Sources
from workshopdemo.names import DemoKey
from workshopdemo.notify.guard import Guard
from workshopdemo.notify.resolver import SystemResolver
from workshopdemo.notify.sender import TOTAL_SECONDS, Sender
from workshopdemo.notify.wire import TargetKind, TryState
from workshopdemo.probes import Probes
from workshopdemo.queue import WorkQueue
from workshopdemo.reconcile import Reconciler
from workshopdemo.registrar import Registrar
from workshopdemo.settings import Settings
from workshopdemo.surroundings import Surroundings
from workshopdemo.surveyor import Surveyor
from workshopdemo.watchdog import SILENCE, Watchdog
from workshopdemo.watches import Watches

logger = logging.getLogger(__name__)

_STALLED_AFTER: Final = 120.0
"""Seconds without any progress, although something is due, after which the operator is dead."""

_TELLING: Final = 4
"""Statuses that are written at the same time: they may wait, who is to be notified may not."""

_LINES: Final = 2000
"""Lines of notifications that are served at the same time. One that waits for a slow receiver costs
next to nothing; one that waits for its turn would be delayed by those who are slow."""

LAST_POST: Final = TOTAL_SECONDS + 5.0
"""Seconds that messages under way have to end when the operator is told to stop, and to be noted.
The chart gives its Pod a little more."""

_SURVEYS: Final = 8
"""Demos whose lines are counted at the same time; as many whose agents and whose members are
asked."""

_PASSWORD_BYTES: Final = 24
"""Of a database's passwords: nobody types them, and nobody guesses 192 bits."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_KIND_PAUSE: Final = 1.0
_OBSTRUCTED_PAUSE: Final = 15.0
_CLEAR_PAUSE: Final = 600.0


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    operator = _Operator(settings)
    await operator.probes.start(settings.probe_port)
    try:
        await operator.run()
    finally:
        await operator.close()


class _Operator:
    """The whole of it."""

    def __init__(self, settings: Settings) -> None:
        clock, rng = asyncio.get_running_loop().time, random.Random()  # noqa: S311 - for jitter
        self._settings = settings
        self._metrics = Metrics()
        self._cluster = ApiServer(self._metrics.answered)
        self._cache = Cache()
        self._queue: WorkQueue[DemoKey] = WorkQueue(
            clock=clock, rng=rng, ended=self._metrics.looked
        )
        self._telling: WorkQueue[DemoKey] = WorkQueue(clock=clock, rng=rng)
        self._queues = {"looks": self._queue, "statuses": self._telling}
        self._watches = Watches(settings.namespaces, clock)
        self._watchdog = Watchdog(
            cluster=self._cluster,
            cache=self._cache,
            watches=self._watches,
            wake=self._queue.wake,
            pause=settings.resync_seconds,
            clock=clock,
        )
        self._post = _PostOffice(
            cluster=self._cluster,
            cache=self._cache,
            queue=self._queue,
            settings=settings,
            tried=self._metrics.tried,
            rng=rng,
        )
        self._census = _Census(self._cluster, self._queue, rng)
        self._reconciler = self._make_reconciler()
        self._problems: list[str] = ["the operator is starting"]
        self._metrics.read_from(self._sources())
        self.probes = Probes(
            alive=self._ailments, ready=lambda: self._problems, scrape=self._metrics.scrape
        )

    def _make_reconciler(self) -> Reconciler:
        return Reconciler(
            cluster=self._cluster,
            cache=self._cache,
            settings=self._settings,
            stories=story.load(),
            courier=self._post.courier,
            surveyor=self._census.surveyor,
            discoverer=self._census.discoverer,
            registrar=self._census.registrar,
            wake=self._queue.wake,
            wake_to_tell=self._telling.wake,
            now=_now,
            clock=asyncio.get_running_loop().time,
            password=_password,
        )

    def _sources(self) -> Sources:
        own = {name: queue.backlog for name, queue in self._queues.items()}
        return Sources(
            phases=self._cache.phases,
            backlogs=own | self._post.backlogs | self._census.backlogs,
            ages=self._watches.ages,
        )

    def _ailments(self) -> list[str]:
        """What a new start would heal."""
        return _standstills(self._queues) + self._watchdog.dead()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        cluster, settings = self._cluster, self._settings
        async with asyncio.TaskGroup() as tasks:
            # If one of these fails, the group stops the others and the process ends: Kubernetes
            # starts it again, which is better than to go on without it.
            looking = [
                tasks.create_task(
                    self._queue.run(self._reconciler.reconcile, settings.concurrency)
                ),
                tasks.create_task(self._telling.run(self._reconciler.tell, _TELLING)),
            ]
            others = [
                tasks.create_task(_watch_access(cluster, settings, self._problems)),
                tasks.create_task(self._post.run()),
                tasks.create_task(self._census.run()),
            ]
            if await _await_kind(cluster):
                # Before there are watches, none is dead: a new start would wait for the kind too.
                looking += [
                    tasks.create_task(self._open()),
                    tasks.create_task(self._watchdog.run()),
                ]
                await _run_kopf(settings, self._cache, self._watches, self._queue)
                # No watch tells them any more what has changed, and the next operator may be there.
                for task in looking:
                    task.cancel()
                await self._post.finish()
            for task in (*looking, *others):
                task.cancel()

    async def _open(self) -> None:
        """Begin to look at demos when the watches have told of all that there is."""
        await rollcall.await_all(self._cluster, list(self._watches))
        self._cache.is_complete = True
        for key in self._cache.demos():
            self._queue.wake(key)

    async def close(self) -> None:
        """Let go of connections and threads, and answer no probes any more."""
        await self.probes.stop()
        await self._post.close()
        await self._census.close()
        await self._cluster.close()


def _standstills(queues: Mapping[str, WorkQueue[DemoKey]]) -> list[str]:
    return [
        f"the queue of {what} stands still"
        for what, queue in queues.items()
        if queue.is_stalled(_STALLED_AFTER)
    ]


def _now() -> datetime:
    return datetime.now(UTC)


def _password() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)


class _PostOffice:
    """All that sends notifications."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        queue: WorkQueue[DemoKey],
        settings: Settings,
        tried: Callable[[TargetKind, TryState], None],
        rng: random.Random,
    ) -> None:
        clock = asyncio.get_running_loop().time
        self._lines: WorkQueue[LineKey] = WorkQueue(clock=clock, rng=rng)
        self.backlogs = {"notifications": self._lines.backlog}
        self._surroundings = Surroundings(cluster, settings.api_host)
        self._resolver = SystemResolver()
        guard = Guard(
            allowed=settings.allowed_hosts,
            inbox_url=settings.inbox_url,
            forbidden=self._surroundings.addresses,
            resolve=self._resolver,
            clock=clock,
        )
        self._sender = Sender(guard, now=_now)
        self.courier = Courier(
            queue=self._lines,
            book=AddressBook(cluster, settings),
            ledger=Ledger(cluster, cache),
            sender=self._sender,
            # Outside a cluster each process is an operator of its own.
            identity=settings.identity or uuid.uuid4().hex,
            tried=tried,
            wake=queue.wake,
            clock=clock,
            now=_now,
            rng=rng,
        )

    async def run(self) -> None:
        """Send until cancelled; nothing before it is known where nothing may be sent."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._surroundings.watch())
            await self._surroundings.known.wait()
            await self._lines.run(self.courier.serve, _LINES)

    async def finish(self) -> None:
        """Before a stop: have what is being sent end and be noted, or it would be sent again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_POST):
                await self.courier.finish()

    async def close(self) -> None:
        """Let go of connections and threads."""
        await self._sender.close()
        self._resolver.close()


class _Census:
    """All that asks what runs in demos: lines of logs are counted, agents and members heard."""

    def __init__(self, cluster: Cluster, queue: WorkQueue[DemoKey], rng: random.Random) -> None:
        clock = asyncio.get_running_loop().time
        self._surveys: WorkQueue[DemoKey] = WorkQueue(clock=clock, rng=rng)
        self._rounds: WorkQueue[DemoKey] = WorkQueue(clock=clock, rng=rng)
        self._hearings: WorkQueue[DemoKey] = WorkQueue(clock=clock, rng=rng)
        self.backlogs = {
            "surveys": self._surveys.backlog,
            "rounds": self._rounds.backlog,
            "hearings": self._hearings.backlog,
        }
        self._aggregator = Aggregator()
        self._agents = Agents()
        self._members = Members()
        self.registrar = Registrar(
            queue=self._hearings, members=self._members, wake=queue.wake, now=_now
        )
        self.discoverer = Discoverer(
            queue=self._rounds,
            cluster=cluster,
            agents=self._agents,
            wake=queue.wake,
            clock=clock,
            now=_now,
        )
        self.surveyor = Surveyor(
            queue=self._surveys,
            cluster=cluster,
            counter=self._aggregator,
            wake=queue.wake,
            clock=clock,
            now=_now,
        )

    async def run(self) -> None:
        """Ask until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._surveys.run(self.surveyor.serve, _SURVEYS))
            tasks.create_task(self._rounds.run(self.discoverer.serve, _SURVEYS))
            tasks.create_task(self._hearings.run(self.registrar.serve, _SURVEYS))

    async def close(self) -> None:
        """Let go of connections."""
        await self._aggregator.close()
        await self._agents.close()
        await self._members.close()


async def _await_kind(cluster: Cluster) -> bool:
    """Wait until the API server tells of our kind; False if the operator is told to stop first.

    kopf looks for its kinds when it starts and with each change of a CRD, and may look a moment
    before the API server's discovery tells of a new one: it would then wait for ever.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    try:
        while not stopped.is_set():
            with suppress(ClusterError):  # it is told by _watch_access
                if await cluster.serves_demos():
                    return True
            with suppress(TimeoutError):
                async with asyncio.timeout(_KIND_PAUSE):
                    await stopped.wait()
        return False
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _run_kopf(
    settings: Settings, cache: Cache, watches: Watches, queue: WorkQueue[DemoKey]
) -> None:
    registry = kopf.OperatorRegistry()
    kind_gone = asyncio.Event()
    handlers.register(registry, cache, watches, queue, kind_gone)

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    await kopf.operator(
        registry=registry,
        settings=_kopf_settings(),
        standalone=True,
        stop_flag=kind_gone,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
    )
    if kind_gone.is_set():
        # A kind that comes again is looked for as at the first start, see _await_kind; Kubernetes
        # starts the process anew.
        logger.error("the kind %s was removed from the cluster: starting again", names.KIND)


class _Backoffs:
    """Pauses between tries of kopf's own requests: growing to a quarter of a minute,
    and no end.

    With an end, a watch that was refused for a minute would take the whole operator down. Each
    try is logged as an error, so nothing is retried unseen.
    """

    def __iter__(self) -> Iterator[float]:
        pause = 1.0
        while True:
            yield pause
            pause = min(pause * 2, 15.0)


class _NoDiffBase(kopf.DiffBaseStorage):
    """No last-handled state: only handlers of changes ask for it, and we have none.

    kopf builds it for each event all the same, by deep copies of the object: a third of its time.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept."""


class _NoProgress(kopf.ProgressStorage):
    """No handler is tried again by kopf: our queue does that."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        """Nothing is kept."""

    def purge(self, **_: Any) -> None:
        """Nothing was kept."""

    def touch(self, **_: Any) -> None:
        """Nothing is touched."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.networking.error_backoffs = _Backoffs()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = SILENCE
    # All kinds are listed at once, and whole objects take ten times the memory of what is kept.
    settings.watching.chunk_size = 100
    settings.posting.enabled = False
    # A worker keeps the last event of its object, whole, until it has been idle for so long.
    settings.queueing.idle_timeout = 0.2
    for resource, labels, fields, _ in WATCHED.values():
        if labels:
            settings.watching.label_selectors[resource] = labels
        if fields:
            settings.watching.field_selectors[resource] = fields
    return settings


async def _watch_access(cluster: Cluster, settings: Settings, problems: list[str]) -> None:
    """Keep `problems` true: what the operator lacks, told in its log and by its readiness."""
    while True:
        found = await obstacles(cluster, settings.namespaces)
        if found != problems:
            for sentence in found:
                logger.error("%s", sentence)
            if not found:
                logger.info("all that is needed is there: serving")
            problems[:] = found
        await asyncio.sleep(_OBSTRUCTED_PAUSE if found else _CLEAR_PAUSE)
