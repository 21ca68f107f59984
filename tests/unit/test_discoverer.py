"""Who asks agents and EndpointSlices, with a clock that does not wait."""

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable
from typing import Any

from logshipping import moment
from support import FakeCluster, FakeTimeLoop
from workshopdemo.cluster import Cache
from workshopdemo.discoverer import REST, SLICES_REST, Discoverer, DiscoveryOrder
from workshopdemo.errors import AgentError, UnavailableError
from workshopdemo.names import DemoKey
from workshopdemo.observe import AgentPod, AskedService, Discovery
from workshopdemo.published import PublishedPod
from workshopdemo.queue import WorkQueue

KEY = DemoKey("workshop", "bookshop")
WEB = AskedService("web", (("app", "web"),), frozenset(), takes_unready=False)
AGENTS = (AgentPod("agent-1", "worker-1", "10.0.1.1"), AgentPod("agent-2", "worker-2", "10.0.2.1"))
ORDER = DiscoveryOrder("workshop", AGENTS, (WEB,), frozenset())


def web(address: str) -> PublishedPod:
    return PublishedPod((address,), is_ready=True, labels={"app": "web"})


class Bureau:
    """A discoverer at work, with agents and an API server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.start = loop.time()
        self.cluster = FakeCluster(Cache())
        self.published: dict[str, tuple[PublishedPod, ...]] = {"10.0.1.1": (), "10.0.2.1": ()}
        self.silent: set[str] = set()
        self.pause = 0.0
        self.questions: list[tuple[float, str]] = []
        self.wakes: list[float] = []
        self.queue: WorkQueue[DemoKey] = WorkQueue(clock=loop.time, rng=random.Random(1))
        self.discoverer = Discoverer(
            queue=self.queue,
            cluster=self.cluster,
            agents=self,
            wake=lambda _: self.wakes.append(self.now),
            clock=loop.time,
            now=lambda: moment(self.now),
        )

    @property
    def now(self) -> float:
        return self.loop.time() - self.start

    async def pods(self, address: str) -> tuple[PublishedPod, ...]:
        self.questions.append((self.now, address))
        await asyncio.sleep(self.pause)
        if address in self.silent:
            raise AgentError("the agent did not answer within 5 s")
        return self.published[address]

    def endpoints(self, *addresses: str) -> None:
        metadata = {
            "name": "web-x",
            "namespace": "workshop",
            "labels": {"kubernetes.io/service-name": "web"},
        }
        found = [
            {"addresses": [one], "nodeName": "worker-1", "conditions": {"ready": True}}
            for one in addresses
        ]
        self.cluster.objects["EndpointSlice", "workshop", "web-x"] = {
            "metadata": metadata,
            "endpoints": found,
        }

    def found(self, order: DiscoveryOrder | None = ORDER) -> Discovery | None:
        return self.discoverer.offer(KEY, order)

    def rounds(self) -> list[float]:
        return [at for at, address in self.questions if address == "10.0.1.1"]


def run(story: Callable[[Bureau], Awaitable[None]]) -> Bureau:
    loop = FakeTimeLoop()
    bureau = Bureau(loop)

    async def work() -> None:
        worker = asyncio.create_task(bureau.queue.run(bureau.discoverer.serve, 4))
        try:
            await story(bureau)
        finally:
            worker.cancel()

    try:
        loop.run_until_complete(work())
    finally:
        loop.close()
    return bureau


def test_both_sides_are_asked_at_once_and_news_wakes_the_demo_once() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.published["10.0.1.1"] = (web("10.0.1.9"),)
        bureau.endpoints("10.0.1.9")
        assert bureau.found() is None
        await asyncio.sleep(1)
        found = bureau.found()
        assert found is not None
        assert found.is_settled
        assert found.pods == {"agent-1": 1, "agent-2": 0}
        assert [one.agrees for one in found.services] == [True]
        await asyncio.sleep(600)

    assert len(run(story).wakes) == 1


def test_at_rest_agents_are_asked_and_the_api_server_hardly() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.endpoints()
        bureau.found()
        await asyncio.sleep(20)
        bureau.questions.clear()
        reads = bureau.cluster.slice_reads
        await asyncio.sleep(600)
        assert len(bureau.rounds()) <= 600 / REST + 1
        assert bureau.cluster.slice_reads - reads <= 600 / SLICES_REST + 1
        assert bureau.cluster.writes == []

    run(story)


def test_a_pod_that_no_watch_tells_of_is_found_within_seconds() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.endpoints()
        bureau.found()
        await asyncio.sleep(100)
        bureau.published["10.0.2.1"] = (web("10.0.2.9"),)
        bureau.endpoints("10.0.2.9")
        await asyncio.sleep(REST + 0.1)
        found = bureau.found()
        assert found is not None
        assert found.pods["agent-2"] == 1
        assert found.is_settled, "the slices were read as soon as an agent had news"

    run(story)


def test_what_a_watch_tells_is_asked_about_at_once() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.endpoints()
        bureau.found()
        await asyncio.sleep(100.5)
        before = len(bureau.rounds())
        bureau.found(dataclasses.replace(ORDER, pods=frozenset({("web-1", "10.0.1.9", True)})))
        await asyncio.sleep(0.1)
        assert len(bureau.rounds()) == before + 1

    run(story)


def test_a_difference_is_dated_from_its_beginning_and_forgotten_with_its_end() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.endpoints("10.0.1.9")
        bureau.found()
        await asyncio.sleep(40)
        found = bureau.found()
        assert found is not None
        assert not found.is_settled
        assert found.since == {"web": moment(0)}
        bureau.published["10.0.1.1"] = (web("10.0.1.9"),)
        await asyncio.sleep(REST + 0.1)
        found = bureau.found()
        assert found is not None
        assert found.since == {}
        bureau.endpoints()
        await asyncio.sleep(SLICES_REST + REST)
        found = bureau.found()
        assert found is not None
        assert found.since["web"] > moment(40)

    bureau = run(story)
    assert len(bureau.wakes) == 3


def test_an_agent_that_is_silent_hides_no_other() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.endpoints("10.0.2.9")
        bureau.published["10.0.2.1"] = (web("10.0.2.9"),)
        bureau.silent = {"10.0.1.1"}
        bureau.found()
        await asyncio.sleep(30)
        found = bureau.found()
        assert found is not None
        assert found.pods == {"agent-2": 1}
        assert found.silent["agent-1"].since == moment(0)
        assert found.services[0].agrees
        bureau.silent = set()
        await asyncio.sleep(REST + 0.1)
        found = bureau.found()
        assert found is not None
        assert found.is_settled

    assert len(run(story).wakes) == 2, "a silence that goes on is no news"


def test_slices_that_cannot_be_read_are_told_and_read_again() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.cluster.failures["slices"] = UnavailableError("cannot list EndpointSlices: away")
        bureau.found()
        await asyncio.sleep(30)
        found = bureau.found()
        assert found is not None
        assert found.unread is not None
        assert found.unread.since == moment(0)
        del bureau.cluster.failures["slices"]
        await asyncio.sleep(REST + 0.1)
        found = bureau.found()
        assert found is not None
        assert found.is_settled

    run(story)


def test_a_demo_that_is_gone_is_asked_no_more() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.pause = 1.0
        bureau.found()
        await asyncio.sleep(0.5)
        bureau.found(None)
        await asyncio.sleep(1)
        bureau.questions.clear()
        await asyncio.sleep(100)
        assert bureau.questions == []
        assert bureau.wakes == []

    run(story)


def test_a_demo_that_comes_again_begins_anew() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.pause = 1.0
        bureau.found()
        await asyncio.sleep(0.5)
        bureau.found(None)
        assert bureau.found() is None
        await asyncio.sleep(5)
        found: Any = bureau.found()
        assert found.pods == {"agent-1": 0, "agent-2": 0}

    run(story)


def test_without_agents_or_services_nothing_is_read() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.found(DiscoveryOrder("workshop", (), (), frozenset()))
        await asyncio.sleep(60)
        assert bureau.cluster.slice_reads == 0
        assert bureau.questions == []

    run(story)


def test_many_agents_are_asked_less_often() -> None:
    async def story(bureau: Bureau) -> None:
        many = tuple(AgentPod(f"agent-{n}", f"worker-{n}", f"10.1.{n}.1") for n in range(100))
        bureau.published = {one.address: () for one in many}
        bureau.found(dataclasses.replace(ORDER, agents=many))
        await asyncio.sleep(200)
        assert len(bureau.questions) <= 1200

    run(story)
