"""What is seen → what is told."""

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from support import NOW, SETTINGS, condition, demo_body, pod_body, time
from workshopdemo import story
from workshopdemo.errors import ForbiddenError
from workshopdemo.facts import Child, child_of
from workshopdemo.model import JobStatus, Status, WorkshopDemo, parse
from workshopdemo.observe import (
    JobFacts,
    logs_wanted,
    observe,
    status_of,
    told_pods,
    transitions,
)
from workshopdemo.observe.jobs import observe_job
from workshopdemo.plan import build, prepared

FAILING = {"name": "doomed", "scenario": "AlwaysFails"}


class Scene:
    """One entry and the objects of its Job."""

    def __init__(self, entry: dict[str, Any], run: int = 1) -> None:
        self.demo: WorkshopDemo = parse(demo_body(entry | {"run": run}))
        intent = build(self.demo, SETTINGS, {}).intents[-1]
        self.job = prepared(intent, None)
        self.job["metadata"] |= {
            "uid": f"job-uid-{run}",
            "creationTimestamp": time(),
            "resourceVersion": "1",
        }
        self.job["status"] = {"startTime": time()}
        self.pods: list[dict[str, Any]] = []

    def conditions(self, *conditions: dict[str, Any], **status: int) -> "Scene":
        self.job["status"] |= {"conditions": list(conditions), **status}
        return self

    def pod(self, name: str, phase: str = "Succeeded", **more: Any) -> "Scene":
        self.pods.append(pod_body(self.job, name, phase, **more))
        return self

    @property
    def live(self) -> Child:
        return child_of("Job", self.job)

    def tell(self, after: float = 0, keep: int = 7, **facts: Any) -> JobStatus:
        return self.tell_and_recheck(after, keep, **facts)[0]

    def tell_and_recheck(self, after: float = 0, keep: int = 7, **facts: Any) -> Any:
        known: dict[str, Any] = {
            "job": self.job["metadata"]["name"],
            "live": self.live,
            "pods": [child_of("Pod", pod) for pod in self.pods],
        }
        entry = self.demo.spec.jobs[0]
        moment = NOW + timedelta(seconds=after)
        return observe_job(entry, JobFacts(**(known | facts)), moment, keep)


def test_the_outcome_is_a_true_condition_found_by_its_type() -> None:
    scene = Scene(FAILING).conditions(
        condition("FailureTarget", "BackoffLimitExceeded"),
        condition("Complete") | {"status": "False"},
        condition("Failed", "BackoffLimitExceeded", at=40),
        failed=3,
    )
    told = scene.tell()
    assert (told.outcome, told.reason) == ("Failed", "BackoffLimitExceeded")
    assert told.as_expected is True
    assert told.finish_time == time(40), "a failed Job has no completionTime"


def test_failed_pods_alone_are_no_failure() -> None:
    scene = Scene({"name": "a", "scenario": "FailsThenSucceeds"}).conditions(failed=2, active=1)
    told = scene.pod("p1", "Failed").pod("p2", "Failed").pod("p3", "Running").tell()
    assert told.outcome == "Running"
    assert told.as_expected is None


@pytest.mark.parametrize("target", ["FailureTarget", "SuccessCriteriaMet"])
def test_a_job_about_to_end_has_not_ended(target: str) -> None:
    scene = Scene(FAILING).conditions(condition(target, "BackoffLimitExceeded")).pod("p", "Failed")
    assert scene.tell().outcome == "Running"


def test_the_wrong_reason_is_not_as_expected() -> None:
    told = Scene(FAILING).conditions(condition("Failed", "DeadlineExceeded")).tell()
    assert told.as_expected is False
    assert (told.expected, told.expected_reason) == ("Failed", "BackoffLimitExceeded")


@pytest.mark.parametrize(
    ("expected", "outcome", "reason", "as_expected"),
    [
        ({}, "Complete", "CompletionsReached", True),
        ({}, "Failed", "BackoffLimitExceeded", False),
        ({"expected": "Failed"}, "Failed", "DeadlineExceeded", True),
        ({"expected": "Failed"}, "Complete", "CompletionsReached", False),
        (
            {"expected": "Failed", "expectedReason": "DeadlineExceeded"},
            "Failed",
            "BackoffLimitExceeded",
            False,
        ),
    ],
)
def test_a_custom_job_ends_as_its_entry_says(
    expected: dict[str, str], outcome: str, reason: str, as_expected: bool
) -> None:
    entry = {"name": "a", "scenario": "Custom", "image": "i"} | expected
    told = Scene(entry).conditions(condition(outcome, reason)).tell()
    assert told.as_expected is as_expected


