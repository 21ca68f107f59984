"""A watch that is dead is noticed whatever it watches; one that is slow, busy or alone is not."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
import pytest

from support import FakeCluster, FakeTimeLoop, demo_body, time
from workshopdemo import handlers, names
from workshopdemo.cluster import Access, Cache, Seen
from workshopdemo.errors import ForbiddenError, UnavailableError
from workshopdemo.facts import CHILD_KINDS, DEMOS, WATCHED, Watched
from workshopdemo.names import DemoKey
from workshopdemo.watchdog import LAG, PATIENCE, SUSPICION_PAUSE, Watchdog
from workshopdemo.watches import Watch, Watches

PAUSE = 300.0
MINUTES = 60.0
HOURS = 3600.0
AGE_AT_REST = PAUSE + 2 * LAG + 1
"""From one list to the verdict on the next."""

NOTICED_BY = PAUSE + 2 * LAG + PATIENCE + 2 * SUSPICION_PAUSE
"""A watch that dies just after a comparison is found dead within this time."""


class Server(FakeCluster):
    """An API server whose watches can be cut."""

    def __init__(self, watches: Watches) -> None:
        super().__init__(Cache())
        self.watches = watches
        self.things: dict[str, dict[str, dict[str, Any]]] = {plural: {} for plural in WATCHED}
        self.cut: set[str] = set()
        """Kinds whose watch tells nothing."""

        self.lag = 0.5
        self.is_away = False
        self.closed: str | None = None
        """A namespace where nothing may be listed."""

        self.denied: set[Access] = set()
        self.lists = 0

    def set(self, plural: str, uid: str, namespace: str = "workshop") -> None:
        """Somebody makes or changes an object."""
        metadata = {"name": uid, "uid": uid, "resourceVersion": self._next()}
        if WATCHED[plural].is_namespaced:
            metadata["namespace"] = namespace
        self.things[plural][uid] = metadata
        self._tell(self.watches.tell, plural, metadata)

    def remove(self, plural: str, uid: str) -> None:  # type: ignore[override]
        self._tell(self.watches.end, plural, self.things[plural].pop(uid))

    def _tell(self, word: Callable[..., None], plural: str, metadata: dict[str, Any]) -> None:
        def tell() -> None:
            # What a kind and a namespace have a watch for each of, is cut for each.
            if not self.cut & {plural, f"{plural} in {metadata.get('namespace')}"}:
                word(plural, metadata)

        asyncio.get_running_loop().call_later(self.lag, tell)

    def reconnect(self) -> None:
        """Every watch begins anew with a list: what has gone meanwhile, it does not tell."""
        self.cut.clear()
        for plural, things in self.things.items():
            for metadata in things.values():
                self._tell(self.watches.tell, plural, metadata)

    async def list_seen(self, watched: Watched, namespace: str | None) -> list[Seen]:
        self.lists += 1
        if self.is_away:
            raise UnavailableError("no answer")
        if Access("list", watched.resource.group, watched.resource.plural) in self.denied:
            raise ForbiddenError("no")
        if self.closed is not None and namespace == self.closed:
            raise ForbiddenError("no")
        return [
            Seen(one["uid"], int(one["resourceVersion"]), one.get("namespace", ""), one["name"])
            for one in self.things[watched.resource.plural].values()
            if namespace in (None, one.get("namespace"))
        ]

    async def allowed(self, access: Access, namespace: str | None) -> bool:
        if self.is_away:
            raise UnavailableError("no answer")
        return access not in self.denied


class Scene:
    """A watchdog, and what it looks after."""

    def __init__(self, loop: asyncio.AbstractEventLoop, namespaces: tuple[str, ...]) -> None:
        self.loop = loop
        self.watches = Watches(namespaces, loop.time)
        self.server = Server(self.watches)
        self.cache = self.server.cache
        self.woken: list[DemoKey] = []
        self.watchdog = Watchdog(
            cluster=self.server,
            cache=self.cache,
            watches=self.watches,
            wake=self.woken.append,
            pause=PAUSE,
            clock=loop.time,
        )

    async def settle(self) -> None:
        """One object of each kind, and a comparison that finds all in order."""
        for plural in WATCHED:
            self.server.set(plural, f"first-{plural}")
        await asyncio.sleep(PAUSE + LAG + 1)
        assert self.watchdog.dead() == []


def play(story: Callable[[Scene], Awaitable[None]], namespaces: tuple[str, ...] = ()) -> None:
    loop = FakeTimeLoop()
    scene = Scene(loop, namespaces)

    async def work() -> None:
        running = asyncio.ensure_future(scene.watchdog.run())
        try:
            await story(scene)
            assert not running.done(), "the watchdog itself has ended"
        finally:
            running.cancel()

    try:
        loop.run_until_complete(work())
    finally:
        loop.close()


@pytest.mark.parametrize("plural", WATCHED)
@pytest.mark.parametrize("what", ["made", "changed"])
def test_a_watch_that_tells_nothing_any_more_is_noticed(plural: str, what: str) -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        scene.server.cut = {plural}
        scene.server.set(plural, "new" if what == "made" else f"first-{plural}")
        await asyncio.sleep(NOTICED_BY)
        (sentence,) = scene.watchdog.dead()
        assert f"the watch on {plural} is dead" in sentence
        assert scene.watches.ages()[plural] > PATIENCE
        others = {kind: age for kind, age in scene.watches.ages().items() if kind != plural}
        assert max(others.values()) <= AGE_AT_REST

    play(story)


def test_a_watch_that_tells_of_some_objects_only_is_noticed() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        scene.server.cut = {"jobs"}
        scene.server.set("jobs", "unheard")
        await asyncio.sleep(1)
        scene.server.cut = set()
        for _ in range(int(NOTICED_BY)):
            scene.server.set("jobs", "heard")
            await asyncio.sleep(1)
        assert ["jobs" in sentence for sentence in scene.watchdog.dead()] == [True]
        assert scene.watches.ages()["jobs"] > PATIENCE, (
            "what it tells does not hide what it does not"
        )

    play(story)


def test_a_watch_that_is_dead_in_one_namespace_is_noticed_beside_one_that_is_well() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        scene.server.cut = {"jobs in room-2"}
        scene.server.set("jobs", "unheard", namespace="room-2")
        for _ in range(int(NOTICED_BY)):
            scene.server.set("jobs", "heard")
            await asyncio.sleep(1)
        (sentence,) = scene.watchdog.dead()
        assert "the watch on jobs in namespace room-2 is dead" in sentence

    play(story, namespaces=("room-2", "workshop"))


def test_a_watch_that_never_began_is_noticed() -> None:
    async def story(scene: Scene) -> None:
        scene.server.cut = {"workshopdemos"}
        scene.server.set("workshopdemos", "unheard")
        await asyncio.sleep(NOTICED_BY)
        assert len(scene.watchdog.dead()) == 1

    play(story)


def test_the_answer_to_an_own_write_is_no_word_of_a_watch() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        scene.server.cut = {"services"}
        scene.server.set("services", "written")
        body = {"metadata": child("written", scene.server.things["services"]["written"])}
        scene.cache.put_child("Service", body)
        await asyncio.sleep(NOTICED_BY)
        assert len(scene.watchdog.dead()) == 1

    play(story)


def test_a_watch_that_comes_back_is_alive_again() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        scene.server.cut = {"jobs"}
        scene.server.set("jobs", "unheard")
        await asyncio.sleep(NOTICED_BY)
        assert scene.watchdog.dead()
        scene.server.reconnect()
        await asyncio.sleep(1)
        assert scene.watchdog.dead() == []
        await asyncio.sleep(PAUSE + LAG)
        assert max(scene.watches.ages().values()) <= AGE_AT_REST

    play(story)


def test_a_cluster_at_rest_raises_no_alarm() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        for _ in range(int(HOURS)):
            await asyncio.sleep(1)
            assert scene.watchdog.dead() == []
            assert max(scene.watches.ages().values()) <= AGE_AT_REST

    play(story)


@pytest.mark.parametrize("lag", [0.5, LAG - 1, PATIENCE])
def test_a_busy_cluster_raises_no_alarm_however_its_watches_lag(lag: float) -> None:
    rng = random.Random(lag)

    async def story(scene: Scene) -> None:
        scene.server.lag = lag
        for second in range(3600):
            for plural in ("jobs", "pods", "workshopdemos", "nodes"):
                there = list(scene.server.things[plural])
                if len(there) < 20 or rng.random() < 0.2:
                    scene.server.set(plural, f"made-{second}")
                elif rng.random() < 0.2:
                    scene.server.remove(plural, rng.choice(there))
                else:
                    scene.server.set(plural, rng.choice(there))
            await asyncio.sleep(1)
            assert scene.watchdog.dead() == []
            if lag < LAG:
                assert not any(watch.has_missed() for watch in scene.watches)
                ages = scene.watches.ages()
                assert max(ages[plural] for plural in ("jobs", "pods")) < MINUTES

    play(story)


def test_what_has_gone_before_the_second_look_was_not_missed() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        scene.server.lag = LAG - 1
        await asyncio.sleep(PAUSE - 10)
        for number in range(20):  # around the moment of the list
            scene.server.set("pods", f"short-{number}")
            await asyncio.sleep(1)
            scene.server.remove("pods", f"short-{number}")
        for _ in range(60):
            await asyncio.sleep(10)
            assert not any(watch.has_missed() for watch in scene.watches)

    play(story)


@pytest.mark.parametrize("missed_before", [False, True])
def test_an_api_server_that_is_away_for_an_hour_restarts_nothing(missed_before: bool) -> None:
    """Not even where something was known to be missed before: watches need a moment to return."""

    async def story(scene: Scene) -> None:
        await scene.settle()
        if missed_before:
            scene.server.cut = {"jobs"}
            scene.server.set("jobs", "unheard")
            await asyncio.sleep(PAUSE + LAG + SUSPICION_PAUSE)
        scene.server.is_away, scene.server.cut = True, set(WATCHED)
        for _ in range(60):
            await asyncio.sleep(MINUTES)
            assert scene.watchdog.dead() == []
        assert max(scene.watches.ages().values()) > HOURS / 2, "an alert tells of it"
        scene.server.is_away = False
        scene.server.set("jobs", "new")
        scene.server.lag = PATIENCE - 2 * LAG
        scene.server.reconnect()
        for _ in range(60):
            await asyncio.sleep(10)
            assert scene.watchdog.dead() == []
        assert max(scene.watches.ages().values()) <= AGE_AT_REST

    play(story)


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_right_that_is_missing_restarts_nothing(verb: str) -> None:
    async def story(scene: Scene) -> None:
        scene.server.denied = {Access(verb, "", "pods")}
        scene.server.cut = {"pods"}
        scene.server.set("pods", "unheard")
        await asyncio.sleep(HOURS)
        assert scene.watchdog.dead() == []
        scene.server.denied = set()
        await asyncio.sleep(NOTICED_BY)
        assert len(scene.watchdog.dead()) == 1, "with the right, it is the watch that is dead"

    play(story)


def test_at_rest_nothing_is_listed_but_once_in_a_while() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        before = scene.server.lists
        await asyncio.sleep(HOURS)
        assert scene.server.lists - before <= len(WATCHED) * HOURS / PAUSE

    play(story)


def child(name: str, metadata: dict[str, Any], demo_uid: str = "demo-uid-1") -> dict[str, Any]:
    labels = {names.DEMO_LABEL: "bookshop", names.DEMO_UID_LABEL: demo_uid}
    return metadata | {"name": name, "labels": labels, "creationTimestamp": time()}


def test_what_went_while_a_watch_was_broken_is_forgotten() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        scene.cache.is_complete = True
        server, cache = scene.server, scene.cache
        server.lag = 0
        for plural, kind in {resource.plural: k for k, resource in CHILD_KINDS.items()}.items():
            for name in ("stays", "goes"):
                server.set(plural, f"{plural}-{name}")
                metadata = server.things[plural][f"{plural}-{name}"]
                cache.put_child(kind, {"metadata": child(name, metadata)})
        for name in ("stays", "goes"):
            server.set("nodes", name)
            cache.put_node({"metadata": server.things["nodes"][name]})
            server.set(DEMOS.plural, name)
            body = demo_body(name=name, uid=name)
            cache.put_demo(body | {"metadata": body["metadata"] | {"resourceVersion": "1"}})
        await asyncio.sleep(1)
        server.cut = set(WATCHED)
        for plural, things in server.things.items():
            for uid in [uid for uid in things if uid.endswith("goes")]:
                server.remove(plural, uid)
        server.reconnect()
        scene.woken.clear()
        await asyncio.sleep(PAUSE + LAG + 1)
        for kind in CHILD_KINDS:
            assert [one.name for one in cache.all_children(kind)] == ["stays"], kind
        assert [node.name for node in cache.nodes()] == ["stays"]
        assert list(cache.demos()) == [DemoKey("workshop", "stays")]
        assert set(scene.woken) == {
            DemoKey("workshop", name) for name in ("stays", "goes", "bookshop")
        }
        assert scene.watchdog.dead() == [], "an end that was not told is forgiven"

    play(story)


def test_what_was_made_after_the_list_is_not_forgotten() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        scene.cache.is_complete = True
        await asyncio.sleep(PAUSE - LAG / 2 - 1)
        metadata = {"uid": "late", "namespace": "workshop", "resourceVersion": "900"}
        scene.cache.put_child("Job", {"metadata": child("late", metadata)})
        await asyncio.sleep(LAG)
        assert [one.name for one in scene.cache.all_children("Job")] == ["late"]

    play(story)


def test_what_cannot_be_listed_is_not_forgotten() -> None:
    async def story(scene: Scene) -> None:
        await scene.settle()
        scene.cache.is_complete = True
        metadata = {"uid": "there", "namespace": "workshop", "resourceVersion": "900"}
        for kind in ("Job", "Service"):
            scene.cache.put_child(kind, {"metadata": child("there", metadata)})
        scene.server.denied = {Access("list", "batch", "jobs")}
        await asyncio.sleep(PAUSE + LAG + 1)
        assert [one.name for one in scene.cache.all_children("Job")] == ["there"]
        assert scene.cache.all_children("Service") == []

    play(story)


def test_what_can_be_listed_in_part_is_not_forgotten() -> None:
    async def story(scene: Scene) -> None:
        scene.cache.is_complete = True
        for namespace in ("room-1", "room-2"):
            metadata = {"uid": namespace, "namespace": namespace, "resourceVersion": "900"}
            scene.cache.put_child("Job", {"metadata": child(namespace, metadata, namespace)})
        scene.server.closed = "room-2"
        await asyncio.sleep(PAUSE + LAG + 1)
        assert len(scene.cache.all_children("Job")) == 2
        scene.server.closed = None
        await asyncio.sleep(PAUSE + LAG + 1)
        assert scene.cache.all_children("Job") == []

    play(story, namespaces=("room-1", "room-2"))


def test_what_is_missed_is_so_until_it_or_its_end_is_told() -> None:
    watch = Watch(WATCHED["jobs"], None, lambda: 0.0)
    watch.tell("a", 1)
    watch.conclude(listed_at=0.0, missed={"a": 5, "b": 3}, gone=())
    watch.tell("a", 4)
    assert watch.untold({"a": 5, "b": 3, "c": 1}) == {"a": 5, "b": 3, "c": 1}
    watch.tell("a", 6)
    assert watch.has_missed()
    watch.end("b")
    assert not watch.has_missed()


def test_before_all_is_listed_once_nothing_is_forgotten_and_nobody_woken() -> None:
    async def story(scene: Scene) -> None:
        body = demo_body(name="early", uid="early")
        scene.cache.put_demo(body)
        await asyncio.sleep(PAUSE + LAG + 1)
        assert list(scene.cache.demos()) == [DemoKey("workshop", "early")]
        assert scene.woken == []

    play(story)


def test_every_kind_with_a_handler_is_compared() -> None:
    registry = kopf.OperatorRegistry()
    queue: Any = None
    handlers.register(registry, Cache(), Watches((), lambda: 0.0), queue, asyncio.Event())
    handled = [
        *registry._indexing.get_all_handlers(),
        *registry._watching.get_all_handlers(),
    ]
    assert {handler.selector.any_name for handler in handled if handler.selector} == set(WATCHED)
