"""What others ask of manifests: Kubernetes' own schemas, and a linter's advice."""

import json
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from chart.rendering import CHART, CI_VALUES, KUBERNETES, Object, render, rendered_text, values_file

OLDEST = ".".join(
    yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"].strip(">=").split(".")[:2]
)
NEWEST = KUBERNETES.rpartition(".")[0]

# Of the Prometheus Operator; Kubernetes has no schemas of them.
MONITORING = "monitoring.coreos.com/v1"

# For an older Kubernetes than these are from, the chart refuses limits: see test_limits.py.
SINCE_1_30 = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

EXPLAINED: dict[str, str] = yaml.safe_load(Path(__file__).with_name("findings.yaml").read_text())
# Off unless asked for. That requests equal limits is not wanted: a Pod mostly needs little.
ALSO = "--enable-optional-test=container-seccomp-profile,container-ports-check"
GOOD = 10


@pytest.mark.parametrize("kubernetes", [OLDEST, NEWEST])
def test_kubernetes_knows_every_field(rendered: list[Object], kubernetes: str) -> None:
    for each in rendered:
        too_new = kubernetes == OLDEST and each["kind"] in SINCE_1_30
        if each["apiVersion"] != MONITORING and not too_new:
            kubernetes_validate.validate(each, kubernetes, strict=True)


def test_a_misspelt_field_is_noticed(helm: str) -> None:
    (deployment, *_) = [each for each in render(helm) if each["kind"] == "Deployment"]
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(deployment, NEWEST, strict=True)


def findings(kube_score: str, manifests: str) -> dict[str, set[str]]:
    """Objects by the check that they do not pass, or pass with a warning."""
    done = subprocess.run(
        [kube_score, "score", ALSO, "--kubernetes-version", f"v{NEWEST}", "-o=json", "-"],
        input=manifests, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found: dict[str, set[str]] = {}
    for scored in json.loads(done.stdout):
        for check in scored["checks"]:
            if not check["skipped"] and check["grade"] < GOOD:
                found.setdefault(check["check"]["id"], set()).add(scored["object_name"])
    return found


@pytest.mark.parametrize("path", [None, *CI_VALUES], ids=lambda path: path.stem if path else "")
def test_linter_finds_nothing_unexplained(helm: str, kube_score: str, path: Path | None) -> None:
    found = findings(kube_score, rendered_text(helm, *values_file(path)))
    assert {check: found[check] for check in found.keys() - EXPLAINED} == {}


def test_every_explanation_is_of_a_finding(helm: str, kube_score: str) -> None:
    assert findings(kube_score, rendered_text(helm)).keys() == EXPLAINED.keys()


def test_kube_linter_is_told_why_there_is_no_limit_of_cpu(rendered: list[Object]) -> None:
    # It is not run here. Of the checks that are on by default, this alone finds something.
    for each in rendered:
        if each["kind"] == "Deployment":
            reasons = each["metadata"]["annotations"]
            assert "whole class" in reasons["ignore-check.kube-linter.io/unset-cpu-requirements"]


def test_policies_leave_the_linter_nothing_to_say_of_them(helm: str, kube_score: str) -> None:
    text = rendered_text(helm, "--set=networkPolicy.enabled=true,image.pullPolicy=Always")
    assert {"pod-networkpolicy", "container-image-pull-policy"}.isdisjoint(
        findings(kube_score, text)
    )