def test_attempts_tell_pod_node_exit_code_reason_and_times() -> None:
    scene = Scene(FAILING).pod("p2", "Failed", at=20, exit_code=137, reason="OOMKilled")
    told = scene.pod("p1", "Failed", at=0).tell(logs={"uid-of-p1": "no file"})
    first, second = told.attempts
    assert (first.pod, first.node, first.exit_code, first.reason) == ("p1", "worker", 1, "Error")
    assert (first.start_time, first.finish_time, first.log) == (time(0), time(1), "no file")
    assert (second.pod, second.exit_code, second.reason) == ("p2", 137, "OOMKilled")


def test_attempts_outlive_their_pods() -> None:
    scene = Scene(FAILING).pod("p1", "Failed").pod("p2", "Running", at=5)
    told = scene.tell(logs={"uid-of-p1": "why"})
    later = scene.tell(told=told, pods=[])
    assert [(a.pod, a.outcome, a.log) for a in later.attempts] == [
        ("p1", "Failed", "why"),
        ("p2", "Deleted", None),
    ]


def test_only_the_newest_attempts_are_kept() -> None:
    scene = Scene(FAILING)
    for number in range(9):
        scene.pod(f"p{number}", "Failed", at=number)
    assert [attempt.pod for attempt in scene.tell(keep=3).attempts] == ["p6", "p7", "p8"]


def test_a_log_is_read_once_and_an_empty_one_too() -> None:
    scene = Scene(FAILING).pod("p1", "Failed").pod("p2", "Running")
    pods = [child_of("Pod", pod) for pod in scene.pods]
    (wanted,) = logs_wanted(pods, set())
    assert (wanted.pod, wanted.containers) == ("p1", ("main",))
    assert logs_wanted(pods, told_pods(scene.tell(logs={"uid-of-p1": ""}))) == []


@pytest.mark.parametrize(
    ("reason", "read"), [("ContainerCreating", ["main"]), ("ImagePullBackOff", [])]
)
def test_a_pod_removed_before_the_kubelet_told_of_its_start_is_read(
    reason: str, read: list[str]
) -> None:
    """TooSlow on a busy node: its deadline passes while the status still says it is created."""
    scene = Scene(FAILING).pod("p", "Pending", waiting=reason)
    assert logs_wanted([child_of("Pod", scene.pods[0])], set()) == []
    scene.pods[0]["metadata"]["deletionTimestamp"] = time(5)
    wanted = logs_wanted([child_of("Pod", scene.pods[0])], set())
    assert [name for one in wanted for name in one.containers] == read


def test_steps_of_a_pipeline_are_told_by_name() -> None:
    scene = Scene({"name": "ci", "scenario": "CIPipeline"}).pod("p", "Failed")
    ended = {"terminated": {"exitCode": 0, "finishedAt": time()}}
    failed = {"terminated": {"exitCode": 1, "finishedAt": time()}}
    scene.pods[0]["status"] |= {
        "initContainerStatuses": [
            {"name": "lint", "state": ended},
            {"name": "test", "state": failed},
        ],
        "containerStatuses": [{"name": "package", "state": {"waiting": {"reason": "x"}}}],
    }
    (wanted,) = logs_wanted([child_of("Pod", scene.pods[0])], set())
    assert wanted.containers == ("lint", "test")
    log = wanted.told({"lint": "1\n2\n3\nok", "test": "a\nb\nc"})
    assert log == "[lint] 3\n[lint] ok\n[test] a\n[test] b\n[test] c"
    assert scene.tell().attempts[0].exit_code == 1


@pytest.mark.parametrize(
    ("pod", "patience", "reason"),
    [
        ({"waiting": "ImagePullBackOff"}, 60, "ImagePullBackOff"),
        ({"waiting": "ErrImagePull"}, 60, "ImagePullBackOff"),
        ({"waiting": "CreateContainerConfigError"}, 60, "CreateContainerConfigError"),
        ({"scheduled": False}, 60, "Unschedulable"),
        ({"waiting": "ContainerCreating"}, 300, "ContainerCreating"),
    ],
)
def test_a_pod_that_cannot_start_is_stuck_after_a_while(
    pod: dict[str, Any], patience: float, reason: str
) -> None:
    scene = Scene(FAILING).pod("p", "Pending", **pod)
    told, recheck = scene.tell_and_recheck(after=patience - 1)
    assert (told.outcome, recheck) == ("Pending", NOW + timedelta(seconds=patience))
    told, recheck = scene.tell_and_recheck(after=patience)
    assert (told.outcome, told.reason, recheck) == ("Stuck", reason, None)
    assert told.as_expected is False


