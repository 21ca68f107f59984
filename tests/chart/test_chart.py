"""The chart, without a cluster: what it renders, and what it refuses."""

import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from chart.rendering import (
    CHART,
    CI_VALUES,
    CRD,
    ROOT,
    Object,
    deployment,
    environment,
    named,
    only,
    pod_spec,
    pod_specs,
    render,
    rules,
    run,
    values_file,
)
from workshopdemo import app, settings
from workshopdemo.cluster import Access, access
from workshopdemo.cluster.port import API_NAMESPACE, API_SERVICE
from workshopdemo.inbox import settings as inbox_settings
from workshopdemo.notify.allowed import AllowList


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


class TestEverythingRendered:
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
        account = pod_spec(rendered)["serviceAccountName"]
        for each in rendered:
            if "roleRef" in each:
                role = (each["roleRef"]["kind"], each["metadata"].get("namespace"))
                assert (*role, each["roleRef"]["name"]) in roles
                assert [(s["namespace"], s["name"]) for s in each["subjects"]] == [
                    ("system", account)
                ]

    def test_pod_uses_the_account_and_one_image(self, rendered: list[Object]) -> None:
        pod = pod_spec(rendered)
        for account in rendered:
            if account["kind"] == "ServiceAccount":
                assert pod["serviceAccountName"] == account["metadata"]["name"]
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

    def test_namespaces_reach_the_operator(self, helm: str) -> None:
        objects = render(helm, "--set=namespaces={one,two}")
        assert environment(pod_spec(objects))["WORKSHOPDEMO_NAMESPACES"] == "one,two"

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
        service = named(objects, "Service", "-inbox")
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
        service, inbox = named(objects, "Service", "-inbox"), deployment(objects, "-inbox")
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
        assert not [each for each in objects if each["metadata"]["name"].endswith("-inbox")]
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
