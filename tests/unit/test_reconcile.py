"""A whole look at a demo, against a cluster in memory."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from office import (
    NoDiscoverer,
    NoRegistrar,
    NoSurveyor,
    SilentCourier,
    look_and_tell,
    password,
    settle,
)
from support import NOW, SETTINGS, CrashError, FakeCluster, demo_body, pod_body, time
from workshopdemo import story
from workshopdemo.cluster import Cache
from workshopdemo.errors import (
    ForbiddenError,
    NameTakenError,
    NotFoundError,
    RejectedError,
    UnavailableError,
)
from workshopdemo.names import DemoKey
from workshopdemo.reconcile import Reconciler
from workshopdemo.settings import Settings

CI = {"name": "ci", "scenario": "CIPipeline"}
DOOMED = {"name": "doomed", "scenario": "AlwaysFails"}


class World:
    """A cluster with one operator, whose process can be replaced."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.seconds = 0.0
        self.settings = settings
        self.woken: list[DemoKey] = []
        self.cache = Cache()
        self.cluster = FakeCluster(self.cache)
        self.restart()

    def restart(self) -> None:
        self.reconciler = Reconciler(
            cluster=self.cluster,
            cache=self.cache,
            settings=self.settings,
            stories=story.load(),
            courier=SilentCourier(),  # type: ignore[arg-type]
            surveyor=NoSurveyor(),  # type: ignore[arg-type]
            discoverer=NoDiscoverer(),  # type: ignore[arg-type]
            registrar=NoRegistrar(),  # type: ignore[arg-type]
            wake=lambda key, _: self.woken.append(key),
            wake_to_tell=lambda *_: None,
            now=lambda: NOW + timedelta(seconds=self.seconds),
            clock=lambda: self.seconds,
            password=password,
        )

    def relist(self) -> None:
        """A new process lists everything anew."""
        self.cache.__init__()  # type: ignore[misc]
        for body in self.cluster.demos.values():
            self.cache.put_demo(body)
        for (kind, _, _), body in self.cluster.objects.items():
            self.cache.put_child(kind, body)
        self.restart()

    def look(self, key: DemoKey) -> float | None:
        """Look, and write the status that comes of it."""
        return asyncio.run(look_and_tell(self.reconciler, key))

    def settle(self, key: DemoKey) -> None:
        settle(self.cluster, lambda: self.look(key))


@pytest.fixture
def world() -> World:
    return World()


def test_a_demo_comes_to_rest_and_then_writes_nothing(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI, DOOMED))
    world.settle(key)
    assert len(world.cluster.jobs()) == 2
    world.cluster.finish(world.cluster.job("ci"), "Complete", "CompletionsReached")
    world.cluster.finish(world.cluster.job("doomed"), "Failed", "BackoffLimitExceeded")
    world.settle(key)
    status = world.cluster.status(key)
    assert status["phase"] == "Ready"
    assert [tale["concept"] for tale in status["story"]] == ["Job"]
    writes = len(world.cluster.writes)
    world.look(key)
    world.relist()
    world.look(key)
    assert world.cluster.writes[writes:] == []


def test_an_answer_counts_before_the_watch_tells_of_it(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI))
    world.look(key)
    world.look(key)
    assert len([what for what in world.cluster.writes if what.startswith("apply Job")]) == 1


def test_drift_is_put_right(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI))
    world.settle(key)
    job = world.cluster.job("ci")
    job["spec"] = job["spec"] | {"suspend": True}
    world.cluster.put("Job", job)
    world.settle(key)
    assert world.cluster.job("ci")["spec"]["suspend"] is False


def test_a_deleted_child_comes_back_and_its_end_is_told(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI))
    world.settle(key)
    job = world.cluster.job("ci")
    world.cluster.remove("Job", job)
    world.settle(key)
    assert world.cluster.job("ci")["metadata"]["uid"] != job["metadata"]["uid"]
    assert world.cluster.status(key)["jobs"][0]["history"][0]["outcome"] == "Deleted"


def test_an_entry_that_goes_takes_its_jobs_with_it(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI, DOOMED))
    world.settle(key)
    world.cluster.change_spec(key, CI)
    world.settle(key)
    assert [job["metadata"]["labels"]["workshopdemo.dev/job"] for job in world.cluster.jobs()] == [
        "ci"
    ]
    assert [job["name"] for job in world.cluster.status(key)["jobs"]] == ["ci"]


