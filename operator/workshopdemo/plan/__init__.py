"""Pure: spec → the objects that must exist. No I/O, no clock, plain dicts."""

from workshopdemo.plan.build import (
    Intent,
    Plan,
    build,
    superfluous,
    superfluous_jobs,
    went_by_ttl,
)
from workshopdemo.plan.drift import needs_apply, prepared, was_edited

__all__ = [
    "Intent",
    "Plan",
    "build",
    "needs_apply",
    "prepared",
    "superfluous",
    "superfluous_jobs",
    "was_edited",
    "went_by_ttl",
]
