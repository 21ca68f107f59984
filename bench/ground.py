"""Where scenes are played: a cluster with the operator on it, and a namespace for each scene."""

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes.client import ApiClient
from stage import Stage
from world import GROUP, QUICK, VERSION, World, wait_for

import post
from support import ROOT

_BOOKSHOP = ROOT / "deploy" / "demos" / "bookshop.yaml"

_SETTLE = 5.0
"""Seconds for the machine to come to rest."""


@dataclass(frozen=True)
class Ground:
    """A cluster with the operator on it."""

    stage: Stage
    api: ApiClient
    scale: float = 1.0
    """Share of the usual size of each scene: for those who try out a scene."""

    demos: int = 0
    """How many there are in the end where a class grows."""

    @staticmethod
    def on(stage: Stage, scale: float, demos: int) -> "Ground":
        """On a cluster that is up."""
        return Ground(stage, stage.client(), scale, demos)

    def scaled(self, count: int) -> int:
        """So many, or fewer where all is smaller."""
        return max(round(count * self.scale), 1)

    @contextmanager
    def world(self) -> Iterator[World]:
        """A namespace; the next scene begins when it is gone."""
        world = World(self.api, self.stage.cluster(), f"bench-{uuid.uuid4().hex[:8]}")
        world.create_namespace(world.namespace)
        try:
            yield world
        finally:
            post.forget(world)
            world.clean_up()
            wait_for("the namespace is gone", lambda: not _exists(world), deadline=600)
            time.sleep(_SETTLE)


def entry(name: str, script: str, *, fails: bool = False) -> dict[str, Any]:
    """An entry that runs a shell script."""
    end = "echo no such file >&2; exit 3" if fails else "echo done"
    found = QUICK | {"name": name, "command": ["sh", "-c", f"{script}; {end}"]}
    return found | {"backoffLimit": 0, "expected": "Failed"} if fails else found


def apply(world: World, name: str, jobs: Sequence[dict[str, Any]]) -> None:
    """Apply a demo whose outcomes are told to the inbox."""
    world.apply_manifest(
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "WorkshopDemo",
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": {"jobs": list(jobs), "notifications": {"targets": [post.TARGET]}},
        }
    )


def bookshop(namespace: str) -> dict[str, Any]:
    """The demo with everything, for that namespace."""
    (demo,) = (
        one for one in yaml.safe_load_all(_BOOKSHOP.read_text()) if one["kind"] == "WorkshopDemo"
    )
    demo["metadata"]["namespace"] = namespace
    return dict(demo)


def _exists(world: World) -> bool:
    found = world.core.list_namespace(field_selector=f"metadata.name={world.namespace}").items
    return bool(found)
