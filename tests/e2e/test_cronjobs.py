"""CronJob lessons on a real cluster: runs at once, by the clock, and what comes instead of runs."""

import shlex
import time
from typing import Any

import pytest
import yaml
from world import QUICK, World, wait_for

from support import ROOT

EVERY_MINUTE: dict[str, Any] = QUICK | {"name": "tick", "schedule": "* * * * *"}
NIGHTLY: dict[str, Any] = QUICK | {"name": "nightly", "schedule": "0 2 * * *"}
SLOW: dict[str, Any] = {"scenario": "SlowReport", "schedule": "* * * * *"}

# A run begins at a full minute, and what it shows may take the next.
MINUTES = 260.0


def entry(world: World, name: str, demo: str = "shop") -> dict[str, Any]:
    (found,) = [one for one in world.status(demo)["cronJobs"] if one["name"] == name]
    return found


def wait_for_log(world: World, name: str, words: str) -> None:
    """Wait until the log of a CronJob's latest run is told: that may be later than its end."""
    wait_for(f"the log of {name}", lambda: words in entry(world, name)["runs"][0]["log"].lower())


def test_a_lesson_starts_at_once_and_the_schedule_goes_on_by_itself(world: World) -> None:
    started = time.monotonic()
    world.apply(cron_jobs=[EVERY_MINUTE, NIGHTLY])
    world.wait_for_phase("Ready", deadline=60)
    assert time.monotonic() - started < 60
    wait_for_log(world, "nightly", "working\ndone")
    told = entry(world, "nightly")
    (run,) = told["runs"]
    assert (run["manual"], run["outcome"]) == (1, "Complete")
    assert told["nextRun"].endswith("T02:00:00Z")
    wait_for(
        "a run by the clock",
        lambda: [run for run in entry(world, "tick")["runs"] if "scheduledTime" in run],
    )


def test_run_now_runs_once_more_and_only_once(world: World) -> None:
    world.apply(cron_jobs=[NIGHTLY | {"runNow": 0}])
    world.wait_for_phase("Ready")
    assert world.jobs() == [], "0 waits for the schedule"
    world.apply(cron_jobs=[NIGHTLY | {"runNow": 5}])
    wait_for("the run", lambda: entry(world, "nightly").get("succeeded") == 1)
    wait_for_log(world, "nightly", "working\ndone")
    (job,) = world.jobs()
    assert job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    cron_job = world.batch.read_namespaced_cron_job("shop-nightly", world.namespace)
    assert job["metadata"]["ownerReferences"][0]["uid"] == cron_job.metadata.uid
    assert cron_job.status.last_schedule_time is None, "the schedule is not disturbed"
    world.kubectl("delete", "job", job["metadata"]["name"])
    time.sleep(3)
    assert world.jobs() == [], "what was carried out is not carried out again"
    assert entry(world, "nightly")["runs"][0]["log"] == "working\ndone"


@pytest.mark.parametrize(
    ("policy", "total", "outcome"),
    [("Forbid", "skipped", "Skipped"), ("Replace", "replaced", "Replaced"), ("Allow", "", "")],
)
def test_a_report_slower_than_its_period_shows_the_policy(
    world: World, policy: str, total: str, outcome: str
) -> None:
    world.apply(cron_jobs=[SLOW | {"name": "slow", "concurrencyPolicy": policy, "runNow": 0}])
    world.wait_for_phase("Ready", deadline=MINUTES)
    told = entry(world, "slow")
    if policy == "Allow":
        assert told["peakActive"] == 2
    else:
        assert told[total] >= 1
        assert outcome in [run["outcome"] for run in told["runs"]]
        assert told.get("peakActive", 1) == 1
    assert "missed" not in told
    assert "unknown" not in told


def test_failure_and_recovery_are_both_seen(world: World) -> None:
    report = {"name": "pay", "scenario": "FailingReport", "schedule": "* * * * *"}
    world.apply(cron_jobs=[report])
    wait_for("a failure", lambda: entry(world, "pay").get("failed") == 1)
    assert entry(world, "pay")["consecutiveFailures"] == 1
    world.wait_for_phase("Ready")
    told = entry(world, "pay")
    assert told["succeeded"] == 1
    assert "consecutiveFailures" not in told
    assert [run["outcome"] for run in told["runs"]] == ["Complete", "Failed"]


def test_a_suspended_cron_job_misses_its_times_and_goes_on_when_resumed(world: World) -> None:
    world.apply(cron_jobs=[EVERY_MINUTE | {"suspend": True, "runNow": 0}])
    wait_for("a missed time", lambda: entry(world, "tick").get("missed") == 1, MINUTES)
    told = entry(world, "tick")
    assert "nextRun" not in told
    assert told["runs"][0]["reason"] == "Suspended"
    world.apply(cron_jobs=[EVERY_MINUTE | {"suspend": False, "runNow": 0}])
    wait_for("a run", lambda: entry(world, "tick").get("succeeded"), MINUTES)
    assert "missed" not in entry(world, "tick"), "Kubernetes makes up for the latest time"


def test_a_wrong_time_zone_is_a_condition_and_the_rest_runs(world: World) -> None:
    world.apply(QUICK, cron_jobs=[NIGHTLY | {"timeZone": "Mars/Olympus"}])
    status = world.wait_for_phase("Degraded")
    (valid,) = [c for c in status["conditions"] if c["type"] == "SpecValid"]
    assert valid["status"] == "False"
    assert valid["message"].startswith("spec.cronJobs[0].timeZone: 'Mars/Olympus' is no time zone")
    wait_for("the Job", lambda: world.entry("ok").get("asExpected"))
    world.apply(QUICK, cron_jobs=[NIGHTLY | {"timeZone": "Europe/Berlin"}])
    world.wait_for_phase("Ready")


