"""All that was measured: a table for people, JSON for programs."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from figures import Figure, Summary


@dataclass(frozen=True)
class Run:
    """A scene, once, with one image of the operator."""

    round: int
    scene: str
    title: str
    image: str
    figures: tuple[Figure, ...]
    load: float
    """Load of the machine when it began: this bench shares it with the cluster."""


@dataclass
class Report:
    """Runs, in the order in which they were made."""

    runs: list[Run] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def is_sound(self) -> bool:
        """Whether every promise was kept in every run."""
        return all(figure.is_kept for run in self.runs for figure in run.figures)

    def table(self) -> str:
        """Each number once, by scene; with the best and the worst where there were many runs."""
        images = _unique(run.image for run in self.runs)
        headings = [image.rpartition(":")[2] for image in images] if len(images) > 1 else ["value"]
        rows = [["", *headings, "aim"]]
        for scene, title in _unique((run.scene, run.title) for run in self.runs):
            rows.append([f"{scene}: {title}", *("" for _ in headings), ""])
            runs = [run for run in self.runs if run.scene == scene]
            for name in _unique(figure.name for run in runs for figure in run.figures):
                cells = [_cell(_of(runs, image, name)) for image in images]
                rows.append([f"  {name}", *cells, _aim(_of(runs, None, name))])
        loads = [run.load for run in self.runs]
        rounds = len({run.round for run in self.runs})
        return (
            f"{_aligned(rows)}\n\n"
            f"Rounds: {rounds}; with several: the median (best … worst). The machine has"
            f" {os.cpu_count()} CPUs, and had a load of {min(loads):.1f} to {max(loads):.1f} when"
            " scenes began."
        )

    def json(self) -> str:
        """Everything, run by run."""
        found: dict[str, Any] = {
            "began": self.began.isoformat(timespec="seconds"),
            "cpus": os.cpu_count(),
            "runs": [
                {
                    "round": run.round,
                    "scene": run.scene,
                    "image": run.image,
                    "load": run.load,
                    "figures": {
                        figure.name: {
                            "value": figure.value,
                            "unit": figure.unit,
                            "aim": figure.aim,
                        }
                        for figure in run.figures
                    },
                }
                for run in self.runs
            ],
        }
        return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _of(runs: list[Run], image: str | None, name: str) -> list[Figure]:
    return [
        figure
        for run in runs
        if image in (None, run.image)
        for figure in run.figures
        if figure.name == name
    ]


def _cell(figures: list[Figure]) -> str:
    if not figures:
        return ""
    found = Summary.of([figure.value for figure in figures])
    unit = f" {figures[0].unit}".rstrip()
    text = f"{found.typical:,.6g}{unit}"
    return text if len(figures) == 1 else f"{text} ({found.best:,.6g} … {found.worst:,.6g})"


def _aim(figures: list[Figure]) -> str:
    aim = figures[0].aim
    if aim is None:
        return ""
    typical = Summary.of([figure.value for figure in figures]).typical
    return f"{aim:g} {figures[0].unit}".rstrip() + (" ✓" if typical <= aim else " ✗")


def _aligned(rows: list[list[str]]) -> str:
    inner = [row for row in rows if any(row[1:])]  # headings of scenes may be as long as they like
    widths = [max(len(row[column]) for row in inner) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _unique(things: Iterator[Any]) -> list[Any]:
    return list(dict.fromkeys(things))
