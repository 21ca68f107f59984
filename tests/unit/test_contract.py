"""The CRD and the code tell the same: what is in two places is checked here."""

import typing
from typing import Any

import msgspec
import pytest

from support import CRD, ROOT, SCHEMA, demo_body
from workshopdemo import model, names
from workshopdemo.errors import InvalidSpecError
from workshopdemo.scenarios import CRON_SCENARIOS, JOB_SCENARIOS

SPEC = SCHEMA["properties"]["spec"]
STATUS = SCHEMA["properties"]["status"]
JOB = SPEC["properties"]["jobs"]["items"]
CRON_JOB = SPEC["properties"]["cronJobs"]["items"]


def test_names_are_the_crds() -> None:
    spec = CRD["spec"]
    assert (spec["group"], spec["names"]["kind"], spec["names"]["plural"]) == (
        names.GROUP,
        names.KIND,
        names.PLURAL,
    )
    assert spec["versions"][0]["name"] == names.VERSION
    assert "status" in spec["versions"][0]["subresources"]


def test_every_scenario_is_in_the_crd_and_no_other() -> None:
    assert set(JOB["properties"]["scenario"]["enum"]) == set(JOB_SCENARIOS)
    assert set(CRON_JOB["properties"]["scenario"]["enum"]) == set(CRON_SCENARIOS)


@pytest.mark.parametrize(
    ("struct", "schema"),
    [
        (model.Spec, SPEC),
        (model.Job, JOB),
        (model.EnvVar, JOB["properties"]["env"]["items"]),
        (model.Status, STATUS),
        (model.Condition, STATUS["properties"]["conditions"]["items"]),
        (model.JobStatus, STATUS["properties"]["jobs"]["items"]),
        (
            model.Attempt,
            STATUS["properties"]["jobs"]["items"]["properties"]["attempts"]["items"],
        ),
        (
            model.PastRun,
            STATUS["properties"]["jobs"]["items"]["properties"]["history"]["items"],
        ),
        (model.CronJob, CRON_JOB),
        (model.CronJobStatus, STATUS["properties"]["cronJobs"]["items"]),
        (model.Run, STATUS["properties"]["cronJobs"]["items"]["properties"]["runs"]["items"]),
        (model.Story, STATUS["properties"]["story"]["items"]),
    ],
)
def test_the_structs_have_the_crds_fields(struct: Any, schema: dict[str, Any]) -> None:
    """A field that the CRD lacks is pruned by the API server without a word."""
    fields = {field.encode_name for field in msgspec.structs.fields(struct)}
    assert fields == set(schema["properties"])


@pytest.mark.parametrize(
    ("alias", "schema"),
    [
        (model.ConcurrencyPolicy, CRON_JOB["properties"]["concurrencyPolicy"]),
        (
            model.RunOutcome,
            STATUS["properties"]["cronJobs"]["items"]["properties"]["runs"]["items"]["properties"][
                "outcome"
            ],
        ),
        (model.Phase, STATUS["properties"]["phase"]),
        (model.Outcome, STATUS["properties"]["jobs"]["items"]["properties"]["outcome"]),
        (
            model.AttemptOutcome,
            STATUS["properties"]["jobs"]["items"]["properties"]["attempts"]["items"]["properties"][
                "outcome"
            ],
        ),
    ],
)
def test_the_enums_are_the_crds(alias: Any, schema: dict[str, Any]) -> None:
    assert set(typing.get_args(alias)) == set(schema["enum"])


def _described(schema: dict[str, Any], path: str) -> list[str]:
    missing = [] if "description" in schema else [path]
    for name, part in schema.get("properties", {}).items():
        missing += _described(part, f"{path}.{name}")
    if "properties" in schema.get("items", {}):
        for name, part in schema["items"]["properties"].items():
            missing += _described(part, f"{path}[].{name}")
    return missing


def test_every_field_is_described_for_kubectl_explain() -> None:
    assert _described(SPEC, "spec") + _described(STATUS, "status") == []


def test_a_mistake_that_only_the_operator_sees_names_its_field() -> None:
    body = demo_body({"name": "a", "scenario": "CIPipeline"}, {"name": "b", "scenario": "Custom"})
    body["spec"]["jobs"][1]["run"] = "twice"
    with pytest.raises(InvalidSpecError) as raised:
        model.parse(body)
    assert raised.value.field == "spec.jobs[1].run"


def test_a_status_of_another_version_counts_as_none() -> None:
    body = demo_body({"name": "a", "scenario": "CIPipeline"}, status={"jobs": "many"})
    assert model.parse(body).status == model.Status()


def test_a_status_survives_the_way_to_the_api_server_and_back() -> None:
    status = model.Status(
        phase="Ready",
        jobs=(
            model.JobStatus(
                name="a",
                scenario="Custom",
                run=1,
                expected="Failed",
                outcome="Failed",
                as_expected=True,
                attempts=(model.Attempt(pod="p", outcome="Failed", exit_code=0, log=""),),
            ),
        ),
    )
    body = demo_body({"name": "a", "scenario": "CIPipeline"}, status=msgspec.to_builtins(status))
    assert model.parse(body).status == status


def test_operator_stays_a_source_root() -> None:
    """With an `__init__.py` it would shadow Python's own `operator` module."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not list((ROOT / "operator").glob("*.py"))
