"""The plan of a demo: every object it needs, and which old ones may stay."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from workshopdemo import names
from workshopdemo.errors import InvalidSpecError
from workshopdemo.model import CronJob, JobStatus, WorkshopDemo
from workshopdemo.names import StatefulSetNames
from workshopdemo.plan.cronjob import build_cron_job, build_manual_run, check, cron_job_name
from workshopdemo.plan.database import credentials, database_access
from workshopdemo.plan.discovery import NODE_AGENT, build_service_discovery, node_agent_name
from workshopdemo.plan.job import build_job, job_name
from workshopdemo.plan.logshipping import (
    AGGREGATOR,
    EMITTER,
    SHIPPER,
    LogShippingNames,
    build_log_shipping,
    log_shipping_names,
)
from workshopdemo.plan.meta import Manifest
from workshopdemo.plan.pod import needs_volume
from workshopdemo.plan.statefulset import (
    MEMBER_COMPONENTS,
    build_stateful_set,
    stateful_set_names,
)
from workshopdemo.plan.volume import build_claim
from workshopdemo.settings import Settings

IMMUTABLE: Final = frozenset(
    {
        "template",
        "completions",
        "completionMode",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
        "podFailurePolicy",
        "successPolicy",
    }
)
"""Fields of Job.spec that cannot change in place (batch/v1 validation, ValidateJobSpecUpdate)."""

IMMUTABLE_STATEFUL_SET: Final = frozenset(
    {"volumeClaimTemplates", "serviceName", "podManagementPolicy", "selector"}
)
"""Likewise of StatefulSet.spec, of those in plans (apps/v1, ValidateStatefulSetUpdate)."""

_IMMUTABLE: Final = {"Job": IMMUTABLE, "StatefulSet": IMMUTABLE_STATEFUL_SET}

_COMPONENTS: Final = frozenset({AGGREGATOR, EMITTER, NODE_AGENT, SHIPPER, *MEMBER_COMPONENTS})


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

    @property
    def content(self) -> Manifest:
        """What it says beside its metadata: its spec, a ConfigMap's data, a Role's rules."""
        identity = ("apiVersion", "kind", "metadata")
        return {field: part for field, part in self.manifest.items() if field not in identity}

    @property
    def immutable(self) -> frozenset[str]:
        """Fields of its spec that cannot change in place."""
        return _IMMUTABLE.get(self.kind, frozenset())

    @property
    def has_plain_name(self) -> bool:
        """Whether somebody else's object may have the same name."""
        return self.kind != "Job"

    @cached_property
    def digest(self) -> str:
        """Digest of what may change in place."""
        changing = self.content
        if self.immutable:
            spec = changing["spec"].items()
            changing |= {"spec": {name: one for name, one in spec if name not in self.immutable}}
        return names.digest([self.manifest["metadata"], changing])


@dataclass(frozen=True)
class Plan:
    """All that a demo needs."""

    intents: tuple[Intent, ...]
    """In the order to apply them."""

    jobs: dict[str, str]
    """Name of the Job of each entry of spec.jobs."""

    history_limits: dict[str, int]
    """How many older Jobs of each entry may stay."""

    cron_jobs: dict[str, str]
    """Name of the CronJob of each entry of spec.cronJobs."""

    manual_runs: dict[str, str] = field(default_factory=dict)
    """Name of the Job of each entry's runNow, where it is still to be carried out."""

    log_shipping: LogShippingNames | None = None
    """Names of what ships the logs, where they are shipped."""

    node_agent: str | None = None
    """Name of each object of spec.serviceDiscovery, where it is there."""

    stateful_set: StatefulSetNames | None = None
    """Names of spec.statefulSet's objects, where it is there."""

    credentials: Manifest | None = None
    """A Secret that must exist, whose passwords are made with it and never again."""

    mistakes: dict[str, InvalidSpecError] = field(default_factory=dict)
    """Entries of spec.cronJobs that cannot be carried out; what there is of them stays."""

    def intent(self, kind: str, name: str) -> Intent:
        """One of the intents.

        Raises:
            LookupError: there is none of that kind and name.
        """
        for intent in self.intents:
            if (intent.kind, intent.name) == (kind, name):
                return intent
        raise LookupError(f"the plan has no {kind} {name}")


