"""spec.statefulSet → a StatefulSet whose members keep their names and their data."""

from collections.abc import Iterable
from typing import Any, Final

from workshopdemo import names
from workshopdemo.model import StatefulSet, WorkshopDemo
from workshopdemo.names import StatefulSetNames
from workshopdemo.plan.component import component_labels, metadata, selector, service
from workshopdemo.plan.database import (
    DATABASE,
    POSTGRES,
    POSTGRES_PORT,
    answers_for_itself,
    member_pod,
    script_map,
    scripts,
    witness_env,
)
from workshopdemo.plan.meta import (
    Manifest,
    container_security,
    ordinary,
    pod_security,
    resources,
)
from workshopdemo.plan.volume import claim
from workshopdemo.settings import Settings
from workshopdemo.testimony import PORT

DIARY: Final = "diary"
"""Component, and name of the container."""

MEMBER_COMPONENTS: Final = (DATABASE, DIARY)
"""Components whose Pods are members of a StatefulSet with a claim each."""

_MAIN_CONTAINERS: Final = {DATABASE: POSTGRES, DIARY: DIARY}


def stateful_set_names(demo: WorkshopDemo, asked: StatefulSet) -> StatefulSetNames:
    """What they are called."""
    component = DATABASE if asked.scenario == "Postgres" else DIARY
    return StatefulSetNames(
        component=component,
        main_container=_MAIN_CONTAINERS[component],
        stateful_set=names.component_name(demo.name, component),
        members=names.component_name(demo.name, f"{component}-members"),
    )


def build_stateful_set(
    demo: WorkshopDemo, asked: StatefulSet, settings: Settings
) -> list[Manifest]:
    """All objects, in the order to apply them."""
    named = stateful_set_names(demo, asked)
    if named.component == DATABASE:
        ports = {POSTGRES: POSTGRES_PORT, "http": PORT}
        # Only the primary takes writes. Kubernetes itself labels each member with its name.
        primary = {names.POD_NAME_LABEL: named.pod(0)}
        return [
            script_map(demo),
            service(demo, DATABASE, ports, name=named.members, headless=True),
            service(demo, DATABASE, {POSTGRES: POSTGRES_PORT}, only=primary),
            _stateful_set(
                demo,
                asked,
                named,
                member_pod(asked, settings, name=named.stateful_set, members=named.members),
                {"annotations": {names.CONFIG_ANNOTATION: names.digest(dict(scripts()))}},
            ),
        ]
    return [
        service(demo, DIARY, {"http": PORT}, name=named.members, headless=True),
        service(demo, DIARY, {"http": PORT}),
        _stateful_set(demo, asked, named, _diary_pod(asked, settings), {}),
    ]


def _stateful_set(
    demo: WorkshopDemo,
    asked: StatefulSet,
    named: StatefulSetNames,
    pod: dict[str, Any],
    annotations: dict[str, dict[str, str]],
) -> Manifest:
    component = named.component
    when = "Retain" if asked.retain else "Delete"
    spread = {
        # Where there are more nodes than one, the lesson on volumes is the better one.
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(demo, component)},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(demo, component),
        "spec": {
            "replicas": asked.replicas,
            "serviceName": named.members,
            "selector": {"matchLabels": selector(demo, component)},
            "podManagementPolicy": asked.pod_management_policy,
            "updateStrategy": _update_strategy(asked),
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": when, "whenScaled": when},
            "template": {
                "metadata": {"labels": component_labels(demo, component)} | annotations,
                "spec": pod | {"topologySpreadConstraints": [spread]},
            },
            "volumeClaimTemplates": [_claim_template(demo, asked, component)],
        },
    }


def _claim_template(demo: WorkshopDemo, asked: StatefulSet, component: str) -> Manifest:
    # No owner: Kubernetes removes claims as persistentVolumeClaimRetentionPolicy says.
    labelled = {"name": names.MEMBER_CLAIM, "labels": component_labels(demo, component)}
    return claim(labelled, asked.storage, asked.storage_class_name)


def _update_strategy(asked: StatefulSet) -> dict[str, Any]:
    strategy = asked.update_strategy
    if strategy.type == "OnDelete":
        return {"type": "OnDelete"}
    return {"type": "RollingUpdate", "rollingUpdate": {"partition": strategy.partition}}


def _diary_pod(asked: StatefulSet, settings: Settings) -> dict[str, Any]:
    return ordinary() | {
        "securityContext": pod_security() | {"fsGroupChangePolicy": "OnRootMismatch"},
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": DIARY,
                "image": asked.image or settings.image,
                "imagePullPolicy": settings.pull_policy,
                "command": ["python3", "-m", "workshopdemo.programs.diary"],
                "env": witness_env(),
                "ports": [{"name": "http", "containerPort": PORT}],
                "readinessProbe": answers_for_itself(),
                "livenessProbe": answers_for_itself() | {"failureThreshold": 6},
                "resources": asked.resources or resources("10m", "24Mi", "64Mi"),
                "securityContext": container_security(),
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }
        ],
    }


def left_over_claims(
    asked: StatefulSet, named: StatefulSetNames, claims: Iterable[str], pods: Iterable[str]
) -> list[str]:
    """Names of claims that nobody else will remove although the demo does not retain any.

    Kubernetes removes a claim with the member that is scaled away. What was kept before `retain`
    was taken back, it leaves.

    Args:
        asked: the section.
        named: its names.
        claims: names of claims that nothing owns.
        pods: names of Pods that there are.
    """
    if asked.retain:
        return []
    living = set(pods)
    found = []
    for one in claims:
        ordinal = named.ordinal_of_claim(one)
        gone = (
            ordinal is not None and ordinal >= asked.replicas and named.pod(ordinal) not in living
        )
        if gone:
            found.append(one)
    return sorted(found)
