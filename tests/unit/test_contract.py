"""The CRD and the code tell the same: what is in two places is checked here."""

import typing
from typing import Any

import msgspec
import pytest

from support import CRD, ROOT, SCHEMA, demo_body, time, with_defaults
from workshopdemo import model, names
from workshopdemo.errors import InvalidSpecError
from workshopdemo.notify.wire import Dialect, TargetKind
from workshopdemo.scenarios import CRON_SCENARIOS, JOB_SCENARIOS

SPEC = SCHEMA["properties"]["spec"]
STATUS = SCHEMA["properties"]["status"]
JOB = SPEC["properties"]["jobs"]["items"]
CRON_JOB = SPEC["properties"]["cronJobs"]["items"]
NOTIFICATIONS = SPEC["properties"]["notifications"]
TARGET = NOTIFICATIONS["properties"]["targets"]["items"]
KINDS = TARGET["properties"]
WEBHOOK = KINDS["webhook"]["properties"]
TOLD = STATUS["properties"]["notifications"]
TARGET_STATUS = TOLD["properties"]["targets"]["items"]
DELIVERY = TOLD["properties"]["recent"]["items"]
LOGS = SPEC["properties"]["logShipping"]
OTLP = LOGS["properties"]["destination"]["properties"]["otlpHttp"]
HEADER = OTLP["properties"]["headers"]["items"]
SHIPPED = STATUS["properties"]["logShipping"]
FOUND = STATUS["properties"]["serviceDiscovery"]
STATEFUL_SET = SPEC["properties"]["statefulSet"]
UPDATES = STATEFUL_SET["properties"]["updateStrategy"]
KEPT = STATUS["properties"]["statefulSet"]
MEMBER = KEPT["properties"]["members"]["items"]
STEP = KEPT["properties"]["steps"]["items"]


def _annotation(struct: Any, field: str) -> Any:
    """The type of a field that has no name of its own."""
    return typing.get_type_hints(struct)[field]


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
        (model.NotificationsSpec, NOTIFICATIONS),
        (model.Target, TARGET),
        (model.InboxTarget, KINDS["inbox"]),
        (model.ChatTarget, KINDS["slack"]),
        (model.ChatTarget, KINDS["googleChat"]),
        (model.HttpTarget, KINDS["webhook"]),
        (model.BasicAuth, WEBHOOK["basicAuth"]),
        (model.FromSecret, WEBHOOK["urlFrom"]),
        (model.SecretKey, WEBHOOK["urlFrom"]["properties"]["secretKeyRef"]),
        (model.NotificationsStatus, TOLD),
        (model.TargetStatus, TARGET_STATUS),
        (model.Delivery, DELIVERY),
        (model.LogShipping, LOGS),
        (model.Emitter, LOGS["properties"]["emitter"]),
        (model.Destination, LOGS["properties"]["destination"]),
        (model.OtlpHttp, OTLP),
        (model.Header, HEADER),
        (model.FromSecret, HEADER["properties"]["valueFrom"]),
        (model.FromSecret, OTLP["properties"]["caFrom"]),
        (model.LogShippingStatus, SHIPPED),
        (model.NodeLogs, SHIPPED["properties"]["nodes"]["items"]),
        (model.UncoveredNode, SHIPPED["properties"]["uncovered"]["items"]),
        (model.ServiceDiscovery, SPEC["properties"]["serviceDiscovery"]),
        (model.ServiceDiscoveryStatus, FOUND),
        (model.NodePods, FOUND["properties"]["nodes"]["items"]),
        (model.ServiceAddresses, FOUND["properties"]["services"]["items"]),
        (model.UncoveredNode, FOUND["properties"]["uncovered"]["items"]),
        (model.StatefulSet, STATEFUL_SET),
        (model.UpdateStrategy, UPDATES),
        (model.RollingUpdate, UPDATES["properties"]["rollingUpdate"]),
        (model.StatefulSetStatus, KEPT),
        (model.Member, MEMBER),
        (model.Step, STEP),
        (model.Blockage, KEPT["properties"]["blocked"]),
    ],
)
def test_the_structs_have_the_crds_fields(struct: Any, schema: dict[str, Any]) -> None:
    """A field that the CRD lacks is pruned by the API server without a word."""
    assert _fields(struct) == _admitted(schema)


