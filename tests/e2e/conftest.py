"""A real cluster, the chart installed on it, and a namespace for each test.

deploy/kind brings the cluster up, or finds it. What hurts the whole cluster is marked `disruptive`
and runs last, alone.
"""

import fcntl
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import kubernetes
import pytest
from kubernetes.client import ApiClient
from pytest_kind.cluster import KindCluster
from world import Chart, World

from support import ROOT

CLUSTER = "workshop-test"
IMAGES = ("busybox", "alertmanager")
_PREPARED = "WORKSHOP_E2E"


def _deploy_kind(*arguments: str) -> list[str]:
    command = [sys.executable, str(ROOT / "deploy" / "kind"), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.split()


def pytest_configure(config: pytest.Config) -> None:
    """Once, before the workers start: have the cluster, its images and the chart."""
    if _PREPARED in os.environ or config.option.collectonly:
        return
    kubeconfig = _deploy_kind("up", "--name", CLUSTER)[-1]
    (image,) = _deploy_kind("operator-image")
    _deploy_kind("load", "--name", CLUSTER, image, *_deploy_kind("images", *IMAGES))
    tools = {name: _deploy_kind("tool", name)[-1] for name in ("kind", "kubectl", "helm")}
    os.environ[_PREPARED] = json.dumps({"kubeconfig": kubeconfig, "image": image} | tools)
    _chart().restore()


def _prepared() -> dict[str, str]:
    return dict(json.loads(os.environ[_PREPARED]))


def _chart() -> Chart:
    prepared = _prepared()
    return Chart(
        helm=prepared["helm"],
        kubectl=prepared["kubectl"],
        kubeconfig=prepared["kubeconfig"],
        context=f"kind-{CLUSTER}",
        image=prepared["image"],
        path=ROOT / "charts" / "workshop-demo",
    )


@pytest.fixture(scope="session")
def chart() -> Chart:
    """The chart, installed as its users install it."""
    return _chart()


@pytest.fixture(scope="session")
def kind_cluster() -> KindCluster:
    """pytest-kind's handle on the cluster; it finds the cluster there and makes none."""
    prepared = _prepared()
    cluster = KindCluster(
        CLUSTER,
        Path(prepared["kubeconfig"]),
        kind_path=Path(prepared["kind"]),
        kubectl_path=Path(prepared["kubectl"]),
    )
    cluster.create()
    return cluster


@pytest.fixture(scope="session")
def api(kind_cluster: KindCluster) -> ApiClient:
    """The official client: an independent witness of what the API server says."""
    return kubernetes.config.new_client_from_config(
        str(kind_cluster.kubeconfig_path), context=f"kind-{CLUSTER}"
    )


@pytest.fixture
def world(
    api: ApiClient, kind_cluster: KindCluster, request: pytest.FixtureRequest
) -> Iterator[World]:
    """A namespace of the test's own, and what a user may do in it."""
    world = World(api, kind_cluster, f"e2e-{uuid.uuid4().hex[:8]}")
    world.create_namespace(world.namespace)
    yield world
    failed = getattr(request.node, "failed", False)
    if failed:
        print(world.story_of_failure())
    world.clean_up()


@pytest.fixture
def namespace(world: World) -> str:
    """A fresh namespace."""
    return world.namespace


# CronJobs wait for full minutes: what takes longest begins first, and the rest goes on beside it.
_ORDER = ("test_cronjobs.py", "test_lessons.py", "test_refused.py", "test_operator.py")


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


@pytest.fixture(scope="session", autouse=True)
def _alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """Two runs of this suite at a time on one cluster would disturb each other."""
    if hasattr(request.config, "workerinput"):
        yield
        return
    lock = Path(_prepared()["kubeconfig"]).with_suffix(".e2e-lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