def test_what_a_newer_version_made_is_left_alone_after_a_rollback(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI))
    world.settle(key)
    metadata = world.cluster.job("ci")["metadata"]
    for name, component in (("shop-queue", "queue"), ("shop-diary", "diary")):
        labels = metadata["labels"] | {"workshopdemo.dev/component": component}
        unlike = {"name": name, "uid": name, "labels": labels}
        world.cluster.put("StatefulSet", {"metadata": metadata | unlike, "spec": {}, "status": {}})
    world.settle(key)
    left = [one["metadata"]["name"] for one in world.cluster.all_of("StatefulSet")]
    assert left == ["shop-queue"], "what this version knows goes with its section"


def test_a_second_run_keeps_the_first_ones_log(world: World) -> None:
    key = world.cluster.add_demo(demo_body(DOOMED))
    world.settle(key)
    job = world.cluster.job("doomed")
    world.cluster.put("Pod", pod_body(job, "p1", "Failed"))
    world.cluster.finish(job, "Failed", "BackoffLimitExceeded")
    world.settle(key)
    assert world.cluster.status(key)["jobs"][0]["attempts"][0]["log"] == "log of p1"
    world.cluster.change_spec(key, DOOMED | {"run": 2})
    world.settle(key)
    (told,) = world.cluster.status(key)["jobs"]
    assert told["run"] == 2
    assert told["history"][0]["log"] == "log of p1"
    assert len(world.cluster.jobs()) == 2, "an ended run stays in the cluster"


def test_an_unended_run_makes_way_for_the_next(world: World) -> None:
    key = world.cluster.add_demo(demo_body(DOOMED))
    world.settle(key)
    world.cluster.change_spec(key, DOOMED | {"run": 2})
    world.settle(key)
    assert [j["metadata"]["labels"]["workshopdemo.dev/run"] for j in world.cluster.jobs()] == ["2"]


def test_each_log_is_read_once(world: World) -> None:
    key = world.cluster.add_demo(demo_body(DOOMED))
    world.settle(key)
    world.cluster.put("Pod", pod_body(world.cluster.job("doomed"), "p1", "Failed"))
    world.settle(key)
    world.look(key)
    world.relist()
    world.look(key)
    assert world.cluster.log_reads == 1


def test_a_log_that_cannot_be_read_now_is_tried_again_and_delays_nothing(world: World) -> None:
    key = world.cluster.add_demo(demo_body(DOOMED))
    world.settle(key)
    job = world.cluster.job("doomed")
    world.cluster.put("Pod", pod_body(job, "p1", "Failed"))
    world.cluster.finish(job, "Failed", "BackoffLimitExceeded")
    world.cluster.failures["log"] = UnavailableError("the kubelet does not answer")
    with pytest.raises(UnavailableError):
        world.look(key)
    assert world.cluster.status(key)["phase"] == "Ready"
    del world.cluster.failures["log"]
    world.settle(key)
    assert world.cluster.status(key)["jobs"][0]["attempts"][0]["log"] == "log of p1"


def test_a_time_to_live_loses_no_outcome_and_runs_nothing_twice(world: World) -> None:
    key = world.cluster.add_demo(demo_body(DOOMED | {"ttlSecondsAfterFinished": 0}))
    world.settle(key)
    job = world.cluster.job("doomed")
    assert "ttlSecondsAfterFinished" not in job["spec"]
    world.cluster.finish(job, "Failed", "BackoffLimitExceeded")
    world.settle(key)
    job = world.cluster.job("doomed")
    assert job["spec"]["ttlSecondsAfterFinished"] == 0
    world.cluster.remove("Job", job)
    world.settle(key)
    world.relist()
    world.settle(key)
    assert world.cluster.jobs() == []
    assert world.cluster.status(key)["jobs"][0]["asExpected"] is True


def test_a_refused_write_is_told_and_the_rest_runs(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI, DOOMED))
    name = next(iter(_planned(world, key)))
    world.cluster.failures[f"{name}"] = RejectedError("unused")
    world.cluster.failures["Job"] = ForbiddenError("cannot apply Job: exceeded quota")
    with pytest.raises(ForbiddenError):
        world.look(key)
    status = world.cluster.status(key)
    assert status["phase"] == "Degraded"
    assert {job["reason"] for job in status["jobs"]} == {"Forbidden"}
    world.cluster.failures.clear()
    world.settle(key)
    assert len(world.cluster.jobs()) == 2
    assert world.cluster.status(key)["phase"] == "Pending"


def _planned(world: World, key: DemoKey) -> list[str]:
    return [job["name"] for job in world.cluster.demos[key]["spec"]["jobs"]]


