"""The operator's own life: restarts, missing rights, a lost API server. One test at a time."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import (
    ApiClient,
    ApiextensionsV1Api,
    CustomObjectsApi,
    RbacAuthorizationV1Api,
)
from world import FAILING, GROUP, PLURAL, QUICK, SYSTEM, VERSION, Chart, World, wait_for

pytestmark = pytest.mark.disruptive


@pytest.fixture(autouse=True)
def _operator_is_well(chart: Chart) -> Iterator[None]:
    yield
    chart.restore()


def test_a_restarted_operator_writes_nothing(world: World) -> None:
    world.apply(QUICK, FAILING)
    world.apply(QUICK, {"name": "ci", "scenario": "CIPipeline"}, name="other")
    for name in ("shop", "other"):
        world.wait_for_phase("Ready", name)
    time.sleep(3)
    before, events = world.writes(), told_events(world)
    assert before, "the audit log tells of the operator's writes"
    with world.operators(0):
        pass
    # Proof that it looked at everything: a new demo goes through it.
    world.apply(QUICK, name="late")
    world.wait_for_phase("Ready", "late")
    new = [write for write in world.writes() if write not in before]
    # A new Event's name stands in its body alone; whose they are is to be seen from what there is.
    assert [write for write in new if "late" not in write and "/events" not in write] == []
    assert told_events(world) == events


def told_events(world: World) -> set[str]:
    """Events of the demos that were there first."""
    found = world.core.list_namespaced_event(
        world.namespace, field_selector="involvedObject.kind=WorkshopDemo"
    ).items
    return {
        event.metadata.name for event in found if event.involved_object.name in ("shop", "other")
    }


def test_what_happened_meanwhile_is_caught_up_with(world: World) -> None:
    slow = QUICK | {"command": ["sh", "-c", "sleep 8; echo late"]}
    world.apply(slow, FAILING)
    edited = wait_for("the Job", lambda: world.job_of("ok"))["metadata"]["name"]
    wait_for("its Pod", lambda: world.pods_of("ok"))
    with world.operators(0):
        world.kubectl("patch", "job", edited, "--type=merge", "-p", '{"spec":{"backoffLimit":1}}')
        wait_for(
            "the Job ends",
            lambda: (world.job_of("ok").get("status") or {}).get("succeeded"),
        )
        world.apply(slow | {"name": "new"}, slow)
    world.wait_for_phase("Ready")
    world.wait_for_log("ok", "late")
    wait_for("drift is put right", lambda: world.job_of("ok")["spec"]["backoffLimit"] == 6)
    wait_for("pruning", lambda: len(world.jobs()) == 2)


def test_an_operator_that_comes_before_its_crd_says_so_and_waits(
    world: World, api: ApiClient, chart: Chart
) -> None:
    chart.uninstall()
    extensions = ApiextensionsV1Api(api)
    extensions.delete_custom_resource_definition(f"{PLURAL}.{GROUP}")
    wait_for("the CRD is gone", lambda: not _crd_exists(extensions))
    crd = chart.path.parents[1] / "crds" / f"{PLURAL}.{GROUP}.yaml"
    chart.install("--set", "crds.install=false", "--wait=false")
    wait_for("its word", lambda: "does not know the kind WorkshopDemo" in world.operator_log())
    assert not world.operator_is_ready()
    world.kubectl("apply", "--server-side", "-f", str(crd))
    wait_for("ready", world.operator_is_ready)
    world.apply(QUICK)
    world.wait_for_phase("Ready")
    # Helm takes over only what is its own.
    extensions.delete_custom_resource_definition(f"{PLURAL}.{GROUP}")
    wait_for("the CRD is gone", lambda: not _crd_exists(extensions))


def _crd_exists(extensions: ApiextensionsV1Api) -> bool:
    found = extensions.list_custom_resource_definition(
        field_selector=f"metadata.name={PLURAL}.{GROUP}"
    )
    return bool(found.items)


@pytest.mark.parametrize(
    "missing",
    [
        [("patch", "jobs"), ("get", "pods/log")],
        [("watch", "pods"), ("patch", "workshopdemos/status")],
    ],
)
def test_missing_verbs_are_named_and_their_return_noticed(
    world: World, api: ApiClient, missing: list[tuple[str, str]]
) -> None:
    rbac = RbacAuthorizationV1Api(api)
    full = api.sanitize_for_serialization(rbac.read_cluster_role("workshop-demo").rules)
    world.scale_operator(0)
    rbac.patch_cluster_role("workshop-demo", {"rules": _without(full, missing)})
    world.apps.patch_namespaced_deployment_scale("workshop-demo", SYSTEM, {"spec": {"replicas": 1}})
    world.apply(QUICK)
    for verb, resource in missing:
        words = f"may not {verb} {resource}"
        wait_for(words, lambda words=words: words in world.operator_log())
    assert not world.operator_is_ready()
    if ("patch", "jobs") in missing:
        status = world.wait_for_phase("Degraded")
        assert status["jobs"][0]["reason"] == "Forbidden"
        assert 'cannot patch resource "jobs"' in status["jobs"][0]["message"]
    rbac.patch_cluster_role("workshop-demo", {"rules": full})
    world.wait_for_phase("Ready")
    world.wait_for_log("ok", "working\ndone")
    wait_for("ready", world.operator_is_ready)


def _without(rules: list[dict[str, Any]], missing: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The rules without these verbs on these resources; RBAC refuses a rule that has none left."""
    changed = [
        rule
        | {
            "verbs": [
                verb
                for verb in rule["verbs"]
                if not any((verb, resource) in missing for resource in rule["resources"])
            ]
        }
        for rule in rules
    ]
    return [rule for rule in changed if rule["verbs"]]


def test_uninstalling_in_the_wrong_order_leaves_nothing(
    world: World, api: ApiClient, chart: Chart
) -> None:
    world.apply(
        QUICK,
        FAILING,
        QUICK | {"name": "long", "command": ["sleep", "600"]},
        {"name": "patience", "scenario": "FailsThenSucceeds"},
        {"name": "doomed", "scenario": "AlwaysFails"},
        cron_jobs=[{"name": "report", "scenario": "NightlyReport", "schedule": "* * * * *"}],
    )
    wait_for("a running Pod", lambda: world.pods_of("long"))
    wait_for("a failed attempt", lambda: world.entry("patience").get("failed"))
    chart.uninstall()
    world.core.delete_namespace(world.namespace)
    wait_for("the namespace is gone", lambda: not _namespace_exists(world), deadline=60)
    left = CustomObjectsApi(api).list_cluster_custom_object(GROUP, VERSION, PLURAL)["items"]
    assert [each for each in left if each["metadata"]["namespace"] == world.namespace] == []
    kinds = ("clusterrole", "clusterrolebinding")
    assert "workshop-demo" not in world.kubectl("get", ",".join(kinds), "-o", "name")


def _namespace_exists(world: World) -> bool:
    names = [item.metadata.name for item in world.core.list_namespace().items]
    return world.namespace in names
