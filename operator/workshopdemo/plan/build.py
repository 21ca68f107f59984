"""The plan of a demo: every object it needs, and which old ones may stay."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from workshopdemo import names
from workshopdemo.model import JobStatus, WorkshopDemo
from workshopdemo.plan.job import build_job, job_name
from workshopdemo.plan.meta import Manifest
from workshopdemo.settings import Settings


@dataclass(frozen=True)
class Intent:
    """An object that must exist exactly so."""

    manifest: Manifest

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        """Its name; its namespace is the demo's."""
        return str(self.manifest["metadata"]["name"])

    @cached_property
    def digest(self) -> str:
        """Digest of what may change in place; a Job's Pod template may not, and is left out."""
        spec = {name: value for name, value in self.manifest["spec"].items() if name != "template"}
        return names.digest([self.manifest["metadata"], spec])


@dataclass(frozen=True)
class Plan:
    """All that a demo needs."""

    intents: tuple[Intent, ...]
    jobs: dict[str, str]
    """Name of the Job of each entry of spec.jobs."""

    history_limits: dict[str, int]
    """How many older Jobs of each entry may stay."""


def build(demo: WorkshopDemo, settings: Settings) -> Plan:
    """The plan of this demo.

    The status counts as memory in one place only: a Job that ended, was recorded and then went
    by its ttlSecondsAfterFinished is not run again.
    """
    told = {status.name: status for status in demo.status.jobs}
    intents = []
    for job in demo.spec.jobs:
        recorded = is_recorded(told.get(job.name), job_name(demo, job))
        intents.append(Intent(build_job(demo, job, settings, recorded=recorded)))
    return Plan(
        intents=tuple(intents),
        jobs={job.name: job_name(demo, job) for job in demo.spec.jobs},
        history_limits={job.name: job.history_limit for job in demo.spec.jobs},
    )


def is_recorded(status: JobStatus | None, name: str) -> bool:
    """Whether the end of the Job of that name stands on the status."""
    return status is not None and status.job == name and status.outcome in ("Complete", "Failed")


def went_by_ttl(intent: Intent) -> bool:
    """Whether a missing object is meant to be missing.

    Only an ended and recorded Job carries a time to live in its intent, so its absence is
    what the user asked for.
    """
    return "ttlSecondsAfterFinished" in intent.manifest["spec"]


def superfluous(plan: Plan, jobs: Iterable[tuple[str, str, str, bool]]) -> list[str]:
    """Names of Jobs to remove.

    Those are Jobs of entries that are gone, of earlier runs that have not ended (the new run
    takes their place), and of ended runs beyond the entry's historyLimit.

    Args:
        plan: what must exist.
        jobs: for each Job there is: entry, name, creation time, whether it ended.
    """
    doomed = []
    kept: dict[str, int] = {}
    for entry, name, _created, ended in sorted(jobs, key=lambda job: job[2], reverse=True):
        if plan.jobs.get(entry) == name:
            continue
        kept[entry] = kept.get(entry, 0) + 1
        if not ended or kept[entry] > plan.history_limits.get(entry, 0):
            doomed.append(name)
    return doomed
