"""The inbox as Slack: what Slack takes, and the word with which it refuses the rest."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from inbox_peer import SLACK, Peer, running


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with running() as found:
        yield found


def section(text: str = "x", **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text}}


def field(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


async def test_a_message_is_taken(peer: Peer) -> None:
    payload = {
        "text": "backup failed",
        "attachments": [
            {
                "color": "danger",
                "fallback": "backup failed",
                "blocks": [
                    header("backup failed"),
                    section("*why* &lt;none&gt; ```line 1\nline 2```"),
                    {"type": "section", "fields": [field("*Node*\nworker-1")]},
                    {"type": "context", "elements": [field("a"), field("b")]},
                    {"type": "divider"},
                ],
            }
        ],
    }
    answer = await peer.post(SLACK, payload)
    assert (answer.status, answer.text) == (200, "ok")
    (message,) = await peer.messages()
    assert message["body"] == payload
    assert message["dialect"] == "Slack"
    assert (message["namespace"], message["demo"], message["target"]) == (
        "workshop", "bookshop", "team",
    )  # fmt: skip
    assert (message["event"], message["repeats"]) == (None, 0)
    assert message["received"] == "2026-11-25T02:00:00.000Z"
    assert message["title"] == "backup failed"
    assert message["text"] == (
        "backup failed\nbackup failed\nwhy <none>\nline 1\nline 2\nNode: worker-1\na · b"
    )


async def test_slack_knows_no_repeat(peer: Peer) -> None:
    for _ in range(2):
        assert (await peer.post(SLACK, {"text": "the same"})).text == "ok"
    assert [one["repeats"] for one in await peer.messages()] == [0, 0]


FINE: dict[str, Any] = {
    "text at its limit": {"text": "x" * 40_000},
    "more text than is shown": {"text": "x" * 50_000},
    "header at its limit": {"blocks": [header("x" * 150)]},
    "section at its limit": {"blocks": [section("x" * 3000)]},
    "ten fields": {"blocks": [{"type": "section", "fields": [field("x" * 1000)] * 10}]},
    "ten elements": {"blocks": [{"type": "context", "elements": [field("x")] * 10}]},
    "fifty blocks": {"blocks": [section()] * 50},
    "13,200 characters": {"blocks": [section("x" * 2640)] * 5},
    "a hundred attachments": {"attachments": [{"text": "x"}] * 100},
    "a plain text with emoji": {
        "blocks": [{"type": "section", "text": {"type": "plain_text", "text": "x", "emoji": True}}]
    },
    "a button": {
        "blocks": [
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "text": {"type": "plain_text", "text": "x"}, "url": "u"}
                ],
            }
        ]
    },
    "a picture": {"blocks": [{"type": "image", "image_url": "https://x", "alt_text": "x"}]},
    "an attachment of the old form": {
        "attachments": [{"title": "a", "text": "b", "color": "good"}]
    },
    "two ids of blocks": {"blocks": [section(block_id="a"), section(block_id="b")]},
}


@pytest.mark.parametrize("payload", FINE.values(), ids=FINE)
async def test_up_to_the_limits_all_is_well(peer: Peer, payload: dict[str, Any]) -> None:
    answer = await peer.post(SLACK, payload)
    assert (answer.status, answer.text) == (200, "ok")


BAD: dict[str, tuple[Any, int, str]] = {
    "no JSON": (b'{"text": ', 400, "invalid_payload"),
    "no UTF-8": (b'{"text": "\xff"}', 400, "invalid_payload"),
    "no object": (["x"], 400, "invalid_payload"),
    "text that is none": ({"text": 5}, 400, "invalid_payload"),
    "deep nesting": (b"[" * 5000 + b"]" * 5000, 400, "invalid_payload"),
    "nothing": ({}, 400, "no_text"),
    "empty text": ({"text": ""}, 400, "no_text"),
    "empty lists": ({"blocks": [], "attachments": []}, 400, "no_text"),
    "an empty attachment": ({"attachments": [{"color": "good"}]}, 400, "no_text"),
    "a channel": ({"text": "x", "channel": "#general"}, 404, "channel_not_found"),
    "a name": ({"text": "x", "username": "root"}, 404, "channel_not_found"),
    "blocks that are no list": ({"blocks": "x"}, 400, "invalid_blocks_format"),
    "blocks that are none": ({"blocks": ["x"]}, 400, "invalid_blocks_format"),
    "an unknown block": ({"blocks": [{"type": "poem"}]}, 400, "invalid_blocks"),
    "a block without a type": ({"blocks": [{}]}, 400, "invalid_blocks"),
    "an unknown property": ({"blocks": [section(colour="red")]}, 400, "invalid_blocks"),
    "emoji in mrkdwn": (
        {"blocks": [{"type": "section", "text": {**field("x"), "emoji": True}}]},
        400,
        "invalid_blocks",
    ),
    "a section of nothing": ({"blocks": [{"type": "section"}]}, 400, "invalid_blocks"),
    "empty text of a section": ({"blocks": [section("")]}, 400, "invalid_blocks"),
    "a long section": ({"blocks": [section("x" * 3001)]}, 400, "invalid_blocks"),
    "a long header": ({"blocks": [header("x" * 151)]}, 400, "invalid_blocks"),
    "a header with marks": (
        {"blocks": [{"type": "header", "text": field("x")}]},
        400,
        "invalid_blocks",
    ),
    "a long field": (
        {"blocks": [{"type": "section", "fields": [field("x" * 2001)]}]},
        400,
        "invalid_blocks",
    ),
    "eleven fields": (
        {"blocks": [{"type": "section", "fields": [field("x")] * 11}]},
        400,
        "invalid_blocks",
    ),
    "eleven elements": (
        {"blocks": [{"type": "context", "elements": [field("x")] * 11}]},
        400,
        "invalid_blocks",
    ),
    "fifty-one blocks": ({"blocks": [section()] * 51}, 400, "invalid_blocks"),
    "the same id twice": (
        {"blocks": [section(block_id="a"), section(block_id="a")]},
        400,
        "invalid_blocks",
    ),
    "a long id": ({"blocks": [section(block_id="x" * 256)]}, 400, "invalid_blocks"),
    "13,201 characters": (
        {"blocks": [section("x" * 2640)] * 5 + [section("y")]},
        400,
        "msg_blocks_too_long",
    ),
    "a hundred and one attachments": (
        {"attachments": [{"text": "x"}] * 101},
        400,
        "too_many_attachments",
    ),
    "attachments that are no list": ({"attachments": {}}, 400, "invalid_attachments"),
    "a bad block in an attachment": (
        {"attachments": [{"blocks": [section("")]}]},
        400,
        "invalid_attachments",
    ),
    "many blocks in an attachment": (
        {"attachments": [{"blocks": [section()] * 51}]},
        400,
        "invalid_attachments",
    ),
    "blocks and old fields in an attachment": (
        {"attachments": [{"blocks": [section()], "fields": []}]},
        400,
        "invalid_attachments",
    ),
}


@pytest.mark.parametrize(("payload", "status", "word"), BAD.values(), ids=BAD)
async def test_what_slack_refuses(peer: Peer, payload: Any, status: int, word: str) -> None:
    answer = await peer.post(SLACK, payload)
    assert (answer.status, answer.text) == (status, word)
    assert await peer.messages() == []
    counts = (await peer.get("/counts?demo=bookshop")).json
    assert (counts["stored"], counts["refused"]) == (0, {str(status): 1})


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
async def test_only_json_is_json(peer: Peer, content_type: str) -> None:
    answer = await peer.post(SLACK, {"text": "x"}, content_type)
    assert (answer.status, answer.text) == (400, "invalid_payload")


async def test_a_webhook_that_cannot_be(peer: Peer) -> None:
    answer = await peer.post("/slack/services/Work_shop/bookshop/team", {"text": "x"})
    assert (answer.status, answer.text) == (404, "no_service")


async def test_three_at_once_and_then_one_a_second(peer: Peer) -> None:
    statuses = [(await peer.post(SLACK, {"text": "x"})).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = await peer.post(SLACK, {"text": "x"})
    assert (refused.text, refused.headers["Retry-After"]) == ("rate_limited", "1")
    peer.wait(1)
    statuses = [(await peer.post(SLACK, {"text": "x"})).status for _ in range(2)]
    assert statuses == [200, 429]
    peer.wait(60)
    statuses = [(await peer.post(SLACK, {"text": "x"})).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429], "quiet times are no credit beyond the burst"


async def test_each_webhook_has_its_own_rate(peer: Peer) -> None:
    for _ in range(3):
        await peer.post(SLACK, {"text": "x"})
    assert (await peer.post(SLACK, {"text": "x"})).status == 429
    assert (await peer.post(f"{SLACK}-2", {"text": "x"})).status == 200


async def test_rates_can_be_switched_off(peer: Peer) -> None:
    assert (await peer.switch(rateLimits=False)).json["rateLimits"] is False
    assert {(await peer.post(SLACK, {"text": "x"})).status for _ in range(10)} == {200}
    await peer.switch(rateLimits=True)
    statuses = [(await peer.post(SLACK, {"text": "x"})).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
