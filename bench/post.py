"""The inbox, asked by the API server's proxy: what arrived for one namespace, and when."""

import json
import statistics
import time
from collections import Counter
from datetime import datetime
from typing import Any

from world import SYSTEM, World

from figures import Figure, percentile
from witness import Witness

TARGET: dict[str, Any] = {"name": "inbox", "inbox": {"dialect": "Webhook"}}
"""A receiver without a rate limit."""

_INBOX = f"/api/v1/namespaces/{SYSTEM}/services/workshop-demo-inbox:80/proxy"
_LATE = 60.0
"""Seconds without a message after which the rest is lost."""


def await_messages(world: World, count: int, every: float) -> None:
    """Wait for so many messages, or until nothing has come for so long that the rest is lost."""
    stored, last = 0, time.monotonic()
    while stored < count and time.monotonic() - last < _LATE:
        time.sleep(every)
        before, stored = stored, int(_ask(world, "GET", "/counts")["stored"])
        last = last if stored == before else time.monotonic()


def figures(
    world: World, witness: Witness, jobs: int, *, median_aim: float, p99_aim: float | None = None
) -> list[Figure]:
    """How late the messages came, and whether each came once."""
    ends = witness.ends()
    messages = _ask(world, "GET", "/messages")["messages"]
    arrived: dict[str, float] = {}
    for message in messages:  # the oldest first
        arrived.setdefault(_job(message), datetime.fromisoformat(message["received"]).timestamp())
    late = [(arrived[uid] - end) * 1000 for uid, end in ends.items() if uid in arrived]
    copies = Counter(map(_job, messages))
    repeated = len(messages) - len(copies) + sum(message["repeats"] for message in messages)
    found = [
        Figure("lost", jobs - len(late), aim=0, is_promise=True),
        Figure("repeated", repeated, aim=0, is_promise=True),
    ]
    if not late:
        return found
    first = min(ends.values())
    return [
        Figure("condition → inbox, median", round(statistics.median(late), 1), "ms", median_aim),
        Figure("condition → inbox, p99", round(percentile(late, 99), 1), "ms", p99_aim),
        Figure("condition → inbox, slowest", round(max(late), 1), "ms"),
        *found,
        Figure("Jobs ended within", round(max(ends.values()) - first, 2), "s"),
        Figure("all messages within", round(max(arrived.values()) - first, 2), "s"),
    ]


def forget(world: World) -> None:
    """Leave the inbox as it was."""
    _ask(world, "DELETE", "/messages")


def _ask(world: World, method: str, path: str) -> dict[str, Any]:
    client = world.api.rest_client.pool_manager
    url = f"{world.api.configuration.host}{_INBOX}{path}?namespace={world.namespace}"
    answer = client.request(method, url)
    assert answer.status == 200, f"{path}: HTTP {answer.status}"
    return dict(json.loads(answer.data))


def _job(message: dict[str, Any]) -> str:
    return str(message["body"]["data"]["jobUid"])
