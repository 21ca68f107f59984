"""The operator's whole way from a Job's end to a receiver, in memory and without waiting."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from support import NOW, SETTINGS, FakeCluster, FakeTimeLoop, condition
from workshopdemo import names, story
from workshopdemo.addressbook import AddressBook
from workshopdemo.cluster import Cache
from workshopdemo.courier import Courier, LineKey
from workshopdemo.errors import RefusedAddressError
from workshopdemo.ledger import Ledger
from workshopdemo.names import DemoKey
from workshopdemo.notify.wire import Answer, HttpRequest, TargetKind
from workshopdemo.queue import WorkQueue
from workshopdemo.reconcile import Reconciler

OK = Answer(code=200, body="ok")
WEBHOOK = {"name": "hook", "inbox": {"dialect": "Webhook"}}
SLACK = {"name": "team", "inbox": {"dialect": "Slack"}}
ALERTS = {"name": "alerts", "inbox": {"dialect": "Alertmanager"}}
INBOX = "http://inbox.test"


async def look_and_tell(reconciler: Reconciler, key: DemoKey) -> float | None:
    """Look at a demo, and write the status that comes of it."""
    try:
        again = await reconciler.reconcile(key)
    finally:
        early = await reconciler.tell(key)
    return min((wait for wait in (again, early) if wait is not None), default=None)


def settle(cluster: FakeCluster, look: Callable[[], object]) -> None:
    """Look until nothing is written any more."""
    for _ in range(5):
        before = len(cluster.writes)
        look()
        if len(cluster.writes) == before:
            return
    raise AssertionError("it never comes to rest")


class SilentCourier:
    """A courier for demos that tell nobody."""

    def offer(self, *_: Any) -> None:
        raise AssertionError("nobody is to be told")

    def leave(self, _: str) -> None:
        """Nothing to end."""


class NoSurveyor:
    """A surveyor for demos that ship no logs."""

    def offer(self, _: DemoKey, order: Any) -> None:
        assert order is None, "nothing is to be counted"


class NoDiscoverer(NoSurveyor):
    """A discoverer for demos without agents."""


class NoRegistrar(NoSurveyor):
    """A registrar for demos without a StatefulSet."""


def password() -> str:
    """For tests that look for it where it must not be."""
    return "a-made-password"


@dataclass
class Arrival:
    """A request at the receiver."""

    at: float
    url: str
    body: Any
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return json.dumps(self.body)


@dataclass
class Receiver:
    """Stands in for the sender: what arrives, and what is answered."""

    clock: Callable[[], float]
    arrivals: list[Arrival] = field(default_factory=list)
    answer: Callable[[Arrival], Answer] = lambda _: OK
    delay: float = 0.0
    refusal: str | None = None

    async def post(
        self,
        request: HttpRequest,
        *,
        kind: TargetKind,
        ca: str | None = None,
        reveal_host: bool = False,
    ) -> list[Answer]:
        if self.refusal is not None:
            raise RefusedAddressError(self.refusal)
        arrival = Arrival(
            self.clock(), request.url, json.loads(request.body), dict(request.headers)
        )
        self.arrivals.append(arrival)
        await asyncio.sleep(self.delay)
        return [self.answer(arrival)]

    async def check(self, url: str, kind: TargetKind, *, reveal_host: bool = False) -> None:
        if self.refusal is not None:
            raise RefusedAddressError(self.refusal)

    def to(self, target: str) -> list[Arrival]:
        return [
            arrival for arrival in self.arrivals if f"/{target}" in arrival.url.replace("?", "/")
        ]


class Operator:
    """One process of the operator."""

    def __init__(self, office: "Office", identity: str) -> None:
        loop = office.loop
        self.cache = Cache()
        self.office = office
        rng = random.Random(7)
        self.queue: WorkQueue[DemoKey] = WorkQueue(clock=loop.time, rng=rng)
        self.telling: WorkQueue[DemoKey] = WorkQueue(clock=loop.time, rng=rng)
        self.lines: WorkQueue[LineKey] = WorkQueue(clock=loop.time, rng=rng)
        cluster: Any = office.cluster.seen_by(self.cache)
        settings = replace(SETTINGS, inbox_url=INBOX, status_interval_seconds=1.0)
        self.courier = Courier(
            tried=lambda kind, state: office.tries.append((kind, state)),
            queue=self.lines,
            book=AddressBook(cluster, settings),
            ledger=Ledger(cluster, self.cache),
            sender=office.receiver,  # type: ignore[arg-type]
            identity=identity,
            wake=self.queue.wake,
            clock=loop.time,
            now=office.now,
            rng=rng,
        )
        self.reconciler = Reconciler(
            cluster=cluster,
            cache=self.cache,
            settings=settings,
            stories=story.load(),
            courier=self.courier,
            surveyor=NoSurveyor(),  # type: ignore[arg-type]
            discoverer=NoDiscoverer(),  # type: ignore[arg-type]
            registrar=NoRegistrar(),  # type: ignore[arg-type]
            wake=self.queue.wake,
            wake_to_tell=self.telling.wake,
            now=office.now,
            clock=loop.time,
            password=password,
        )
        self.tasks = [
            loop.create_task(self.queue.run(self.reconciler.reconcile, 4)),
            loop.create_task(self.telling.run(self.reconciler.tell, 4)),
            loop.create_task(self.lines.run(self.courier.serve, 100)),
        ]

    def stop(self) -> None:
        """Tell it to stop, as Kubernetes does before it replaces a Pod."""
        self.office.loop.run_until_complete(self.courier.finish())
        self.kill()

    def kill(self) -> None:
        """End the process, wherever it stands."""
        self.office.cluster.watchers.remove(self.cache)
        for task in self.tasks:
            task.cancel()
        self.office.loop.run_until_complete(asyncio.gather(*self.tasks, return_exceptions=True))


class WatchedCluster(FakeCluster):
    """A cluster that tells every operator's watch of every change."""

    def __init__(self) -> None:
        super().__init__(Cache())
        self.watchers: list[Cache] = []
        self.wakes: list[Callable[[], None]] = []

    def seen_by(self, cache: Cache) -> "WatchedCluster":
        self.watchers.append(cache)
        for body in self.demos.values():
            cache.put_demo(body)
        for (kind, _, _), body in self.objects.items():
            if kind != "Secret":
                cache.put_child(kind, body)
        return self

    def version(self) -> str:
        """The next resourceVersion."""
        return self._next()

    def tell(self) -> None:
        """Bring every watch up to date."""
        for cache in self.watchers:
            for body in self.demos.values():
                cache.put_demo(json.loads(json.dumps(body)))
            for (kind, _, _), body in self.objects.items():
                if kind != "Secret":
                    cache.put_child(kind, json.loads(json.dumps(body)))

    def forget(self, kind: str, body: dict[str, Any]) -> None:
        """An object goes, and every watch tells of it."""
        metadata = body["metadata"]
        del self.objects[kind, metadata["namespace"], metadata["name"]]
        for cache in self.watchers:
            cache.bury_child(kind, body)


