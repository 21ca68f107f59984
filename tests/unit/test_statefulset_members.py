"""What proves that each member of a StatefulSet is the same as before, and what happened to it."""

from typing import Any

import pytest

from statefulset import NEW, OLD, Scene, what
from support import time
from workshopdemo.model import Member
from workshopdemo.observe.members import ROWS, STEPS, readable_size


def row(scene: Scene, ordinal: int = 0, seconds: float = 0) -> Member:
    return next(one for one in scene.look(seconds).members if one.ordinal == ordinal)


def test_a_row_tells_who_a_member_is_and_where_its_data_is() -> None:
    scene = Scene("Postgres", 2)
    scene.all_well()
    scene.say(1, 3, lag_bytes=1500)
    told = row(scene, 1)
    assert (told.pod, told.claim, told.volume) == (
        "bookshop-database-1",
        "data-bookshop-database-1",
        "pv-1",
    )
    assert (told.node, told.revision, told.role, told.lag) == ("worker-1", OLD, "Replica", "2 KiB")
    assert (told.first_seen, told.starts, told.identifier) == (time(), 3, "7412")
    assert (told.same_claim, told.same_data, told.came_back) == (True, True, 0)


def test_members_that_are_to_be_have_a_row_before_there_is_anything_of_them() -> None:
    scene = Scene(replicas=2)
    scene.live = None
    rows = scene.look().members
    assert [one.pod for one in rows] == ["bookshop-diary-0", "bookshop-diary-1"]
    assert {(one.ready, one.same_claim, one.same_data, one.volume) for one in rows} == {
        (False, None, None, None)
    }


def test_a_new_pod_of_the_same_name_has_the_same_volume_and_data() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    scene.gone(0)
    waiting = row(scene, seconds=5)
    assert (waiting.ready, waiting.node) == (False, None)
    assert (waiting.volume, waiting.starts, waiting.same_data) == ("pv-0", 1, True)
    for life in (2, 3):
        scene.member(0, life=life, at=10.0 * life, node="worker-2")
        scene.say(0, life)
        told = row(scene, seconds=10.0 * life)
        assert (told.came_back, told.starts) == (life - 1, life)
        assert (told.same_claim, told.same_data, told.first_seen) == (True, True, time())
        assert told.node == "worker-2"


def test_a_new_pod_that_nobody_has_seen_missing_has_come_back_too() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    scene.member(0, life=2, at=10)
    assert row(scene, seconds=10).came_back == 1


def test_a_container_that_restarts_is_the_same_pod() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    scene.member(0, restarts=1)
    scene.say(0, 2)
    told = row(scene, seconds=10)
    assert (told.came_back, told.restarts, told.starts, told.same_data) == (0, 1, 2, True)


@pytest.mark.parametrize(
    ("starts", "words", "is_same"),
    [
        (6, {}, True),
        (60, {}, True),
        (6, {"identifier": "other"}, False),
        (6, {"chain": "forged"}, False),
        (4, {}, False),
        (60, {"intact": False}, False),
    ],
    ids=["one more", "told entry too old", "another", "rewritten", "fewer", "broken chain"],
)
def test_data_is_the_same_if_all_that_was_is_there_still(
    starts: int, words: dict[str, Any], is_same: bool
) -> None:
    scene = Scene(replicas=1)
    scene.member(0)
    scene.say(0, 5)
    scene.look()
    scene.member(0, life=2)
    scene.say(0, starts, **words)
    assert row(scene).same_data is is_same


def test_data_that_was_replaced_once_stays_told() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    scene.claims.clear()
    scene.member(0, life=2, claimed=False)
    scene.claim(0, volume="pv-new")
    scene.say(0, identifier="other")
    for starts in (1, 2, 3):
        scene.say(0, starts, identifier="other")
        told = row(scene)
        assert (told.same_claim, told.same_data) == (False, False)
        assert (told.volume, told.identifier, told.starts) == ("pv-new", "other", starts)


def test_a_member_that_is_scaled_away_is_remembered_with_its_claim() -> None:
    scene = Scene(replicas=2, retain=True)
    scene.all_well()
    scene.look()
    scene.change(replicas=1)
    scene.member(1, terminating=True)
    assert [one.ordinal for one in scene.look(5).members] == [0, 1]
    scene.gone(1)
    status = scene.look(10)
    assert [(one.ordinal, one.message is None) for one in status.members] == [(0, True), (1, False)]
    assert (status.ready, status.as_expected) == (1, True)
    assert status.kept_claims == ("data-bookshop-diary-1",)
    scene.change(replicas=2)
    scene.member(1, life=2, at=20)
    scene.say(1, 2)
    status = scene.look(20)
    assert status.kept_claims == ()
    told = status.members[1]
    assert (told.same_claim, told.same_data, told.starts) == (True, True, 2)
    assert (told.came_back, told.message) == (1, None)
    assert told.first_seen == time(), "the data itself tells that it is the old one"


def test_a_member_that_comes_back_to_other_data_is_told() -> None:
    scene = Scene(replicas=2, retain=True)
    scene.all_well()
    scene.look()
    scene.change(replicas=1)
    scene.gone(1)
    scene.look(10)
    scene.change(replicas=2)
    scene.member(1, life=2, at=20)
    scene.say(1, 2, identifier="of-another-diary")
    told = scene.look(20).members[1]
    assert (told.same_claim, told.same_data) == (True, False)


