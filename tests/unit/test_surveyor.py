"""Who counts lines, with a clock that does not wait."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from logshipping import moment
from support import FakeCluster, FakeTimeLoop, time
from workshopdemo.cluster import Cache
from workshopdemo.errors import AggregatorError, UnavailableError
from workshopdemo.logsql import SeriesCount
from workshopdemo.names import DemoKey
from workshopdemo.observe import EmitterPod, Survey
from workshopdemo.queue import WorkQueue
from workshopdemo.surveyor import Surveyor, SurveyOrder

KEY = DemoKey("workshop", "bookshop")
OTHER = DemoKey("workshop", "other")
SERIES = "0000000a"
Story = Callable[["Bureau"], Awaitable[None]]


class Kubelets(FakeCluster):
    """Kubelets that may be slow or away."""

    def __init__(self) -> None:
        super().__init__(Cache())
        self.asked: list[tuple[float, str]] = []
        self.at_once = self.most_at_once = 0
        self.pause = 0.0
        self.away: set[str] = set()

    async def newest_log_lines(self, namespace: str, pod: str, container: str) -> str | None:
        assert (namespace, container) == ("workshop", "log-emitter")
        self.asked.append((asyncio.get_running_loop().time(), pod))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.pause)
        finally:
            self.at_once -= 1
        if pod in self.away:
            raise UnavailableError("the kubelet does not answer")
        return self.logs.get((pod, container))


class Bureau:
    """A surveyor at work, its kubelets and its aggregator."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.start = loop.time()
        self.cluster = Kubelets()
        self.counts: tuple[SeriesCount, ...] = ()
        self.failure: AggregatorError | None = None
        self.questions: list[tuple[float, str, str]] = []
        self.pause = 0.0
        self.wakes: list[tuple[float, DemoKey]] = []
        self.queue: WorkQueue[DemoKey] = WorkQueue(clock=loop.time, rng=random.Random(1))
        self.surveyor = Surveyor(
            queue=self.queue,
            cluster=self.cluster,
            counter=self,
            wake=lambda key: self.wakes.append((self.now, key)),
            clock=loop.time,
            now=lambda: moment(self.now),
        )

    @property
    def now(self) -> float:
        return self.loop.time() - self.start

    async def count(self, address: str, query: str) -> tuple[SeriesCount, ...]:
        self.questions.append((self.now, address, query))
        await asyncio.sleep(self.pause)
        if self.failure is not None:
            raise self.failure
        return self.counts

    def writes(self, seq: int, pod: str = "p1", of: int = 100, series: str = SERIES) -> None:
        self.cluster.logs[pod, "log-emitter"] = (
            f"{time(seq)} run=1 series={series} seq={seq} of={of} node=n text=x\n"
        )

    def arrives(self, *counts: tuple[str, int, int]) -> None:
        """For each: Pod, how many different lines, and the highest of their numbers."""
        self.counts = tuple(
            SeriesCount(
                pod=pod,
                series=SERIES,
                rows=distinct,
                distinct=distinct,
                highest=highest,
                newest=moment(0),
            )
            for pod, distinct, highest in counts
        )

    def found(self, order: SurveyOrder, key: DemoKey = KEY) -> Survey:
        survey = self.surveyor.offer(key, order)
        assert survey is not None
        return survey


def order(*pods: str, **more: Any) -> SurveyOrder:
    known: dict[str, Any] = {
        "namespace": "workshop",
        "container": "log-emitter",
        "emitters": tuple(EmitterPod(pod=pod, node=f"of-{pod}", restarts=0) for pod in pods),
        "run": 1,
        "query": "count run 1",
        "address": "10.1.1.1",
        "knows": True,
    }
    return SurveyOrder(**(known | more))


ORDER = order("p1")


def play(story: Story) -> Bureau:
    """Run a surveyor while `story` happens."""
    loop = FakeTimeLoop()
    bureaus: list[Bureau] = []

    async def main() -> None:
        bureau = Bureau(asyncio.get_running_loop())
        bureaus.append(bureau)
        running = asyncio.create_task(bureau.queue.run(bureau.surveyor.serve, 4))
        try:
            await story(bureau)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task is left behind"

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return bureaus[0]


