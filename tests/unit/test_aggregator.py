"""What is made of every kind of answer; against real servers on loopback."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from workshopdemo.aggregator import Aggregator
from workshopdemo.errors import AggregatorError
from workshopdemo.podhttp import ANSWER_BYTES

QUERY = "who are you"
SECRET = "words of a stranger"
ROW = json.dumps(
    {
        "k8s.pod.name": "bookshop-log-emitter-x7k2p",
        "series": "3f9a2c71",
        "rows": "12",
        "distinct": "10",
        "highest": "10",
        "newest": "2026-11-25T10:52:05.89083217Z",
    }
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(
    handler: Handler, *, host: str = "127.0.0.1", seconds: float = 60.0
) -> AsyncIterator[Aggregator]:
    """A server in the aggregator's place, and who asks it."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0).start()
    aggregator = Aggregator(port=runner.addresses[0][1], seconds=seconds)
    try:
        yield aggregator
    finally:
        await aggregator.close()
        await runner.cleanup()


def says(body: bytes, **more: object) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, **more)  # type: ignore[arg-type]

    return handler


async def problem(handler: Handler, *, seconds: float = 60.0) -> str:
    """The sentence that is made of an answer."""
    async with answering(handler, seconds=seconds) as aggregator:
        with pytest.raises(AggregatorError) as error:
            await aggregator.count("127.0.0.1", QUERY)
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None
    return str(error.value)


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1")])
async def test_it_asks_as_victorialogs_wants_it(host: str, address: str) -> None:
    asked = {}

    async def handler(request: web.Request) -> web.Response:
        asked["request"] = (request.method, request.path, dict(await request.post()))
        return web.Response(body=f"{ROW}\n{ROW}\n".encode())

    async with answering(handler, host=host) as aggregator:
        first, second = await aggregator.count(address, QUERY)
    assert first == second
    assert (first.rows, first.distinct) == (12, 10)
    assert asked["request"] == ("POST", "/select/logsql/query", {"query": QUERY})


async def test_nothing_has_arrived() -> None:
    async with answering(says(b"")) as aggregator:
        assert await aggregator.count("127.0.0.1", QUERY) == ()


async def test_the_session_can_be_opened_again() -> None:
    async with answering(says(ROW.encode())) as aggregator:
        await aggregator.count("127.0.0.1", QUERY)
        await aggregator.close()
        assert len(await aggregator.count("127.0.0.1", QUERY)) == 1


@pytest.mark.parametrize("status", [204, 400, 404, 500])
async def test_a_status(status: int) -> None:
    said = await problem(says(b"" if status == 204 else SECRET.encode(), status=status))
    assert said == f"the log aggregator answered with HTTP {status}"


async def test_a_redirect_is_not_followed() -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path != "/select/logsql/query":
            pytest.fail("followed")
        raise web.HTTPTemporaryRedirect(f"/{SECRET}")

    assert await problem(handler) == "the log aggregator answered with HTTP 307"


@pytest.mark.parametrize("body", [SECRET.encode(), b"[]", b"\xff", ROW[:-1].encode()])
async def test_another_server(body: bytes) -> None:
    said = "what answers in the log aggregator's place is not VictoriaLogs"
    assert await problem(says(body)) == said


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
async def test_nothing_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    encoding = {"Content-Encoding": "gzip" if pack is gzip.compress else "deflate"}
    bomb = pack(b" " * 50_000_000)
    said = "what answers in the log aggregator's place is not VictoriaLogs"
    assert await problem(says(bomb, headers=encoding)) == said


async def test_an_answer_without_end() -> None:
    sent = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(f"{ROW}\n".encode() * 100)
            sent += 100 * len(ROW)

    assert await problem(handler) == "the log aggregator's answer does not end"
    assert sent < 20 * ANSWER_BYTES


async def test_the_biggest_answer() -> None:
    rows = f"{ROW}\n".encode() * (ANSWER_BYTES // (len(ROW) + 1))
    async with answering(says(rows)) as aggregator:
        assert len(await aggregator.count("127.0.0.1", QUERY)) == len(rows.splitlines())


@pytest.mark.parametrize("begins", [False, True])
async def test_no_answer_in_time(*, begins: bool) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if begins:
            await response.prepare(request)
        while True:
            await asyncio.sleep(0.05)
            if begins:
                await response.write(b"\n")

    said = await problem(handler, seconds=0.5)
    assert said == "the log aggregator did not answer within 0.5 s"


async def test_a_connection_that_breaks_off() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(ROW.encode())
        assert request.transport
        request.transport.abort()
        return response

    assert (await problem(handler)).startswith("the log aggregator cannot be reached (Client")


async def test_nobody_is_there() -> None:
    async with answering(says(b"")) as aggregator:
        pass
    with pytest.raises(AggregatorError, match="cannot be reached"):
        await aggregator.count("127.0.0.1", QUERY)
    await aggregator.close()


@pytest.mark.parametrize(
    "address", ["", "localhost", "127.0.0.1:80", "127.0.0.1/x", "[::1]", "1", "fe80::1%lo/x"]
)
async def test_what_is_no_address(address: str) -> None:
    aggregator = Aggregator()
    with pytest.raises(AggregatorError, match="no address"):
        await aggregator.count(address, QUERY)


async def test_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with answering(says(ROW.encode())) as aggregator:
        assert len(await aggregator.count("127.0.0.1", QUERY)) == 1
