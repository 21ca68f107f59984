"""How soon many Jobs are told of that end in the same second, with Pods, logs and all.

How fast Pods end is the machine's business, and it has little time for the operator meanwhile: 200
Pods on two cores take minutes. Scene `ends_at_once` has the operator alone.
"""

import time
from typing import Any

from world import World

import cost
import post
from figures import Figure
from ground import Ground, apply, entry
from witness import watching

TITLE = "60 Jobs of 10 demos end in the same second, with real Pods; every second one fails"

_DEMOS = 10
_EACH = 6
_LEADS = (150.0, 450.0)
"""Seconds for all Pods to start; the longer if the machine turns out to be too slow."""

_SETTLE = 4.0
"""Seconds for repeats to show, and for the last statuses."""


class _TooSlowError(Exception):
    """Pods were not running in time."""


def measure(ground: Ground) -> list[Figure]:
    """Let all Pods wait for the same second of the clock."""
    for lead in _LEADS[:-1]:
        try:
            return _measure(ground, lead * max(ground.scale, 0.2))
        except _TooSlowError as error:
            print(f"  {error}: once more", flush=True)
    return _measure(ground, _LEADS[-1])


def _measure(ground: Ground, lead: float) -> list[Figure]:
    each = ground.scaled(_EACH)
    total = _DEMOS * each
    with ground.world() as world, watching(ground.api, world.namespace) as witness:
        start = cost.usage(world)
        moment = int(time.time() + lead)
        script = (
            f"sleep $(({moment} - $(date +%s)));"
            f" while [ $(date +%s) -lt {moment} ]; do sleep 0.2; done"
        )
        for number in range(_DEMOS):
            entries = [
                entry(f"job-{index:02}", script, fails=index % 2 == 1) for index in range(each)
            ]
            apply(world, f"many-{number:02}", entries)
        _await_pods(world, total, moment)
        ready = cost.usage(world)
        post.await_messages(world, total, every=1.0)
        time.sleep(_SETTLE)
        taken = cost.since(world, ready)
        told = post.figures(world, witness, total, median_aim=500, p99_aim=500)
        begun = {figure.name: figure for figure in cost.between(world, start, ready)}
        return [
            *told,
            *taken,
            Figure("before, until all Pods run: CPU", begun["CPU"].value, "s"),
            Figure("before, until all Pods run: API writes", begun["API writes"].value),
        ]


def _await_pods(world: World, total: int, moment: float) -> None:
    running = 0
    while running < total:
        time.sleep(3)  # each look costs the API server something, and the Pods need all there is
        answer: Any = world.core.list_namespaced_pod(world.namespace, _preload_content=False)
        running = answer.data.count(b'"phase":"Running"')
        left = moment - time.time()
        if left < 5:
            raise _TooSlowError(f"only {running} of {total} Pods ran in time")
    print(f"  {total} Pods run, {left:.0f} s before they end", flush=True)
    time.sleep(max(moment - 3 - time.time(), 0))
