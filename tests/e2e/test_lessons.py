"""Demos as an instructor applies them: what they show, and what is told of it."""

import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from world import FAILING, QUICK, World, wait_for


def test_each_scenario_ends_as_its_lesson_says(world: World) -> None:
    scenarios = {
        "DatabaseMigration": ("Complete", "CompletionsReached"),
        "CIPipeline": ("Complete", "CompletionsReached"),
        "DataPipeline": ("Complete", "CompletionsReached"),
        "FailsThenSucceeds": ("Complete", "CompletionsReached"),
        "AlwaysFails": ("Failed", "BackoffLimitExceeded"),
        "TooSlow": ("Failed", "DeadlineExceeded"),
        "OutOfMemory": ("Failed", "BackoffLimitExceeded"),
        "NotRetriable": ("Failed", "PodFailurePolicy"),
        "BadImage": ("Stuck", "ImagePullBackOff"),
    }
    world.apply(*({"name": name.lower(), "scenario": name} for name in scenarios))
    status = world.wait_for_phase("Ready", deadline=240)
    told = {job["scenario"]: job for job in status["jobs"]}
    assert {name: (job["outcome"], job["reason"]) for name, job in told.items()} == scenarios
    assert status["summary"] == f"{len(scenarios)}/{len(scenarios)} jobs as expected"

    assert told["DataPipeline"]["completedIndexes"] == "0-4"
    for name, look in _ATTEMPTS.items():
        world.wait_for_attempts(name.lower(), look)
    retried = world.entry("failsthensucceeds")["attempts"]
    starts = [datetime.fromisoformat(attempt["startTime"]) for attempt in retried]
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(starts)]
    assert pauses[0] >= 9, "Kubernetes waits 10 s before the first retry"
    assert pauses[1] >= 19, "and 20 s before the second"


def _each_fails(attempts: list[dict[str, Any]]) -> bool:
    return len(attempts) == 3 and all(
        attempt["exitCode"] == 1
        and attempt["node"].startswith("workshop-test-")
        and "no such file or directory" in attempt["log"]
        for attempt in attempts
    )


# The runtime may tell of an end before it tells of the kernel's reason: then it is Error.
_KILLED = {(137, "OOMKilled"), (137, "Error")}
_ATTEMPTS: dict[str, Callable[[list[dict[str, Any]]], bool]] = {
    "FailsThenSucceeds": lambda found: (
        [one["outcome"] for one in found] == ["Failed", "Failed", "Succeeded"]
    ),
    "AlwaysFails": _each_fails,
    "CIPipeline": lambda found: all(
        f"[{step}]" in found[0]["log"] for step in ("checkout", "lint", "test", "package")
    ),
    "DataPipeline": lambda found: sorted({one["index"] for one in found}) == [0, 1, 2, 3, 4],
    "OutOfMemory": lambda found: (found[-1]["exitCode"], found[-1]["reason"]) in _KILLED,
    "NotRetriable": lambda found: [one["exitCode"] for one in found] == [42],
    # Of a Pod that was taken away.
    "TooSlow": lambda found: "SIGTERM" in found[0]["log"],
}


def test_indexes_fail_and_succeed_by_themselves(world: World) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" != 1 || exit 7'
    world.apply(
        QUICK
        | {
            "command": ["sh", "-c", script],
            "completionMode": "Indexed",
            "completions": 4,
            "parallelism": 4,
            "backoffLimitPerIndex": 0,
            "expected": "Failed",
            "expectedReason": "FailedIndexes",
        }
    )
    world.wait_for_phase("Ready")
    told = world.entry("ok")
    assert (told["completedIndexes"], told["failedIndexes"]) == ("0,2,3", "1")
    world.wait_for_attempts(
        "ok",
        lambda attempts: (
            [(one["index"], one["exitCode"]) for one in attempts if one["outcome"] == "Failed"]
            == [(1, 7)]
        ),
    )


def test_kubectl_get_tells_it_in_a_line(world: World) -> None:
    world.apply(QUICK, FAILING)
    world.wait_for_phase("Ready")
    header, line = world.kubectl("get", "workshop").strip().splitlines()
    assert header.split() == ["NAME", "PHASE", "SUMMARY", "AGE"]
    assert line.startswith("shop")
    assert "2/2 jobs as expected" in line
    world.kubectl("wait", "--for=condition=Ready", "wd/shop", "--timeout=5s")


