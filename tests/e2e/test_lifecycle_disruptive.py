"""The chart comes, changes and goes, and nodes are drained, while demos run. One test at a time.

What counts: no Job runs again, nobody is told twice, and nothing is forgotten.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from inbox import About, Inbox, tally
from kubernetes.client import ApiClient, ApiextensionsV1Api
from receiver import open_receiver
from stateful import Stateful
from world import FAILING, GROUP, PLURAL, QUICK, SYSTEM, VERSION, Chart, World, wait_for

from support import PREVIOUS

pytestmark = pytest.mark.disruptive

CRD = f"{PLURAL}.{GROUP}"
SERIES = 16
"""Jobs that end one after the other."""

PERIOD = 4
"""Seconds between their ends."""


@pytest.fixture(autouse=True)
def _chart_as_before(chart: Chart) -> Iterator[None]:
    yield
    chart.restore()


@dataclass(frozen=True)
class Picture:
    """What must be the same whatever becomes of the operator."""

    jobs: dict[str, str]
    """UIDs of the Jobs of spec.jobs, by name."""

    claims: dict[str, str | None]
    told: dict[str, Any]
    """What the status tells of the entries that are over."""

    identities: dict[str, Any]
    """What each member of the StatefulSet is known by."""


class Show:
    """A demo with everything that goes on while it is watched, and a receiver who counts."""

    def __init__(self, world: World, image: str) -> None:
        self.world = world
        self.receiver: Inbox = open_receiver(world, image)
        self.diary = Stateful(world)

    def begin(self, *jobs: dict[str, Any], **more: Any) -> None:
        hook = {"name": "hook", "webhook": {"url": self.receiver.url("webhook", "shop", "hook")}}
        spec = {
            "jobs": [QUICK, FAILING, *jobs],
            "statefulSet": {"scenario": "Diary", "replicas": 2, "storage": "16Mi"},
            "notifications": {"targets": [hook]},
        } | more
        self.world.apply_manifest(
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "WorkshopDemo",
                "metadata": {"name": "shop", "namespace": self.world.namespace},
                "spec": spec,
            }
        )
        self.diary.wait_until_ready(2)
        for entry in ("ok", "bad"):
            self.world.wait_for_attempts(entry, lambda attempts: bool(attempts[-1]["log"]))
        wait_for("the first messages", lambda: len(self.receiver.letters()) >= 2)

    def picture(self) -> Picture:
        fields = ("claim", "volume", "identifier", "firstSeen", "sameClaim", "sameData")
        return Picture(
            jobs={
                job["metadata"]["name"]: job["metadata"]["uid"]
                for job in self.world.jobs()
                if "workshopdemo.dev/job" in job["metadata"]["labels"]
            },
            claims=self.diary.claims(),
            told={entry: self.world.entry(entry) for entry in ("ok", "bad")},
            identities={
                pod: {field: row[field] for field in fields}
                for pod, row in self.diary.rows().items()
            },
        )

    def wait_until_all_is_as_in(self, before: Picture, when: str) -> None:
        def look() -> bool:
            assert self.picture() == before
            return True

        wait_for(f"all is as before, {when}", look)

    def wait_until_all_is_told_once(self) -> None:
        """Each end there was has been told, and none more than once."""

        def look() -> bool:
            found, ends = tally(self.receiver.letters()), self.world.ends()
            assert found == Counter({About("hook", *end): 1 for end in ends.items()})
            told = self.world.notifications()
            assert (told["delivered"], told["pending"], told["failed"]) == (len(ends), 0, 0), told
            return True

        wait_for("each end is told once", look)


def another_name(world: World, image: str) -> str:
    """The same image by another name, on every node: whoever is told to run it starts anew."""
    name = f"{image}-next"
    for node in world.core.list_node().items:
        world.node(
            *("ctr", "--namespace", "k8s.io", "images", "tag", "--force"),
            *(f"docker.io/{image}", f"docker.io/{name}"),
            name=node.metadata.name,
        )
    return name


def series(begin: float) -> list[dict[str, Any]]:
    """Jobs that end one after the other, half of them failing."""
    scripts = [until(begin + PERIOD * number, code=number % 2) for number in range(SERIES)]
    return [
        (FAILING if number % 2 else QUICK) | {"name": f"j{number}", "command": ["sh", "-c", script]}
        for number, script in enumerate(scripts)
    ]


def until(moment: float, *, code: int) -> str:
    """A script that ends then."""
    return f"left=$(({int(moment)} - $(date +%s))); test $left -le 0 || sleep $left; exit {code}"


def test_what_runs_is_not_disturbed_by_an_upgrade_a_rollback_and_a_reinstallation(
    world: World, chart: Chart
) -> None:
    previous = replace(chart, path=PREVIOUS / "chart.tgz")
    present = replace(chart, image=another_name(world, chart.image))
    previous.install()
    show = Show(world, chart.image)
    # Somebody is always being told something when the operator has to stop.
    show.receiver.fails(delay=2)
    begin = time.time() + 40
    show.begin(
        *series(begin),
        QUICK | {"name": "row", "completions": 8, "command": ["sleep", "5"]},
        {"name": "doomed", "scenario": "AlwaysFails", "backoffLimit": 3},
        cronJobs=[
            QUICK
            | {"name": "tick", "schedule": "* * * * *", "successfulJobsHistoryLimit": 5}
            | {"notifyOn": ["Success", "Failure", "Missed"]}
        ],
    )
    before = show.picture()
    wait_for("the series", lambda: time.time() > begin + PERIOD)
    changes: dict[str, Callable[[], None]] = {
        "upgraded": present.install,
        "rolled back": chart.rollback,
        "removed": chart.uninstall,
        "installed again": present.install,
    }
    for what, change in changes.items():
        began = time.monotonic()
        change()
        print(f"{what} within {time.monotonic() - began:.0f} s")
        if change != chart.uninstall:
            show.wait_until_all_is_as_in(before, what)
            wait_for("an operator that runs since", lambda: world.restarts() == [0])
    end = begin + PERIOD * SERIES
    print(f"the series ends {end - time.time():.0f} s later")
    wait_for("the end of the series", lambda: time.time() > end)
    wait_for("the end of all attempts", lambda: world.entry("doomed").get("outcome") == "Failed")
    wait_for("the end of the row", lambda: world.entry("row").get("outcome") == "Complete")
    show.wait_until_all_is_told_once()
    assert show.picture() == before
    status = world.status()
    assert all("history" not in job for job in status["jobs"]), "nothing ran twice"
    assert world.entry("doomed")["failed"] == 4
    (ticks,) = status["cronJobs"]
    assert not any(ticks.get(field) for field in ("missed", "unknown")), ticks
    show.diary.wait_until_ready(2)


def test_the_kind_may_go_first_and_with_it_goes_all_that_is_the_demos(
    world: World, api: ApiClient, chart: Chart
) -> None:
    extensions = ApiextensionsV1Api(api)
    long = QUICK | {"name": "long", "command": ["sleep", "600"]}
    nightly = QUICK | {"name": "nightly", "schedule": "0 2 * * *"}

    def begin() -> None:
        world.apply(QUICK, long, cron_jobs=[nightly])
        wait_for("its Pod", lambda: world.pods_of("long"))
        wait_for("a status", lambda: world.entry("ok").get("asExpected"))

    def all_is_gone() -> bool:
        assert world.kubectl("get", "jobs,cronjobs,pods,pvc", "-o", "name") == ""
        return True

    begin()
    pod = world.operator_pod()
    extensions.delete_custom_resource_definition(CRD)
    wait_for("nothing is left", all_is_gone)
    wait_for("its word", lambda: "does not know the kind WorkshopDemo" in world.operator_log())
    assert not world.operator_is_ready()
    chart.install("--set", "crds.keep=false")
    assert world.operator_pod() == pod
    begin()
    chart.uninstall()
    wait_for("nothing is left", all_is_gone)
    found = extensions.list_custom_resource_definition(field_selector=f"metadata.name={CRD}")
    assert found.items == []


def test_a_node_that_is_drained_gives_its_work_away_and_what_cannot_go_waits(
    world: World, chart: Chart
) -> None:
    show = Show(world, chart.image)
    slow = QUICK | {"command": ["sh", "-c", "sleep 25; echo over"]}
    show.begin(*(slow | {"name": f"slow{number}"} for number in range(6)))
    before = show.picture()
    operator = world.core.read_namespaced_pod(world.operator_pod(), SYSTEM)
    node = operator.spec.node_name
    (member,) = [row["pod"] for row in show.diary.rows().values() if row["node"] == node]
    try:
        # What the Jobs' Pods have in an emptyDir is theirs alone; operator and inbox have none.
        flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s")
        began = time.monotonic()
        world.kubectl("drain", node, *flags)
        print(f"drained within {time.monotonic() - began:.0f} s")
        wait_for("another operator", world.operator_is_ready)
        blocked = show.diary.wait_for_blockage("VolumeOnCordonedNode")
        assert (blocked["pod"], f"node {node}" in blocked["message"]) == (member, True)
        status = world.wait_for_phase("Degraded")
        assert status["statefulSet"]["ready"] == 1
        assert blocked["wayOut"] in world.condition("Ready")["message"]
    finally:
        world.kubectl("uncordon", node)
    show.diary.wait_until_ready(2)
    world.wait_for_phase("Ready")
    show.wait_until_all_is_told_once()
    assert show.picture() == before
    moved = world.core.read_namespaced_pod(world.operator_pod(), SYSTEM)
    assert moved.spec.node_name != node
