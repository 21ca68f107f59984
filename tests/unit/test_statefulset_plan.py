"""The plan of spec.statefulSet, and of the Jobs that use its database: every object, exactly."""

import copy
import json
from typing import Any

import pytest
import yaml
from lightkube import codecs

from statefulset import demo_with
from support import ROOT, SETTINGS, demo_body
from workshopdemo import names
from workshopdemo.apply import _PRUNED
from workshopdemo.facts import API_VERSIONS, CHILD_KINDS, child_of
from workshopdemo.model import parse
from workshopdemo.names import StatefulSetNames
from workshopdemo.plan import Plan, build, left_over_claims, needs_apply, prepared, unchangeable
from workshopdemo.plan.statefulset import stateful_set_names
from workshopdemo.settings import Settings
from workshopdemo.testimony import PORT

GOLDEN = ROOT / "tests" / "unit" / "golden"
POSTGRES = {"scenario": "Postgres", "replicas": 2}
DIARY = {"scenario": "Diary"}
SECTIONS: dict[str, dict[str, Any]] = {
    "postgres": POSTGRES,
    "diary": {
        "scenario": "Diary",
        "replicas": 3,
        "retain": True,
        "storage": "64Mi",
        "storageClassName": "fast",
        "podManagementPolicy": "Parallel",
        "updateStrategy": {"type": "OnDelete"},
        "image": "workshop-demo/operator:next",
        "resources": {"requests": {"cpu": "20m"}, "limits": {"memory": "48Mi"}},
    },
}
MIGRATE = {"name": "migrate", "scenario": "DatabaseMigration"}
REPORT = {
    "name": "report",
    "scenario": "NightlyReport",
    "schedule": "0 2 * * *",
    "timeZone": "Europe/Berlin",
}
BACKUP = {"name": "backup", "scenario": "DatabaseBackup", "schedule": "0 3 * * *"}
CI = {"name": "ci", "scenario": "CIPipeline"}
KINDS = {
    "postgres": ["ConfigMap", "Service", "Service", "StatefulSet"],
    "diary": ["Service", "Service", "StatefulSet"],
}


def plan_of(
    section: dict[str, Any] | None,
    *jobs: dict[str, Any],
    settings: Settings = SETTINGS,
    **more: Any,
) -> Plan:
    return build(parse(demo_body(*jobs, stateful_set=section, **more)), settings, {})


def plain(plan: Plan) -> list[dict[str, Any]]:
    """Its manifests as JSON has them, without what two of them share."""
    return [json.loads(json.dumps(one.manifest)) for one in plan.intents]


def golden(name: str, planned: list[dict[str, Any]], request: pytest.FixtureRequest) -> None:
    file = GOLDEN / f"{name}.yaml"
    for manifest in planned:
        if manifest["kind"] == "ConfigMap":
            manifest["data"] = {}  # the scripts have files of their own
        if manifest["kind"] == "StatefulSet":
            manifest["spec"]["template"]["metadata"].pop("annotations", None)  # their digest
    if request.config.getoption("--update-golden"):
        file.write_text(yaml.safe_dump_all(planned, sort_keys=False, allow_unicode=True))
    assert planned == list(yaml.safe_load_all(file.read_text()))


@pytest.mark.parametrize("name", SECTIONS)
def test_manifests_are_the_golden_ones(name: str, request: pytest.FixtureRequest) -> None:
    golden(f"statefulset-{name}", plain(plan_of(SECTIONS[name])), request)


@pytest.mark.parametrize("section", [POSTGRES, DIARY, None], ids=["postgres", "diary", "none"])
def test_jobs_that_use_the_database_are_the_golden_ones(
    section: dict[str, Any] | None, request: pytest.FixtureRequest
) -> None:
    """A diary is no database: its Jobs are those of a demo without a StatefulSet."""
    plan = plan_of(section, MIGRATE, cron_jobs=[REPORT, BACKUP])
    planned = [one for one in plain(plan) if one["kind"] in ("PersistentVolumeClaim", "Job")]
    planned += [one for one in plain(plan) if one["kind"] == "CronJob"]
    golden(f"jobs-with{'' if section is POSTGRES else 'out'}-database", planned, request)


@pytest.mark.parametrize("section", [*SECTIONS.values(), None], ids=[*SECTIONS, "none"])
def test_every_field_is_one_of_kubernetes(section: dict[str, Any] | None) -> None:
    """lightkube drops what it does not know, so a misspelt field breaks the round trip."""
    for manifest in plain(plan_of(section, MIGRATE, cron_jobs=[REPORT, BACKUP])):
        assert codecs.from_dict(manifest).to_dict() == manifest


