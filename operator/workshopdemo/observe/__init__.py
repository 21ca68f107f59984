"""Pure: children → facts → conditions → status. No I/O; the clock is passed in."""

from workshopdemo.observe.attempts import LogWanted, logs_wanted, told_pods
from workshopdemo.observe.conditions import SPEC_VALID
from workshopdemo.observe.coverage import bare_nodes, is_ready
from workshopdemo.observe.cronjobs import CronJobFacts, needs_events
from workshopdemo.observe.discovery import DiscoveryFacts
from workshopdemo.observe.endpoints import (
    AgentPod,
    AskedService,
    Discovery,
    Silence,
    agent_pods,
    asked_services,
    compare,
)
from workshopdemo.observe.hearing import Hearing, MemberPod, member_pods
from workshopdemo.observe.jobs import JobFacts, needs_refusal
from workshopdemo.observe.logshipping import (
    Absence,
    LogShippingFacts,
    absences,
    emitter_pods,
    is_settled,
    makes_no_pod,
    told_rows,
)
from workshopdemo.observe.runs import run_key, told_run_pods
from workshopdemo.observe.statefulset import StatefulSetFacts, lacks_pod
from workshopdemo.observe.status import Observation, invalid_status, observe, status_of
from workshopdemo.observe.survey import (
    EmitterPod,
    LastLine,
    Survey,
    Tally,
    newest_line,
    overdue,
    tallies,
)
from workshopdemo.observe.text import shorten_end
from workshopdemo.observe.times import format_time, parse_time
from workshopdemo.observe.transitions import Transition, claims_kept, transitions

__all__ = [
    "SPEC_VALID",
    "Absence",
    "AgentPod",
    "AskedService",
    "CronJobFacts",
    "Discovery",
    "DiscoveryFacts",
    "EmitterPod",
    "Hearing",
    "JobFacts",
    "LastLine",
    "LogShippingFacts",
    "LogWanted",
    "MemberPod",
    "Observation",
    "Silence",
    "StatefulSetFacts",
    "Survey",
    "Tally",
    "Transition",
    "absences",
    "agent_pods",
    "asked_services",
    "bare_nodes",
    "claims_kept",
    "compare",
    "emitter_pods",
    "format_time",
    "invalid_status",
    "is_ready",
    "is_settled",
    "lacks_pod",
    "logs_wanted",
    "makes_no_pod",
    "member_pods",
    "needs_events",
    "needs_refusal",
    "newest_line",
    "observe",
    "overdue",
    "parse_time",
    "run_key",
    "shorten_end",
    "status_of",
    "tallies",
    "told_pods",
    "told_rows",
    "told_run_pods",
    "transitions",
]
