"""An entry of spec.cronJobs → a batch/v1 CronJob, and the Job of its runNow."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workshopdemo import names
from workshopdemo.errors import InvalidSpecError
from workshopdemo.model import CronJob, WorkshopDemo
from workshopdemo.plan.meta import Manifest, labels, owner
from workshopdemo.plan.pod import build_pod
from workshopdemo.scenarios import cron_scenario_of
from workshopdemo.schedule import Schedule
from workshopdemo.settings import Settings


def cron_job_name(demo: WorkshopDemo, entry: CronJob) -> str:
    """Name of the CronJob of this entry."""
    return names.plain_name(demo.name, entry.name, names.CRON_JOB_NAME_LIMIT)


def check(entry: CronJob, path: str) -> None:
    """Check what the CRD's schema cannot.

    Args:
        entry: an entry of spec.cronJobs.
        path: its path in the spec.

    Raises:
        InvalidSpecError: Kubernetes would refuse the CronJob, or never run it.
    """
    try:
        schedule = Schedule.parse(entry.schedule)
    except ValueError as error:
        raise InvalidSpecError(f"{path}.schedule", str(error)) from None
    try:
        zone = ZoneInfo(entry.time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problem = f"{entry.time_zone!r} is no time zone; take one such as Europe/Berlin"
        raise InvalidSpecError(f"{path}.timeZone", problem) from None
    if schedule.next_after(datetime(2024, 1, 1, tzinfo=UTC), zone) is None:
        raise InvalidSpecError(f"{path}.schedule", f"{entry.schedule!r} never comes")


def build_cron_job(demo: WorkshopDemo, entry: CronJob, settings: Settings) -> Manifest:
    """The whole intent."""
    spec: dict[str, Any] = {
        "schedule": entry.schedule,
        "concurrencyPolicy": entry.concurrency_policy,
        "suspend": entry.suspend,
        "successfulJobsHistoryLimit": entry.successful_jobs_history_limit,
        "failedJobsHistoryLimit": entry.failed_jobs_history_limit,
        "jobTemplate": {
            "metadata": {"labels": _labels(demo, entry)},
            "spec": _job_spec(demo, entry, settings),
        },
    }
    if entry.time_zone is not None:
        spec["timeZone"] = entry.time_zone
    if entry.starting_deadline_seconds is not None:
        spec["startingDeadlineSeconds"] = entry.starting_deadline_seconds
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": cron_job_name(demo, entry),
            "namespace": demo.namespace,
            "labels": _labels(demo, entry),
            "ownerReferences": owner(demo),
        },
        "spec": spec,
    }


def build_manual_run(
    demo: WorkshopDemo, entry: CronJob, settings: Settings, cron_job_uid: str
) -> Manifest:
    """The Job of runNow: what `kubectl create job --from=cronjob/…` makes, and by its name ours."""
    name = cron_job_name(demo, entry)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name}-now-{entry.run_now}",
            "namespace": demo.namespace,
            "labels": _labels(demo, entry) | {names.RUN_NOW_LABEL: str(entry.run_now)},
            "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": name,
                    "uid": cron_job_uid,
                    "controller": True,
                }
            ],
        },
        "spec": _job_spec(demo, entry, settings),
    }


def _labels(demo: WorkshopDemo, entry: CronJob) -> dict[str, str]:
    return labels(demo) | {
        "app.kubernetes.io/name": entry.name,
        names.CRON_JOB_LABEL: entry.name,
    }


def _job_spec(demo: WorkshopDemo, entry: CronJob, settings: Settings) -> dict[str, Any]:
    scenario = cron_scenario_of(entry)
    pod = build_pod(demo, entry, settings, {"entry": entry.name})
    if scenario.steps and entry.time_zone is not None:
        # "Yesterday" is the bookshop's, not the cluster's.
        pod["containers"][-1].setdefault("env", []).append({"name": "TZ", "value": entry.time_zone})
    spec: dict[str, Any] = {
        "backoffLimit": scenario.backoff_limit
        if entry.backoff_limit is None
        else entry.backoff_limit,
        "template": {"metadata": {"labels": _labels(demo, entry)}, "spec": pod},
    }
    if entry.active_deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = entry.active_deadline_seconds
    return spec