def times(asked: Sequence[tuple[Any, ...]]) -> list[float]:
    return [one[0] for one in asked]


def test_what_is_not_settled_is_asked_again_every_two_seconds() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.writes(5)
        bureau.arrives(("p1", 4, 4))
        assert bureau.surveyor.offer(KEY, ORDER) is None
        await asyncio.sleep(9)
        survey = bureau.found(ORDER)
        assert survey.last["p1"].seq == 5
        assert survey.received == bureau.counts
        assert (survey.trouble, survey.gaps) == (None, None)

    bureau = play(story)
    assert times(bureau.questions) == pytest.approx([0, 2, 4, 6, 8])
    assert {one[1:] for one in bureau.questions} == {("10.1.1.1", "count run 1")}


def test_many_nodes_are_asked_less_often_and_few_at_a_time() -> None:
    many = order(*[f"p{number}" for number in range(200)])

    async def story(bureau: Bureau) -> None:
        bureau.cluster.pause = 0.01
        bureau.surveyor.offer(KEY, many)
        await asyncio.sleep(100)

    bureau = play(story)
    assert len(bureau.questions) == 3
    assert 190 / 5 < bureau.questions[1][0] < 45
    assert bureau.cluster.most_at_once <= 16


def test_it_stops_when_there_is_nothing_left_to_count() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(5)
        assert bureau.surveyor.offer(KEY, None) is None
        asked = len(bureau.cluster.asked)
        await asyncio.sleep(600)
        assert len(bureau.cluster.asked) == asked
        assert bureau.surveyor.offer(KEY, ORDER) is None, "what was found is forgotten"
        await asyncio.sleep(1)
        assert len(bureau.cluster.asked) == asked + 1

    play(story)


def test_a_demo_is_woken_by_news_only() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.writes(5)
        bureau.arrives(("p1", 5, 5))
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(31)
        assert times(bureau.wakes) == pytest.approx([0])
        bureau.writes(6)
        await asyncio.sleep(28)
        assert times(bureau.wakes) == pytest.approx([0, 32])
        # After a minute it is news that nothing is missing, and a minute after the sixth line that
        # this one is; then there is none any more.
        await asyncio.sleep(600)
        assert times(bureau.wakes) == pytest.approx([0, 32, 60, 92])

    play(story)


def test_a_hole_is_missing_after_a_minute_and_not_before() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.writes(50)
        bureau.arrives(("p1", 38, 40))
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(59)
        assert bureau.found(ORDER).gaps is None
        await asyncio.sleep(2)
        assert bureau.found(ORDER).gaps == {"p1": 12}
        bureau.arrives(("p1", 50, 50))
        await asyncio.sleep(2)
        assert bureau.found(ORDER).gaps == {"p1": 0}

    play(story)


def test_a_hole_that_closes_while_another_opens_is_none() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.writes(100)
        for number in range(40):
            bureau.arrives(("p1", 30 + number, 33 + number) if number % 2 else ("p1", 70, 70))
            bureau.surveyor.offer(KEY, ORDER)
            await asyncio.sleep(2)
        gaps = bureau.found(ORDER).gaps
        assert gaps is not None
        assert gaps["p1"] <= 31

    play(story)


def test_without_a_shipper_there_is_no_hurry() -> None:
    """Two hundred students may have copied a demo that their namespaces do not admit."""

    async def story(bureau: Bureau) -> None:
        bureau.writes(5)
        order = replace(ORDER, ships=False)
        bureau.surveyor.offer(KEY, order)
        await asyncio.sleep(300)
        assert len(bureau.cluster.asked) <= 12
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(1)
        assert len(bureau.cluster.asked) <= 13

    play(story)


def test_the_end_is_missing_a_minute_after_the_last_line_was_written() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.writes(90)
        bureau.arrives(("p1", 90, 90))
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(100)
        assert bureau.found(ORDER).gaps == {"p1": 0}
        bureau.writes(100)
        await asyncio.sleep(58)
        assert bureau.found(ORDER).gaps == {"p1": 0}
        await asyncio.sleep(6)
        assert bureau.found(ORDER).gaps == {"p1": 10}

    play(story)