def pods_of(plan: Plan) -> list[dict[str, Any]]:
    found = []
    for one in plain(plan):
        spec = one.get("spec", {})
        template = spec.get("jobTemplate", one)["spec"].get("template") if spec else None
        found += [template["spec"]] if template else []
    return found


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_every_pod_runs_under_the_restricted_standard(section: dict[str, Any]) -> None:
    pods = pods_of(plan_of(section, MIGRATE, cron_jobs=[REPORT, BACKUP]))
    assert len(pods) == 4
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        kinds = {kind for volume in pod.get("volumes", ()) for kind in volume} - {"name"}
        assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"memory"} <= container["resources"]["limits"].keys()


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_what_a_container_mounts_there_is(section: dict[str, Any]) -> None:
    for pod in pods_of(plan_of(section, MIGRATE, cron_jobs=[REPORT, BACKUP])):
        # A member's claim is a volume that the template does not name.
        own = {names.MEMBER_CLAIM} if "topologySpreadConstraints" in pod else set()
        volumes = {volume["name"] for volume in pod.get("volumes", ())} | own
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


@pytest.mark.parametrize("section", [POSTGRES, DIARY], ids=["postgres", "diary"])
def test_names_lead_to_each_other(section: dict[str, Any]) -> None:
    plan = plan_of(section)
    assert plan.stateful_set is not None
    stateful_set = plan.intent("StatefulSet", plan.stateful_set.stateful_set).manifest["spec"]
    members = plan.intent("Service", stateful_set["serviceName"]).manifest["spec"]
    ordinary = plan.intent("Service", plan.stateful_set.stateful_set).manifest["spec"]
    labels = stateful_set["template"]["metadata"]["labels"]
    assert members["clusterIP"] == "None"
    assert "clusterIP" not in ordinary
    assert members["selector"] == stateful_set["selector"]["matchLabels"]
    assert members["selector"].items() <= labels.items()
    only = ordinary["selector"].items() - members["selector"].items()
    assert only == (
        {(names.POD_NAME_LABEL, "bookshop-database-0")} if section is POSTGRES else set()
    )
    ports = {
        port["name"]: port["containerPort"]
        for container in stateful_set["template"]["spec"]["containers"]
        for port in container["ports"]
    }
    for service in (members, ordinary):
        assert all(ports[port["targetPort"]] == port["port"] for port in service["ports"])
    assert ports["http"] == PORT
    (template,) = stateful_set["volumeClaimTemplates"]
    assert f"{template['metadata']['name']}-" == plan.stateful_set.claim(0).partition("bookshop")[0]
    assert "ownerReferences" not in template["metadata"], "Kubernetes removes it, or nobody"


def test_the_witness_is_in_the_operators_image_and_the_database_in_its_own() -> None:
    plan = plan_of(POSTGRES | {"image": "postgres:17.2"}, cron_jobs=[BACKUP])
    pods = [{one["name"]: one["image"] for one in pod["containers"]} for pod in pods_of(plan)]
    assert {"postgres": "postgres:17.2", "witness": SETTINGS.image} in pods
    assert {"restore": SETTINGS.postgres_image} in pods, "another release reads its dumps"


def test_the_scripts_of_a_newer_operator_replace_the_pods() -> None:
    (intent,) = [one for one in plan_of(POSTGRES).intents if one.kind == "StatefulSet"]
    annotations = intent.manifest["spec"]["template"]["metadata"]["annotations"]
    (scripts,) = [one for one in plan_of(POSTGRES).intents if one.kind == "ConfigMap"]
    assert annotations == {names.CONFIG_ANNOTATION: names.digest(scripts.manifest["data"])}
    files = (ROOT / "operator" / "workshopdemo" / "programs" / "postgres").glob("*.sh")
    assert scripts.manifest["data"] == {file.name: file.read_text() for file in files}


# Names.

LONG = "d" * 63


@pytest.mark.parametrize("section", [POSTGRES, DIARY], ids=["postgres", "diary"])
def test_the_longest_names_fit(section: dict[str, Any]) -> None:
    plan = plan_of(section, MIGRATE, cron_jobs=[BACKUP], name=LONG)
    for one in plain(plan):
        is_part = names.COMPONENT_LABEL in one["metadata"]["labels"]
        limit = names.COMPONENT_NAME_LIMIT if is_part else names.POD_NAME_LIMIT
        assert len(one["metadata"]["name"]) <= limit
        assert all(len(value) <= 63 for value in one["metadata"]["labels"].values())
    named = plan.stateful_set
    assert named is not None
    assert named.stateful_set != named.members
    assert len(f"{named.stateful_set}-0123456789") <= 63, "the label with the revision"
    assert len(named.pod(8)) <= 63
    assert len(named.claim(8)) <= 253
    assert named.ordinal_of_claim(named.claim(8)) == named.ordinal_of(named.pod(8)) == 8


