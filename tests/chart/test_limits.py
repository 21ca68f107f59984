"""Limits for a class, as the chart renders them."""

import re

import pytest
import yaml

from chart.rendering import CHART, CRD, environment, only, pod_spec, render, run
from workshopdemo import settings
from workshopdemo.scenarios import JOB_SCENARIOS

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
