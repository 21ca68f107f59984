"""The place where the project's numbers come from: measured on a real cluster of its own.

Latency compares two readings of this machine's wall clock (the nodes are containers on it): when an
independent watch received a Job's terminal condition, and when the inbox had read the message. The
inbox tells milliseconds; below zero, the message came before the watch's own event did.
"""

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stage import Stage, alone, prepare

import scenes
from ground import Ground
from report import Report, Run
from support import ROOT

_SETTLE = 10.0
"""Seconds for an operator that has just started to come to rest."""

_STEP = 0.005
"""Seconds that the wall clock may be set in one scene, at most."""


def main() -> int:
    """Measure; the exit code tells whether all that was promised was kept."""
    known = scenes.load()
    arguments = _arguments(list(known))
    report = Report()
    with alone(arguments.name) as kubeconfig:
        stage = prepare(kubeconfig, name=arguments.name, more=tuple(arguments.image))
        images = arguments.image or [stage.image]
        with suppress(PermissionError):
            os.nice(-10)  # the watch must not wait for a CPU that all others want too
        for number in range(1, arguments.times + 1):
            for image in images:
                _install(dataclasses.replace(stage, image=image), fresh=len(images) > 1)
                ground = Ground.on(stage, arguments.scale, arguments.demos)
                for name in arguments.scene or known:
                    _play(known[name], name, ground, report, number=number, image=image)
                    _write(arguments.json, report)
    print(f"\n{report.table()}\n\nJSON: {arguments.json}")
    return 0 if report.is_sound else 1


def _install(stage: Stage, *, fresh: bool) -> None:
    if fresh:
        stage.chart().install()
    time.sleep(_SETTLE)


def _play(
    scene: scenes.Scene, name: str, ground: Ground, report: Report, *, number: int, image: str
) -> None:
    print(f"… {number}: {name}: {scene.TITLE} ({image})", flush=True)
    load, began = os.getloadavg()[0], time.monotonic()
    drift = time.time() - time.monotonic()
    figures = tuple(scene.measure(ground))
    drift = abs(time.time() - time.monotonic() - drift)
    if drift > _STEP:
        print(f"  the wall clock was set by {drift * 1000:.0f} ms: measure again", file=sys.stderr)
    report.runs.append(Run(number, name, scene.TITLE, image, figures, round(load, 1)))
    print(f"  {time.monotonic() - began:.0f} s: {_gist(report.runs[-1])}", flush=True)


def _gist(run: Run) -> str:
    return ", ".join(
        f"{one.name} {one.value:g} {one.unit}".rstrip()
        for one in run.figures
        if one.aim is not None
    )


def _write(path: Path, report: Report) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(report.json())


def _arguments(known: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scene", nargs="*", choices=[*known, []], help="default: all")
    parser.add_argument("--times", type=int, default=1, help="rounds; default: %(default)s")
    parser.add_argument(
        "--image", action="append", default=[], help="of the operator; of several, in turn"
    )
    parser.add_argument("--name", default="workshop-bench", help="of the cluster")
    parser.add_argument("--scale", type=float, default=1.0, help="of the scenes, to try them out")
    parser.add_argument(
        "--demos",
        type=int,
        default=800,
        help="in the end of scene scale; default: %(default)s. On two cores, these take up to an"
        " hour, 50 ten minutes, all other scenes a quarter of an hour",
    )
    parser.add_argument("--json", type=Path, default=ROOT / "dist" / "bench.json", metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
