"""The inbox beside its dialects: what is asked of it, faults on demand, memory, and the page."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aiohttp
import pytest

from inbox_peer import ALERTS, CHAT, HOOK, SLACK, Peer, running
from workshopdemo.errors import InvalidSpecError
from workshopdemo.inbox import markup, settings
from workshopdemo.inbox.card import Span
from workshopdemo.inbox.message import Address, Filter, Message
from workshopdemo.inbox.store import Store

OPERATOR = Path(__file__).parents[2] / "operator"


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with running() as found:
        await found.switch(rateLimits=False)
        yield found


async def slack(peer: Peer, demo: str = "bookshop", text: str = "x") -> int:
    path = SLACK.replace("bookshop", demo)
    return (await peer.post(path, {"text": text})).status


async def fault(peer: Peer, **wanted: Any) -> None:
    answer = await peer.post("/faults", wanted)
    assert answer.status == 201, answer.text


class TestFilters:
    async def test_each_part_of_the_address(self, peer: Peer) -> None:
        await slack(peer)
        await slack(peer, "other")
        await peer.post(CHAT, {"text": "x"})
        for query, count in {
            "": 3,
            "namespace=workshop": 3,
            "namespace=elsewhere": 0,
            "demo=bookshop": 2,
            "demo=bookshop&dialect=Slack": 1,
            "target=space": 1,
            "dialect=GoogleChat": 1,
        }.items():
            assert len(await peer.messages(query)) == count, query

    async def test_the_newest_are_given_oldest_first(self, peer: Peer) -> None:
        for number in range(5):
            await slack(peer, text=str(number))
        found = await peer.messages("limit=3")
        assert [one["body"]["text"] for one in found] == ["2", "3", "4"]
        assert [one["id"] for one in found] == [3, 4, 5]

    @pytest.mark.parametrize(
        "query", ["dmo=bookshop", "demo=a&demo=b", "dialect=slack", "limit=0", "limit=x"]
    )
    async def test_a_misspelt_filter_does_not_mean_everything(self, peer: Peer, query: str) -> None:
        await slack(peer)
        assert (await peer.get(f"/messages?{query}")).status == 400
        assert (await peer.delete(f"/messages?{query}")).status == 400
        assert len(await peer.messages()) == 1

    async def test_clearing_forgets_messages_and_counts(self, peer: Peer) -> None:
        await slack(peer)
        await slack(peer, text="")
        await slack(peer, "other")
        assert (await peer.delete("/messages?namespace=workshop&demo=bookshop")).json == {
            "deleted": 1
        }
        assert [one["demo"] for one in await peer.messages()] == ["other"]
        assert (await peer.get("/counts?demo=bookshop")).json == {
            "stored": 0, "kept": 0, "repeats": 0, "dropped": 0, "refused": {},
        }  # fmt: skip
        assert (await peer.get("/counts")).json["stored"] == 1

    async def test_after_clearing_the_same_event_is_new(self, peer: Peer) -> None:
        for _ in range(2):
            await peer.post(f"{CHAT}&requestId=r-1", {"text": "x"})
            await peer.delete("/messages")
        await peer.post(f"{CHAT}&requestId=r-1", {"text": "x"})
        assert [one["repeats"] for one in await peer.messages()] == [0]

    async def test_counts_say_what_was_refused(self, peer: Peer) -> None:
        await slack(peer, text="")
        await slack(peer)
        await peer.post(HOOK, {})
        counts = (await peer.get("/counts?namespace=workshop")).json
        assert counts["refused"] == {"400": 1, "415": 1}
        assert (await peer.get("/counts?dialect=Slack")).json["refused"] == {"400": 1}

    async def test_names_that_cannot_be_are_not_remembered(self, peer: Peer) -> None:
        for number in range(3):
            await peer.post(f"/slack/services/UPPER-{number}/a/b", {"text": "x"})
        assert (await peer.get("/counts")).json["refused"] == {"404": 3}
        assert (await peer.get("/counts?demo=a")).json["refused"] == {}


class TestFaults:
    async def test_an_error_in_the_receiver_s_own_words(self, peer: Peer) -> None:
        await fault(peer, status=500)
        assert (await peer.post(SLACK, {"text": "x"})).text == "rollup_error"
        assert (await peer.post(CHAT, {"text": "x"})).json["error"]["status"] == "INTERNAL"
        assert (await peer.post(ALERTS, [])).json == ""
        assert (await peer.post(HOOK, {})).status == 500
        assert await peer.messages() == []
        assert (await peer.get("/counts")).json["refused"] == {"500": 4}

    async def test_so_many_times(self, peer: Peer) -> None:
        await fault(peer, status=503, count=2)
        assert [await slack(peer) for _ in range(3)] == [503, 503, 200]
        assert (await peer.get("/faults")).json == {"faults": []}

    async def test_so_long(self, peer: Peer) -> None:
        await fault(peer, status=503, seconds=10)
        assert await slack(peer) == 503
        peer.wait(10)
        assert await slack(peer) == 200

    async def test_the_first_that_matches(self, peer: Peer) -> None:
        await fault(peer, status=500, demo="other")
        await fault(peer, status=502, demo="bookshop", count=1)
        await fault(peer, status=503)
        assert [await slack(peer), await slack(peer), await slack(peer, "other")] == [
            502, 503, 500,
        ]  # fmt: skip

    async def test_only_for_one_dialect(self, peer: Peer) -> None:
        await fault(peer, status=500, dialect="GoogleChat")
        assert await slack(peer) == 200
        assert (await peer.post(CHAT, {"text": "x"})).status == 500

    @pytest.mark.parametrize("after", [7, "Wed, 25 Nov 2026 02:00:07 GMT"])
    async def test_when_to_come_again(self, peer: Peer, after: int | str) -> None:
        await fault(peer, status=429, retryAfter=after)
        answer = await peer.post(SLACK, {"text": "x"})
        assert (answer.status, answer.text) == (429, "rate_limited")
        assert answer.headers["Retry-After"] == str(after)

    async def test_a_success_with_the_wrong_words(self, peer: Peer) -> None:
        await fault(peer, body="<html>welcome to our Wi-Fi</html>")
        answer = await peer.post(SLACK, {"text": "x"})
        assert (answer.status, answer.text) == (200, "<html>welcome to our Wi-Fi</html>")
        assert await peer.messages() == []

    async def test_a_reset(self, peer: Peer) -> None:
        await fault(peer, reset=True)
        with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
            await slack(peer)
        assert await peer.messages() == []
        assert (await peer.get("/counts")).json["refused"] == {"reset": 1}

    async def test_a_lost_answer(self, peer: Peer) -> None:
        await fault(peer, reset=True, afterStoring=True, count=1)
        with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
            await peer.post(f"{CHAT}&requestId=r-1", {"text": "x"})
        assert [one["repeats"] for one in await peer.messages()] == [0]
        await peer.post(f"{CHAT}&requestId=r-1", {"text": "x"})
        assert [one["repeats"] for one in await peer.messages()] == [1]

    async def test_what_would_be_refused_anyway_does_not_use_it_up(self, peer: Peer) -> None:
        await fault(peer, status=500, afterStoring=True, count=1)
        assert await slack(peer, text="") == 400
        assert await slack(peer) == 500
        assert await slack(peer) == 200
        assert len(await peer.messages()) == 2

    async def test_a_delay_and_then_all_is_well(self, peer: Peer) -> None:
        await fault(peer, delay=0.05, count=1)
        began = time.monotonic()
        assert await slack(peer) == 200
        assert time.monotonic() - began >= 0.05
        assert len(await peer.messages()) == 1

    async def test_who_gives_up_waiting_cannot_know(self, peer: Peer) -> None:
        await fault(peer, delay=2, count=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await slack(peer)
        assert await peer.messages() == []
        for _ in range(300):
            await asyncio.sleep(0.1)
            if await peer.messages():
                break
        assert len(await peer.messages()) == 1

    async def test_they_are_listed_and_removed(self, peer: Peer) -> None:
        await fault(peer, status=500, demo="bookshop", namespace="workshop")
        await fault(peer, status=500, demo="other")
        assert (await peer.get("/faults")).json["faults"][0] == {
            "id": 1, "used": 0, "namespace": "workshop", "demo": "bookshop", "status": 500,
        }  # fmt: skip
        assert (await peer.delete("/faults?demo=bookshop")).json == {"deleted": 1}
        assert [one["id"] for one in (await peer.get("/faults")).json["faults"]] == [2]
        assert (await peer.delete("/faults")).json == {"deleted": 1}

    @pytest.mark.parametrize(
        ("wanted", "said"),
        [
            ({}, "needs one of"),
            ({"count": 1}, "needs one of"),
            ({"sttus": 500}, "sttus"),
            ({"status": 99}, "status"),
            ({"status": "500"}, "status"),
            ({"status": 500, "reset": True}, "reset leaves no answer"),
            ({"delay": 301}, "delay"),
            ({"status": 500, "count": 0}, "count"),
            ({"status": 500, "seconds": 0}, "seconds"),
            ({"status": 500, "dialect": "slack"}, "dialect is one of"),
            ({"body": "x", "retryAfter": 1}, "needs a status"),
            ({"status": 429, "retryAfter": "1\r\nSet-Cookie: a"}, "retryAfter"),
            (b"x", "malformed"),
        ],
    )
    async def test_what_is_no_fault(self, peer: Peer, wanted: Any, said: str) -> None:
        answer = await peer.post("/faults", wanted)
        assert answer.status == 400
        assert said in answer.json["error"]

    async def test_there_is_an_end_to_what_can_go_wrong(self, peer: Peer) -> None:
        for _ in range(100):
            await fault(peer, status=500, demo="nobody")
        assert (await peer.post("/faults", {"status": 500})).status == 400

    async def test_a_foreign_page_cannot_make_things_go_wrong(self, peer: Peer) -> None:
        answer = await peer.post("/faults", {"status": 500}, "text/plain")
        assert answer.status == 400
        assert (await peer.get("/faults")).json == {"faults": []}


class TestMemory:
    ADDRESSES = tuple(Address("class", f"demo-{number}", "team", "Slack") for number in range(3))

    def message(self, address: Address, size: int = 10, event: str | None = None) -> Message:
        return Message(
            address=address,
            received=datetime(2026, 11, 25, tzinfo=UTC),
            body=b'"' + b"x" * (size - 2) + b'"',
            event=event,
        )

    def test_the_noisy_one_loses_its_oldest(self) -> None:
        store = Store(most_messages=10, most_bytes=10**9)
        quiet, noisy, _ = self.ADDRESSES
        for _ in range(3):
            store.add(self.message(quiet))
        for _ in range(50):
            store.add(self.message(noisy))
        assert len(store) == 10
        assert [one.id for one in store.select(Filter(demo="demo-0"))] == [1, 2, 3]
        assert [one.id for one in store.select(Filter(demo="demo-1"))] == list(range(47, 54))
        assert store.counted(Filter(demo="demo-0")).dropped == 0
        assert store.counted(Filter()).dropped == 43

    def test_bytes_are_counted_too(self) -> None:
        store = Store(most_messages=1000, most_bytes=100_000)
        quiet, noisy, _ = self.ADDRESSES
        store.add(self.message(quiet))
        for _ in range(20):
            store.add(self.message(noisy, 20_000))
        assert store.size <= 100_000
        assert len(store.select(Filter(demo="demo-0"))) == 1
        assert len(store.select(Filter(demo="demo-1"))) == 4

    def test_what_just_came_stays(self) -> None:
        store = Store(most_messages=1000, most_bytes=50_000)
        for address in self.ADDRESSES[:2]:
            for _ in range(8):
                store.add(self.message(address))
        store.add(self.message(self.ADDRESSES[2], 40_000))
        assert len(store.select(Filter(demo="demo-2"))) == 1
        assert store.size <= 50_000

    def test_an_alert_may_grow(self) -> None:
        store = Store(most_messages=1000, most_bytes=20_000)
        first, second, _ = self.ADDRESSES
        alert = self.message(first, event="fingerprint")
        store.add(alert)
        for _ in range(3):
            store.add(self.message(second))
        alert.body = b'"' + b"x" * 15_000 + b'"'
        store.repeat(alert, alert.received)
        assert store.size <= 20_000
        assert store.find(first, "fingerprint") is alert

    def test_what_was_dropped_is_not_found(self) -> None:
        store = Store(most_messages=1, most_bytes=10**9)
        store.add(self.message(self.ADDRESSES[0], event="e-1"))
        store.add(self.message(self.ADDRESSES[0], event="e-2"))
        assert store.find(self.ADDRESSES[0], "e-1") is None
        assert store.find(self.ADDRESSES[0], "e-2") is not None

    def test_counts_are_bounded(self) -> None:
        store = Store(most_messages=10, most_bytes=10**9)
        for number in range(6000):
            store.counts(Address("class", f"demo-{number}", "team", "Slack")).refuse("404")
        assert store.counted(Filter()).refused == {"404": 5000}

    async def test_dropped_is_told(self) -> None:
        async with running(most_messages=3) as peer:
            await peer.switch(rateLimits=False)
            for _ in range(5):
                await slack(peer)
            answer = (await peer.get("/messages")).json
            assert (len(answer["messages"]), answer["dropped"]) == (3, 2)

    @pytest.mark.parametrize("path", [SLACK, CHAT, ALERTS, HOOK, "/alertmanager-webhook"])
    async def test_a_body_is_at_most_256_kib(self, peer: Peer, path: str) -> None:
        assert (await peer.post(path, b" " * (256 * 1024 + 1))).status == 413
        assert (await peer.post("/faults", b" " * (256 * 1024 + 1))).status == 413


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


HOSTILE = "</pre></p><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;b&gt;"


class TestPage:
    async def page(self, peer: Peer, query: str = "") -> Page:
        answer = await peer.get(f"/{query}")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        return Page(answer.text)

    async def test_it_takes_nothing_from_elsewhere_and_runs_nothing(self, peer: Peer) -> None:
        answer = await peer.get("/")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "style-src 'self'" in policy
        assert "unsafe" not in policy
        assert "://" not in answer.text
        assert "<script" not in answer.text
        assert " style=" not in answer.text
        style = await peer.get("/page.css")
        assert style.headers["Content-Type"].startswith("text/css")
        assert "url(" not in style.text
        assert "@import" not in style.text

    async def test_it_loads_itself_anew_until_it_is_told_not_to(self, peer: Peer) -> None:
        refresh = ("meta", {"http-equiv": "refresh", "content": "3"})
        assert refresh in (await self.page(peer)).tags
        assert refresh not in (await self.page(peer, "?follow=no")).tags

    async def test_the_newest_stand_first_and_filters_hold(self, peer: Peer) -> None:
        await slack(peer, text="from the bookshop")
        await slack(peer, "other", "from the other")
        words = (await self.page(peer)).words
        assert words.index("from the other") < words.index("from the bookshop")
        words = (await self.page(peer, "?namespace=workshop&demo=other")).words
        assert "from the bookshop" not in words
        assert "from the other" in words

    async def test_only_so_many_are_shown(self, peer: Peer) -> None:
        for _ in range(60):
            await slack(peer)
        tags = [tag for tag, _ in (await self.page(peer)).tags]
        assert tags.count("article") == 50

    async def test_what_goes_wrong_on_purpose_is_said(self, peer: Peer) -> None:
        await fault(peer, status=500, demo="bookshop", count=3)
        words = (await self.page(peer)).words
        assert "On purpose, for bookshop: the answer is 500, 3 times more" in words

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            (SLACK, {"text": HOSTILE}),
            (SLACK, {"text": f"```{HOSTILE}``` `{HOSTILE}`"}),
            (SLACK, {"attachments": [{"color": HOSTILE, "title": HOSTILE, "text": HOSTILE}]}),
            (
                SLACK,
                {
                    "blocks": [
                        {"type": "header", "text": {"type": "plain_text", "text": HOSTILE}},
                        {"type": "section", "fields": [{"type": "mrkdwn", "text": HOSTILE}]},
                        {"type": "context", "elements": [{"type": "mrkdwn", "text": HOSTILE}]},
                    ]
                },
            ),
            (CHAT, {"text": HOSTILE}),
            (
                CHAT,
                {
                    "cardsV2": [
                        {
                            "card": {
                                "header": {"title": HOSTILE, "subtitle": HOSTILE},
                                "sections": [
                                    {
                                        "header": HOSTILE,
                                        "widgets": [
                                            {"textParagraph": {"text": HOSTILE}},
                                            {
                                                "decoratedText": {
                                                    "topLabel": HOSTILE,
                                                    "text": HOSTILE,
                                                }
                                            },
                                        ],
                                    }
                                ],
                            }
                        }
                    ]
                },
            ),
            (
                ALERTS,
                [{"labels": {"a": HOSTILE}, "annotations": {"summary": HOSTILE, "b": HOSTILE}}],
            ),
            (
                "/alertmanager-webhook",
                {
                    "version": "4",
                    "receiver": HOSTILE,
                    "alerts": [
                        {
                            "status": HOSTILE,
                            "labels": {"namespace": HOSTILE, "demo": HOSTILE},
                            "startsAt": HOSTILE,
                        }
                    ],
                },
            ),
        ],
    )
    async def test_markup_of_strangers_is_text(self, peer: Peer, path: str, body: Any) -> None:
        assert (await peer.post(path, body)).status == 200
        await self.nothing_hostile(peer)

    async def test_markup_in_an_event_is_text(self, peer: Peer) -> None:
        event = {"specversion": "1.0", **dict.fromkeys(("id", "source", "type"), HOSTILE)}
        data = {"data": {"log": f"a\n{HOSTILE}", HOSTILE: HOSTILE}}
        answer = await peer.post(
            HOOK,
            {**event, **data},
            "application/cloudevents+json",
            webhook_id="<script>",
            webhook_timestamp=str(int(peer.now.timestamp())),
        )
        assert answer.status == 204
        await self.nothing_hostile(peer)

    async def nothing_hostile(self, peer: Peer) -> None:
        page = await self.page(peer)
        assert {"script", "img"}.isdisjoint(tag for tag, _ in page.tags)
        assert not [one for _, one in page.tags if any(name.startswith("on") for name in one)]
        assert "alert(1)" in page.words

    async def test_the_query_is_a_stranger_s_too(self, peer: Peer) -> None:
        page = await self.page(peer, "?demo=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        assert "script" not in {tag for tag, _ in page.tags}

    @pytest.mark.parametrize(
        "url", ["javascript:alert(1)", "data:text/html,x", "//evil.example", "file:///etc/passwd"]
    )
    async def test_links_lead_to_pages_only(self, peer: Peer, url: str) -> None:
        await slack(peer, text=f"<{url}|here>")
        await peer.post(
            CHAT,
            {
                "text": f"<{url}|here>",
                "cardsV2": [
                    {
                        "card": {
                            "sections": [
                                {
                                    "widgets": [
                                        {"textParagraph": {"text": f'<a href="{url}">here</a>'}},
                                        {
                                            "buttonList": {
                                                "buttons": [
                                                    {
                                                        "text": "here",
                                                        "onClick": {"openLink": {"url": url}},
                                                    }
                                                ]
                                            }
                                        },
                                    ]
                                }
                            ]
                        }
                    }
                ],
            },
        )
        await peer.post(ALERTS, [{"labels": {"a": "b"}, "annotations": {"runbook_url": url}}])
        links = [one["href"] for tag, one in (await self.page(peer)).tags if tag == "a"]
        assert all(str(link).startswith("?") for link in links)

    async def test_letters_that_turn_the_page_around_are_shown_as_what_they_are(
        self, peer: Peer
    ) -> None:
        await slack(peer, text="safe\u202eexe.txt\x1b[31m\x00")
        words = (await self.page(peer)).words
        assert "safe⟨U+202E⟩exe.txt⟨U+001B⟩[31m⟨U+0000⟩" in words

    async def test_endless_lists_end(self, peer: Peer) -> None:
        fields = [{"title": "title", "value": "value"}] * 50
        payload = {"attachments": [{"text": "x", "fields": fields}] * 90}
        assert (await peer.post(SLACK, payload)).status == 200
        alerts = [{"status": "firing", "labels": {"alertname": "A"}}] * 2000
        payload = {"version": "4", "alerts": alerts}
        assert (await peer.post("/alertmanager-webhook", payload)).status == 200
        page = await self.page(peer)
        assert "without a demo" in page.words
        assert "… and 65 more" in page.words
        assert "… and 1975 more" in page.words
        tags = [tag for tag, _ in page.tags]
        assert (tags.count("section"), tags.count("dd")) == (50, 25 * 25)

    async def test_a_bar_has_the_colour_that_was_asked_for(self, peer: Peer) -> None:
        for colour in ("danger", "#36C5F0", "red"):
            attachment = {"color": colour, "text": "x"}
            await peer.post(SLACK, {"attachments": [attachment]})
        fills = [one.get("fill") for tag, one in (await self.page(peer)).tags if tag == "rect"]
        assert fills == [None, "#36c5f0", "#e01e5a"]


class TestMarkup:
    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a *b* _c_ ~d~ `e`", ["a ", "b", " ", "c", " ", "d", " ", "e"]),
            ("2*3*4 and snake_case_name", ["2*3*4 and snake_case_name"]),
            ("&lt;b&gt; &amp;amp; &quot;", ["<b> &amp; &quot;"]),
            ("<https://x.example/?a=1&amp;b|go>", ["go"]),
            ("<!channel> <@U1> <users/all>", ["@channel", " ", "@U1", " ", "@users/all"]),
            ("<odd>", ["<odd>"]),
        ],
    )
    def test_slack(self, text: str, shown: list[str]) -> None:
        assert [one.text for one in markup.chat_line(text, markup.slack_unescape)] == shown

    def test_chat_cards(self) -> None:
        line = markup.html_line(
            '<b>a<i>b</i></b>&lt;c&gt;<br><unknown>d</unknown> <a href="x">e</a>'
        )
        assert line == (
            Span("a", "bold"), Span("b", "italic"), Span("<c>"), Span("\n"), Span("d"), Span(" "),
            Span("e"),
        )  # fmt: skip

    @pytest.mark.parametrize(
        "piece", ["<", "`", "*", "_", "```", "<a ", "</", "&", "<a href='", "~"]
    )
    def test_hostile_texts_are_read_in_one_go(self, piece: str) -> None:
        text = (piece * 40_000)[:40_000]
        began = time.monotonic()
        markup.chat_parts(text, markup.slack_unescape)
        markup.html_line(text)
        assert time.monotonic() - began < 1


class TestSettings:
    def test_all_have_a_default(self) -> None:
        assert settings.load({}) == settings.Settings(
            port=8081, log_level="INFO", most_messages=2000
        )

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("WORKSHOPDEMO_INBOX_PORT", "http"),
            ("WORKSHOPDEMO_INBOX_PORT", "70000"),
            ("WORKSHOPDEMO_INBOX_MAX_MESSAGES", "0"),
            ("WORKSHOPDEMO_LOG_LEVEL", "loud"),
        ],
    )
    def test_a_wrong_value_names_its_variable(self, variable: str, value: str) -> None:
        with pytest.raises(InvalidSpecError, match=variable):
            settings.load({variable: value})


def test_the_program_stops_within_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(OPERATOR), "WORKSHOPDEMO_INBOX_PORT": str(port)}
    program = subprocess.Popen([sys.executable, "-m", "workshopdemo.inbox"], env=environment)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
                    assert answer.read() == b"ok\n"
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(
                b"POST /slack/services/a/b/c HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
            )
            time.sleep(0.05)
            program.send_signal(signal.SIGTERM)
            assert program.wait(timeout=5) == 0
    finally:
        program.kill()
        program.wait()
