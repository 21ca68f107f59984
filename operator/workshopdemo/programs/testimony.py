"""What a member of a StatefulSet says of itself, and how it is asked: GET /testimony, port PORT.

Each start of a member is an entry on its volume. The checksum of an entry includes that of the one
before, so that the newest one vouches for all: an entry that is changed or missing is noticed, and
whoever remembers an old checksum can tell whether this is still the same data.
"""

import hashlib
import json
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from workshopdemo.programs import env
from workshopdemo.programs.table import aligned

PORT: Final = 8083
TOLD: Final = 20
"""So many entries are told, the newest."""

_ANSWER_SECONDS: Final = 5.0
_REQUEST_BYTES: Final = 8 * 1024
_CONNECTIONS: Final = 16
"""At the same time; who comes then is sent away."""

_SHORT: Final = 12
_ENDED: Final = b"\r\n\r\n"


@dataclass(frozen=True)
class Place:
    """Where a member runs this time, by its environment."""

    member: str
    node: str
    pod: str
    """UID of the Pod: the name stays when the Pod is replaced, this does not."""

    @classmethod
    def read(cls) -> "Place":
        """As the kubelet tells it.

        Raises:
            SettingError: A variable is missing or means nothing.
        """
        return cls(
            member=env.plain_name("MEMBER", default=""),
            node=env.plain_name("NODE_NAME", default=""),
            pod=env.plain_name("POD_UID", default=""),
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One start of a member."""

    number: int
    """From 1, of this member."""

    member: str
    pod: str
    node: str
    time: str
    mark: str = ""
    """What else its checksum vouches for."""

    checksum: str = ""

    def sealed(self, previous: str) -> "Entry":
        """With the checksum that makes it the successor of the one with that checksum."""
        content = (previous, self.number, self.member, self.pod, self.node, self.time, self.mark)
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        checksum = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
        return replace(self, checksum=checksum)


def first_broken(entries: Sequence[Entry], member: str) -> Entry | None:
    """The first that was not written like this, after all those before it, by that member."""
    previous = ""
    for number, entry in enumerate(entries, 1):
        if (entry.number, entry.member) != (number, member) or entry.sealed(previous) != entry:
            return entry
        previous = entry.checksum
    return None


def utc_second(moment: datetime) -> str:
    """A time in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


Scenario = Literal["Postgres", "Diary"]


@dataclass(frozen=True, kw_only=True)
class Testimony:
    """All that a member tells."""

    __test__ = False  # pytest takes the name for one of its own

    place: Place
    scenario: Scenario
    identifier: str
    """Of the data, from its first day on."""

    entries: Sequence[Entry]
    """All of this member."""

    is_intact: bool
    rows: int
    more: tuple[tuple[str, Any], ...] = ()
    """What only one scenario tells."""

    remarks: tuple[str, ...] = ()
    """For people."""

    def as_json(self) -> dict[str, Any]:
        """For programs; the newest entries only, the oldest of them first."""
        return {
            "member": self.place.member,
            "scenario": self.scenario,
            "node": self.place.node,
            "pod": self.place.pod,
            "identifier": self.identifier,
            "starts": len(self.entries),
            "first": self.entries[0].time if self.entries else None,
            "intact": self.is_intact,
            "entries": [
                {
                    "number": entry.number,
                    "time": entry.time,
                    "node": entry.node,
                    "pod": entry.pod,
                    "checksum": entry.checksum,
                }
                for entry in self.entries[-TOLD:]
            ],
            "rows": self.rows,
            **dict(self.more),
        }

    def as_text(self) -> str:
        """For people."""
        return "\n".join((*self._introduction(), "", *self._table(), ""))

    def _introduction(self) -> Iterator[str]:
        place, count = self.place, len(self.entries)
        yield f"I am {place.member}. Today I run on node {place.node}, in Pod {place.pod}."
        if self.entries:
            times = "once" if count == 1 else f"{count} times"
            nodes, pods = ({getattr(entry, of) for entry in self.entries} for of in ("node", "pod"))
            yield (
                f"I have been here since {self.entries[0].time}, and was started {times}: "
                f"in {len(pods)} Pod(s), on {len(nodes)} node(s)."
            )
        yield f"My data has the identifier {self.identifier or '(none)'}."
        if self.is_intact:
            yield "All that I ever wrote is there: each entry's checksum includes the one before."
        else:
            yield "MY DATA IS DAMAGED: the checksums do not hold from the first entry to the last."
        yield from self.remarks

    def _table(self) -> Iterator[str]:
        newest = self.entries[-TOLD:]
        if not newest:
            return
        yield f"My last {len(newest)} start(s):" if len(newest) > 1 else "My only start:"
        yield from aligned(
            ("start", "time", "node", "pod", "checksum"),
            [
                # As text: a number of a start is none to be counted with.
                (str(entry.number), entry.time, entry.node, entry.pod, entry.checksum[:_SHORT])
                for entry in newest
            ],
        )


@dataclass(frozen=True)
class Waiting:
    """Nothing is known yet; the text says what is waited for."""

    reason: str


Known = Testimony | Waiting


class Desk(socketserver.ThreadingTCPServer):
    """Answers questions, each in a thread and within seconds.

    Not http.server: what that imports takes more memory than all the rest of a diary.
    """

    allow_reuse_address = True
    daemon_threads = True
    # The threads have nothing to finish.
    block_on_close = False

    def __init__(self, known: Callable[[], Known], *, host: str = "", port: int = PORT) -> None:
        """Listen; `known` is asked at each question."""
        self.known = known
        super().__init__((host, port), _Question)

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002
        """Take a question, unless there are too many: each has a thread."""
        return threading.active_count() < _CONNECTIONS

    def handle_error(self, request: object, client_address: object) -> None:
        """Who goes away in the middle is no news."""


class _Question(socketserver.BaseRequestHandler):
    server: Desk
    request: socket.socket

    def handle(self) -> None:
        request = self._read(time.monotonic() + _ANSWER_SECONDS)
        if request:
            self.request.settimeout(_ANSWER_SECONDS)
            self.request.sendall(answer(request, self.server.known))

    def _read(self, deadline: float) -> bytes:
        """Its head; nothing if it is not here in time, or too long."""
        request = b""
        while _ENDED not in request and len(request) < _REQUEST_BYTES:
            left = deadline - time.monotonic()
            if left <= 0:
                return b""
            self.request.settimeout(left)
            part = self.request.recv(_REQUEST_BYTES)
            if not part:
                return b""
            request += part
        return request if _ENDED in request else b""


def answer(request: bytes, known: Callable[[], Known]) -> bytes:
    """The whole answer to an HTTP request."""
    method, _, rest = request.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if method not in (b"GET", b"HEAD"):
        return _message("405 Method Not Allowed", "Only GET is answered here.\n")
    if path not in (b"/", b"/testimony"):
        return _message("404 Not Found", "There are / for people, and /testimony for programs.\n")
    told = known()
    if isinstance(told, Testimony):
        status = "200 OK"
        body: str | dict[str, Any] = told.as_text() if path == b"/" else told.as_json()
    else:
        status = "503 Service Unavailable"
        body = f"{told.reason}\n" if path == b"/" else {"waiting": told.reason}
    message = _message(status, body)
    return message if method == b"GET" else message.partition(_ENDED)[0] + _ENDED


def _message(status: str, body: str | dict[str, Any]) -> bytes:
    kind = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False) + "\n"
    content = text.encode(errors="replace")
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + content


@contextmanager
def serving(known: Callable[[], Known], *, host: str = "", port: int = PORT) -> Iterator[Desk]:
    """Answer in a thread, until the end of the block."""
    with Desk(known, host=host, port=port) as desk:
        threading.Thread(target=desk.serve_forever, daemon=True).start()
        try:
            yield desk
        finally:
            desk.shutdown()
