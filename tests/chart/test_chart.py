"""The chart, without a cluster: what it renders, and what it refuses.

HELM names the helm to use; else the one on PATH is taken.
"""

import os
import re
import shutil
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube import codecs

from workshopdemo import app, settings
from workshopdemo.cluster import Access, access
from workshopdemo.cluster.port import API_NAMESPACE, API_SERVICE
from workshopdemo.inbox import settings as inbox_settings
from workshopdemo.notify.allowed import AllowList
from workshopdemo.scenarios import JOB_SCENARIOS

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/workshop-demo"
CRD = ROOT / "crds/workshopdemos.workshopdemo.dev.yaml"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))

# A helm that `go install` built has no release's number, and takes the cluster for 1.20.
KUBERNETES = "1.34.0"

Object = dict[str, Any]

POLICY = "ValidatingAdmissionPolicy"
LIMITS = (
    "jobs=3",
    "cronJobs=3",
    "parallelism=3",
    "replicas=3",
    "storage=1Gi",
    "scenarios={CIPipeline,Custom}",
    "images={busybox:}",
    "logShipping=false",
    "serviceDiscovery=false",
)
"""Each with a value that is a limit."""


def verbs(needed: Iterable[Access]) -> dict[str, set[str]]:
    """Verbs by resource."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in needed:
        found[f"{one.resource}.{one.group}".rstrip(".")].add(one.verb)
    return found


# What the operator itself says it needs.
SERVED = verbs(access.REQUIRED)
DISCOVERED = verbs(access.DISCOVERY)
API_ADDRESSES = verbs(access.API_DISCOVERY)
NAMESPACES = verbs(access.NAMESPACE_DISCOVERY)


@pytest.fixture(scope="session")
def helm() -> str:
    found = os.environ.get("HELM") or shutil.which("helm")
    if not found:
        pytest.fail("helm is needed: put it on PATH, or name it in the variable HELM")
    return found


def run(helm: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm, *args], capture_output=True, text=True, timeout=60, check=False)


def render(helm: str, *args: str) -> list[Object]:
    done = run(
        helm, "template", "demo", str(CHART), "--namespace=system", f"--kube-version={KUBERNETES}",
        *args,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def values_file(path: Path | None) -> list[str]:
    return [f"--values={path}"] if path else []


@pytest.fixture(params=[None, *CI_VALUES], ids=lambda path: path.stem if path else "default")
def rendered(helm: str, request: pytest.FixtureRequest) -> list[Object]:
    return render(helm, *values_file(request.param))


def only(objects: list[Object], kind: str) -> Object:
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def pod_specs(objects: list[Object]) -> Iterator[Object]:
    for each in objects:
        if "template" in each.get("spec", {}):
            yield each["spec"]["template"]["spec"]


def deployment(objects: list[Object], suffix: str = "") -> Object:
    """The operator's; or the one whose name has that end."""
    found = [each for each in objects if each["kind"] == "Deployment"]
    operator = min(found, key=lambda each: len(each["metadata"]["name"]))["metadata"]["name"]
    (one,) = [each for each in found if each["metadata"]["name"] == operator + suffix]
    return one


def pod_spec(objects: list[Object], suffix: str = "") -> Object:
    return dict(deployment(objects, suffix)["spec"]["template"]["spec"])


def environment(pod: Object) -> dict[str, str]:
    """What its only container gets; what is known in a cluster alone is told by its place there."""
    (container,) = pod["containers"]
    return {
        each["name"]: each["value"]
        if "value" in each
        else each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in container["env"]
    }