def test_an_alertmanager_is_a_webhook_without_signing_keys() -> None:
    """So one struct, with the fields of both, does for the two."""
    signing = {"signingSecretFrom", "previousSigningSecretFrom"}
    assert _fields(model.HttpTarget) - _admitted(KINDS["alertmanager"]) == signing
    assert _admitted(KINDS["alertmanager"]) < _admitted(KINDS["webhook"])


def test_a_kind_of_target_is_a_field_of_it_and_of_the_senders_words() -> None:
    assert {*typing.get_args(TargetKind), "name"} == set(KINDS)


def _fields(struct: Any) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


def _admitted(schema: dict[str, Any]) -> set[str]:
    """The fields of the schema, without those that are there to be refused in words."""
    return {
        name
        for name, part in schema["properties"].items()
        if all(rule["rule"] != "false" for rule in part.get("x-kubernetes-validations", ()))
    }


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
        (model.Notice, CRON_JOB["properties"]["notifyOn"]["items"]),
        (model.Notice, DELIVERY["properties"]["outcome"]),
        (_annotation(model.Delivery, "state"), DELIVERY["properties"]["state"]),
        (_annotation(model.TargetStatus, "state"), TARGET_STATUS["properties"]["state"]),
        (_annotation(model.InboxTarget, "dialect"), KINDS["inbox"]["properties"]["dialect"]),
        (Dialect, KINDS["inbox"]["properties"]["dialect"]),
        (model.StatefulScenario, STATEFUL_SET["properties"]["scenario"]),
        (model.StatefulScenario, KEPT["properties"]["scenario"]),
        (
            _annotation(model.StatefulSet, "pod_management_policy"),
            STATEFUL_SET["properties"]["podManagementPolicy"],
        ),
        (_annotation(model.UpdateStrategy, "type"), UPDATES["properties"]["type"]),
        (model.Role, MEMBER["properties"]["role"]),
        (_annotation(model.Step, "what"), STEP["properties"]["what"]),
    ],
)
def test_the_enums_are_the_crds(alias: Any, schema: dict[str, Any]) -> None:
    assert set(typing.get_args(alias)) == set(schema["enum"])


def test_log_shipping_needs_nothing_but_to_be_there() -> None:
    spec = model.parse(demo_body(log_shipping={})).spec
    assert spec.log_shipping == model.LogShipping(
        tolerate_control_plane=True,
        emitter=model.Emitter(lines=2000, lines_per_second=20, run=1),
        retention="7d",
        storage="1Gi",
    )


def test_service_discovery_needs_nothing_but_to_be_there() -> None:
    spec = model.parse(demo_body(service_discovery={})).spec
    assert spec.service_discovery == model.ServiceDiscovery(tolerate_control_plane=True)


def test_a_stateful_set_needs_nothing_but_its_scenario() -> None:
    body = demo_body()
    body["spec"] = with_defaults({"statefulSet": {"scenario": "Postgres"}}, SPEC)
    assert model.parse(body).spec.stateful_set == model.StatefulSet(
        scenario="Postgres",
        replicas=1,
        storage="256Mi",
        retain=False,
        pod_management_policy="OrderedReady",
        update_strategy=model.UpdateStrategy(type="RollingUpdate"),
    )


def test_what_a_member_s_status_requires_is_always_told() -> None:
    """The API server would refuse a status without."""
    blocked = KEPT["properties"]["blocked"]
    parts = ((model.Member, MEMBER), (model.Step, STEP), (model.Blockage, blocked))
    for struct, schema in parts:
        always = {field.encode_name for field in msgspec.structs.fields(struct) if field.required}
        assert set(schema["required"]) <= always


