"""Work that takes its time, and ends when Kubernetes says so.

Kubernetes stops a container with SIGTERM, and kills it if it still runs after the Pod's
`terminationGracePeriodSeconds`. A container's program is process 1, to which Linux passes no signal
that the program has not asked for: without `listen` it would be killed.
"""

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

STOPPED: Final = 128 + signal.SIGTERM
"""Exit code of a program that SIGTERM has ended: 143."""


LINGER_SECONDS: Final = 2
"""Kubernetes takes a deleted Pod away the moment it ends, and its log with it. A program that stays
for a moment after its last words lets them be read."""


class StoppedError(Exception):
    """Kubernetes wants this program to end."""


def listen() -> None:
    """From now on SIGTERM raises StoppedError, whatever the program is at."""
    signal.signal(signal.SIGTERM, _stop)


def work(seconds: float, every: float, progress: Callable[[float], None]) -> None:
    """Take some time; call `progress` with the seconds passed, every so often."""
    start = time.monotonic()
    due = every
    while due < seconds:
        time.sleep(max(0, start + due - time.monotonic()))
        progress(due)
        due += every
    time.sleep(max(0, start + seconds - time.monotonic()))


def stopped() -> int:
    """After the last words of a program that SIGTERM ends: its exit code."""
    time.sleep(LINGER_SECONDS)
    return STOPPED


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise StoppedError
