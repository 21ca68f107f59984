"""The CRD by the API server's own word: what it must refuse, in which words, and what it must take.

Everything is a dry run: nothing is stored, so one namespace does for all. Only what was, and must
not be made undone, needs a demo that is there.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient, CustomObjectsApi
from kubernetes.client.exceptions import ApiException
from world import World

from pages import PAGES, demos_of, name_of

HERE = Path(__file__).parent
DEPLOY = HERE.parents[1] / "deploy"
REFUSED = sorted((HERE / "refused").glob("*.yaml"))
ACCEPTED = [
    *sorted((HERE / "accepted").glob("*.yaml")),
    *sorted((DEPLOY / "demos").glob("*.yaml")),
    *sorted((DEPLOY / "exercises").glob("*.yaml")),
]

SAYS = "# refused: "
"""How a manifest in refused/ begins, a line or two: what follows is in the API server's answer."""

PLAIN = "T0PSECRET"
"""Stands in for a secret where none belongs: an answer that holds it tells it to everybody."""


def stem(path: Path) -> str:
    return path.stem


def demos_in(path: Path) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all(path.read_text())
    return [each for each in documents if each["kind"] == "WorkshopDemo"]


def create(
    api: ApiClient, demo: dict[str, Any], field_validation: str = "Strict"
) -> dict[str, Any]:
    """Ask the API server to create it, and to store nothing."""
    demo["metadata"].pop("namespace", None)
    return CustomObjectsApi(api).create_namespaced_custom_object(
        "workshopdemo.dev",
        "v1alpha1",
        "default",
        "workshopdemos",
        demo,
        dry_run="All",
        field_validation=field_validation,
    )


def without_additions(taken: Any, asked: Any) -> Any:
    """Defaults may be added; of what was asked, nothing is lost or changed."""
    if isinstance(asked, dict) and isinstance(taken, dict):
        return {
            key: without_additions(value, asked[key])
            for key, value in taken.items()
            if key in asked
        }
    if isinstance(asked, list) and isinstance(taken, list) and len(taken) == len(asked):
        return [without_additions(*pair) for pair in zip(taken, asked, strict=True)]
    return taken


@pytest.mark.parametrize("path", REFUSED, ids=stem)
def test_refused(api: ApiClient, path: Path) -> None:
    lines = path.read_text().splitlines()
    said = [line.removeprefix(SAYS) for line in lines if line.startswith(SAYS)]
    assert said
    (demo,) = demos_in(path)
    with pytest.raises(ApiException) as refusal:
        create(api, demo)
    assert refusal.value.status in {400, 422}
    message = json.loads(refusal.value.body)["message"]
    assert [part for part in said if part not in message] == [], message
    assert PLAIN not in message


@pytest.mark.parametrize("path", ACCEPTED, ids=stem)
def test_accepted(api: ApiClient, path: Path) -> None:
    for demo in demos_in(path):
        assert_taken_whole(api, demo)


@pytest.mark.parametrize("page", [page for page in PAGES if any(demos_of(page))], ids=name_of)
def test_what_a_page_shows_is_accepted(api: ApiClient, page: Path) -> None:
    for demo in demos_of(page):
        assert_taken_whole(api, demo)


def assert_taken_whole(api: ApiClient, demo: dict[str, Any]) -> None:
    taken = create(api, demo)["spec"]
    assert set(taken) == set(demo["spec"])
    assert without_additions(taken, demo["spec"]) == demo["spec"]