def rules(objects: list[Object], kind: str, suffix: str = "") -> dict[str, set[str]]:
    """Verbs by resource of the role with that kind and end of name."""
    found = [each for each in objects if each["kind"] == kind]
    (role,) = [each for each in found if each["metadata"]["name"] == f"demo-workshop-demo{suffix}"]
    return {
        f"{resource}.{group}".rstrip("."): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


class TestChartItself:
    @pytest.mark.parametrize("path", [None, *CI_VALUES])
    def test_lint(self, helm: str, path: Path | None) -> None:
        done = run(helm, "lint", "--strict", str(CHART), *values_file(path))
        assert done.returncode == 0, done.stdout + done.stderr

    def test_version_is_the_program_s(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
        assert (chart["version"], chart["appVersion"]) == (project["version"],) * 2

    def test_copy_of_the_crd(self) -> None:
        assert (CHART / "files" / CRD.name).read_bytes() == CRD.read_bytes(), "run: make chart-crd"

    def test_schema_knows_exactly_the_values(self) -> None:
        schema = yaml.safe_load((CHART / "values.schema.json").read_text())
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        assert set(schema["properties"]) - {"global"} == set(values)
        parts = {key for key, part in schema["properties"].items() if "properties" in part}
        for key in parts - {"resources"}:  # some of which are left out
            assert set(schema["properties"][key]["properties"]) == set(values[key]), key


class TestEverythingRendered:
    def test_no_field_is_misspelt(self, rendered: list[Object]) -> None:
        # lightkube drops the fields that it does not know.
        for each in rendered:
            if each["kind"] != "CustomResourceDefinition":
                assert codecs.from_dict(each).to_dict() == each

    def test_no_wildcard_in_any_right(self, rendered: list[Object]) -> None:
        for each in rendered:
            for rule in each.get("rules", ()):
                assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]

    def test_pods_are_confined(self, rendered: list[Object]) -> None:
        pods = list(pod_specs(rendered))
        assert pods
        for pod in pods:
            assert pod["securityContext"] == {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            for container in pod["containers"] + pod.get("initContainers", []):
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }

    def test_every_binding_binds_what_is_there(self, rendered: list[Object]) -> None:
        roles = {
            (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
            for each in rendered
        }
        account = only(rendered, "ServiceAccount")["metadata"]
        for each in rendered:
            if "roleRef" in each:
                role = (each["roleRef"]["kind"], each["metadata"].get("namespace"))
                assert (*role, each["roleRef"]["name"]) in roles
                assert [(s["namespace"], s["name"]) for s in each["subjects"]] == [
                    (account["namespace"], account["name"])
                ]

    def test_pod_uses_the_account_and_one_image(self, rendered: list[Object]) -> None:
        pod = pod_spec(rendered)
        assert pod["serviceAccountName"] == only(rendered, "ServiceAccount")["metadata"]["name"]
        (container,) = pod["containers"]
        env = environment(pod)
        assert env["WORKSHOPDEMO_IMAGE"] == container["image"]
        assert env["WORKSHOPDEMO_PULL_POLICY"] == container["imagePullPolicy"]
        assert env["WORKSHOPDEMO_PROBE_PORT"] == str(container["ports"][0]["containerPort"])
        assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in
                ("startup", "liveness", "readiness")} == {"probes"}  # fmt: skip

    def test_operator_may_end_what_it_sends(self, rendered: list[Object]) -> None:
        assert pod_spec(rendered)["terminationGracePeriodSeconds"] >= app.LAST_POST + 5

    def test_a_node_can_be_drained_of_both(self, rendered: list[Object]) -> None:
        """No `--delete-emptydir-data` is asked for."""
        for pod in pod_specs(rendered):
            assert not [volume for volume in pod.get("volumes", ()) if "emptyDir" in volume]

    def test_selector_holds_nothing_that_an_upgrade_changes(self, rendered: list[Object]) -> None:
        for each in rendered:
            if each["kind"] == "Deployment":
                selector = each["spec"]["selector"]["matchLabels"]
                assert set(selector) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}

    def test_nobody_selects_another_s_pods(self, rendered: list[Object]) -> None:
        deployments = [each for each in rendered if each["kind"] == "Deployment"]
        for one in deployments:
            selector = one["spec"]["selector"]["matchLabels"].items()
            selected = [
                other["metadata"]["name"]
                for other in deployments
                if selector <= other["spec"]["template"]["metadata"]["labels"].items()
            ]
            assert selected == [one["metadata"]["name"]]


