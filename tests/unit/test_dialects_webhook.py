"""Webhook: the event, its signature, and what any receiver's answer means."""

import base64
import hashlib
import hmac
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings

from messages import FAILURE, HOSTILE, NOW, anything, everywhere, to
from workshopdemo.notify.dialects import webhook
from workshopdemo.notify.message import Message
from workshopdemo.notify.wire import Answer, Credentials, HttpRequest

URL = "https://hooks.example/k8s?team=shop"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_KEY = "whsec_" + base64.b64encode(b"another key of 32 bytes, no less").decode()

SEEN = """\
{
  "specversion": "1.0",
  "id": "0b6c9d8e-54a1-5c2f-9a57-3f1de6a0c111",
  "source": "/apis/workshopdemo.dev/v1alpha1/namespaces/workshop/workshopdemos/bookshop",
  "type": "dev.workshopdemo.cronjob.failed.v1",
  "subject": "nightly-report",
  "datacontenttype": "application/json",
  "data": {
    "id": "0b6c9d8e-54a1-5c2f-9a57-3f1de6a0c111",
    "outcome": "Failure",
    "kind": "CronJob",
    "namespace": "workshop",
    "demo": "bookshop",
    "entry": "nightly-report",
    "thread": "6a1f0a52-7d3e-4c39-8d0b-2f8c2e1a9b77",
    "headline": "nightly-report failed for the third time in a row",
    "time": "2026-03-02T02:00:41Z",
    "job": "bookshop-nightly-report-29540280",
    "jobUid": "11111111-2222-3333-4444-555555555555",
    "scheduled": "2026-03-02 03:00 Europe/Berlin (2026-03-02T02:00:00Z)",
    "since": "failing since 2026-02-28T02:00:40Z, last success 2026-02-27T02:00:12Z",
    "firstFailure": "2026-02-28T02:00:40Z",
    "failures": 3,
    "reason": "BackoffLimitExceeded",
    "why": "every attempt failed, and backoffLimit allows no more",
    "exitCode": 1,
    "node": "worker-2",
    "attempts": 2,
    "started": "2026-03-02T02:00:00Z",
    "finished": "2026-03-02T02:00:41Z",
    "duration": "41 s",
    "nextRun": "2026-03-03 03:00 Europe/Berlin (2026-03-03T02:00:00Z)",
    "lesson": "the lesson expects its runs to be: complete",
    "log": "connecting to bookshop-db-0 …\\nrelation \\"sales\\" does not exist\\nexit 1",
    "commands": [
      "kubectl logs job/bookshop-nightly-report-29540280 -n workshop",
      "kubectl describe job bookshop-nightly-report-29540280 -n workshop"
    ],
    "mayRepeat": false,
    "text": <text>
  },
  "time": "2026-03-02T02:00:41Z"
}"""

TEXT = """\
nightly-report failed for the third time in a row

Why: BackoffLimitExceeded · every attempt failed, and backoffLimit allows no more
Exit code: 1
Where: namespace workshop, demo bookshop, Job bookshop-nightly-report-29540280, node worker-2
When: 2026-03-02T02:00:41Z
Scheduled: 2026-03-02 03:00 Europe/Berlin (2026-03-02T02:00:00Z)
Since: failing since 2026-02-28T02:00:40Z, last success 2026-02-27T02:00:12Z
Attempts: 2
Took: 41 s
Next run: 2026-03-03 03:00 Europe/Berlin (2026-03-03T02:00:00Z)
Lesson: the lesson expects its runs to be: complete

Last lines of its log:
connecting to bookshop-db-0 …
relation "sales" does not exist
exit 1

What to type:
kubectl logs job/bookshop-nightly-report-29540280 -n workshop
kubectl describe job bookshop-nightly-report-29540280 -n workshop"""


def event_of(message: Message) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(webhook.request(message, to(URL), NOW).body)
    return event


def test_what_is_sent() -> None:
    event = event_of(FAILURE)
    assert event["data"]["text"] == TEXT
    seen = SEEN.replace("<text>", json.dumps(TEXT, ensure_ascii=False))
    assert json.dumps(event, indent=2, ensure_ascii=False) == seen


