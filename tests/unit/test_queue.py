"""The queue, with a clock that does not wait."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable

import pytest

from support import FakeTimeLoop
from workshopdemo.errors import UnavailableError
from workshopdemo.queue import LONGEST_PAUSE, Backlog, WorkQueue, backoff

Story = Callable[[WorkQueue[str]], Awaitable[None]]


def play(
    look: Callable[[str], Awaitable[float | None]], story: Story, concurrency: int = 4
) -> None:
    """Run a queue over `look` while `story` happens."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[str] = WorkQueue(clock=loop.time, rng=random.Random(1))
        running = asyncio.create_task(queue.run(look, concurrency))
        try:
            await story(queue)
        finally:
            running.cancel()

    loop = FakeTimeLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_many_wakes_are_one_look() -> None:
    looks: list[str] = []

    async def look(key: str) -> None:
        looks.append(key)

    async def story(queue: WorkQueue[str]) -> None:
        for _ in range(100):
            queue.wake("a")
            queue.wake("b")
        await asyncio.sleep(1)

    play(look, story)
    assert sorted(looks) == ["a", "b"]


def test_a_wake_during_a_look_means_another_look_after_it() -> None:
    active = 0
    looks = 0

    async def look(_: str) -> None:
        nonlocal active, looks
        active += 1
        looks += 1
        assert active == 1, "two looks at one key at the same time"
        await asyncio.sleep(5)
        active -= 1

    async def story(queue: WorkQueue[str]) -> None:
        queue.wake("a")
        await asyncio.sleep(1)
        queue.wake("a")
        queue.wake("a")
        await asyncio.sleep(20)

    play(look, story)
    assert looks == 2


def test_no_more_looks_at_a_time_than_allowed() -> None:
    active = most = 0

    async def look(_: str) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(1)
        active -= 1

    async def story(queue: WorkQueue[str]) -> None:
        for number in range(20):
            queue.wake(str(number))
        await asyncio.sleep(30)

    play(look, story, concurrency=3)
    assert most == 3


def test_an_earlier_wake_wins_over_a_later_one() -> None:
    times: list[float] = []

    async def look(_: str) -> None:
        times.append(asyncio.get_running_loop().time())

    async def story(queue: WorkQueue[str]) -> None:
        start = asyncio.get_running_loop().time()
        queue.wake("a", after=60)
        queue.wake("a", after=2)
        queue.wake("a", after=30)
        await asyncio.sleep(100)
        assert times == [pytest.approx(start + 2)]

    play(look, story)


def test_whoever_waits_longest_is_first() -> None:
    looks: list[str] = []

    async def look(key: str) -> None:
        looks.append(key)
        await asyncio.sleep(5)

    async def story(queue: WorkQueue[str]) -> None:
        queue.wake("busy")
        await asyncio.sleep(1)
        for key, after in {"third": 3, "first": 1, "busy": 0.5, "second": 2}.items():
            queue.wake(key, after=after)
        queue.wake("third", after=0.1)
        await asyncio.sleep(60)

    play(look, story, concurrency=1)
    assert looks == ["busy", "third", "busy", "first", "second"]


def test_a_look_may_ask_for_another_later() -> None:
    times: list[float] = []

    async def look(_: str) -> float | None:
        times.append(asyncio.get_running_loop().time())
        return 10.0 if len(times) == 1 else None

    async def story(queue: WorkQueue[str]) -> None:
        queue.wake("a")
        await asyncio.sleep(100)

    play(look, story)
    assert len(times) == 2
    assert times[1] - times[0] == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize("error", [UnavailableError("no answer"), ValueError("a bug")])
def test_failures_come_back_with_growing_pauses_and_stop_when_healed(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    times: list[float] = []

    async def look(_: str) -> None:
        times.append(asyncio.get_running_loop().time())
        if len(times) <= 14:
            raise error

    async def story(queue: WorkQueue[str]) -> None:
        queue.wake("a")
        await asyncio.sleep(10_000)

    play(look, story)
    assert len(times) == 15
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 0.5 <= pauses[0] <= 1.1
    assert pauses[3] > pauses[0]
    assert max(pauses) <= LONGEST_PAUSE + 0.1
    assert min(pauses[-3:]) >= LONGEST_PAUSE / 2
    assert len([r for r in caplog.records if "try" in r.message]) == 14, "retried unseen"


def test_one_failing_key_does_not_delay_another() -> None:
    looks: list[str] = []

    async def look(key: str) -> None:
        looks.append(key)
        if key == "bad":
            raise UnavailableError("no")

    async def story(queue: WorkQueue[str]) -> None:
        queue.wake("bad")
        await asyncio.sleep(0.1)
        queue.wake("good")
        await asyncio.sleep(0.1)
        assert "good" in looks

    play(look, story)


def test_standing_still_is_noticed_and_idling_is_not() -> None:
    async def look(_: str) -> None:
        await asyncio.sleep(1000)

    async def story(queue: WorkQueue[str]) -> None:
        await asyncio.sleep(500)
        assert not queue.is_stalled(60), "nothing was due"
        queue.wake("a")
        await asyncio.sleep(30)
        assert not queue.is_stalled(600)
        await asyncio.sleep(500)
        assert queue.is_stalled(60), "one look has lasted for minutes"

    play(look, story)


def test_what_waits_is_told_and_what_is_due_later_does_not_count() -> None:
    async def look(key: str) -> None:
        await asyncio.sleep(10 if key == "slow" else 0)

    async def story(queue: WorkQueue[str]) -> None:
        assert queue.backlog() == Backlog(0, 0.0)
        queue.wake("slow")
        await asyncio.sleep(0.1)
        queue.wake("later", after=100)
        queue.wake("first")
        await asyncio.sleep(4)
        queue.wake("second")
        await asyncio.sleep(1)
        assert queue.backlog() == Backlog(2, pytest.approx(5, abs=0.01))
        await asyncio.sleep(10)
        assert queue.backlog() == Backlog(0, 0.0)

    play(look, story, concurrency=1)


def test_each_look_is_told_with_how_long_it_took_and_how_it_ended() -> None:
    ended: list[tuple[float, bool]] = []

    async def look(key: str) -> None:
        await asyncio.sleep(3)
        if key == "bad":
            raise UnavailableError("no")
        if key == "bug":
            raise ValueError("a bug")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[str] = WorkQueue(
            clock=loop.time,
            rng=random.Random(1),
            ended=lambda seconds, succeeded: ended.append((round(seconds), succeeded)),
        )
        running = asyncio.create_task(queue.run(look, 1))
        for key in ("good", "bad", "bug"):
            queue.wake(key)
        await asyncio.sleep(9.1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    loop = FakeTimeLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert ended == [(3, True), (3, False), (3, False)]


def test_of_very_many_keys_each_is_looked_at_once_and_soon() -> None:
    looks: list[str] = []
    many = [str(number) for number in range(20_000)]

    async def look(key: str) -> None:
        looks.append(key)

    async def story(queue: WorkQueue[str]) -> None:
        for key in many:
            queue.wake(key)
        await asyncio.sleep(1)

    begun = time.process_time()
    play(look, story)
    assert looks == many
    # With a scan of all that waits at each pick, minutes.
    assert time.process_time() - begun < 20


def test_what_fails_for_weeks_is_still_tried_again() -> None:
    assert LONGEST_PAUSE / 2 <= backoff(100_000, random.Random(1)) <= LONGEST_PAUSE
