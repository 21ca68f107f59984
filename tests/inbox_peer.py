"""An inbox on loopback whose time stands still until a test moves it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import BaseRunner

from workshopdemo.inbox.server import Inbox

START = datetime(2026, 11, 25, 2, 0, 0, tzinfo=UTC)
JSON = "application/json"

SLACK = "/slack/services/workshop/bookshop/team"
CHAT = "/googlechat/v1/spaces/workshop.bookshop/messages?target=space"
ALERTS = "/alertmanager/workshop/bookshop/alerts/api/v2/alerts"
HOOK = "/webhook/workshop/bookshop/hook"


class Server(TestServer):
    """aiohttp's, but for one thing: as in earnest, nobody stops when the client hangs up."""

    async def _make_runner(self, **options: Any) -> BaseRunner:
        return await super()._make_runner(**{**options, "handler_cancellation": False})


class Answer(NamedTuple):
    """An answer that is read to its end."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)


class Peer:
    """The inbox, and somebody who talks to it."""

    def __init__(self, most_messages: int = 2000) -> None:
        self.now = START
        self.inbox = Inbox(
            most_messages=most_messages,
            now=lambda: self.now,
            clock=self.seconds,
        )
        self.client: TestClient = TestClient(Server(self.inbox.application()))

    def seconds(self) -> float:
        return (self.now - START).total_seconds()

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def post(
        self, path: str, body: Any, content_type: str | None = JSON, **headers: str
    ) -> Answer:
        """Post bytes as they are, and anything else as JSON."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type:
            sent["Content-Type"] = content_type
        async with self.client.post(path, data=data, headers=sent) as response:
            return await _read(response)

    async def get(self, path: str) -> Answer:
        async with self.client.get(path) as response:
            return await _read(response)

    async def delete(self, path: str) -> Answer:
        async with self.client.delete(path) as response:
            return await _read(response)

    async def switch(self, **switches: Any) -> Answer:
        body = msgspec.json.encode(switches)
        headers = {"Content-Type": JSON}
        async with self.client.put("/settings", data=body, headers=headers) as response:
            return await _read(response)

    async def messages(self, query: str = "") -> list[Any]:
        answer = await self.get(f"/messages?{query}")
        assert answer.status == 200, answer.text
        return list(answer.json["messages"])


async def _read(response: ClientResponse) -> Answer:
    return Answer(response.status, await response.text(), response.headers)


@asynccontextmanager
async def running(most_messages: int = 2000) -> AsyncIterator[Peer]:
    """An inbox that is there."""
    peer = Peer(most_messages)
    async with peer.client:
        yield peer
