"""Who asks the members of StatefulSets, with a clock that does not wait."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from aiohttp import test_utils, web

from logshipping import moment
from statefulset import member_body, said_by
from support import FakeTimeLoop

# pytest takes whatever is called Test… in here for tests.
from workshopdemo import testimony as spoken
from workshopdemo.errors import MemberError
from workshopdemo.facts import child_of
from workshopdemo.members import Members
from workshopdemo.names import DemoKey
from workshopdemo.observe import Hearing, MemberPod, member_pods
from workshopdemo.queue import WorkQueue
from workshopdemo.registrar import PAUSE, REST, Order, Registrar

KEY = DemoKey("workshop", "bookshop")
PODS = [child_of("Pod", member_body(ordinal)) for ordinal in range(2)]
ORDER = member_pods(PODS)
FIRST, SECOND = ORDER


class Bureau:
    """A registrar at work, with members."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.start = loop.time()
        self.said: dict[str, spoken.Testimony] = {
            member.address: said_by(pod) for member, pod in zip(ORDER, PODS, strict=True)
        }
        self.silent: set[str] = set()
        self.pause = 0.0
        self.questions: list[tuple[float, str]] = []
        self.wakes: list[float] = []
        self.queue: WorkQueue[DemoKey] = WorkQueue(clock=loop.time, rng=random.Random(1))
        self.registrar = Registrar(
            queue=self.queue,
            members=self,
            wake=lambda _: self.wakes.append(self.now),
            now=lambda: moment(self.now),
        )

    @property
    def now(self) -> float:
        return self.loop.time() - self.start

    async def testimony(self, address: str) -> spoken.Testimony:
        self.questions.append((self.now, address))
        await asyncio.sleep(self.pause)
        if address in self.silent:
            raise MemberError("the member did not answer within 5 s")
        return self.said[address]

    def heard(self, order: Order | None = ORDER) -> Hearing:
        hearing = self.registrar.offer(KEY, order)
        assert hearing is not None
        return hearing

    def rounds(self, since: float = 0) -> list[float]:
        return [at for at, address in self.questions if address == FIRST.address and at >= since]


def run(story: Callable[[Bureau], Awaitable[None]]) -> Bureau:
    loop = FakeTimeLoop()
    bureau = Bureau(loop)

    async def work() -> None:
        worker = asyncio.create_task(bureau.queue.run(bureau.registrar.serve, 4))
        try:
            await story(bureau)
        finally:
            worker.cancel()

    try:
        loop.run_until_complete(work())
    finally:
        loop.close()
    return bureau


def test_members_are_asked_at_once_and_news_wakes_the_demo_once() -> None:
    async def story(bureau: Bureau) -> None:
        assert bureau.registrar.offer(KEY, ORDER) is None
        await asyncio.sleep(0.1)
        assert set(bureau.heard().said) == {FIRST.uid, SECOND.uid}
        await asyncio.sleep(600)

    assert run(story).wakes == [0.0]


def test_at_rest_members_are_asked_seldom() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(600)
        assert 600 / REST - 1 <= len(bureau.rounds()) <= 600 / REST + 3

    run(story)


def test_a_demo_without_members_keeps_nobody_busy() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.registrar.offer(KEY, ())
        await asyncio.sleep(600)
        assert bureau.heard(()) == Hearing()

    bureau = run(story)
    assert bureau.questions == []
    assert len(bureau.wakes) == 1


def test_a_member_that_restarts_is_asked_at_once_and_has_said_what_it_said() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(100.5)
        bureau.silent = {FIRST.address}
        restarting = (replace(FIRST, ready=False, restarts=1), SECOND)
        bureau.registrar.offer(KEY, restarting)
        await asyncio.sleep(0.1)
        assert bureau.rounds(100) == [100.5]
        hearing = bureau.heard(restarting)
        assert hearing.said[FIRST.uid].starts == 1
        assert hearing.silent[FIRST.uid].since == moment(100.5)
        bureau.silent = set()
        bureau.said[FIRST.address] = said_by(PODS[0], 2)
        back = (replace(FIRST, restarts=1), SECOND)
        bureau.registrar.offer(KEY, back)
        await asyncio.sleep(0.1)
        hearing = bureau.heard(back)
        assert hearing.said[FIRST.uid].starts == 2
        assert hearing.silent == {}

    run(story)


def test_another_pod_at_the_address_is_not_the_member() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.said[FIRST.address] = bureau.said[SECOND.address]
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(0.1)
        hearing = bureau.heard()
        assert set(hearing.said) == {SECOND.uid}
        assert hearing.silent[FIRST.uid].words == "another Pod answers in the member's place"
        new = child_of("Pod", member_body(0, life=2))
        bureau.said[FIRST.address] = said_by(new)
        await asyncio.sleep(PAUSE)
        assert FIRST.uid not in bureau.heard().said, "the same name is not the same Pod"

    run(story)