def test_an_operator_that_starts_anew_knows_from_the_status_what_was() -> None:
    scene = Scene("Postgres", 2)
    scene.all_well()
    scene.say(1, lag_bytes=0)
    before = scene.look()
    scene.restart_operator()
    assert scene.look(30) == before, "nothing is to be written"
    scene.say(0, 1)
    scene.say(1, 1, lag_bytes=0)
    assert scene.look(31) == before


def test_what_another_stateful_set_was_says_nothing() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    diary = scene.look()
    scene = Scene("Postgres", 1)
    scene.told = diary
    scene.all_well()
    status = scene.look(10)
    assert (status.members[0].came_back, status.members[0].same_data) == (0, True)
    assert what(status.steps) == ["0 Created", "0 Ready"]


def test_more_pods_than_a_status_takes_are_not_all_told() -> None:
    scene = Scene(replicas=2)
    scene.all_well(range(40))
    status = scene.look()
    assert len(status.members) == ROWS
    assert len(status.steps) == STEPS


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (3, "4 B"),
        (1000, "1024 B"),
        (1024, "1 KiB"),
        (1500, "2 KiB"),
        (3 * 1024**2, "4 MiB"),
        (2**40, "1 TiB"),
        (2**63 - 1, "8388608 TiB"),
    ],
)
def test_a_size_is_told_so_coarsely_that_it_rests(size: int, words: str) -> None:
    assert readable_size(size) == words


# What happened.


def test_members_start_in_order_and_each_step_is_told_once() -> None:
    scene = Scene(replicas=2)
    scene.look()
    scene.member(0, at=1, ready=False)
    scene.look(2)
    scene.member(0, at=1, ready_at=4)
    scene.look(5)
    scene.member(1, at=5, ready=False)
    scene.look(6)
    scene.member(1, at=5, ready_at=9)
    for seconds in range(10, 100):
        status = scene.look(seconds)
    assert what(status.steps) == ["0 Created", "0 Ready", "1 Created", "1 Ready"]
    assert [step.time for step in status.steps] == [time(1), time(4), time(5), time(9)]
    assert status.steps[0].revision == OLD


def test_a_rolling_update_goes_from_the_highest_member_down() -> None:
    scene = Scene(replicas=2)
    scene.all_well()
    scene.look()
    scene.template(NEW)
    for ordinal, begin in ((1, 10), (0, 20)):
        scene.member(ordinal, terminating=True)
        scene.look(begin)
        scene.gone(ordinal)
        scene.look(begin + 2)
        scene.member(ordinal, life=2, at=begin + 3, ready_at=begin + 6, revision=NEW)
        scene.look(begin + 7)
    steps = scene.look(60).steps[4:]
    assert what(steps) == [
        f"{ordinal} {one}" for ordinal in (1, 0) for one in ("Stopping", "Gone", "Created", "Ready")
    ]
    assert [step.revision for step in steps if step.what == "Created"] == [NEW, NEW]


def test_a_pod_that_was_replaced_between_two_looks_has_been_gone() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    scene.member(0, life=2, at=30, ready_at=35)
    steps = scene.look(40).steps
    assert what(steps) == ["0 Created", "0 Ready", "0 Gone", "0 Created", "0 Ready"]
    assert [step.time for step in steps[2:]] == [time(30), time(30), time(35)]


def test_of_members_that_went_between_two_looks_the_highest_went_first() -> None:
    scene = Scene(replicas=3)
    scene.all_well()
    scene.look()
    for ordinal in (1, 2):
        scene.gone(ordinal)
    assert what(scene.look(40).steps[6:]) == ["2 Gone", "1 Gone"]


def test_a_member_that_is_not_ready_for_a_while_is_told_of_with_the_kubelets_times() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    scene.member(0, ready=False, ready_at=20)
    scene.look(25)
    scene.member(0, ready_at=30)
    steps = scene.look(31).steps
    assert what(steps) == ["0 Created", "0 Ready", "0 NotReady", "0 Ready"]
    assert [step.time for step in steps[2:]] == [time(20), time(30)]


def test_a_pod_that_takes_its_time_to_stop_is_told_of_once() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    scene.member(0, terminating=True)
    for seconds in (10, 11, 40):
        steps = scene.look(seconds).steps
    assert what(steps) == ["0 Created", "0 Ready", "0 Stopping"]
    scene.restart_operator()
    assert scene.look(50).steps == steps


def test_clocks_that_differ_bring_no_step_before_the_one_it_follows() -> None:
    scene = Scene(replicas=2)
    scene.all_well([0])
    # The API server is ahead of the operator, and a kubelet behind both.
    scene.member(1, at=300, ready_at=100)
    scene.look(0)
    scene.member(1, at=300, terminating=True)
    for seconds in range(1, 50):
        steps = scene.look(seconds).steps
    assert [step.what for step in steps if step.pod.endswith("1")] == [
        "Created",
        "Ready",
        "Stopping",
    ]
    assert [step.time for step in steps] == sorted(step.time for step in steps)


def test_the_newest_steps_are_kept() -> None:
    scene = Scene(replicas=1)
    for life in range(1, 30):
        scene.member(0, life=life, at=life * 10)
        scene.say(0, life)
        scene.look(life * 10 + 5)
    assert scene.told is not None
    assert len(scene.told.steps) == STEPS
    assert scene.told.steps[-1].time == time(290)
    assert scene.told.members[0].came_back == 28
