"""Composition root: builds everything, wires it together, runs it until it is told to stop."""

import asyncio
import logging
import random
import secrets
import signal
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import kopf

from workshopdemo import handlers, names, story
from workshopdemo.addressbook import AddressBook
from workshopdemo.agents import Agents
from workshopdemo.aggregator import Aggregator
from workshopdemo.cluster import Cache
from workshopdemo.cluster.access import obstacles
from workshopdemo.cluster.api import ApiServer
from workshopdemo.cluster.port import Cluster
from workshopdemo.courier import Courier, LineKey
from workshopdemo.discoverer import Discoverer
from workshopdemo.errors import ClusterError, DeadWatchError
from workshopdemo.facts import CHILD_KINDS
from workshopdemo.ledger import Ledger
from workshopdemo.members import Members
from workshopdemo.names import DemoKey
from workshopdemo.notify.guard import Guard
from workshopdemo.notify.resolver import SystemResolver
from workshopdemo.notify.sender import TOTAL_SECONDS, Sender
from workshopdemo.probes import Probes
from workshopdemo.queue import WorkQueue
from workshopdemo.reconcile import Reconciler
from workshopdemo.registrar import Registrar
from workshopdemo.settings import Settings
from workshopdemo.surroundings import Surroundings
from workshopdemo.surveyor import Surveyor

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
_WATCH_LAG: Final = 20.0
_OBSTRUCTED_PAUSE: Final = 15.0
_CLEAR_PAUSE: Final = 600.0


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    cluster = ApiServer()
    cache = Cache()
    rng = random.Random()  # noqa: S311 - for jitter
    queue: WorkQueue[DemoKey] = WorkQueue(clock=loop.time, rng=rng)
    telling: WorkQueue[DemoKey] = WorkQueue(clock=loop.time, rng=rng)
    post = _PostOffice(cluster, cache, queue, settings, rng)
    census = _Census(cluster, queue, rng)
    reconciler = Reconciler(
        cluster=cluster,
        cache=cache,
        settings=settings,
        stories=story.load(),
        courier=post.courier,
        surveyor=census.surveyor,
        discoverer=census.discoverer,
        registrar=census.registrar,
        wake=queue.wake,
        wake_to_tell=telling.wake,
        now=_now,
        clock=loop.time,
        password=_password,
    )
    problems: list[str] = ["the operator is starting"]
    probes = Probes(
        alive=lambda: _standstills({"looks": queue, "statuses": telling}),
        ready=lambda: problems,
    )
    await probes.start(settings.probe_port)
    try:
        async with asyncio.TaskGroup() as tasks:
            # If one of these fails, the group stops the others and the process ends: Kubernetes
            # starts it again, which is better than to go on without it.
            background = [
                tasks.create_task(queue.run(reconciler.reconcile, settings.concurrency)),
                tasks.create_task(telling.run(reconciler.tell, _TELLING)),
                tasks.create_task(_resync(cluster, cache, queue, settings)),
                tasks.create_task(_watch_access(cluster, settings, problems)),
                tasks.create_task(post.run()),
                tasks.create_task(census.run()),
            ]
            if await _await_kind(cluster):
                await _run_kopf(settings, cache, queue)
                await post.finish()
            for task in background:
                task.cancel()
    finally:
        await probes.stop()
        await post.close()
        await census.close()
        await cluster.close()


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
        cluster: Cluster,
        cache: Cache,
        queue: WorkQueue[DemoKey],
        settings: Settings,
        rng: random.Random,
    ) -> None:
        clock = asyncio.get_running_loop().time
        self._lines: WorkQueue[LineKey] = WorkQueue(clock=clock, rng=rng)
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
        self._aggregator = Aggregator()
        self._hearings: WorkQueue[DemoKey] = WorkQueue(clock=clock, rng=rng)
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


async def _run_kopf(settings: Settings, cache: Cache, queue: WorkQueue[DemoKey]) -> None:
    registry = kopf.OperatorRegistry()
    kind_gone = asyncio.Event()
    handlers.register(registry, cache, queue, kind_gone)

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
    settings.watching.chunk_size = 500
    settings.posting.enabled = False
    settings.watching.field_selectors[handlers.CRDS] = f"metadata.name={names.CRD_NAME}"
    for group, version, plural in CHILD_KINDS.values():
        settings.watching.label_selectors[group, version, plural] = ",".join(names.CHILD_LABELS)
    return settings


async def _resync(
    cluster: Cluster, cache: Cache, queue: WorkQueue[DemoKey], settings: Settings
) -> None:
    """Look at everything now and then, and forget children that went while a watch was broken."""
    while True:
        await asyncio.sleep(settings.resync_seconds)
        with suppress(ClusterError):  # it is told by _watch_access, and tried again
            await require_watch(cluster, cache, settings)
            if not cache.is_complete:
                continue
            for kind in CHILD_KINDS:
                await _forget_vanished(cluster, cache, queue, settings, kind)
            nodes = cache.nodes()
            listed = {node["metadata"]["name"] async for node in cluster.list_nodes()}
            cache.forget_unlisted_nodes(nodes, listed)
            for key in cache.demos():
                queue.wake(key)


async def require_watch(cluster: Cluster, cache: Cache, settings: Settings) -> None:
    """Make sure that the watch on demos is alive.

    Raises:
        DeadWatchError: a demo has been there for longer than a watch may lag, and is not known.
    """
    listed = [
        body["metadata"]
        for namespace in settings.namespaces or (None,)
        async for body in cluster.list_demos(namespace)
    ]
    await asyncio.sleep(_WATCH_LAG)
    for metadata in listed:
        key = DemoKey(metadata["namespace"], metadata["name"])
        if cache.demo(key) is None and not await _is_gone(cluster, key):
            raise DeadWatchError(f"{key} is there, and no watch has told of it: starting again")


async def _is_gone(cluster: Cluster, key: DemoKey) -> bool:
    names_left = [body["metadata"]["name"] async for body in cluster.list_demos(key.namespace)]
    return key.name not in names_left


async def _forget_vanished(
    cluster: Cluster, cache: Cache, queue: WorkQueue[DemoKey], settings: Settings, kind: str
) -> None:
    known = cache.all_children(kind)
    listed = {
        body["metadata"]["uid"]
        for namespace in settings.namespaces or (None,)
        async for body in cluster.list_children(kind, namespace)
    }
    for key in cache.forget_unlisted(known, listed):
        queue.wake(key)


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
