"""Pure: children → facts → conditions → status. No I/O; the clock is passed in."""

from workshopdemo.observe.attempts import LogWanted, logs_wanted
from workshopdemo.observe.jobs import JobFacts, needs_refusal
from workshopdemo.observe.status import Observation, invalid_status, observe
from workshopdemo.observe.times import format_time
from workshopdemo.observe.transitions import Transition, transitions

__all__ = [
    "JobFacts",
    "LogWanted",
    "Observation",
    "Transition",
    "format_time",
    "invalid_status",
    "logs_wanted",
    "needs_refusal",
    "observe",
    "transitions",
]
