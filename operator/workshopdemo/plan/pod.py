"""The Pod that does an entry's work, whether a Job's or a CronJob's."""

from typing import Any, Final

from workshopdemo.model import Work, WorkshopDemo
from workshopdemo.plan.database import (
    POSTGRES_PORT,
    POSTGRES_UID,
    SCRIPTS_DIRECTORY,
    USER,
    DatabaseAccess,
    database_access,
    has_database,
)
from workshopdemo.plan.meta import (
    container_security,
    field_env,
    ordinary,
    pod_security,
    resources,
)
from workshopdemo.plan.volume import claim_name
from workshopdemo.scenarios import CUSTOM, MIGRATION, Scenario, any_scenario_of
from workshopdemo.scenarios.base import ScriptStep, Step
from workshopdemo.settings import Settings

_TMP: Final = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a mount of its own
_WORKSPACE: Final = {"name": "workspace", "mountPath": "/workspace"}
_DATA: Final = {"name": "data", "mountPath": "/data"}

_MIGRATION_SECONDS: Final = 30
"""What the demo's migration gets before others do its work, or go on without."""

_POSTGRES_USER: Final = {"runAsUser": POSTGRES_UID, "runAsGroup": POSTGRES_UID}
"""See `POSTGRES_UID`. The group of the volume's files stays that of all Jobs."""


def needs_volume(demo: WorkshopDemo, work: Work) -> bool:
    """Whether the entry needs the demo's volume."""
    scenario = any_scenario_of(work)
    return scenario.data or (scenario.database and not has_database(demo))


def uses_database(demo: WorkshopDemo, work: Work) -> bool:
    """Whether the entry uses the database of the demo's StatefulSet."""
    return any_scenario_of(work).database and has_database(demo)


def build_pod(
    demo: WorkshopDemo, work: Work, settings: Settings, values: dict[str, str]
) -> dict[str, Any]:
    """The Pod's spec.

    Args:
        demo: the demo.
        work: the entry.
        settings: the operator's.
        values: what the steps' environment may speak of.
    """
    scenario = any_scenario_of(work)
    database = database_access(demo, settings) if uses_database(demo, work) else None
    in_scripts = database is not None and bool(scenario.database_steps)
    mounts = [_TMP]
    if scenario.workspace or in_scripts:
        mounts.append(_WORKSPACE)
    if needs_volume(demo, work):
        mounts.append(_DATA)
    if work.scenario == CUSTOM:
        containers = [_custom_container(work)]
    elif database is not None and in_scripts:
        containers = [_script_container(step, database, mounts) for step in scenario.database_steps]
    else:
        containers = [
            _step_container(step, scenario, settings, mounts, values) for step in scenario.steps
        ]
        if database is not None:
            _add_database(containers, database)
    if database is not None and work.scenario != MIGRATION:
        _add_patience(demo, containers)
    pod: dict[str, Any] = {
        # Each attempt is a Pod of its own, whose log and exit code stay to be looked at.
        "restartPolicy": "Never",
        **ordinary(),
        # Long enough to say goodbye in the log, and for the operator to read it.
        "terminationGracePeriodSeconds": 5,
        "securityContext": pod_security() | (_POSTGRES_USER if in_scripts else {}),
        "containers": containers[-1:],
        "volumes": [_volume(mount["name"], claim_name(demo)) for mount in mounts],
    }
    if database is not None and in_scripts:
        pod["volumes"].append({"name": "scripts", "configMap": {"name": database.config_map}})
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


def _add_database(containers: list[dict[str, Any]], database: DatabaseAccess) -> None:
    url = f"postgresql://{USER}@{database.host}:{POSTGRES_PORT}/{USER}"
    for container in containers:
        container["env"] = [
            *container.get("env", []),
            {"name": "DATABASE_URL", "value": url},
            {"name": "DATABASE_PASSWORD", "valueFrom": database.password},
        ]


def _add_patience(demo: WorkshopDemo, containers: list[dict[str, Any]]) -> None:
    """All start at the same moment: the demo's migration is to be first, as its Job tells it."""
    if any(job.scenario == MIGRATION for job in demo.spec.jobs):
        wait = {"name": "MIGRATION_WAIT_SECONDS", "value": str(_MIGRATION_SECONDS)}
        for container in containers:
            container["env"] = [*container["env"], wait]


def _script_container(
    step: ScriptStep, database: DatabaseAccess, mounts: list[dict[str, str]]
) -> dict[str, Any]:
    plain = {
        "PGHOST": database.host,
        "PGPORT": str(POSTGRES_PORT),
        "PGUSER": USER,
        "PGDATABASE": USER,
    }
    env: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in sorted(plain.items())
    ]
    return {
        "name": step.name,
        "image": database.image,
        "command": ["sh", f"{SCRIPTS_DIRECTORY}/{step.script}", step.argument],
        "env": [*env, {"name": "PGPASSWORD", "valueFrom": database.password}],
        "resources": _resources("256Mi"),
        "securityContext": container_security(),
        "volumeMounts": [
            *mounts,
            {"name": "scripts", "mountPath": SCRIPTS_DIRECTORY, "readOnly": True},
        ],
    }


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
