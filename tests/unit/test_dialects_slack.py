"""Slack: what one sees, what no log can do, and what Slack's answers mean."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from messages import FAILURE, HOSTILE, NOW, anything, everywhere, to
from workshopdemo.notify.dialects import slack
from workshopdemo.notify.message import Message, facts
from workshopdemo.notify.wire import Answer

URL = "https://hooks.slack.com/services/T000/B000/XXX"

SEEN = """\
# nightly-report failed for the third time in a row
| Why: BackoffLimitExceeded · every attempt failed, and backoffLimit allows no more
| Exit code: 1
| Where: namespace workshop, demo bookshop, Job bookshop-nightly-report-29540280, node worker-2
| When: 2026-03-02T02:00:41Z
| Scheduled: 2026-03-02 03:00 Europe/Berlin (2026-03-02T02:00:00Z)
| Since: failing since 2026-02-28T02:00:40Z, last success 2026-02-27T02:00:12Z
| Attempts: 2
| Took: 41 s
| Next run: 2026-03-03 03:00 Europe/Berlin (2026-03-03T02:00:00Z)
| Lesson: the lesson expects its runs to be: complete
|
| *Last lines of its log*
| ```
| connecting to bookshop-db-0 …
| relation "sales" does not exist
| exit 1
| ```
|
| *What to type*
| ```
| kubectl logs job/bookshop-nightly-report-29540280 -n workshop
| kubectl describe job bookshop-nightly-report-29540280 -n workshop
| ```
|
| id 0b6c9d8e-54a1-5c2f-9a57-3f1de6a0c111"""


def sent(message: Message) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(slack.request(message, to(URL), NOW).body)
    return payload


def seen(payload: dict[str, Any]) -> str:
    """The message as Slack shows it, the bar of the attachment at the left."""
    (header,), (attachment,) = payload["blocks"], payload["attachments"]
    shown = "\n\n".join(map(block_text, attachment["blocks"]))
    bars = "\n".join(f"| {line}".rstrip() for line in shown.split("\n"))
    return f"# {block_text(header)}\n{bars}"


def block_text(block: dict[str, Any]) -> str:
    elements = block.get("elements") or [block["text"]]
    return " · ".join(unescaped(element["text"]) for element in elements)


def unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def text_objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") in ("plain_text", "mrkdwn"):
            yield value
        for inner in value.values():
            yield from text_objects(inner)
    if isinstance(value, list):
        for inner in value:
            yield from text_objects(inner)


def test_what_one_sees() -> None:
    assert seen(sent(FAILURE)) == SEEN


def test_a_phone_tells_what_and_where() -> None:
    told = "nightly-report failed for the third time in a row · demo bookshop in namespace workshop"
    payload = sent(FAILURE)
    assert payload["text"] == told
    assert payload["attachments"][0]["fallback"] == told


def test_the_request() -> None:
    request = slack.request(FAILURE, to(URL), NOW)
    assert request.url == URL
    assert request.headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("outcome", "colour"),
    [
        ("Failure", "danger"),
        ("Stuck", "danger"),
        ("Missed", "warning"),
        ("Success", "good"),
        ("Recovery", "good"),
    ],
)
def test_the_colour_of_the_outcome(outcome: Any, colour: str) -> None:
    assert sent(replace(FAILURE, outcome=outcome))["attachments"][0]["color"] == colour


def test_what_is_not_known_is_not_named() -> None:
    message = replace(FAILURE, reason=None, why=None, exit_code=None, log="", commands=())
    shown = seen(sent(message))
    assert not re.search("Why|Exit code|Last lines|What to type|None", shown)


def test_a_repeat_is_marked() -> None:
    note = "may be a repeat: an earlier try got no answer"
    assert note not in seen(sent(FAILURE))
    assert seen(sent(replace(FAILURE, may_repeat=True))).endswith(f"c111 · {note}")


def test_the_end_of_a_long_log_is_kept() -> None:
    log = "\n".join(f"line {number} {'x' * 200}" for number in range(1000)) + "\nthe reason"
    shown = seen(sent(replace(FAILURE, log=log)))
    assert "| ```\n| …" in shown
    assert "\n| the reason\n" in shown


def test_a_line_of_a_log_is_a_line() -> None:
    shown = seen(sent(replace(FAILURE, log="a\u2028b\u00a0c\r\n\x1b[31mred\x1b[0m\n\n20%\r40%\n")))
    assert "| ```\n| a b c\n| red\n| 40%\n| ```\n" in shown


def test_the_beginning_of_a_long_headline_is_kept() -> None:
    payload = sent(replace(FAILURE, headline="& " * 200))
    header = payload["blocks"][0]["text"]["text"]
    assert re.fullmatch("(&amp; )+&amp;…", header)
    assert len(header) <= 150


def test_a_long_reason_leaves_room_for_the_other_facts() -> None:
    shown = seen(sent(replace(FAILURE, why="because " * 10_000)))
    assert all(f"| {label}: " in shown for label, _ in facts(FAILURE))


def test_a_log_mentions_nobody_and_marks_nothing() -> None:
    payload = sent(replace(FAILURE, log=HOSTILE, commands=(HOSTILE,)))
    _, log, commands, _ = payload["attachments"][0]["blocks"]
    for words in (log["text"]["text"], commands["text"]["text"]):
        assert "&lt;!channel&gt;" in words
        assert "&amp;amp;" in words
        assert words.count("`") == 6
        assert words.endswith("\n```")


@settings(max_examples=60, deadline=None)
@given(anything)
def test_any_message_is_within_limits_and_harmless(message: Message) -> None:
    check(message)


@pytest.mark.parametrize(
    "piece",
    [
        HOSTILE,
        "🎉" * 200 + "\n",
        "<" * 200 + "\n",
        "<",
        "&amp;",
        "`",
        '"',
        "\\",
        "🎉",
        "\ud800",
        "\n",
        "a",
    ],
)
@pytest.mark.parametrize("times", [0, 1, 20_000])
def test_a_message_of_nothing_else_is_too(piece: str, times: int) -> None:
    check(everywhere(piece * times))


def check(message: Message) -> None:
    payload = sent(message)
    assert payload.keys() == {"text", "blocks", "attachments"}
    attachment = payload["attachments"][0]
    assert attachment.keys() == {"color", "fallback", "blocks"}
    words = list(text_objects(payload))
    assert all(one["text"].strip() for one in words)
    assert all(size(one["text"]) <= 3000 for one in words)
    assert sum(size(one["text"]) for one in words) <= 10_000
    assert size(payload["blocks"][0]["text"]["text"]) <= 150
    assert size(payload["text"]) <= 40_000
    for text in (payload["text"], *(one["text"] for one in words)):
        assert not re.search("[<>]|&(?!(amp|lt|gt);)", text)
        assert all(character.isprintable() or character == "\n" for character in text)
    assert not re.search(r"[@*`~]", payload["text"])
    for one in words:
        if one["type"] == "plain_text":
            assert one["emoji"] is False
        else:
            assert one["verbatim"] is True
            assert re.fullmatch(r"\*[A-Za-z ]+\*\n```\n[^`]+\n```", one["text"])
    start = " ".join(message.headline.split())[:20]
    if start.isalnum():
        assert payload["text"].startswith(start)
        assert payload["blocks"][0]["text"]["text"].startswith(start)


def size(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


@pytest.mark.parametrize(
    ("code", "body", "fate"),
    [
        (200, "ok", "Delivered"),
        (200, "ok\n", "Delivered"),
        (200, "invalid_payload", "MessageRefused"),
        (200, "no_service", "TargetRefused"),
        (200, "<html><title>Log in</title>", "TargetRefused"),
        (200, "", "TargetRefused"),
        (400, "invalid_payload", "MessageRefused"),
        (400, "no_text", "MessageRefused"),
        (500, "no_text", "MessageRefused"),
        (400, "too_many_attachments", "MessageRefused"),
        (400, "invalid_blocks", "MessageRefused"),
        (400, "invalid_blocks_format", "MessageRefused"),
        (400, "invalid_attachments", "MessageRefused"),
        (400, "msg_blocks_too_long", "MessageRefused"),
        (400, "user_not_found", "TargetRefused"),
        (403, "action_prohibited", "TargetRefused"),
        (403, "invalid_token", "TargetRefused"),
        (403, "posting_to_general_channel_denied", "TargetRefused"),
        (403, "team_disabled", "TargetRefused"),
        (404, "no_team", "TargetRefused"),
        (404, "channel_not_found", "TargetRefused"),
        (404, "no_service", "TargetRefused"),
        (404, "no_service_id", "TargetRefused"),
        (404, "no_active_hooks", "TargetRefused"),
        (410, "channel_is_archived", "TargetRefused"),
        (429, "rate_limited", "Retry"),
        (429, "no_service", "Retry"),
        (500, "rollup_error", "Retry"),
        (301, "", "TargetRefused"),
        (302, "ok", "TargetRefused"),
        (400, "something new", "MessageRefused"),
        (404, "", "TargetRefused"),
        (405, "", "TargetRefused"),
        (408, "", "Retry"),
        (502, "<html>", "Retry"),
        (503, "", "Retry"),
    ],
)
def test_what_an_answer_means(code: int, body: str, fate: str) -> None:
    assert slack.judge(Answer(code=code, body=body)).fate == fate


def test_what_is_told_of_it() -> None:
    verdict = slack.judge(Answer(code=404, body="no_service"))
    assert verdict.words == "no_service: the webhook is disabled, removed or wrong"
    verdict = slack.judge(Answer(code=200, body="<html><title>Log in</title>"))
    assert verdict.words == "the answer is not Slack's: Log in"
    verdict = slack.judge(Answer(code=200))
    assert verdict.words == "the answer is not Slack's: it is empty"


def test_slack_says_how_long_to_wait() -> None:
    assert slack.judge(Answer(code=429, retry_after=30.0)).after == 30.0
    assert slack.judge(Answer(code=429)).after is None
    assert slack.judge(Answer(code=500, body="rollup_error", retry_after=5.0)).after == 5.0
    assert slack.judge(Answer(code=404, body="no_service", retry_after=5.0)).after is None


def test_no_answer_is_tried_again() -> None:
    verdict = slack.judge(Answer(problem="connection refused"))
    assert (verdict.fate, verdict.words) == ("Retry", "connection refused")


def test_half_an_answer_is_none() -> None:
    verdict = slack.judge(Answer(code=200, body="o", problem="the answer broke off"))
    assert (verdict.fate, verdict.words) == ("Retry", "the answer broke off")
