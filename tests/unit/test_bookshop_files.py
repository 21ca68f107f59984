"""The demos and stories: what they must keep to, without a cluster."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STORIES = sorted((ROOT / "operator/workshopdemo/story").glob("*.yaml"))
DEMOS = sorted((ROOT / "deploy/demos").glob("*.yaml"))
CRD = ROOT / "crds/workshopdemos.workshopdemo.dev.yaml"
ON_STATUS = ("problem", "why", "solution", "alternatives", "useCases", "try")
STORY_BYTES = 1400
PLACES = {
    "namespace": "workshop",
    "demo": "bookshop",
    "job": "bookshop-x-abcdef",
    # As long as a CronJob's name can be.
    "cronjob": "bookshop-" + 43 * "x",
    "daemonset": "bookshop-log-shipper",
    "component": "log-shipper",
    "statefulset": "bookshop-database",
    "service": "bookshop-database",
    "members": "bookshop-database-members",
}
JOB_NAME_LIMIT = 63


@pytest.fixture(params=STORIES, ids=lambda path: path.stem)
def story(request: pytest.FixtureRequest) -> dict[str, Any]:
    return yaml.safe_load(request.param.read_text())


def test_a_story_has_all_its_parts(story: dict[str, Any]) -> None:
    assert set(story) == {"concept", "questions", *ON_STATUS}
    assert all(set(question) == {"q", "a"} for question in story["questions"])


def test_a_story_fits_the_status(story: dict[str, Any]) -> None:
    parts = [story[key] for key in ON_STATUS]
    texts = [text for part in parts for text in ([part] if isinstance(part, str) else part)]
    assert sum(len(text.encode()) for text in texts) <= STORY_BYTES


def test_a_story_uses_known_placeholders(story: dict[str, Any]) -> None:
    for command in story["try"]:
        assert set(re.findall(r"{(.*?)}", command)) <= set(PLACES)
        for word in command.format(**PLACES).split():
            name = word.removeprefix("--from=cronjob/").removeprefix("job/")
            assert not name.startswith("bookshop") or len(name) <= JOB_NAME_LIMIT


def demos_in(path: Path) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all(path.read_text())
    return [each for each in documents if each["kind"] == "WorkshopDemo"]


def demo_in(path: Path) -> dict[str, Any]:
    """The demo that a file is about; another one may come after it."""
    return demos_in(path)[0]


def entries(path: Path) -> list[dict[str, Any]]:
    """All Jobs and CronJobs of a demo."""
    spec = demo_in(path)["spec"]
    return [*spec.get("jobs", ()), *spec.get("cronJobs", ())]


@pytest.fixture(params=DEMOS, ids=lambda path: path.stem)
def demo_file(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_a_demo_takes_the_busybox_that_a_new_cluster_has(demo_file: Path) -> None:
    pins = tomllib.loads((ROOT / "deploy/kind/pins.toml").read_text())
    images = {entry["image"] for entry in entries(demo_file) if "image" in entry}
    images |= set(re.findall(r"--image=(\S+)", demo_file.read_text()))
    assert images == {pins["images"]["busybox"].format(**pins["versions"])}


def test_a_demo_brings_its_namespace_as_all_others_have_it(demo_file: Path) -> None:
    """Else the one that is applied last would take away what another one needs."""
    namespace, *demos = yaml.safe_load_all(demo_file.read_text())
    assert namespace["metadata"]["labels"] == {
        "pod-security.kubernetes.io/enforce": "privileged",
        "pod-security.kubernetes.io/warn": "restricted",
    }
    for demo in demos:
        assert demo["metadata"]["namespace"] == namespace["metadata"]["name"] == "workshop"


def test_the_lesson_on_daemonsets_tells_the_defaults() -> None:
    """It says that what stands there is what one gets without."""
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields = spec["logShipping"]["properties"]
    told = demo_in(ROOT / "deploy/demos/03-daemonsets.yaml")["spec"]["logShipping"]
    emitter = {name: part["default"] for name, part in fields["emitter"]["properties"].items()}
    assert told["emitter"] == emitter
    for name in ("tolerateControlPlane", "retention", "storage"):
        assert told[name] == fields[name]["default"]
    assert (told["tolerations"], told["nodeSelector"]) == ([], {})


def test_the_lesson_on_statefulsets_shows_both_scenarios_and_the_defaults() -> None:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields = spec["statefulSet"]["properties"]
    demos = demos_in(ROOT / "deploy/demos/04-statefulsets.yaml")
    sections = [demo["spec"]["statefulSet"] for demo in demos]
    assert [one["scenario"] for one in sections] == fields["scenario"]["enum"]
    for name in ("retain", "storage", "podManagementPolicy"):
        assert sections[0][name] == fields[name]["default"]


def test_demos_can_be_applied_together() -> None:
    names = [demo["metadata"]["name"] for path in DEMOS for demo in demos_in(path)]
    assert len(set(names)) == len(names)


def test_a_demo_tells_how_to_apply_and_see_it(demo_file: Path) -> None:
    text = demo_file.read_text()
    assert f"kubectl apply -f deploy/demos/{demo_file.name}\n" in text
    for demo in demos_in(demo_file):
        assert f"kubectl describe wd {demo['metadata']['name']} -n workshop" in text


@pytest.mark.parametrize(("lesson", "section"), [("01-jobs", "jobs"), ("02-cronjobs", "cronJobs")])
def test_a_lesson_shows_every_scenario(lesson: str, section: str) -> None:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    scenarios = spec[section]["items"]["properties"]["scenario"]["enum"]
    shown = {entry["scenario"] for entry in entries(ROOT / f"deploy/demos/{lesson}.yaml")}
    assert shown == set(scenarios)