class TestSettings:
    def test_the_operator_can_read_its_environment(self, rendered: list[Object]) -> None:
        pod = pod_spec(rendered)
        loaded = settings.load(environment(pod))
        assert loaded.image == pod["containers"][0]["image"]
        assert loaded.identity == "metadata.name"

    def test_images_of_others_reach_the_operator(self, helm: str) -> None:
        values = yaml.safe_load((CHART / "values.yaml").read_text())
        loaded = settings.load(environment(pod_spec(render(helm))))
        assert (loaded.collector_image, loaded.aggregator_image, loaded.postgres_image) == (
            values["logShipping"]["collectorImage"],
            values["logShipping"]["aggregatorImage"],
            values["statefulSet"]["postgresImage"],
        )
        mirrored = f"mirror.example:5000/postgres@sha256:{'0' * 64}"
        objects = render(helm, f"--set=statefulSet.postgresImage={mirrored}")
        assert settings.load(environment(pod_spec(objects))).postgres_image == mirrored

    def test_namespaces_reach_the_operator(self, helm: str) -> None:
        objects = render(helm, "--set=namespaces={one,two}")
        assert environment(pod_spec(objects))["WORKSHOPDEMO_NAMESPACES"] == "one,two"

    def test_a_tag_is_never_a_number(self, helm: str) -> None:
        for pod in pod_specs(render(helm, "--set-string=image.tag=20261125")):
            assert pod["containers"][0]["image"].endswith(":20261125")

    def test_hosts_that_demos_may_reach(self, helm: str) -> None:
        hosts = ["10.0.0.0/8:9093", "*.lab.example:443", "alertmanager.monitoring", "[fd00::1]:80"]
        objects = render(helm, f"--set=notifications.allowedHosts={{{','.join(hosts)}}}")
        loaded = settings.load(environment(pod_spec(objects)))
        assert loaded.allowed_hosts == tuple(hosts)
        assert AllowList(loaded.allowed_hosts), "the operator can read each of them"
        assert settings.load(environment(pod_spec(render(helm)))).allowed_hosts == ()


class TestInbox:
    def test_the_operator_knows_its_service(self, helm: str) -> None:
        objects = render(helm)
        service = only(objects, "Service")
        loaded = settings.load(environment(pod_spec(objects)))
        assert loaded.inbox_url == "http://demo-workshop-demo-inbox.system.svc:80"
        assert (service["metadata"]["name"], service["metadata"]["namespace"]) == (
            "demo-workshop-demo-inbox", "system",
        )  # fmt: skip
        (port,) = service["spec"]["ports"]
        assert (port["port"], port["targetPort"]) == (80, "http")

    @pytest.mark.parametrize("path", [None, CHART / "ci/cluster-values.yaml"])
    def test_its_service_leads_to_its_pod(self, helm: str, path: Path | None) -> None:
        objects = render(helm, *values_file(path))
        service, inbox = only(objects, "Service"), deployment(objects, "-inbox")
        assert service["spec"]["selector"] == inbox["spec"]["selector"]["matchLabels"]
        pod = pod_spec(objects, "-inbox")
        (container,) = pod["containers"]
        assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
            "http": inbox_settings.load(environment(pod)).port
        }

    def test_it_is_a_stranger_to_the_cluster(self, helm: str) -> None:
        pod = pod_spec(render(helm), "-inbox")
        assert pod["automountServiceAccountToken"] is False
        assert "serviceAccountName" not in pod
        assert "volumes" not in pod

    def test_it_runs_from_the_one_image(self, helm: str) -> None:
        objects = render(helm)
        (operator,), (inbox,) = (
            pod_spec(objects, suffix)["containers"] for suffix in ("", "-inbox")
        )
        assert inbox["image"] == operator["image"]
        assert inbox["command"] == ["python3", "-m", "workshopdemo.inbox"]

    def test_its_values_reach_it(self, helm: str) -> None:
        objects = render(helm, "--set=inbox.port=9999,inbox.maxMessages=100000,log.level=DEBUG")
        loaded = inbox_settings.load(environment(pod_spec(objects, "-inbox")))
        assert loaded == inbox_settings.Settings(
            port=9999, most_messages=100_000, log_level="DEBUG"
        )

    def test_defaults_are_the_program_s(self, helm: str) -> None:
        loaded = inbox_settings.load(environment(pod_spec(render(helm), "-inbox")))
        assert loaded == inbox_settings.Settings()

    def test_none_on_request(self, helm: str) -> None:
        objects = render(helm, "--set=inbox.enabled=false")
        assert "Service" not in {each["kind"] for each in objects}
        assert len(list(pod_specs(objects))) == 1
        assert settings.load(environment(pod_spec(objects))).inbox_url == ""


