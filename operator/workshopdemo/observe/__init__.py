"""Pure: children → facts → conditions → status. No I/O; the clock is passed in."""

from workshopdemo.observe.attempts import LogWanted, logs_wanted, told_pods
from workshopdemo.observe.cronjobs import CronJobFacts, needs_events
from workshopdemo.observe.jobs import JobFacts, needs_refusal
from workshopdemo.observe.runs import run_key, told_run_pods
from workshopdemo.observe.status import Observation, invalid_status, observe, shorten_end, status_of
from workshopdemo.observe.times import format_time, parse_time
from workshopdemo.observe.transitions import Transition, transitions

__all__ = [
    "CronJobFacts",
    "JobFacts",
    "LogWanted",
    "Observation",
    "Transition",
    "format_time",
    "invalid_status",
    "logs_wanted",
    "needs_events",
    "needs_refusal",
    "observe",
    "parse_time",
    "run_key",
    "shorten_end",
    "status_of",
    "told_pods",
    "told_run_pods",
    "transitions",
]