def test_defaults(api: ApiClient) -> None:
    demo = {
        "apiVersion": "workshopdemo.dev/v1alpha1",
        "kind": "WorkshopDemo",
        "metadata": {"name": "defaults"},
        "spec": {
            "jobs": [{"name": "hello", "scenario": "CIPipeline"}],
            "cronJobs": [{"name": "hello", "scenario": "NightlyReport", "schedule": "@daily"}],
            "logShipping": {},
            "statefulSet": {"scenario": "Postgres"},
            "notifications": {"targets": [{"name": "inbox", "inbox": {}}]},
        },
    }
    taken = create(api, demo)["spec"]
    assert taken["jobs"] == [
        {
            "name": "hello",
            "scenario": "CIPipeline",
            "run": 1,
            "historyLimit": 3,
            "suspend": False,
            "notifyOn": ["Success", "Failure"],
        }
    ]
    assert taken["cronJobs"] == [
        {
            "name": "hello",
            "scenario": "NightlyReport",
            "schedule": "@daily",
            "concurrencyPolicy": "Allow",
            "suspend": False,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1,
            "runNow": 1,
            "notifyOn": ["Success", "Failure"],
        }
    ]
    assert taken["logShipping"] == {
        "tolerateControlPlane": True,
        "emitter": {"lines": 2000, "linesPerSecond": 20, "run": 1},
        "retention": "7d",
        "storage": "1Gi",
    }
    assert taken["statefulSet"] == {
        "scenario": "Postgres",
        "replicas": 1,
        "storage": "256Mi",
        "retain": False,
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate"},
    }
    assert taken["notifications"] == {"targets": [{"name": "inbox", "inbox": {"dialect": "Slack"}}]}


@pytest.mark.parametrize(
    "mistake",
    [
        "notify-slack-url",
        "notify-google-chat-url",
        "notify-alertmanager-password",
        "notify-alertmanager-bearer-token",
        "notify-webhook-password",
        "notify-webhook-bearer-token",
        "notify-signing-secret",
        "logs-header-value",
        "logs-header-value-and-value-from",
    ],
)
def test_a_secret_in_plain_text_is_refused_however_lenient_the_check(
    api: ApiClient, mistake: str
) -> None:
    """An unknown field would be pruned then, but kubectl apply's annotation keeps what it held."""
    (demo,) = demos_in(HERE / f"refused/{mistake}.yaml")
    with pytest.raises(ApiException) as refusal:
        create(api, demo, field_validation="Ignore")
    assert refusal.value.status == 422


def test_there_is_something_to_refuse() -> None:
    assert len(REFUSED) >= 470
    assert len(ACCEPTED) >= 40


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"storage": "1Gi"},
            "spec.logShipping.storage:.*must not be lowered from 2Gi: a volume can grow, and never",
        ),
        ({"storage": None}, "To start anew with a smaller one, remove spec.logShipping"),
        (
            {"storageClassName": "other"},
            "spec.logShipping.storageClassName:.*must not be changed: a volume stays in the class",
        ),
        ({"emitter": {"run": 1}}, "spec.logShipping.emitter.run:.*run can only be raised"),
    ],
    ids=["storage", "storage-to-default", "storage-class", "run"],
)
def test_what_was_is_not_made_undone(world: World, change: dict[str, Any], said: str) -> None:
    _ship_the_logs_of_no_node(world)
    answer = _try(world, {"logShipping": change}, fails=True)
    assert re.search(said, answer), answer


