"""The path of a line from a container to the aggregator, with the real programs and no cluster."""

import json
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from log_pipeline import LEFT_OUT, NAMESPACE, NODE, Node, eventually, node, programs
from workshopdemo import logsql
from workshopdemo.plan.collector import (
    SYNCHRONOUS,
    Receiver,
    aggregator,
    collector_config,
    otlp_http,
)
from workshopdemo.programs import header_values

pytestmark = pytest.mark.busy

HOSTILE = "a$b$$c${env:HOME}${file:/etc/passwd}\"'\\{}[]: #é😀"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Node]:
    with node(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("receiver", "headers"),
    [
        (aggregator("bookshop-log-aggregator.workshop.svc"), {}),
        (otlp_http("https://logs.example.com/otlp"), {"Authorization": "Bearer x", "X-Org": "7"}),
        (otlp_http("https://[2001:db8::1]:4318", "/etc/log-shipper/ca/ca.crt"), {}),
        (otlp_http(f"https://logs.example.com/{HOSTILE}", HOSTILE), {f"X-{HOSTILE}": HOSTILE}),
    ],
)
def test_the_collector_accepts_its_configuration(
    receiver: Receiver, headers: dict[str, str], tmp_path: Path
) -> None:
    config = collector_config(namespace=NAMESPACE, receiver=receiver, left_out=LEFT_OUT)
    pieces = {"config.json": config, "headers.json": header_values.config(headers)}
    paths = [tmp_path / name for name in (pieces if headers else ["config.json"])]
    for path in paths:
        path.write_text(json.dumps(pieces[path.name], ensure_ascii=False))
    collector, _ = programs()
    done = subprocess.run(
        [collector, "validate", *(f"--config={path}" for path in paths), SYNCHRONOUS],
        env={"K8S_NODE_NAME": NODE},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_every_line_arrives_once(worker: Node) -> None:
    container, log = worker.emit(10_000)
    for lines in (3_000, 6_000):
        container.has_written(lines)
        log.rotate()
    container.has_written(10_000)
    assert container.stop() == 0
    count = worker.received(10_000)
    assert (count.rows, count.distinct, count.highest) == (10_000, 10_000, 10_000)


def test_nothing_is_lost_when_the_collector_is_killed(worker: Node) -> None:
    chance = random.Random(6)
    worker.emit(10_000)
    for _ in range(6):
        time.sleep(chance.uniform(0.3, 1.5))
        worker.collector.kill()
        worker.collector.start(wait=False)
    count = worker.received(10_000)
    assert (count.distinct, count.highest) == (10_000, 10_000)
    print(f"{count.rows - count.distinct} lines twice")


def test_nothing_is_lost_when_the_log_is_rotated_meanwhile(worker: Node) -> None:
    container, log = worker.emit(6_000)
    for lines in (2_000, 4_000):
        container.has_written(lines - 500)
        worker.collector.kill()
        container.has_written(lines)
        log.rotate()
        container.has_written(lines + 500)
        worker.collector.start()
    count = worker.received(6_000)
    assert (count.distinct, count.highest) == (6_000, 6_000)


def test_nothing_is_lost_while_the_aggregator_is_away(worker: Node) -> None:
    container, log = worker.emit(6_000)
    container.has_written(1_000)
    worker.aggregator.stop()
    container.has_written(3_000)
    log.rotate()
    # What has not been delivered outlives the collector too.
    worker.collector.kill()
    worker.collector.start()
    container.has_written(5_000)
    worker.aggregator.start()
    count = worker.received(6_000)
    assert (count.distinct, count.highest) == (6_000, 6_000)


def test_the_log_of_a_job_that_exits_at_once(worker: Node) -> None:
    job = "bookshop-migrate-vx42zq"
    lines = [
        "Applying 0001_books.sql ...",
        "",
        "  title                copies",
        'He said: "Обломов, двa раза"',
        "Done. Exit code 0.",
    ]
    logs = [worker.log(f"{job}-{suffix}", "step") for suffix in ("k2x4p", "0-b9c7d")]
    others = worker.log("bookshop-migrate-vx42zq-again-x2x4p", "step")
    others.write("stdout", "Of another Job.")
    for log in logs:
        for line in lines:
            log.write("stdout", line)
    time.sleep(1.2)
    for log in logs:
        log.remove()
    command = logsql.log_command(
        namespace=NAMESPACE, service="bookshop-log-aggregator", job=job, port=9428
    )
    before, _, path = command.partition("/proxy")
    assert before.startswith("kubectl get --raw '/api/v1/namespaces/workshop/services/bookshop-")
    path = path.removesuffix("'")
    expected = [line.replace('"', '""') for line in lines * 2]
    expected = [f'"{line}"' if '"' in line or "," in line else line for line in expected]
    assert eventually(lambda: worker.get(path).splitlines() == [job, *expected]), worker.get(path)


def test_nothing_else_is_read(worker: Node) -> None:
    for namespace in ("workshop2", "other", "work", "a-workshop"):
        worker.log("bookshop-x", "main", namespace).write("stdout", "Not ours.")
    for container in LEFT_OUT:
        worker.log("bookshop-log-shipper-abcde", container).write("stderr", "Our own.")
    worker.log("bookshop-x", "main").write("stdout", "Ours.")
    assert eventually(lambda: len(worker.rows("*")) > 0)
    time.sleep(2)
    (row,) = worker.rows("*")
    assert row["_msg"] == "Ours."
    assert row["k8s.node.name"] == NODE
    assert row["k8s.pod.name"] == "bookshop-x"
    assert row["k8s.namespace.name"] == NAMESPACE
    assert row["k8s.container.name"] == "main"
    assert row["log.iostream"] == "stdout"
    assert not {"log.file.path", "logtag", "time"} & row.keys()


def test_lines_arrive_whole(worker: Node) -> None:
    log = worker.log("bookshop-x", "main")
    whole = {
        stream: [
            f"{stream} short",
            f"{stream} two pieces " + "x" * 20_000,
            f"{stream} cut in the middle of a character " + "€" * 20_000 + ".",
            f"{stream} exactly one piece ".ljust(16_384, "y"),
            f"{stream} ends in blanks   ",
            f"   {stream} begins with blanks",
            f"{stream} four pieces " + "z" * 60_000,
        ]
        for stream in ("stdout", "stderr")
    }
    # Piece by piece in turn, as it happens when a container writes to both at a time.
    pieces = [
        [(stream, piece, last) for line in lines for piece, last in _pieces(line.encode())]
        for stream, lines in whole.items()
    ]
    for pair in zip(*pieces, strict=True):
        for stream, piece, last in pair:
            log.piece(stream, piece, last=last)
    expected = sorted(line for lines in whole.values() for line in lines)
    eventually(lambda: len(worker.rows("*")) >= len(expected))
    assert sorted(row["_msg"] for row in worker.rows("*")) == expected


def test_a_line_that_is_too_long_arrives_in_parts(worker: Node) -> None:
    log = worker.log("bookshop-x", "main")
    line = "".join(f"{number:07} " for number in range(150_000))
    log.write("stdout", line)
    log.write("stdout", "after it")
    eventually(lambda: len(worker.rows("after it")) > 0)
    parts = [row["_msg"] for row in worker.rows("* | sort by (_time)")]
    assert "".join(parts[:-1]) == line
    assert parts[-1] == "after it"
    assert all(len(part) <= 128 * 1024 for part in parts)


def test_a_line_is_whole_though_the_collector_was_killed_in_its_middle(worker: Node) -> None:
    log = worker.log("bookshop-x", "main")
    log.write("stderr", "before")
    log.piece("stdout", b"first ", last=False)
    log.write("stderr", "in between")
    assert eventually(lambda: len(worker.rows("*")) == 2)
    time.sleep(0.5)
    worker.collector.kill()
    log.piece("stdout", b"second ", last=False)
    worker.collector.start()
    time.sleep(0.5)
    worker.collector.stop()
    log.piece("stdout", b"third", last=True)
    worker.collector.start()
    assert eventually(lambda: len(worker.rows("*")) >= 3)
    assert [row["_msg"] for row in worker.rows("* | sort by (_msg)")] == [
        "before",
        "first second third",
        "in between",
    ]


def _pieces(line: bytes) -> list[tuple[bytes, bool]]:
    pieces = [line[start : start + 16_384] for start in range(0, len(line), 16_384)]
    return [(piece, piece is pieces[-1]) for piece in pieces]
