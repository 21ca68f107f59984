"""Pure: spec → the objects that must exist. No I/O, no clock, plain dicts."""

from workshopdemo.plan.build import (
    Intent,
    Plan,
    build,
    is_of_this_version,
    superfluous,
    superfluous_jobs,
    went_by_ttl,
)
from workshopdemo.plan.database import PASSWORDS
from workshopdemo.plan.discovery import AGENT_PORT, NODE_AGENT
from workshopdemo.plan.drift import needs_apply, prepared, unchangeable, was_edited
from workshopdemo.plan.logshipping import (
    AGGREGATOR,
    EMITTER,
    SHIPPER,
    LogShippingNames,
)
from workshopdemo.plan.statefulset import (
    MEMBER_COMPONENTS,
    left_over_claims,
)

__all__ = [
    "AGENT_PORT",
    "AGGREGATOR",
    "EMITTER",
    "MEMBER_COMPONENTS",
    "NODE_AGENT",
    "PASSWORDS",
    "SHIPPER",
    "Intent",
    "LogShippingNames",
    "Plan",
    "build",
    "is_of_this_version",
    "left_over_claims",
    "needs_apply",
    "prepared",
    "superfluous",
    "superfluous_jobs",
    "unchangeable",
    "was_edited",
    "went_by_ttl",
]
