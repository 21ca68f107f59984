"""No message is lost and none repeated, whatever becomes of the operator. One test at a time.

Where its process ends between the sending of a message and the note of it, and only there, the
message comes again: with the same identity, and on Slack with a word that says so.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from inbox import About, Letter, tally
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError
from world import FAILING, QUICK, World, wait_for

pytestmark = pytest.mark.disruptive

HOOK = {"name": "hook", "inbox": {"dialect": "Webhook"}}
TEAM = {"name": "team", "inbox": {"dialect": "Slack"}}
DEMOS = [f"d{number}" for number in range(20)]
EACH = 10
"""Jobs of a demo, so that no team has to take more than ten messages, at its one a second."""


def load(world: World, demos: Sequence[str], seconds: float) -> float:
    """Jobs that end in the same moment, half of them failing; gives that moment."""
    end = int(time.time() + seconds)
    wait = f"left=$(({end} - $(date +%s))); test $left -le 0 || sleep $left; echo over; exit "
    entries = [
        (FAILING if number % 2 else QUICK)
        | {"name": f"j{number}", "command": ["sh", "-c", wait + ("3" if number % 2 else "0")]}
        for number in range(EACH)
    ]
    for demo in demos:
        world.apply(*entries, targets=[HOOK, TEAM], name=demo)
    return float(end)


def wait_for_ends(world: World, demos: Sequence[str]) -> dict[str, str]:
    """How each Job of these demos has ended, when all have."""
    count = len(demos) * EACH

    def look() -> dict[str, str]:
        ends = {job: end for job, end in world.ends().items() if job.partition("-")[0] in demos}
        assert len(ends) == count, f"{len(ends)} have ended"
        return ends

    ends = wait_for(f"the end of {count} Jobs", look, deadline=480)
    assert Counter(ends.values()) == {"Success": count // 2, "Failure": count // 2}
    return ends


def wait_for_letters(
    world: World, demos: Sequence[str], ends: Mapping[str, str], since: float
) -> list[Letter]:
    """Wait until the inbox has each message and the demos say so; gives all of theirs."""
    ended = time.time() - since
    world.wait_until_told(ends, "hook", "team", deadline=240)
    told = time.time() - since
    for demo in demos:
        world.wait_for_delivered(2 * EACH, demo)
    letters = [letter for letter in world.inbox.letters() if letter.demo in demos]
    print(
        f"{len(ends)} Jobs were over {ended:.0f} s after they were to end,"
        f" the last of {len(letters)} messages came after {told:.0f} s"
    )
    return letters


def expected(ends: Mapping[str, str]) -> set[About]:
    return {About(target, *end) for target in ("hook", "team") for end in ends.items()}


def check_each_once(letters: list[Letter], ends: Mapping[str, str]) -> None:
    assert tally(letters) == Counter(dict.fromkeys(expected(ends), 1))
    assert not any(letter.may_repeat for letter in letters)


def check_repeats(letters: list[Letter], ends: Mapping[str, str], crashes: int) -> int:
    """Each was told; what came again has the same identity, and says so where nothing else does.

    Gives how many came again.
    """
    assert set(tally(letters)) == expected(ends)
    hooks = [letter for letter in letters if letter.about.target == "hook"]
    teams = [letter for letter in letters if letter.about.target == "team"]
    assert len(hooks) == len(ends), "a repeat has the same webhook-id"
    plain = Counter(letter.about for letter in teams if not letter.may_repeat)
    assert set(plain.values()) <= {1}, "what comes again on Slack is marked"
    identifiers = {letter.about: letter.id for letter in teams}
    assert all(letter.id == identifiers[letter.about] for letter in teams)
    for demo in {letter.demo for letter in teams}:
        own = [letter.about for letter in teams if letter.demo == demo]
        assert len(own) - len(set(own)) <= crashes, "one a crash, as one is sent at a time"
    again = sum(letter.times - 1 for letter in hooks), len(teams) - len(ends)
    marked = sum(letter.may_repeat for letter in teams)
    print(f"came again: {again[0]} webhooks, {again[1]} on Slack, where {marked} are marked")
    return sum(again)


def check_no_log_is_missing(world: World, demo: str) -> None:
    for number in range(EACH):
        world.wait_for_log(f"j{number}", "over", demo)


@contextmanager
def witness(world: World) -> Iterator[dict[str, str]]:
    """How Jobs end meanwhile, though they may be removed at once."""
    ends: dict[str, str] = {}
    watch = Watch()
    words = {"Complete": "Success", "Failed": "Failure"}

    def look() -> None:
        while not over.is_set():
            with suppress(HTTPError):  # the stream broke off: the next one begins with all there is
                listen()

    def listen() -> None:
        for event in watch.stream(
            world.batch.list_namespaced_job, world.namespace, timeout_seconds=300
        ):
            job: Any = event["object"]
            for condition in job.status.conditions or ():
                if condition.type in words and condition.status == "True":
                    ends[job.metadata.name] = words[condition.type]
            if over.is_set():
                return

    over = threading.Event()
    threading.Thread(target=look, daemon=True).start()
    try:
        yield ends
    finally:
        over.set()
        watch.stop()


def apply_twenty_cron_jobs(world: World) -> None:
    """They run by the minute; of most, no Job stays."""
    for demo in DEMOS[:2]:
        entries = [
            (FAILING if number % 2 else QUICK)
            | {"name": f"c{number}", "schedule": "* * * * *", "runNow": 0}
            | {"successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": int(number > 5)}
            | {"notifyOn": ["Success", "Failure", "Missed"]}
            for number in range(10)
        ]
        world.apply(cron_jobs=entries, targets=[HOOK, TEAM], name=demo)
    for demo in DEMOS[:2]:
        wait_for(
            "ten CronJobs",
            lambda demo=demo: all("nextRun" in one for one in world.status(demo)["cronJobs"]),
        )


def test_runs_that_end_while_the_operator_is_down_are_told_once(world: World) -> None:
    """Most of their Jobs are gone when it comes back: Kubernetes' Events tell how they ended."""
    with witness(world) as ends:
        apply_twenty_cron_jobs(world)
        with world.operators(0):
            before = len(ends)
            wait_for("20 runs", lambda: len(ends) >= before + 20, 200)
            wait_for("most are removed", lambda: len(world.jobs()) <= 10)

        def look() -> list[Letter]:
            letters = world.inbox.letters()
            assert tally(letters) == Counter(dict.fromkeys(expected(ends), 1)), (
                f"{len(letters)} of {len(expected(ends))} messages"
            )
            return letters

        letters = wait_for("each run is told once", look)
    told = [one for demo in DEMOS[:2] for one in world.status(demo)["cronJobs"]]
    assert not any(one.get("unknown") or one.get("missed") for one in told)
    unseen = [letter for letter in letters if "FromEvents" in letter.text]
    print(f"{len(letters)} messages of {len(letters) // 2} runs, {len(unseen)} by Events alone")
    assert unseen


