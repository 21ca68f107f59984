"""The agent that runs on each node, against an API server on loopback that misbehaves."""

import asyncio
import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import program_runs
from workshopdemo.programs import node_agent
from workshopdemo.programs.node_agent import Api, Directory, Place, Watcher
from workshopdemo.published import published_pods

PATIENCE = 20.0


def pod(name: str, ip: str | None = "10.0.0.1", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
    status: dict[str, Any] = {
        "phase": more.pop("phase", "Running"),
        "conditions": [{"type": "Ready", "status": str(more.pop("ready", True))}],
    }
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    return {"metadata": metadata | more, "status": status}


def event(kind: str, body: dict[str, Any], version: str) -> dict[str, Any]:
    body = json.loads(json.dumps(body))
    body["metadata"]["resourceVersion"] = version
    return {"type": kind, "object": body}


END = object()


class ApiServer:
    """Lists `pods`; a watch tells what is put into `events`, until `END`."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []
        self.version = "100"
        self.events: queue.Queue[Any] = queue.Queue()
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str | None] = []
        self.answers: list[int] = []
        """HTTP status of the next requests; 200 when none is left."""
        self.pages = 0
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api.serve(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.events.put(END)
        self.server.shutdown()
        self.server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        address = urlsplit(request.path)
        assert address.path == "/api/v1/namespaces/workshop/pods"
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        assert asked["fieldSelector"] == "spec.nodeName=worker"
        self.asked.append(asked)
        self.tokens.append(request.headers["Authorization"])
        status = self.answers.pop(0) if self.answers else 200
        if status != 200:
            self._send(request, status, {"kind": "Status", "code": status})
        elif asked.get("watch"):
            self._watch(request)
        else:
            self._send(request, 200, self._page(asked))

    def _page(self, asked: dict[str, str]) -> dict[str, Any]:
        first = int(asked.get("continue", "0"))
        size = self.pages or len(self.pods) or 1
        more = first + size < len(self.pods)
        metadata = {"resourceVersion": self.version}
        if more:
            metadata["continue"] = str(first + size)
        return {"metadata": metadata, "items": self.pods[first : first + size]}

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    def _watch(self, request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while (told := self.events.get()) is not END:
            data = told if isinstance(told, bytes) else json.dumps(told).encode() + b"\n"
            request.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            request.wfile.flush()
        request.wfile.write(b"0\r\n\r\n")


class Agent:
    """An agent's watcher, a step at a time."""

    def __init__(self, api: ApiServer, account: Path) -> None:
        self.place = Place("worker", "workshop", "127.0.0.1", api.port, account, is_plain=True)
        self.directory = Directory()
        self.pauses: list[float] = []
        self.watcher = Watcher(Api(self.place), self.directory, pause=self.pauses.append)

    @property
    def names(self) -> list[str]:
        return [str(one["name"]) for one in self.directory.pods()]


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("first\n")
    return tmp_path


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def agent(api: ApiServer, account: Path) -> Agent:
    return Agent(api, account)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (pod("web"), {"ips": ["10.0.0.1"], "ready": True, "labels": {}}),
        (pod("web", ready=False), {"ips": ["10.0.0.1"], "ready": False, "labels": {}}),
        (pod("web", labels={"a": "b"}), {"ips": ["10.0.0.1"], "ready": True, "labels": {"a": "b"}}),
        # With its init containers still at work it has an address already.
        (pod("web", phase="Pending", ready=False), {"ips": ["10.0.0.1"], "ready": False}),
        (pod("web", deletionTimestamp="2026-03-02T09:00:00Z"), {"ready": False}),
        (pod("web", None), None),
        (pod("web", phase="Succeeded"), None),
        (pod("web", phase="Failed"), None),
        ({"metadata": {"name": "web", "uid": "1"}}, None),
    ],
)
def test_a_pod_is_told_while_it_has_its_address(
    body: dict[str, Any], told: dict[str, Any] | None
) -> None:
    found = node_agent.published(body)
    if told is None:
        assert found is None
    else:
        assert found is not None
        assert told.items() <= found.items()
        assert found["name"] == "web"


