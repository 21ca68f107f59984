"""An agent for service discovery, as one runs on each node: it knows the Pods of its node.

Who asks it (GET /pods, port PORT) gets name, addresses, readiness and labels of each Pod of
NAMESPACE on NODE_NAME that has an address and has not ended. /healthz says whether it knows them,
/livez whether it answers.

Only the API server knows the addresses, and it is asked with the Pod's own token. While it does not
answer, what was known last is told: an old address is better than none.
"""

import asyncio
import http.client
import json
import random
import signal
import socket
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from workshopdemo.programs import env

PORT: Final = 8082
ACCOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where the kubelet puts the token, new about every hour, and the API server's CA."""

_CHUNK: Final = 50
"""Pods a page of a list: each is some kilobytes, and a full node has a hundred."""

_LIST_SECONDS: Final = 30.0
_WATCH_SECONDS: Final = 240
_GRACE_SECONDS: Final = 20.0
"""So much later than it should the end of a watch may come."""

_LINE_BYTES: Final = 8 * 1024 * 1024
"""An object in etcd has at most 1.5 MiB, and grows when it is written as JSON."""

_PAUSES: Final = (1.0, 2.0, 4.0, 8.0)
_LIST_AGAIN: Final = 3
"""After so many failures in a row all is listed anew."""

_GONE: Final = 410

_ANSWER_SECONDS: Final = 5.0
_REQUEST_BYTES: Final = 8 * 1024
_CONNECTIONS: Final = 64
"""At the same time; who comes then is sent away."""

Pod = dict[str, Any]
"""What is published of a Pod."""


class ApiError(Exception):
    """The API server did not answer as it should; the text says how."""


_TROUBLES: Final = (
    ApiError,
    OSError,
    http.client.HTTPException,
    # What is no JSON, or none of the API's.
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)
"""After each of these the API server is asked again."""


class GoneError(ApiError):
    """The API server has forgotten what came after that version: all has to be listed anew."""


@dataclass(frozen=True)
class Place:
    """Which Pods are asked for, and where."""

    node: str
    namespace: str
    host: str
    port: int
    account: Path = Path(ACCOUNT)
    is_plain: bool = False
    """Without TLS, in tests."""


