"""An entry of spec.jobs → a batch/v1 Job."""

from typing import Any

from workshopdemo import names
from workshopdemo.model import Job, WorkshopDemo
from workshopdemo.plan.meta import Manifest, labels, owner
from workshopdemo.plan.pod import build_pod, uses_database
from workshopdemo.scenarios import JobScenario, scenario_of
from workshopdemo.settings import Settings


def job_name(demo: WorkshopDemo, job: Job) -> str:
    """Name of the Job of this entry and run.

    The hash covers the demo's UID (two demos, or a demo and its successor of the same name, never
    meet) and what Kubernetes forbids to change in place. The operator's own image is left out:
    an upgrade of the operator must not run anybody's Jobs again.
    """
    identity: list[object] = [
        demo.uid,
        job.name,
        job.scenario,
        job.run,
        job.completions,
        job.image,
        job.command,
        job.args,
        [[variable.name, variable.value] for variable in job.env],
        job.resources,
        job.completion_mode,
        job.backoff_limit_per_index,
        job.max_failed_indexes,
        job.pod_failure_policy,
        job.success_policy,
    ]
    if uses_database(demo, job):
        # Another database than the file on the volume: what was done there is to be done here.
        identity.append("Postgres")
    return names.job_name(demo.name, job.name, identity)


def build_job(demo: WorkshopDemo, job: Job, settings: Settings, *, recorded: bool) -> Manifest:
    """The whole intent. `recorded`: its outcome stands on the demo's status."""
    scenario = scenario_of(job)
    job_labels = labels(demo) | {
        "app.kubernetes.io/name": job.name,
        names.JOB_LABEL: job.name,
        names.RUN_LABEL: str(job.run),
    }
    completions = job.completions or scenario.completions
    values = {
        "entry": job.name,
        "shards": str(completions - 1),
        "deadline": str(job.active_deadline_seconds or scenario.active_deadline_seconds),
    }
    pod = build_pod(demo, job, settings, values)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(demo, job),
            "namespace": demo.namespace,
            "labels": job_labels,
            "ownerReferences": owner(demo),
        },
        "spec": _tuning(job, scenario, completions)
        | _time_to_live(job, recorded=recorded)
        | {"template": {"metadata": {"labels": job_labels}, "spec": pod}},
    }


def _tuning(job: Job, scenario: JobScenario, completions: int) -> dict[str, Any]:
    """Job.spec without its template: the user's tuning, else the scenario's, else Kubernetes'."""
    backoff_limit = scenario.backoff_limit if job.backoff_limit is None else job.backoff_limit
    mode = job.completion_mode or ("Indexed" if scenario.indexed else "NonIndexed")
    spec: dict[str, Any] = {
        "completions": completions,
        "parallelism": job.parallelism or scenario.parallelism,
        "completionMode": mode,
        "suspend": job.suspend,
    }
    if job.backoff_limit_per_index is None or job.backoff_limit is not None:
        spec["backoffLimit"] = backoff_limit
    optional = {
        "backoffLimitPerIndex": job.backoff_limit_per_index,
        "maxFailedIndexes": job.max_failed_indexes,
        "activeDeadlineSeconds": job.active_deadline_seconds or scenario.active_deadline_seconds,
        "podFailurePolicy": job.pod_failure_policy or scenario.pod_failure_policy,
        "podReplacementPolicy": job.pod_replacement_policy,
        "successPolicy": job.success_policy,
    }
    return spec | {name: value for name, value in optional.items() if value is not None}


def _time_to_live(job: Job, *, recorded: bool) -> dict[str, Any]:
    # The TTL controller removes a Job the moment its time is up, seen by anybody or not. So the
    # time to live is set only when the outcome is safe; it counts from the Job's end all the same.
    if job.ttl_seconds_after_finished is None or not recorded:
        return {}
    return {"ttlSecondsAfterFinished": job.ttl_seconds_after_finished}
