"""What the chart renders, as objects; and what is asked of them."""

import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/workshop-demo"
CRD = ROOT / "crds/workshopdemos.workshopdemo.dev.yaml"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))

# A helm that `go install` built has no release's number, and takes the cluster for 1.20.
KUBERNETES = "1.34.0"

Object = dict[str, Any]


def run(helm: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm, *args], capture_output=True, text=True, timeout=60, check=False)


@functools.cache
def rendered_text(helm: str, *args: str) -> str:
    """The chart's manifests, once for all tests that ask with the same arguments."""
    done = run(
        helm, "template", "demo", str(CHART), "--namespace=system", f"--kube-version={KUBERNETES}",
        *args,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(helm: str, *args: str) -> list[Object]:
    """What is in them; the caller may change it."""
    # The CRD is long, and Python's own loader slow.
    documents = yaml.load_all(rendered_text(helm, *args), yaml.CSafeLoader)
    return [found for found in documents if found]


def values_file(path: Path | None) -> list[str]:
    return [f"--values={path}"] if path else []


def only(objects: list[Object], kind: str) -> Object:
    (found,) = [each for each in objects if each["kind"] == kind]
    return found


def named(objects: list[Object], kind: str, suffix: str) -> Object:
    """The only one of that kind and end of its name."""
    return only([each for each in objects if each["metadata"]["name"].endswith(suffix)], kind)


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
