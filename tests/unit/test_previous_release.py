"""What the release before left in a cluster is taken over: nothing runs again, nothing is lost."""

import copy
import tarfile
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import yaml

from office import Office
from support import NOW, PREVIOUS, ROOT, SCHEMA
from workshopdemo.model import parse_status
from workshopdemo.names import DemoKey
from workshopdemo.observe import parse_time

LEFT: list[dict[str, Any]] = yaml.safe_load((PREVIOUS / "cluster.yaml").read_text())["items"]
SECTION = "statefulSet"


def demo() -> dict[str, Any]:
    (found,) = (body for body in LEFT if body["kind"] == "WorkshopDemo")
    return copy.deepcopy(found)


def previous_chart(file: str) -> dict[str, Any]:
    with tarfile.open(PREVIOUS / "chart.tgz") as chart:
        found = chart.extractfile(f"workshop-demo/{file}")
        assert found is not None
        return dict(yaml.safe_load(found))


def test_it_is_another_release() -> None:
    now = yaml.safe_load((ROOT / "charts" / "workshop-demo" / "Chart.yaml").read_text())
    was = previous_chart("Chart.yaml")
    for field in ("version", "appVersion"):
        assert was[field] != now[field], "see tests/previous/README.md"


def losses(was: Mapping[str, Any], is_now: Mapping[str, Any], path: str) -> Iterator[str]:
    """What could be written before, and would be pruned or refused now."""
    for name in sorted(set(is_now.get("required", ())) - set(was.get("required", ()))):
        yield f"{path}.{name} is required now"
    for name in sorted(set(was.get("enum", ())) - set(is_now.get("enum", was.get("enum", ())))):
        yield f"{path} may not be {name} any more"
    for limit, narrower in (("max", min), ("min", max)):
        for of in ("Items", "Length", "Properties", "imum"):
            before, now = was.get(limit + of), is_now.get(limit + of)
            if now is not None and (before is None or narrower(now, before) != before):
                yield f"{path}: {limit}{of} was {before} and is {now}"
    for name, schema in was.get("properties", {}).items():
        if name in is_now.get("properties", {}):
            yield from losses(schema, is_now["properties"][name], f"{path}.{name}")
        else:
            yield f"{path}.{name} is gone"
    if "items" in was:
        yield from losses(was["items"], is_now["items"], f"{path}[]")


def test_every_demo_that_was_good_before_is_good_still() -> None:
    crd = previous_chart("files/workshopdemos.workshopdemo.dev.yaml")
    was = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    for part in ("spec", "status"):
        assert list(losses(was[part], SCHEMA["properties"][part], part)) == []


def test_every_word_of_the_status_is_understood() -> None:
    """What is not read would be missing from the next status that is written."""
    told = demo()["status"]
    assert msgspec.json.decode(msgspec.json.encode(parse_status(demo()))) == told
    assert {"jobs", "cronJobs", "notifications", SECTION} <= told.keys()


@pytest.fixture
def office() -> Iterator[Office]:
    """A cluster with what was left, at the moment when it was left; nobody hears the members."""
    office = Office()
    body = demo()
    for part in ("spec", "status"):
        body[part].pop(SECTION, None)
    key = DemoKey(body["metadata"]["namespace"], body["metadata"]["name"])
    office.cluster.demos[key] = body
    for child in copy.deepcopy(LEFT):
        if child["kind"] != "WorkshopDemo":
            place = (child["kind"], key.namespace, child["metadata"]["name"])
            office.cluster.objects[place] = child
    last = max(parse_time(one["time"]) for one in body["status"]["notifications"]["recent"])
    office.start = office.loop.time() - (last - NOW + timedelta(seconds=1)).total_seconds()
    yield office
    office.close()


def test_nothing_runs_again_and_nobody_is_told_again(office: Office) -> None:
    ((key, before),) = copy.deepcopy(office.cluster.demos).items()
    jobs = {job["metadata"]["uid"] for job in office.cluster.jobs()}
    assert jobs
    office.open("operator-of-now")
    office.pass_time(20)
    assert {job["metadata"]["uid"] for job in office.cluster.jobs()} == jobs
    assert not [write for write in office.cluster.writes if write.startswith(("create", "delete"))]
    assert office.receiver.arrivals == []
    was, is_now = parse_status(before), parse_status(office.cluster.demos[key])
    assert (is_now.jobs, is_now.cron_jobs) == (was.jobs, was.cron_jobs)
    assert is_now.notifications == was.notifications