def test_a_rejected_object_is_told_and_not_tried_for_ever(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI))
    world.cluster.failures["Job"] = RejectedError("cannot apply Job: spec is invalid")
    assert world.look(key) is None
    assert world.cluster.status(key)["jobs"][0]["reason"] == "ApplyRejected"


def test_an_invalid_spec_is_told_and_nothing_is_touched(world: World) -> None:
    body = demo_body(CI)
    key = world.cluster.add_demo(body)
    world.settle(key)
    jobs = world.cluster.jobs()
    broken = world.cluster.demos[key]
    broken["spec"]["jobs"][0]["run"] = "twice"
    world.cluster.add_demo(broken)
    world.settle(key)
    status = world.cluster.status(key)
    assert status["phase"] == "Invalid"
    assert "spec.jobs[0].run" in status["summary"]
    assert world.cluster.jobs() == jobs


def test_the_status_is_written_once_a_second_and_the_last_change_is_not_dropped() -> None:
    world = World(Settings(image="i"))
    key = world.cluster.add_demo(demo_body(CI))
    world.look(key)
    world.seconds = 0.3
    world.cluster.finish(world.cluster.job("ci"), "Complete", "CompletionsReached")
    assert world.look(key) == pytest.approx(0.7)
    assert world.cluster.status(key)["phase"] == "Pending"
    world.seconds = 1.0
    world.look(key)
    assert world.cluster.status(key)["phase"] == "Ready"


def test_a_stuck_pod_is_looked_at_again_when_it_is_time(world: World) -> None:
    key = world.cluster.add_demo(demo_body(DOOMED))
    world.settle(key)
    job = world.cluster.job("doomed")
    world.cluster.put("Pod", pod_body(job, "p", "Pending", waiting="ErrImagePull"))
    assert world.look(key) == pytest.approx(60)
    world.seconds = 60
    world.look(key)
    assert world.cluster.status(key)["jobs"][0]["outcome"] == "Stuck"


def test_a_job_without_pods_says_what_its_events_say(world: World) -> None:
    key = world.cluster.add_demo(demo_body(DOOMED))
    world.settle(key)
    world.seconds = 61
    world.settle(key)
    assert world.cluster.status(key)["jobs"][0]["message"] == "exceeded quota: pods"


def test_events_that_may_not_be_posted_do_not_hold_up_the_status(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI))
    world.settle(key)
    world.cluster.finish(world.cluster.job("ci"), "Complete", "CompletionsReached")
    world.cluster.failures["Event"] = ForbiddenError("cannot post Event: no")
    world.settle(key)
    assert world.cluster.status(key)["phase"] == "Ready"


def test_a_demo_that_goes_meanwhile_is_no_failure(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI))
    del world.cluster.demos[key]
    world.look(key)
    assert not [what for what in world.cluster.writes if what.startswith("post Event")]


def _history(world: World) -> dict[str, Any]:
    """What a user can see, without what differs between two true histories."""
    ((key, body),) = world.cluster.demos.items()
    jobs = {job["metadata"]["name"]: job["spec"] for job in world.cluster.jobs()}
    told = [
        {field: job.get(field) for field in ("name", "run", "outcome", "asExpected", "attempts")}
        for job in body["status"]["jobs"]
    ]
    return {"jobs": jobs, "told": told, "phase": world.cluster.status(key)["phase"]}


def _lesson(world: World, *, crash_after: int | None) -> dict[str, Any]:
    """A lesson in which the operator's process ends after so many writes, and starts again."""
    key = world.cluster.add_demo(demo_body(CI, DOOMED, uid="u"))
    world.cluster.writes_until_crash = crash_after

    def settle() -> None:
        try:
            world.settle(key)
        except CrashError:
            world.cluster.writes_until_crash = None
            world.relist()
            world.settle(key)

    settle()
    job = world.cluster.job("doomed")
    world.cluster.put("Pod", pod_body(job, "p1", "Failed"))
    world.cluster.finish(job, "Failed", "BackoffLimitExceeded")
    settle()
    world.cluster.finish(world.cluster.job("ci"), "Complete", "CompletionsReached")
    settle()
    world.cluster.change_spec(key, CI, DOOMED | {"run": 2})
    settle()
    world.cluster.finish(world.cluster.job("doomed", run=2), "Failed", "BackoffLimitExceeded")
    settle()
    return _history(world)


def test_every_write_may_be_the_last_before_a_crash() -> None:
    undisturbed = World()
    expected = _lesson(undisturbed, crash_after=None)
    assert expected["phase"] == "Ready"
    for writes in range(len(undisturbed.cluster.writes)):
        world = World()
        assert _lesson(world, crash_after=writes) == expected, f"crash after {writes} writes"


