"""A real cluster, the chart installed on it, and a namespace for each test.

deploy/kind brings the cluster up, or finds it. What hurts the whole cluster is marked `disruptive`
and runs last, alone.
"""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict

import pytest
from kubernetes.client import ApiClient
from pytest_kind.cluster import KindCluster
from stage import Stage, alone, prepare
from world import Chart, World

_PREPARED = "WORKSHOP_E2E"
_held = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Once, before the workers start: have the cluster for this run alone, and the chart on it."""
    if _PREPARED in os.environ or config.option.collectonly:
        return
    stage = prepare(_held.enter_context(alone()))
    os.environ[_PREPARED] = json.dumps(asdict(stage))


def pytest_unconfigure() -> None:
    """Let the next run have the cluster."""
    _held.close()


def _stage() -> Stage:
    return Stage(**json.loads(os.environ[_PREPARED]))


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart, installed as its users install it."""
    return _stage().chart()


@pytest.fixture
def chart_as_before(chart: Chart) -> Iterator[None]:
    """For a test that installs it otherwise."""
    yield
    chart.restore()


@pytest.fixture(scope="session")
def kind_cluster() -> KindCluster:
    """pytest-kind's handle on the cluster."""
    return _stage().cluster()


@pytest.fixture(scope="session")
def api() -> ApiClient:
    """The official client: an independent witness of what the API server says."""
    return _stage().client()


@pytest.fixture
def world(
    api: ApiClient, kind_cluster: KindCluster, request: pytest.FixtureRequest
) -> Iterator[World]:
    """A namespace of the test's own, and what a user may do in it."""
    world = World(api, kind_cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    world.create_namespace(world.namespace)
    yield world
    failed = getattr(request.node, "failed", False)
    try:
        if failed:
            print(world.story_of_failure())
        world.check_secrets()
    finally:
        world.clean_up()


@pytest.fixture
def namespace(world: World) -> str:
    """A fresh namespace."""
    return world.namespace


# CronJobs wait for full minutes: what takes longest begins first, and the rest goes on beside it.
_ORDER = (
    "test_cronjobs.py",
    "test_logs.py",
    "test_statefulsets.py",
    "test_log_pipeline.py",
    "test_service_discovery.py",
    "test_notifications.py",
    "test_lessons.py",
    "test_tenancy.py",
    "test_limits.py",
    "test_refused.py",
    "test_metrics.py",
    "test_operator.py",
    "test_rights.py",
    "test_lifecycle_disruptive.py",
    "test_logs_disruptive.py",
    "test_notifications_disruptive.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no worker is left alone with one in the end."""
    items.sort(key=lambda item: _ORDER.index(item.path.name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let the fixtures know that their test failed, so that they print what the cluster said."""
    report = yield
    if report.when == "call" and report.failed:
        item.failed = True
    return report
