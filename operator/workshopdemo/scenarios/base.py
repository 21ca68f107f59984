"""The shape of a scenario: what runs, how it must end, which story it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

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


COMPLETE: Final = Expectation("Complete")

JOB_NAME_FIELD: Final = "metadata.labels['batch.kubernetes.io/job-name']"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One container: a program of ours, by module name under `workshopdemo.programs`."""

    name: str
    program: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Values may hold {entry}, {shards} and {deadline}."""

    field_env: Mapping[str, str] = field(default_factory=dict)
    """Variables that receive a field of the Pod, by its path (the downward API)."""


@dataclass(frozen=True, kw_only=True)
class ScriptStep:
    """One container: a script of ours in PostgreSQL's image (programs/postgres)."""

    name: str
    script: str
    argument: str


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Work with a lesson: a Job's, or each run's of a CronJob."""

    name: str
    steps: tuple[Step, ...]
    """All but the last run as init containers, one after the other."""

    image: str | None = None
    """Another image than the operator's own; None is the operator's."""

    memory_limit: str = "128Mi"
    backoff_limit: int = KUBERNETES_BACKOFF_LIMIT
    active_deadline_seconds: int | None = None
    completions: int = 1
    parallelism: int = 1
    indexed: bool = False
    pod_failure_policy: Mapping[str, Any] | None = None
    workspace: bool = False
    """Whether the steps share a directory."""

    data: bool = False
    """Whether the work uses the demo's volume."""

    database: bool = False
    """Whether the work uses the bookshop's database: the demo's, else a file on its volume."""

    database_steps: tuple[ScriptStep, ...] = ()
    """What runs instead of `steps` where the demo has a database of its own; all but the last as
    init containers."""


@dataclass(frozen=True, kw_only=True)
class JobScenario(Scenario):
    """A scenario of spec.jobs."""

    expected: Expectation
    story: str = "job"


class Judgement(Enum):
    """How the runs of a CronJob are judged; the value is how the expectation is told."""

    EACH_RUN = "Complete"
    """Every run must end so, or as a Custom entry says."""

    FAILURE_AND_RECOVERY = "Failed, then Complete"
    """A failure and then a success have been seen."""

    POLICY = "as concurrencyPolicy says"
    """What the concurrency policy does to a run that comes too early has been seen."""


@dataclass(frozen=True, kw_only=True)
class CronScenario(Scenario):
    """A scenario of spec.cronJobs."""

    judgement: Judgement = Judgement.EACH_RUN
    story: str = "cronjob"
