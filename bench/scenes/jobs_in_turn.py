"""How soon one Job is told of that has the cluster to itself."""

import time

import cost
import post
from figures import Figure
from ground import Ground, apply, entry
from witness import watching

TITLE = "30 Jobs, one at a time; every second one fails"

_JOBS = 30
_PAUSE = 1.5
"""Seconds between two: the operator writes its last status, and all is quiet."""


def measure(ground: Ground) -> list[Figure]:
    """Run one after the other, each in a demo of its own."""
    jobs = ground.scaled(_JOBS)
    with ground.world() as world, watching(ground.api, world.namespace) as witness:
        before = cost.usage(world)
        for number in range(jobs):
            # The ends meet every phase of the operator's once-a-second status.
            script = f"sleep {1.5 + number / jobs:.2f}"
            apply(world, f"turn-{number:02}", [entry("job", script, fails=number % 2 == 1)])
            post.await_messages(world, number + 1, every=0.3)
            time.sleep(_PAUSE)
        taken = cost.since(world, before)
        return post.figures(world, witness, jobs, median_aim=30) + taken
