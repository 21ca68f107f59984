"""The pages that people read: README and docs/, and the demos that they show."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from support import ROOT
from workshopdemo import names

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXERCISES = sorted((ROOT / "deploy/exercises").glob("*.yaml"))
_BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def demos_of(page: Path) -> Iterator[dict[str, Any]]:
    """Each demo that a page shows; a `spec` alone gets the name of an object."""
    for block in _BLOCK.findall(page.read_text("utf-8")):
        for shown in yaml.safe_load_all(block):
            if _is_demo(shown):
                yield _whole(shown)


def _is_demo(shown: Mapping[str, Any]) -> bool:
    # Chart values and manifests of others are not ours to judge.
    return set(shown) == {"spec"} or shown.get("kind") == names.KIND


def _whole(shown: dict[str, Any]) -> dict[str, Any]:
    head = {"apiVersion": names.API_VERSION, "kind": names.KIND}
    metadata = {"name": "my-lesson", **shown.get("metadata", {})}
    return {**head, **shown, "metadata": metadata}
