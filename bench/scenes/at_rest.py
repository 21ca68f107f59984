"""What the operator costs while nothing happens."""

import time

from world import wait_for

import cost
from figures import Figure
from ground import Ground, apply, entry

TITLE = "10 demos with 5 ended Jobs each, a minute at rest"

_DEMOS = 10
_EACH = 5
_SETTLE = 5.0
_SECONDS = 60.0


def measure(ground: Ground) -> list[Figure]:
    """Let all come to rest, and look away for a minute."""
    demos = ground.scaled(_DEMOS)
    with ground.world() as world:
        before = cost.usage(world)
        for number in range(demos):
            apply(world, f"rest-{number:02}", [entry(f"job-{i}", "true") for i in range(_EACH)])

        def all_ready() -> bool:
            return all(
                world.status(f"rest-{number:02}")["phase"] == "Ready" for number in range(demos)
            )

        wait_for("all demos are ready", all_ready)
        time.sleep(_SETTLE)
        converged = {figure.name: figure for figure in cost.since(world, before)}
        writes = converged["API writes"].value / (demos * _EACH)
        at_rest = cost.usage(world)
        time.sleep(_SECONDS * min(ground.scale, 1.0))
        return [
            *cost.since(world, at_rest, writes_aim=0),
            Figure("before: API writes to converge, a Job", round(writes, 2)),
            Figure("before: CPU to converge", converged["CPU"].value, "s"),
        ]