def test_a_failing_lesson_is_as_expected_and_told_by_events(world: World) -> None:
    world.apply(FAILING)
    world.wait_for_phase("Ready")
    assert world.entry("bad")["asExpected"] is True
    world.wait_for_attempts("bad", lambda attempts: attempts[0]["exitCode"] == 3)
    world.wait_for_log("bad", "no such file")
    (event,) = wait_for("its Event", lambda: world.events("JobFailed"))
    assert event["type"] == "Normal", "a lesson that fails as it must is nothing to warn of"
    assert event["involvedObject"]["name"] == "shop"


def test_a_surprise_degrades_the_demo_and_names_the_entry(world: World) -> None:
    surprise = FAILING | {"expected": "Complete", "name": "surprise"}
    del surprise["expectedReason"]
    world.apply(QUICK, surprise)
    status = world.wait_for_phase("Degraded")
    (ready,) = [c for c in status["conditions"] if c["type"] == "Ready"]
    assert ready["status"] == "False"
    assert "surprise should be Complete but is Failed (BackoffLimitExceeded)" in ready["message"]
    wait_for("the other entry", lambda: world.entry("ok").get("asExpected"))


def test_an_image_that_does_not_exist_is_stuck_with_the_kubelets_reason(world: World) -> None:
    world.apply(QUICK | {"image": "localhost:1/no/such:image", "command": ["true"]}, FAILING)
    world.wait_for_phase("Degraded", deadline=200)
    told = world.entry("ok")
    assert (told["outcome"], told["reason"]) == ("Stuck", "ImagePullBackOff")
    assert told["message"].startswith("the image localhost:1/no/such:image cannot be pulled: ")
    wait_for("the rest of the demo", lambda: world.entry("bad").get("asExpected"))


def test_a_quota_that_forbids_pods_is_told_in_kubernetes_words(world: World) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    world.core.create_namespaced_resource_quota(world.namespace, quota)
    world.apply(QUICK)
    world.wait_for_phase("Degraded", deadline=200)
    told = world.entry("ok")
    assert (told["outcome"], told["reason"]) == ("Stuck", "FailedCreate")
    assert "exceeded quota" in told["message"]


def test_it_runs_where_only_restricted_pods_may(world: World) -> None:
    world.core.patch_namespace(
        world.namespace,
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    )
    world.apply(QUICK, {"name": "ci", "scenario": "CIPipeline"})
    world.wait_for_phase("Ready")