def test_an_aggregator_that_is_away_is_told_since_when_and_forgotten_when_it_is_back() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.writes(100)
        bureau.arrives(("p1", 30, 40))
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(71)
        assert bureau.found(ORDER).gaps == {"p1": 70}
        bureau.failure = AggregatorError("it does not answer")
        await asyncio.sleep(200)
        survey = bureau.found(ORDER)
        assert (survey.trouble, survey.unheard) == ("it does not answer", moment(72))
        assert survey.received == bureau.counts, "what was heard stays"
        assert survey.gaps == {"p1": 70}, "nothing more is missing while nobody can be asked"
        wakes = len(bureau.wakes)
        await asyncio.sleep(60)
        assert len(bureau.wakes) == wakes
        bureau.failure = None
        bureau.arrives(("p1", 100, 100))
        await asyncio.sleep(2)
        survey = bureau.found(ORDER)
        assert (survey.trouble, survey.unheard, survey.gaps) == (None, None, None)
        await asyncio.sleep(61)
        assert bureau.found(ORDER).gaps == {"p1": 0}

    play(story)


def test_a_minute_counts_anew_after_an_aggregator_was_away() -> None:
    """What was on its way meanwhile has waited in queues."""

    async def story(bureau: Bureau) -> None:
        bureau.writes(100)
        bureau.arrives(("p1", 90, 90))
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(31)
        bureau.failure = AggregatorError("away")
        await asyncio.sleep(30)
        bureau.failure = None
        await asyncio.sleep(50)
        assert bureau.found(ORDER).gaps is None

    play(story)


def test_an_aggregator_that_has_no_address_yet_is_not_asked() -> None:
    nowhere = order("p1", address=None)

    async def story(bureau: Bureau) -> None:
        bureau.writes(5)
        bureau.surveyor.offer(KEY, nowhere)
        await asyncio.sleep(5)
        survey = bureau.found(nowhere)
        assert survey.received is None
        assert survey.trouble is not None
        assert survey.last["p1"].seq == 5
        survey = bureau.found(ORDER)
        assert (survey.trouble, survey.unheard) == (None, None), "it was not asked yet"
        assert survey.last["p1"].seq == 5
        bureau.failure = AggregatorError("no")
        await asyncio.sleep(0.1)
        assert bureau.found(ORDER).unheard == moment(5), "its silence begins now"

    bureau = play(story)
    assert [one[1] for one in bureau.questions] == ["10.1.1.1"]


def test_where_the_logs_go_elsewhere_only_kubelets_are_asked() -> None:
    elsewhere = order("p1", address=None, knows=False)

    async def story(bureau: Bureau) -> None:
        bureau.writes(5)
        bureau.surveyor.offer(KEY, elsewhere)
        await asyncio.sleep(5)
        survey = bureau.found(elsewhere)
        assert (survey.trouble, survey.received, survey.last["p1"].seq) == (None, None, 5)

    assert play(story).questions == []


def test_a_kubelet_that_does_not_answer_leaves_what_it_said_last() -> None:
    both = order("p1", "p2")

    async def story(bureau: Bureau) -> None:
        bureau.writes(5, "p1")
        bureau.writes(7, "p2")
        bureau.surveyor.offer(KEY, both)
        await asyncio.sleep(1)
        bureau.cluster.away.add("p1")
        bureau.writes(9, "p1")
        bureau.writes(9, "p2")
        await asyncio.sleep(2)
        assert {pod: one.seq for pod, one in bureau.found(both).last.items()} == {"p1": 5, "p2": 9}
        bureau.cluster.away.clear()
        bureau.cluster.logs["p2", "log-emitter"] = "a word of somebody else\n"
        await asyncio.sleep(2)
        assert {pod: one.seq for pod, one in bureau.found(both).last.items()} == {"p1": 9, "p2": 9}

    play(story)