@pytest.mark.parametrize(
    ("kind", "outcome", "name"),
    [
        ("Job", "Success", "dev.workshopdemo.job.succeeded.v1"),
        ("Job", "Failure", "dev.workshopdemo.job.failed.v1"),
        ("Job", "Stuck", "dev.workshopdemo.job.stuck.v1"),
        ("CronJob", "Recovery", "dev.workshopdemo.cronjob.recovered.v1"),
        ("CronJob", "Missed", "dev.workshopdemo.cronjob.missed.v1"),
    ],
)
def test_the_type(kind: Any, outcome: Any, name: str) -> None:
    assert event_of(replace(FAILURE, kind=kind, outcome=outcome))["type"] == name


def test_a_source_has_no_other_segments() -> None:
    source = event_of(replace(FAILURE, demo="a/b?c"))["source"]
    assert source.endswith("/namespaces/workshop/workshopdemos/a%2Fb%3Fc")


def test_a_time_that_is_none_is_left_out() -> None:
    for time in ("", "yesterday", "2026-03-02", "2026-03-02T02:00:41"):
        assert "time" not in event_of(replace(FAILURE, time=time))
    assert event_of(replace(FAILURE, time="2026-03-02T04:00:41+02:00"))["time"] == FAILURE.time


def test_the_headers() -> None:
    request = webhook.request(FAILURE, to(URL), NOW)
    assert request.url == URL
    assert request.headers == {
        "Content-Type": "application/cloudevents+json; charset=UTF-8",
        "webhook-id": FAILURE.id,
        "webhook-timestamp": "1772416860",
    }


def test_a_retry_is_the_same_event_at_another_time() -> None:
    later = webhook.request(FAILURE, to(URL), NOW + timedelta(seconds=90.7))
    first = webhook.request(FAILURE, to(URL), NOW)
    assert later.body == first.body
    assert later.headers["webhook-id"] == first.headers["webhook-id"]
    assert later.headers["webhook-timestamp"] == "1772416950"


def test_a_token_is_sent() -> None:
    request = webhook.request(FAILURE, Credentials(url=URL, bearer="abc"), NOW)
    assert request.headers["Authorization"] == "Bearer abc"
    assert "webhook-signature" not in request.headers


def test_the_published_vector_of_standard_webhooks() -> None:
    signature = webhook.signature(
        KEY, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def expected(request: HttpRequest, key: bytes) -> str:
    """The signature as any receiver works it out, from nothing but what it got."""
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    digest = hmac.new(key, head.encode("ascii") + request.body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")


def test_what_is_sent_is_what_is_signed() -> None:
    request = webhook.request(FAILURE, Credentials(url=URL, signing=(KEY,)), NOW)
    key = base64.b64decode(KEY.removeprefix("whsec_"))
    assert request.headers["webhook-signature"] == expected(request, key)


def test_while_keys_are_rotated_each_signs() -> None:
    request = webhook.request(FAILURE, Credentials(url=URL, signing=(OTHER_KEY, KEY)), NOW)
    new, old = request.headers["webhook-signature"].split(" ")
    assert new == expected(request, b"another key of 32 bytes, no less")
    assert old == expected(request, base64.b64decode(KEY.removeprefix("whsec_")))


def test_a_key_without_prefix_is_taken_as_it_is() -> None:
    key = "a plain key of some length, ä"
    request = webhook.request(FAILURE, Credentials(url=URL, signing=(key,)), NOW)
    assert request.headers["webhook-signature"] == expected(request, key.encode())


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (KEY, None),
        (OTHER_KEY, None),
        (OTHER_KEY.rstrip("="), None),
        ("x" * 24, None),
        ("x" * 64, None),
        ("x" * 23, "it has 23 bytes, and must have 24 to 64"),
        ("ä" * 33, "it has 66 bytes, and must have 24 to 64"),
        ("", "it has 0 bytes, and must have 24 to 64"),
        ("whsec_", "it has 0 bytes, and must have 24 to 64"),
        ("whsec_c2hvcnQ=", "it has 5 bytes, and must have 24 to 64"),
        ("whsec_not base64 at all, that", "what follows whsec_ is not Base64"),
        ("whsec_" + "ä" * 32, "what follows whsec_ is not Base64"),
        ("whsk_" + "A" * 44, "it is an asymmetric key (whsk_, whpk_)"),
        ("whpk_" + "A" * 44, "it is an asymmetric key (whsk_, whpk_)"),
    ],
)
def test_what_is_wrong_with_a_key(key: str, problem: str | None) -> None:
    found = webhook.key_problem(key)
    assert (found or "").startswith(problem or "")
    assert (found is None) == (problem is None)


