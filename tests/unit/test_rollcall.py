"""An operator that starts waits until it was told of all that there is."""

import asyncio
from collections.abc import Iterable
from typing import cast

import pytest

from support import FakeTimeLoop
from workshopdemo.cluster import Cluster, Seen
from workshopdemo.errors import UnavailableError
from workshopdemo.facts import Watched
from workshopdemo.rollcall import await_all
from workshopdemo.watches import Watch, Watches


class Scene:
    """Jobs in the cluster, and watches that tell of them when the test says so."""

    def __init__(self, jobs: Iterable[str]) -> None:
        self.loop = FakeTimeLoop()
        self.jobs = dict.fromkeys(jobs, 1)
        self.lists = 0
        self.is_away = False
        self.watches = Watches((), self.loop.time)
        self.done = False

    async def list_seen(self, watched: Watched, _: str | None) -> list[Seen]:
        if watched.resource.plural != "jobs":
            return []
        self.lists += 1
        if self.is_away:
            raise UnavailableError("no answer")
        return [Seen(uid, version, "n", uid) for uid, version in self.jobs.items()]

    @property
    def watch(self) -> Watch:
        (watch,) = (one for one in self.watches if one.plural == "jobs")
        return watch

    async def open(self) -> None:
        await await_all(cast("Cluster", self), list(self.watches))
        self.done = True


def play(scene: Scene, *steps: tuple[float, str, int], rest: float = 1) -> None:
    """Have the watch tell of these, each so many seconds after the one before, and wait a while."""

    async def story() -> None:
        opening = asyncio.create_task(scene.open())
        for pause, uid, version in steps:
            await asyncio.sleep(pause)
            assert not scene.done
            scene.watch.tell(uid, version)
        await asyncio.sleep(rest)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)

    try:
        scene.loop.run_until_complete(story())
    finally:
        scene.loop.close()


def test_it_waits_for_the_last_one() -> None:
    scene = Scene(["a", "b"])
    play(scene, (1, "a", 1), (3, "b", 1))
    assert scene.done
    assert scene.lists == 1


def test_nothing_is_listed_again_while_the_watches_tell() -> None:
    scene = Scene([str(number) for number in range(6)])
    play(scene, *((4, str(number), 1) for number in range(6)))
    assert scene.done
    assert scene.lists == 1, "a busy machine would be made busier"


def test_what_goes_on_elsewhere_does_not_keep_it_waiting() -> None:
    scene = Scene(["goes"])
    scene.loop.call_later(2, scene.jobs.pop, "goes")
    play(scene, *((4, "new", version) for version in range(1, 8)), rest=8)
    assert scene.done


def test_an_older_state_of_an_object_does_not_do() -> None:
    scene = Scene(["a"])
    scene.jobs["a"] = 7
    play(scene, (1, "a", 3), (1, "a", 8))
    assert scene.done


def test_where_there_is_nothing_it_does_not_wait() -> None:
    scene = Scene([])
    play(scene)
    assert scene.done


def test_it_does_not_wait_for_what_has_gone() -> None:
    scene = Scene(["stays", "goes"])
    scene.loop.call_later(2, scene.jobs.pop, "goes")
    play(scene, (1, "stays", 1), rest=8)
    assert scene.done
    assert scene.lists == 2


@pytest.mark.parametrize("away", [3, 60])
def test_an_api_server_that_is_away_is_asked_again(away: float) -> None:
    scene = Scene(["a"])
    scene.is_away = True
    scene.loop.call_later(away, setattr, scene, "is_away", False)  # noqa: FBT003
    play(scene, (1, "a", 1))
    assert not scene.done
