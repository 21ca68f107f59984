"""The CRD by the API server's own word: what it must refuse, in which words, and what it must take.

Everything is a dry run: nothing is stored, so one namespace does for all.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import ApiClient, CustomObjectsApi
from kubernetes.client.exceptions import ApiException

HERE = Path(__file__).parent
DEMOS = HERE.parents[1] / "deploy/demos"
REFUSED = sorted((HERE / "refused").glob("*.yaml"))
ACCEPTED = sorted((HERE / "accepted").glob("*.yaml")) + sorted(DEMOS.glob("*.yaml"))

SAYS = "# refused: "
"""How a manifest in refused/ begins, a line or two: what follows is in the API server's answer."""


def stem(path: Path) -> str:
    return path.stem


def demos_in(path: Path) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all(path.read_text())
    return [each for each in documents if each["kind"] == "WorkshopDemo"]


def create(api: ApiClient, demo: dict[str, Any]) -> dict[str, Any]:
    """Ask the API server to create it, and to store nothing."""
    demo["metadata"].pop("namespace", None)
    return CustomObjectsApi(api).create_namespaced_custom_object(
        "workshopdemo.dev",
        "v1alpha1",
        "default",
        "workshopdemos",
        demo,
        dry_run="All",
        field_validation="Strict",
    )


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


@pytest.mark.parametrize("path", ACCEPTED, ids=stem)
def test_accepted(api: ApiClient, path: Path) -> None:
    (demo,) = demos_in(path)
    taken = create(api, demo)["spec"]
    # Defaults may be added; of what was asked, nothing is lost or changed.
    assert set(taken) == set(demo["spec"])
    for section, asked in demo["spec"].items():
        assert [
            {key: entry[key] for key in wanted}
            for wanted, entry in zip(asked, taken[section], strict=True)
        ] == asked


def test_defaults(api: ApiClient) -> None:
    demo = {
        "apiVersion": "workshopdemo.dev/v1alpha1",
        "kind": "WorkshopDemo",
        "metadata": {"name": "defaults"},
        "spec": {
            "jobs": [{"name": "hello", "scenario": "CIPipeline"}],
            "cronJobs": [{"name": "hello", "scenario": "NightlyReport", "schedule": "@daily"}],
        },
    }
    taken = create(api, demo)["spec"]
    assert taken["jobs"] == [
        {"name": "hello", "scenario": "CIPipeline", "run": 1, "historyLimit": 3, "suspend": False}
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
        }
    ]


def test_there_is_something_to_refuse() -> None:
    assert len(REFUSED) >= 190
    assert len(ACCEPTED) >= 15
