"""The bookshop's demo and story: what they must keep to, without a cluster."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STORIES = sorted((ROOT / "operator/workshopdemo/story").glob("*.yaml"))
ON_STATUS = ("problem", "why", "solution", "alternatives", "useCases", "try")
STORY_BYTES = 1400


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
        assert set(re.findall(r"{(.*?)}", command)) <= {"namespace", "demo", "job"}
        command.format(namespace="workshop", demo="bookshop", job="bookshop-x-abcdef")


def test_the_demo_takes_the_busybox_that_a_new_cluster_has() -> None:
    pins = tomllib.loads((ROOT / "deploy/kind/pins.toml").read_text())
    _, demo = yaml.safe_load_all((ROOT / "deploy/demos/bookshop.yaml").read_text())
    images = {job["image"] for job in demo["spec"]["jobs"] if "image" in job}
    assert images == {pins["images"]["busybox"].format(**pins["versions"])}
