"""What is told of a CronJob: its runs, and every time at which none began."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from support import NOW, SETTINGS, condition, demo_body, pod_body, time
from workshopdemo import names
from workshopdemo.errors import ForbiddenError
from workshopdemo.facts import Child, child_of
from workshopdemo.model import CronJobStatus, parse
from workshopdemo.observe import CronJobFacts, needs_events
from workshopdemo.observe.cronjobs import observe_cron_job
from workshopdemo.plan import build, prepared

MINUTELY = {"name": "report", "scenario": "Custom", "image": "i", "schedule": "* * * * *"}


class Clockwork:
    """One CronJob, and what its controller did. NOW is a full minute; the CronJob came before."""

    def __init__(self, **entry: Any) -> None:
        self.demo = parse(demo_body(cron_jobs=[MINUTELY | {"runNow": 0} | entry]))
        (self.entry,) = self.demo.spec.cron_jobs
        plan = build(self.demo, SETTINGS, {})
        self.body = prepared(plan.intents[-1], None)
        self.body["metadata"] |= {
            "uid": "cron-uid",
            "creationTimestamp": time(-30),
            "resourceVersion": "1",
        }
        self.body["status"] = {}
        self.name: str = self.body["metadata"]["name"]
        self.jobs: dict[str, dict[str, Any]] = {}
        self.removed: list[Child] = []
        self.pods: list[dict[str, Any]] = []
        self.logs: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        self.told: CronJobStatus | None = None
        self.recheck: datetime | None = None

    def begin(self, minute: int, late: float = 0, manual: int | None = None) -> str:
        """The controller makes the Job of that minute."""
        at = minute * 60
        scheduled = NOW + timedelta(seconds=at)
        name = f"{self.name}-{int(scheduled.timestamp()) // 60}"
        labels = dict(self.body["spec"]["jobTemplate"]["metadata"]["labels"])
        annotations = {"batch.kubernetes.io/cronjob-scheduled-timestamp": time(at)}
        if manual is not None:
            name = f"{self.name}-now-{manual}"
            labels |= {names.RUN_NOW_LABEL: str(manual)}
            annotations = {}
        self.jobs[name] = {
            "metadata": {
                "name": name,
                "namespace": "workshop",
                "uid": f"uid-{name}",
                "resourceVersion": "3",
                "creationTimestamp": time(at + late),
                "labels": labels,
                "annotations": annotations,
            },
            "spec": {},
            "status": {"startTime": time(at + late)},
        }
        if manual is None:
            self.body["status"]["lastScheduleTime"] = time(at)
        return name

    def end(self, name: str, outcome: str = "Complete", at: float = 0) -> None:
        """The Job ends."""
        reason = "CompletionsReached" if outcome == "Complete" else "BackoffLimitExceeded"
        count = {"succeeded": 1} if outcome == "Complete" else {"failed": 1}
        self.jobs[name]["status"] |= count | {"conditions": [condition(outcome, reason, at)]}

    def remove(self, name: str, *, unseen: bool = False) -> None:
        """The Job goes."""
        body = self.jobs.pop(name)
        if not unseen:
            self.removed.append(child_of("Job", body))

    def tell(self, after: float, **facts: Any) -> CronJobStatus:
        """Look, so many seconds after NOW, and remember what was told."""
        moment = NOW + timedelta(seconds=after)
        known = CronJobFacts(
            **{
                "cron_job": self.name,
                "live": child_of("CronJob", self.body),
                "jobs": [child_of("Job", job) for job in self.jobs.values()],
                "removed": self.removed,
                "pods": [child_of("Pod", pod) for pod in self.pods],
                "told": self.told,
                "logs": self.logs,
                "events": self.events,
            }
            | facts
        )
        self.wants_events = needs_events(self.entry, known, moment)
        seen = observe_cron_job(self.entry, known, moment)
        self.told, self.recheck = seen.status, seen.recheck
        self.removed = []
        return self.told

    def outcomes(self) -> list[str]:
        assert self.told is not None
        return [run.outcome for run in self.told.runs]


def totals(status: CronJobStatus) -> Mapping[str, int]:
    fields = ("succeeded", "failed", "skipped", "replaced", "missed", "unknown")
    return {name: count for name in fields if (count := getattr(status, name))}


def test_a_run_is_told_with_its_end_and_log() -> None:
    clock = Clockwork()
    name = clock.begin(0)
    clock.pods.append(pod_body(clock.jobs[name], "p", "Failed", exit_code=3))
    clock.logs["uid-of-p"] = "why"
    assert clock.tell(5).runs[0].outcome == "Running"
    clock.end(name, "Failed", at=6)
    told = clock.tell(6)
    (run,) = told.runs
    assert (run.outcome, run.reason, run.exit_code) == ("Failed", "BackoffLimitExceeded", 3)
    assert (run.scheduled_time, run.start_time, run.finish_time) == (time(0), time(0), time(6))
    assert (run.log, run.node, run.attempts) == ("why", "worker", 1)
    assert (told.last_run, told.last_outcome, told.last_success) == (time(0), "Failed", None)


def test_looking_again_changes_nothing() -> None:
    clock = Clockwork()
    clock.end(clock.begin(0), at=3)
    first = clock.tell(25)
    assert clock.tell(30) == first
    assert clock.tell(55) == first


def test_the_next_run_is_told_in_both_clocks() -> None:
    clock = Clockwork(schedule="0 2 * * *", timeZone="Europe/Berlin")
    told = clock.tell(0)
    assert told.next_run == "2026-03-03T01:00:00Z"
    assert told.next_run_local == "2026-03-03 02:00 Europe/Berlin"
    assert Clockwork(suspend=True).tell(0).next_run is None


def test_failures_in_a_row_end_with_a_success() -> None:
    clock = Clockwork()
    for minute, outcome in enumerate(("Failed", "Failed", "Complete", "Failed")):
        clock.end(clock.begin(minute), outcome, at=minute * 60 + 5)
        clock.tell(minute * 60 + 10)
        assert clock.told is not None
        assert clock.told.consecutive_failures == (1, 2, 0, 1)[minute]
    assert totals(clock.told) == {"succeeded": 1, "failed": 3}
    assert clock.told.last_success == time(125)


def test_a_run_removed_by_the_history_limit_is_told_by_its_last_words() -> None:
    clock = Clockwork()
    name = clock.begin(0)
    clock.tell(2)
    clock.end(name, "Failed", at=3)
    clock.remove(name)
    assert clock.tell(4).runs[0].outcome == "Failed"
    assert totals(clock.tell(5)) == {"failed": 1}


def test_a_run_that_came_and_went_between_two_looks_is_told_too() -> None:
    clock = Clockwork()
    clock.tell(-5)
    name = clock.begin(0)
    clock.end(name, at=1)
    clock.remove(name)
    assert totals(clock.tell(2)) == {"succeeded": 1}


def test_forbid_skips_a_time_only_when_a_later_one_has_come() -> None:
    """The latest time that passed is made up for when the run ends; only earlier ones are lost."""
    clock = Clockwork(concurrencyPolicy="Forbid")
    first = clock.begin(0)
    clock.tell(5)
    clock.tell(85)
    assert clock.outcomes() == ["Running"], "minute 1 may still begin"
    assert totals(clock.tell(121)) == {"skipped": 1}
    assert clock.outcomes() == ["Skipped", "Running"]
    clock.end(first, at=150)
    clock.begin(2, late=31)
    told = clock.tell(152)
    assert clock.outcomes() == ["Running", "Skipped", "Complete"]
    assert totals(told) == {"skipped": 1, "succeeded": 1}


def test_replace_is_told_though_its_job_never_gets_a_condition() -> None:
    clock = Clockwork(concurrencyPolicy="Replace")
    first = clock.begin(0)
    clock.tell(5)
    clock.remove(first)
    clock.begin(1)
    told = clock.tell(61)
    assert clock.outcomes() == ["Running", "Replaced"]
    assert totals(told) == {"replaced": 1}


def test_a_job_that_somebody_deletes_is_not_replaced() -> None:
    clock = Clockwork()
    name = clock.begin(0)
    clock.tell(5)
    clock.remove(name)
    assert clock.tell(6).runs[0].outcome == "Deleted"


def test_allow_lets_runs_overlap() -> None:
    clock = Clockwork()
    clock.begin(0)
    clock.begin(1)
    told = clock.tell(65)
    assert (told.active, told.peak_active) == (2, 2)


def test_a_suspended_time_is_missed_until_it_is_made_up_for() -> None:
    clock = Clockwork(suspend=True)
    clock.tell(0)
    clock.tell(25)
    told = clock.tell(85)
    assert [run.reason for run in told.runs] == ["Suspended", "Suspended"]
    assert totals(told) == {"missed": 2}
    # Resumed: Kubernetes starts the latest time at once.
    clock.entry = msgspec.structs.replace(clock.entry, suspend=False)
    clock.begin(1, late=30)
    told = clock.tell(91)
    assert totals(told) == {"missed": 1}
    assert clock.outcomes() == ["Running", "Missed"]


def test_a_time_at_which_nothing_happened_is_missed() -> None:
    clock = Clockwork()
    clock.tell(0)
    assert clock.tell(19).runs == (), "the controller may be late"
    told = clock.tell(21)
    assert [(run.outcome, run.reason) for run in told.runs] == [("Missed", "NotStarted")]


def test_a_run_unseen_is_recovered_from_events() -> None:
    clock = Clockwork()
    name = clock.begin(0)
    clock.tell(5)
    clock.remove(name, unseen=True)
    clock.events = [
        {"reason": "SawCompletedJob", "message": f"Saw completed job: {name}, condition: Failed"}
    ]
    told = clock.tell(10)
    assert clock.wants_events
    (run,) = told.runs
    assert (run.outcome, run.reason) == ("Failed", "FromEvents")
    assert (told.consecutive_failures, totals(told)) == (1, {"failed": 1})
    clock.tell(11)
    assert not clock.wants_events


def test_runs_that_came_and_went_unseen_are_recovered_or_unknown_never_invented() -> None:
    clock = Clockwork()
    clock.tell(-5)
    gone = [clock.begin(minute) for minute in (0, 1, 2, 3)]
    for name in gone:
        clock.remove(name, unseen=True)
    clock.events = [
        {"reason": "SuccessfulCreate", "message": f"Created job {gone[0]}"},
        {
            "reason": "SawCompletedJob",
            "message": f"Saw completed job: {gone[0]}, condition: Complete",
        },
        {"reason": "SuccessfulCreate", "message": f"Created job {gone[1]}"},
    ]
    told = clock.tell(205)
    assert clock.wants_events
    assert [(run.outcome, run.reason) for run in told.runs] == [
        ("Unknown", "JobVanished"),  # the CronJob says that minute 3 was begun
        ("Unknown", "NobodyWatched"),  # nothing tells whether minute 2 was
        ("Unknown", "JobVanished"),  # an Event tells that minute 1 was
        ("Complete", "FromEvents"),
    ]
    assert totals(told) == {"unknown": 3, "succeeded": 1}


def job_event(job: str, reason: str, at: float) -> dict[str, Any]:
    """An Event of the Job controller about a Job."""
    about = {"kind": "Job", "name": job}
    return {"involvedObject": about, "reason": reason, "lastTimestamp": time(at), "message": "m"}


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("Completed", "Complete"),
        ("BackoffLimitExceeded", "Failed"),
        ("DeadlineExceeded", "Failed"),
        ("SuccessfulCreate", "Unknown"),
        ("FailedCreate", "Unknown"),
    ],
)
@pytest.mark.parametrize("is_told", [True, False], ids=["it began before", "all of it unseen"])
def test_a_jobs_own_events_tell_what_its_cron_job_did_not_see(
    reason: str, outcome: str, is_told: bool
) -> None:
    """History limit 0: the Job goes before the CronJob controller says that it saw its end."""
    clock = Clockwork()
    clock.tell(-5)
    name = clock.begin(0)
    if is_told:
        clock.tell(5)
    clock.remove(name, unseen=True)
    clock.events = [job_event(name, "SuccessfulCreate", 0), job_event(name, reason, 7)]
    told = clock.tell(100)
    assert clock.wants_events
    run = next(run for run in told.runs if run.job == name)
    assert run.outcome == outcome
    if outcome != "Unknown":
        assert (run.reason, run.finish_time) == ("FromEvents", time(7))
    assert told.last_success == (time(7) if outcome == "Complete" else None)


def test_a_cron_jobs_events_are_read_though_kubernetes_has_combined_them() -> None:
    clock = Clockwork()
    clock.tell(-5)
    name = clock.begin(0)
    clock.remove(name, unseen=True)
    said = f"(combined from similar events): Saw completed job: {name}, condition: Complete"
    clock.events = [{"reason": "SawCompletedJob", "message": said}]
    assert totals(clock.tell(30)) == {"succeeded": 1}


def test_a_job_on_its_way_to_us_is_waited_for() -> None:
    """The CronJob, or an Event that was asked for, may tell of a Job before its own watch does."""
    clock = Clockwork(concurrencyPolicy="Forbid")
    name = clock.begin(0)
    body = clock.jobs.pop(name)
    clock.body["status"]["active"] = [{"kind": "Job", "name": name}]
    assert clock.tell(33).runs == ()
    clock.body["status"] = {}
    created = {"reason": "SuccessfulCreate", "message": f"Created job {name}"}
    clock.events = [created | {"lastTimestamp": time(33)}]
    assert clock.tell(34).runs == ()
    clock.jobs[name] = body
    assert totals(clock.tell(35)) == {}
    assert clock.outcomes() == ["Running"]


def test_a_manual_run_is_told_as_one_and_moves_no_schedule() -> None:
    clock = Clockwork(runNow=2)
    clock.end(clock.begin(0, late=7, manual=2), at=9)
    told = clock.tell(10)
    (run,) = told.runs
    assert (run.manual, run.scheduled_time, told.run_now) == (2, None, 2)
    assert told.next_run == time(60)


@pytest.mark.parametrize("policy", ["Forbid", "Replace"])
def test_a_job_made_by_hand_is_told_and_counts_for_no_policy(policy: str) -> None:
    """`kubectl create job --from=cronjob/…`, as the story says; the CronJob does not count it."""
    clock = Clockwork(concurrencyPolicy=policy)
    name = clock.begin(0, manual=9)
    by_hand = clock.jobs.pop(name)
    by_hand["metadata"]["name"] = "by-hand"
    del by_hand["metadata"]["labels"][names.RUN_NOW_LABEL]
    clock.jobs["by-hand"] = by_hand
    told = clock.tell(130)
    assert (told.active, told.peak_active, told.run_now) == (1, 0, 0)
    assert totals(told) == {"missed": 2}, "not skipped: the controller saw nothing running"
    clock.remove("by-hand")
    (run,) = [run for run in clock.tell(131).runs if run.job == "by-hand"]
    assert run.outcome == "Deleted"


def test_a_new_schedule_is_no_news_about_the_past() -> None:
    clock = Clockwork(schedule="0 2 * * *")
    clock.tell(0)
    clock.entry = msgspec.structs.replace(clock.entry, schedule="* * * * *")
    told = clock.tell(3600)
    assert told.runs == ()
    assert totals(clock.tell(3700)) == {"missed": 1}


def test_totals_outlive_the_runs_that_they_count() -> None:
    clock = Clockwork()
    for minute in range(40):
        name = clock.begin(minute)
        clock.end(name, at=minute * 60 + 2)
        clock.tell(minute * 60 + 5)
        clock.remove(name)
        clock.tell(minute * 60 + 6)
    assert clock.told is not None
    assert totals(clock.told) == {"succeeded": 40}
    assert len(clock.told.runs) == 12


@pytest.mark.parametrize(
    ("moment", "recheck"), [(-10, 1), (5, 21), (30, 61)], ids=["next", "grace", "after"]
)
def test_the_clock_alone_makes_it_look_again(moment: float, recheck: float) -> None:
    clock = Clockwork()
    clock.tell(moment)
    assert clock.recheck == NOW + timedelta(seconds=recheck)


@pytest.mark.parametrize(
    ("entry", "outcomes", "as_expected"),
    [
        ({}, [], True),
        ({"runNow": 1}, [], None),
        ({}, ["Complete"], True),
        ({}, ["Failed"], False),
        ({}, ["Failed", "Complete"], True),
        ({"expected": "Failed"}, ["Failed"], True),
        ({"expected": "Failed"}, ["Complete"], False),
        ({"scenario": "FailingReport"}, ["Failed"], None),
        ({"scenario": "FailingReport"}, ["Failed", "Complete"], True),
        ({"scenario": "SlowReport"}, ["Complete"], None),
    ],
)
def test_runs_are_judged_by_their_lesson(
    entry: dict[str, Any], outcomes: list[str], as_expected: bool | None
) -> None:
    if "scenario" in entry:
        entry = {"image": None} | entry
    clock = Clockwork(**entry)
    for minute, outcome in enumerate(outcomes):
        clock.end(clock.begin(minute), outcome, at=minute * 60 + 1)
        clock.tell(minute * 60 + 5)
    assert clock.tell(len(outcomes) * 60 - 30).as_expected is as_expected


def test_a_pod_that_cannot_start_is_told_after_a_while() -> None:
    clock = Clockwork()
    name = clock.begin(0)
    clock.pods.append(pod_body(clock.jobs[name], "p", "Pending", waiting="ErrImagePull"))
    assert clock.tell(30).runs[0].outcome == "Running"
    told = clock.tell(61)
    assert (told.runs[-1].outcome, told.as_expected) == ("Stuck", False)
    assert told.message == f"a Pod of {name} cannot start"


def test_what_could_not_be_written_is_told() -> None:
    told = Clockwork().tell(0, live=None, problem=ForbiddenError("cannot apply CronJob: no"))
    assert (told.as_expected, told.reason, told.message) == (
        False,
        "Forbidden",
        "cannot apply CronJob: no",
    )