class TestRights:
    def test_whole_cluster(self, helm: str) -> None:
        objects = render(helm)
        assert rules(objects, "ClusterRole") == SERVED
        assert rules(objects, "ClusterRole", "-discovery") == DISCOVERED
        (role,) = [each for each in objects if each["kind"] == "Role"]
        assert rules([role], "Role", "-api-addresses") == API_ADDRESSES

    def test_namespaces_by_name(self, helm: str) -> None:
        objects = render(helm, "--set=namespaces={one,two}", "--set=rbac.aggregate=false")
        everything = [each for each in objects if each["kind"] == "Role"]
        roles = [role for role in everything if role["metadata"]["namespace"] != API_NAMESPACE]
        assert {role["metadata"]["namespace"] for role in roles} == {"one", "two"}
        for role in roles:
            assert rules([role], "Role") == SERVED
        (cluster_role,) = [each for each in objects if each["kind"] == "ClusterRole"]
        assert rules([cluster_role], "ClusterRole", "-discovery") == {
            **DISCOVERED,
            **NAMESPACES,
        }

    def test_of_the_namespace_default_only_the_api_servers_addresses(self, helm: str) -> None:
        (role,) = [
            each
            for each in render(helm)
            if each["kind"] == "Role" and each["metadata"]["namespace"] == API_NAMESPACE
        ]
        assert [rule["resourceNames"] for rule in role["rules"]] == [[API_SERVICE]]

    def test_people(self, helm: str) -> None:
        objects = render(helm)
        demos = "workshopdemos.workshopdemo.dev"
        assert rules(objects, "ClusterRole", "-view") == {demos: {"get", "list", "watch"}}
        assert rules(objects, "ClusterRole", "-edit") == {
            demos: {"create", "update", "patch", "delete", "deletecollection"}
        }

    def test_none_on_request(self, helm: str) -> None:
        objects = render(helm, "--set=rbac.create=false,rbac.aggregate=false")
        assert {each["kind"] for each in objects} == {
            "CustomResourceDefinition",
            "Deployment",
            "Service",
            "ServiceAccount",
        }

    def test_with_namespaces_by_name_nothing_of_theirs_is_read_cluster_wide(
        self, helm: str
    ) -> None:
        objects = render(helm, "--set=namespaces={one,two}")
        seen = {
            resource
            for each in objects
            if each["kind"] == "ClusterRole"
            for rule in each["rules"]
            for resource in rule["resources"]
        }
        # What the aggregated roles let people do is theirs, in the namespaces that they have.
        assert seen == {"customresourcedefinitions", "namespaces", "nodes", "workshopdemos"}

    @pytest.mark.parametrize("setting", ["rbac.create=true", "namespaces={one,two}"])
    def test_secrets_are_read_by_name_and_made_and_no_more(self, helm: str, setting: str) -> None:
        verbs = [
            verb
            for each in render(helm, f"--set={setting}")
            for rule in each.get("rules", ())
            if "secrets" in rule["resources"]
            for verb in rule["verbs"]
        ]
        assert set(verbs) == {"get", "create"}

    def test_nobody_but_the_operator_writes_a_status(self, helm: str) -> None:
        for each in render(helm):
            for rule in each.get("rules", ()):
                if "workshopdemos/status" in rule["resources"]:
                    assert each["metadata"]["name"] == "demo-workshop-demo"


