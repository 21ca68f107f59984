"""Google Chat: what one sees, what no log can do, and what Google's answers mean."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings

from messages import FAILURE, HOSTILE, NOW, anything, everywhere, to
from workshopdemo.notify.dialects import google_chat
from workshopdemo.notify.message import Message, facts
from workshopdemo.notify.wire import Answer

URL = "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=AIza-K&token=a%2Fb%3D"

SEEN = """\
🔴 *nightly-report failed for the third time in a row*
[CronJob nightly-report]
[demo bookshop in namespace workshop]
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
-- Last lines of its log
connecting to bookshop-db-0 …
relation "sales" does not exist
exit 1
-- What to type
kubectl logs job/bookshop-nightly-report-29540280 -n workshop
kubectl describe job bookshop-nightly-report-29540280 -n workshop
--
id 0b6c9d8e-54a1-5c2f-9a57-3f1de6a0c111"""


class _Reader(HTMLParser):
    """Reads the little HTML of cards; anything else in it is a fault."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.open: list[str] = []
        self.in_code: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        assert tag in ("code", "i", "br")
        if tag == "br":
            self.text += "\n"
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    unknown_decl = handle_pi = handle_decl


def read(html: str) -> str:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader.text


def sent(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(google_chat.request(message, to(URL), NOW).body)
    return body


def card_of(body: dict[str, Any]) -> dict[str, Any]:
    (with_id,) = body["cardsV2"]
    card: dict[str, Any] = with_id["card"]
    return card


def seen(body: dict[str, Any]) -> str:
    """The message as Google Chat shows it."""
    card = card_of(body)
    shown = [body["text"], f"[{card['header']['title']}]", f"[{card['header']['subtitle']}]"]
    for place, section in enumerate(card["sections"]):
        if place:
            shown.append(f"-- {section.get('header', '')}".rstrip())
        for widget in section["widgets"]:
            if "decoratedText" in widget:
                fact = widget["decoratedText"]
                shown.append(f"{fact['topLabel']}: {read(fact['text'])}")
            else:
                shown.append(read(widget["textParagraph"]["text"]))
    return "\n".join(shown)


def test_what_one_sees() -> None:
    assert seen(sent(FAILURE)) == SEEN


def test_logs_and_commands_are_code() -> None:
    _, log, commands, _ = card_of(sent(FAILURE))["sections"]
    assert log["widgets"][0]["textParagraph"]["text"].endswith(
        '<code>relation "sales" does not exist</code><br><code>exit 1</code>'
    )
    assert commands["widgets"][0]["textParagraph"]["text"].startswith("<code>kubectl logs job/")


def test_columns_of_a_log_stay_columns() -> None:
    body = sent(replace(FAILURE, log="  book    sold\n  Emma    3"))
    assert "\u00a0\u00a0book\u00a0\u00a0\u00a0\u00a0sold\n" in seen(body)


@pytest.mark.parametrize(
    ("outcome", "symbol"),
    [("Failure", "🔴"), ("Stuck", "🔴"), ("Missed", "🟡"), ("Success", "🟢"), ("Recovery", "🟢")],
)
def test_the_symbol_of_the_outcome(outcome: Any, symbol: str) -> None:
    assert sent(replace(FAILURE, outcome=outcome))["text"].startswith(f"{symbol} *")


def test_a_message_is_made_once_and_in_its_thread() -> None:
    request = google_chat.request(FAILURE, to(URL), NOW)
    assert request.url == (
        f"{URL}&requestId={FAILURE.id}&messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
    )
    assert request.headers == {"Content-Type": "application/json; charset=UTF-8"}
    assert sent(FAILURE)["thread"] == {"threadKey": FAILURE.thread}


def test_a_retry_is_identical() -> None:
    first = google_chat.request(FAILURE, to(URL), NOW)
    later = NOW + timedelta(hours=3)
    retry = google_chat.request(replace(FAILURE, may_repeat=True), to(URL), later)
    assert (retry.url, retry.headers, retry.body) == (first.url, first.headers, first.body)


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("https://chat.example/m", {}),
        ("https://chat.example/m?", {}),
        ("https://chat.example/m?key=k&requestId=theirs&token=t", {"key": ["k"], "token": ["t"]}),
        ("http://inbox:8080/googlechat/v1/spaces/a.b/messages?target=c", {"target": ["c"]}),
    ],
)
def test_what_the_url_says_is_kept(url: str, query: dict[str, list[str]]) -> None:
    added = {
        "requestId": [FAILURE.id],
        "messageReplyOption": ["REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"],
    }
    request = google_chat.request(FAILURE, to(url), NOW)
    assert parse_qs(urlsplit(request.url).query) == query | added