def test_the_kubelets_wavering_words_are_told_in_one_sentence() -> None:
    """Otherwise the status of a stuck demo would be written with each of its tries."""
    tries = []
    for reason, message in (
        ("ErrImagePull", "not found"),
        ("ImagePullBackOff", 'Back-off pulling image "some:image": ErrImagePull: not found'),
    ):
        scene = Scene(FAILING).pod("p", "Pending", waiting=reason)
        waiting = scene.pods[0]["status"]["containerStatuses"][0]["state"]["waiting"]
        waiting["message"] = message
        tries.append(scene.tell(after=90))
    assert tries[0] == tries[1]
    assert tries[0].message == "the image some:image cannot be pulled: not found"


def test_of_many_wrapped_errors_the_cause_is_told() -> None:
    scene = Scene(FAILING).pod("p", "Pending", waiting="ErrImagePull")
    waiting = scene.pods[0]["status"]["containerStatuses"][0]["state"]["waiting"]
    tried = 'failed to do request: Head "https://registry.example/v2/some/manifests/image": '
    waiting["message"] = f"{3 * tried}dial tcp: lookup registry.example: no such host"
    message = scene.tell(after=90).message
    assert message.startswith("the image some:image cannot be pulled: failed to do request: Head")
    assert message.endswith("lookup registry.example: no such host")


def test_being_stuck_may_be_the_lesson() -> None:
    entry = {"name": "a", "scenario": "Custom", "image": "no:such", "expected": "Stuck"}
    told = Scene(entry).pod("p", "Pending", waiting="ErrImagePull").tell(after=60)
    assert told.as_expected is True


def test_a_running_init_container_is_not_stuck() -> None:
    scene = Scene({"name": "ci", "scenario": "CIPipeline"}).pod("p", "Pending")
    scene.pods[0]["status"]["initContainerStatuses"] = [
        {"name": "test", "state": {"running": {"startedAt": time()}}}
    ]
    told = scene.tell(after=3600)
    assert told.outcome == "Running"
    assert told.attempts[0].outcome == "Running"


def test_a_job_that_gets_no_pod_says_why() -> None:
    scene = Scene(FAILING)
    assert scene.tell(after=59).outcome == "Pending"
    told = scene.tell(after=61, refusal="exceeded quota: pods")
    assert (told.outcome, told.reason) == ("Stuck", "FailedCreate")
    assert told.message == "exceeded quota: pods"


def test_a_suspended_job_is_held_back_not_stuck() -> None:
    told = Scene(FAILING).conditions(condition("Suspended")).tell(after=3600)
    assert (told.outcome, told.as_expected) == ("Suspended", None)


def test_a_job_gone_by_its_time_to_live_keeps_its_record() -> None:
    scene = Scene(FAILING).conditions(condition("Failed", "BackoffLimitExceeded"))
    told = scene.pod("p", "Failed").tell(logs={"uid-of-p": "why"})
    assert scene.tell(told=told, live=None, pods=[]) == told


def test_a_new_run_moves_the_old_one_to_the_history() -> None:
    first = Scene(FAILING).conditions(condition("Failed", "BackoffLimitExceeded", at=40))
    told = first.pod("p", "Failed").tell(logs={"uid-of-p": "the old log"})
    second = Scene(FAILING, run=2)
    after = second.tell(told=told, older=[first.live])
    assert (after.run, after.outcome, after.attempts) == (2, "Pending", ())
    (past,) = after.history
    assert (past.run, past.outcome, past.reason) == (1, "Failed", "BackoffLimitExceeded")
    assert (past.log, past.attempts) == ("the old log", 1)
    # And it stays when the old Job is gone for good.
    assert second.tell(told=after).history == (past,)


def test_a_run_replaced_before_its_end_is_told_so() -> None:
    told = Scene(FAILING).pod("p", "Running").tell()
    after = Scene(FAILING, run=2).tell(told=told)
    assert after.history[0].outcome == "Replaced"


def test_a_deleted_job_is_told_when_it_runs_again() -> None:
    scene = Scene(FAILING).pod("p", "Running")
    told = scene.tell()
    scene.job["metadata"]["uid"] = "another"
    scene.pods.clear()
    after = scene.tell(told=told)
    assert after.attempts == ()
    assert after.history[0].outcome == "Deleted"


def test_history_is_no_longer_than_asked() -> None:
    told = None
    for run in range(1, 6):
        scene = Scene(FAILING | {"historyLimit": 2}, run=run)
        told = scene.conditions(condition("Failed", "BackoffLimitExceeded")).tell(told=told)
    assert told is not None
    assert [past.run for past in told.history] == [4, 3]


def test_what_could_not_be_written_is_told() -> None:
    told = Scene(FAILING).tell(live=None, problem=ForbiddenError("cannot apply Job x: no"))
    assert (told.outcome, told.reason, told.as_expected) == ("Pending", "Forbidden", False)
    assert told.message == "cannot apply Job x: no"


