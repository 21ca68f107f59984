"""The plan: what must exist, exactly."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lightkube import codecs

from support import ROOT, SETTINGS, demo_body
from workshopdemo.model import parse
from workshopdemo.plan import (
    Intent,
    build,
    is_of_this_version,
    needs_apply,
    prepared,
    superfluous_jobs,
)
from workshopdemo.settings import Settings

GOLDEN = ROOT / "tests" / "unit" / "golden"
ENTRIES: dict[str, dict[str, Any]] = {
    "ci-pipeline": {"name": "ship", "scenario": "CIPipeline"},
    "fails-then-succeeds": {"name": "wait", "scenario": "FailsThenSucceeds"},
    "always-fails": {"name": "doomed", "scenario": "AlwaysFails"},
    "migration": {"name": "migrate", "scenario": "DatabaseMigration"},
    "data-pipeline": {"name": "sales", "scenario": "DataPipeline", "completions": 4},
    "too-slow": {"name": "slow", "scenario": "TooSlow"},
    "out-of-memory": {"name": "big", "scenario": "OutOfMemory"},
    "not-retriable": {"name": "orders", "scenario": "NotRetriable"},
    "bad-image": {"name": "bad", "scenario": "BadImage"},
    "indexed": {
        "name": "indexed",
        "scenario": "Custom",
        "image": "busybox:1.37",
        "completionMode": "Indexed",
        "completions": 3,
        "backoffLimitPerIndex": 1,
        "maxFailedIndexes": 1,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [3]}},
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
            ]
        },
        "successPolicy": {"rules": [{"succeededIndexes": "0", "succeededCount": 1}]},
    },
    "custom": {
        "name": "count",
        "scenario": "Custom",
        "image": "busybox:1.37",
        "command": ["sh", "-c"],
        "args": ["echo $GREETING"],
        "env": [{"name": "GREETING", "value": "hello"}],
        "resources": {"requests": {"cpu": "0.5"}, "limits": {"memory": "64Mi"}},
        "backoffLimit": 0,
        "activeDeadlineSeconds": 60,
        "parallelism": 2,
        "completions": 4,
        "suspend": True,
    },
}


def plan_of(*jobs: dict[str, Any], settings: Settings = SETTINGS, **more: Any) -> Any:
    return build(parse(demo_body(*jobs, **more)), settings, {})


@pytest.mark.parametrize("name", ENTRIES)
def test_manifests_are_the_golden_ones(name: str, request: pytest.FixtureRequest) -> None:
    intent = plan_of(ENTRIES[name]).intents[-1]
    file = GOLDEN / f"{name}.yaml"
    if request.config.getoption("--update-golden"):
        copy = json.loads(json.dumps(intent.manifest))  # without YAML aliases
        file.write_text(yaml.safe_dump(copy, sort_keys=False))
    assert intent.manifest == yaml.safe_load(file.read_text())


@pytest.mark.parametrize("name", ENTRIES)
def test_every_field_is_one_of_kubernetes(name: str) -> None:
    """lightkube drops what it does not know, so a misspelt field breaks the round trip."""
    intent = plan_of(ENTRIES[name]).intents[-1]
    assert codecs.from_dict(intent.manifest).to_dict() == intent.manifest


@pytest.mark.parametrize("name", ENTRIES)
def test_demo_pods_run_under_the_restricted_standard(name: str) -> None:
    intent = plan_of(ENTRIES[name]).intents[-1]
    pod = intent.manifest["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


JOB = {"name": "a", "scenario": "Custom", "image": "busybox:1.37"}


@pytest.mark.parametrize(
    "change",
    [
        {"run": 2},
        {"image": "busybox:1.36"},
        {"args": ["x"]},
        {"completions": 2},
        {"env": [{"name": "A", "value": "b"}]},
    ],
)
def test_what_kubernetes_forbids_to_change_makes_another_job(change: dict[str, Any]) -> None:
    assert plan_of(JOB).jobs != plan_of(JOB | change).jobs


@pytest.mark.parametrize(
    "change",
    [
        {"backoffLimit": 1},
        {"parallelism": 2},
        {"suspend": True},
        {"activeDeadlineSeconds": 5},
        {"ttlSecondsAfterFinished": 0},
        {"historyLimit": 0},
        {"expected": "Failed"},
    ],
)
def test_what_can_change_in_place_does(change: dict[str, Any]) -> None:
    assert plan_of(JOB).jobs == plan_of(JOB | change).jobs


def test_a_new_operator_image_runs_nobodys_job_again() -> None:
    entry = ENTRIES["ci-pipeline"]
    newer = Settings(image="workshop-demo/operator:newer")
    (old,), (new,) = plan_of(entry).intents, plan_of(entry, settings=newer).intents
    assert old.name == new.name
    live = prepared(old, None)
    assert not needs_apply(new, live)


def test_demos_do_not_meet() -> None:
    one = plan_of(JOB, name="a", uid="1").jobs
    two = plan_of(JOB, name="a", uid="2").jobs
    three = plan_of(JOB | {"name": "b-a"}, name="a", uid="1").jobs
    four = plan_of(JOB, name="a-b", uid="2").jobs
    assert len({*one.values(), *two.values(), *three.values(), *four.values()}) == 4


def test_a_time_to_live_is_set_only_when_the_end_is_on_the_status() -> None:
    entry = JOB | {"ttlSecondsAfterFinished": 0}
    plan = plan_of(entry)
    (intent,) = plan.intents
    assert "ttlSecondsAfterFinished" not in intent.manifest["spec"]
    status = {
        "jobs": [
            {
                "name": "a",
                "scenario": "Custom",
                "run": 1,
                "expected": "Complete",
                "outcome": "Complete",
                "job": plan.jobs["a"],
            }
        ]
    }
    (intent,) = plan_of(entry, status=status).intents
    assert intent.manifest["spec"]["ttlSecondsAfterFinished"] == 0


def _intent(**spec: Any) -> Intent:
    return Intent(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "x", "namespace": "n", "labels": {"a": "b"}},
            "spec": {"template": {"spec": {}}} | spec,
        }
    )


def test_what_others_add_is_no_drift() -> None:
    intent = _intent(suspend=False)
    live = prepared(intent, None)
    live["metadata"]["labels"] = {"a": "b", "theirs": "too"}
    live["spec"] = live["spec"] | {"selector": {}, "manualSelector": False}
    assert not needs_apply(intent, live)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "suspend"), True),
        (("metadata", "labels"), {}),
        (("metadata", "annotations"), {}),
    ],
)
def test_what_was_edited_is_drift(path: tuple[str, str], value: object) -> None:
    intent = _intent(suspend=False)
    live = prepared(intent, None)
    live[path[0]] = live[path[0]] | {path[1]: value}
    assert needs_apply(intent, live)


@pytest.mark.parametrize(
    ("live", "wanted", "same"),
    [
        ("500m", "0.5", True),
        ("1Gi", "1024Mi", True),
        ("1", "1000m", True),
        ("1e3", "1k", True),
        ("1E", "1e18", True),
        ("512Mi", "+.5Gi", True),
        ("1G", "1Gi", False),
        ("64Mi", "65Mi", False),
        ("abc", "abd", False),
    ],
)
def test_quantities_are_compared_by_value(live: str, wanted: str, same: bool) -> None:
    intent = _intent(limit=wanted)
    body = prepared(intent, None)
    body["metadata"] = prepared(intent, None)["metadata"]
    body["spec"] = body["spec"] | {"limit": live}
    assert needs_apply(intent, body) is not same


runs = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "gone"]),
        st.integers(1, 30).map("job-{}".format),
        st.integers(10, 99).map("2026-01-01T00:00:{}Z".format),
        st.booleans(),
    ),
    unique_by=lambda job: job[1],
)


@given(runs)
def test_pruning_keeps_the_planned_and_the_newest_ended(
    jobs: list[tuple[str, str, str, bool]],
) -> None:
    plan = plan_of(JOB | {"historyLimit": 2}, JOB | {"name": "b", "historyLimit": 0})
    current = ("a", plan.jobs["a"], "2026-01-01T00:00:00Z", False)
    doomed = superfluous_jobs(plan, [*jobs, current])
    assert plan.jobs["a"] not in doomed
    kept = [job for job in jobs if job[1] not in doomed]
    assert all(entry == "a" and ended for entry, _, _, ended in kept)
    assert len(kept) <= 2


@pytest.mark.parametrize("scenario", ["Diary", "Postgres"])
def test_all_that_is_planned_can_be_pruned_when_its_section_goes(scenario: str) -> None:
    body = demo_body(
        {"name": "migrate", "scenario": "DatabaseMigration"},
        cron_jobs=[{"name": "report", "scenario": "NightlyReport", "schedule": "0 2 * * *"}],
        log_shipping={},
        service_discovery={},
        stateful_set={"scenario": scenario},
    )
    for intent in build(parse(body), SETTINGS, {}).intents:
        assert is_of_this_version(intent.manifest["metadata"]["labels"]), intent.name
