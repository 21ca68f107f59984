"""The shape of a scenario: what runs, how it must end, which story it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from workshopdemo.model import Outcome

KUBERNETES_BACKOFF_LIMIT: Final = 6
"""Job.spec.backoffLimit where nobody sets it (batch/v1 API reference)."""


@dataclass(frozen=True)
class Expectation:
    """The end a lesson is about. A Job that must fail is a success of the lesson."""

    outcome: Outcome
    reason: str | None = None

    def __str__(self) -> str:
        return f"{self.outcome} ({self.reason})" if self.reason else self.outcome


@dataclass(frozen=True, kw_only=True)
class Step:
    """One container: a program of ours, by module name under `workshopdemo.programs`."""

    name: str
    program: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    failures_env: str | None = None
    """Variable that receives how often this completion index has failed so far."""


@dataclass(frozen=True, kw_only=True)
class JobScenario:
    """A Job with a lesson."""

    name: str
    expected: Expectation
    steps: tuple[Step, ...]
    """All but the last run as init containers, one after the other."""

    backoff_limit: int = KUBERNETES_BACKOFF_LIMIT
    workspace: bool = False
    """Whether the steps share a directory."""

    counts_failures: bool = False
    """Run as an Indexed Job with backoffLimitPerIndex, so that each Pod is told by an annotation
    how often its index has failed (KEP-3850, `batch.kubernetes.io/job-index-failure-count`)."""

    story: str = "job"
