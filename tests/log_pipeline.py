"""A node's logs without a node: what containerd, the kubelet, the collector and VictoriaLogs do.

The last two are the real programs, built by deploy/kind. All of it is on loopback and in one
directory, so that many can run beside each other.
"""

import asyncio
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from program_runs import SOURCE_ROOT
from unit.kind_modules import load
from workshopdemo import logsql
from workshopdemo.aggregator import Aggregator
from workshopdemo.errors import AggregatorError
from workshopdemo.logsql import SeriesCount
from workshopdemo.plan.collector import SYNCHRONOUS, Places, aggregator, collector_config

NAMESPACE = "workshop"
DAEMON_SET = "bookshop-log-emitter"
LEFT_OUT = ("log-shipper", "log-aggregator")
NODE = "workshop-worker"
PATIENCE = 90.0

PIECE_BYTES = 16 * 1024
"""containerd's max_container_log_line_size."""


def programs() -> tuple[Path, Path]:
    """The collector and VictoriaLogs, built when they are missing."""
    cache, pins, tools = load("cache"), load("pins"), load("tools")
    version = pins.PINS.versions["victoria-logs"]
    if not (tools.COLLECTOR.built() and cache.existing("victoria-logs", version)):
        with cache.exclusive("pytest"):
            tools.COLLECTOR.directory()
            tools.program("victoria-logs")
    return tools.COLLECTOR.directory() / "collector", tools.program("victoria-logs")


