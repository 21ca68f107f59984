"""The Pod that does an entry's work, whether a Job's or a CronJob's."""

from typing import Any, Final

from workshopdemo.model import Work
from workshopdemo.plan.meta import (
    container_security,
    field_env,
    ordinary,
    pod_security,
    resources,
)
from workshopdemo.scenarios import CUSTOM, Scenario
from workshopdemo.scenarios.base import Step
from workshopdemo.settings import Settings

_TMP: Final = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a mount of its own
_WORKSPACE: Final = {"name": "workspace", "mountPath": "/workspace"}
_DATA: Final = {"name": "data", "mountPath": "/data"}


def build_pod(
    work: Work, scenario: Scenario, settings: Settings, *, claim: str, values: dict[str, str]
) -> dict[str, Any]:
    """The Pod's spec.

    Args:
        work: the entry.
        scenario: its scenario.
        settings: the operator's.
        claim: name of the demo's volume claim.
        values: what the steps' environment may speak of.
    """
    mounts = [_TMP]
    if scenario.workspace:
        mounts.append(_WORKSPACE)
    if scenario.data:
        mounts.append(_DATA)
    if work.scenario == CUSTOM:
        containers = [_custom_container(work)]
    else:
        containers = [
            _step_container(step, scenario, settings, mounts, values) for step in scenario.steps
        ]
    pod: dict[str, Any] = {
        # Each attempt is a Pod of its own, whose log and exit code stay to be looked at.
        "restartPolicy": "Never",
        **ordinary(),
        # Long enough to say goodbye in the log, and for the operator to read it.
        "terminationGracePeriodSeconds": 5,
        "securityContext": pod_security(),
        "containers": containers[-1:],
        "volumes": [_volume(mount["name"], claim) for mount in mounts],
    }
    if len(containers) > 1:
        pod["initContainers"] = containers[:-1]
    return pod


def _volume(name: str, claim: str) -> dict[str, Any]:
    if name == _DATA["name"]:
        return {"name": name, "persistentVolumeClaim": {"claimName": claim}}
    return {"name": name, "emptyDir": {"sizeLimit": "64Mi"}}


def _resources(memory_limit: str) -> dict[str, Any]:
    return resources("10m", "32Mi", memory_limit)


def _step_container(
    step: Step,
    scenario: Scenario,
    settings: Settings,
    mounts: list[dict[str, str]],
    values: dict[str, str],
) -> dict[str, Any]:
    env: list[dict[str, Any]] = [
        {"name": name, "value": value.format_map(values)}
        for name, value in sorted(step.env.items())
    ]
    env += [field_env(name, path) for name, path in sorted(step.field_env.items())]
    container: dict[str, Any] = {
        "name": step.name,
        "image": scenario.image or settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": ["python3", "-m", f"workshopdemo.programs.{step.program}", *step.args],
        "resources": _resources(scenario.memory_limit),
        "securityContext": container_security(),
        "volumeMounts": mounts,
    }
    if env:
        container["env"] = env
    return container


def _custom_container(work: Work) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "main",
        "image": work.image,
        "resources": work.resources or _resources("128Mi"),
        "securityContext": container_security(),
        "volumeMounts": [_TMP],
    }
    if work.command:
        container["command"] = list(work.command)
    if work.args:
        container["args"] = list(work.args)
    if work.env:
        container["env"] = [
            {"name": variable.name, "value": variable.value} for variable in work.env
        ]
    return container
