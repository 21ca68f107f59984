"""Asking a node's agent: whoever answers in its place does no harm."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from workshopdemo import published
from workshopdemo.agents import Agents
from workshopdemo.errors import AgentError
from workshopdemo.podhttp import ANSWER_BYTES
from workshopdemo.published import BadAnswerError, PublishedPod, published_pods

POD = {"name": "web", "ips": ["10.0.0.1"], "ready": True, "labels": {"app": "web"}}
SECRET = "T0PSECRET"


def answer(*pods: Any) -> bytes:
    return json.dumps({"node": "worker", "namespace": "workshop", "pods": pods}).encode()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.asynccontextmanager
async def peer(response: bytes, *, ends: bool = True) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Whoever stands at the agent's address; gives the port, and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(response)
        await writer.drain()
        while not ends:
            writer.write(b" " * 65536)
            await writer.drain()

    async with listening(serve) as port:
        yield port, asked


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """Gives the port; nothing is left open at the end."""
    visits: list[asyncio.Task[None]] = []

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        visits.append(task)
        with contextlib.suppress(ConnectionError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*visits)


def ask(response: bytes, *, ends: bool = True, seconds: float = 5) -> tuple[PublishedPod, ...]:
    async def story() -> tuple[PublishedPod, ...]:
        async with peer(response, ends=ends) as (port, asked):
            agents = Agents(port=port, seconds=seconds)
            try:
                return await agents.pods("127.0.0.1")
            finally:
                await agents.close()
                assert all(request.startswith(b"GET /pods HTTP/1.1\r\n") for request in asked)
                assert len(asked) <= 2, "the client library asks again where a connection broke"

    return asyncio.run(story())


def test_pods_are_told() -> None:
    web = PublishedPod(("10.0.0.1",), is_ready=True, labels={"app": "web"})
    assert ask(http(answer(POD))) == (web,)
    assert ask(http(answer())) == ()
    both = POD | {"ips": ["10.0.0.1", "FD00:0::1"], "ready": False, "labels": {}}
    assert ask(http(answer(both))) == (
        PublishedPod(("10.0.0.1", "fd00::1"), is_ready=False, labels={}),
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"pods": null}',
        b'{"pods": {}}',
        b"[" * 100_000,
        b'{"pods": ' + b"[" * 100_000,
        b"\xff\xfe",
        answer(SECRET),
        answer(POD | {"ips": []}),
        answer(POD | {"ips": "10.0.0.1"}),
        answer(POD | {"ips": [SECRET]}),
        answer(POD | {"ips": ["10.0.0.1/8"]}),
        answer(POD | {"ips": ["fe80::1%eth0"]}),
        answer(POD | {"ips": ["10.0.0.1\n"]}),
        answer(POD | {"ips": ["10.0.0.1"] * 5}),
        answer(POD | {"ready": "yes"}),
        answer(POD | {"ready": 1}),
        answer(POD | {"labels": {"app": 1}}),
        answer(POD | {"labels": {"app": "x" * 64}}),
        answer(POD | {"labels": {"": "x"}}),
        answer({name: part for name, part in POD.items() if name != "ready"}),
        answer(*[POD] * (published.PODS + 1)),
    ],
)
def test_what_is_no_agents_answer_counts_as_none(body: bytes) -> None:
    with pytest.raises(BadAnswerError):
        published_pods(body)
    with pytest.raises(AgentError, match=r"^what answers in the agent's place is no agent$"):
        ask(http(body))


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (http(answer(POD), "503 Service Unavailable"), "answered with HTTP 503"),
        (http(b"", "302 Found", f"Location: http://{SECRET}/"), "answered with HTTP 302"),
        (http(b"", "204 No Content"), "answered with HTTP 204"),
        (b"", "cannot be reached"),
        (SECRET.encode() + b"\r\n\r\n", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{", "cannot be reached"),
        (http(b" " * (ANSWER_BYTES + 1)), "the agent's answer does not end"),
    ],
)
def test_no_answer_is_told_in_our_own_words(response: bytes, words: str) -> None:
    with pytest.raises(AgentError) as failure:
        ask(response)
    assert words in str(failure.value)
    assert str(failure.value).startswith("the agent")
    assert SECRET not in str(failure.value)


def test_an_answer_that_never_ends_is_broken_off() -> None:
    with pytest.raises(AgentError, match="does not end"):
        ask(b"HTTP/1.1 200 OK\r\n\r\n", ends=False)


def test_a_packed_answer_is_not_unpacked() -> None:
    packed = gzip.compress(answer(POD))
    with pytest.raises(AgentError, match="is no agent"):
        ask(http(packed, "200 OK", "Content-Encoding: gzip"))


def test_who_says_nothing_is_given_up() -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def story() -> None:
        async with listening(serve) as port:
            agents = Agents(port=port, seconds=0.2)
            with pytest.raises(AgentError, match=r"^the agent did not answer within 0\.2 s$"):
                await agents.pods("127.0.0.1")
            await agents.close()

    asyncio.run(story())


@pytest.mark.parametrize("address", ["", "None", "localhost", "127.0.0.1:80", "10.0.0.1/x"])
def test_only_an_address_is_asked(address: str) -> None:
    async def story() -> None:
        agents = Agents(port=1)
        with pytest.raises(AgentError, match="has no address yet"):
            await agents.pods(address)
        await agents.close()

    asyncio.run(story())
