"""The cluster with the chart on it: brought up by deploy/kind, and held by one run at a time."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import kubernetes
from kubernetes.client import ApiClient
from pytest_kind.cluster import KindCluster
from world import Chart

from support import ROOT

CLUSTER = os.environ.get("WORKSHOP_E2E_CLUSTER", "workshop-test")
"""Whoever works on a cluster of another name has the tests run there."""

IMAGES = ("busybox", "alertmanager", "collector", "aggregator", "postgres")


@dataclass(frozen=True)
class Stage:
    """Where everything is that a run on the cluster needs."""

    name: str
    kubeconfig: str
    image: str
    kind: str
    kubectl: str
    helm: str

    @property
    def context(self) -> str:
        """What kind calls the cluster in its kubeconfig."""
        return f"kind-{self.name}"

    def chart(self) -> Chart:
        """The chart, to be installed as its users install it."""
        return Chart(
            helm=self.helm,
            kubectl=self.kubectl,
            kubeconfig=self.kubeconfig,
            context=self.context,
            image=self.image,
            path=ROOT / "charts" / "workshop-demo",
        )

    def cluster(self) -> KindCluster:
        """pytest-kind's handle on the cluster; it finds the cluster there and makes none."""
        cluster = KindCluster(
            self.name,
            Path(self.kubeconfig),
            kind_path=Path(self.kind),
            kubectl_path=Path(self.kubectl),
        )
        cluster.create()
        return cluster

    def client(self) -> ApiClient:
        """The official client: an independent witness of what the API server says."""
        return kubernetes.config.new_client_from_config(self.kubeconfig, context=self.context)


@contextmanager
def alone(name: str = CLUSTER) -> Iterator[str]:
    """Have the cluster, and hold it until the end; gives its kubeconfig.

    Two runs at a time on one cluster would disturb each other: each installs its operator.
    """
    kubeconfig = _deploy_kind("up", "--name", name)[-1]
    with Path(kubeconfig).with_suffix(".e2e-lock").open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another run is using cluster {name}: waiting for its end", file=sys.stderr)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield kubeconfig


def prepare(
    kubeconfig: str,
    images: tuple[str, ...] = IMAGES,
    name: str = CLUSTER,
    more: tuple[str, ...] = (),
) -> Stage:
    """Have the operator's image and those of the demos on the nodes, and the chart installed.

    Args:
        kubeconfig: of the cluster.
        images: of the demos, by their names in deploy/kind.
        name: of the cluster.
        more: images that the engine has, as it calls them.
    """
    (image,) = _deploy_kind("operator-image")
    _deploy_kind("load", "--name", name, image, *more, *_deploy_kind("images", *images))
    tools = {tool: _tool(tool) for tool in ("kind", "kubectl", "helm")}
    stage = Stage(name, kubeconfig, image, **tools)
    stage.chart().restore()
    return stage


def load_images(name: str, *images: str) -> list[str]:
    """Have more images on the nodes, by their names in deploy/kind; gives their refs."""
    refs = _deploy_kind("images", *images)
    _deploy_kind("load", "--name", name, *refs)
    return refs


def _tool(name: str) -> str:
    return _deploy_kind("tool", name)[-1]


def _deploy_kind(*arguments: str) -> list[str]:
    command = [sys.executable, str(ROOT / "deploy" / "kind"), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.split()