class TestLimits:
    def test_none_unless_asked_for(self, helm: str) -> None:
        objects = render(helm)
        assert not {each["kind"] for each in objects} & {POLICY, f"{POLICY}Binding"}
        loaded = settings.load(environment(pod_spec(objects)))
        assert (loaded.demos_per_namespace, loaded.exempt_namespaces) == (0, ())

    def test_the_operator_itself_counts_the_demos(self, helm: str) -> None:
        values = "--set=limits.demos=3,limits.exemptNamespaces={workshop,other}"
        objects = render(helm, values)
        assert not [each for each in objects if each["kind"] == POLICY]
        loaded = settings.load(environment(pod_spec(objects)))
        assert (loaded.demos_per_namespace, loaded.exempt_namespaces) == (3, ("workshop", "other"))

    @pytest.mark.parametrize("limit", LIMITS)
    def test_each_limit_is_one_rule_that_names_its_value(self, helm: str, limit: str) -> None:
        policy = only(render(helm, f"--set=limits.{limit}"), POLICY)["spec"]
        (rule,) = policy["validations"]
        assert f"limits.{limit.partition('=')[0]} of" in rule["messageExpression"]
        assert "or ask your administrator" in rule["messageExpression"]

    def test_every_limit_has_its_rule(self, helm: str) -> None:
        values = yaml.safe_load((CHART / "values.yaml").read_text())["limits"]
        tried = {limit.partition("=")[0] for limit in LIMITS}
        assert tried == set(values) - {"demos", "exemptNamespaces"}
        objects = render(helm, *(f"--set=limits.{limit}" for limit in LIMITS))
        assert len(only(objects, POLICY)["spec"]["validations"]) == len(LIMITS)

    def test_a_policy_is_bound_and_refuses(self, helm: str) -> None:
        objects = render(helm, "--set=limits.jobs=3")
        policy, binding = only(objects, POLICY), only(objects, f"{POLICY}Binding")
        assert binding["spec"] == {
            "policyName": policy["metadata"]["name"],
            "validationActions": ["Deny"],
        }
        assert policy["spec"]["failurePolicy"] == "Fail"
        (rule,) = policy["spec"]["matchConstraints"]["resourceRules"]
        # Not workshopdemos/status, which the operator writes.
        assert (rule["resources"], rule["operations"]) == (["workshopdemos"], ["CREATE", "UPDATE"])

    def test_where_limits_hold(self, helm: str) -> None:
        def conditions(*values: str) -> dict[str, str]:
            policy = only(render(helm, "--set=limits.jobs=3", *values), POLICY)["spec"]
            return {one["name"]: one["expression"] for one in policy["matchConditions"]}

        unchanged = {"spec-changes": "oldObject == null || object.spec != oldObject.spec"}
        assert conditions() == unchanged
        assert conditions("--set=limits.exemptNamespaces={workshop,other}") == unchanged | {
            "not-exempt": '!(request.namespace in ["workshop","other"])'
        }
        assert conditions("--set=namespaces={one,two}") == unchanged | {
            "served": 'request.namespace in ["one","two"]'
        }

    def test_the_scenarios_are_those_that_there_are(self) -> None:
        schema = yaml.safe_load((CHART / "values.schema.json").read_text())
        known = schema["properties"]["limits"]["properties"]["scenarios"]["items"]["enum"]
        crd = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        spec = crd["properties"]["spec"]["properties"]
        sections = (spec["jobs"]["items"], spec["cronJobs"]["items"], spec["statefulSet"])
        offered = {
            scenario
            for section in sections
            for scenario in section["properties"]["scenario"]["enum"]
        }
        assert set(known) == offered

    def test_the_parallelism_that_nobody_says(self, helm: str) -> None:
        policy = only(render(helm, "--set=limits.parallelism=3"), POLICY)["spec"]
        own = {name: one.parallelism for name, one in JOB_SCENARIOS.items() if one.parallelism > 1}
        said = re.findall(
            r"job.scenario == '(\w+)' \? (\d+)", policy["validations"][0]["expression"]
        )
        assert {name: int(pods) for name, pods in said} == own

    @pytest.mark.parametrize("limit", LIMITS)
    def test_an_old_kubernetes_has_no_such_rules(self, helm: str, limit: str) -> None:
        done = run(helm, "template", "demo", str(CHART), "--kube-version=1.29.0",
                   f"--set=limits.{limit}")  # fmt: skip
        assert done.returncode != 0
        assert "all but limits.demos need Kubernetes 1.30" in done.stderr
        done = run(helm, "template", "demo", str(CHART), "--kube-version=1.29.0",
                   "--set=limits.demos=3")  # fmt: skip
        assert done.returncode == 0, done.stderr


