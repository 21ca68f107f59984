"""What a class may ask for, by the API server's own word; and how many demos, by the operator's."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.client import CustomObjectsApi
from kubernetes.client.exceptions import ApiException
from world import GROUP, PLURAL, QUICK, VERSION, Chart, World, wait_for

CI: dict[str, Any] = {"name": "ci", "scenario": "CIPipeline"}
REPORT: dict[str, Any] = {"name": "report", "scenario": "NightlyReport", "schedule": "0 2 * * *"}
DIARY: dict[str, Any] = {"scenario": "Diary", "replicas": 1, "storage": "64Mi"}
LIMITS = (
    "jobs=2",
    "cronJobs=1",
    "parallelism=2",
    "replicas=2",
    "storage=256Mi",
    "scenarios={CIPipeline,Custom,DataPipeline,NightlyReport,Diary}",
    "images={busybox:,registry.example/course/}",
    "logShipping=false",
    "serviceDiscovery=false",
)
WITH_LOGS = tuple(one for one in LIMITS if one != "logShipping=false")


class Class:
    """A namespace with limits, and one without. No other namespace notices them."""

    def __init__(self, world: World, chart: Chart) -> None:
        self.world = world
        self.exempt = f"{world.namespace}-exempt"
        world.create_namespace(self.exempt)
        self._chart = chart
        self._made: list[dict[str, Any]] = []

    def limit(self, *limits: str) -> None:
        """Install the policy, and wait until the API server has heard of it."""
        self._made = [
            one
            for one in self._chart.rendered(
                *(f"--set=limits.{limit}" for limit in limits),
                f"--set=limits.exemptNamespaces={{{self.exempt}}}",
                f"--set=namespaces={{{self.world.namespace},{self.exempt}}}",
                f"--set=fullnameOverride={self.world.namespace}",
            )
            if one["kind"].startswith("ValidatingAdmissionPolicy")
        ]
        for manifest in self._made:
            self.world.apply_manifest(manifest)
        wait_for("the policy", lambda: self.refusal({"jobs": [CI | {"name": n} for n in "abc"]}))
        policy = self.world.namespace + "-limits"
        types = self.world.kubectl(
            *("get", "validatingadmissionpolicy", policy),
            *("-o", "jsonpath={.status.typeChecking.expressionWarnings}"),
        )
        assert types == "", types

    def refusal(self, spec: dict[str, Any], namespace: str = "") -> str:
        """Why a demo is refused; nothing where it would be taken. Nothing is stored."""
        body = self.world.manifest(spec, "tried", namespace)
        place = (GROUP, VERSION, body["metadata"]["namespace"], PLURAL)
        try:
            CustomObjectsApi(self.world.api).create_namespaced_custom_object(
                *place, body, dry_run="All"
            )
        except ApiException as error:
            if error.status != 403:
                raise
            return str(json.loads(error.body)["message"])
        return ""

    def lift(self) -> None:
        for manifest in self._made:
            self.world.kubectl("delete", manifest["kind"], manifest["metadata"]["name"])


@pytest.fixture
def room(world: World, chart: Chart) -> Iterator[Class]:
    room = Class(world, chart)
    yield room
    room.lift()


def test_what_is_over_a_limit_is_refused_with_the_way_out(room: Class) -> None:
    room.limit(*LIMITS)
    many = [CI | {"name": f"j{number}"} for number in range(3)]
    other = QUICK | {"image": "registry.example/courses:1"}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"jobs": many}, "spec.jobs: has 3 entries, and a demo may have 2 (the value limits.jobs"),
        (
            {"cronJobs": [REPORT, REPORT | {"name": "again"}]},
            "spec.cronJobs: has 2 entries, and a demo may have 1 (the value limits.cronJobs",
        ),
        (
            {"jobs": [CI, QUICK | {"completions": 3, "parallelism": 3}]},
            (
                "spec.jobs: the parallelism of ok is too high, as 2 Pods of a Job may run at a time"
                " (the value limits.parallelism of the operator): say parallelism: 2, or ask your"
            ),
        ),
        ({"jobs": [{"name": "sales", "scenario": "DataPipeline"}]}, "the parallelism of sales is"),
        (
            {"statefulSet": DIARY | {"replicas": 3}},
            "spec.statefulSet.replicas: is 3, and may be 2 (the value limits.replicas",
        ),
        (
            {"statefulSet": DIARY | {"replicas": 2, "storage": "129Mi"}},
            "comes to 258Mi in all, and may come to 256Mi (the value limits.storage",
        ),
        (
            {"jobs": [{"name": "oom", "scenario": "OutOfMemory"}]},
            "the scenario OutOfMemory may not be used here, where there are CIPipeline, Custom, Da",
        ),
        (
            {"cronJobs": [REPORT | {"scenario": "SlowReport"}]},
            "the scenario SlowReport may not be used here",
        ),
        ({"statefulSet": {"scenario": "Postgres"}}, "the scenario Postgres may not be used here"),
        (
            {"jobs": [QUICK, other | {"name": "other"}]},
            (
                "the image registry.example/courses:1 may not be used here, where an image begins"
                " with busybox: or registry.example/course/ (the value limits.images"
            ),
        ),
        ({"cronJobs": [REPORT | other]}, "the image registry.example/courses:1 may not be"),
        ({"statefulSet": DIARY | {"image": "diary:1"}}, "the image diary:1 may not be used here"),
        (
            {"jobs": [CI], "logShipping": {}},
            (
                "spec.logShipping: runs Pods on every node, and may not be used here (the value"
                " limits.logShipping of the operator): remove it, or ask your administrator"
            ),
        ),
        ({"serviceDiscovery": {}}, "spec.serviceDiscovery: runs a Pod on every node, and may not"),
    ]
    for spec, said in refused:
        assert said in room.refusal(spec), (spec, room.refusal(spec))
        assert room.refusal(spec, room.exempt) == "", "where no limit holds"


def test_what_is_within_the_limits_is_taken(room: Class) -> None:
    room.limit(*LIMITS)
    course = QUICK | {"name": "course", "image": "registry.example/course/step:1"}
    for spec in (
        {"jobs": [CI, QUICK | {"completions": 9, "parallelism": 2}], "cronJobs": [REPORT]},
        {"jobs": [QUICK, course], "statefulSet": DIARY | {"replicas": 2, "storage": "128Mi"}},
        {"jobs": [{"name": "sales", "scenario": "DataPipeline", "parallelism": 1}]},
        {"statefulSet": DIARY | {"replicas": 0, "storage": "1Ti"}},
    ):
        assert room.refusal(spec) == "", spec


def test_storage_is_counted_over_all_volumes_and_only_where_there_are_some(room: Class) -> None:
    room.limit(*WITH_LOGS)
    elsewhere = {"otlpHttp": {"endpoint": "https://logs.example/otlp"}}
    assert room.refusal({"logShipping": {"storage": "256Mi"}}) == ""
    assert room.refusal({"logShipping": {"destination": elsewhere}}) == ""
    said = room.refusal({"logShipping": {"storage": "256Mi"}, "statefulSet": DIARY})
    assert "comes to 320Mi in all, and may come to 256Mi" in said
    assert "comes to 1024Mi in all" in room.refusal({"logShipping": {}}), "by its default"


def test_the_biggest_demo_costs_no_more_than_a_rule_may(room: Class) -> None:
    """The API server ends a rule that costs too much, and refuses what it was about."""
    images = ",".join(f"registry-{number}.example/some/course/" for number in range(40))
    room.limit("jobs=19", f"images={{{images}}}", "scenarios={Custom}", "parallelism=50")
    image = "registry-39.example/some/course/" + "x" * 150 + ":1"
    job = QUICK | {"image": image, "parallelism": 50, "completions": 100}
    biggest = [job | {"name": f"j{number}"} for number in range(19)]
    assert room.refusal({"jobs": biggest}) == ""
    assert "spec.jobs: has 20 entries" in room.refusal({"jobs": [*biggest, job]})
    cron_job = REPORT | {"scenario": "Custom", "image": image}
    cron_jobs = [cron_job | {"name": f"c{number}"} for number in range(20)]
    assert room.refusal({"jobs": biggest, "cronJobs": cron_jobs}) == ""


def test_what_is_there_already_goes_on_until_its_spec_is_changed(room: Class, world: World) -> None:
    """A limit that comes later stops nobody: not the operator, and not who sets a label."""
    world.apply(QUICK, CI, CI | {"name": "third"})
    room.limit(*LIMITS)
    world.kubectl("label", "wd", "shop", "course=kubernetes")
    world.kubectl("annotate", "wd", "shop", "example.com/note=kept")
    world.wait_for_phase("Ready")
    add = json.dumps({"spec": {"cronJobs": [REPORT]}})
    said = world.kubectl("patch", "wd", "shop", "--type=merge", "-p", add, fails=True)
    assert "spec.jobs: has 3 entries, and a demo may have 2" in said
    take = json.dumps([{"op": "remove", "path": "/spec/jobs/2"}])
    world.kubectl("patch", "wd", "shop", "--type=json", "-p", take)
    world.wait_for_phase("Ready")
    assert len(world.jobs()) == 2
    world.delete_demo()


@pytest.mark.disruptive
@pytest.mark.usefixtures("chart_as_before")
def test_one_demo_too_many_waits_and_goes_on_when_another_is_deleted(
    world: World, chart: Chart
) -> None:
    exempt = f"{world.namespace}-exempt"
    world.create_namespace(exempt)
    for name in ("first", "second", "third"):
        world.apply(QUICK, name=name)
    for name in ("first", "second", "third"):
        world.wait_for_phase("Ready", name)
    before = {job["metadata"]["uid"] for job in world.jobs()}
    chart.install("--set=limits.demos=2", f"--set=limits.exemptNamespaces={{{exempt}}}")
    world.apply(QUICK, name="late")
    status = world.wait_for_phase("Invalid", "late")
    assert status["summary"] == (
        "metadata.namespace: a namespace may have 2 demos (the value limits.demos of the"
        " operator), and first, second, third came first: delete one that you do not need, and"
        " this one goes on by itself"
    )
    assert world.condition("SpecValid", "late")["reason"] == "TooManyDemos"
    # Who was served before the limit came stays served: told, and looked after.
    world.apply(QUICK | {"run": 2}, name="third")
    world.wait_for_phase("Ready", "third")
    assert before < {job["metadata"]["uid"] for job in world.jobs()}
    for name in ("one", "two", "three"):
        world.apply(QUICK, name=name, namespace=exempt)
    for name in ("one", "two", "three"):
        world.wait_for_phase("Ready", name, exempt)
    world.delete_demo("first")
    wait_for("its word", lambda: "and second, third came" in world.status("late")["summary"])
    assert not [job for job in world.jobs() if "-late-" in job["metadata"]["name"]]
    world.delete_demo("second")
    world.wait_for_phase("Ready", "late")
