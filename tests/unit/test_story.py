"""Stories: complete, short enough for a status, and their commands fit a demo."""

import json
import string

import msgspec
import pytest

from workshopdemo import story
from workshopdemo.scenarios import JOB_SCENARIOS

TALES = story.load()
PLACES = {
    "namespace": "workshop",
    "demo": "bookshop",
    "job": "bookshop-migrate-abcdef",
    "cronjob": "bookshop-nightly-report",
    "daemonset": "bookshop-log-shipper",
    "component": "log-shipper",
    "statefulset": "bookshop-database",
    "service": "bookshop-database",
    "members": "bookshop-database-members",
}


def test_every_scenario_belongs_to_a_story() -> None:
    assert {scenario.story for scenario in JOB_SCENARIOS.values()} <= set(TALES)


@pytest.mark.parametrize("key", TALES)
def test_commands_name_only_what_a_demo_has(key: str) -> None:
    for command in TALES[key].try_:
        fields = {field for _, field, _, _ in string.Formatter().parse(command) if field}
        assert fields <= set(PLACES)
        assert "{" not in command.format_map(PLACES)


def test_all_stories_together_fit_on_a_status() -> None:
    short = [msgspec.to_builtins(tale.short(PLACES)) for tale in TALES.values()]
    sizes = [len(json.dumps(one, ensure_ascii=False).encode()) for one in short]
    assert max(sizes) <= 1.5 * 1024
    assert sum(sizes) <= 6 * 1024


@pytest.mark.parametrize("key", TALES)
def test_a_story_tells_all(key: str) -> None:
    tale = TALES[key]
    assert all((tale.problem, tale.why, tale.solution, tale.alternatives, tale.use_cases))
    assert all(question.q.endswith("?") and question.a for question in tale.questions)