NIGHTLY = {"name": "nightly", "scenario": "NightlyReport", "schedule": "0 2 * * *"}


def test_a_cron_job_comes_with_its_volume_and_its_first_run(world: World) -> None:
    key = world.cluster.add_demo(demo_body(cron_jobs=[NIGHTLY]))
    world.settle(key)
    (claim,) = world.cluster.all_of("PersistentVolumeClaim")
    (cron_job,) = world.cluster.all_of("CronJob")
    (job,) = world.cluster.jobs()
    assert claim["metadata"]["name"] == "bookshop-data"
    assert cron_job["metadata"]["name"] == "bookshop-nightly"
    assert job["metadata"]["name"] == "bookshop-nightly-now-1"
    assert job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert job["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "name": "bookshop-nightly",
            "uid": cron_job["metadata"]["uid"],
            "controller": True,
        }
    ]
    assert job["spec"]["template"] == cron_job["spec"]["jobTemplate"]["spec"]["template"]


def test_a_run_now_is_carried_out_once_whatever_becomes_of_its_job(world: World) -> None:
    key = world.cluster.add_demo(demo_body(cron_jobs=[NIGHTLY]))
    world.settle(key)
    (job,) = world.cluster.jobs()
    job["metadata"].setdefault("ownerReferences", [])
    world.cluster.finish(job, "Complete", "CompletionsReached")
    world.settle(key)
    assert world.cluster.status(key)["phase"] == "Ready"
    world.cluster.remove("Job", job)
    world.settle(key)
    world.relist()
    world.settle(key)
    assert world.cluster.jobs() == []
    world.cluster.change_spec(key, cron_jobs=[NIGHTLY | {"runNow": 2}])
    world.settle(key)
    (job,) = world.cluster.jobs()
    assert job["metadata"]["name"] == "bookshop-nightly-now-2"


def test_a_cron_job_at_rest_is_not_written(world: World) -> None:
    key = world.cluster.add_demo(demo_body(cron_jobs=[NIGHTLY]))
    world.settle(key)
    world.cluster.finish(world.cluster.jobs()[0], "Complete", "CompletionsReached")
    world.settle(key)
    writes = len(world.cluster.writes)
    world.relist()
    world.look(key)
    assert world.cluster.writes[writes:] == []


def test_an_object_of_somebody_else_is_left_alone_and_told_of(world: World) -> None:
    theirs = {
        "kind": "CronJob",
        "metadata": {"name": "bookshop-nightly", "namespace": "workshop", "uid": "theirs"},
    }
    world.cluster.objects["CronJob", "workshop", "bookshop-nightly"] = theirs
    key = world.cluster.add_demo(demo_body(CI, cron_jobs=[NIGHTLY]))
    with pytest.raises(NameTakenError):
        world.look(key)
    assert world.cluster.objects["CronJob", "workshop", "bookshop-nightly"] is theirs
    (told,) = world.cluster.status(key)["cronJobs"]
    assert (told["reason"], told["asExpected"]) == ("NameTaken", False)
    assert "give the entry another name" in told["message"]
    assert len(world.cluster.jobs()) == 1, "the rest of the demo runs"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timeZone": "Mars/Olympus"}, "spec.cronJobs[1].timeZone"),
        ({"schedule": "61 * * * *"}, "spec.cronJobs[1].schedule"),
        ({"schedule": "0 0 30 2 *"}, "spec.cronJobs[1].schedule"),
    ],
)
def test_what_only_the_operator_can_know_names_its_field_and_the_rest_runs(
    world: World, change: dict[str, str], field: str
) -> None:
    broken = NIGHTLY | {"name": "broken"} | change
    key = world.cluster.add_demo(demo_body(CI, cron_jobs=[NIGHTLY, broken]))
    world.settle(key)
    status = world.cluster.status(key)
    conditions = {c["type"]: c for c in status["conditions"]}
    assert conditions["SpecValid"]["status"] == "False"
    assert conditions["SpecValid"]["message"].startswith(f"{field}: ")
    assert conditions["CronJobsAsExpected"]["status"] == "False"
    assert len(world.cluster.all_of("CronJob")) == 1
    assert len(world.cluster.jobs()) == 2


def test_an_entry_that_goes_takes_its_cron_job_and_an_unused_volume_with_it(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI, cron_jobs=[NIGHTLY]))
    world.settle(key)
    world.cluster.change_spec(key, CI)
    world.settle(key)
    assert world.cluster.all_of("CronJob") == []
    assert world.cluster.all_of("PersistentVolumeClaim") == []
    assert "cronJobs" not in world.cluster.status(key)