def test_both_lessons_on_nodes_ask_for_nodes_in_the_same_words() -> None:
    fields = ("tolerateControlPlane", "tolerations", "nodeSelector")
    other = SPEC["properties"]["serviceDiscovery"]
    for field in fields:
        assert other["properties"][field] == LOGS["properties"][field]
    (rule,) = other["x-kubernetes-validations"]
    assert rule in LOGS["x-kubernetes-validations"]
    assert other["properties"].keys() == {"enabled", *fields}


def test_of_the_emitter_a_demo_says_only_what_it_wants_otherwise() -> None:
    spec = model.parse(demo_body(log_shipping={"emitter": {"lines": 10_000}})).spec
    assert spec.log_shipping is not None
    assert spec.log_shipping.emitter == model.Emitter(lines=10_000, lines_per_second=20, run=1)


def test_a_destination_elsewhere_has_headers_from_secrets() -> None:
    secret = {"secretKeyRef": {"name": "log-service", "key": "authorization"}}
    otlp = {
        "endpoint": "https://logs.example/otlp",
        "headers": [{"name": "Authorization", "valueFrom": secret}],
    }
    spec = model.parse(demo_body(log_shipping={"destination": {"otlpHttp": otlp}})).spec
    assert spec.log_shipping is not None
    parsed = msgspec.json.encode(spec.log_shipping.destination.otlp_http)
    assert msgspec.json.decode(parsed) == otlp


def test_a_job_is_told_of_as_a_run_is_but_cannot_be_missed() -> None:
    told = set(JOB["properties"]["notifyOn"]["items"]["enum"])
    assert told == set(typing.get_args(model.Notice)) - {"Missed"}


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


def test_what_another_version_said_is_understood_as_far_as_can_be() -> None:
    """After a rollback, an older version reads what a newer one has written."""
    totals = {"delivered": 7, "pending": 0, "failed": 1}
    status = {
        "phase": "Resting",
        "jobs": "many",
        "weather": {"sun": True},
        "summary": "all is well",
        "notifications": totals | {"opened": 3},
    }
    body = demo_body({"name": "a", "scenario": "CIPipeline"}, status=status)
    assert model.parse(body).status == model.Status(
        summary="all is well", notifications=model.NotificationsStatus(**totals)
    )


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
        service_discovery=model.ServiceDiscoveryStatus(
            desired=3,
            covered=2,
            reason="NodesLeftOut",
            message="2/3 nodes covered",
            as_expected=True,
            nodes=(model.NodePods(node="worker", agent="shop-node-agent-x", pods=4),),
            services=(
                model.ServiceAddresses(
                    service="shop-node-agent",
                    agents=2,
                    endpoint_slices=3,
                    only_endpoint_slices=("10.0.0.1",),
                ),
            ),
        ),
        log_shipping=model.LogShippingStatus(
            desired=1,
            covered=1,
            run=1,
            written=2000,
            received=2000,
            missing=0,
            duplicate=0,
            reason="Shipped",
            message="a sentence",
            nodes=(
                model.NodeLogs(
                    node="n",
                    emitter="p",
                    restarts=0,
                    complete=True,
                    written=2000,
                    received=2000,
                    missing=0,
                    duplicate=0,
                ),
            ),
        ),
        notifications=model.NotificationsStatus(
            delivered=0,
            pending=1,
            failed=0,
            targets=(model.TargetStatus(name="team", kind="slack", state="Idle", waiting=1),),
            recent=(
                model.Delivery(
                    id="1", of="a", outcome="Failure", target="team", state="Pending", time=time()
                ),
            ),
        ),
    )
    body = demo_body({"name": "a", "scenario": "CIPipeline"}, status=msgspec.to_builtins(status))
    assert model.parse(body).status == status


def test_operator_stays_a_source_root() -> None:
    """With an `__init__.py` it would shadow Python's own `operator` module."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not list((ROOT / "operator").glob("*.py"))