class Directory:
    """The Pods that are known, by UID; written by one thread and read by another."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._pods: dict[str, Pod] = {}
        self._lock = threading.Lock()
        self.is_known = False

    def replace(self, pods: dict[str, Pod]) -> None:
        """These are all, by UID."""
        with self._lock:
            self._pods = pods
            self.is_known = True

    def put(self, body: dict[str, Any], *, is_gone: bool) -> None:
        """This one is new, has changed, or is gone."""
        uid, pod = body["metadata"]["uid"], None if is_gone else published(body)
        with self._lock:
            if pod is None:
                self._pods.pop(uid, None)
            else:
                self._pods[uid] = pod

    def pods(self) -> list[Pod]:
        """All that are known, by name."""
        with self._lock:
            return sorted(self._pods.values(), key=lambda pod: str(pod["name"]))


def published(body: dict[str, Any]) -> Pod | None:
    """What is told of a Pod; None if it has no address, or has ended and gives it back."""
    metadata, status = body["metadata"], body.get("status") or {}
    addresses = [one["ip"] for one in status.get("podIPs") or () if one.get("ip")]
    if not addresses or status.get("phase") in ("Succeeded", "Failed"):
        return None
    conditions = status.get("conditions") or ()
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return {
        "name": metadata["name"],
        "ips": addresses,
        # A Pod that is being removed is sent nothing new, though it may still answer.
        "ready": ready and "deletionTimestamp" not in metadata,
        "labels": metadata.get("labels") or {},
    }


class Api:
    """Requests to the API server, each on a connection of its own."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def list(self, directory: Directory) -> str:
        """Learn of all Pods; gives the version from which to watch."""
        found: dict[str, Pod] = {}
        more = ""
        while True:
            page = self._page(more)
            for body in page.get("items") or ():
                pod = published(body)
                if pod is not None:
                    found[body["metadata"]["uid"]] = pod
            more = page["metadata"].get("continue") or ""
            if not more:
                directory.replace(found)
                return str(page["metadata"]["resourceVersion"])

    def _page(self, more: str) -> dict[str, Any]:
        asked = {"limit": str(_CHUNK)} | ({"continue": more} if more else {})
        with closing(self._connected(_LIST_SECONDS)) as connection:
            return dict(json.load(self._asked(connection, asked)))

    def watch(self, version: str, directory: Directory) -> Iterator[str]:
        """Learn of each change until the API server ends the watch; gives each version."""
        asked = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        with closing(self._connected(_WATCH_SECONDS + _GRACE_SECONDS)) as connection:
            response = self._asked(connection, asked)
            while line := response.readline(_LINE_BYTES):
                if not line.endswith(b"\n"):
                    raise ApiError("a watch broke off in the middle of a line")
                yield self._learn(json.loads(line), directory)

    @staticmethod
    def _learn(event: dict[str, Any], directory: Directory) -> str:
        kind, body = event["type"], event["object"]
        if kind == "ERROR":
            code = body.get("code")
            words = f"the watch was ended: {code} {body.get('reason')}"
            raise GoneError(words) if code == _GONE else ApiError(words)
        if kind != "BOOKMARK":
            directory.put(body, is_gone=kind == "DELETED")
        return str(body["metadata"]["resourceVersion"])

    def _connected(self, seconds: float) -> http.client.HTTPConnection:
        place = self._place
        if place.is_plain:
            connection = http.client.HTTPConnection(place.host, place.port, timeout=seconds)
        else:
            # Read each time: the kubelet replaces the CA too.
            trusted = ssl.create_default_context(cafile=str(place.account / "ca.crt"))
            connection = http.client.HTTPSConnection(
                place.host, place.port, timeout=seconds, context=trusted
            )
        connection.connect()
        _keep_alive(connection.sock)
        return connection

    def _asked(
        self, connection: http.client.HTTPConnection, asked: dict[str, str]
    ) -> http.client.HTTPResponse:
        selected = {"fieldSelector": f"spec.nodeName={self._place.node}"}
        path = f"/api/v1/namespaces/{self._place.namespace}/pods?{urlencode(selected | asked)}"
        token = (self._place.account / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        if response.status == _GONE:
            raise GoneError("the API server answers 410 Gone")
        if response.status != http.client.OK:
            raise ApiError(f"the API server answers {response.status} {response.reason}")
        return response


def _keep_alive(connected: socket.socket) -> None:
    """Notice within half a minute that the other side is gone: a watch may have nothing to tell."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
    for name, value in options.items():
        if hasattr(socket, name):  # not every system calls them so
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Watcher:
    """Keeps a directory true, whatever the API server does meanwhile."""

    def __init__(self, api: Api, directory: Directory, *, pause: Callable[[float], None]) -> None:
        """Ask nothing yet.

        Args:
            api: the API server.
            directory: to be kept true.
            pause: waits so many seconds before another try.
        """
        self._api = api
        self._directory = directory
        self._pause = pause
        self._version: str | None = None
        self._failures = 0
        self._said = ""

    def run(self) -> None:
        """Watch for ever."""
        while True:
            self.step()

    def step(self) -> None:
        """List if that is needed, and watch until that ends."""
        try:
            if self._version is None:
                self._version = self._api.list(self._directory)
                self._say(f"Pods here: {len(self._directory.pods())}")
            for version in self._api.watch(self._version, self._directory):
                self._version = version
                self._failures = 0
            # It is the API server's way to end a watch now and then; many at once would be none.
            self._pause(0.1)
        except GoneError as error:
            self._version = None
            self._recover(error)
        except _TROUBLES as error:
            self._recover(error)

    def _recover(self, error: Exception) -> None:
        self._say(f"{type(error).__name__}: {error}; asking again")
        longest = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        self._failures += 1
        if self._failures >= _LIST_AGAIN:
            # Whatever is wrong with that version, such as an etcd that was restored from a backup.
            self._version = None
        # Jitter: the agents of all nodes lose the API server in the same moment.
        self._pause(longest * random.uniform(0.5, 1.0))  # noqa: S311 - for jitter

    def _say(self, what: str) -> None:
        if what != self._said:
            self._said = what
            print(what, flush=True)


class Desk:
    """Answers questions: so many at a time, each within seconds and on a connection of its own."""

    def __init__(self, place: Place, directory: Directory, *, seconds: float) -> None:
        """Of that directory; `seconds` is how long a question and its answer may take."""
        self._place = place
        self._directory = directory
        self._seconds = seconds
        self._present = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question."""
        self._present += 1
        try:
            if self._present <= _CONNECTIONS:
                async with asyncio.timeout(self._seconds):
                    request = await reader.readuntil(b"\r\n\r\n")
                    writer.write(_message(*self._answer(request)))
                    await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()  # who cannot ask in time or in measure gets no answer
        finally:
            self._present -= 1
            writer.close()

    def _answer(self, request: bytes) -> tuple[str, dict[str, Any]]:
        method, _, rest = request.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if method != b"GET":
            return "405 Method Not Allowed", {"error": "only GET is answered here"}
        if path == b"/pods":
            return self._pods()
        if path == b"/livez" or (path == b"/healthz" and self._directory.is_known):
            return "200 OK", {"ok": True}
        if path == b"/healthz":
            return "503 Service Unavailable", {"error": "the Pods are not known yet"}
        return "404 Not Found", {"error": "there are /pods, /healthz and /livez"}

    def _pods(self) -> tuple[str, dict[str, Any]]:
        if not self._directory.is_known:
            return "503 Service Unavailable", {"error": "the Pods are not known yet"}
        return "200 OK", {
            "node": self._place.node,
            "namespace": self._place.namespace,
            "pods": self._directory.pods(),
        }


def _message(status: str, answer: dict[str, Any]) -> bytes:
    body = json.dumps(answer, indent=1, ensure_ascii=False).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def serve(
    place: Place,
    directory: Directory,
    watch: Callable[[], None],
    *,
    port: int = PORT,
    host: str | None = None,
) -> int:
    """Answer until SIGTERM, while another thread watches; gives the exit code.

    Args:
        place: where this agent is.
        directory: what it answers by.
        watch: keeps the directory true, in a thread of its own, and never ends.
        port: to listen at.
        host: to listen at; None is everywhere.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    def run() -> None:
        try:
            watch()
        except BaseException:  # noqa: BLE001 - an agent that no longer learns must not go on
            traceback.print_exc()
            loop.call_soon_threadsafe(end, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, 0)
    desk = Desk(place, directory, seconds=_ANSWER_SECONDS)
    server = await asyncio.start_server(desk.serve, host, port, limit=_REQUEST_BYTES)
    threading.Thread(target=run, daemon=True).start()
    try:
        return await ended
    finally:
        server.close()


def read_place() -> Place:
    """Where this agent is, by its environment.

    Raises:
        SettingError: a variable is missing or means nothing.
    """
    host = env.text("KUBERNETES_SERVICE_HOST")
    if not host:
        raise env.SettingError("KUBERNETES_SERVICE_HOST is not set: this runs in a Pod only.")
    return Place(
        node=env.plain_name("NODE_NAME", default=""),
        namespace=env.plain_name("NAMESPACE", default=""),
        host=host,
        port=env.whole_number("KUBERNETES_SERVICE_PORT", default=443, at_least=1),
    )


def main() -> int:
    """Serve until SIGTERM, which is no failure."""
    try:
        place = read_place()
    except env.SettingError as error:
        print(error, flush=True)
        return 2
    directory = Directory()
    watcher = Watcher(Api(place), directory, pause=time.sleep)
    print(f"Agent of node {place.node}: Pods of namespace {place.namespace}", flush=True)
    return asyncio.run(serve(place, directory, watcher.run))


if __name__ == "__main__":
    sys.exit(main())
