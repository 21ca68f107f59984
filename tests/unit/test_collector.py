"""The collector's configuration: what it promises, without a collector."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshopdemo.plan.collector import (
    Places,
    Receiver,
    aggregator,
    collector_config,
    otlp_http,
)

STREAMS = ("stdout", "stderr")


def config(
    receiver: Receiver | None = None, places: Places | None = None, left_out: tuple[str, ...] = ()
) -> dict[str, Any]:
    return collector_config(
        namespace="workshop",
        receiver=receiver or aggregator("bookshop-log-aggregator.workshop.svc"),
        left_out=left_out,
        places=places,
    )


CONFIG = config(left_out=("log-shipper", "log-aggregator"))
EXPORTER = CONFIG["exporters"]["otlp_http"]
READERS = {stream: CONFIG["receivers"][f"file_log/{stream}"] for stream in STREAMS}


@pytest.mark.parametrize("stream", STREAMS)
def test_only_the_namespace_is_read_without_packed_files_and_what_is_left_out(stream: str) -> None:
    assert READERS[stream]["include"] == [
        "/var/log/pods/workshop_*/*/*.log",
        "/var/log/pods/workshop_*/*/*.log.*",
    ]
    assert READERS[stream]["exclude"] == [
        "/var/log/pods/workshop_*/*/*.gz",
        "/var/log/pods/workshop_*/*/*.tmp",
        "/var/log/pods/workshop_*/log-shipper/*",
        "/var/log/pods/workshop_*/log-aggregator/*",
    ]


def test_nothing_gives_up_and_nothing_is_thrown_away() -> None:
    for part in (EXPORTER, *READERS.values()):
        assert part["retry_on_failure"]["enabled"]
        assert part["retry_on_failure"]["max_elapsed_time"] == 0
    queue = EXPORTER["sending_queue"]
    assert queue["block_on_overflow"]
    assert queue["storage"] == "file_storage"
    assert all(reader["storage"] == "file_storage" for reader in READERS.values())
    assert all(reader["start_at"] == "beginning" for reader in READERS.values())
    # A processor that gathers lines would hold them in memory after they count as read.
    assert CONFIG["service"]["pipelines"]["logs"]["processors"] == ["memory_limiter"]


def test_every_part_that_is_named_is_there() -> None:
    service = CONFIG["service"]
    assert set(service["extensions"]) == CONFIG["extensions"].keys()
    logs = service["pipelines"]["logs"]
    for part in ("receivers", "processors", "exporters"):
        assert set(logs[part]) == CONFIG[part].keys()


def test_the_built_in_aggregator() -> None:
    assert EXPORTER["logs_endpoint"] == (
        "http://bookshop-log-aggregator.workshop.svc:9428/insert/opentelemetry/v1/logs"
    )
    assert not {"headers", "tls"} & EXPORTER.keys()


def test_another_receiver() -> None:
    exporter = config(otlp_http("https://logs.example.com/otlp/", "/ca/ca.crt"))["exporters"][
        "otlp_http"
    ]
    assert exporter["logs_endpoint"] == "https://logs.example.com/otlp/v1/logs"
    assert "headers" not in exporter, "they are secrets, see programs/header_values"
    assert exporter["tls"] == {"ca_file": "/ca/ca.crt"}


def test_nothing_of_a_users_is_expanded() -> None:
    hostile = "${env:HOME}$$x"
    made = config(otlp_http(f"https://{hostile}", hostile))
    exporter = made["exporters"]["otlp_http"]
    assert exporter["logs_endpoint"] == "https://$${env:HOME}$$$$x/v1/logs"
    assert exporter["tls"]["ca_file"] == "$${env:HOME}$$$$x"
    # All that is left to put in is what is meant to be.
    left = re.findall(r"(?<!\$)(?:\$\$)*\$\{([^}]*)\}", json.dumps(made))
    assert sorted(left) == ["env:K8S_NODE_NAME", "env:K8S_NODE_NAME"]


def test_places() -> None:
    made = config(places=Places(logs="/x/pods", state="/x/state", health="127.0.0.1:1"))
    assert made["receivers"]["file_log/stdout"]["include"][0] == "/x/pods/workshop_*/*/*.log"
    assert made["extensions"] == {
        "file_storage": CONFIG["extensions"]["file_storage"] | {"directory": "/x/state"},
        "health_check": {"endpoint": "127.0.0.1:1"},
    }


# A log as the runtime writes it: whose stream, whether the line goes on, and what it says.
PIECES = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.booleans(), st.text("ab P€ ", min_size=0, max_size=5)),
    max_size=7,
)


def tokens(stream: str, log: str) -> Iterator[str]:
    """As the collector's reader splits a file; what it leaves stays unread."""
    pattern = re.compile(READERS[stream]["multiline"]["line_end_pattern"], re.MULTILINE)
    while found := pattern.search(log):
        assert found.start() == 0
        assert found.end() > 0
        yield found.group()
        log = log[found.end() :]


