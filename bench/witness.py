"""An independent watch on Jobs: it only notes when bytes came, and reads them when all is over."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client import ApiClient, BatchV1Api
from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError


@dataclass
class Witness:
    """What the watch of one namespace has brought."""

    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    problem: str = ""

    def ends(self) -> dict[str, float]:
        """When each Job was first seen to have ended, by UID; by this machine's wall clock."""
        if self.problem:
            raise AssertionError(f"the watch broke: {self.problem}")
        found: dict[str, float] = {}
        for at, job in self._jobs():
            if _has_ended(job):
                found.setdefault(job["metadata"]["uid"], at)
        return found

    def _jobs(self) -> Iterator[tuple[float, dict[str, Any]]]:
        rest = b""
        for at, piece in self.pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield at, event["object"]


@contextmanager
def watching(api: ApiClient, namespace: str) -> Iterator[Witness]:
    """Watch the Jobs of a namespace, from now on, on a connection of its own."""
    witness = Witness()
    answer: Any = BatchV1Api(api).list_namespaced_job(
        namespace, watch=True, timeout_seconds=3600, _preload_content=False
    )
    done = threading.Event()
    thread = threading.Thread(target=_read, args=(answer, witness, done), daemon=True)
    thread.start()
    try:
        yield witness
    finally:
        done.set()
        with suppress(RuntimeError):  # it has ended by itself: `ends` says so
            answer.shutdown()
        thread.join(5)
        answer.release_conn()


def _read(answer: HTTPResponse, witness: Witness, done: threading.Event) -> None:
    try:
        # Chunks as the API server sends them: one an event.
        for piece in answer.stream(amt=1 << 16, decode_content=False):
            witness.pieces.append((time.time(), piece))
    except (HTTPError, OSError, ValueError) as error:
        problem = repr(error)
    else:
        problem = "it ended"
    if not done.is_set():
        witness.problem = problem


def _has_ended(job: dict[str, Any]) -> bool:
    return any(
        condition["status"] == "True" and condition["type"] in ("Complete", "Failed")
        for condition in (job.get("status") or {}).get("conditions") or ()
    )
