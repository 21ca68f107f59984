"""Pure: spec → the objects that must exist. No I/O, no clock, plain dicts."""

from workshopdemo.plan.build import (
    Intent,
    Plan,
    build,
    superfluous,
    superfluous_jobs,
    went_by_ttl,
)
from workshopdemo.plan.discovery import AGENT_PORT, NODE_AGENT
from workshopdemo.plan.drift import needs_apply, prepared, was_edited
from workshopdemo.plan.logshipping import (
    AGGREGATOR,
    EMITTER,
    SHIPPER,
    LogShippingNames,
)

__all__ = [
    "AGENT_PORT",
    "AGGREGATOR",
    "EMITTER",
    "NODE_AGENT",
    "SHIPPER",
    "Intent",
    "LogShippingNames",
    "Plan",
    "build",
    "needs_apply",
    "prepared",
    "superfluous",
    "superfluous_jobs",
    "was_edited",
    "went_by_ttl",
]
