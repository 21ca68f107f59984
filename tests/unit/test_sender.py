"""What is sent, and what is made of every kind of answer; against real servers on loopback."""

import asyncio
import gc
import gzip
import ipaddress
import itertools
import logging
import socket
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from workshopdemo.errors import RefusedAddressError, TargetConfigError
from workshopdemo.notify import sender as module
from workshopdemo.notify.addresses import Address
from workshopdemo.notify.guard import Destination, Guard
from workshopdemo.notify.resolver import UnresolvedError
from workshopdemo.notify.sender import (
    BODY_BYTES,
    LONGEST_RETRY_AFTER,
    REPLICAS,
    Sender,
    retry_after,
)
from workshopdemo.notify.wire import Answer, HttpRequest, TargetKind

TLS = Path(__file__).parent / "data" / "tls"
CA = (TLS / "ca.pem").read_text()

NAME = "receiver.test"
SECRET = "T0K3N-which-nobody-may-see"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def server_context(name: str = "server") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(TLS / f"{name}.pem", TLS / "server-key.pem")
    return context


@asynccontextmanager
async def receiver(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A web server; gives its port."""
    application = web.Application(client_max_size=2**26)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def stranger(talk: Talk, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that does with a connection what it likes; gives its port."""
    talks = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


def answering(answer: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    return talk


@asynccontextmanager
async def sending(
    origin: str, addresses: Sequence[str] = ("127.0.0.1",), *, asked: list[str] | None = None
) -> AsyncIterator[Sender]:
    """A sender to whose guard the origin is the inbox's: the only one that may be on loopback."""

    async def resolve(host: str, _: int) -> Sequence[Address]:
        if asked is not None:
            asked.append(host)
        return [ipaddress.ip_address(address) for address in addresses]

    guard = Guard(allowed=(), inbox_url=origin, forbidden=tuple, resolve=resolve)
    sender = Sender(guard, now=lambda: NOW)
    try:
        yield sender
    finally:
        await sender.close()


def request(url: str, body: bytes = b"{}", **headers: str) -> HttpRequest:
    given_headers = {"Content-Type": "application/json"}
    given_headers |= {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest(url=url, headers=given_headers, body=body)


async def ask(
    port: int,
    *,
    scheme: str = "http",
    host: str = NAME,
    path: str = f"/{SECRET}",
    addresses: Sequence[str] = ("127.0.0.1",),
    ca: str | None = None,
    body: bytes = b"{}",
) -> Answer:
    origin = f"{scheme}://{host}:{port}"
    async with sending(origin, addresses) as sender:
        sent = request(origin + path, body, Authorization=f"Bearer {SECRET}")
        (answer,) = await sender.post(sent, kind="inbox", ca=ca)
    assert SECRET not in repr(answer)
    return answer


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class TestRequest:
    async def test_a_request_arrives_as_it_was_made(self) -> None:
        seen = []

        async def handler(got: web.Request) -> web.Response:
            seen.append((got.method, got.raw_path, dict(got.headers), await got.read()))
            return web.Response(text="ok")

        path = "/a//b/%2F%41?x=%20&y=a+b&&z"
        async with (
            receiver(handler) as port,
            sending(f"http://{NAME}:{port}") as sender,
        ):
            url = f"http://{NAME}:{port}{path}"
            sent = request(url, b'{"a": 1}', Authorization="Bearer x", webhook_id="7")
            assert await sender.post(sent, kind="inbox") == [Answer(code=200, body="ok")]
        assert seen == [
            (
                "POST",
                path,
                {
                    "Host": f"{NAME}:{port}",
                    "Content-Type": "application/json",
                    "Authorization": "Bearer x",
                    "webhook-id": "7",
                    "Accept": "*/*",
                    "Accept-Encoding": "identity",
                    "User-Agent": "workshop-demo",
                    "Connection": "close",
                    "Content-Length": "8",
                },
                b'{"a": 1}',
            )
        ]

    async def test_what_is_the_senders_own_business_stays_it(self) -> None:
        seen = []

        async def handler(got: web.Request) -> web.Response:
            seen.extend(got.headers.getall(name) for name in ("Host", "Accept-Encoding"))
            return web.Response()

        async with receiver(handler) as port, sending(f"http://{NAME}:{port}") as sender:
            sent = request(f"http://{NAME}:{port}/", HOST="internal", accept_encoding="br")
            await sender.post(sent, kind="inbox")
        assert seen == [[f"{NAME}:{port}"], ["identity"]]

    async def test_redirects_are_not_followed(self) -> None:
        seen = []

        async def handler(got: web.Request) -> web.Response:
            seen.append(got.path)
            return web.Response(status=307, headers={"Location": "/elsewhere"})

        async with receiver(handler) as port:
            assert (await ask(port, path="/here")).code == 307
        assert seen == ["/here"]

    async def test_the_environments_proxies_are_not_used(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        dead = f"http://127.0.0.1:{free_port()}"
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, dead)
        (tmp_path / "netrc").write_text(f"machine {NAME} login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

        async def handler(got: web.Request) -> web.Response:
            return web.Response(text=got.headers.get("Authorization", ""))

        async with receiver(handler) as port, sending(f"http://{NAME}:{port}") as sender:
            answers = await sender.post(request(f"http://{NAME}:{port}/"), kind="inbox")
            assert answers == [Answer(code=200)]

    async def test_cookies_are_not_kept(self) -> None:
        async def handler(got: web.Request) -> web.Response:
            headers = {"Set-Cookie": "a=b; Path=/"}
            return web.Response(text=got.headers.get("Cookie", "none"), headers=headers)

        async with receiver(handler) as port, sending(f"http://{NAME}:{port}") as sender:
            for _ in range(2):
                answers = await sender.post(request(f"http://{NAME}:{port}/"), kind="inbox")
                assert answers == [Answer(code=200, body="none")]

    @pytest.mark.parametrize("value", ["a\nb", "a\r\nHost: internal", "a\x00", "ü", "a\x7f", "\n"])
    async def test_a_header_that_cannot_be_sent_is_not(self, value: str) -> None:
        async with sending("http://receiver.test") as sender:
            sent = request("http://receiver.test/", Authorization=f"{SECRET}{value}")
            with pytest.raises(TargetConfigError, match="header Authorization") as caught:
                await sender.post(sent, kind="inbox")
        assert SECRET not in str(caught.value)


class TestWhere:
    async def test_a_refused_url_is_connected_to_nowhere(
        self, connections: list[tuple[str, int]]
    ) -> None:
        async with sending("http://receiver.test") as sender:
            for kind in ("webhook", "inbox", "slack"):
                with pytest.raises(RefusedAddressError) as caught:
                    await sender.post(request(f"https://127.0.0.1/{SECRET}"), kind=kind)
                assert SECRET not in str(caught.value)
        assert connections == []

    async def test_a_hosts_name_is_revealed_where_it_may_be(self) -> None:
        async with sending("http://receiver.test") as sender:
            for reveal in (True, False):
                sent = request("https://localhost/")
                for refusing in (
                    sender.post(sent, kind="webhook", reveal_host=reveal),
                    sender.check(sent.url, "webhook", reveal_host=reveal),
                ):
                    with pytest.raises(RefusedAddressError) as caught:
                        await refusing
                    assert ("localhost" in str(caught.value)) is reveal

    async def test_a_name_that_does_not_resolve_is_an_answer(self) -> None:
        async def resolve(_: str, __: int) -> Sequence[Address]:
            raise UnresolvedError("the host's name does not resolve")

        guard = Guard(allowed=(), inbox_url="", forbidden=tuple, resolve=resolve)
        sender = Sender(guard, now=lambda: NOW)
        assert await sender.post(request("https://nobody.example.com/"), kind="webhook") == [
            Answer(problem="the host's name does not resolve", may_have_arrived=False)
        ]
        await sender.check("https://nobody.example.com/", "webhook")
        await sender.close()

    async def test_what_was_checked_is_connected_to_whatever_the_name_says_next(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = iter([["93.184.215.14"], ["127.0.0.1"], ["169.254.169.254"]])

        async def rebinding(_: str, __: int) -> Sequence[Address]:
            return [ipaddress.ip_address(text) for text in next(answers)]

        names = []
        context = server_context()
        context.sni_callback = lambda _, name, __: names.append(name)
        connected = []
        real = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

        async def handler(got: web.Request) -> web.Response:
            return web.Response(text=f"{got.scheme} {got.headers['Host']} {got.path}")

        async with receiver(handler, tls=context) as port:

            async def to_the_test(
                loop: asyncio.selector_events.BaseSelectorEventLoop,
                sock: socket.socket,
                address: tuple[str, int],
            ) -> None:
                connected.append(address)
                await real(loop, sock, ("127.0.0.1", port))

            monkeypatch.setattr(
                asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", to_the_test
            )
            guard = Guard(allowed=(), inbox_url="", forbidden=tuple, resolve=rebinding)
            sender = Sender(guard, now=lambda: NOW)
            sent = request(f"https://{NAME}/hook?a=b")
            assert await sender.post(sent, kind="webhook", ca=CA) == [
                Answer(code=200, body=f"https {NAME} /hook")
            ]
            with pytest.raises(RefusedAddressError):
                await sender.post(sent, kind="webhook", ca=CA)
            await sender.close()
        assert connected == [("93.184.215.14", 443)]
        assert names == [NAME]

    async def test_addresses_are_tried_in_turn_while_no_connection_comes_about(self) -> None:
        asked: list[str] = []

        async def handler(_: web.Request) -> web.Response:
            return web.Response(text="ok")

        async with receiver(handler, host="127.0.0.3") as port:
            origin = f"http://{NAME}:{port}"
            addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
            async with sending(origin, addresses, asked=asked) as sender:
                answers = await sender.post(request(origin), kind="inbox")
        assert answers == [Answer(code=200, body="ok")]
        assert asked == [NAME]

    async def test_what_may_have_arrived_goes_to_no_other_address(self) -> None:
        async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await read_request(reader)

        async def handler(_: web.Request) -> web.Response:
            raise AssertionError

        async with (
            stranger(hang_up) as port,
            receiver(handler, host="127.0.0.2", port=port),
        ):
            answer = await ask(port, addresses=["127.0.0.1", "127.0.0.2"])
        assert answer.code is None
        assert answer.may_have_arrived

    async def test_each_replica_of_an_alertmanager_gets_each_alert(self) -> None:
        all_here = asyncio.Barrier(2)
        seen = []

        async def handler(got: web.Request) -> web.Response:
            seen.append(got.headers["Host"])
            async with asyncio.timeout(5):
                await all_here.wait()  # in parallel, or never
            return web.Response()

        async with (
            receiver(handler) as port,
            receiver(handler, host="127.0.0.2", port=port),
        ):
            replicas = ("127.0.0.1", "127.0.0.2", "127.0.0.9")
            sender = Sender(_Trusting(replicas), now=lambda: NOW)
            sent = request(f"http://{NAME}:{port}/api/v2/alerts")
            answers = await sender.post(sent, kind="alertmanager")
            await sender.close()
        assert answers == [
            Answer(code=200),
            Answer(code=200),
            Answer(problem="connection refused", may_have_arrived=False),
        ]
        assert seen == [f"{NAME}:{port}"] * 2

    async def test_a_name_with_a_thousand_addresses_is_no_thousand_replicas(self) -> None:
        port = free_port()
        many = [str(ipaddress.ip_address("127.0.1.1") + n) for n in range(1000)]
        sender = Sender(_Trusting(many), now=lambda: NOW)
        sent = request(f"http://{NAME}:{port}/")
        assert len(await sender.post(sent, kind="alertmanager")) == REPLICAS
        await sender.close()

    async def test_ipv6(self) -> None:
        async def handler(got: web.Request) -> web.Response:
            return web.Response(text=got.headers["Host"])

        try:
            async with receiver(handler, host="::1", tls=server_context()) as port:
                answer = await ask(port, scheme="https", host="[::1]", ca=CA)
        except OSError:
            pytest.skip("this machine has no IPv6, not even on loopback")
        assert answer == Answer(code=200, body=f"[::1]:{port}")


class _Trusting(Guard):
    """Lets everything through: a guard never lets an Alertmanager be on loopback."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._found = tuple(map(ipaddress.ip_address, addresses))

    async def admit(self, url: str, kind: TargetKind, *, reveal_host: bool = False) -> Destination:
        _, _, authority, path = url.split("/", 3)
        host, port = authority.split(":")
        return Destination(
            scheme="http", host=host, port=int(port), path=f"/{path}", addresses=self._found
        )


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Whereto connections are made."""
    made: list[tuple[str, int]] = []
    real = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

    async def noting(
        loop: asyncio.selector_events.BaseSelectorEventLoop,
        sock: socket.socket,
        address: tuple[str, int],
    ) -> None:
        made.append(address)
        await real(loop, sock, address)

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", noting)
    return made


async def ok(_: web.Request) -> web.Response:
    return web.Response(text="ok")


class TestTls:
    async def test_an_authority_of_ones_own(self) -> None:
        async with receiver(ok, tls=server_context()) as port:
            assert await ask(port, scheme="https", ca=CA) == Answer(code=200, body="ok")

    @pytest.mark.parametrize(
        ("certificate", "host", "ca", "why"),
        [
            ("server", NAME, None, "its authority is unknown: caFrom can name it"),
            ("expired", NAME, CA, "it has expired"),
            ("server", "other.test", CA, "it is for another host"),
            ("server", "127.0.0.2", CA, "it is for another address"),
        ],
    )
    async def test_a_certificate_that_is_not_to_be_trusted(
        self, certificate: str, host: str, ca: str | None, why: str
    ) -> None:
        async def handler(_: web.Request) -> web.Response:
            raise AssertionError

        address = host if host[0].isdigit() else "127.0.0.1"
        context = server_context(certificate)
        async with receiver(handler, host=address, tls=context) as port:
            answer = await ask(port, scheme="https", host=host, ca=ca)
        assert answer == Answer(
            problem=f"the certificate is not trusted: {why}", may_have_arrived=False
        )

    async def test_a_port_that_speaks_no_tls(self) -> None:
        async with receiver(ok) as port:
            answer = await ask(port, scheme="https", ca=CA)
        assert answer.problem.startswith("no TLS connection came about")
        assert not answer.may_have_arrived

    async def test_a_port_that_hangs_up_in_the_middle_of_it(self) -> None:
        async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read(10)

        async with stranger(hang_up) as port:
            answer = await ask(port, scheme="https", ca=CA)
        assert answer.code is None
        assert not answer.may_have_arrived

    async def test_a_port_that_only_speaks_tls(self) -> None:
        async with receiver(ok, tls=server_context()) as port:
            answer = await ask(port)
        assert answer.code is None

    @pytest.mark.parametrize(
        "ca",
        [
            "",
            "no certificate",
            CA.replace("-----END", "----"),
            CA.replace("M", "!", 2),
            CA.replace("BEGIN", "BEGİN"),
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
            "\x00",
            "\ud800",
            (TLS / "server-key.pem").read_text(),
            CA * 2000,
        ],
    )
    async def test_an_authority_that_is_none_is_told(self, ca: str) -> None:
        async with sending("https://receiver.test") as sender:
            with pytest.raises(TargetConfigError, match="caFrom"):
                await sender.post(request("https://receiver.test/"), kind="inbox", ca=ca)

    async def test_authorities_are_read_once_and_not_kept_for_ever(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = []
        real = ssl.create_default_context
        monkeypatch.setattr(module, "_TRUSTS", 2)
        monkeypatch.setattr(
            ssl, "create_default_context", lambda **kw: read.append(kw["cadata"]) or real(**kw)
        )
        cas = [CA + "\n" * n for n in range(3)]
        origin = f"https://{NAME}:{free_port()}"
        async with sending(origin) as sender:
            for ca in (cas[0], cas[0], cas[1], cas[0], cas[2], cas[0], cas[1]):
                await sender.post(request(origin), kind="inbox", ca=ca)
        assert read == [cas[0], cas[1], cas[2], cas[1]]


class TestNoAnswer:
    async def test_connection_refused(self) -> None:
        assert await ask(free_port()) == Answer(
            problem="connection refused", may_have_arrived=False
        )

    async def test_the_first_addresss_problem_is_told_if_none_can_be_connected_to(self) -> None:
        async with receiver(ok) as port:
            answer = await ask(port, scheme="https", addresses=["127.0.0.1", "127.0.0.2"])
        assert answer.problem.startswith("no TLS connection came about")

    async def test_no_connection_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.2)

        async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read(1)
            await asyncio.sleep(60)

        async with stranger(silent) as port:
            answer = await ask(port, scheme="https", ca=CA)
        assert answer == Answer(problem="no connection within 0.2 s", may_have_arrived=False)

    async def test_no_answer_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "TOTAL_SECONDS", 0.3)

        async def handler(_: web.Request) -> web.Response:
            await asyncio.sleep(60)
            raise AssertionError

        async with receiver(handler) as port:
            assert await ask(port) == Answer(problem="no answer within 30 s")

    async def test_an_answer_that_drips(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "TOTAL_SECONDS", 0.3)

        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            for letter in itertools.cycle(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000):
                writer.write(bytes([letter]))
                await writer.drain()
                await asyncio.sleep(0.01)

        async with stranger(drip) as port:
            assert await ask(port) == Answer(problem="no answer within 30 s")

    async def test_continue_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "TOTAL_SECONDS", 0.3)

        async def go_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            while True:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0.001)

        async with stranger(go_on) as port:
            answer = await ask(port)
        assert answer.code is None
        assert answer.may_have_arrived

    async def test_a_reset(self) -> None:
        async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            linger_not = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, linger_not
            )

        async with stranger(reset) as port:
            assert await ask(port) == Answer(problem="the connection was reset")

    async def test_closed_without_an_answer(self) -> None:
        async with stranger(answering(b"")) as port:
            assert await ask(port) == Answer(problem="the connection was closed without an answer")

    @pytest.mark.parametrize(
        "answer",
        [
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x15\x03\x01\x00\x02\x02\x16",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 99999 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
            b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n",
        ],
    )
    async def test_no_http(self, answer: bytes) -> None:
        async with stranger(answering(answer)) as port:
            assert await ask(port) == Answer(problem="the answer is not HTTP")

    @pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
    async def test_a_receiver_that_answers_before_it_has_read(self) -> None:
        async def too_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.2)

        async with stranger(too_large) as port:
            answer = await ask(port, body=b"x" * 2**24)
        assert answer == Answer(code=413)


