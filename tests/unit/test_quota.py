"""How many demos a namespace may have: who is served, who waits, and who goes on when."""

from dataclasses import replace
from typing import Any

import pytest

from support import SETTINGS, demo_body
from workshopdemo.cluster import Cache
from workshopdemo.errors import TooManyDemosError
from workshopdemo.names import DemoKey
from workshopdemo.quota import Quota

VALID = {"type": "SpecValid", "status": "True", "reason": "Valid"}
NO_PLACE = {"type": "SpecValid", "status": "False", "reason": "TooManyDemos"}
MISTAKE = {"type": "SpecValid", "status": "False", "reason": "InvalidSpec"}


class Class:
    """A namespace with a limit of two demos, unless it says otherwise."""

    def __init__(self, limit: int = 2, exempt: tuple[str, ...] = ()) -> None:
        self.cache = Cache()
        self.limit = limit
        self.exempt = exempt
        self.restart()

    def restart(self) -> None:
        self.woken: list[str] = []
        settings = replace(SETTINGS, demos_per_namespace=self.limit, exempt_namespaces=self.exempt)
        self.quota = Quota(settings, self.cache, lambda key, _: self.woken.append(str(key)))

    def add(self, name: str, age: float = 0, namespace: str = "class-7", told: Any = None) -> None:
        status = {"conditions": [told]} if told else {}
        self.cache.put_demo(
            demo_body(name=name, namespace=namespace, uid=_uid(name), age=age, status=status)
        )

    def remove(self, name: str) -> None:
        key = DemoKey("class-7", name)
        self.cache.remove_demo(key, _uid(name))
        self.quota.leave(key)

    def claim(self, name: str, namespace: str = "class-7") -> None:
        self.quota.claim(DemoKey(namespace, name), _uid(name))

    def served(self) -> list[str]:
        found = []
        for key in sorted(self.cache.demos()):
            try:
                self.claim(key.name, key.namespace)
            except TooManyDemosError:
                continue
            found.append(key.name)
        return found


def _uid(name: str) -> str:
    return f"uid-of-{name}"


def test_the_oldest_are_served_whoever_is_looked_at_first() -> None:
    room = Class()
    for name, age in (("alpha", 10), ("beta", 30), ("gamma", 20)):
        room.add(name, age)
    assert room.served() == ["beta", "gamma"]


def test_of_the_same_second_it_is_always_the_same() -> None:
    room = Class(limit=1)
    for name in ("beta", "alpha"):
        room.add(name)
    assert room.served() == ["alpha"]


def test_who_waits_is_told_the_limit_who_has_the_places_and_the_way_out() -> None:
    room = Class()
    for name, age in (("alpha", 30), ("beta", 20), ("gamma", 10)):
        room.add(name, age)
    with pytest.raises(TooManyDemosError) as refusal:
        room.claim("gamma")
    assert str(refusal.value) == (
        "metadata.namespace: a namespace may have 2 demos (the value limits.demos of the"
        " operator), and alpha, beta came first: delete one that you do not need, and this one"
        " goes on by itself"
    )


def test_a_long_list_of_others_is_cut() -> None:
    room = Class(limit=9)
    for number in range(10):
        room.add(f"d{number}", age=100 - number)
    with pytest.raises(
        TooManyDemosError, match=r"have 9 demos .* d0, d1, d2, d3, d4 and 4 more came"
    ):
        room.claim("d9")


def test_who_waits_is_looked_at_when_a_place_is_free_and_nobody_else() -> None:
    room = Class()
    for name, age in (("alpha", 40), ("beta", 30), ("gamma", 20), ("delta", 10)):
        room.add(name, age)
    room.add("other", namespace="class-8")
    assert room.served() == ["alpha", "beta", "other"]
    room.remove("alpha")
    assert sorted(room.woken) == ["class-7/delta", "class-7/gamma"]
    assert room.served() == ["beta", "gamma", "other"]


def test_who_has_a_place_keeps_it_although_somebody_older_is_seen_late() -> None:
    room = Class(limit=1)
    room.add("young")
    assert room.served() == ["young"]
    room.add("old", age=60)
    assert room.served() == ["young"]


@pytest.mark.parametrize("told", [VALID, MISTAKE])
def test_who_was_served_before_a_restart_stays_served_whatever_the_limit_is_now(told: Any) -> None:
    room = Class(limit=1)
    for name in ("alpha", "beta"):
        room.add(name, told=told)
    room.add("waiting", age=60, told=NO_PLACE)
    assert room.served() == ["alpha", "beta"]
    room.remove("alpha")
    room.remove("beta")
    assert room.served() == ["waiting"]


def test_a_namesake_has_no_claim_to_the_place_of_who_is_gone() -> None:
    room = Class(limit=1)
    room.add("alpha", age=60)
    room.add("beta", age=30)
    assert room.served() == ["alpha"]
    room.remove("alpha")
    room.add("alpha")
    assert room.served() == ["beta"]


def test_each_namespace_is_counted_by_itself_and_some_are_not() -> None:
    room = Class(limit=1, exempt=("workshop",))
    for name, namespace in (
        ("a", "class-7"),
        ("b", "class-8"),
        ("c", "workshop"),
        ("d", "workshop"),
    ):
        room.add(name, namespace=namespace)
    assert room.served() == ["a", "b", "c", "d"]


def test_without_a_limit_all_are_served() -> None:
    room = Class(limit=0)
    for number in range(30):
        room.add(f"d{number}")
    assert len(room.served()) == 30