def test_operators_killed_again_and_again_and_two_at_once_lose_nothing(world: World) -> None:
    """Some are killed while they make Jobs, some while Jobs end, and at last there are two.

    One demo's receiver is so slow that each time something is being sent. From an operator in
    another Pod this is taken over after a minute only, as it might be alive still; which of the two
    does it, and which tells of the Jobs that end meanwhile, is up to them.
    """
    first, later = DEMOS[:6], DEMOS[6:8]
    world.inbox.fails(demo=first[0], delay=2)
    end = load(world, first, seconds=25)
    for _ in range(3):
        time.sleep(2)
        world.kill_operator()
    wait_for("the end is near", lambda: time.time() > end - 4)
    crashes = 5
    for crash in range(crashes):
        world.kill_operator(in_place=crash == 2)
        wait_for("the next operator", world.operator_is_ready)
        time.sleep(3)
    world.inbox.is_well()
    with world.operators(2):
        later_end = load(world, later, seconds=12)
        later_ends = wait_for_ends(world, later)
        check_each_once(wait_for_letters(world, later, later_ends, later_end), later_ends)
        ends = wait_for_ends(world, first)
        letters = wait_for_letters(world, first, ends, end)
        assert world.restarts() == [0, 0], "both lived all the time"
    assert check_repeats(letters, ends, crashes) > 0, "something was taken over"
    assert len(world.jobs()) == (len(first) + len(later)) * EACH
    for demo in (*first, *later):
        world.wait_for_phase("Ready", demo)
        check_no_log_is_missing(world, demo)
        jobs = world.status(demo)["jobs"]
        assert all("history" not in job for job in jobs), "nothing ran twice"


def test_an_api_server_that_restarts_in_the_middle_costs_no_message(world: World) -> None:
    demos = DEMOS[:2]
    pod = world.operator_pod()
    end = load(world, demos, seconds=15)
    wait_for("the middle", lambda: time.time() > end + 1)
    found = world.node("crictl", "ps", "--quiet", "--name", "kube-apiserver").split()
    world.node("crictl", "stop", "--timeout", "0", *found)
    world.wait_for_api_server()
    ends = wait_for_ends(world, demos)
    letters = wait_for_letters(world, demos, ends, end)
    assert (world.operator_pod(), world.restarts()) == (pod, [0])
    check_each_once(letters, ends)


# The last one: two hundred Pods that are being removed keep the nodes busy.
def test_two_hundred_jobs_that_end_together_are_told_once_each(world: World) -> None:
    end = load(world, DEMOS, seconds=75)
    ends = wait_for_ends(world, DEMOS)
    check_each_once(wait_for_letters(world, DEMOS, ends, end), ends)
    for demo in DEMOS:
        world.wait_for_phase("Ready", demo)