@pytest.mark.parametrize(
    "change",
    [
        {"storage": "3Gi"},
        {"storage": "2048Mi"},
        {"emitter": {"run": 3}},
        # Where there is no volume, there is none that could not shrink.
        {
            "storage": "1Gi",
            "storageClassName": "other",
            "destination": {"otlpHttp": {"endpoint": "https://logs.example/otlp"}},
        },
    ],
    ids=["storage", "the-same-in-other-words", "run", "elsewhere"],
)
def test_what_may_be_changed(world: World, change: dict[str, Any]) -> None:
    _ship_the_logs_of_no_node(world)
    _try(world, {"logShipping": change})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"storage": "1Gi"},
            (
                "spec.statefulSet.storage:.*must not be changed from 2Gi: a StatefulSet keeps .*"
                "remove spec.statefulSet .*, apply, and add it again; the data goes with its volume"
            ),
        ),
        # It cannot grow, either.
        ({"storage": "3Gi"}, "storage must not be changed from 2Gi"),
        ({"storage": None}, "storage must not be changed from 2Gi"),
        (
            {"storage": "3Gi", "retain": True},
            "spec.statefulSet.storage:.*apply, and add it again; the data goes",
        ),
        (
            {"storageClassName": "other"},
            "spec.statefulSet.storageClassName:.*storageClassName must not be changed, added or",
        ),
        ({"storageClassName": None}, "To begin anew in another class, remove spec.statefulSet"),
        (
            {"podManagementPolicy": "OrderedReady"},
            (
                "spec.statefulSet.podManagementPolicy:.*must not be changed from Parallel: .*"
                "set retain: true and apply while all members are ready, so that the data stays; "
                "then remove spec.statefulSet"
            ),
        ),
        ({"podManagementPolicy": None}, "podManagementPolicy must not be changed from Parallel"),
        (
            {"updateStrategy": {"type": "OnDelete"}},
            "spec.statefulSet.updateStrategy.rollingUpdate:.*remove it, or set type: RollingUpdate",
        ),
    ],
    ids=[
        "storage-lowered",
        "storage-raised",
        "storage-to-default",
        "storage-with-retain",
        "storage-class",
        "storage-class-removed",
        "pod-management-policy",
        "pod-management-policy-to-default",
        "on-delete-with-a-partition",
    ],
)
def test_what_a_stateful_set_is_made_with_stays(
    world: World, change: dict[str, Any], said: str
) -> None:
    _keep_a_diary_with_no_member(world)
    answer = _try(world, {"statefulSet": change}, fails=True)
    assert re.search(said, answer), answer


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"storage": "3Gi"},
            r"delete the claims, which retain: true has kept \(kubectl get pvc\),",
        ),
        ({"storageClassName": "new"}, "apply, delete the claims, which retain: true has kept"),
        (
            {"podManagementPolicy": "Parallel"},
            "To have another, remove spec.statefulSet .*, apply, and add it again with the new",
        ),
    ],
    ids=["storage", "storage-class-added", "pod-management-policy"],
)
def test_the_way_out_of_a_stateful_set_that_retains(
    world: World, change: dict[str, Any], said: str
) -> None:
    retained = {"scenario": "Postgres", "replicas": 0, "storage": "2Gi", "retain": True}
    _apply(world, {"statefulSet": retained})
    answer = _try(world, {"statefulSet": change}, fails=True)
    assert re.search(said, answer), answer


@pytest.mark.parametrize(
    "change",
    [
        {"storage": "2048Mi"},
        {"replicas": 3, "retain": True, "image": "other:1", "resources": {"limits": {"cpu": "1"}}},
        {"updateStrategy": {"rollingUpdate": {"partition": 0}}},
        {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}},
        # Another scenario is another StatefulSet, with claims of its own.
        {
            "scenario": "Postgres",
            "storage": "1Gi",
            "storageClassName": None,
            "podManagementPolicy": "OrderedReady",
        },
        None,
    ],
    ids=[
        "the-same-in-other-words",
        "whatever-kubernetes-lets",
        "partition",
        "on-delete",
        "scenario",
        "removed",
    ],
)
def test_what_may_be_changed_of_a_stateful_set(world: World, change: dict[str, Any] | None) -> None:
    _keep_a_diary_with_no_member(world)
    _try(world, {"statefulSet": change})


def _ship_the_logs_of_no_node(world: World) -> None:
    world.core.create_namespaced_resource_quota(
        world.namespace, {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    )
    _apply(world, {"logShipping": {"storage": "2Gi", "emitter": {"run": 2}}})


def _keep_a_diary_with_no_member(world: World) -> None:
    diary = {
        "scenario": "Diary",
        "replicas": 0,
        "storage": "2Gi",
        "storageClassName": "some",
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"rollingUpdate": {"partition": 1}},
    }
    hello = {"name": "hello", "scenario": "CIPipeline", "suspend": True}
    _apply(world, {"statefulSet": diary, "jobs": [hello]})


def _apply(world: World, spec: dict[str, Any]) -> None:
    world.apply_manifest(
        {
            "apiVersion": "workshopdemo.dev/v1alpha1",
            "kind": "WorkshopDemo",
            "metadata": {"name": "shop", "namespace": world.namespace},
            "spec": spec,
        }
    )


def _try(world: World, change: dict[str, Any], *, fails: bool = False) -> str:
    """Ask for a change, and change nothing."""
    patch = json.dumps({"spec": change})
    command = ("patch", "wd", "shop", "--type=merge", "--dry-run=server", "--patch", patch)
    return world.kubectl(*command, fails=fails)