def eventually(condition: Callable[[], bool], *, seconds: float = PATIENCE) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not (done := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return done


@dataclass
class ContainerLog:
    """The log of one container, as containerd writes it and the kubelet rotates it."""

    directory: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _file: IO[bytes] | None = None
    _last: int = 0
    _rotations: int = 0

    @property
    def path(self) -> Path:
        return self.directory / "0.log"

    def write(self, stream: str, line: str | bytes) -> None:
        """A line, in as many pieces as it needs."""
        rest = line.encode() if isinstance(line, str) else line
        while len(rest) > PIECE_BYTES:
            self.piece(stream, rest[:PIECE_BYTES], last=False)
            rest = rest[PIECE_BYTES:]
        self.piece(stream, rest, last=True)

    def piece(self, stream: str, content: bytes, *, last: bool) -> None:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            header = f"{_rfc3339(self._last)} {stream} {'F' if last else 'P'} ".encode()
            self._open().write(header + content + b"\n")

    def rotate(self) -> None:
        """What the kubelet does with a full log; packs the ones before."""
        with self._lock:
            for old in self.directory.glob("0.log.*[0-9]"):
                packed = old.with_name(f"{old.name}.gz")
                unfinished = old.with_name(f"{old.name}.tmp")
                with old.open("rb") as source, gzip.open(unfinished, "wb", 1) as target:
                    shutil.copyfileobj(source, target)
                unfinished.rename(packed)
                old.unlink()
            self._rotations += 1
            moment = datetime.now(UTC) + timedelta(seconds=self._rotations)
            self.path.rename(self.directory / f"0.log.{moment:%Y%m%d-%H%M%S}")
            # The runtime is told to open it anew; until then it writes to the renamed one.
            self.close()

    def remove(self) -> None:
        """As with its Pod."""
        self.close()
        shutil.rmtree(self.directory.parent)

    def close(self) -> None:
        if self._file:
            self._file.close()
        self._file = None

    def _open(self) -> IO[bytes]:
        if self._file is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
        return self._file


def _rfc3339(nanoseconds: int) -> str:
    """As Go does it: without the zeros at the end."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}".rstrip("0") + "Z"


class Container:
    """The emitter, running as in its Pod, with a runtime that writes down what it says."""

    def __init__(self, log: ContainerLog, *, lines: int, per_second: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workshopdemo.programs.log_emitter"],
            env={
                "PYTHONPATH": str(SOURCE_ROOT),
                "PATH": os.environ["PATH"],
                "RUN": "1",
                "LINES": str(lines),
                "LINES_PER_SECOND": str(per_second),
                "NODE_NAME": NODE,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._log = log
        self.written = 0
        self._lines = lines
        self._threads = [
            threading.Thread(target=self._pump, args=(stream, pipe))
            for stream, pipe in (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        ]
        for thread in self._threads:
            thread.start()

    def _pump(self, stream: str, pipe: IO[bytes]) -> None:
        rest = b""
        while chunk := os.read(pipe.fileno(), 64 * 1024):
            rest += chunk
            while rest:
                line, newline, _ = rest[: PIECE_BYTES + 1].partition(b"\n")
                if newline:
                    self._log.piece(stream, line, last=True)
                    self.written += 1
                    rest = rest[len(line) + 1 :]
                elif len(rest) > PIECE_BYTES:
                    self._log.piece(stream, rest[:PIECE_BYTES], last=False)
                    rest = rest[PIECE_BYTES:]
                else:
                    break

    def has_written(self, lines: int) -> bool:
        return eventually(lambda: self.written >= lines)

    def stop(self) -> int:
        """As Kubernetes does it; gives the exit code."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=30)
        for thread in self._threads:
            thread.join()
        return code

    def close(self) -> None:
        if self._process.poll() is None:
            self.stop()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()


class Program:
    """A server that can be stopped, killed and started again."""

    def __init__(self, command: list[str], health: str, log: Path, **env: str) -> None:
        self._command = command
        self._health = health
        self._log = log
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        assert self._process is None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=subprocess.STDOUT
            )
        if wait:
            assert eventually(self.is_up), self._log.read_text()[-5000:]

    def is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-5000:]
        try:
            with urllib.request.urlopen(self._health, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """SIGKILL, which leaves it no time for anything."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as Kubernetes stops a container."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=60)


@dataclass
class Node:
    """A node with a collector, and the aggregator it ships to."""

    root: Path
    collector: Program
    aggregator: Program
    aggregator_port: int
    _containers: list[Container] = field(default_factory=list)
    _logs: list[ContainerLog] = field(default_factory=list)

    def log(self, pod: str, container: str, namespace: str = NAMESPACE) -> ContainerLog:
        """The log of a container; nothing is there before its first line."""
        directory = f"{namespace}_{pod}_{uuid.uuid5(uuid.NAMESPACE_DNS, pod)}"
        log = ContainerLog(self.root / "pods" / directory / container)
        self._logs.append(log)
        return log

    def emit(self, lines: int, per_second: int = 1000) -> tuple[Container, ContainerLog]:
        """Start an emitter."""
        log = self.log(f"{DAEMON_SET}-x7k2p", "log-emitter")
        container = Container(log, lines=lines, per_second=per_second)
        self._containers.append(container)
        return container, log

    def counts(self) -> tuple[SeriesCount, ...]:
        """What the operator would see."""

        async def ask() -> tuple[SeriesCount, ...]:
            client = Aggregator(port=self.aggregator_port)
            try:
                return await client.count("127.0.0.1", query)
            finally:
                await client.close()

        query = logsql.emitter_query(namespace=NAMESPACE, daemon_set=DAEMON_SET, run=1)
        return asyncio.run(ask())

    def received(self, lines: int) -> SeriesCount:
        """Wait until so many different lines are there, and none comes any more."""
        counts: tuple[SeriesCount, ...] = ()

        def are_there() -> bool:
            nonlocal counts
            try:
                counts = self.counts()
            except AggregatorError:
                return False
            return sum(count.distinct for count in counts) >= lines

        eventually(are_there)
        time.sleep(1.5)
        (count,) = self.counts()
        return count

    def query(self, query: str) -> str:
        """The aggregator's answer to any query."""
        return self.get(f"{logsql.QUERY_PATH}?{urllib.parse.urlencode({'query': query})}")

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows of its answer."""
        return [json.loads(line) for line in self.query(query).splitlines()]

    def get(self, path: str) -> str:
        """What it answers at a path."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.aggregator_port}{path}", timeout=30
        ) as answer:
            body: bytes = answer.read()
        return body.decode()

    def close(self) -> None:
        """End all that runs."""
        for container in self._containers:
            container.close()
        for log in self._logs:
            log.close()
        self.collector.kill()
        self.aggregator.kill()


@contextmanager
def node(root: Path) -> Iterator[Node]:
    """A node whose collector and aggregator run."""
    collector, victoria_logs = programs()
    port, health = free_ports(2)
    config = collector_config(
        namespace=NAMESPACE,
        receiver=aggregator("127.0.0.1", port),
        left_out=LEFT_OUT,
        places=Places(
            logs=str(root / "pods"), state=str(root / "state"), health=f"127.0.0.1:{health}"
        ),
    )
    (root / "config.json").write_text(json.dumps(config, ensure_ascii=False))
    made = Node(
        root=root,
        collector=Program(
            [str(collector), f"--config={root}/config.json", SYNCHRONOUS],
            f"http://127.0.0.1:{health}",
            root / "collector.log",
            K8S_NODE_NAME=NODE,
        ),
        aggregator=Program(
            [
                str(victoria_logs),
                f"-storageDataPath={root}/data",
                f"-httpListenAddr=127.0.0.1:{port}",
                # Else it writes a sentence of its own where a log has a blank line.
                "-defaultMsgValue=",
            ],
            f"http://127.0.0.1:{port}/health",
            root / "aggregator.log",
        ),
        aggregator_port=port,
    )
    with ExitStack() as stack:
        stack.callback(made.close)
        made.aggregator.start()
        made.collector.start()
        yield made


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses at this moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
