"""How the operator grows with the class: memory, CPU and requests for 50, 200 and 800 demos.

The class grows while it is measured: first the instructor's bookshop with its DaemonSets on 50
nodes, then so many students' namespaces with a demo each (`bench/fakes/student.yaml`). At each size
it is measured what it took for those that came to be Ready, what a minute at rest costs, and how
long an operator that starts anew needs until it has looked at every demo. Nodes and Pods are
kwok's, see `crowd`.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import yaml
from world import GROUP, PLURAL, SYSTEM, VERSION, World, wait_for

import cost
import crowd
import exposed
from figures import Figure
from ground import Ground, bookshop
from support import ROOT

TITLE = "a class on kwok's nodes: a demo in each student's namespace, and the bookshop on 50 nodes"

_SIZES = (50, 200, 800)
_MEMORY_AIMS = {200: 150.0, 800: 300.0}
"""MiB at that many demos."""

_RESTART_AIM = 15.0
_CPU_EACH = "CPU for each that came"
_GROWTH_AIM = 1.25
"""Where cost is linear, the last demos take what the first took, and what a busy machine adds."""

_WRITERS = 8
_READY_SECONDS = 1200.0
_GONE_SECONDS = 1200.0
_QUIET = 20.0
"""Seconds for the last statuses and messages."""

_REST = 60.0
_CLAIMS = 3
"""Of a student's demo: its own volume, and that of each member."""

_BOOKSHOP_CLAIMS = 10
"""At most."""

_STUDENT = ROOT / "bench" / "fakes" / "student.yaml"
_TABLE = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}


def measure(ground: Ground) -> list[Figure]:
    """Let the class grow."""
    outside = World(ground.api, ground.stage.cluster(), "default")
    lines = int(bookshop("")["spec"]["logShipping"]["emitter"]["lines"])
    with crowd.crowd(ground, outside, lines), ground.world() as world:
        try:
            figures = list(_told(_growth(world, ground.demos)))
        finally:
            _dismiss(world)
    return [*_side_by_side(figures), _growth_of_cost(figures)]


def _told(figures: Iterable[Figure]) -> Iterator[Figure]:
    """Tell each as it comes: it takes long, and may break off."""
    for figure in figures:
        print(f"    {figure.name}: {figure.value:g} {figure.unit}", flush=True)
        yield figure


def _side_by_side(figures: list[Figure]) -> list[Figure]:
    """The same number at all sizes in adjacent rows, whose names end with the size."""
    order = list(dict.fromkeys(map(_what, figures)))
    return sorted(figures, key=lambda figure: order.index(_what(figure)))


def _growth_of_cost(figures: Sequence[Figure]) -> Figure:
    """The bookshop is none of the class."""
    _, *costs = (figure.value for figure in figures if figure.name.startswith(_CPU_EACH))
    ratio = round(costs[-1] / costs[0], 2)
    return Figure(f"{_CPU_EACH}, the last against the first", ratio, aim=_GROWTH_AIM)


def _what(figure: Figure) -> str:
    return figure.name.rpartition(": ")[0]


def _growth(world: World, demos: int) -> Iterator[Figure]:
    yield from _converged(world, "the bookshop", 1, 1, partial(_open_bookshop, world))
    before = 0
    for size in [*(size for size in _SIZES if size < demos), demos]:
        came = range(before, size)
        what = f"{size} demos"
        yield from _converged(world, what, len(came), size + 1, partial(_enrol, world, came))
        yield from _at_rest(world, what, size)
        yield from _restarted(world, what, size)
        before = size


def _converged(
    world: World, what: str, came: int, total: int, make: Callable[[], None]
) -> list[Figure]:
    """What it takes until those that came are Ready."""
    before, began = cost.usage(world), time.monotonic()
    make()
    wait_for("all are Ready", lambda: _are_ready(world, total), _READY_SECONDS)
    seconds = time.monotonic() - began
    time.sleep(_QUIET)
    now = cost.usage(world)
    asked = cost.requests(world, before.at, now.at)
    return [
        Figure(f"until all are Ready: {what}", round(seconds), "s"),
        Figure(
            f"{_CPU_EACH}: {what}",
            round((now.cpu_seconds - before.cpu_seconds) / came * 1000),
            "ms",
        ),
        Figure(f"API requests for each that came: {what}", round(asked.total() / came, 1)),
        Figure(f"API writes for each that came: {what}", round(cost.writes(asked) / came, 1)),
        Figure(f"memory (RSS), peak: {what}", round(now.peak_rss_mib), "MiB"),
    ]


