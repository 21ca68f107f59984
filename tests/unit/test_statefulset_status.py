"""What the status says of spec.statefulSet as a whole."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logshipping import moment, node
from statefulset import NEW, OLD, Scene, checksum
from support import NOW, demo_body, time
from workshopdemo import story
from workshopdemo.errors import ForbiddenError
from workshopdemo.model import Status, parse
from workshopdemo.names import component_name
from workshopdemo.observe import Hearing, Silence, observe, status_of
from workshopdemo.observe.members import STEPS
from workshopdemo.observe.statefulset import SILENCE_PATIENCE, lacks_pod

PATIENCE = SILENCE_PATIENCE.total_seconds()


def verdict(scene: Scene, seconds: float = 0) -> tuple[bool | None, str]:
    status = scene.look(seconds)
    return status.as_expected, status.reason


def test_it_is_starting_until_kubernetes_and_its_members_have_done_their_part() -> None:
    scene = Scene(replicas=2)
    live, scene.live = scene.live, None
    assert verdict(scene) == (None, "Starting")
    assert scene.told is not None
    assert (scene.told.ready, scene.told.updated, scene.told.replicas) == (0, 0, 2)
    scene.live = live
    assert verdict(scene) == (None, "Starting")
    scene.member(0)
    assert scene.look().message == "1/2 members ready, bookshop-diary-1 to come"
    scene.member(1)
    assert verdict(scene) == (None, "Asking")
    assert scene.look().message == "bookshop-diary-0, bookshop-diary-1 to be asked"
    scene.say(0)
    scene.say(1)
    assert verdict(scene) == (True, "MembersReady")
    assert scene.due is None, "at rest there is nothing to wait for"
    assert (scene.told.ready, scene.told.updated) == (2, 2)


def test_a_change_that_kubernetes_has_not_seen_is_under_way() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    assert scene.live is not None
    scene.live = replace(scene.live, generation=2)
    assert verdict(scene) == (None, "Starting")


def test_a_database_that_is_ready_tells_its_proof() -> None:
    scene = Scene("Postgres", 3)
    scene.all_well()
    scene.say(0, rows=7)
    status = scene.look()
    assert (status.identifier, status.rows) == ("7412", 7)
    assert status.message == (
        "3/3 members ready; each with its own name, claim and data; "
        "2 replicas stream from bookshop-database-0"
    )
    scene.member(2, life=2)
    scene.say(2, 2)
    assert scene.look().message.startswith(
        "3/3 members ready; Pods were replaced once, and name, claim and data were the same"
    )


def test_a_member_that_was_and_is_not_is_restarting() -> None:
    scene = Scene(replicas=2)
    scene.all_well()
    scene.look()
    scene.gone(1)
    assert verdict(scene, 10) == (None, "Restarting")


def test_an_update_that_goes_on_is_told_by_member() -> None:
    scene = Scene(replicas=3)
    scene.all_well()
    scene.template(NEW)
    scene.member(2, life=2, revision=NEW)
    scene.say(2)
    status = scene.look()
    assert (status.as_expected, status.reason, status.updated) == (None, "Updating", 1)
    assert "bookshop-diary-0, bookshop-diary-1 still of the old template" in status.message


def test_a_partition_is_as_asked_and_names_who_is_left() -> None:
    scene = Scene(replicas=2, updateStrategy={"rollingUpdate": {"partition": 1}})
    scene.all_well()
    scene.template(NEW)
    assert verdict(scene) == (None, "Updating")
    scene.member(1, revision=NEW)
    status = scene.look()
    assert (status.as_expected, status.reason) == (True, "PartitionedUpdate")
    assert status.message == (
        "2/2 members ready; bookshop-diary-0 of the old template, as partition 1 asks"
    )


def test_on_delete_nothing_is_under_way() -> None:
    scene = Scene(replicas=2, updateStrategy={"type": "OnDelete"})
    scene.all_well()
    scene.template(NEW)
    status = scene.look()
    assert (status.as_expected, status.reason, status.updated) == (True, "UpdateOnDelete", 0)
    assert "until its Pod is deleted (OnDelete)" in status.message


def test_scaling_down_names_who_goes() -> None:
    scene = Scene(replicas=3)
    scene.all_well()
    scene.look()
    scene.change(replicas=1)
    scene.member(2, terminating=True)
    status = scene.look(5)
    assert (status.as_expected, status.reason) == (None, "ScalingDown")
    assert "bookshop-diary-1, bookshop-diary-2 goes" in status.message
    assert (status.ready, status.replicas) == (1, 1)


def test_scaled_to_zero_is_as_asked_and_the_data_waits() -> None:
    scene = Scene(replicas=0, retain=True)
    scene.claim(0)
    scene.claim(1)
    assert verdict(scene) == (True, "ScaledToZero")
    assert scene.told is not None
    assert scene.told.kept_claims == ("data-bookshop-diary-0", "data-bookshop-diary-1")


def test_a_claim_that_goes_or_is_used_is_not_kept() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.claim(1, terminating=True)
    scene.member(2, terminating=True)
    assert scene.look().kept_claims == ()


# What members say, or do not.


def test_a_silence_counts_when_it_lasts() -> None:
    scene = Scene(replicas=2)
    scene.all_well([0])
    scene.member(1)
    scene.silence(1)
    assert verdict(scene, PATIENCE - 1) == (None, "Asking")
    assert scene.due == moment(PATIENCE)
    assert verdict(scene, PATIENCE) == (False, "MemberSilent")
    assert scene.told is not None
    assert scene.told.message == "bookshop-diary-1: the member did not answer within 5 s"


def test_whoever_has_answered_and_falls_silent_is_told_of_too() -> None:
    scene = Scene("Postgres", 2)
    scene.all_well()
    scene.look()
    scene.silence(1, since=100)
    assert verdict(scene, 110) == (True, "MembersReady")
    assert scene.due == moment(100 + PATIENCE)
    assert verdict(scene, 100 + PATIENCE) == (False, "MemberSilent")


def test_before_a_member_is_ready_its_silence_means_nothing() -> None:
    scene = Scene(replicas=1)
    scene.member(0, ready=False, waiting="ContainerCreating")
    scene.silence(0)
    assert verdict(scene, 200) == (None, "Starting")
    scene.member(0, ready_at=200)
    assert verdict(scene, 201) == (None, "Asking")
    assert scene.due == moment(200 + PATIENCE)


def test_a_replica_that_does_not_stream_is_told_of_when_that_lasts() -> None:
    scene = Scene("Postgres", 2)
    scene.all_well(ready_at=30)
    scene.idles(1)
    assert verdict(scene, 30 + PATIENCE - 1) == (None, "Joining")
    assert scene.due == moment(30 + PATIENCE)
    assert verdict(scene, 30 + PATIENCE) == (False, "NotStreaming")
    assert scene.told is not None
    assert scene.told.message == "bookshop-database-1 does not stream from bookshop-database-0"


def test_damaged_data_is_told_whatever_else_goes_on() -> None:
    scene = Scene(replicas=2)
    scene.all_well()
    scene.say(0, 3, intact=False)
    scene.template(NEW)
    status = scene.look()
    assert (status.as_expected, status.reason) == (False, "DataDamaged")
    assert "bookshop-diary-0 wrote at earlier starts" in status.message


def test_members_with_different_databases_are_told_of_and_diaries_always_differ() -> None:
    scene = Scene("Postgres", 2)
    scene.all_well()
    scene.say(1, identifier="other")
    assert verdict(scene) == (False, "OtherDatabase")
    scene = Scene("Diary", 2)
    scene.all_well()
    scene.say(1, identifier="other")
    assert verdict(scene) == (True, "MembersReady")


def test_a_member_that_began_anew_is_fine_and_told_of() -> None:
    scene = Scene(replicas=2)
    scene.all_well()
    scene.look()
    scene.claim(1, volume="pv-new")
    scene.member(1, life=2)
    scene.say(1, identifier="new")
    status = scene.look(10)
    assert (status.as_expected, status.reason) == (True, "BeganAnew")
    assert "bookshop-diary-1 began anew" in status.message


def test_after_the_operator_started_anew_only_what_was_fine_is() -> None:
    scene = Scene(replicas=2)
    scene.all_well()
    scene.look()
    scene.restart_operator()
    assert verdict(scene, 5) == (True, "MembersReady")
    scene.silence(1, since=6)
    assert verdict(scene, 7) == (True, "MembersReady"), "as long as with the old operator"
    assert verdict(scene, 6 + PATIENCE) == (False, "MemberSilent")
    scene.restart_operator()
    assert verdict(scene, 100) == (None, "Asking")


def test_after_the_operator_started_anew_another_pod_is_asked_first() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    scene.restart_operator()
    scene.member(0, restarts=1)
    assert verdict(scene) == (None, "Asking")
    scene.member(0, life=2)
    assert verdict(scene) == (None, "Asking")


def test_an_object_that_cannot_be_written_is_told_before_all_else() -> None:
    scene = Scene(replicas=1)
    scene.problem = ForbiddenError("cannot apply StatefulSet: exceeded quota")
    scene.refusal = "no"
    status = scene.look()
    assert (status.as_expected, status.reason) == (False, "Forbidden")
    assert "exceeded quota" in status.message


@pytest.mark.parametrize(
    ("policy", "there", "lacks"),
    [
        ("OrderedReady", {}, True),
        ("OrderedReady", {0: False}, False),
        ("OrderedReady", {0: True}, True),
        ("OrderedReady", {0: True, 1: False}, False),
        ("OrderedReady", {1: True}, True),
        ("OrderedReady", {0: True, 1: True, 2: True}, False),
        ("Parallel", {0: False}, True),
        ("Parallel", {0: False, 1: False, 2: False}, False),
    ],
)
def test_a_pod_lacks_only_where_kubernetes_would_make_one(
    policy: str, there: dict[int, bool], lacks: bool
) -> None:
    scene = Scene(replicas=3, podManagementPolicy=policy)
    for ordinal, ready in there.items():
        scene.member(ordinal, ready=ready)
    assert lacks_pod(scene.asked, scene.facts.named, scene.pods) is lacks


# The whole status.


def whole(scene: Scene, seconds: float = 0, before: Status | None = None) -> Status:
    demo = parse(demo_body(stateful_set=scene.section))
    if before is not None:
        demo = msgspec.structs.replace(demo, status=before)
    seen = observe(demo, {}, {}, moment(seconds), None, stateful_set_facts=scene.facts)
    return status_of(demo, seen, None, [], moment(seconds))


def judged(status: Status, kind: str = "StatefulSetReady") -> tuple[str, str]:
    return next((one.status, one.reason) for one in status.conditions if one.type == kind)


@pytest.mark.parametrize(
    ("scenario", "line"), [("Postgres", "database 2/2"), ("Diary", "diary 2/2")]
)
def test_the_demo_is_ready_when_its_members_are_and_says_so_in_a_line(
    scenario: str, line: str
) -> None:
    scene = Scene(scenario, 2)
    scene.all_well()
    status = whole(scene)
    assert (status.phase, status.summary) == ("Ready", line)
    assert judged(status) == ("True", "MembersReady")
    assert judged(status, "Ready")[0] == "True"
    assert judged(status, "Progressing") == ("False", "Settled")
    assert whole(scene, 60, status) == status, "at rest nothing is written"


def test_nothing_there_is_pending_and_something_is_progressing() -> None:
    scene = Scene(replicas=2)
    status = whole(scene)
    assert (status.phase, status.summary) == ("Pending", "diary 0/2")
    assert judged(status) == ("Unknown", "Starting")
    scene.member(0)
    assert whole(scene).phase == "Progressing"
    progressing = next(one for one in status.conditions if one.type == "Progressing")
    assert "the StatefulSet" in progressing.message


def test_what_is_blocked_degrades_the_demo_and_tells_the_way_out() -> None:
    scene = Scene("Postgres", 2)
    scene.all_well([0])
    scene.member(1, ready=False, ended=42)
    status = whole(scene)
    assert (status.phase, status.summary) == ("Degraded", "database 1/2: OtherDatabase")
    assert judged(status) == ("False", "OtherDatabase")
    ready = next(one for one in status.conditions if one.type == "Ready")
    assert "Way out: " in ready.message


def test_a_condition_tells_since_when() -> None:
    scene = Scene(replicas=1)
    before = whole(scene)
    scene.all_well()
    status = whole(scene, 30, before)
    later = whole(scene, 90, status)
    since = {one.type: one.last_transition_time for one in later.conditions}
    assert since["StatefulSetReady"] == time(30)
    assert since["SpecValid"] == time(0)


def test_nine_members_with_all_that_can_be_said_fit_on_a_status() -> None:
    scene = Scene("Postgres", 9)
    long = "n" * 253
    scene.nodes = [node(long)]
    for life in range(1, 5):
        for ordinal in range(9):
            scene.member(ordinal, life=life, at=life * 10, node=long, restarts=life * 100)
            scene.say(ordinal, life * 100, lag_bytes=2**40, identifier="7" * 64)
        scene.look(life * 10)
    scene.gone(8)
    for ordinal in range(9, 9 + 30):
        scene.claim(ordinal)
    scene.refusal = "exceeded quota " + "x" * 5000
    status = whole(scene, 60)
    told = status.stateful_set
    assert told is not None
    assert (len(told.members), len(told.steps), len(told.kept_claims)) == (9, STEPS, 20)
    assert len(msgspec.json.encode(told)) < 16 * 1024
    shown = [tale.short(PLACES) for tale in story.load().values()]
    size = len(json.dumps(msgspec.to_builtins(status), ensure_ascii=False).encode())
    assert size + len(msgspec.json.encode(shown)) < 32 * 1024, "jobs and logs have their room too"


PLACES = {
    "namespace": "n" * 63,
    "demo": "d" * 63,
    "job": "j" * 54,
    "cronjob": "c" * 52,
    "daemonset": "d" * 52,
    "component": "log-shipper",
    "statefulset": component_name("d" * 63, "database"),
    "service": "s" * 52,
    "members": "m" * 52,
}


# Whatever happens.

pods = st.fixed_dictionaries(
    {
        "life": st.integers(1, 3),
        "at": st.integers(0, 200),
        "ready": st.booleans(),
        "ready_at": st.integers(0, 200),
        "node": st.sampled_from(["worker-1", "worker-2", "lost", None]),
        "revision": st.sampled_from([OLD, NEW]),
        "terminating": st.booleans(),
        "restarts": st.integers(0, 3),
        "last": st.sampled_from([None, 0, 1, 42]),
        "ended": st.sampled_from([None, None, 1, 42]),
        "waiting": st.sampled_from([None, None, "CrashLoopBackOff", "ErrImagePull"]),
        "unplaced": st.sampled_from([None, None, None, "volume node affinity", "no room"]),
        "started": st.sampled_from([None, False]),
    }
)
testimonies = st.fixed_dictionaries(
    {
        "starts": st.integers(1, 40),
        "identifier": st.sampled_from(["1", "2"]),
        "chain": st.sampled_from(["", "forged"]),
        "intact": st.booleans(),
        "rows": st.integers(0, 50),
        "lag_bytes": st.sampled_from([None, 0, 2000]),
    }
)
claims = st.sampled_from([None, "pv-a", "pv-b"])
events = st.one_of(
    st.tuples(st.just("pod"), st.integers(0, 3), pods),
    st.tuples(st.just("gone"), st.integers(0, 3), st.none()),
    st.tuples(st.just("say"), st.integers(0, 3), testimonies),
    st.tuples(st.just("silent"), st.integers(0, 3), st.integers(0, 300)),
    st.tuples(st.just("idle"), st.integers(0, 3), st.integers(0, 300)),
    st.tuples(st.just("claim"), st.integers(0, 3), claims),
    st.tuples(st.just("template"), st.just(0), st.sampled_from([OLD, NEW])),
    st.tuples(st.just("operator"), st.just(0), st.none()),
    st.tuples(st.just("replicas"), st.integers(0, 4), st.none()),
)
looks = st.lists(st.tuples(st.integers(0, 90), st.lists(events, max_size=4)), max_size=12)


def happen(scene: Scene, event: tuple[str, int, Any]) -> None:
    what, ordinal, how = event
    name = f"bookshop-{scene.component}-{ordinal}"
    if what == "pod":
        scene.member(ordinal, claimed=False, **how)
    elif what == "claim":
        scene.claim(ordinal, volume=how)
    elif what == "template":
        scene.template(how)
    elif what == "operator":
        scene.restart_operator()
    elif what == "replicas":
        scene.change(replicas=ordinal)
    elif name in scene.pods:
        act = {"gone": scene.gone, "say": scene.say, "silent": scene.silence, "idle": scene.idles}
        words = how if isinstance(how, dict) else ({} if how is None else {"since": how})
        act[what](ordinal, **words)


@given(
    st.sampled_from(["Diary", "Postgres"]),
    st.sampled_from(["OrderedReady", "Parallel"]),
    st.sampled_from([{}, {"type": "OnDelete"}, {"rollingUpdate": {"partition": 1}}]),
    looks,
)
def test_whatever_happens_a_second_look_finds_nothing_to_write(
    scenario: str, policy: str, strategy: dict[str, Any], story_of: list[tuple[int, list[Any]]]
) -> None:
    """`Scene.look` is what asserts that; here its steps are looked at besides."""
    scene = Scene(scenario, 2, podManagementPolicy=policy, updateStrategy=strategy)
    now = 0
    for pause, happened in story_of:
        now += pause
        for event in happened:
            happen(scene, event)
        known = scene.told.steps if scene.told is not None else ()
        status = scene.look(now)
        times = [step.time for step in status.steps]
        assert times == sorted(times)
        assert len(times) <= STEPS
        for pod in {step.pod for step in status.steps}:
            before = [step for step in known if step.pod == pod]
            after = [step for step in status.steps if step.pod == pod]
            assert after[: len(before)] == before or len(times) == STEPS, "history is not rewritten"
        for _ in range(20):
            if scene.due is None:
                break
            now = int((scene.due - NOW).total_seconds())
            scene.look(now)
        assert scene.due is None, "there is an end to waiting"
        assert scene.look(now + 3600).steps == status.steps, "as time goes by nothing happens"


def test_a_thing_that_was_heard_of_a_pod_that_is_gone_says_nothing_of_the_next() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.look()
    scene.member(0, life=2)
    assert verdict(scene) == (None, "Asking")
    told = scene.look().members[0]
    assert (told.starts, told.checksum) == (1, checksum("7412", "bookshop-diary-0", 1))


def test_without_a_ready_condition_silence_counts_from_when_it_began() -> None:
    scene = Scene(replicas=1)
    pod = scene.member(0)
    bare = {"type": "Ready", "status": "True"}
    scene.pods[pod.name] = replace(pod, status={**pod.status, "conditions": [bare]})
    scene.heard = Hearing(silent={pod.uid: Silence(NOW, "no answer")})
    assert verdict(scene, PATIENCE) == (False, "MemberSilent")
