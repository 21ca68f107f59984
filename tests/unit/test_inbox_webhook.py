"""The inbox as a webhook: CloudEvents, sent as Standard Webhooks says."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from inbox_peer import HOOK, START, Answer, Peer, running

CLOUD_EVENT = "application/cloudevents+json; charset=UTF-8"
EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/apis/batch/v1/namespaces/workshop/jobs/backup-1",
    "type": "dev.workshopdemo.cronjob.failed.v1",
    "subject": "backup",
    "time": "2026-11-25T02:00:00Z",
    "data": {"reason": "BackoffLimitExceeded", "log": "line 1\nline 2"},
}
KEYS = [bytes([number]) * 32 for number in (1, 2)]


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with running() as found:
        yield found


async def post(peer: Peer, event: Any = EVENT, **headers: str) -> Answer:
    sent = {"webhook_id": "e-1", "webhook_timestamp": str(int(peer.now.timestamp())), **headers}
    content_type = sent.pop("content_type", CLOUD_EVENT)
    sent = {name: value for name, value in sent.items() if value != "absent"}
    return await peer.post(HOOK, event, content_type, **sent)


def secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def sign(key: bytes, timestamp: int, event: Any = EVENT) -> str:
    signed = f"e-1.{timestamp}.".encode() + msgspec.json.encode(event)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


async def test_an_event_is_taken(peer: Peer) -> None:
    answer = await post(peer, authorization="Bearer secret", webhook_signature="v1,abc v1,def")
    assert answer.status == 204
    (message,) = await peer.messages()
    assert message["body"] == EVENT
    assert message["event"] == "e-1"
    assert message["title"] == "dev.workshopdemo.cronjob.failed.v1 · backup"
    assert "line 1\nline 2" in message["text"]
    assert message["headers"] == {
        "content-type": CLOUD_EVENT,
        "webhook-id": "e-1",
        "webhook-timestamp": str(int(START.timestamp())),
        "webhook-signature": "v1,abc v1,def",
    }
    assert message["signature"] == {"count": 2, "verified": None}


async def test_a_repeat_is_counted_and_no_second_message(peer: Peer) -> None:
    await post(peer)
    peer.wait(5)
    assert (await post(peer)).status == 204
    await post(peer, webhook_id="e-2")
    first, second = await peer.messages()
    assert (first["repeats"], second["repeats"]) == (1, 0)
    assert first["headers"]["webhook-timestamp"] == str(int(START.timestamp()))


async def test_bytes_that_are_no_text_spoil_nothing(peer: Peer) -> None:
    """In a header any byte may stand; one such delivery must not take the list from everybody."""
    body = msgspec.json.encode(EVENT)
    head = (
        b"POST /webhook/workshop/bookshop/hook HTTP/1.1\r\nHost: inbox\r\nConnection: close\r\n"
        b"Content-Type: application/cloudevents+json; x=\xff\r\nwebhook-id: \xff\xfe\r\n"
        b"webhook-timestamp: %d\r\nContent-Length: %d\r\n\r\n"
    ) % (peer.now.timestamp(), len(body))
    assert peer.client.port
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.client.port)
    writer.write(head + body)
    assert (await reader.read()).startswith(b"HTTP/1.1 204")
    writer.close()
    (message,) = await peer.messages()
    assert message["event"] == "\ufffd\ufffd"


async def test_nobody_is_limited(peer: Peer) -> None:
    assert {(await post(peer, webhook_id=f"e-{n}")).status for n in range(30)} == {204}


BAD_EVENTS: dict[str, tuple[Any, str]] = {
    "no JSON": (b"x", "no JSON"),
    "no object": ([], "object"),
    **{
        f"no {name}": ({key: value for key, value in EVENT.items() if key != name}, name)
        for name in ("id", "source", "specversion", "type")
    },
    "an empty id": ({**EVENT, "id": ""}, "id"),
    "a numeric id": ({**EVENT, "id": 5}, "id"),
    "another version": ({**EVENT, "specversion": "0.3"}, "1.0"),
    "no time": ({**EVENT, "time": "today"}, "3339"),
    "data twice": ({**EVENT, "data_base64": "eA=="}, "not both"),
    "an attribute in capitals": ({**EVENT, "exitCode": 1}, "attributes"),
}


@pytest.mark.parametrize(("event", "said"), BAD_EVENTS.values(), ids=BAD_EVENTS)
async def test_what_is_no_event(peer: Peer, event: Any, said: str) -> None:
    answer = await post(peer, event)
    assert answer.status == 400
    assert said in answer.json["error"]
    assert await peer.messages() == []


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/cloudevents-batch+json", "text/plain"]
)
async def test_the_content_type_says_what_it_is(peer: Peer, content_type: str) -> None:
    assert (await post(peer, content_type=content_type)).status == 415


async def test_an_event_has_at_most_64_kib(peer: Peer) -> None:
    room = 64 * 1024 - len(msgspec.json.encode({**EVENT, "data": ""}))
    assert (await post(peer, {**EVENT, "data": "x" * room})).status == 204
    refused = await post(peer, {**EVENT, "data": "x" * (room + 1)}, webhook_id="e-2")
    assert refused.status == 413


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"webhook_id": "absent"}, 400),
        ({"webhook_id": "a.b"}, 400),
        ({"webhook_id": "x" * 257}, 400),
        ({"webhook_timestamp": "absent"}, 400),
        ({"webhook_timestamp": "2026-11-25T02:00:00Z"}, 400),
        ({"webhook_timestamp": str(int(START.timestamp()) - 301)}, 400),
        ({"webhook_timestamp": str(int(START.timestamp()) + 301)}, 400),
        ({"webhook_timestamp": str(int(START.timestamp()) - 300)}, 204),
        ({"webhook_timestamp": str(int(START.timestamp()) + 300)}, 204),
    ],
)
async def test_headers(peer: Peer, headers: dict[str, str], status: int) -> None:
    assert (await post(peer, **headers)).status == status


class TestSignatures:
    async def test_without_a_key_nobody_knows(self, peer: Peer) -> None:
        await post(peer)
        (message,) = await peer.messages()
        assert message["signature"] is None

    async def test_the_right_one(self, peer: Peer) -> None:
        answer = await peer.switch(signingSecret=secret(KEYS[0]), demo="bookshop")
        assert answer.json == {
            "rateLimits": True,
            "signingSecrets": [{"namespace": None, "demo": "bookshop", "target": None}],
        }
        timestamp = int(peer.now.timestamp())
        assert (await post(peer, webhook_signature=sign(KEYS[0], timestamp))).status == 204
        (message,) = await peer.messages()
        assert message["signature"] == {"count": 1, "verified": True}

    async def test_any_of_several_is_enough_while_keys_are_rotated(self, peer: Peer) -> None:
        await peer.switch(signingSecret=secret(KEYS[1]), target="hook")
        timestamp = int(peer.now.timestamp())
        both = " ".join(sign(key, timestamp) for key in KEYS)
        assert (await post(peer, webhook_signature=both)).status == 204

    @pytest.mark.parametrize("signature", ["absent", "v1,abc", "v1a,abc", ""])
    async def test_a_wrong_one(self, peer: Peer, signature: str) -> None:
        await peer.switch(signingSecret=secret(KEYS[0]))
        assert (await post(peer, webhook_signature=signature)).status == 401
        assert await peer.messages() == []

    async def test_of_another_time(self, peer: Peer) -> None:
        await peer.switch(signingSecret=secret(KEYS[0]))
        old = sign(KEYS[0], int(peer.now.timestamp()) - 1)
        assert (await post(peer, webhook_signature=old)).status == 401

    async def test_others_are_not_asked_for_one(self, peer: Peer) -> None:
        await peer.switch(signingSecret=secret(KEYS[0]), demo="another")
        assert (await post(peer)).status == 204

    async def test_a_key_can_be_forgotten(self, peer: Peer) -> None:
        await peer.switch(signingSecret=secret(KEYS[0]))
        assert (await peer.switch(signingSecret="")).json["signingSecrets"] == []
        assert (await post(peer)).status == 204

    @pytest.mark.parametrize("wrong", ["x", "whsec_%%%", secret(b"short"), secret(b"x" * 65)])
    async def test_what_is_no_key(self, peer: Peer, wrong: str) -> None:
        answer = await peer.switch(signingSecret=wrong)
        assert answer.status == 400
        assert "whsec_" in answer.json["error"]
        assert wrong not in answer.text or wrong == "x"