def test_it_learns_of_pods_that_come_change_and_go(api: ApiServer, agent: Agent) -> None:
    api.pods = [pod("one"), pod("done", phase="Succeeded")]
    for told in (
        event("ADDED", pod("two", "10.0.0.2", ready=False), "101"),
        event("MODIFIED", pod("two", "10.0.0.2"), "102"),
        event("DELETED", pod("one"), "103"),
        event("BOOKMARK", {"metadata": {}}, "110"),
        END,
    ):
        api.events.put(told)
    agent.watcher.step()
    assert agent.names == ["two"]
    assert agent.directory.pods()[0]["ready"] is True
    api.events.put(END)
    agent.watcher.step()
    assert [asked.get("resourceVersion") for asked in api.asked] == [None, "100", "110"]
    assert all(asked.get("allowWatchBookmarks") for asked in api.asked[1:])


def test_a_full_node_is_listed_in_pages(api: ApiServer, agent: Agent) -> None:
    api.pods = [pod(f"pod-{number}") for number in range(7)]
    api.pages = 3
    api.events.put(END)
    agent.watcher.step()
    assert len(agent.names) == 7
    assert [asked.get("continue") for asked in api.asked[:3]] == [None, "3", "6"]
    assert all(int(asked["limit"]) <= 100 for asked in api.asked[:3])


@pytest.mark.parametrize("in_stream", [True, False])
def test_what_the_api_server_has_forgotten_is_listed_anew(
    api: ApiServer, agent: Agent, *, in_stream: bool
) -> None:
    api.pods = [pod("old")]
    api.events.put(END)
    agent.watcher.step()
    api.pods, api.version = [pod("new")], "900"
    if in_stream:
        api.events.put({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}})
        api.events.put(END)
    else:
        api.answers = [410]
    agent.watcher.step()
    assert agent.names == ["old"], "what was known is told until more is known"
    api.events.put(END)
    agent.watcher.step()
    assert agent.names == ["new"]
    assert api.asked[-1]["resourceVersion"] == "900"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_refusal_is_asked_again_with_growing_pauses(
    api: ApiServer, agent: Agent, status: int
) -> None:
    api.pods = [pod("one")]
    api.answers = [status] * 5
    for _ in range(5):
        agent.watcher.step()
    assert not agent.directory.is_known
    assert agent.pauses[0] <= 1
    assert 4 <= agent.pauses[-1] <= 8
    api.events.put(END)
    agent.watcher.step()
    assert agent.names == ["one"]


def test_the_token_is_read_for_each_request(api: ApiServer, agent: Agent, account: Path) -> None:
    api.events.put(END)
    agent.watcher.step()
    (account / "token").write_text("second")
    api.events.put(END)
    agent.watcher.step()
    assert api.tokens == ["Bearer first", "Bearer first", "Bearer second"]


def test_a_token_that_is_not_there_yet_is_no_end(
    api: ApiServer, agent: Agent, account: Path
) -> None:
    (account / "token").unlink()
    agent.watcher.step()
    (account / "token").write_text("late")
    api.events.put(END)
    agent.watcher.step()
    assert agent.directory.is_known


@pytest.mark.parametrize("garbage", [b"{\n", b"no json\n", b"[]\n", b'{"type": "ADDED"}\n', b"{"])
def test_garbage_in_a_watch_costs_no_knowledge(
    api: ApiServer, agent: Agent, garbage: bytes
) -> None:
    api.pods = [pod("one")]
    api.events.put(garbage)
    api.events.put(END)
    agent.watcher.step()
    assert agent.names == ["one"]
    api.events.put(event("ADDED", pod("two"), "101"))
    api.events.put(END)
    agent.watcher.step()
    assert agent.names == ["one", "two"]


def test_an_api_server_that_was_away_is_found_again(account: Path) -> None:
    first = ApiServer()
    first.pods = [pod("one")]
    agent = Agent(first, account)
    first.events.put(END)
    agent.watcher.step()
    first.close()
    agent.watcher.step()
    assert agent.names == ["one"]
    assert agent.pauses[-1] >= 0.5
    second = ApiServer()
    try:
        second.events.put(event("ADDED", pod("two"), "101"))
        second.events.put(END)
        place = Place("worker", "workshop", "127.0.0.1", second.port, account, is_plain=True)
        agent.watcher._api = Api(place)
        agent.watcher.step()
        assert agent.names == ["one", "two"]
        assert second.asked[0]["resourceVersion"] == "100", "no need to list again"
    finally:
        second.close()


def test_a_version_that_is_refused_for_long_is_given_up(api: ApiServer, agent: Agent) -> None:
    """Such as one of an etcd that was restored from a backup."""
    api.events.put(END)
    agent.watcher.step()
    api.answers = [504, 504, 504]
    for _ in range(3):
        agent.watcher.step()
    api.events.put(END)
    agent.watcher.step()
    assert "watch" not in api.asked[-2]