def test_what_a_series_had_written_before_the_next_began_stays_known() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.writes(70, series="0000000a")
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(1)
        bureau.writes(2, series="0000000b")
        await asyncio.sleep(2)
        bureau.failure = AggregatorError("away")
        bureau.writes(4, series="0000000c")
        await asyncio.sleep(4)
        survey = bureau.found(ORDER)
        assert survey.last["p1"].series == "0000000c"
        assert survey.ends == {"p1": {"0000000a": 70, "0000000b": 2}}
        for number in range(300):
            bureau.writes(5, series=f"{number:08x}")
            await asyncio.sleep(2)
        assert len(bureau.found(ORDER).ends["p1"]) < 40, "whoever writes there fills no memory"

    play(story)


def test_another_run_begins_with_nothing() -> None:
    second = order("p1", run=2, query="count run 2")

    async def story(bureau: Bureau) -> None:
        bureau.writes(100)
        bureau.arrives(("p1", 90, 100))
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(70)
        assert bureau.found(ORDER).gaps == {"p1": 10}
        bureau.arrives()
        assert bureau.surveyor.offer(KEY, second) is None
        await asyncio.sleep(100)
        # The old Pod is still there, with its last line of the first run.
        assert bureau.found(second).gaps == {"p1": 0}

    play(story)


def test_pods_that_come_and_go_start_no_minute_anew() -> None:
    both = order("p1", "p2")

    async def story(bureau: Bureau) -> None:
        bureau.writes(100)
        bureau.writes(100, "p2")
        bureau.arrives(("p1", 90, 100), ("p2", 100, 100))
        bureau.surveyor.offer(KEY, both)
        await asyncio.sleep(50)
        bureau.surveyor.offer(KEY, ORDER)  # p2 is settled
        await asyncio.sleep(12)
        assert bureau.found(ORDER).gaps == {"p1": 10}
        # One that comes later has its own minute.
        bureau.arrives(("p1", 90, 100), ("p2", 20, 100))
        bureau.surveyor.offer(KEY, both)
        await asyncio.sleep(50)
        assert bureau.found(both).gaps == {"p1": 10, "p2": 0}
        await asyncio.sleep(12)
        assert bureau.found(both).gaps == {"p1": 10, "p2": 80}

    play(story)


def test_what_was_asked_for_an_order_that_has_changed_meanwhile_is_not_told() -> None:
    second = order("p1", run=2, query="count run 2")

    async def story(bureau: Bureau) -> None:
        bureau.pause = 5
        bureau.arrives(("p1", 7, 7))
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(1)
        bureau.surveyor.offer(KEY, second)
        await asyncio.sleep(5)
        assert bureau.wakes == []
        bureau.arrives()
        await asyncio.sleep(5)
        assert bureau.found(second).received == ()

    bureau = play(story)
    assert [one[2] for one in bureau.questions[:2]] == ["count run 1", "count run 2"]
    assert bureau.questions[1][0] == pytest.approx(5)


@pytest.mark.parametrize("comes_again", [False, True])
def test_a_demo_that_goes_while_it_is_asked_about_is_not_woken(comes_again: bool) -> None:
    async def story(bureau: Bureau) -> None:
        bureau.pause = 5
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(1)
        bureau.surveyor.offer(KEY, None)
        if comes_again:
            bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(5)
        assert bureau.wakes == []
        await asyncio.sleep(60)
        assert bool(bureau.wakes) is comes_again

    play(story)


def test_a_slow_aggregator_delays_nobody_but_itself() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.surveyor.offer(OTHER, order("p9", knows=False))
        bureau.pause = 1000
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(21)

    bureau = play(story)
    assert len([pod for _, pod in bureau.cluster.asked if pod == "p9"]) == 11


def test_ending_while_it_asks_leaves_nothing_behind() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.cluster.pause = 100
        bureau.surveyor.offer(KEY, order(*[f"p{number}" for number in range(40)]))
        await asyncio.sleep(1)

    assert play(story).cluster.at_once == 0


def test_a_kubelet_that_never_answered_is_no_failure() -> None:
    """Pods that are gone, a namespace that goes, rights that are missing."""

    async def story(bureau: Bureau) -> None:
        bureau.cluster.away.add("p1")
        bureau.surveyor.offer(KEY, ORDER)
        await asyncio.sleep(5)
        assert bureau.found(ORDER).last == {}

    assert len(play(story).questions) == 3