def test_a_new_pod_of_the_same_name_is_not_taken_for_the_old_one() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(50)
        bureau.silent = {FIRST.address}
        renewed = (replace(FIRST, uid="another"), SECOND)
        bureau.registrar.offer(KEY, renewed)
        await asyncio.sleep(0.1)
        hearing = bureau.heard(renewed)
        assert set(hearing.said) == {SECOND.uid}
        assert hearing.silent["another"].since == moment(50)

    run(story)


def test_a_silence_that_goes_on_is_asked_about_often_and_is_no_news() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.silent = {FIRST.address}
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(60)
        assert bureau.heard().silent[FIRST.uid].since == moment(0)
        assert len(bureau.rounds()) <= 60 / PAUSE + 1

    assert len(run(story).wakes) == 1


def test_a_replica_that_does_not_stream_is_dated_from_then_and_forgotten() -> None:
    async def story(bureau: Bureau) -> None:
        idle = said_by(PODS[1], role="Replica", streaming=False)
        bureau.said[SECOND.address] = idle
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(30)
        assert bureau.heard().idle == {SECOND.uid: moment(0)}
        bureau.said[SECOND.address] = said_by(PODS[1], role="Replica", streaming=True)
        await asyncio.sleep(PAUSE)
        assert bureau.heard().idle == {}

    run(story)


def test_what_a_member_says_anew_without_any_change_is_found_in_time() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(100)
        bureau.said[SECOND.address] = said_by(PODS[1], rows=9)
        await asyncio.sleep(REST + 0.1)
        assert bureau.heard().said[SECOND.uid].rows == 9

    assert len(run(story).wakes) == 2


def test_an_answer_to_an_old_question_is_not_the_answer_to_a_new_one() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.pause = 3.0
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(1)
        bureau.registrar.offer(KEY, ORDER[:1])
        await asyncio.sleep(3)
        assert bureau.registrar.offer(KEY, ORDER[:1]) is None
        await asyncio.sleep(3)
        assert set(bureau.heard(ORDER[:1]).said) == {FIRST.uid}

    bureau = run(story)
    assert bureau.rounds()[:2] == [0.0, 3.0]


def test_a_demo_that_is_gone_is_asked_no_more() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.pause = 1.0
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(0.5)
        assert bureau.registrar.offer(KEY, None) is None
        await asyncio.sleep(1)
        bureau.questions.clear()
        await asyncio.sleep(100)

    bureau = run(story)
    assert (bureau.questions, bureau.wakes) == ([], [])


def test_a_demo_that_comes_again_begins_anew() -> None:
    async def story(bureau: Bureau) -> None:
        bureau.registrar.offer(KEY, ORDER)
        await asyncio.sleep(5)
        bureau.registrar.offer(KEY, None)
        assert bureau.registrar.offer(KEY, ORDER) is None
        await asyncio.sleep(0.1)
        assert len(bureau.heard().said) == 2

    run(story)


def test_only_pods_that_can_answer_are_asked() -> None:
    pods = [
        child_of("Pod", member_body(2, terminating=True)),
        child_of("Pod", member_body(1, ready=False, restarts=3)),
        child_of("Pod", member_body(0)),
        child_of("Pod", member_body(3, unplaced="no room")),
    ]
    assert member_pods(pods) == (
        MemberPod("bookshop-diary-0", "diary-0-life-1", "10.0.0.1", ready=True, restarts=0),
        MemberPod("bookshop-diary-1", "diary-1-life-1", "10.0.1.1", ready=False, restarts=3),
    )


# The way to a member.


async def _asked(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> spoken.Testimony:
    app = web.Application()
    app.router.add_get("/testimony", handler)
    async with test_utils.TestServer(app, host="127.0.0.1") as server:
        assert server.port is not None
        members = Members(port=server.port, seconds=1.0)
        try:
            return await members.testimony("127.0.0.1")
        finally:
            await members.close()


async def test_a_member_is_asked_over_http() -> None:
    said = said_by(PODS[0], 3)

    async def handler(_: web.Request) -> web.Response:
        entries = [
            {"number": one.number, "time": one.time, "checksum": one.checksum}
            for one in said.entries
        ]
        words = {name: getattr(said, name) for name in ("member", "pod", "identifier", "starts")}
        more = {"first": said.first, "intact": True, "rows": 3, "entries": entries}
        return web.json_response(words | more)

    assert await _asked(handler) == said


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, '{"waiting": "s3cret"}', "the member answered with HTTP 503"),
        (302, "", "the member answered with HTTP 302"),
        (200, '{"s3cret": true}', "what answers in the member's place is no member"),
        (200, "x" * (1024 * 1024 + 1), "the member's answer does not end"),
    ],
)
async def test_what_is_no_answer_is_told_without_a_word_of_it(
    status: int, body: str, words: str
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers={"Location": "http://127.0.0.1:1"})

    with pytest.raises(MemberError) as raised:
        await _asked(handler)
    assert str(raised.value) == words