def _at_rest(world: World, what: str, size: int) -> list[Figure]:
    before = cost.usage(world)
    time.sleep(_REST)
    now = cost.usage(world)
    asked = cost.requests(world, before.at, now.at)
    seconds = now.at - before.at
    cpu = (now.cpu_seconds - before.cpu_seconds) / seconds * 100
    return [
        Figure(f"memory (RSS) at rest: {what}", round(now.rss_mib), "MiB", _MEMORY_AIMS.get(size)),
        Figure(f"CPU at rest, of one core: {what}", round(cpu, 1), "%"),
        Figure(f"API writes in a minute at rest: {what}", cost.writes(asked), aim=0),
        Figure(
            f"other API requests in a minute at rest: {what}",
            round((asked.total() - cost.writes(asked)) * 60 / seconds),
        ),
    ]


def _restarted(world: World, what: str, size: int) -> list[Figure]:
    """What it takes an operator to start anew, from the end of the one before."""
    old = world.operator_pod()
    began = time.time()
    world.core.delete_namespaced_pod(old, SYSTEM)
    wait_for("a new operator", lambda: world.operator_pod() != old)
    wait_for("it is settled", lambda: exposed.has_looked_at_all(world, size + 1), _READY_SECONDS)
    settled = time.time()
    time.sleep(_QUIET)
    now = cost.usage(world)
    asked = cost.requests(world, began, now.at)
    return [
        Figure(f"restart, until settled: {what}", round(settled - began, 1), "s", _RESTART_AIM),
        Figure(f"restart, CPU: {what}", round(now.cpu_seconds, 1), "s"),
        Figure(f"restart, API writes: {what}", cost.writes(asked), aim=0),
        Figure(f"restart, other API requests: {what}", asked.total() - cost.writes(asked)),
        Figure(
            f"restart, memory (RSS), peak: {what}",
            round(now.peak_rss_mib),
            "MiB",
            _MEMORY_AIMS.get(size),
        ),
    ]


def _open_bookshop(world: World) -> None:
    demo = bookshop(world.namespace)
    # The real nodes take none of its Pods, and would be named as not covered.
    demo["spec"]["logShipping"]["nodeSelector"] = crowd.NODE_LABEL
    crowd.make_volumes(world, _BOOKSHOP_CLAIMS)
    world.apply_manifest(demo)


def _enrol(world: World, numbers: range) -> None:
    """A namespace and a demo for each student."""
    demo = yaml.safe_load(_STUDENT.read_text())
    for entry in demo["spec"]["cronJobs"]:
        # It runs once, now, and not while somebody looks what happens when nothing does.
        entry["schedule"] = f"0 {(datetime.now(UTC).hour + 12) % 24} * * *"
    crowd.make_volumes(world, len(numbers) * _CLAIMS)

    def enrol(number: int) -> None:
        namespace = f"{world.namespace}-{number:03}"
        world.create_namespace(namespace)
        world.custom.create_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, demo)

    with ThreadPoolExecutor(_WRITERS) as writers:
        list(writers.map(enrol, numbers))


def _are_ready(world: World, total: int) -> bool:
    """By the columns of `kubectl get`: the whole objects would be megabytes at each look."""
    time.sleep(2)
    table = _table(world)
    column = [one["name"] for one in table["columnDefinitions"]].index("Phase")
    phases = Counter(str(row["cells"][column]) for row in table["rows"])
    assert phases == {"Ready": total}, dict(phases)
    return True


def _table(world: World) -> dict[str, Any]:
    path = f"/apis/{GROUP}/{VERSION}/{PLURAL}?includeObject=None"
    answer = world.api.rest_client.pool_manager.request(
        "GET", f"{world.api.configuration.host}{path}", headers=_TABLE
    )
    assert answer.status == 200, f"{path}: HTTP {answer.status}"
    return dict(json.loads(answer.data))


def _dismiss(world: World) -> None:
    """The namespaces go while there is somebody to end their Pods."""
    world.clean_up()

    def gone() -> bool:
        found: Any = world.core.list_namespace().items
        left = [one for one in found if one.metadata.name.startswith(world.namespace)]
        assert not left, f"{len(left)} namespaces"
        return True

    try:
        wait_for("all namespaces are gone", gone, _GONE_SECONDS)
    except AssertionError as error:  # what was measured is worth more
        print(f"  {error}", flush=True)