def test_a_child_edited_by_hand_is_put_right(world: World) -> None:
    world.apply(QUICK | {"command": ["sleep", "600"]})
    job = wait_for("the Job", lambda: world.job_of("ok"))
    name = job["metadata"]["name"]
    world.kubectl("patch", "job", name, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_for("suspend is put right", lambda: world.job_of("ok")["spec"]["suspend"] is False)
    wait_for("its Event", lambda: world.events("PutRight"))
    world.kubectl("label", "job", name, "workshopdemo.dev/run=99", "--overwrite")
    wait_for("the label is put right", lambda: world.job_of("ok", run=1))
    world.kubectl("annotate", "job", name, "student=was-here")
    time.sleep(2)
    annotations = world.job_of("ok")["metadata"]["annotations"]
    assert annotations["student"] == "was-here", "what is not ours is left alone"


def test_a_deleted_child_comes_back_and_runs_again(world: World) -> None:
    world.apply(QUICK)
    world.wait_for_phase("Ready")
    world.wait_for_log("ok", "working\ndone")
    before = world.job_of("ok")["metadata"]
    world.kubectl("delete", "job", before["name"])
    wait_for("a new Job", lambda: world.job_of("ok")["metadata"]["uid"] != before["uid"])
    world.wait_for_phase("Ready")
    wait_for("its record", lambda: world.entry("ok")["uid"] != before["uid"])
    assert world.entry("ok")["history"][0]["log"] == "working\ndone"


def test_a_deleted_pod_is_told_and_replaced(world: World) -> None:
    world.apply(QUICK | {"command": ["sh", "-c", "trap exit TERM; sleep 600 & wait"]})
    running = wait_for(
        "a running Pod",
        lambda: [pod for pod in world.pods_of("ok") if pod["status"]["phase"] == "Running"],
    )
    wait_for("its attempt", lambda: world.entry("ok").get("attempts"))
    world.kubectl("delete", "pod", running[0]["metadata"]["name"], "--wait=false")
    wait_for("the second attempt", lambda: len(world.entry("ok")["attempts"]) > 1)
    attempts = world.entry("ok")["attempts"]
    assert attempts[0]["pod"] == running[0]["metadata"]["name"]
    assert attempts[0]["outcome"] in {"Deleted", "Failed"}


def test_an_entry_that_is_removed_takes_its_job_and_pods_with_it(world: World) -> None:
    world.apply(QUICK, FAILING)
    world.wait_for_phase("Ready")
    world.apply(QUICK)
    wait_for("pruning", lambda: not _of("bad", world))
    wait_for("the Pods are gone", lambda: not world.pods_of("bad"))
    assert [job["name"] for job in world.wait_for_phase("Ready")["jobs"]] == ["ok"]
    assert len(world.jobs()) == 1


def _of(entry: str, world: World) -> list[Any]:
    return [j for j in world.jobs() if j["metadata"]["labels"]["workshopdemo.dev/job"] == entry]


def test_run_2_makes_a_second_job_and_the_first_log_stays(world: World) -> None:
    world.apply(QUICK)
    world.wait_for_phase("Ready")
    world.wait_for_log("ok", "working\ndone")
    world.apply(QUICK | {"run": 2})
    wait_for("the second run", lambda: world.entry("ok")["run"] == 2)
    world.wait_for_phase("Ready")
    assert {job["metadata"]["labels"]["workshopdemo.dev/run"] for job in world.jobs()} == {"1", "2"}
    (past,) = world.entry("ok")["history"]
    assert (past["run"], past["outcome"], past["log"]) == (1, "Complete", "working\ndone")
    # Even when its Job and Pods are gone.
    world.kubectl("delete", "job", past["job"])
    wait_for("the first Job is gone", lambda: len(world.jobs()) == 1)
    time.sleep(2)
    assert world.entry("ok")["history"] == [past]


def test_old_runs_beyond_the_history_limit_are_removed(world: World) -> None:
    for run in (1, 2, 3):
        world.apply(QUICK | {"run": run, "historyLimit": 1})
        wait_for(f"run {run}", lambda run=run: world.entry("ok")["run"] == run)
        world.wait_for_phase("Ready")
    wait_for("only two Jobs", lambda: len(world.jobs()) == 2)
    wait_for(
        "only one run that is over",
        lambda: [past["run"] for past in world.entry("ok")["history"]] == [2],
    )


def test_a_changed_entry_runs_as_a_new_job(world: World) -> None:
    world.apply(QUICK)
    world.wait_for_phase("Ready")
    world.apply(QUICK | {"command": ["echo", "changed"]})
    world.wait_for_log("ok", "changed")


def test_tuning_changes_in_place(world: World) -> None:
    world.apply(QUICK | {"command": ["sleep", "600"]})
    before = wait_for("the Job", lambda: world.job_of("ok"))
    world.apply(
        QUICK | {"command": ["sleep", "600"], "activeDeadlineSeconds": 1, "backoffLimit": 1}
    )
    world.wait_for_phase("Degraded")
    after = world.job_of("ok")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert world.entry("ok")["reason"] == "DeadlineExceeded"


def test_a_suspended_job_waits_until_it_is_let_go(world: World) -> None:
    world.apply(QUICK | {"suspend": True})
    wait_for("Suspended", lambda: world.entry("ok")["outcome"] == "Suspended")
    assert world.pods_of("ok") == []
    world.apply(QUICK | {"suspend": False})
    world.wait_for_phase("Ready")


def test_no_time_to_live_loses_an_outcome(world: World) -> None:
    world.apply(
        *(QUICK | {"name": f"ok-{n}", "ttlSecondsAfterFinished": 0} for n in range(5)),
        *(FAILING | {"name": f"bad-{n}", "ttlSecondsAfterFinished": 0} for n in range(5)),
    )
    world.wait_for_phase("Ready")
    wait_for("the Jobs are removed", lambda: not world.jobs())
    for number in range(5):
        world.wait_for_log(f"ok-{number}", "working\ndone")
        world.wait_for_log(f"bad-{number}", "no such file")
    told = world.wait_for_phase("Ready")["jobs"]
    time.sleep(3)
    assert world.jobs() == [], "a Job that was removed by its time to live does not run again"
    assert world.status()["jobs"] == told


def test_completions_and_parallelism_are_kubernetes_own(world: World) -> None:
    world.apply(QUICK | {"completions": 4, "parallelism": 2})
    world.wait_for_phase("Ready")
    assert world.entry("ok")["succeeded"] == 4
    world.wait_for_attempts("ok", lambda attempts: len(attempts) == 4)


def test_a_log_of_any_kind_is_told_safely(world: World) -> None:
    noise = r"""printf '\033[31mred\033[0m \000\001 \360\237\222\245\n'; head -c 1000000 /dev/zero |
        tr '\0' x; echo; head -c 3000 /dev/urandom; echo; echo end of log"""
    world.apply(QUICK | {"command": ["sh", "-c", noise]})
    world.wait_for_phase("Ready")
    world.wait_for_attempts("ok", lambda attempts: attempts[0]["log"].endswith("end of log"))
    assert len(world.entry("ok")["attempts"][0]["log"].encode()) <= 1024


def test_two_demos_with_the_same_entries_do_not_meet(world: World) -> None:
    world.apply(QUICK, FAILING, name="one")
    world.apply(QUICK, FAILING, name="two")
    for name in ("one", "two"):
        world.wait_for_phase("Ready", name)
    assert len(world.jobs()) == 4
    world.delete_demo("one")
    wait_for("the Jobs of one are gone", lambda: len(world.jobs()) == 2)
    time.sleep(2)
    assert {j["metadata"]["labels"]["workshopdemo.dev/demo"] for j in world.jobs()} == {"two"}
    world.wait_for_phase("Ready", "two")


def test_one_demo_in_five_namespaces_does_not_meet_itself(world: World) -> None:
    namespaces = [world.namespace, *(f"{world.namespace}-{number}" for number in range(4))]
    for namespace in namespaces[1:]:
        world.create_namespace(namespace)
    for namespace in namespaces:
        world.apply(QUICK, FAILING, namespace=namespace)
    for namespace in namespaces:
        world.wait_for_phase("Ready", namespace=namespace)
        assert len(world.jobs(namespace)) == 2


def test_a_demo_made_anew_under_its_name_starts_afresh(world: World) -> None:
    world.apply(QUICK)
    world.wait_for_phase("Ready")
    first = world.job_of("ok")["metadata"]["uid"]
    world.delete_demo()
    world.apply(QUICK)
    wait_for("only the new Job", lambda: [j["metadata"]["uid"] for j in world.jobs()] != [first])
    world.wait_for_phase("Ready")
    assert "history" not in world.entry("ok")
    assert world.entry("ok")["uid"] != first


def test_nothing_carries_a_finalizer_or_an_annotation_of_kopf(world: World) -> None:
    world.apply(QUICK)
    world.wait_for_phase("Ready")
    for body in (world.demo(), *world.jobs(), *world.pods_of("ok")):
        assert not body["metadata"].get("finalizers"), body["metadata"]["name"]
        assert not [key for key in body["metadata"].get("annotations", {}) if "kopf" in key]


def test_fifty_jobs_that_end_in_the_same_moment_are_all_told(world: World) -> None:
    for demo in range(5):
        world.apply(*(QUICK | {"name": f"j{n}"} for n in range(10)), name=f"d{demo}")
    for demo in range(5):
        world.wait_for_phase("Ready", f"d{demo}", deadline=240)
        for number in range(10):
            world.wait_for_log(f"j{number}", "working\ndone", f"d{demo}")


def test_a_command_that_is_not_there_is_told_in_the_kubelets_words(world: World) -> None:
    world.apply(QUICK | {"command": ["nosuch"], "backoffLimit": 0, "expected": "Failed"})
    world.wait_for_phase("Ready")
    world.wait_for_attempts("ok", lambda attempts: "nosuch" in attempts[0]["log"])
    (attempt,) = world.entry("ok")["attempts"]
    assert (attempt["reason"], attempt["exitCode"]) == ("StartError", 128)


@pytest.mark.parametrize(
    "per_index", [{}, {"completionMode": "Indexed", "backoffLimitPerIndex": 9}]
)
def test_a_namespace_goes_while_retries_are_waited_for(
    world: World, per_index: dict[str, Any]
) -> None:
    retried = FAILING | per_index | {"backoffLimit": 9, "name": "retried"}
    world.apply(retried, {"name": "patience", "scenario": "FailsThenSucceeds"})
    wait_for("a failure", lambda: world.entry("retried").get("failed"))
    wait_for("another", lambda: world.entry("patience").get("failed"))
    world.core.delete_namespace(world.namespace)

    def look() -> bool:
        names = [item.metadata.name for item in world.core.list_namespace().items]
        return world.namespace not in names

    wait_for("the namespace is gone", look, deadline=90)


def test_a_run_is_not_made_undone(world: World) -> None:
    world.apply(QUICK | {"run": 2})
    world.wait_for_phase("Ready")
    with pytest.raises(AssertionError, match="run can only be raised"):
        world.apply(QUICK | {"run": 1})
