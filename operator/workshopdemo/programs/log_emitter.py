"""Numbered lines by which the shipping of logs is proved: LINES (2000), LINES_PER_SECOND (20), RUN.

Each start of this program is a series of its own, whose numbers begin with 1: so a container that
was started again cannot hide a gap of the one before. After its last line it stays without a word:
a Pod of a DaemonSet that ends is started again.
"""

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from workshopdemo.programs import env, pace

LONG_EVERY: Final = 50
LONGER_EVERY: Final = 200

LONG_BYTES: Final = 17_000
LONGER_BYTES: Final = 34_000
"""Container runtimes cut a line after 16 KiB; who ships it has to join two or three pieces."""

_LONG_PAD: Final = "x"
# Three bytes in UTF-8, which do not divide 16 KiB: the runtime cuts in the middle of one.
_LONGER_PAD: Final = "€"

_STDOUT: Final = 1
_STDERR: Final = 2

_TEXTS: Final = (
    "Sold: Moby-Dick, 1 copy, 12.90 EUR",
    "Ada Abel looks for books about whales",
    'Sold: "Pippi Långstrump", 2 copies, 19.80 EUR',
    "New customer: Dmitri Eriksen",
    "Searched: Анна Каренина, 3 editions found",
    "Cart of Farah Costa: 4 books, 51.60 EUR",
    "Returned: The Trial, 1 copy, the wrong edition",
    "Sold: 吾輩は猫である, 1 copy, 14.50 EUR",
    'Review of Emma by Hana Berg: "Read it twice ★★★★★"',
    r"Imported 12 covers from C:\covers\new",
    "Low stock: The Odyssey, 2 copies left",
    "Sold: Don Quijote de la Mancha, 1 copy, 24.00 EUR",
    "Parcel 4711 to Lisbon is on its way 📦",
)
_LONG_TEXT: Final = "Catalogue of the whole shop in one line"


@dataclass(frozen=True, kw_only=True)
class Series:
    """Lines that one start of the program writes."""

    run: int
    name: str
    """Random, so that no two series are alike."""

    lines: int
    node: str

    def line(self, number: int) -> str:
        """The line of this number, from 1; what tells of it stands at its beginning."""
        pad = self._pad(number)
        text = _LONG_TEXT if pad else _TEXTS[number % len(_TEXTS)]
        quoted = json.dumps(text, ensure_ascii=False)
        return (
            f"run={self.run} series={self.name} seq={number} of={self.lines}"
            f" node={self.node} text={quoted}{pad}"
        )

    def _pad(self, number: int) -> str:
        # In the middle of each fifty, and never the last line: the kubelet cuts a log into what
        # the runtime wrote, so the end of a log would be a piece of pad that tells nothing.
        if number % LONG_EVERY != LONG_EVERY // 2 or number == self.lines:
            return ""
        if number % LONGER_EVERY == LONG_EVERY // 2:
            return f" pad={_LONGER_PAD * (LONGER_BYTES // len(_LONGER_PAD.encode()))}"
        return f" pad={_LONG_PAD * LONG_BYTES}"


def due_times(start: float, per_second: int) -> Iterator[float]:
    """When each line is due. All are counted from the start, so no delay adds up."""
    return (start + number / per_second for number, _ in enumerate(repeat(None)))


def write_all(
    series: Series,
    per_second: int,
    write: Callable[[int, bytes], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write the series at its pace, to standard output and standard error in turn.

    Args:
        series: what to write.
        per_second: so many lines, on average: what was late is caught up with.
        write: takes a file descriptor and a line.
        clock: seconds that only go forward.
        sleep: waits for some seconds.
    """
    due = due_times(clock(), per_second)
    for number, moment in zip(range(1, series.lines + 1), due, strict=False):
        if (early := moment - clock()) > 0:
            sleep(early)
        write(_STDERR if number % 2 == 0 else _STDOUT, series.line(number).encode() + b"\n")


def write_line(descriptor: int, line: bytes) -> None:
    """Write a whole line, past Python's buffers: a signal loses nothing that was said."""
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def main() -> int:
    """Write all lines, then wait for SIGTERM, which ends it at any moment and is no failure."""
    pace.listen()
    try:
        series = Series(
            run=env.whole_number("RUN", default=1, at_least=1),
            name=secrets.token_hex(4),
            lines=env.whole_number("LINES", default=2000, at_least=1),
            node=env.plain_name("NODE_NAME", default="unknown"),
        )
        per_second = env.whole_number("LINES_PER_SECOND", default=20, at_least=1)
        write_all(series, per_second, write_line)
        while True:
            signal.pause()
    except env.SettingError as error:
        print(error, flush=True)
        return 2
    except pace.StoppedError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