class Office:
    """A cluster, a receiver, and as many operators as one likes."""

    def __init__(self) -> None:
        self.loop = FakeTimeLoop()
        self.start = self.loop.time()
        self.cluster = WatchedCluster()
        self.receiver = Receiver(self.loop.time)
        self.operators: list[Operator] = []
        self.tries: list[tuple[str, str]] = []
        """Kind of target and end of each try, as metrics hear of them."""

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.loop.time() - self.start)

    def open(self, identity: str = "operator-a") -> Operator:
        operator = Operator(self, identity)
        self.operators.append(operator)
        self.wake()
        return operator

    def kill(self) -> None:
        for operator in self.operators:
            operator.kill()
        self.operators.clear()

    def stop(self) -> None:
        for operator in self.operators:
            operator.stop()
        self.operators.clear()

    def close(self) -> None:
        self.kill()
        self.loop.close()

    def wake(self) -> None:
        """Something happened: every watch tells, every operator looks."""
        self.cluster.tell()
        for operator in self.operators:
            for key in self.cluster.demos:
                operator.queue.wake(key)

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Time passes; watches tell all the while."""
        end = self.loop.time() + seconds
        while end - self.loop.time() > 1e-6:
            self.wake()
            self.loop.run_until_complete(asyncio.sleep(min(step, end - self.loop.time())))

    def pass_moments(self, count: int) -> None:
        """The loop turns so often, and no time passes."""

        async def turn() -> None:
            for _ in range(count):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())

    def status(self, key: DemoKey) -> dict[str, Any]:
        return self.cluster.status(key)

    def told(self, key: DemoKey) -> dict[str, Any]:
        return dict(self.status(key).get("notifications") or {})

    def end(self, entry: str, kind: str, reason: str = "", run: int = 1) -> dict[str, Any]:
        """A Job ends, now."""
        job = self.cluster.job(entry, run)
        at = self.loop.time() - self.start
        default = "CompletionsReached" if kind == "Complete" else "BackoffLimitExceeded"
        self.cluster.finish(job, kind, reason or default, at)
        self.wake()
        return job

    def run(
        self, entry: str, kind: str, *, minute: int | None = None, reason: str = ""
    ) -> dict[str, Any]:
        """A CronJob's run of that minute, or the next, ends now; no watch tells of it yet."""
        (cron_job,) = (
            body
            for body in self.cluster.all_of("CronJob")
            if body["metadata"]["labels"][names.CRON_JOB_LABEL] == entry
        )
        at = self.loop.time() - self.start
        scheduled = NOW + timedelta(minutes=int(at // 60) if minute is None else minute)
        name = f"{cron_job['metadata']['name']}-{int(scheduled.timestamp()) // 60}"
        cron_job["status"] = {"lastScheduleTime": f"{scheduled:%Y-%m-%dT%H:%M:%SZ}"}
        default = "CompletionsReached" if kind == "Complete" else "BackoffLimitExceeded"
        job = {
            "metadata": {
                "name": name,
                "namespace": "workshop",
                "uid": f"uid-{name}",
                "creationTimestamp": f"{scheduled:%Y-%m-%dT%H:%M:%SZ}",
                "labels": dict(cron_job["metadata"]["labels"]),
                "annotations": {
                    "batch.kubernetes.io/cronjob-scheduled-timestamp": scheduled.isoformat()
                },
                "ownerReferences": [{"uid": cron_job["metadata"]["uid"], "controller": True}],
            },
            "spec": {},
            "status": {
                "startTime": f"{scheduled:%Y-%m-%dT%H:%M:%SZ}",
                "conditions": [condition(kind, reason or default, at)],
            },
        }
        cron_job["metadata"]["resourceVersion"] = self.cluster.version()
        job["metadata"]["resourceVersion"] = self.cluster.version()
        self.cluster.objects["Job", "workshop", name] = job
        return job

    def secret(self, name: str, version: str = "1", **data: str) -> None:
        import base64  # noqa: PLC0415

        self.cluster.objects["Secret", "workshop", name] = {
            "metadata": {
                "name": name,
                "namespace": "workshop",
                "uid": f"uid-{name}",
                "resourceVersion": version,
            },
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
        }


def outcomes(arrivals: Sequence[Arrival]) -> list[str]:
    """What a webhook was told: type and entry."""
    return [f"{one.body['type']} {one.body['subject']}" for one in arrivals]