def test_demos_in_one_namespace_never_meet() -> None:
    demos = ["shop", "shop-database", "shop-diary", "data-shop", "shop-database-0", "shop-members"]
    demos += [LONG, LONG[:-1] + "e"]
    every = []
    for demo in demos:
        for section in (POSTGRES, DIARY):
            plan = plan_of(
                section,
                log_shipping={},
                service_discovery={},
                cron_jobs=[REPORT],
                name=demo,
                uid=f"uid-of-{demo}",
            )
            assert plan.stateful_set is not None
            every += [(one.kind, one.name) for one in plan.intents if _is_of(section, one)]
            claims = [plan.stateful_set.claim(ordinal) for ordinal in range(9)]
            every += [("PersistentVolumeClaim", claim) for claim in claims]
            if plan.credentials is not None:
                every.append(("Secret", plan.credentials["metadata"]["name"]))
    assert len(set(every)) == len(every)


def _is_of(section: dict[str, Any], intent: Any) -> bool:
    """Whether the intent is the section's; what else the demo has is counted once."""
    component = intent.manifest["metadata"]["labels"].get(names.COMPONENT_LABEL)
    return component in ("database", "diary") or section is POSTGRES


@pytest.mark.parametrize(
    ("claim", "ordinal"),
    [
        ("data-shop-diary-0", 0),
        ("data-shop-diary-12", 12),
        ("data-shop-diary-01", None),
        ("data-shop-diary-", None),
        ("data-shop-diary--1", None),
        ("data-shop-diary-0-0", None),
        ("data-shop-diary-٣", None),
        ("data-shop-diary-1\n", None),
        ("data-shop-diary-" + "9" * 5000, None),
        ("other-shop-diary-0", None),
        ("data-my-shop-diary-0", None),
        ("shop-data", None),
        ("data", None),
    ],
)
def test_a_claim_is_a_members_by_its_whole_name(claim: str, ordinal: int | None) -> None:
    named = StatefulSetNames(
        component="diary", main_container="diary", stateful_set="shop-diary", members="x"
    )
    assert named.ordinal_of_claim(claim) == ordinal


# Jobs.


def test_only_jobs_that_use_the_database_are_other_jobs_with_one() -> None:
    other = {"name": "count", "scenario": "Custom", "image": "busybox:1.37"}
    before, after = plan_of(None, CI, MIGRATE, other), plan_of(POSTGRES, CI, MIGRATE, other)
    assert {name for name in before.jobs if before.jobs[name] != after.jobs[name]} == {"migrate"}
    assert plan_of(DIARY, CI, MIGRATE, other).jobs == before.jobs


def test_members_may_change_without_a_job_running_again() -> None:
    changed = POSTGRES | {"replicas": 5, "image": "postgres:17.2", "retain": True}
    newer = Settings(image="operator:newer", postgres_image="postgres:newer")
    assert plan_of(POSTGRES, MIGRATE).jobs == plan_of(changed, MIGRATE).jobs
    assert plan_of(POSTGRES, MIGRATE).jobs == plan_of(POSTGRES, MIGRATE, settings=newer).jobs


@pytest.mark.parametrize(
    ("section", "work", "has_volume"),
    [
        (None, [MIGRATE], True),
        (DIARY, [MIGRATE], True),
        (POSTGRES, [MIGRATE], False),
        (POSTGRES, [CI], False),
    ],
)
def test_a_volume_of_jobs_is_there_only_where_something_is_on_it(
    section: dict[str, Any] | None, work: list[dict[str, Any]], has_volume: bool
) -> None:
    kinds = [one.kind for one in plan_of(section, *work).intents]
    assert ("PersistentVolumeClaim" in kinds) is has_volume


def test_a_backup_keeps_its_volume_with_a_database_too() -> None:
    plan = plan_of(POSTGRES, cron_jobs=[BACKUP])
    assert [one.name for one in plan.intents if one.kind == "PersistentVolumeClaim"] == [
        "bookshop-data"
    ]


# Passwords.