def test_a_key_that_is_none_signs_nothing_and_is_not_told() -> None:
    with pytest.raises(ValueError, match="a signing key is whsec_ and Base64") as raised:
        webhook.request(FAILURE, Credentials(url=URL, signing=("whsec_so secret",)), NOW)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_what_is_cut_is_marked() -> None:
    message = replace(
        FAILURE, log="a line\n" * 10_000 + "the reason", why="w" * 5000, commands=("ls",) * 50
    )
    data = event_of(message)["data"]
    assert data["log"].startswith("…")
    assert data["log"].endswith("\nthe reason")
    assert data["why"].endswith("w…")
    assert data["commands"] == ["ls"] * 8 + ["…"]


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
    request = webhook.request(message, Credentials(url=URL, signing=(KEY,)), NOW)
    assert len(request.body) <= 20_000
    assert all(re.fullmatch("[ -~]+", value) for value in request.headers.values())
    assert re.fullmatch("[A-Za-z0-9-]{1,64}", request.headers["webhook-id"])
    event = json.loads(request.body)
    assert event["id"] == request.headers["webhook-id"]
    assert all(re.fullmatch("[a-z0-9]+", name) for name in event)
    for name in ("id", "source", "type", "subject"):
        assert event[name].isprintable()
        assert event[name].strip()
    name = "[^/?# ]+"
    source = f"/apis/workshopdemo.dev/v1alpha1/namespaces/{name}/workshopdemos/{name}"
    assert re.fullmatch(source, event["source"])
    assert unquote(event["source"]).isascii()
    assert all(
        one.isprintable() or one == "\n"
        for value in event["data"].values()
        if isinstance(value, str)
        for one in value
    )
    start = " ".join(message.headline.split())[:20]
    if start.isalnum():
        assert event["data"]["headline"].startswith(start)
        assert event["data"]["text"].startswith(start)


@pytest.mark.parametrize(
    ("code", "fate"),
    [
        (200, "Delivered"), (201, "Delivered"), (202, "Delivered"), (204, "Delivered"),
        (301, "TargetRefused"), (302, "TargetRefused"), (307, "TargetRefused"),
        (308, "TargetRefused"), (304, "TargetRefused"),
        (400, "MessageRefused"), (409, "MessageRefused"), (413, "MessageRefused"),
        (415, "MessageRefused"), (422, "MessageRefused"),
        (401, "TargetRefused"), (403, "TargetRefused"), (404, "TargetRefused"),
        (405, "TargetRefused"), (410, "TargetRefused"), (418, "TargetRefused"),
        (451, "TargetRefused"),
        (408, "Retry"), (425, "Retry"), (429, "Retry"),
        (500, "Retry"), (501, "Retry"), (502, "Retry"), (503, "Retry"), (504, "Retry"),
        (599, "Retry"),
    ],
)  # fmt: skip
def test_what_an_answer_means(code: int, fate: str) -> None:
    verdict = webhook.judge(Answer(code=code, body="whatever", retry_after=12.0))
    assert verdict.fate == fate
    assert verdict.after == (12.0 if fate == "Retry" else None)


def test_a_web_page_is_as_good_as_any_answer_of_a_webhook() -> None:
    assert webhook.judge(Answer(code=200, body="<html>thanks</html>")).fate == "Delivered"


def test_no_answer_is_tried_again() -> None:
    verdict = webhook.judge(Answer(problem="no connection within 5 s"))
    assert (verdict.fate, verdict.words) == ("Retry", "no connection within 5 s")