class TestAnswers:
    async def test_an_answer_in_full(self) -> None:
        async def handler(_: web.Request) -> web.Response:
            return web.Response(status=429, text="slow dówn", headers={"Retry-After": "7"})

        async with receiver(handler) as port:
            assert await ask(port) == Answer(code=429, body="slow dówn", retry_after=7)

    async def test_a_body_that_is_no_text(self) -> None:
        async with stranger(
            answering(b"HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n\xff\x00")
        ) as port:
            assert await ask(port) == Answer(code=500, body="\ufffd\x00")

    @pytest.mark.parametrize("tls", [False, True])
    async def test_a_body_without_end(self, *, tls: bool) -> None:
        written = 0

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal written
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                written += 65536

        async with stranger(flood, tls=server_context() if tls else None) as port:
            async with asyncio.timeout(10):
                answer = await ask(port, scheme="https" if tls else "http", ca=CA)
            await asyncio.sleep(0.1)
        assert answer == Answer(code=200, body="x" * BODY_BYTES)
        # What the kernel's and the parser's buffers take, and no more.
        assert written < 64 * 2**20

    @pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "deflate"])
    async def test_a_bomb(self, encoding: str) -> None:
        pack = zlib.compress if encoding == "deflate" else gzip.compress
        bomb = pack(b"x" * 32 * 2**20)
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n"
        async with stranger(answering(head.encode() + b"\r\n" + bomb)) as port:
            assert await ask(port) == Answer(code=200, body="x" * BODY_BYTES)

    @pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense", "gzip"])
    async def test_a_body_that_cannot_be_unpacked(self, encoding: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: 4\r\n\r\nabcd"
        async with stranger(answering(head.encode())) as port:
            assert await ask(port) == Answer(code=200)

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        ],
    )
    async def test_a_body_that_breaks_off(self, answer: bytes) -> None:
        async with stranger(answering(answer)) as port:
            found = await ask(port)
        assert (found.code, found.problem) == (200, "the answer broke off")
        assert found.may_have_arrived

    async def test_a_body_that_never_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "TOTAL_SECONDS", 0.3)

        async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nok")
            await asyncio.sleep(60)

        async with stranger(stall) as port:
            answer = await ask(port)
        assert answer == Answer(code=200, body="ok", problem="the answer broke off")

    async def test_a_slow_receiver_holds_up_no_other(self) -> None:
        let_go = asyncio.Event()
        waiting = asyncio.Semaphore(0)

        async def handler(got: web.Request) -> web.Response:
            if got.path == "/slow":
                waiting.release()
                await let_go.wait()
            return web.Response()

        async with receiver(handler) as port, sending(f"http://{NAME}:{port}") as sender:

            async def post(path: str) -> list[Answer]:
                return await sender.post(request(f"http://{NAME}:{port}{path}"), kind="inbox")

            slow = [asyncio.create_task(post("/slow")) for _ in range(200)]
            # As long as none of the slow ones would give up by itself.
            async with asyncio.timeout(60):
                for _ in slow:
                    await waiting.acquire()
                assert await post("/quick") == [Answer(code=200)]
            let_go.set()
            assert {answer.code for (answer,) in await asyncio.gather(*slow)} == {200}


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0),
            ("1", 1),
            ("120", 120),
            ("86400", LONGEST_RETRY_AFTER),
            ("86401", LONGEST_RETRY_AFTER),
            ("999999999999", LONGEST_RETRY_AFTER),
            ("Sun, 01 Mar 2026 12:00:30 GMT", 30),
            ("Sunday, 01-Mar-26 12:00:30 GMT", 30),
            ("Sun Mar  1 12:00:30 2026", 30),
            ("Sun, 01 Mar 2026 13:00:30 +0100", 30),
            ("Sun, 01 Mar 2026 11:59:30 GMT", 0),
            ("Sun, 01 Mar 2027 12:00:00 GMT", LONGEST_RETRY_AFTER),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("0x10", None),
            ("١٢", None),
            ("9" * 5000, None),
            ("nan", None),
            ("inf", None),
            ("Sun, 99 Mar 2026 12:00:30 GMT", None),
            ("Sun, 01 Mar 99999 12:00:30 GMT", None),
            ("Sun, 01 Mar 2026 12:00:30 +9999", None),
        ],
    )
    def test_seconds_and_dates(self, value: str, seconds: float | None) -> None:
        assert retry_after(value, NOW) == seconds

    @given(
        st.one_of(
            st.text(),
            st.from_regex(
                r"\A[A-Za-z]{0,4},? ?[0-9]{0,9}[ -][A-Z][a-z]{2}[ -][0-9:]{0,9} ?[^\n]*\Z"
            ),
            st.builds(
                "Sun, {} Mar {} {}:{}:{} {}".format,
                *[st.integers(-10, 10**6)] * 5,
                st.sampled_from(["GMT", "-0000", "+0000", "+9959", "-99999", "EST"]),
            ),
        )
    )
    def test_nothing_that_a_stranger_says_breaks_it(self, value: str) -> None:
        found = retry_after(value, NOW)
        assert found is None or 0 <= found <= LONGEST_RETRY_AFTER


