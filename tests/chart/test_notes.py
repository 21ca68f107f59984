"""What `helm install` says in the end: what to type next, whatever was chosen."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from chart.rendering import CHART, CI_VALUES, KUBERNETES, Object, render, run, values_file

# `helm template` leaves the notes out; this template shows them as a value.
SHOWN = "templates/notes-shown.yaml"
TEMPLATE = 'notes: {{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}\n'


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart, with that template."""
    copy = tmp_path_factory.mktemp("notes") / "workshop-demo"
    shutil.copytree(CHART, copy)
    (copy / SHOWN).write_text(TEMPLATE)
    return copy


def notes(helm: str, chart: Path, *args: str) -> str:
    done = run(
        helm, "template", "demo", str(chart), "--namespace=system", f"--show-only={SHOWN}",
        f"--kube-version={KUBERNETES}", *args,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return str(yaml.safe_load(done.stdout)["notes"])


def commands(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("kubectl ")]


def objects_named(command: str) -> set[tuple[str, str]]:
    return set(re.findall(r"\b(service|deployment)/([\w-]+)", command))


@pytest.mark.parametrize("path", [None, *CI_VALUES], ids=lambda path: path.stem if path else "")
def test_commands_are_about_what_is_installed(helm: str, chart: Path, path: Path | None) -> None:
    said = notes(helm, chart, *values_file(path))
    installed = {
        (each["kind"].lower(), each["metadata"]["name"])
        for each in render(helm, *values_file(path))
    }
    assert [one for one in commands(said) if not objects_named(one) <= installed] == []
    assert "kubectl describe wd hello -n" in said
    # A paragraph, a command, a paragraph: nothing runs together, and nothing is far apart.
    assert "\n\n\n" not in said
    for line in commands(said):
        above = said[: said.index(line)].splitlines()[-1:]
        assert not above or above[0] == "" or above[0].startswith("kubectl "), line


def test_the_first_lesson_goes_where_demos_are_served(helm: str, chart: Path) -> None:
    assert "kubectl apply -n default " in notes(helm, chart)
    said = notes(helm, chart, "--set=namespaces={room,other}")
    assert "kubectl apply -n room " in said
    assert "the demos in room, other" in said


def test_the_first_lesson_is_one_that_the_crd_takes(helm: str, chart: Path) -> None:
    said = notes(helm, chart)
    demo: Object = yaml.safe_load(re.search(r"<<EOF\n(.*?)\nEOF", said, re.DOTALL)[1])
    crd = yaml.safe_load(next((CHART / "files").glob("workshopdemos*.yaml")).read_text())
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    scenarios = schema["jobs"]["items"]["properties"]["scenario"]["enum"]
    assert {job["scenario"] for job in demo["spec"]["jobs"]} <= set(scenarios)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("inbox.enabled=true", "port-forward -n system service/demo-workshop-demo-inbox 8081:80"),
        ("metrics.service.enabled=true", "service/demo-workshop-demo-metrics 8080"),
        ("metrics.serviceMonitor.enabled=true", "spec.serviceMonitorSelector"),
        ("imageRegistry=mirror.local/w", "such as mirror.local/w/busybox:1.37.0"),
        ("imagePullSecrets[0].name=a", """-p '{"imagePullSecrets":[{"name":"a"}]}'"""),
        ("networkPolicy.enabled=true", "kubectl get endpointslices -n default kubernetes"),
        ("crds.install=false", "kubectl get crd workshopdemos.workshopdemo.dev"),
        ("rbac.create=false", "The operator's rights are somebody else's to give."),
    ],
)
def test_what_was_chosen_is_told_of_and_nothing_else(
    helm: str, chart: Path, setting: str, told: str
) -> None:
    assert told in notes(helm, chart, f"--set={setting}")
    field, _, value = setting.partition("=")
    opposite = {"true": "false", "false": "true"}.get(value)
    if opposite:
        assert told not in notes(helm, chart, f"--set={field}={opposite}")
    else:
        assert told not in notes(helm, chart)
