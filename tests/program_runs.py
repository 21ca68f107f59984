"""Run the demos' programs as their Pods do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SOURCE_ROOT = Path(__file__).parents[1] / "operator"


def start(program: str, *args: str, **env: str) -> subprocess.Popen[str]:
    """A running program, with no more than the environment given."""
    return subprocess.Popen(
        [sys.executable, "-m", f"workshopdemo.programs.{program}", *args],
        env={"PYTHONPATH": str(SOURCE_ROOT), "PATH": os.environ["PATH"], **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Exit code, and the lines it printed (that nobody has read yet)."""
    with process:
        output, _ = process.communicate(timeout=30)
    return process.returncode, output.splitlines()


def run(program: str, *args: str, **env: str) -> tuple[int, list[str]]:
    """Start and finish."""
    return finish(start(program, *args, **env))


def terminate(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """As Kubernetes stops a container, once it has said something."""
    assert process.stdout is not None
    first = process.stdout.readline().rstrip()
    process.send_signal(signal.SIGTERM)
    code, lines = finish(process)
    return code, [first, *lines]