def test_events_are_asked_for_only_where_something_went_unseen(world: World) -> None:
    key = world.cluster.add_demo(demo_body(cron_jobs=[NIGHTLY]))
    world.settle(key)
    job = world.cluster.jobs()[0]
    assert world.cluster.event_reads == 0
    del world.cluster.objects["Job", "workshop", job["metadata"]["name"]]
    world.cluster.told_events = [
        {
            "reason": "SawCompletedJob",
            "message": f"Saw completed job: {job['metadata']['name']}, condition: Failed",
        }
    ]
    world.relist()
    world.settle(key)
    (told,) = world.cluster.status(key)["cronJobs"]
    assert (told["lastOutcome"], told["runs"][0]["reason"]) == ("Failed", "FromEvents")
    world.look(key)
    assert world.cluster.event_reads == 2


def test_a_demo_in_a_namespace_that_goes_lets_its_jobs_go_and_is_left_alone(world: World) -> None:
    key = world.cluster.add_demo(demo_body(DOOMED))
    world.settle(key)
    job = world.cluster.job("doomed")
    pod = pod_body(job, "p1", "Failed")
    pod["metadata"]["deletionTimestamp"] = "2026-03-02T09:00:00Z"
    world.cluster.put("Pod", pod)
    world.cluster.failures["Event"] = NotFoundError("because it is being terminated")
    assert world.look(key) == 10.0
    assert world.cluster.jobs() == []
    writes = len(world.cluster.writes)
    world.look(key)
    assert len(world.cluster.writes) == writes


def test_logs_of_many_ends_are_read_at_the_same_time(world: World) -> None:
    entries = [DOOMED | {"name": f"doomed-{number}"} for number in range(4)]
    key = world.cluster.add_demo(demo_body(*entries))
    world.settle(key)
    for entry in entries:
        job = world.cluster.job(entry["name"])
        world.cluster.put("Pod", pod_body(job, f"pod-of-{entry['name']}", "Failed"))
    under_way, most = 0, 0

    async def pod_log(_namespace: str, pod: str, _container: str) -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return f"log of {pod}"

    world.cluster.pod_log = pod_log  # type: ignore[method-assign]
    world.look(key)
    assert most == len(entries)
    told = world.cluster.status(key)["jobs"]
    assert [one["attempts"][0]["log"] for one in told] == [
        f"log of pod-of-{entry['name']}" for entry in entries
    ]


def test_one_demo_too_many_waits_untouched_until_there_is_room() -> None:
    world = World(replace(SETTINGS, demos_per_namespace=1))
    first = world.cluster.add_demo(demo_body(CI, name="first", age=60))
    second = world.cluster.add_demo(demo_body(CI, name="second", uid="demo-uid-2"))
    world.settle(second)
    assert world.cluster.jobs() == []
    status = world.cluster.status(second)
    assert status["phase"] == "Invalid"
    assert {(one["type"], one["status"], one["reason"]) for one in status["conditions"]} == {
        ("Ready", "False", "TooManyDemos"),
        ("Progressing", "False", "TooManyDemos"),
        ("SpecValid", "False", "TooManyDemos"),
    }
    assert "limits.demos" in status["summary"]
    world.settle(first)
    assert len(world.cluster.jobs()) == 1
    world.cache.remove_demo(first, "demo-uid-1")
    world.look(first)
    assert second in world.woken
    world.settle(second)
    assert len(world.cluster.jobs()) == 2
    assert world.cluster.status(second)["phase"] == "Pending"


def test_a_limit_that_is_lowered_stops_nothing_that_runs() -> None:
    world = World()
    keys = [
        world.cluster.add_demo(demo_body(CI, name=f"d{number}", uid=f"uid-{number}"))
        for number in range(3)
    ]
    for key in keys:
        world.settle(key)
    world.settings = replace(SETTINGS, demos_per_namespace=1)
    world.relist()
    for key in keys:
        world.settle(key)
        assert world.cluster.status(key)["phase"] == "Pending"
    assert len(world.cluster.jobs()) == 3


def test_a_job_that_somebody_has_labelled_by_hand_is_outlived(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI))
    world.settle(key)
    labels = world.cluster.job("ci")["metadata"]["labels"] | {"workshopdemo.dev/run": "many"}
    by_hand = {"name": "by-hand", "namespace": "workshop", "uid": "by-hand", "labels": labels}
    world.cluster.put("Job", {"metadata": by_hand | {"creationTimestamp": time()}, "spec": {}})
    world.settle(key)
    assert world.cluster.status(key)["jobs"][0]["name"] == "ci"