def demo_of(*entries: dict[str, Any], status: Status | None = None) -> WorkshopDemo:
    body = demo_body(*entries, status=msgspec.to_builtins(status) if status else None)
    return parse(body)


def whole(demo: WorkshopDemo, jobs: dict[str, JobFacts], after: float = 0) -> Status:
    now = NOW + timedelta(seconds=after)
    return status_of(demo, observe(demo, jobs, {}, now), None, [], now)


def test_conditions_flip_only_when_their_status_does() -> None:
    running = Scene(FAILING).pod("p", "Running")
    facts = {"doomed": JobFacts(job="x", live=running.live)}
    first = whole(demo_of(FAILING), facts)
    again = whole(demo_of(FAILING, status=first), facts, after=30)
    assert again == first
    ended = Scene(FAILING).conditions(condition("Failed", "BackoffLimitExceeded"))
    last = whole(
        demo_of(FAILING, status=again), {"doomed": JobFacts(job="x", live=ended.live)}, after=60
    )
    since = {c.type: (c.status, c.last_transition_time) for c in last.conditions}
    assert since["Ready"] == ("True", time(60))
    assert since["SpecValid"] == ("True", time(0))
    assert last.phase == "Ready"
    assert last.summary == "1/1 jobs as expected"


def test_a_failing_lesson_makes_a_ready_demo_and_a_surprise_a_degraded_one() -> None:
    surprise = {"name": "ci", "scenario": "CIPipeline"}
    failed = condition("Failed", "BackoffLimitExceeded")
    facts = {
        "doomed": JobFacts(job="x", live=Scene(FAILING).conditions(failed).live),
        "ci": JobFacts(job="y", live=Scene(surprise).conditions(failed).live),
    }
    status = whole(demo_of(FAILING, surprise), facts)
    assert status.phase == "Degraded"
    assert status.summary == "1/2 jobs as expected · ci: BackoffLimitExceeded"
    (jobs,) = (c for c in status.conditions if c.type == "JobsAsExpected")
    assert "ci should be Complete but is Failed (BackoffLimitExceeded)" in jobs.message


def test_events_are_told_for_transitions_only() -> None:
    scene = Scene(FAILING)
    before = whole(demo_of(FAILING), {"doomed": JobFacts(job="x", live=scene.live)})
    ended = scene.conditions(condition("Failed", "BackoffLimitExceeded")).live
    after = whole(demo_of(FAILING), {"doomed": JobFacts(job="x", live=ended)})
    told = transitions(before, after)
    assert [(event.type, event.reason) for event in told] == [
        ("Normal", "JobFailed"),
        ("Normal", "Ready"),
    ]
    assert transitions(after, after) == []
    assert {event.identity for event in told} == {
        event.identity for event in transitions(before, after)
    }


NASTY = "\x1b[31m" + "💥\x00é" * 400


@pytest.mark.parametrize("entries", [1, 4, 20])
def test_the_status_stays_under_64_kib_whatever_the_logs_contain(entries: int) -> None:
    tales = story.load()
    places = {
        "namespace": "n" * 63,
        "demo": "d" * 63,
        "job": "j" * 54,
        "cronjob": "c" * 52,
        "daemonset": "d" * 52,
        "component": "log-shipper",
        "statefulset": "s" * 52,
        "service": "s" * 52,
        "members": "m" * 52,
    }
    shown = [tale.short(places) for tale in tales.values()]
    status = Status()
    names = [f"entry-{number:02}-" + "x" * 31 for number in range(entries)]
    jobs = [{"name": name, "scenario": "AlwaysFails", "historyLimit": 10} for name in names]
    for run in range(1, 4):
        facts = {}
        for entry in jobs:
            scene = Scene(entry, run=run).conditions(condition("Failed", "BackoffLimitExceeded"))
            for number in range(10):
                scene.pod(f"{'p' * 50}-{entry['name'][:8]}-{number}", "Failed", at=number)
            pods = [child_of("Pod", pod) for pod in scene.pods]
            read = {p.uid: logs_wanted([p], set())[0].told({"main": NASTY}) for p in pods}
            facts[str(entry["name"])] = JobFacts(
                job=scene.live.name,
                live=scene.live,
                pods=pods,
                logs=read,
                told={job.name: job for job in status.jobs}.get(str(entry["name"])),
            )
        demo = demo_of(*[entry | {"run": run} for entry in jobs], status=status)
        status = status_of(demo, observe(demo, facts, {}, NOW), None, shown, NOW)
    size = len(json.dumps(msgspec.to_builtins(status), ensure_ascii=False).encode())
    assert size < 64 * 1024
