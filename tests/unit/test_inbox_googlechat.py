"""The inbox as Google Chat: its errors in its own JSON, threads, and requests made once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from inbox_peer import CHAT, Peer, running

THREADED = f"{CHAT}&messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with running() as found:
        await found.switch(rateLimits=False)
        yield found


def paragraph(text: str = "x") -> dict[str, Any]:
    return {"textParagraph": {"text": text}}


def card(*widgets: Any, **more: Any) -> dict[str, Any]:
    return {"cardId": "a", "card": {"sections": [{"widgets": list(widgets)}], **more}}


def cards(*some: Any) -> dict[str, Any]:
    return {"cardsV2": list(some)}


async def test_a_message_is_made(peer: Peer) -> None:
    payload = cards(
        {
            "cardId": "run",
            "card": {
                "header": {"title": "nightly-report failed", "subtitle": "workshop/bookshop"},
                "sections": [
                    {
                        "header": "Why",
                        "collapsible": True,
                        "uncollapsibleWidgetsCount": 1,
                        "widgets": [
                            {
                                "decoratedText": {
                                    "topLabel": "Exit code",
                                    "text": "<b>1</b> &amp; no",
                                }
                            },
                            paragraph('one<br>two <a href="https://example.com">more</a>'),
                            {"divider": {}},
                            {
                                "buttonList": {
                                    "buttons": [
                                        {
                                            "text": "Runbook",
                                            "onClick": {"openLink": {"url": "https://example.com"}},
                                        }
                                    ]
                                }
                            },
                        ],
                    }
                ],
            },
        }
    )
    answer = await peer.post(f"{THREADED}&requestId=r-1", payload)
    assert answer.status == 200, answer.text
    assert answer.json["name"].startswith("spaces/workshop.bookshop/messages/")
    assert answer.json["thread"]["name"].startswith("spaces/workshop.bookshop/threads/")
    (message,) = await peer.messages()
    assert message["body"] == payload
    assert message["event"] == "r-1"
    assert message["thread"] == answer.json["thread"]["name"]
    assert (message["namespace"], message["demo"], message["target"], message["dialect"]) == (
        "workshop", "bookshop", "space", "GoogleChat",
    )  # fmt: skip
    assert message["title"] == "nightly-report failed"
    assert message["text"].splitlines() == [
        "nightly-report failed",
        "workshop/bookshop",
        "Why",
        "Exit code: 1 & no",
        "one",
        "two more (https://example.com)",
        "[Runbook] (https://example.com)",
    ]


async def test_a_log_in_a_card_is_a_block_of_code(peer: Peer) -> None:
    log = paragraph("<code>line 1<br>&lt;line 2&gt;</code>")
    assert (await peer.post(CHAT, cards(card(log)))).status == 200
    assert "<pre>line 1\n&lt;line 2&gt;</pre>" in (await peer.get("/")).text


class TestOnce:
    async def test_the_same_request_makes_no_second_message(self, peer: Peer) -> None:
        first = await peer.post(f"{CHAT}&requestId=r-1", {"text": "first"})
        peer.wait(1)
        again = await peer.post(f"{CHAT}&requestId=r-1", {"text": "other words"})
        assert again.json == first.json
        (message,) = await peer.messages()
        assert (message["repeats"], message["body"]) == (1, {"text": "first"})
        assert message["lastReceived"] == "2026-11-25T02:00:01.000Z"
        counts = (await peer.get("/counts")).json
        assert (counts["stored"], counts["repeats"]) == (1, 1)

    async def test_another_request_does(self, peer: Peer) -> None:
        first = await peer.post(f"{CHAT}&requestId=r-1", {"text": "x"})
        other = await peer.post(f"{CHAT}&requestId=r-2", {"text": "x"})
        assert other.json["name"] != first.json["name"]
        assert len(await peer.messages()) == 2

    async def test_another_webhook_s_request_is_another(self, peer: Peer) -> None:
        await peer.post(f"{CHAT}&requestId=r-1", {"text": "x"})
        await peer.post(f"{CHAT}2&requestId=r-1", {"text": "x"})
        assert len(await peer.messages()) == 2

    async def test_without_an_id_each_is_another(self, peer: Peer) -> None:
        for _ in range(2):
            await peer.post(CHAT, {"text": "x"})
        assert len(await peer.messages()) == 2

    async def test_a_custom_id_is_taken_once(self, peer: Peer) -> None:
        assert (await peer.post(f"{CHAT}&messageId=client-a", {"text": "x"})).status == 200
        again = await peer.post(f"{CHAT}&messageId=client-a", {"text": "x"})
        assert (again.status, again.json["error"]["status"]) == (409, "ALREADY_EXISTS")


class TestThreads:
    async def thread(self, peer: Peer, path: str, **thread: str) -> str:
        answer = await peer.post(path, {"text": "x", **({"thread": thread} if thread else {})})
        assert answer.status == 200, answer.text
        return str(answer.json["thread"]["name"])

    async def test_a_key_keeps_messages_together(self, peer: Peer) -> None:
        first = await self.thread(peer, THREADED, threadKey="uid-1")
        assert await self.thread(peer, THREADED, threadKey="uid-1") == first
        assert await self.thread(peer, THREADED, threadKey="uid-2") != first

    async def test_a_name_does_too(self, peer: Peer) -> None:
        first = await self.thread(peer, CHAT)
        assert await self.thread(peer, THREADED, name=first) == first

    async def test_without_the_option_the_key_is_ignored(self, peer: Peer) -> None:
        first = await self.thread(peer, CHAT, threadKey="uid-1")
        assert await self.thread(peer, CHAT, threadKey="uid-1") != first

    async def test_no_such_thread(self, peer: Peer) -> None:
        name = "spaces/workshop.bookshop/threads/gone"
        assert await self.thread(peer, THREADED, name=name) != name
        answer = await peer.post(
            f"{CHAT}&messageReplyOption=REPLY_MESSAGE_OR_FAIL",
            {"text": "x", "thread": {"name": name}},
        )
        assert (answer.status, answer.json["error"]["status"]) == (404, "NOT_FOUND")


FINE: dict[str, Any] = {
    "a text": {"text": "x"},
    "32,000 bytes": {"text": "x" * (32_000 - len('{"text":""}'))},
    "a hundred widgets": cards(card(*[paragraph()] * 100)),
    "two cards with ids": cards(card(paragraph()), {**card(paragraph()), "cardId": "b"}),
    "one card without": cards({"card": {"sections": [{"widgets": [paragraph()]}]}}),
    "names in the other spelling": {
        "cards_v2": [{"card": {"sections": [{"widgets": [{"text_paragraph": {"text": "x"}}]}]}}],
        "fallback_text": "x",
    },
    "a thread key at its limit": {"text": "x", "thread": {"threadKey": "k" * 4000}},
    "a null": {"text": "x", "thread": None},
    "two columns": cards(card({"columns": {"columnItems": [{"widgets": [paragraph()]}] * 2}})),
}


@pytest.mark.parametrize("payload", FINE.values(), ids=FINE)
async def test_up_to_the_limits_all_is_well(peer: Peer, payload: dict[str, Any]) -> None:
    answer = await peer.post(CHAT, payload)
    assert answer.status == 200, answer.text


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": (
        b"Test message",
        "Invalid JSON payload received. Unexpected token.\nTest message\n^",
    ),
    "no object": ([], "Root element must be a message"),
    "nothing": ({}, "Message cannot be empty"),
    "an empty text": ({"text": ""}, "Message cannot be empty"),
    "32,001 bytes": ({"text": "x" * (32_001 - len('{"text":""}'))}, "32000 bytes"),
    "a long thread key": ({"text": "x", "thread": {"threadKey": "k" * 4001}}, "4000"),
    "no title": (cards(card(paragraph(), header={"subtitle": "x"})), "must have a title"),
    "an empty section": (cards(card()), "at least one widget"),
    "a section without widgets": (cards({"card": {"sections": [{}]}}), "at least one widget"),
    "a hundred and one widgets": (cards(card(*[paragraph()] * 101)), "more than 100 widgets"),
    "an empty widget": (cards(card({})), "Widget must have content"),
    "two cards without ids": (
        cards({"card": {"sections": []}}, card(paragraph())),
        "cardId is required",
    ),
    "a text of nothing": (cards(card(paragraph(""))), "textParagraph must have text"),
    "a decorated nothing": (
        cards(card({"decoratedText": {"topLabel": "x"}})),
        "decoratedText must have text",
    ),
    "three columns": (
        cards(card({"columns": {"columnItems": [{"widgets": [paragraph()]}] * 3}})),
        "more than 2",
    ),
    "a button that does nothing": (
        cards(card({"buttonList": {"buttons": [{"text": "x"}]}})),
        "onClick",
    ),
}


@pytest.mark.parametrize(("payload", "said"), BAD.values(), ids=BAD)
async def test_what_google_chat_refuses(peer: Peer, payload: Any, said: str) -> None:
    answer = await peer.post(CHAT, payload)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert said in error["message"]
    assert await peer.messages() == []


VIOLATIONS: dict[str, tuple[Any, str, str]] = {
    "an unknown field": ({"text": "x", "txt": "y"}, "message", "Unknown name \"txt\" at 'message'"),
    "an unknown field deep inside": (
        cards(card({"textParagraph": {"text": "x", "colour": "red"}})),
        "message.cards_v2[0].card.sections[0].widgets[0].text_paragraph",
        'Unknown name "colour"',
    ),
    "a number for a string": (
        {"text": 5},
        "message.text",
        "Invalid value at 'message.text' (TYPE_STRING), 5",
    ),
    "a yes for a number": (
        cards({"card": {"sections": [{"uncollapsibleWidgetsCount": True, "widgets": []}]}}),
        "message.cards_v2[0].card.sections[0].uncollapsible_widgets_count",
        "(TYPE_INT32), true",
    ),
    "one card for a list": ({"cardsV2": {}}, "message.cards_v2", "Invalid value"),
    "a text for a card": (cards("x"), "message.cards_v2[0]", "Invalid value"),
    "a value that is none of the enum": (
        cards(card({**paragraph(), "horizontalAlignment": "LEFT"})),
        "message.cards_v2[0].card.sections[0].widgets[0].horizontal_alignment",
        '(TYPE_ENUM), "LEFT"',
    ),
    "two widgets in one": (
        cards(card({**paragraph(), "divider": {}})),
        "message.cards_v2[0].card.sections[0].widgets[0]",
        "(oneof)",
    ),
}


@pytest.mark.parametrize(("payload", "place", "said"), VIOLATIONS.values(), ids=VIOLATIONS)
async def test_what_is_no_message(peer: Peer, payload: Any, place: str, said: str) -> None:
    answer = await peer.post(CHAT, payload)
    assert answer.status == 400
    (detail,) = answer.json["error"]["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    (violation,) = detail["fieldViolations"]
    assert violation["field"] == place
    assert said in violation["description"]
    assert answer.json["error"]["message"] == violation["description"]


async def test_every_violation_is_named(peer: Peer) -> None:
    answer = await peer.post(CHAT, {"text": 5, "a": 1, "b": 2})
    (detail,) = answer.json["error"]["details"]
    assert len(detail["fieldViolations"]) == 3
    assert len(answer.json["error"]["message"].splitlines()) == 3


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 403),
        ("?target=space&thread=x", 400),
        ("?target=space&messageReplyOption=MAYBE", 400),
        ("?target=space&messageId=custom", 400),
        ("?target=Space_1", 404),
        ("?target=space&key=k&token=t", 200),
    ],
)
async def test_the_url_counts(peer: Peer, query: str, status: int) -> None:
    answer = await peer.post(
        f"/googlechat/v1/spaces/workshop.bookshop/messages{query}", {"text": "x"}
    )
    assert answer.status == status, answer.text
    if status != 200:
        assert answer.json["error"]["code"] == status


async def test_the_name_of_a_demo_may_have_dots(peer: Peer) -> None:
    path = "/googlechat/v1/spaces/workshop.book.shop/messages?target=space"
    assert (await peer.post(path, {"text": "x"})).status == 200
    (message,) = await peer.messages()
    assert (message["namespace"], message["demo"]) == ("workshop", "book.shop")


async def test_sixty_a_minute_and_five_at_once_for_the_whole_space(peer: Peer) -> None:
    await peer.switch(rateLimits=True)
    statuses = [(await peer.post(f"{CHAT}{n}", {"text": "x"})).status for n in range(6)]
    assert statuses == [200] * 5 + [429]
    refused = await peer.post(CHAT, {"text": "x"})
    assert refused.json["error"] == {
        "code": 429,
        "message": "Resource has been exhausted (e.g. check quota).",
        "status": "RESOURCE_EXHAUSTED",
    }
    assert "Retry-After" not in refused.headers
    other = "/googlechat/v1/spaces/workshop.other/messages?target=space"
    assert (await peer.post(other, {"text": "x"})).status == 200
    taken = 0
    for _ in range(600):
        peer.wait(0.1)
        taken += (await peer.post(CHAT, {"text": "x"})).status == 200
    assert taken == 60


def test_the_schema_names_only_what_it_has() -> None:
    from workshopdemo.inbox.receivers import chat_schema  # noqa: PLC0415 - its private table

    for fields in chat_schema._MESSAGES.values():
        for kind in fields.values():
            inner = kind.strip("[]")
            known = inner in chat_schema._MESSAGES or inner in chat_schema._SCALARS
            assert known or inner == "any" or "|" in inner, kind
    for name, choices in chat_schema._ONE_OF.items():
        assert set(choices) <= chat_schema._MESSAGES[name].keys()