def build(demo: WorkshopDemo, settings: Settings, cron_job_uids: Mapping[str, str]) -> Plan:
    """The plan of this demo.

    The status counts as memory in two places only: a Job that ended, was recorded and then went
    by its ttlSecondsAfterFinished is not run again, and neither is a runNow that was carried out.

    Args:
        demo: the demo.
        settings: the operator's.
        cron_job_uids: UIDs of the CronJobs that there are, by name.
    """
    mistakes: dict[str, InvalidSpecError] = {}
    manual_runs: dict[str, str] = {}
    intents: list[Manifest] = []
    entries = (*demo.spec.jobs, *demo.spec.cron_jobs)
    if any(needs_volume(demo, entry) for entry in entries):
        intents.append(build_claim(demo))
    told = {status.name: status for status in demo.status.jobs}
    for job in demo.spec.jobs:
        recorded = is_recorded(told.get(job.name), job_name(demo, job))
        intents.append(build_job(demo, job, settings, recorded=recorded))
    for index, entry in enumerate(demo.spec.cron_jobs):
        try:
            check(entry, f"spec.cronJobs[{index}]")
        except InvalidSpecError as error:
            mistakes[entry.name] = error
            continue
        intents.append(build_cron_job(demo, entry, settings))
        uid = cron_job_uids.get(cron_job_name(demo, entry))
        if uid is not None and _is_run_due(demo, entry):
            intents.append(build_manual_run(demo, entry, settings, uid))
            manual_runs[entry.name] = intents[-1]["metadata"]["name"]
    shipping = demo.spec.log_shipping
    if shipping is not None:
        intents += build_log_shipping(demo, shipping, settings)
    discovery = demo.spec.service_discovery
    if discovery is not None:
        intents += build_service_discovery(demo, discovery, settings)
    stateful_set = demo.spec.stateful_set
    if stateful_set is not None:
        intents += build_stateful_set(demo, stateful_set, settings)
    return Plan(
        stateful_set=stateful_set_names(demo, stateful_set) if stateful_set is not None else None,
        credentials=credentials(demo) if database_access(demo, settings) is not None else None,
        log_shipping=log_shipping_names(demo) if shipping is not None else None,
        node_agent=node_agent_name(demo) if discovery is not None else None,
        intents=tuple(map(Intent, intents)),
        jobs={job.name: job_name(demo, job) for job in demo.spec.jobs},
        history_limits={job.name: job.history_limit for job in demo.spec.jobs},
        cron_jobs={entry.name: cron_job_name(demo, entry) for entry in demo.spec.cron_jobs},
        manual_runs=manual_runs,
        mistakes=mistakes,
    )


def is_recorded(status: JobStatus | None, name: str) -> bool:
    """Whether the end of the Job of that name stands on the status."""
    return status is not None and status.job == name and status.outcome in ("Complete", "Failed")


def _is_run_due(demo: WorkshopDemo, entry: CronJob) -> bool:
    done = next((told.run_now for told in demo.status.cron_jobs if told.name == entry.name), 0)
    return entry.run_now > done


def went_by_ttl(intent: Intent) -> bool:
    """Whether a missing object is meant to be missing.

    Only an ended and recorded Job carries a time to live in its intent, so its absence is
    what the user asked for.
    """
    return "ttlSecondsAfterFinished" in intent.content.get("spec", {})


def is_of_this_version(labels: Mapping[str, str]) -> bool:
    """Whether this version may have made an object with these labels.

    One of a component that it does not know is a newer version's, from before a rollback: its
    section still stands in the demo, so it is not superfluous.
    """
    return labels.get(names.COMPONENT_LABEL) in (None, *_COMPONENTS)


def superfluous_jobs(plan: Plan, jobs: Iterable[tuple[str, str, str, bool]]) -> list[str]:
    """Names of Jobs to remove.

    Those are Jobs of entries that are gone, of earlier runs that have not ended (the new run
    takes their place), and of ended runs beyond the entry's historyLimit.

    Args:
        plan: what must exist.
        jobs: for each Job of spec.jobs there is: entry, name, creation time, whether it ended.
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


def superfluous(plan: Plan, kind: str, existing: Iterable[str]) -> list[str]:
    """Names of objects of a kind to remove: all that the plan does not name."""
    wanted = {intent.name for intent in plan.intents if intent.kind == kind}
    if kind == "CronJob":
        wanted |= set(plan.cron_jobs.values())
    return sorted(set(existing) - wanted)
