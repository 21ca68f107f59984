"""Steps that say how long they take, and commands whose output goes to a log file."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cache

KEPT_LOGS = 60
QUIET_SECONDS = 60


class Failure(Exception):  # noqa: N818 - it is what happened, told to a person
    """One sentence for the person at the keyboard: what is wrong and what to do."""


class Console:
    """Progress on stderr (stdout is for results): a live line on a terminal, else lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._lock = threading.RLock()
        self._active: dict[str, float] = {}
        self._notes: dict[str, str] = {}
        self._said = time.monotonic()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def say(self, text: str) -> None:
        """Print a line, above the live one."""
        with self._lock:
            self._clear()
            print(text, file=self._stream, flush=True)
            self._said = time.monotonic()

    def begin(self, title: str) -> None:
        """Show a step as running."""
        with self._lock:
            self._active[title] = time.monotonic()
            if not self._ticker.is_alive():
                self._ticker.start()
        if not self._live:
            self.say(f"  … {title}")

    def end(self, title: str, mark: str) -> None:
        """Say how a step ended and how long it took."""
        with self._lock:
            started = self._active.pop(title)
        self.say(f"  {mark} {title}  {elapsed(time.monotonic() - started)}")

    def note(self, title: str, text: str) -> None:
        """What a running step is at: on the live line, else a line at each change."""
        with self._lock:
            changed = self._notes.get(title) != text
            self._notes[title] = text
        if changed and text and not self._live:
            self.say(f"    {text}")

    def _tick(self) -> None:
        while True:
            with self._lock:
                now = time.monotonic()
                line = ", ".join(self._describe(title, now) for title in self._active)
                if self._live and line:
                    self._clear()
                    width = shutil.get_terminal_size().columns - 1
                    self._stream.write(f"  … {line}"[:width])
                    self._stream.flush()
                elif line and now - self._said > QUIET_SECONDS:
                    self.say(f"  … still waiting: {line}")
            time.sleep(0.5)

    def _describe(self, title: str, now: float) -> str:
        note = self._notes.get(title)
        return f"{title} {elapsed(now - self._active[title])}" + (f" – {note}" if note else "")

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")


console = Console(sys.stderr)
_local = threading.local()
_running: set[subprocess.Popen[str]] = set()


def elapsed(seconds: float) -> str:
    """Seconds as people say them: 4.2 s, 3 min 07 s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def log_path() -> Path:
    """The log of the step that this thread is in."""
    path: Path | None = getattr(_local, "log", None)
    return path or _open_log("main")


@dataclass
class Step:
    """A step that runs; `mark` is shown when it is over."""

    title: str
    mark: str = "✓"

    def note(self, text: str) -> None:
        """Say what the step is at."""
        console.note(self.title, text)


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show a step while it runs; commands inside it log to a file of its own."""
    console.begin(title)
    current = Step(title)
    outer: Path | None = getattr(_local, "log", None)
    _local.log = _open_log(title)
    try:
        yield current
    except BaseException:
        current.mark = "✗"
        raise
    finally:
        _local.log = outer
        console.end(title, current.mark)


def together(*jobs: Callable[[], None]) -> None:
    """Run jobs at the same time; the first failure ends the commands of the others."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            terminate_commands()
            raise
        failed = [future for future in done if future.exception()]
        if failed:
            terminate_commands()
            failed[0].result()


def terminate_commands() -> None:
    """End the commands that this process has started."""
    for process in list(_running):
        process.terminate()


def run(
    argv: Sequence[str | Path],
    *,
    otherwise: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> None:
    """Run a command with its output in the log; `otherwise` says what its failure means."""
    with log_path().open("a") as log:
        log.write(f"$ {' '.join(map(str, argv))}\n")
        log.flush()
        with _started(argv, log, env=env, cwd=cwd) as process:
            process.communicate(stdin)
    if process.returncode:
        raise Failure(f"{otherwise or f'{argv[0]} failed.'} Log: {log_path()}")


def output(argv: Sequence[str | Path], *, timeout: float = 30) -> str:
    """What a command prints; "" when it fails, is missing or takes too long."""
    try:
        done = subprocess.run(
            list(map(str, argv)), capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@contextmanager
def _started(
    argv: Sequence[str | Path],
    log: IO[str],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            list(map(str, argv)),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError:
        raise Failure(f"{argv[0]} is not installed, and it is needed here.") from None
    _running.add(process)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
        _running.discard(process)


def _open_log(title: str) -> Path:
    directory = cache.root() / "logs"
    directory.mkdir(exist_ok=True)
    name = "".join(c if c.isalnum() else "-" for c in title.lower())
    path = directory / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}.log"
    path.touch()
    _local.log = path
    for old in sorted(directory.glob("2*.log"))[:-KEPT_LOGS]:
        old.unlink(missing_ok=True)
    return path
