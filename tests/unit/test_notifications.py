"""Who is told what, from the end of a Job to the receiver: once, whatever happens on the way."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from office import ALERTS, OK, SLACK, WEBHOOK, Arrival, Office
from support import demo_body, pod_body
from workshopdemo.errors import UnavailableError
from workshopdemo.names import DemoKey
from workshopdemo.notify.wire import Answer

CI = {"name": "ci", "scenario": "CIPipeline"}
DOOMED = {"name": "doomed", "scenario": "AlwaysFails"}
TEAM_FROM_SECRET = {
    "name": "team",
    "slack": {"urlFrom": {"secretKeyRef": {"name": "team-slack", "key": "url"}}},
}
URL = "https://hooks.slack.com/services/T0/B0/abcdefghijkl"


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    office.open()
    yield office
    office.close()


def begin(office: Office, *targets: dict[str, Any], jobs: Any = (CI, DOOMED)) -> DemoKey:
    """A demo whose Jobs run."""
    key = office.cluster.add_demo(demo_body(*jobs, targets=targets))
    office.pass_time(3)
    return key


def types(arrivals: list[Arrival]) -> Counter[str]:
    return Counter(arrival.body["type"].removeprefix("dev.workshopdemo.") for arrival in arrivals)


def ids(arrivals: list[Arrival]) -> Counter[str]:
    return Counter(arrival.body["id"] for arrival in arrivals)


def condition(office: Office, key: DemoKey) -> dict[str, Any]:
    (found,) = (
        one for one in office.status(key)["conditions"] if one["type"] == "NotificationsDelivered"
    )
    return found


def test_each_outcome_is_told_once_to_each_target(office: Office) -> None:
    key = begin(office, WEBHOOK, SLACK)
    office.end("ci", "Complete")
    office.end("doomed", "Failed")
    office.pass_time(30)
    assert types(office.receiver.to("hook")) == {"job.succeeded.v1": 1, "job.failed.v1": 1}
    assert len(office.receiver.to("team")) == 2
    told = office.told(key)
    assert (told["delivered"], told["pending"], told["failed"]) == (4, 0, 0)
    assert {one["state"] for one in told["recent"]} == {"Delivered"}
    assert all(one["latency"].endswith("ms") and one["code"] == 200 for one in told["recent"])
    assert condition(office, key)["status"] == "True"
    assert office.status(key)["summary"].endswith("4 notified")


def test_at_rest_nothing_is_written_and_a_new_process_tells_nothing_again(office: Office) -> None:
    begin(office, WEBHOOK, SLACK, ALERTS | {"name": "quiet"}, jobs=(CI,))
    office.end("ci", "Complete")
    office.pass_time(10)
    writes, arrivals = len(office.cluster.writes), len(office.receiver.arrivals)
    office.pass_time(30)
    office.kill()
    office.open()
    office.pass_time(30)
    assert office.cluster.writes[writes:] == []
    assert len(office.receiver.arrivals) == arrivals


def test_only_what_is_asked_for_is_told_and_only_to_those_who_are_named(office: Office) -> None:
    silent = CI | {"notifyOn": []}
    named = DOOMED | {"notifyOn": ["Failure"], "notify": ["hook"]}
    begin(office, WEBHOOK, SLACK, jobs=(silent, named))
    office.end("ci", "Complete")
    office.end("doomed", "Failed")
    office.pass_time(10)
    assert types(office.receiver.arrivals) == {"job.failed.v1": 1}


@pytest.mark.parametrize("turns", [*range(40), 60, 90])
def test_a_crash_at_any_moment_loses_nothing(turns: int) -> None:
    """Told twice only if the process ended between the sending and the note of it."""
    office = Office()
    office.open()
    key = begin(office, WEBHOOK, SLACK)
    office.end("ci", "Complete")
    office.end("doomed", "Failed")
    office.pass_moments(turns)
    office.kill()
    office.open()
    office.pass_time(30)
    hook = ids(office.receiver.to("hook"))
    assert len(hook) == 2
    assert max(hook.values()) <= 2
    team = office.receiver.to("team")
    repeats = [one for one in team if "may be a repeat" in one.text.lower()]
    assert len(team) - len(repeats) <= 2 <= len(team) <= 3
    told = office.told(key)
    assert told["delivered"] == 4
    assert {one["state"] for one in told["recent"]} == {"Delivered"}
    office.close()


def test_a_receiver_that_fails_is_tried_until_it_is_well(office: Office) -> None:
    key = begin(office, WEBHOOK)
    office.receiver.answer = lambda _: Answer(code=500, body="over capacity")
    office.end("doomed", "Failed")
    office.end("ci", "Complete")
    office.pass_time(60)
    told = office.told(key)
    assert told["pending"] == 2
    (target,) = told["targets"]
    assert target["state"] == "Retrying"
    assert "HTTP 500" in target["message"]
    found = condition(office, key)
    assert found["status"] == "False"
    assert "hook: HTTP 500" in found["message"]
    assert office.status(key)["phase"] == "Degraded"
    assert 2 < len(office.receiver.arrivals) < 12, "it is not pestered"
    office.receiver.answer = lambda _: OK
    office.pass_time(120)
    assert office.told(key)["delivered"] == 2
    assert condition(office, key)["status"] == "True"
    assert office.status(key)["phase"] == "Ready"


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (OK, {"delivered": 2}),
        (Answer(code=400, body="what is this?"), {"failed": 2}),
        (Answer(code=404, body="no such hook"), {"failed": 2}),
        (Answer(code=500), {"retried": 2}),
    ],
)
def test_each_try_is_counted_by_what_became_of_it(
    office: Office, answer: Answer, tries: dict[str, int]
) -> None:
    begin(office, WEBHOOK)
    office.receiver.answer = lambda _: answer
    office.end("ci", "Complete")
    office.end("doomed", "Failed")
    office.pass_moments(60)
    assert Counter(office.tries) == {("inbox", state): n for state, n in tries.items()}


def test_an_alert_that_is_told_again_is_no_new_notification(office: Office) -> None:
    begin(office, ALERTS, jobs=(DOOMED,))
    office.end("doomed", "Failed")
    office.pass_time(300, step=10)
    assert len(office.receiver.arrivals) > 1
    assert office.tries == [("inbox", "delivered")]


def test_a_pause_that_the_receiver_asks_for_is_kept(office: Office) -> None:
    begin(office, WEBHOOK)
    office.receiver.answer = lambda _: Answer(code=429, retry_after=100.0)
    office.end("ci", "Complete")
    office.end("doomed", "Failed")
    office.pass_time(95)
    first = len(office.receiver.arrivals)
    assert first <= 2
    office.receiver.answer = lambda _: OK
    office.pass_time(60)
    later = office.receiver.arrivals[first:]
    assert len(later) == 2
    assert min(one.at for one in later) >= office.receiver.arrivals[0].at + 100


def test_a_message_that_is_refused_is_not_sent_again(office: Office) -> None:
    key = begin(office, WEBHOOK)
    office.receiver.answer = lambda _: Answer(code=400, body="what is this?")
    office.end("ci", "Complete")
    office.pass_time(300)
    assert len(office.receiver.arrivals) == 1
    told = office.told(key)
    assert told["failed"] == 1
    (one,) = told["recent"]
    assert (one["state"], one["code"]) == ("Failed", 400)
    assert "what is this?" in condition(office, key)["message"]


def test_a_wrong_secret_is_not_tried_again_until_it_is_corrected(office: Office) -> None:
    office.secret("team-slack", url=URL)
    key = begin(office, TEAM_FROM_SECRET)
    office.receiver.answer = lambda _: Answer(code=404, body="no_service")
    office.end("doomed", "Failed")
    office.pass_time(120)
    assert len(office.receiver.arrivals) == 1
    told = office.told(key)
    assert (told["failed"], told["recent"][0]["state"]) == (1, "Refused")
    assert "no_service" in condition(office, key)["message"]
    office.kill()
    office.open()
    office.pass_time(60)
    assert len(office.receiver.arrivals) == 1, "a new process does not try it again either"
    office.receiver.answer = lambda _: OK
    office.secret("team-slack", version="2", url=URL + "m")
    office.pass_time(60)
    told = office.told(key)
    assert told["delivered"] == 1
    assert told["failed"] == 0
    assert condition(office, key)["status"] == "True"


def test_a_missing_secret_is_named_and_its_coming_noticed(office: Office) -> None:
    key = begin(office, TEAM_FROM_SECRET)
    office.end("ci", "Complete")
    office.pass_time(5)
    assert "kubectl create secret generic team-slack" in condition(office, key)["message"]
    office.secret("team-slack", key="misnamed")
    office.pass_time(40)
    assert "has no key url" in condition(office, key)["message"]
    office.secret("team-slack", version="2", url=URL)
    office.pass_time(40)
    assert office.told(key)["delivered"] == 1


def test_an_address_that_our_guard_refuses_is_told_and_nothing_is_written_meanwhile(
    office: Office,
) -> None:
    office.secret("team-slack", url=URL)
    key = begin(office, TEAM_FROM_SECRET, jobs=(CI,))
    office.receiver.refusal = "the URL's host is not public"
    office.end("ci", "Complete")
    office.pass_time(20)
    assert "is not public" in condition(office, key)["message"]
    writes = len(office.cluster.writes)
    office.pass_time(300)
    assert office.cluster.writes[writes:] == []
    office.receiver.refusal = None
    office.pass_time(30)
    assert office.told(key)["delivered"] == 1


def test_a_receiver_s_words_do_not_give_a_secret_away(office: Office) -> None:
    office.secret("team-slack", url=URL)
    key = begin(office, TEAM_FROM_SECRET)
    office.receiver.answer = lambda _: Answer(code=404, body=f"nothing at {URL} abcdefghijkl")
    office.end("ci", "Complete")
    office.pass_time(5)
    said = str(office.cluster.demos[key]) + str(office.cluster.objects["Job", "workshop",
        office.cluster.job("ci")["metadata"]["name"]])  # fmt: skip
    assert "abcdefghijkl" not in said
    assert "[hidden]" in said


def test_a_target_that_is_added_later_hears_of_what_happens_then(office: Office) -> None:
    key = begin(office, WEBHOOK)
    office.end("ci", "Complete")
    office.pass_time(5)
    office.cluster.change_spec(key, CI, DOOMED, targets=[WEBHOOK, WEBHOOK | {"name": "late"}])
    office.pass_time(5)
    office.end("doomed", "Failed")
    office.pass_time(5)
    assert types(office.receiver.to("late")) == {"job.failed.v1": 1}
    assert len(office.receiver.to("hook")) == 2


def test_what_waits_for_a_target_that_is_removed_is_withdrawn(office: Office) -> None:
    key = begin(office, WEBHOOK, SLACK)
    office.receiver.answer = lambda arrival: OK if "team" in arrival.url else Answer(code=503)
    office.end("ci", "Complete")
    office.pass_time(5)
    office.cluster.change_spec(key, CI, DOOMED, targets=[SLACK])
    office.pass_time(10)
    count = len(office.receiver.to("hook"))
    office.pass_time(300)
    assert len(office.receiver.to("hook")) == count
    told = office.told(key)
    assert {one["target"]: one["state"] for one in told["recent"]} == {
        "hook": "Withdrawn",
        "team": "Delivered",
    }
    assert told["delivered"] == 1
    assert told["pending"] == 0


def test_two_operators_by_mistake_send_each_message_once(office: Office) -> None:
    office.open("operator-b")
    jobs = [{"name": f"j{number}", "scenario": "CIPipeline"} for number in range(8)]
    key = begin(office, WEBHOOK, SLACK, jobs=jobs)
    office.receiver.delay = 0.3
    for number in range(8):
        office.end(f"j{number}", "Complete")
    office.pass_time(90)
    assert set(ids(office.receiver.to("hook")).values()) == {1}
    assert len(office.receiver.to("team")) == 8
    assert office.told(key)["delivered"] == 16


def test_what_a_dead_operator_was_sending_is_sent_by_the_next_and_marked(office: Office) -> None:
    office.receiver.delay = 5.0
    begin(office, SLACK)
    office.end("ci", "Complete")
    office.pass_time(1)
    assert len(office.receiver.arrivals) == 1
    office.kill()
    office.receiver.delay = 0.0
    office.open("operator-b")
    office.pass_time(50)
    assert len(office.receiver.arrivals) == 1, "the other one may still be alive"
    office.pass_time(30)
    first, second = office.receiver.arrivals
    assert "may be a repeat" not in first.text.lower()
    assert "may be a repeat" in second.text.lower()


def test_what_is_under_way_when_the_operator_stops_is_not_sent_again(office: Office) -> None:
    office.receiver.delay = 25.0
    key = begin(office, WEBHOOK, SLACK)
    office.end("ci", "Complete")
    office.pass_time(1)
    office.end("doomed", "Failed")
    office.pass_time(1)
    assert len(office.receiver.to("team")) == 1
    before = office.loop.time()
    office.stop()
    assert office.loop.time() - before < 26, "what has not begun does not delay it"
    assert len(office.receiver.to("team")) == 1
    office.receiver.delay = 0.0
    office.open("operator-b")
    office.pass_time(5)
    assert set(ids(office.receiver.to("hook")).values()) == {1}
    assert len(office.receiver.to("team")) == 2, "the other one comes without any wait"
    assert not any("may be a repeat" in one.text.lower() for one in office.receiver.arrivals)
    assert office.told(key)["delivered"] == 4


def test_an_operator_that_sends_nothing_stops_at_once(office: Office) -> None:
    begin(office, WEBHOOK)
    before = office.loop.time()
    office.stop()
    assert office.loop.time() == before


def test_a_slow_target_delays_nobody(office: Office) -> None:
    slow = WEBHOOK | {"name": "slow"}
    begin(office, slow, WEBHOOK)

    def answer(arrival: Arrival) -> Answer:
        return Answer(problem="no answer within 30 s") if "slow" in arrival.url else OK

    office.receiver.answer = answer
    office.end("ci", "Complete")
    office.pass_time(2)
    office.end("doomed", "Failed")
    office.pass_time(2)
    assert len(office.receiver.to("hook")) == 2


def test_an_end_is_told_while_what_was_seen_before_is_still_being_written(office: Office) -> None:
    key = begin(office, WEBHOOK)
    write, under_way = office.cluster.apply_status, 0

    async def slow(demo: dict[str, Any]) -> dict[str, Any]:
        nonlocal under_way
        under_way += 1
        assert under_way == 1, "two statuses of a demo are never written at the same time"
        await asyncio.sleep(20)
        under_way -= 1
        return await write(demo)

    office.cluster.apply_status = slow  # type: ignore[method-assign]
    office.end("ci", "Complete")
    office.pass_time(5)
    assert under_way == 1
    office.end("doomed", "Failed")
    office.pass_time(5)
    assert types(office.receiver.arrivals) == {"job.succeeded.v1": 1, "job.failed.v1": 1}
    office.pass_time(120)
    assert len(office.receiver.arrivals) == 2
    told = office.told(key)
    assert (told["delivered"], told["pending"], told["failed"]) == (2, 0, 0)
    events = Counter(event["reason"] for event in office.cluster.events)
    assert (events["JobComplete"], events["JobFailed"]) == (1, 1), events


def test_a_status_that_cannot_be_written_is_written_later_and_nothing_is_told_twice(
    office: Office,
) -> None:
    key = begin(office, WEBHOOK)
    office.cluster.failures["status"] = UnavailableError("it is starting")
    office.end("ci", "Complete")
    office.pass_time(30)
    office.end("doomed", "Failed")
    office.pass_time(30)
    assert not office.told(key).get("delivered")
    del office.cluster.failures["status"]
    office.pass_time(120)
    assert types(office.receiver.arrivals) == {"job.succeeded.v1": 1, "job.failed.v1": 1}
    told = office.told(key)
    assert (told["delivered"], told["pending"], told["failed"]) == (2, 0, 0)


def test_slack_hears_one_message_a_second(office: Office) -> None:
    jobs = [{"name": f"j{number}", "scenario": "CIPipeline"} for number in range(6)]
    begin(office, SLACK, jobs=jobs)
    for number in range(6):
        office.end(f"j{number}", "Complete")
    office.pass_time(20)
    times = [one.at for one in office.receiver.arrivals]
    assert len(times) == 6
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert min(gaps) >= 1.0
    assert max(gaps) < 1.5


def test_nothing_is_sent_that_could_not_be_noted_before(office: Office) -> None:
    key = begin(office, WEBHOOK)
    office.cluster.failures["annotate"] = UnavailableError("no answer")
    office.end("ci", "Complete")
    office.pass_time(20)
    assert office.receiver.arrivals == []
    del office.cluster.failures["annotate"]
    office.pass_time(60)
    assert len(office.receiver.arrivals) == 1
    assert office.told(key)["delivered"] == 1


def test_a_delivery_is_given_up_after_a_day(office: Office) -> None:
    key = begin(office, WEBHOOK)
    office.receiver.answer = lambda _: Answer(problem="connection refused", may_have_arrived=False)
    office.end("ci", "Complete")
    office.pass_time(25 * 3600, step=600)
    told = office.told(key)
    assert told["failed"] == 1
    assert "given up after a day" in told["recent"][0]["message"]
    count = len(office.receiver.arrivals)
    office.pass_time(3600, step=600)
    assert len(office.receiver.arrivals) == count


def test_an_alert_fires_as_long_as_the_last_run_failed(office: Office) -> None:
    key = begin(office, ALERTS, jobs=(DOOMED,))
    office.end("doomed", "Failed")
    office.pass_time(5)
    assert office.told(key)["targets"][0]["firing"] == ("doomed/Failure",)
    office.pass_time(300, step=10)
    fired = office.receiver.arrivals
    assert 5 <= len(fired) <= 7, "it is told again each minute"
    labels = [one.body[0]["labels"] for one in fired]
    assert all(one == labels[0] for one in labels)
    assert labels[0]["alertname"] == "JobFailed"
    office.kill()
    office.open()
    before = len(office.receiver.arrivals)
    office.pass_time(130, step=10)
    assert len(office.receiver.arrivals) > before, "a new process goes on"
    office.cluster.change_spec(key, DOOMED | {"run": 2}, targets=[ALERTS])
    office.pass_time(5)
    office.end("doomed", "Complete", run=2)
    office.pass_time(5)
    (resolved, *_) = (
        alert for alert in office.receiver.arrivals[-1].body if alert["labels"] == labels[0]
    )
    assert resolved["endsAt"] <= office.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "firing" not in office.told(key)["targets"][0]
    office.pass_time(400, step=10)
    count = len(office.receiver.arrivals)
    office.pass_time(600, step=10)
    assert len(office.receiver.arrivals) == count, "and then there is silence"


def test_a_success_without_a_failure_is_no_news_to_an_alertmanager(office: Office) -> None:
    begin(office, ALERTS, jobs=(CI,))
    office.end("ci", "Complete")
    office.pass_time(10)
    assert office.receiver.arrivals == []


def test_the_alerts_of_a_demo_that_goes_are_ended(office: Office) -> None:
    key = begin(office, ALERTS, jobs=(DOOMED,))
    office.end("doomed", "Failed")
    office.pass_time(5)
    body = office.cluster.demos.pop(key)
    for operator in office.operators:
        operator.cache.remove_demo(key, body["metadata"]["uid"])
        operator.queue.wake(key)
    office.pass_time(5)
    last = office.receiver.arrivals[-1].body[0]
    assert last["labels"]["alertname"] == "JobFailed"
    assert last["endsAt"] <= office.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_alertmanager_that_goes_with_its_demo_is_not_sought_for_ever(office: Office) -> None:
    key = begin(office, ALERTS, jobs=(DOOMED,))
    office.end("doomed", "Failed")
    office.pass_time(5)
    office.receiver.answer = lambda _: Answer(problem="the host's name does not resolve")
    body = office.cluster.demos.pop(key)
    for operator in office.operators:
        operator.cache.remove_demo(key, body["metadata"]["uid"])
        operator.queue.wake(key)
    office.pass_time(1200, step=10)
    count = len(office.receiver.arrivals)
    assert count > 2
    office.pass_time(4 * 3600, step=600)
    assert len(office.receiver.arrivals) == count


def test_recovery_is_told_as_such_to_those_who_ask(office: Office) -> None:
    entry = DOOMED | {"notifyOn": ["Recovery"]}
    key = begin(office, WEBHOOK, jobs=(entry,))
    office.end("doomed", "Failed")
    office.pass_time(5)
    assert office.receiver.arrivals == []
    office.cluster.change_spec(key, entry | {"run": 2}, targets=[WEBHOOK])
    office.pass_time(5)
    office.end("doomed", "Complete", run=2)
    office.pass_time(5)
    assert types(office.receiver.arrivals) == {"job.recovered.v1": 1}


def test_a_stuck_pod_is_told_once_and_its_end_after_that(office: Office) -> None:
    entry = CI | {"notifyOn": ["Stuck", "Success"]}
    begin(office, WEBHOOK, jobs=(entry,))
    job = office.cluster.job("ci")
    pod = pod_body(job, "p1", "Pending", waiting="ErrImagePull")
    office.cluster.put("Pod", pod)
    office.pass_time(90, step=5)
    assert types(office.receiver.arrivals) == {"job.stuck.v1": 1}
    office.cluster.put("Pod", pod_body(job, "p1", "Succeeded", at=95))
    office.end("ci", "Complete")
    office.pass_time(10)
    assert types(office.receiver.arrivals) == {"job.stuck.v1": 1, "job.succeeded.v1": 1}


def test_a_run_that_ended_unseen_and_was_followed_by_another_is_told(office: Office) -> None:
    key = begin(office, WEBHOOK, jobs=(CI,))
    office.kill()
    office.end("ci", "Failed")
    office.cluster.change_spec(key, CI | {"run": 2}, targets=[WEBHOOK])
    office.open()
    office.pass_time(10)
    assert types(office.receiver.arrivals) == {"job.failed.v1": 1}


REPORT = {
    "name": "report",
    "scenario": "NightlyReport",
    "schedule": "* * * * *",
    "runNow": 0,
    "notifyOn": ["Failure", "Recovery", "Missed"],
}


def begin_cron(office: Office, *targets: dict[str, Any], **entry: Any) -> DemoKey:
    """A demo with a CronJob; a minute has passed."""
    key = office.cluster.add_demo(demo_body(cron_jobs=[REPORT | entry], targets=targets))
    office.pass_time(62)
    return key


def headlines(arrivals: list[Arrival]) -> list[str]:
    return [arrival.body["data"]["headline"] for arrival in arrivals]


def test_failures_in_a_row_are_counted_and_their_end_is_a_recovery(office: Office) -> None:
    begin_cron(office, WEBHOOK)
    for kind in ("Failed", "Failed", "Failed", "Complete", "Complete"):
        office.run("report", kind)
        office.wake()
        office.pass_time(60)
    assert headlines(office.receiver.arrivals) == [
        "report failed",
        "report failed for the second time in a row",
        "report failed for the third time in a row",
        "report works again after 3 failures",
    ]
    third = office.receiver.arrivals[2].body["data"]
    assert "failing since" in third["since"]


def test_a_run_whose_job_is_gone_before_its_receiver_is_well_is_told(office: Office) -> None:
    key = begin_cron(office, WEBHOOK)
    office.receiver.answer = lambda _: Answer(code=503)
    job = office.run("report", "Failed")
    office.wake()
    office.pass_time(5)
    office.cluster.forget("Job", job)
    office.pass_time(20)
    office.kill()
    office.open()
    office.receiver.answer = lambda _: OK
    before = len(office.receiver.arrivals)
    office.pass_time(60)
    told = [one for one in office.receiver.arrivals[before:] if "failed" in one.body["type"]]
    assert len(told) == 1
    assert office.told(key)["delivered"] >= 1


@pytest.mark.parametrize("gone_while_away", [False, True])
def test_what_was_told_is_not_told_again_when_events_tell_of_it(
    office: Office, gone_while_away: bool
) -> None:
    begin_cron(office, WEBHOOK, SLACK)
    job = office.run("report", "Failed")
    office.wake()
    office.pass_time(10)
    assert len(office.receiver.to("hook")) == 1
    if gone_while_away:
        office.kill()
    del office.cluster.objects["Job", "workshop", job["metadata"]["name"]]
    office.cluster.told_events = [
        {
            "reason": "SawCompletedJob",
            "message": f"Saw completed job: {job['metadata']['name']}, condition: Failed",
            "lastTimestamp": "2026-03-02T09:01:10Z",
        }
    ]
    for operator in office.operators:
        operator.cache.bury_child("Job", job)
    if gone_while_away:
        office.open()
    office.pass_time(40)
    assert len(office.receiver.to("hook")) == 1
    assert len(office.receiver.to("team")) == 1


def test_runs_that_went_while_nobody_looked_are_told_by_their_events(office: Office) -> None:
    begin_cron(office, WEBHOOK)
    office.kill()
    told = []
    for minute in range(2, 22):
        job = office.run("report", "Failed", minute=minute)
        told.append(job["metadata"]["name"])
        del office.cluster.objects["Job", "workshop", job["metadata"]["name"]]
    office.cluster.told_events = [
        {
            "reason": "SawCompletedJob",
            "message": f"Saw completed job: {name}, condition: Failed",
            "lastTimestamp": "2026-03-02T09:21:10Z",
        }
        for name in told
    ]
    office.loop.run_until_complete(_sleep(21 * 60))
    office.open()
    office.pass_time(30)
    failed = [one for one in office.receiver.arrivals if "failed" in one.body["type"]]
    assert sorted(one.body["data"]["job"] for one in failed) == sorted(told)
    assert all("Events tell how it ended" in one.body["data"]["why"] for one in failed)
    office.kill()
    office.open()
    office.pass_time(30)
    assert len([one for one in office.receiver.arrivals if "failed" in one.body["type"]]) == 20


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


def test_missed_times_are_told_together_once(office: Office) -> None:
    begin_cron(office, WEBHOOK)
    office.kill()
    office.loop.run_until_complete(_sleep(5 * 60))
    office.open()
    office.pass_time(10)
    (first,) = office.receiver.arrivals
    assert first.body["type"] == "dev.workshopdemo.cronjob.missed.v1"
    assert "did not run" in first.body["data"]["headline"]
    office.kill()
    office.open()
    office.pass_time(5)
    assert len(office.receiver.arrivals) == 1


def test_a_suspended_cron_job_misses_nothing(office: Office) -> None:
    begin_cron(office, WEBHOOK, suspend=True)
    office.pass_time(300, step=10)
    assert office.receiver.arrivals == []
