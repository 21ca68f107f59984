"""A data pipeline as one Indexed Job: SHARDS Pods share the work, one more merges their results.

Kubernetes gives each Pod its number, JOB_COMPLETION_INDEX: the Pods 0 to SHARDS - 1 each sum up
their part of a sales file, Pod SHARDS waits for them. They share nothing but a volume (DATA_DIR);
RUN_ID names the run's directory on it, so that a rerun starts clean. MERGE_WAIT_SECONDS (60) says
how long the merge waits before it fails and lets Kubernetes try again.
"""

import json
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from workshopdemo.programs import env, pace
from workshopdemo.programs.files import write_whole
from workshopdemo.programs.say import say
from workshopdemo.programs.table import money, say_table

DIRECTORY: Final = "pipeline"
ROWS: Final = 40_000
TOP: Final = 5
_SEED: Final = 2020
_SALES: Final = "sales.csv"
_RESULT: Final = "result.json"
_POLL_SECONDS: Final = 0.2
_FORGOTTEN_SECONDS: Final = 3600
_BOOKS: Final = {
    "The Glass Harbour": 1890,
    "Atlas of Small Islands": 3400,
    "Night Trains": 1250,
    "A Clockmaker's Winter": 2190,
    "Bread, Salt, Patience": 2750,
    "The Cartographer's Cat": 990,
    "Letters to a Lighthouse": 1590,
    "Seven Bridges": 1790,
}


class PipelineError(Exception):
    """This Pod cannot do its part; the text says why."""


@dataclass
class Sums:
    """What a part of the file comes to."""

    rows: int = 0
    copies: Counter[str] = field(default_factory=Counter)
    """By book."""

    cents: Counter[str] = field(default_factory=Counter)
    """By book."""

    def add(self, other: "Sums") -> None:
        """Sums can be added in any order: that is why the work can be shared."""
        self.rows += other.rows
        self.copies.update(other.copies)
        self.cents.update(other.cents)

    def __str__(self) -> str:
        copies, cents = self.copies.total(), self.cents.total()
        return f"{self.rows:,} sales, {copies:,} books, {money(cents)}"


@dataclass(frozen=True)
class Run:
    """One run of the Job, as all its Pods see it."""

    directory: Path
    shards: int

    def partial(self, shard: int) -> Path:
        """Where a shard's result goes; its name says the part, so that no other can pass for it."""
        return self.directory / f"part-{shard}-of-{self.shards}.json"

    def sales(self) -> Path:
        """The sales file. Whoever comes first writes it.

        If two come at once, both write the same bytes, and each whole: no lock is needed.
        """
        path = self.directory / _SALES
        if path.exists():
            say(f"The sales file is there: {path}.")
            return path
        self.directory.mkdir(parents=True, exist_ok=True)
        content = sales_file().encode()
        write_whole(path, content)
        say(f"I came first, so I wrote the sales file: {path}, {len(content):,} bytes.")
        return path


def sales_file(rows: int = ROWS) -> str:
    """A line a sale, `copies;cents;title`; the same on every machine."""
    chance = random.Random(_SEED)  # noqa: S311 (repeatable is what it must be)
    titles = chance.choices(list(_BOOKS), weights=[8, 3, 12, 6, 5, 15, 9, 7], k=rows)
    copies = chance.choices((1, 2, 3), weights=(8, 2, 1), k=rows)
    return "".join(
        f"{number};{number * _BOOKS[title]};{title}\n"
        for title, number in zip(titles, copies, strict=True)
    )


def sum_up(lines: Iterable[str]) -> Sums:
    """Add sale by sale."""
    sums = Sums()
    for line in lines:
        copies, cents, title = line.split(";", 2)
        sums.rows += 1
        sums.copies[title] += int(copies)
        sums.cents[title] += int(cents)
    return sums


