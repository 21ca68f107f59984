"""Alertmanager: what fires and ends, what its labels are, and what its answers mean."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from messages import FAILURE, HOSTILE, NOW, anything, everywhere, to
from workshopdemo.notify.dialects import alertmanager
from workshopdemo.notify.message import Message
from workshopdemo.notify.wire import Answer, Credentials

URL = "http://alertmanager.monitoring:9093"

JOB = replace(FAILURE, kind="Job", entry="doomed", first_failure=None, failures=1)

SEEN = """\
{
  "labels": {
    "alertname": "CronJobFailed",
    "namespace": "workshop",
    "demo": "bookshop",
    "cronjob": "nightly-report",
    "severity": "critical",
    "source": "workshopdemo"
  },
  "annotations": {
    "summary": "nightly-report failed for the third time in a row",
    "job": "bookshop-nightly-report-29540280",
    "job_uid": "11111111-2222-3333-4444-555555555555",
    "reason": "BackoffLimitExceeded",
    "why": "every attempt failed, and backoffLimit allows no more",
    "exit_code": "1",
    "node": "worker-2",
    "attempts": "2",
    "failures": "3",
    "since": "failing since 2026-02-28T02:00:40Z, last success 2026-02-27T02:00:12Z",
    "scheduled": "2026-03-02 03:00 Europe/Berlin (2026-03-02T02:00:00Z)",
    "started": "2026-03-02T02:00:00Z",
    "finished": "2026-03-02T02:00:41Z",
    "duration": "41 s",
    "next_run": "2026-03-03 03:00 Europe/Berlin (2026-03-03T02:00:00Z)",
    "lesson": "the lesson expects its runs to be: complete",
    "description": <facts>,
    "log": "connecting to bookshop-db-0 …\\nrelation \\"sales\\" does not exist\\nexit 1",
    "commands": <commands>
  },
  "startsAt": "2026-02-28T02:00:40Z",
  "endsAt": "2026-03-02T02:05:00Z"
}"""


def sent(message: Message, now: datetime = NOW) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = json.loads(alertmanager.request(message, to(URL), now).body)
    return alerts


def test_what_fires() -> None:
    (alert,) = sent(FAILURE)
    description = alert["annotations"]["description"]
    assert description.startswith("Why: BackoffLimitExceeded · every attempt failed")
    assert "\nWhere: namespace workshop, demo bookshop, Job" in description
    commands = alert["annotations"]["commands"]
    assert commands == "\n".join(FAILURE.commands)
    seen = SEEN.replace("<facts>", json.dumps(description, ensure_ascii=False)).replace(
        "<commands>", json.dumps(commands)
    )
    assert json.dumps(alert, indent=2, ensure_ascii=False) == seen


@pytest.mark.parametrize(
    ("kind", "outcome", "name", "severity"),
    [
        ("Job", "Failure", "JobFailed", "critical"),
        ("Job", "Stuck", "JobStuck", "warning"),
        ("CronJob", "Failure", "CronJobFailed", "critical"),
        ("CronJob", "Stuck", "CronJobStuck", "warning"),
        ("CronJob", "Missed", "CronJobMissed", "warning"),
    ],
)
def test_the_labels(kind: Any, outcome: Any, name: str, severity: str) -> None:
    (alert,) = sent(replace(FAILURE, kind=kind, outcome=outcome))
    entry = {"Job": "job_name", "CronJob": "cronjob"}[kind]
    assert alert["labels"] == {
        "alertname": name,
        "namespace": "workshop",
        "demo": "bookshop",
        entry: "nightly-report",
        "severity": severity,
        "source": "workshopdemo",
    }


def test_every_run_is_the_same_alert() -> None:
    other = replace(
        FAILURE, id="x", job="other", job_uid="other", reason="DeadlineExceeded", log="other",
        time="2026-03-03T02:00:41Z", failures=4, exit_code=9, headline="other", thread="other",
    )  # fmt: skip
    assert alertmanager.alert_key(other) == alertmanager.alert_key(FAILURE)
    assert alertmanager.alert_key(other) == tuple(sorted(sent(other)[0]["labels"].items()))
    for field in ("namespace", "demo", "entry"):
        assert alertmanager.alert_key(replace(FAILURE, **{field: "x"})) != (
            alertmanager.alert_key(FAILURE)
        )


def test_an_alert_lasts_until_it_is_told_again_and_a_while_longer() -> None:
    assert 4 * timedelta(seconds=alertmanager.RESEND_SECONDS) == alertmanager.HOLD
    later = NOW + timedelta(hours=5)
    (alert,) = sent(FAILURE, later)
    assert alert["startsAt"] == "2026-02-28T02:00:40Z"
    assert alert["endsAt"] == "2026-03-02T07:05:00Z"


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        (JOB, "2026-03-02T02:00:41Z"),
        (replace(FAILURE, outcome="Stuck"), "2026-03-02T02:00:41Z"),
        (replace(FAILURE, outcome="Missed"), "2026-03-02T02:00:41Z"),
        (replace(JOB, time=""), "2026-03-02T02:01:00Z"),
        (replace(JOB, time="2026-03-02T02:00:00"), "2026-03-02T02:01:00Z"),
        (replace(JOB, time="2026-03-02T04:00:41+02:00"), "2026-03-02T02:00:41Z"),
        (replace(JOB, time="2030-01-01T00:00:00Z"), "2026-03-02T02:01:00Z"),
    ],
)
def test_when_it_began(message: Message, begins: str) -> None:
    assert sent(message)[0]["startsAt"] == begins


@pytest.mark.parametrize("outcome", ["Success", "Recovery"])
@pytest.mark.parametrize(
    ("message", "fired"),
    [(FAILURE, ["Failure", "Stuck", "Missed"]), (JOB, ["Failure", "Stuck"])],
)
def test_a_success_ends_every_alert_of_its_entry(
    message: Message, outcome: Any, fired: list[Any]
) -> None:
    ended = sent(replace(message, outcome=outcome, time="2026-03-02T02:00:50Z"))
    firing = [sent(replace(message, outcome=one))[0] for one in fired]
    assert [one["labels"] for one in ended] == [one["labels"] for one in firing]
    assert {one["endsAt"] for one in ended} == {"2026-03-02T02:00:50Z"}


@pytest.mark.parametrize(
    ("first", "time", "begins", "ends"),
    [
        ("2026-02-28T02:00:40Z", "2026-03-02T02:00:41Z", "2026-02-28T02:00:40Z", None),
        (None, "2026-03-02T02:00:41Z", "2026-03-02T02:00:41Z", None),
        ("2026-03-02T02:00:50Z", "2026-03-02T02:00:41Z", "2026-03-02T02:00:41Z", None),
        (None, "2030-01-01T00:00:00Z", "2026-03-02T02:01:00Z", "2026-03-02T02:01:00Z"),
        (None, "", "2026-03-02T02:01:00Z", "2026-03-02T02:01:00Z"),
    ],
)
def test_an_end_is_past_and_never_before_its_beginning(
    first: str | None, time: str, begins: str, ends: str | None
) -> None:
    message = replace(FAILURE, outcome="Recovery", first_failure=first, time=time)
    assert sent(message)[0]["startsAt"] == begins
    assert sent(message)[0]["endsAt"] == (ends or time)


@pytest.mark.parametrize("outcome", ["Failure", "Stuck", "Missed"])
def test_an_alert_ends_with_what_it_is_about(outcome: Any) -> None:
    message = replace(FAILURE, outcome=outcome)
    request = alertmanager.resolution(message, to(URL), NOW)
    (ended,), (fired,) = json.loads(request.body), sent(message)
    assert request.url == f"{URL}/api/v2/alerts"
    assert ended["labels"] == fired["labels"]
    assert ended["startsAt"] == fired["startsAt"]
    assert ended["endsAt"] == "2026-03-02T02:01:00Z"
    assert "nobody watches" in ended["annotations"]["resolution"]


@pytest.mark.parametrize(
    ("url", "api"),
    [
        (URL, f"{URL}/api/v2/alerts"),
        (f"{URL}/", f"{URL}/api/v2/alerts"),
        ("https://a.example/monitoring/am//", "https://a.example/monitoring/am/api/v2/alerts"),
        ("https://a.example/am?tenant=b%2Fc", "https://a.example/am/api/v2/alerts?tenant=b%2Fc"),
        ("https://a.example/api/v2/alerts", "https://a.example/api/v2/alerts"),
        ("https://[::1", "https://[::1"),
    ],
)
def test_the_api_is_below_the_url(url: str, api: str) -> None:
    assert alertmanager.request(FAILURE, to(url), NOW).url == api


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        (Credentials(url=URL), None),
        (Credentials(url=URL, bearer="abc"), "Bearer abc"),
        (
            Credentials(url=URL, basic=("Aladdin", "open sesame")),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        (Credentials(url=URL, basic=("ä", "ß"), bearer="abc"), "Basic w6Q6w58="),
    ],
)
def test_who_we_are(credentials: Credentials, header: str | None) -> None:
    headers = dict(alertmanager.request(FAILURE, credentials, NOW).headers)
    assert headers.pop("Content-Type") == "application/json"
    assert headers == ({} if header is None else {"Authorization": header})


@settings(max_examples=60, deadline=None)
@given(anything)
def test_any_message_is_within_limits_and_taken(message: Message) -> None:
    check(message)


@pytest.mark.parametrize(
    "piece",
    [HOSTILE, "🎉" * 200 + "\n", "<" * 200 + "\n", "<", "`", '"', "\\", "🎉", "\ud800", "\n", "a"],
)
@pytest.mark.parametrize("times", [0, 1, 20_000])
def test_a_message_of_nothing_else_is_too(piece: str, times: int) -> None:
    check(everywhere(piece * times))


def check(message: Message) -> None:
    for request in (
        alertmanager.request(message, to(URL), NOW),
        alertmanager.resolution(message, to(URL), NOW),
    ):
        assert len(request.body) <= 64_000
        for alert in json.loads(request.body):
            assert len(alert["labels"]) == 6
            assert all(0 < len(value) <= 253 for value in alert["labels"].values())
            for name, value in {**alert["labels"], **alert["annotations"]}.items():
                assert re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name)
                assert value
                assert all(one.isprintable() or one == "\n" for one in value)
            starts, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
            assert starts <= ends
            assert starts.tzinfo == ends.tzinfo == UTC
            is_firing = ends > NOW
            assert is_firing <= (message.outcome in ("Failure", "Stuck", "Missed"))
            start = " ".join(message.headline.split())[:20]
            if start.isalnum():
                assert alert["annotations"]["summary"].startswith(start)


def test_names_that_are_none_are_told_apart_all_the_same() -> None:
    one, other = (replace(FAILURE, entry="x" * 1000 + last) for last in "ab")
    assert alertmanager.alert_key(one) != alertmanager.alert_key(other)


@pytest.mark.parametrize(
    ("answer", "fate", "words"),
    [
        (Answer(code=200), "Delivered", ""),
        (Answer(code=202), "Delivered", ""),
        (
            Answer(code=200, body="<!doctype html><html><title>Sign in"),
            "TargetRefused",
            "a web page answered: the URL leads to something else",
        ),
        (
            Answer(code=301),
            "TargetRefused",
            "redirects are not followed: the URL must be the one that answers",
        ),
        (
            Answer(code=400, body='"start time must be before end time"\n'),
            "MessageRefused",
            "start time must be before end time",
        ),
        (
            Answer(code=422, body='{"code":602,"message":"0.labels in body is required"}'),
            "MessageRefused",
            "0.labels in body is required",
        ),
        (Answer(code=401, body="Unauthorized\n"), "TargetRefused", "Unauthorized"),
        (Answer(code=403), "TargetRefused", ""),
        (Answer(code=404, body="404 page not found\n"), "TargetRefused", "404 page not found"),
        (Answer(code=429), "Retry", ""),
        (Answer(code=500, body='"store is full"'), "Retry", "store is full"),
        (
            Answer(code=503, body="<html><head><title>503 Service Unavailable</title>"),
            "Retry",
            "503 Service Unavailable",
        ),
        (Answer(problem="connection refused"), "Retry", "connection refused"),
    ],
)
def test_what_an_answer_means(answer: Answer, fate: str, words: str) -> None:
    verdict = alertmanager.judge(answer)
    assert (verdict.fate, verdict.words) == (fate, words)