class TestCRD:
    def test_it_is_the_original(self, helm: str) -> None:
        crd = only(render(helm), "CustomResourceDefinition")
        assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        del crd["metadata"]["labels"]
        assert crd == yaml.safe_load(CRD.read_text())

    def test_keep_is_a_choice(self, helm: str) -> None:
        crd = only(render(helm, "--set=crds.keep=false"), "CustomResourceDefinition")
        assert "annotations" not in crd["metadata"]

    def test_somebody_else_may_install_it(self, helm: str) -> None:
        objects = render(helm, "--set=crds.install=false")
        assert "CustomResourceDefinition" not in {each["kind"] for each in objects}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("imag.tag=v1", "additional properties 'imag' not allowed"),
        ("image.tags=v1", "additional properties 'tags' not allowed"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.repository=", "/image/repository"),
        ("image.tag=no spaces", "/image/tag"),
        ("namespaces={Workshop}", "/namespaces/0"),
        ("namespaces={class-*}", "/namespaces/0"),
        ("namespaces={one,one}", "/namespaces"),
        ("namespaces=workshop", "/namespaces"),
        ("limits.demos=-1", "/limits/demos"),
        ("limits.replicas=many", "/limits/replicas"),
        ("limits.storage=0", "/limits/storage"),
        ("limits.storage=1GB", "/limits/storage"),
        ("limits.scenarios={Postgress}", "/limits/scenarios/0"),
        ("limits.images={busybox}", "/limits/images/0"),
        ("limits.images={a'b:}", "/limits/images/0"),
        ("limits.exemptNamespaces={class-*}", "/limits/exemptNamespaces/0"),
        ("limits.logShipping=no", "/limits/logShipping"),
        ("limits.pods=3", "additional properties 'pods' not allowed"),
        ("crds.keep=maybe", "/crds/keep"),
        ("log.level=LOUD", "/log/level"),
        ("log.format=xml", "/log/format"),
        ("probePort=80", "/probePort"),
        ("probePort=http", "/probePort"),
        ("resources.limits.memory=much", "/resources/limits/memory"),
        ("resources.limit.memory=1Gi", "additional properties 'limit' not allowed"),
        ("replicas=2", "additional properties 'replicas' not allowed"),
        ("fullnameOverride=My_Operator", "/fullnameOverride"),
        ("serviceAccount.name=Bad_Name", "/serviceAccount/name"),
        ("podLabels.count=1", "/podLabels/count"),
        ("inbox.enabled=maybe", "/inbox/enabled"),
        ("inbox.port=80", "/inbox/port"),
        ("inbox.maxMessages=0", "/inbox/maxMessages"),
        ("inbox.resources.limits.memory=much", "/inbox/resources/limits/memory"),
        ("inbox.replicas=2", "additional properties 'replicas' not allowed"),
        ("notifications.allowedHost={a:1}", "additional properties 'allowedHost' not allowed"),
        ("notifications.allowedHosts=a:1", "/notifications/allowedHosts"),
        ("notifications.allowedHosts={http://a}", "/notifications/allowedHosts/0"),
        ("notifications.allowedHosts={a b}", "/notifications/allowedHosts/0"),
        ("statefulSet.postgresImage=postgres", "/statefulSet/postgresImage"),
        ("statefulSet.postgresImage=", "/statefulSet/postgresImage"),
        ("statefulSet.image=postgres:17", "additional properties 'image' not allowed"),
    ],
)
def test_wrong_values_are_refused(helm: str, setting: str, said: str) -> None:
    done = run(helm, "template", "demo", str(CHART), f"--kube-version={KUBERNETES}",
               f"--set={setting}")  # fmt: skip
    assert done.returncode != 0
    assert "don't meet the specifications of the schema" in done.stderr
    # helm 3.18 changed the words with its library: "at '/image/tag'" was "image.tag" before.
    assert said in done.stderr or said.strip("/").replace("/", ".") in done.stderr, done.stderr


def test_an_old_kubernetes_is_refused(helm: str) -> None:
    done = run(helm, "template", "demo", str(CHART), "--kube-version=1.28.0")
    assert done.returncode != 0
    assert "requires kubeVersion: >=1.29.0-0" in done.stderr