# What it answers.


class Served:
    """An agent that answers, in a thread of its own."""

    def __init__(self, directory: Directory, account: Path, seconds: float = 1.0) -> None:
        self.directory = directory
        place = Place("worker", "workshop", "127.0.0.1", 1, account, is_plain=True)
        self._desk = node_agent.Desk(place, directory, seconds=seconds)
        self._loop = asyncio.new_event_loop()
        ready: queue.Queue[int] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(ready,))
        self._thread.start()
        self.port = ready.get(timeout=PATIENCE)

    def _run(self, ready: "queue.Queue[int]") -> None:
        async def story() -> None:
            self._end = asyncio.Event()
            limit = node_agent._REQUEST_BYTES
            server = await asyncio.start_server(self._desk.serve, "127.0.0.1", 0, limit=limit)
            ready.put(server.sockets[0].getsockname()[1])
            await self._end.wait()
            server.close()
            await asyncio.sleep(0.1)

        with contextlib.closing(self._loop):
            self._loop.run_until_complete(story())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def ask(self, request: bytes) -> tuple[str, bytes]:
        """Status and body."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(65536):
                    answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return head.decode().partition("\r\n")[0].removeprefix("HTTP/1.1 "), body

    def get(self, path: str) -> tuple[str, bytes]:
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


@pytest.fixture
def served(account: Path) -> Iterator[Served]:
    one = Served(Directory(), account)
    yield one
    one.close()


def test_it_is_ready_when_it_knows_its_pods(served: Served) -> None:
    assert served.get("/livez")[0] == "200 OK"
    for path in ("/healthz", "/pods"):
        assert served.get(path)[0] == "503 Service Unavailable"
    served.directory.replace({})
    assert served.get("/healthz")[0] == "200 OK"
    assert json.loads(served.get("/pods")[1])["pods"] == []


def test_what_it_publishes_is_what_the_operator_reads(served: Served) -> None:
    body = pod("web", "10.0.0.9", labels={"app": "web"})
    served.directory.put(body, is_gone=False)
    served.directory.is_known = True
    status, answer = served.get("/pods?pretty=1")
    assert status == "200 OK"
    told = json.loads(answer)
    assert (told["node"], told["namespace"]) == ("worker", "workshop")
    (found,) = published_pods(answer)
    assert (found.addresses, found.is_ready, found.labels) == (("10.0.0.9",), True, {"app": "web"})


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"GET /pods/../etc HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST /pods HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        (b"\r\n\r\n", "405 Method Not Allowed"),
        (b"\xff\xfe /pods\r\n\r\n", "405 Method Not Allowed"),
        (b"GET /pods", ""),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", ""),
    ],
)
def test_other_questions_do_no_harm(served: Served, request_: bytes, status: str) -> None:
    served.directory.replace({})
    assert served.ask(request_)[0] == status
    assert served.get("/pods")[0] == "200 OK"


def test_who_is_slow_holds_up_nobody_and_is_sent_away(served: Served) -> None:
    served.directory.replace({})
    with contextlib.ExitStack() as crowd:
        for _ in range(node_agent._CONNECTIONS):
            visitor = socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE)
            crowd.enter_context(visitor).sendall(b"GET /pods HTTP/1.1\r\nX-Slow: ")
        assert _within(lambda: served.get("/pods")[0] == ""), "there is no place for one more"
        assert _within(lambda: served.get("/pods")[0] == "200 OK"), "the slow ones are gone"


def _within(look: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not look():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_watcher_that_fails_ends_the_program(account: Path) -> None:
    def fail() -> None:
        raise RuntimeError("a mistake of ours")

    place = Place("worker", "workshop", "127.0.0.1", 1, account, is_plain=True)
    run = node_agent.serve(place, Directory(), fail, port=0, host="127.0.0.1")
    assert asyncio.run(run) == 1


def test_outside_a_pod_it_says_what_is_missing() -> None:
    code, lines = program_runs.run("node_agent", NODE_NAME="worker", NAMESPACE="workshop")
    assert code == 2
    assert lines == ["KUBERNETES_SERVICE_HOST is not set: this runs in a Pod only."]
    code, lines = program_runs.run("node_agent", KUBERNETES_SERVICE_HOST="10.0.0.1")
    assert code == 2
    assert "NODE_NAME" in lines[0]
