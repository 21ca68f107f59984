"""An entry of spec.jobs → a batch/v1 Job."""

from typing import Any, Final

from workshopdemo import names
from workshopdemo.model import Job, WorkshopDemo
from workshopdemo.plan.meta import Manifest, container_security, labels, owner, pod_security
from workshopdemo.scenarios import CUSTOM, scenario_of
from workshopdemo.scenarios.base import JobScenario, Step
from workshopdemo.settings import Settings

_FAILURE_COUNT: Final = "metadata.annotations['batch.kubernetes.io/job-index-failure-count']"

# More than any lesson retries: backoffLimit, which the user may tune, decides.
_UNBOUNDED: Final = 2147483647

_PROGRAM_RESOURCES: Final = {
    "requests": {"cpu": "10m", "memory": "32Mi"},
    "limits": {"memory": "128Mi"},
}
_TMP: Final = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a mount of its own
_WORKSPACE: Final = {"name": "workspace", "mountPath": "/workspace"}


def job_name(demo: WorkshopDemo, job: Job) -> str:
    """Name of the Job of this entry and run.

    The hash covers the demo's UID (two demos, or a demo and its successor of the same name, never
    meet) and what Kubernetes forbids to change in place. The operator's own image is left out:
    an upgrade of the operator must not run anybody's Jobs again.
    """
    identity = [
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
    ]
    return names.job_name(demo.name, job.name, identity)


def build_job(demo: WorkshopDemo, job: Job, settings: Settings, *, recorded: bool) -> Manifest:
    """The whole intent. `recorded`: its outcome stands on the demo's status."""
    scenario = scenario_of(job)
    job_labels = labels(demo) | {
        "app.kubernetes.io/name": job.name,
        names.JOB_LABEL: job.name,
        names.RUN_LABEL: str(job.run),
    }
    completions = job.completions or 1
    backoff_limit = scenario.backoff_limit if job.backoff_limit is None else job.backoff_limit
    spec: dict[str, Any] = {
        "completions": completions,
        "parallelism": job.parallelism or 1,
        "completionMode": "Indexed" if scenario.counts_failures else "NonIndexed",
        "backoffLimit": backoff_limit * (completions if scenario.counts_failures else 1),
        "suspend": job.suspend,
        "template": {
            "metadata": {"labels": job_labels},
            "spec": _pod(job, scenario, settings),
        },
    }
    if scenario.counts_failures:
        spec["backoffLimitPerIndex"] = _UNBOUNDED
    if job.active_deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = job.active_deadline_seconds
    # The TTL controller removes a Job the moment its time is up, seen by anybody or not. So the
    # time to live is set only when the outcome is safe; it counts from the Job's end all the same.
    if job.ttl_seconds_after_finished is not None and recorded:
        spec["ttlSecondsAfterFinished"] = job.ttl_seconds_after_finished
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(demo, job),
            "namespace": demo.namespace,
            "labels": job_labels,
            "ownerReferences": owner(demo),
        },
        "spec": spec,
    }


def _pod(job: Job, scenario: JobScenario, settings: Settings) -> dict[str, Any]:
    mounts = [_TMP, _WORKSPACE] if scenario.workspace else [_TMP]
    if job.scenario == CUSTOM:
        containers = [_custom_container(job)]
    else:
        containers = [_step_container(step, settings, mounts) for step in scenario.steps]
    pod: dict[str, Any] = {
        # Each attempt is a Pod of its own, whose log and exit code stay to be looked at.
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Python as process 1 ignores SIGTERM while it sleeps in a lesson; nobody waits 30 s for it.
        "terminationGracePeriodSeconds": 5,
        "securityContext": pod_security(),
        "containers": containers[-1:],
        "volumes": [{"name": mount["name"], "emptyDir": {"sizeLimit": "64Mi"}} for mount in mounts],
    }
    if len(containers) > 1:
        pod["initContainers"] = containers[:-1]
    return pod


def _step_container(step: Step, settings: Settings, mounts: list[dict[str, str]]) -> dict[str, Any]:
    env: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in sorted(step.env.items())
    ]
    if step.failures_env:
        env.append(
            {
                "name": step.failures_env,
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": _FAILURE_COUNT}},
            }
        )
    container: dict[str, Any] = {
        "name": step.name,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": ["python3", "-m", f"workshopdemo.programs.{step.program}", *step.args],
        "resources": _PROGRAM_RESOURCES,
        "securityContext": container_security(),
        "volumeMounts": mounts,
    }
    if env:
        container["env"] = env
    return container


def _custom_container(job: Job) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "main",
        "image": job.image,
        "resources": job.resources or _PROGRAM_RESOURCES,
        "securityContext": container_security(),
        "volumeMounts": [_TMP],
    }
    if job.command:
        container["command"] = list(job.command)
    if job.args:
        container["args"] = list(job.args)
    if job.env:
        container["env"] = [
            {"name": variable.name, "value": variable.value} for variable in job.env
        ]
    return container