def records(stream: str, log: str) -> list[str]:
    """What comes out of a reader, as CRI lines."""
    one_stream, join, whole, *_ = READERS[stream]["operators"]
    assert (one_stream["id"], join["id"], whole["id"]) == ("one-stream", "join", "whole")
    kept = [
        token
        for token in tokens(stream, log)
        if bool(re.match(r"^[^ \n]* stderr ", token)) == (stream == "stderr")
    ]
    assert whole["replace_with"] == "$${1} F"
    joined = [re.sub(join["regex"], join["replace_with"], token) for token in kept]
    return [re.sub(whole["regex"], r"\g<1> F", token) for token in joined]


def as_cri(pieces: list[tuple[str, bool, str]]) -> str:
    return "".join(
        f"2026-01-01T00:00:00.{number:09}Z {stream} {'P' if goes_on else 'F'} {text}\n"
        for number, (stream, goes_on, text) in enumerate(pieces)
    )


def lines_of(stream: str, pieces: list[tuple[str, bool, str]]) -> list[str]:
    """The lines of a stream that are complete."""
    lines, parts = [], []
    for whose, goes_on, text in pieces:
        if whose == stream:
            parts.append(text)
            if not goes_on:
                lines.append("".join(parts))
                parts = []
    return lines


@given(PIECES)
def test_each_line_is_joined_whatever_the_other_stream_has_in_between(
    pieces: list[tuple[str, bool, str]],
) -> None:
    for stream in STREAMS:
        found = [record.split(" ", 3) for record in records(stream, as_cri(pieces))]
        assert [text for *_, text in found] == lines_of(stream, pieces)
        assert all((whose, tag) == (stream, "F") for _, whose, tag, _ in found)


@given(PIECES, st.data())
def test_wherever_the_reading_stops_nothing_of_a_line_is_behind(
    pieces: list[tuple[str, bool, str]], data: st.DataObject
) -> None:
    log = as_cri(pieces)
    stop = data.draw(st.integers(0, len(log)))
    for stream in STREAMS:
        read = sum(map(len, tokens(stream, log[:stop])))
        again = records(stream, log[:stop]) + records(stream, log[read:])
        assert again == records(stream, log)


@pytest.mark.parametrize("line", ["", "x", "x y", "x stdout", "x stdout ", "x foo F", "x  y", " "])
def test_what_is_no_cri_line_holds_nothing_up_and_goes_with_stdout(line: str) -> None:
    log = f"{line}\n1 stdout F after\n"
    assert records("stdout", log) == [line, "1 stdout F after"]
    assert records("stderr", log) == []


@pytest.mark.parametrize("stream", STREAMS)
def test_a_line_without_end_is_taken_in_parts(stream: str) -> None:
    log = as_cri([(stream, True, "x")] * 43)
    sizes = [len(token.splitlines()) for token in tokens(stream, log)]
    assert sizes == [8] * 5
