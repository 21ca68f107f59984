"""How soon many Jobs are told of that end in the same moment, whatever the machine can run.

No Pod runs: the Jobs are suspended, and end because the bench writes the status that the Job
controller would write. So 200 ends come within a second or two, where real Pods take as long as the
machine needs to end them, and no other process competes with what is measured. There are no logs
to be read; scene `jobs_at_once` has them.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from world import World, wait_for

import cost
import post
from figures import Figure
from ground import Ground, apply, entry
from witness import watching

TITLE = "200 Jobs of 10 demos end within moments, without Pods; every second one fails"

_DEMOS = 10
_EACH = 20
_WRITERS = 8
_SETTLE = 4.0
"""Seconds for repeats to show, and for the last statuses."""

_MERGE = {"Content-Type": "application/merge-patch+json"}


def measure(ground: Ground) -> list[Figure]:
    """Write all ends as fast as the API server takes them."""
    each = ground.scaled(_EACH)
    total = _DEMOS * each
    with ground.world() as world, watching(ground.api, world.namespace) as witness:
        for number in range(_DEMOS):
            jobs = [entry(f"job-{i:02}", "true", fails=i % 2 == 1) for i in range(each)]
            apply(world, f"ends-{number:02}", [job | {"suspend": True} for job in jobs])

        def all_held() -> list[dict[str, Any]] | None:
            found = world.jobs()
            held = [job for job in found if (job.get("status") or {}).get("conditions")]
            return held if len(held) == total else None

        held = wait_for("all Jobs are held back", all_held)
        time.sleep(_SETTLE)
        before = cost.usage(world)
        _end(world, held)
        post.await_messages(world, total, every=1.0)
        time.sleep(_SETTLE)
        taken = cost.since(world, before)
        return [*post.figures(world, witness, total, median_aim=500, p99_aim=500), *taken]


def _end(world: World, jobs: list[dict[str, Any]]) -> None:
    client = world.api.rest_client.pool_manager
    host = world.api.configuration.host
    requests = [
        (
            f"{host}/apis/batch/v1/namespaces/{world.namespace}/jobs/{job['metadata']['name']}/status",
            json.dumps({"status": _ended(fails=job["spec"]["backoffLimit"] == 0)}).encode(),
        )
        for job in jobs
    ]

    def write(request: tuple[str, bytes]) -> None:
        answer = client.request("PATCH", request[0], body=request[1], headers=_MERGE)
        assert answer.status == 200, answer.data

    # Whoever writes must not keep the watch from noting when it hears of it.
    usual = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        with ThreadPoolExecutor(_WRITERS) as writers:
            list(writers.map(write, requests))
    finally:
        sys.setswitchinterval(usual)


def _ended(*, fails: bool) -> dict[str, Any]:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    kinds = ("FailureTarget", "Failed") if fails else ("SuccessCriteriaMet", "Complete")
    reason = "BackoffLimitExceeded" if fails else "CompletionsReached"
    message = "Job has reached the specified backoff limit" if fails else "Reached expected number"
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": now,
            "lastProbeTime": now,
        }
        for kind in kinds
    ]
    counts = {"failed": 1} if fails else {"succeeded": 1, "completionTime": now}
    return {"startTime": now, "conditions": conditions, **counts}