class TestSecrets:
    @pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
    async def test_nothing_of_a_request_is_logged_whatever_happens(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        caplog.set_level(logging.DEBUG)
        monkeypatch.setattr(module, "TOTAL_SECONDS", 0.5)
        monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        told: list[dict[str, object]] = []
        loop.set_exception_handler(lambda _, context: told.append(context))

        async def reset_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )

        talks = [
            reset_at_once,
            answering(b""),
            answering(b"nonsense\r\n\r\n"),
            answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a b=c; d\r\nContent-Length: 9\r\n\r\nok"),
            answering(b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n"),
            answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nabc"),
        ]
        for talk, scheme, body in itertools.product(
            talks, ("http", "https"), (b"{}", b"x" * 2**23)
        ):
            async with stranger(talk) as port:
                await ask(port, scheme=scheme, path=f"/{SECRET}?{SECRET}", ca=CA, body=body)
        await ask(free_port(), path=f"/{SECRET}")
        async with receiver(ok, tls=server_context()) as port:
            await ask(port, scheme="https")
        gc.collect()
        await asyncio.sleep(0.05)
        assert SECRET not in caplog.text
        assert SECRET not in repr(told)

    async def test_nothing_shows_a_request(self) -> None:
        assert SECRET not in repr(request(f"http://{NAME}/{SECRET}", Authorization=SECRET))

    async def test_closing_breaks_off_what_is_under_way(self) -> None:
        here = asyncio.Event()

        async def handler(_: web.Request) -> web.Response:
            here.set()
            await asyncio.sleep(60)
            raise AssertionError

        async with receiver(handler) as port, sending(f"http://{NAME}:{port}") as sender:
            sent = request(f"http://{NAME}:{port}/")
            under_way = asyncio.create_task(sender.post(sent, kind="inbox"))
            await here.wait()
            await sender.close()
            async with asyncio.timeout(5):
                (answer,) = await under_way
        assert answer.code is None
        assert answer.may_have_arrived
