"""A whole run, from an empty cluster to the last line: what a class sees of it, and how often."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import pytest

from logshipping import node_body, part_body
from office import NoDiscoverer, NoRegistrar, SilentCourier, password
from support import NOW, SETTINGS, FakeCluster, FakeTimeLoop, demo_body
from workshopdemo import story
from workshopdemo.cluster import Cache
from workshopdemo.errors import AggregatorError
from workshopdemo.logsql import SeriesCount
from workshopdemo.names import DemoKey
from workshopdemo.queue import WorkQueue
from workshopdemo.reconcile import Reconciler
from workshopdemo.surveyor import Surveyor

LINES = 1000
RATE = 20


@dataclass
class Writer:
    """A start of an emitter."""

    pod: str
    series: str
    begin: float
    end: float = float("inf")
    run: int = 1
    rate: int = RATE
    """Lines a second."""

    lost: frozenset[int] = frozenset()

    def written(self, at: float) -> int:
        passed = min(at, self.end) - self.begin
        return max(min(LINES, int(passed * self.rate)), 0)


class Plant(FakeCluster):
    """A cluster whose emitters write, and whose lines arrive."""

    def __init__(self, nodes: int) -> None:
        super().__init__(Cache())
        self.loop = FakeTimeLoop()
        self.start = self.loop.time()
        self.nodes = [f"worker-{at}" for at in range(nodes)]
        self.writers: dict[str, list[Writer]] = {}
        self.delay = 1.5
        self.away_from = self.away_until = float("-inf")
        self.history: list[tuple[float, dict[str, Any]]] = []
        self.questions = self.kubelet_questions = 0
        self.serials = iter(range(1, 10**6))
        self.open()

    # One process of the operator.

    def open(self) -> None:
        cache = self.cache = Cache()
        for name in self.nodes:
            cache.put_node(node_body(name))
        for body in self.demos.values():
            cache.put_demo(body)
        for (kind, _, _), body in self.objects.items():
            cache.put_child(kind, body)
        cache.is_complete = True
        rng = random.Random(3)
        self.queue: WorkQueue[DemoKey] = WorkQueue(clock=self.loop.time, rng=rng)
        surveys: WorkQueue[DemoKey] = WorkQueue(clock=self.loop.time, rng=rng)
        telling: WorkQueue[DemoKey] = WorkQueue(clock=self.loop.time, rng=rng)
        surveyor = Surveyor(
            queue=surveys,
            cluster=self,
            counter=self,
            wake=self.queue.wake,
            clock=self.loop.time,
            now=self.time_of_day,
        )
        reconciler = Reconciler(
            cluster=self,
            cache=cache,
            settings=replace(SETTINGS, status_interval_seconds=1.0),
            stories=story.load(),
            courier=SilentCourier(),  # type: ignore[arg-type]
            surveyor=surveyor,
            discoverer=NoDiscoverer(),  # type: ignore[arg-type]
            registrar=NoRegistrar(),  # type: ignore[arg-type]
            wake=self.queue.wake,
            wake_to_tell=telling.wake,
            now=self.time_of_day,
            clock=self.loop.time,
            password=password,
        )
        self.tasks = [
            self.loop.create_task(telling.run(reconciler.tell, 4)),
            self.loop.create_task(self.queue.run(reconciler.reconcile, 4)),
            self.loop.create_task(surveys.run(surveyor.serve, 4)),
        ]
        for key in self.demos:
            self.queue.wake(key)

    def kill(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*self.tasks, return_exceptions=True))

    @property
    def now(self) -> float:
        return self.loop.time() - self.start

    def time_of_day(self) -> datetime:
        return NOW + timedelta(seconds=self.now)

    def pass_time(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    # What Kubernetes does.

    def begin(self) -> DemoKey:
        """A demo, whose Pods come step by step as in a class whose images are not there yet."""
        key = self.add_demo(demo_body(log_shipping={"emitter": {"lines": LINES}}))
        self.queue.wake(key)
        self.pass_time(0.3)
        parts = [("log-aggregator", self.nodes[0], "bookshop-log-aggregator-0")]
        for name in self.nodes:
            parts += [(part, name, f"bookshop-{part}-{name}") for part in _AGENTS]
        steps: list[tuple[float, dict[str, Any]]] = [
            (0.2, {"bare": True}),
            (1.5, {"ready": False, "waiting": "ContainerCreating"}),
            (3, {"ready": False}),
            (1, {}),
        ]
        made = self.now
        for pause, state in steps:
            for part, name, pod in parts:
                ready: dict[str, Any] = {} if state else {"ready_at": self.now, "ip": "10.1.1.1"}
                self.pod(part, name, name=pod, at=made, **state, **ready)
            self.pass_time(pause)
        for name in self.nodes:
            self.write(f"bookshop-log-emitter-{name}")
        return key

    def pod(self, part: str, node: str, **more: Any) -> None:
        self.put("Pod", part_body(part, node, **more))
        self.wake_all()

    def wake_all(self) -> None:
        for key in self.demos:
            self.queue.wake(key)

    def write(self, pod: str, **more: Any) -> Writer:
        """Its emitter starts to write."""
        writer = Writer(pod=pod, series=f"{next(self.serials):08x}", begin=self.now, **more)
        self.writers.setdefault(pod, []).append(writer)
        return writer

    async def newest_log_lines(self, namespace: str, pod: str, container: str) -> str | None:
        self.kubelet_questions += 1
        await asyncio.sleep(0.02)
        writer = self.writers.get(pod, [None])[-1]
        seq = writer.written(self.now) if writer else 0
        if writer is None or not seq:
            return None
        at = NOW + timedelta(seconds=writer.begin + seq / writer.rate)
        return (
            f"{at:%Y-%m-%dT%H:%M:%S.%f}789Z run={writer.run} series={writer.series}"
            f" seq={seq} of={LINES} node=n text=x\n"
        )

    async def count(self, address: str, query: str) -> tuple[SeriesCount, ...]:
        self.questions += 1
        await asyncio.sleep(0.02)
        if self.away_from <= self.now < self.away_until:
            raise AggregatorError("the log aggregator cannot be reached")
        came = self.now - self.delay
        counts = []
        for writer in (one for series in self.writers.values() for one in series):
            highest = writer.written(came)
            if f"run={writer.run} " in query and highest:
                distinct = highest - len([one for one in writer.lost if one <= highest])
                counts.append(
                    SeriesCount(
                        pod=writer.pod,
                        series=writer.series,
                        rows=distinct,
                        distinct=distinct,
                        highest=highest,
                        newest=NOW + timedelta(seconds=writer.begin + highest / writer.rate),
                    )
                )
        return tuple(counts)

    async def apply_status(self, demo: dict[str, Any]) -> dict[str, Any]:
        answer = await super().apply_status(demo)
        self.history.append((self.now, answer["status"]))
        return answer

    # What a class sees.

    def verdicts(self) -> list[tuple[str, str]]:
        """The condition LogsShipped, each time it changed."""
        conditions = (
            one
            for _, status in self.history
            for one in status["conditions"]
            if one["type"] == "LogsShipped"
        )
        return [one for one, _ in groupby((c["status"], c["reason"]) for c in conditions)]

    def told(self) -> dict[str, Any]:
        return dict(self.history[-1][1]["logShipping"])


_AGENTS = ("log-shipper", "log-emitter")


@pytest.fixture
def plant() -> Iterator[Plant]:
    plant = Plant(3)
    yield plant
    plant.kill()
    plant.loop.close()


def test_from_an_empty_cluster_to_the_last_line_nothing_is_a_complaint(plant: Plant) -> None:
    plant.begin()
    plant.pass_time(LINES / RATE + 10)
    assert plant.verdicts() == [
        ("Unknown", "Starting"),
        ("Unknown", "Shipping"),
        ("True", "AllLinesArrived"),
    ]
    told = plant.told()
    assert (told["written"], told["received"], told["missing"], told["duplicate"]) == (
        3 * LINES,
        3 * LINES,
        0,
        0,
    )
    assert all("lag" not in row for row in told["nodes"])
    phases = [one for one, _ in groupby(status["phase"] for _, status in plant.history)]
    assert phases == ["Pending", "Progressing", "Ready"]
    # Two a second would be a flood, and none for ten seconds a lesson that stands still.
    assert len(plant.history) < 60


def test_at_rest_nobody_is_asked_and_nothing_is_written(plant: Plant) -> None:
    plant.begin()
    plant.pass_time(LINES / RATE + 10)
    before = len(plant.writes), plant.questions, plant.kubelet_questions
    for _ in range(100):
        plant.wake_all()
        plant.pass_time(60)
    assert (len(plant.writes), plant.questions, plant.kubelet_questions) == before
    plant.kill()
    plant.open()
    plant.pass_time(600)
    assert (len(plant.writes), plant.questions, plant.kubelet_questions) == before


def test_an_aggregator_that_is_gone_for_a_minute_is_told_and_loses_nothing(plant: Plant) -> None:
    plant.begin()
    plant.pass_time(10)
    plant.away_from, plant.away_until = plant.now, plant.now + 55
    plant.pass_time(120)
    assert ("Unknown", "AggregatorAway") in plant.verdicts()
    assert plant.verdicts()[-1] == ("True", "AllLinesArrived")
    assert not [one for one in plant.verdicts() if one[0] == "False"]
    assert plant.told()["missing"] == 0


def test_an_aggregator_that_stays_away_is_a_complaint_until_it_is_back(plant: Plant) -> None:
    plant.begin()
    plant.pass_time(10)
    plant.away_from, plant.away_until = plant.now, plant.now + 200
    plant.pass_time(199)
    assert plant.verdicts()[-1] == ("False", "AggregatorUnreachable")
    received = plant.told()["received"]
    assert received > 0
    writes = len(plant.history)
    assert [one for at, one in plant.history[-1:] if at < plant.now - 90], "no write while away"
    plant.pass_time(20)
    assert len(plant.history) > writes
    assert plant.verdicts()[-1] == ("True", "AllLinesArrived")


def test_an_operator_that_dies_in_the_middle_tells_no_less_than_before(plant: Plant) -> None:
    plant.begin()
    for _ in range(6):
        plant.pass_time(7)
        plant.kill()
        plant.open()
    plant.pass_time(60)
    received = [status["logShipping"]["received"] for _, status in plant.history]
    written = [status["logShipping"]["written"] for _, status in plant.history]
    assert received == sorted(received)
    assert written == sorted(written)
    assert plant.verdicts()[-1] == ("True", "AllLinesArrived")
    assert not [one for one in plant.verdicts() if one[0] == "False"]


def test_lines_that_are_lost_are_told_after_a_minute_and_by_node(plant: Plant) -> None:
    plant.begin()
    victim = plant.writers["bookshop-log-emitter-worker-1"][-1]
    victim.lost = frozenset(range(100, 110))
    plant.pass_time(LINES / RATE + 50)
    assert plant.verdicts()[-1] == ("Unknown", "Shipping")
    plant.pass_time(15)
    assert plant.verdicts()[-1] == ("False", "LinesMissing")
    assert plant.told()["missing"] == 10
    assert "10 lines are missing: worker-1: 10" in plant.told()["message"]
    writes = len(plant.history)
    plant.pass_time(3600)
    assert len(plant.history) == writes, "nothing changes any more"
    victim.lost = frozenset()  # a queue that was stuck
    plant.pass_time(10)
    assert plant.verdicts()[-1] == ("True", "AllLinesArrived")


def test_an_emitter_that_is_killed_writes_anew_and_its_end_is_not_lost(plant: Plant) -> None:
    plant.begin()
    plant.pass_time(20)
    pod = "bookshop-log-emitter-worker-2"
    first = plant.writers[pod][-1]
    first.end = plant.now
    cut = first.written(plant.now)
    plant.pod("log-emitter", "worker-2", name=pod, ready=False, ready_at=plant.now, restarts=1)
    plant.pass_time(1)
    plant.write(pod)
    plant.pod("log-emitter", "worker-2", name=pod, ready_at=plant.now, restarts=1)
    plant.pass_time(LINES / RATE + 10)
    told = plant.told()
    assert plant.verdicts()[-1] == ("True", "AllLinesArrived")
    assert told["written"] == told["received"] == 3 * LINES + cut
    assert not [one for one in plant.verdicts() if one[0] == "False"]


def test_the_end_of_a_killed_emitter_that_never_comes_is_missing(plant: Plant) -> None:
    plant.begin()
    plant.pass_time(20.5)
    pod = "bookshop-log-emitter-worker-2"
    first = plant.writers[pod][-1]
    first.end = plant.now
    cut = first.written(plant.now)
    tail = 15

    original = first.written

    def short(at: float) -> int:
        # What the aggregator has, asked with its delay, ends before what the kubelet told.
        return min(original(at), cut - tail) if at < plant.now else original(at)

    plant.pass_time(2.5)  # the kubelet is asked once more
    first.written = short  # type: ignore[method-assign]
    plant.write(pod)
    plant.pod("log-emitter", "worker-2", name=pod, restarts=1)
    plant.pass_time(LINES / RATE + 90)
    assert plant.verdicts()[-1] == ("False", "LinesMissing")
    assert plant.told()["missing"] == tail


def test_a_second_run_counts_from_nothing_and_none_of_the_first_ones_lines(plant: Plant) -> None:
    key = plant.begin()
    plant.pass_time(LINES / RATE + 10)
    count = len(plant.history)
    plant.change_spec(key, log_shipping={"emitter": {"lines": LINES, "run": 2}})
    plant.wake_all()
    plant.pass_time(3)
    for name in plant.nodes:
        old = f"bookshop-log-emitter-{name}"
        plant.remove("Pod", plant.objects["Pod", "workshop", old])
        plant.pod("log-emitter", name, name=f"{old}-2", at=plant.now)
        plant.write(f"{old}-2", run=2)
        plant.pass_time(2)
    plant.pass_time(LINES / RATE + 10)
    after = [status["logShipping"] for _, status in plant.history[count:]]
    assert {one["run"] for one in after} == {2}
    written = [one["written"] for one in after]
    assert written[0] == 0
    assert written == sorted(written)
    assert plant.told()["received"] == 3 * LINES
    verdicts = [(one["reason"], one.get("asExpected")) for one in after]
    assert [one for one, _ in groupby(verdicts)][-1] == ("AllLinesArrived", True)
    assert not [one for one in verdicts if one[1] is False]


def test_a_big_cluster_is_not_flooded() -> None:
    big = Plant(200)
    try:
        big.begin()
        big.pass_time(300)
        assert big.verdicts()[-1] == ("True", "AllLinesArrived")
        assert big.told()["received"] == 200 * LINES
        assert len(big.history) < 60
        assert big.kubelet_questions < 2000
        assert not [one for one in big.verdicts() if one[0] == "False"]
    finally:
        big.kill()
        big.loop.close()
