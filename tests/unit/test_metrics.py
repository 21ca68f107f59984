"""What Prometheus is told: exactly these names and labels, in its formats, and nobody's name."""

import asyncio
import tomllib
from collections.abc import Mapping
from typing import get_args

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families
from prometheus_client.samples import Sample

from support import ROOT, demo_body
from workshopdemo import VERSION
from workshopdemo.cluster import Cache
from workshopdemo.metrics import EXPOSED, Metrics, Sources
from workshopdemo.model import Phase
from workshopdemo.names import DemoKey
from workshopdemo.notify.wire import TargetKind, TryState
from workshopdemo.probes import Probes
from workshopdemo.queue import Backlog

TABLE = {
    "workshopdemo_build_info": {"version"},
    "workshopdemo_demos": {"phase"},
    "workshopdemo_reconciles_total": {"result"},
    "workshopdemo_reconcile_duration_seconds_bucket": {"le"},
    "workshopdemo_reconcile_duration_seconds_sum": set(),
    "workshopdemo_reconcile_duration_seconds_count": set(),
    "workshopdemo_queue_depth": {"queue"},
    "workshopdemo_queue_oldest_seconds": {"queue"},
    "workshopdemo_api_requests_total": {"verb", "kind", "code"},
    "workshopdemo_watch_age_seconds": {"kind"},
    "workshopdemo_notifications_total": {"kind", "state"},
}
"""Others' dashboards and alerts rely on these."""

OPEN_METRICS = "application/openmetrics-text;version=1.0.0"


def operator(phases: Mapping[str, int] | None = None) -> Metrics:
    metrics = Metrics()
    metrics.read_from(
        Sources(
            phases=lambda: phases or {},
            backlogs={"looks": lambda: Backlog(3, 1.5), "rounds": lambda: Backlog(0, 0.0)},
            ages=lambda: {"jobs": 12.5, "nodes": 300.0},
        )
    )
    metrics.looked(0.02, succeeded=True)
    metrics.looked(4.0, succeeded=False)
    metrics.answered("patch", "jobs", "200")
    metrics.answered("list", "pods", "none")
    metrics.tried("slack", "retried")
    metrics.tried("slack", "delivered")
    return metrics


def samples(metrics: Metrics) -> list[Sample]:
    text, _ = metrics.scrape("")
    return [sample for family in families(text.decode()) for sample in family.samples]


def value(metrics: Metrics, name: str, **labels: str) -> float:
    (found,) = (one.value for one in samples(metrics) if (one.name, one.labels) == (name, labels))
    return found


def test_names_and_labels_are_those_of_the_table() -> None:
    found: dict[str, set[str]] = {}
    for one in samples(operator()):
        if not one.name.startswith(("process_", "python_gc_")):
            found.setdefault(one.name, set()).update(one.labels)
    assert found == TABLE
    assert {name: set(labels) for name, labels in EXPOSED.items()} == TABLE


def test_what_has_happened_is_counted() -> None:
    metrics = operator()
    assert value(metrics, "workshopdemo_reconciles_total", result="success") == 1
    assert value(metrics, "workshopdemo_reconciles_total", result="error") == 1
    assert value(metrics, "workshopdemo_reconcile_duration_seconds_sum") == pytest.approx(4.02)
    assert value(metrics, "workshopdemo_reconcile_duration_seconds_bucket", le="0.025") == 1
    requests = "workshopdemo_api_requests_total"
    assert value(metrics, requests, verb="patch", kind="jobs", code="200") == 1
    assert value(metrics, requests, verb="list", kind="pods", code="none") == 1
    notifications = "workshopdemo_notifications_total"
    assert value(metrics, notifications, kind="slack", state="retried") == 1
    assert value(metrics, notifications, kind="slack", state="delivered") == 1


def test_what_is_now_is_asked_at_each_scrape() -> None:
    phases = {"Ready": 2}
    metrics = operator(phases)
    assert value(metrics, "workshopdemo_demos", phase="Ready") == 2
    phases["Ready"] = 5
    assert value(metrics, "workshopdemo_demos", phase="Ready") == 5
    assert value(metrics, "workshopdemo_queue_depth", queue="looks") == 3
    assert value(metrics, "workshopdemo_queue_oldest_seconds", queue="looks") == 1.5
    assert value(metrics, "workshopdemo_watch_age_seconds", kind="nodes") == 300


def test_what_has_not_happened_yet_is_told_as_zero() -> None:
    metrics = operator()
    for phase in get_args(Phase):
        assert value(metrics, "workshopdemo_demos", phase=phase) == 0
    for kind in get_args(TargetKind):
        for state in get_args(TryState):
            expected = kind == "slack" and state != "failed"
            found = value(metrics, "workshopdemo_notifications_total", kind=kind, state=state)
            assert found == expected


def test_the_process_is_measured_too() -> None:
    names = {one.name for one in samples(operator())}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= names
    assert "python_gc_collections_total" in names


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
    assert value(operator(), "workshopdemo_build_info", version=VERSION) == 1


def test_two_operators_in_one_process_have_nothing_in_common() -> None:
    operator()
    assert value(operator(), "workshopdemo_reconciles_total", result="error") == 1


def test_open_metrics_are_spoken_to_who_asks_for_them() -> None:
    text, media_type = operator().scrape(OPEN_METRICS)
    assert media_type.startswith("application/openmetrics-text")
    found = {sample.name for family in open_families(text.decode()) for sample in family.samples}
    assert set(TABLE) <= found


def test_the_cache_tells_how_many_demos_there_are_of_each_phase() -> None:
    cache = Cache()
    for number, status in enumerate(({}, {"phase": "Ready"}, {"phase": "Ready"}, {"story": []})):
        name = f"demo-{number}"
        cache.put_demo(demo_body(name=name, uid=name, status=status))
    assert cache.phases() == {"Pending": 2, "Ready": 2}
    cache.remove_demo(DemoKey("workshop", "demo-1"), "demo-1")
    assert cache.phases() == {"Pending": 2, "Ready": 1}


def test_the_probes_port_serves_them(unused_tcp_port: int) -> None:
    problems: list[str] = []

    async def story() -> None:
        probes = Probes(alive=lambda: problems, ready=list, scrape=operator().scrape)
        await probes.start(unused_tcp_port)
        address = f"http://127.0.0.1:{unused_tcp_port}"
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{address}/metrics") as response:
                    assert response.status == 200
                    media_type = response.headers["Content-Type"]
                    assert media_type == "text/plain; version=0.0.4; charset=utf-8"
                    assert "workshopdemo_build_info" in await response.text()
                problems.append("the watch on jobs is dead")
                async with session.get(f"{address}/healthz") as response:
                    assert response.status == 503
                    assert await response.text() == "the watch on jobs is dead\n"
                async with session.get(f"{address}/metrics") as response:
                    assert response.status == 200, "whoever is ill is measured all the same"
        finally:
            await probes.stop()

    asyncio.run(story())