def test_no_plan_has_a_password() -> None:
    plan = plan_of(POSTGRES, MIGRATE, cron_jobs=[REPORT, BACKUP])
    assert plan.credentials is not None
    assert set(plan.credentials) == {"apiVersion", "kind", "metadata", "type"}
    assert plan.credentials["metadata"]["ownerReferences"][0]["uid"] == "demo-uid-1"
    assert "Secret" not in {one.kind for one in plan.intents}
    for pod in pods_of(plan):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            for variable in container.get("env", ()):
                if "PASSWORD" in variable["name"]:
                    reference = {"name": "bookshop-database", "key": "password"}
                    assert variable["valueFrom"] == {"secretKeyRef": reference}
    assert "Secret" not in CHILD_KINDS, "no Secret is watched, listed or pruned"


def test_only_a_database_has_credentials() -> None:
    assert plan_of(DIARY, MIGRATE).credentials is None
    assert plan_of(None, MIGRATE).credentials is None


# What changes, and what cannot.


@pytest.mark.parametrize("name", SECTIONS)
def test_a_new_kind_of_child_is_known_wherever_kinds_are_listed(name: str) -> None:
    planned = plain(plan_of(SECTIONS[name]))
    assert [one["kind"] for one in planned] == KINDS[name]
    for one in planned:
        assert API_VERSIONS[one["kind"]] == one["apiVersion"]
        assert one["kind"] in _PRUNED


def living(section: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """The StatefulSet as the API server gives it."""
    (intent,) = [one for one in plan_of(section).intents if one.kind == "StatefulSet"]
    body = copy.deepcopy(prepared(intent, None))
    body["metadata"] |= {
        "uid": "1",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": "2026-03-02T09:00:00Z",
    }
    (template,) = body["spec"]["volumeClaimTemplates"]
    template |= {"status": {"phase": "Pending"}}
    template["metadata"] |= {"creationTimestamp": None}
    template["spec"] |= {"volumeMode": "Filesystem"}
    body["spec"]["template"]["spec"] |= {"restartPolicy": "Always", "schedulerName": "default"}
    body["spec"] |= {"revisionHistoryLimit": 10} | spec
    return body


@pytest.mark.parametrize("section", [*SECTIONS.values(), DIARY | {"storage": "0.5Gi"}])
def test_what_the_api_server_adds_is_no_drift(section: dict[str, Any]) -> None:
    (intent,) = [one for one in plan_of(section).intents if one.kind == "StatefulSet"]
    body = json.loads(json.dumps(living(section)))
    if section.get("storage") == "0.5Gi":
        (template,) = body["spec"]["volumeClaimTemplates"]
        template["spec"]["resources"] = {"requests": {"storage": "512Mi"}}
    live = child_of("StatefulSet", body).intended
    assert not needs_apply(intent, live)
    assert unchangeable(intent, live) == ()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("volumeClaimTemplates", []),
        ("serviceName", "another"),
        ("podManagementPolicy", "Parallel"),
        ("selector", {"matchLabels": {"app": "another"}}),
    ],
)
def test_what_cannot_be_changed_is_named_and_sent_back_as_it_is(field: str, value: object) -> None:
    (intent,) = [one for one in plan_of(DIARY).intents if one.kind == "StatefulSet"]
    live = child_of("StatefulSet", living(DIARY, **{field: value})).intended
    assert unchangeable(intent, live) == (field,)
    assert not needs_apply(intent, live), "applying for ever would change nothing"
    assert prepared(intent, live)["spec"][field] == value


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 5},
        {"retain": True},
        {"image": "other:1"},
        {"updateStrategy": {"rollingUpdate": {"partition": 1}}},
        {"resources": {"limits": {"memory": "1Gi"}}},
    ],
)
def test_what_can_be_changed_is_applied(change: dict[str, Any]) -> None:
    (intent,) = [one for one in plan_of(DIARY | change).intents if one.kind == "StatefulSet"]
    live = child_of("StatefulSet", living(DIARY)).intended
    assert needs_apply(intent, live)
    assert unchangeable(intent, live) == ()


@pytest.mark.parametrize(
    ("retain", "pods", "left"),
    [
        (False, [], ["data-bookshop-diary-2", "data-bookshop-diary-3"]),
        (False, ["bookshop-diary-2"], ["data-bookshop-diary-3"]),
        (True, [], []),
    ],
)
def test_claims_are_left_over_where_nobody_else_removes_them(
    retain: bool, pods: list[str], left: list[str]
) -> None:
    demo = demo_with({"scenario": "Diary", "replicas": 2, "retain": retain})
    assert demo.spec.stateful_set is not None
    named = stateful_set_names(demo, demo.spec.stateful_set)
    claims = [*map(named.claim, range(4)), "bookshop-data", "data-bookshop-database-3"]
    assert left_over_claims(demo.spec.stateful_set, named, claims, pods) == left