def test_somebody_elses_cron_job_is_left_alone(world: World) -> None:
    world.kubectl(
        *("create", "cronjob", "shop-nightly", "--image=busybox:1.37.0", "--schedule=0 3 * * *")
    )
    world.apply(QUICK, cron_jobs=[NIGHTLY])
    world.wait_for_phase("Degraded")
    assert entry(world, "nightly")["reason"] == "NameTaken"
    theirs = world.batch.read_namespaced_cron_job("shop-nightly", world.namespace)
    assert theirs.spec.schedule == "0 3 * * *"
    assert "workshopdemo.dev/demo" not in (theirs.metadata.labels or {})
    world.kubectl("delete", "cronjob", "shop-nightly")
    world.wait_for_phase("Ready")


def test_runs_outlive_their_jobs_and_history_limits_lose_none(world: World) -> None:
    none_kept = {"successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 0}
    failing = EVERY_MINUTE | {
        "name": "fail",
        "command": ["sh", "-c", "echo bad luck; exit 1"],
        "backoffLimit": 0,
        "expected": "Failed",
    }
    world.apply(cron_jobs=[EVERY_MINUTE | none_kept, failing | none_kept])
    wait_for(
        "three runs each",
        lambda: (
            entry(world, "tick").get("succeeded", 0) >= 3
            and entry(world, "fail").get("failed", 0) >= 3
        ),
        MINUTES,
    )
    assert len(world.jobs()) <= 2
    for name, log in (("tick", "working\ndone"), ("fail", "bad luck")):
        assert "unknown" not in entry(world, name)
        wait_for(
            f"a log of {name}",
            lambda name=name, log=log: (
                log in [run.get("log") for run in entry(world, name)["runs"]]
            ),
        )


def test_the_newest_three_good_jobs_and_one_bad_stay_and_the_status_remembers_more(
    world: World,
) -> None:
    script = 'case "$HOSTNAME" in *-now-[135]-*) exit 1;; esac'
    mixed = NIGHTLY | {"command": ["sh", "-c", script], "backoffLimit": 0}
    for run in range(1, 9):
        world.apply(cron_jobs=[mixed | {"runNow": run}])

        def look(run: int = run) -> bool:
            told = entry(world, "nightly")
            return told.get("succeeded", 0) + told.get("failed", 0) == run

        wait_for(f"run {run}", look)

    def kept() -> list[str]:
        names = [job["metadata"]["name"] for job in world.jobs()]
        return sorted(name.rpartition("-")[2] for name in names)

    wait_for("what is kept", lambda: kept() == ["5", "6", "7", "8"])
    assert len(entry(world, "nightly")["runs"]) == 8


def test_an_entry_that_is_removed_takes_its_cron_job_with_it(world: World) -> None:
    world.apply(QUICK, cron_jobs=[NIGHTLY])
    world.wait_for_phase("Ready")
    world.apply(QUICK)
    wait_for(
        "the CronJob is gone",
        lambda: not world.batch.list_namespaced_cron_job(world.namespace).items,
    )
    wait_for("its Jobs are gone", lambda: len(world.jobs()) == 1)
    assert "cronJobs" not in world.wait_for_phase("Ready")


def test_a_cron_job_edited_by_hand_is_put_right(world: World) -> None:
    world.apply(cron_jobs=[NIGHTLY])
    world.wait_for_phase("Ready")
    world.kubectl(
        *("patch", "cronjob", "shop-nightly", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    )

    def look() -> bool:
        found = world.batch.read_namespaced_cron_job("shop-nightly", world.namespace)
        return found.spec.suspend is False

    wait_for("suspend is put right", look)


def test_the_database_of_a_demo_is_migrated_reported_on_and_backed_up(world: World) -> None:
    world.apply(
        {"name": "migrate", "scenario": "DatabaseMigration"},
        cron_jobs=[
            {"name": "report", "scenario": "NightlyReport", "schedule": "0 2 * * *"},
            {"name": "backup", "scenario": "DatabaseBackup", "schedule": "30 2 * * *"},
        ],
    )
    world.wait_for_phase("Ready")
    wait_for_log(world, "report", "report is done")
    wait_for_log(world, "backup", "restore")
    world.apply(
        {"name": "migrate", "scenario": "DatabaseMigration", "run": 2},
        cron_jobs=[{"name": "report", "scenario": "NightlyReport", "schedule": "0 2 * * *"}],
    )
    wait_for("the second run", lambda: world.entry("migrate").get("run") == 2)
    world.wait_for_phase("Ready")
    world.wait_for_attempts("migrate", lambda found: "nothing" in found[-1]["log"].lower())


@pytest.mark.parametrize("lesson", ["01-jobs", "04-statefulsets", "bookshop"])
def test_a_lesson_of_the_workshop_becomes_ready(world: World, lesson: str) -> None:
    documents = yaml.safe_load_all((ROOT / f"deploy/demos/{lesson}.yaml").read_text())
    demos = [each for each in documents if each["kind"] == "WorkshopDemo"]
    for demo in demos:
        demo["metadata"]["namespace"] = world.namespace
        world.apply_manifest(demo)
    for demo in demos:
        status = world.wait_for_phase("Ready", demo["metadata"]["name"], deadline=MINUTES)
        entries = (*status.get("jobs", ()), *status.get("cronJobs", ()))
        assert all(one["asExpected"] for one in entries)
        for story in status["story"]:
            for command in story["try"]:
                kubectl, *arguments = shlex.split(command.partition(" #")[0])
                assert kubectl == "kubectl"
                wait_for(command, lambda words=arguments: world.kubectl(*words).strip(), 30)