def test_what_is_no_url_is_left_to_the_guard() -> None:
    assert google_chat.request(FAILURE, to("https://[::1"), NOW).url == "https://[::1"


def test_a_log_marks_nothing() -> None:
    body = sent(replace(FAILURE, log="<b>x</b> &amp; <users/all>"))
    assert '"<code>&lt;b&gt;x&lt;/b&gt; &amp;amp; &lt;users/all&gt;</code>"' in json.dumps(body)


def test_a_headline_mentions_nobody_and_marks_nothing() -> None:
    text = sent(replace(FAILURE, headline=HOSTILE))["text"]
    assert re.search("[<>&_~`@]", text) is None
    assert text.count("*") == 2
    assert "‹users/all›" in text


def test_the_end_of_a_long_log_is_kept() -> None:
    log = "\n".join(f"line {number} {'<' * 200}" for number in range(1000)) + "\nthe reason"
    shown = seen(sent(replace(FAILURE, log=log)))
    assert "-- Last lines of its log\n…" in shown
    assert "\nthe reason\n--" in shown


def test_a_long_reason_leaves_room_for_the_other_facts() -> None:
    shown = seen(sent(replace(FAILURE, why="because " * 10_000)))
    assert all(f"\n{label}: " in shown for label, _ in facts(FAILURE))


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
    request = google_chat.request(message, to(URL), NOW)
    assert len(request.body) <= 32_000
    assert re.fullmatch(
        re.escape(URL) + r"&requestId=[\w-]{1,64}&messageReplyOption=\w+", request.url
    )
    body = json.loads(request.body)
    card = card_of(body)
    assert 0 < len(body["thread"]["threadKey"]) <= 4000
    assert card["header"]["title"]
    widgets = [widget for section in card["sections"] for widget in section["widgets"]]
    assert len(widgets) <= 100
    assert all(section["widgets"] for section in card["sections"])
    seen(body)  # reads every HTML text, and fails at any mark that is not ours
    assert re.fullmatch(r"\S+ \*[^<>&*_~`@]+\*", body["text"])
    assert body["fallbackText"] == body["text"]
    for text in card["header"].values():
        assert re.search("[<>&*_~`@]", text) is None
    assert all(ord(character) >= 32 or character == "\n" for character in request.body.decode())
    start = " ".join(message.headline.split())[:20]
    if start.isalnum():
        assert body["text"][2:].startswith(f"*{start}")


def error(code: int, message: str, details: object = None) -> Answer:
    return Answer(
        code=code,
        body=json.dumps({"error": {"code": code, "message": message, "details": details}}),
    )


@pytest.mark.parametrize(
    ("answer", "fate", "words"),
    [
        (Answer(code=200, body='{"name": "spaces/A/messages/B"}'), "Delivered", ""),
        (Answer(code=200, body=""), "Delivered", ""),
        (
            Answer(code=200, body="\n<!DOCTYPE html><title>Log in</title>"),
            "TargetRefused",
            "a web page answered: the URL leads to something else: Log in",
        ),
        (
            error(400, "Unknown name \"x\"\nat 'message'"),
            "MessageRefused",
            "Unknown name \"x\" at 'message'",
        ),
        (
            error(400, "API key not valid.", [{"reason": "API_KEY_INVALID"}]),
            "TargetRefused",
            "API key not valid.",
        ),
        (error(400, "Bad.", [{"reason": "OTHER"}, "x", None]), "MessageRefused", "Bad."),
        (error(400, "Bad.", "API_KEY_INVALID"), "MessageRefused", "Bad."),
        (error(401, "No."), "TargetRefused", "No."),
        (error(403, "No valid token."), "TargetRefused", "No valid token."),
        (error(404, "Not found."), "TargetRefused", "Not found."),
        (error(409, "Exists."), "MessageRefused", "Exists."),
        (error(429, "Quota."), "Retry", "Quota."),
        (error(500, "Internal."), "Retry", "Internal."),
        (error(503, "Unavailable."), "Retry", "Unavailable."),
        (
            Answer(code=302),
            "TargetRefused",
            "redirects are not followed: the URL must be the one that answers",
        ),
        (Answer(code=502, body="<html>"), "Retry", ""),
        (Answer(problem="no answer within 30 s"), "Retry", "no answer within 30 s"),
    ],
)
def test_what_an_answer_means(answer: Answer, fate: str, words: str) -> None:
    verdict = google_chat.judge(answer)
    assert (verdict.fate, verdict.words) == (fate, words)


def test_google_may_say_how_long_to_wait() -> None:
    assert google_chat.judge(Answer(code=429, retry_after=7.0)).after == 7.0
    assert google_chat.judge(Answer(code=429)).after is None
