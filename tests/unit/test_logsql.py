"""Questions to the aggregator: whose lines they find, and that no answer is trusted."""

import json
import re
import shlex
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from workshopdemo import names
from workshopdemo.logsql import (
    BadAnswerError,
    SeriesCount,
    emitter_query,
    job_query,
    log_command,
    series_counts,
)

ROW = {
    "k8s.pod.name": "bookshop-log-emitter-x7k2p",
    "series": "3f9a2c71",
    "rows": "12",
    "distinct": "10",
    "highest": "10",
    "newest": "2026-11-25T10:52:05.89083217Z",
}


def pods_found(query: str) -> re.Pattern[str]:
    """The pattern of Pods in a query; those of streams match whole values."""
    found = re.search(r'"k8s\.pod\.name"=~("(?:[^"\\]|\\.)*")', query)
    assert found
    return re.compile(json.loads(found[1]))


class TestQueries:
    def test_emitters(self) -> None:
        assert emitter_query(namespace="workshop", daemon_set="a-log-emitter", run=3) == (
            '{"k8s.namespace.name"="workshop","k8s.container.name"="log-emitter",'
            '"k8s.pod.name"=~"a-log-emitter-([0-9]+-)?[a-z0-9]{5}"}'
            ' _msg:="run=3 series="*'
            ' | extract "series=<series> seq=<seq> of=" from _msg'
            ' | filter series:~"^[0-9a-f]{8}$" seq:~"^[1-9][0-9]{0,6}$"'
            ' | stats by ("k8s.pod.name", series) count() rows, count_uniq(seq) distinct,'
            " max(seq) highest, max(_time) newest"
        )

    def test_no_other_demos_pods_are_found(self) -> None:
        pattern = pods_found(emitter_query(namespace="n", daemon_set="a.b-log-emitter", run=1))
        assert pattern.fullmatch("a.b-log-emitter-x7k2p")
        for other in (
            "a.b-log-emitter",
            "a.b-log-emitter-log-emitter-x7k2p",
            "axb-log-emitter-x7k2p",
            "x-a.b-log-emitter-x7k2p",
        ):
            assert not pattern.fullmatch(other)

    def test_pods_of_a_job(self) -> None:
        pattern = pods_found(job_query(namespace="n", job="bookshop-migrate-vx42zq"))
        assert pattern.fullmatch("bookshop-migrate-vx42zq-x7k2p")
        assert pattern.fullmatch("bookshop-migrate-vx42zq-12-x7k2p")
        assert not pattern.fullmatch("bookshop-migrate-vx42zq-again-x7k2p")

    def test_pods_of_a_job_whose_name_is_too_long_for_theirs(self) -> None:
        job = "x" * names.CRON_JOB_NAME_LIMIT + "-29400001"
        assert pods_found(job_query(namespace="n", job=job)).fullmatch(f"{job}-"[:58] + "x7k2p")

    def test_pods_by_their_names(self) -> None:
        pattern = pods_found(job_query(namespace="n", job="a", pods={"a.b-1", "a-2"}))
        assert pattern.fullmatch("a.b-1")
        assert pattern.fullmatch("a-2")
        assert not pattern.fullmatch("axb-1")

    def test_the_command(self) -> None:
        command = log_command(namespace="workshop", service="a-log-aggregator", job="a-migrate-x")
        words = shlex.split(command)
        assert words[:3] == ["kubectl", "get", "--raw"]
        assert len(words) == 4
        url = urlsplit(words[3])
        assert url.path == (
            "/api/v1/namespaces/workshop/services/a-log-aggregator:9428/proxy/select/logsql/query"
        )
        query = job_query(namespace="workshop", job="a-migrate-x")
        assert parse_qs(url.query, strict_parsing=True) == {"format": ["csv"], "query": [query]}
        # VictoriaLogs 1.52 crashes without it when nothing matches.
        assert query.endswith(' | fields "a-migrate-x"')

    def test_no_name_leads_out_of_its_place(self) -> None:
        hostile = """a'; rm -rf / "|{}&x=1#é\n$(x)`"""
        words = shlex.split(log_command(namespace=hostile, service=hostile, job=hostile))
        assert len(words) == 4
        url = urlsplit(words[3])
        assert not url.fragment
        assert url.path.count("/") == 10
        assert parse_qs(url.query)["query"] == [job_query(namespace=hostile, job=hostile)]
        assert json.dumps(hostile) in job_query(namespace=hostile, job=hostile)


class TestAnswers:
    def test_counts(self) -> None:
        answer = f"{json.dumps(ROW)}\n{json.dumps(ROW | {'series': '00000000'})}\n".encode()
        count = SeriesCount(
            pod="bookshop-log-emitter-x7k2p",
            series="3f9a2c71",
            rows=12,
            distinct=10,
            highest=10,
            newest=datetime(2026, 11, 25, 10, 52, 5, 890832, tzinfo=UTC),
        )
        assert [one.series for one in series_counts(answer)] == ["3f9a2c71", "00000000"]
        assert series_counts(answer)[0] == count

    def test_nothing_has_arrived(self) -> None:
        assert series_counts(b"") == ()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"rows": 12},
            {"rows": "-1"},
            {"rows": "1e9"},
            {"rows": "9" * 400},
            {"rows": "12\n"},
            {"distinct": "٣"},
            {"highest": ""},
            {"highest": None},
            {"series": "3F9A2C71"},
            {"series": "3f9a2c71\n"},
            {"k8s.pod.name": "a b"},
            {"k8s.pod.name": "x" * 300},
            {"newest": "yesterday"},
            {"newest": "2026-11-25T10:52:05"},
            {"newest": 1.5},
        ],
    )
    def test_a_value_that_is_none(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(BadAnswerError):
            series_counts(json.dumps(ROW | wrong).encode())

    @pytest.mark.parametrize(
        "answer",
        [
            b"<html>hello</html>",
            b"[]",
            b"null",
            b"{}",
            b"1",
            b"\xff\xfe",
            b"[" * 200_000,
            b'{"rows":' * 100_000,
            json.dumps(ROW).encode()[:-1],
        ],
        ids=lambda answer: answer[:12].decode(errors="replace"),
    )
    def test_an_answer_that_is_none(self, answer: bytes) -> None:
        with pytest.raises(BadAnswerError):
            series_counts(answer)