def aggregate(run: Run, shard: int) -> None:
    """A shard's work."""
    lines = run.sales().read_text(encoding="utf-8").splitlines()
    first, end = (len(lines) * number // run.shards for number in (shard, shard + 1))
    say(f"My part: sales {first + 1:,} to {end:,} of {len(lines):,}.")
    sums = sum_up(lines[first:end])
    path = run.partial(shard)
    write_whole(path, json.dumps(vars(sums)).encode())
    say(f"My part comes to {sums}. Written to {path.name}.")


def merge(run: Run, wait_seconds: float) -> None:
    """The last Pod's work: all parts together, proved against the file as a whole."""
    wait_for_parts(run, wait_seconds)
    merged = Sums()
    for shard in range(run.shards):
        merged.add(_read(run.partial(shard)))
    whole = sum_up(run.sales().read_text(encoding="utf-8").splitlines())
    say(f"All parts together: {merged}.")
    say(f"The whole file:     {whole}.")
    if merged != whole:
        raise PipelineError(
            "the parts do not come to the whole: something was lost or counted twice"
        )
    say("They are the same, book by book: nothing was lost, nothing was counted twice.")
    say(f"The {TOP} books that brought most:")
    best = merged.cents.most_common(TOP)
    say_table(
        ("rank", "book", "copies", "revenue"),
        [
            (rank, title, merged.copies[title], money(cents))
            for rank, (title, cents) in enumerate(best, 1)
        ],
    )
    write_whole(run.directory / _RESULT, json.dumps(vars(merged)).encode())
    for directory in old_runs(run):
        shutil.rmtree(directory, ignore_errors=True)
        say(f"Removed what the earlier run {directory.name} left.")


def wait_for_parts(run: Run, seconds: float) -> None:
    """Wait, but not for ever: a Pod that hangs looks like one that works."""
    say(f"I merge. Waiting up to {seconds:.0f} s for the results of {run.shards} shards.")
    deadline = time.monotonic() + seconds
    missing = last = list(range(run.shards))
    while missing := [shard for shard in missing if not run.partial(shard).exists()]:
        if missing != last:
            say(f"  {run.shards - len(missing)} of {run.shards} are there")
        last = missing
        if time.monotonic() >= deadline:
            names = ", ".join(map(str, missing))
            raise PipelineError(f"no result of shard {names} after {seconds:.0f} s")
        time.sleep(_POLL_SECONDS)
    say(f"  {run.shards} of {run.shards} are there")


def old_runs(run: Run) -> Iterator[Path]:
    """Directories of other runs that are over: they have a result, or nobody touches them.

    The others may be of a second pipeline that runs at the same time on the same volume.
    """
    forgotten = time.time() - _FORGOTTEN_SECONDS
    for path in sorted(run.directory.parent.iterdir()):
        over = (path / _RESULT).exists() or path.stat().st_mtime < forgotten
        if path != run.directory and path.is_dir() and over:
            yield path


def _read(path: Path) -> Sums:
    try:
        data = json.loads(path.read_bytes())
        return Sums(data["rows"], Counter(data["copies"]), Counter(data["cents"]))
    except (ValueError, TypeError, KeyError) as error:
        raise PipelineError(f"{path.name} is no result: {error!r}") from error


def task() -> tuple[Run, int]:
    """Which run this is, and which part of it is mine."""
    shards = env.whole_number("SHARDS", default=4, at_least=1)
    if not env.text("JOB_COMPLETION_INDEX"):
        raise env.SettingError("JOB_COMPLETION_INDEX is not set: is this an Indexed Job?")
    index = env.whole_number("JOB_COMPLETION_INDEX", default=0)
    if index > shards:
        raise env.SettingError(f"Index {index} has no work: SHARDS is {shards}.")
    run_id = env.plain_name("RUN_ID", default="run")
    return Run(env.data_directory() / DIRECTORY / run_id, shards), index


def main() -> int:
    """One Pod's part."""
    pace.listen()
    try:
        wait_seconds = env.whole_number("MERGE_WAIT_SECONDS", default=60)
        run, index = task()
    except env.SettingError as error:
        say(str(error))
        return 2
    try:
        say(f"I am index {index} of an Indexed Job with {run.shards + 1} completions.")
        if index < run.shards:
            aggregate(run, index)
        else:
            merge(run, wait_seconds)
    except pace.StoppedError:
        say("SIGTERM: stopped before my part was done. Exit code 143.")
        return pace.stopped()
    except (PipelineError, OSError) as error:
        say("Kubernetes starts a new Pod with my index; the parts that are done stay done.")
        say(f"Index {index} failed: {error}. Exit code 1.")
        return 1
    say(f"Index {index} is done.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
