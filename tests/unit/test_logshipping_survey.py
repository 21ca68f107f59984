"""What was written and what arrived: the arithmetic."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logshipping import moment
from support import time
from workshopdemo.logsql import SeriesCount
from workshopdemo.model import Emitter, NodeLogs
from workshopdemo.observe import EmitterPod, LastLine, Survey, newest_line, overdue, tallies
from workshopdemo.observe.survey import node_logs, parse_line
from workshopdemo.programs.log_emitter import Series, write_all

POD = EmitterPod(pod="p", node="worker-1", restarts=0)
ONE, TWO, THREE = "0000000a", "0000000b", "0000000c"


def line(seq: int, of: int = 100, series: str = ONE, run: int = 1, at: float = 0) -> LastLine:
    return LastLine(series=series, run=run, seq=seq, of=of, time=moment(at))


def arrived(
    rows: int,
    *,
    distinct: int | None = None,
    highest: int | None = None,
    series: str = ONE,
    pod: str = "p",
    at: float = 0,
) -> SeriesCount:
    distinct = rows if distinct is None else distinct
    return SeriesCount(
        pod=pod,
        series=series,
        rows=rows,
        distinct=distinct,
        highest=distinct if highest is None else highest,
        newest=moment(at),
    )


def count(told: NodeLogs | None = None, *, knows: bool = True, run: int = 1, **survey: Any) -> Any:
    asked = Emitter(lines=100, lines_per_second=20, run=run)
    return node_logs(POD, asked, Survey(**survey), told, knows=knows)


def numbers(row: NodeLogs) -> tuple[int, int | None, int | None, int | None]:
    return row.written, row.received, row.missing, row.duplicate


def test_the_kubelets_last_line_says_what_was_written_and_the_aggregator_what_came() -> None:
    row = count(last={"p": line(80)}, received=(arrived(60),))
    assert (numbers(row), row.complete) == ((80, 60, 0, 0), False)


def late(survey: Survey, run: int = 1) -> int:
    """Lines that are missing if nothing has moved for as long as counts."""
    counted = tallies(["p"], survey, run)
    return overdue(counted, counted)["p"]


def test_what_came_since_may_be_newer_so_only_so_many_are_certainly_missing() -> None:
    before = tallies(["p"], Survey(last={"p": line(50)}, received=(arrived(40),)), 1)
    now = tallies(["p", "q"], Survey(last={"p": line(90)}, received=(arrived(45),)), 1)
    assert overdue(before, now) == {"p": 5, "q": 0}
    now = tallies(["p"], Survey(last={"p": line(90)}, received=(arrived(60, highest=80),)), 1)
    assert overdue(before, now) == {"p": 0}


def test_an_aggregator_that_is_ahead_of_the_kubelet_is_believed() -> None:
    row = count(last={"p": line(50)}, received=(arrived(60),))
    assert numbers(row) == (60, 60, 0, 0)


def test_all_is_there() -> None:
    row = count(last={"p": line(100)}, received=(arrived(100),))
    assert (numbers(row), row.complete, row.lag) == ((100, 100, 0, 0), True, None)


def test_an_end_that_the_kubelet_does_not_show_is_known_from_what_arrived() -> None:
    row = count(last={"p": line(99)}, received=(arrived(100),))
    assert (numbers(row), row.complete) == ((100, 100, 0, 0), True)
    # Its log was laid aside, and the operator is new.
    row = count(received=(arrived(30), arrived(100, series=TWO)))
    assert (numbers(row), row.complete) == ((130, 130, 0, 0), True)
    assert count(received=(arrived(99),)).complete is False


def test_the_end_of_the_run_is_not_reached_by_what_arrived_so_far() -> None:
    row = count(last={"p": line(99)}, received=(arrived(99),))
    assert row.complete is False
    row = count(last={"p": line(100)}, received=(arrived(99),))
    assert row.complete is False


def test_lines_that_came_twice_are_counted_and_fill_no_hole() -> None:
    row = count(last={"p": line(100)}, received=(arrived(110, distinct=98, highest=100),))
    assert (row.received, row.duplicate, row.complete) == (98, 12, False)


def test_each_start_of_an_emitter_is_a_series_of_its_own() -> None:
    received = (arrived(40), arrived(30, series=TWO), arrived(100, series=THREE))
    row = count(last={"p": line(100, series=THREE)}, received=received)
    assert (numbers(row), row.complete) == ((170, 170, 0, 0), True)


def test_the_end_of_a_series_that_was_cut_off_is_not_forgotten_when_the_next_outgrows_it() -> None:
    survey: dict[str, Any] = {
        "last": {"p": line(100, series=TWO)},
        "ends": {"p": {ONE: 70}},
        "received": (arrived(60), arrived(100, series=TWO)),
    }
    row = count(**survey)
    assert (row.written, row.received, row.complete) == (170, 160, False)
    assert late(Survey(**survey)) == 10


def test_the_status_remembers_what_was_written_when_nobody_else_does() -> None:
    told = count(last={"p": line(80)}, received=(arrived(60),))
    row = count(told, last={"p": line(3, series=TWO)}, received=(arrived(60),))
    assert row.written == 80


@pytest.mark.parametrize("trouble", [None, "the log aggregator cannot be reached"])
def test_what_was_told_survives_a_new_operator_that_has_heard_nothing_yet(
    trouble: str | None,
) -> None:
    told = NodeLogs(
        node="worker-1",
        emitter="p",
        restarts=0,
        complete=False,
        written=80,
        received=60,
        missing=5,
        duplicate=7,
    )
    row = count(told, trouble=trouble)
    assert numbers(row) == (80, 60, 5, 7)
    row = count(told, trouble=trouble, last={"p": line(90)})
    assert numbers(row) == (90, 60, 5, 7)


def test_what_was_missing_and_came_is_missing_no_more_at_once() -> None:
    told = count(last={"p": line(80)}, received=(arrived(75, highest=80),), gaps={"p": 5})
    assert told.missing == 5
    assert count(told, last={"p": line(80)}, received=(arrived(80),)).missing == 0
    # The gaps are those of a minute; the answer is newer.
    row = count(told, last={"p": line(80)}, received=(arrived(80),), gaps={"p": 5})
    assert row.missing == 0


def test_a_pod_of_the_run_before_has_written_nothing_of_this_one() -> None:
    row = count(run=2, last={"p": line(100, run=1)}, received=(arrived(100),))
    assert (numbers(row), row.complete, row.lag) == ((0, 0, 0, 0), False, None)
    survey = Survey(last={"p": line(100, run=1)}, received=())
    assert late(survey, run=2) == 0


def test_lines_of_other_pods_are_not_this_ones() -> None:
    row = count(last={"p": line(10), "q": line(99)}, received=(arrived(50, pod="q"), arrived(5)))
    assert numbers(row) == (10, 5, 0, 0)


def test_without_an_aggregator_only_what_was_written_is_told() -> None:
    row = count(knows=False, last={"p": line(100)})
    assert (numbers(row), row.complete) == ((100, None, None, None), True)


def test_a_pod_that_nothing_is_known_of() -> None:
    assert numbers(count(last={}, received=())) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("last", "received", "missing"),
    [
        (None, (), 0),
        (line(50), (), 50),
        (line(50), (arrived(40),), 10),
        (line(50), (arrived(40, distinct=38, highest=45),), 12),
        (line(100), (), 100),
        (line(100), (arrived(90),), 10),
        (line(100), (arrived(90, distinct=80, highest=95),), 20),
        (line(100, series=TWO), (arrived(40, distinct=38, highest=45),), 107),
        (line(100), (arrived(100),), 0),
        (line(50), (arrived(60),), 0),
        (line(50), (arrived(40), arrived(1, highest=9, series=TWO)), 18),
    ],
)
def test_what_was_written_a_minute_ago_and_is_not_there(
    last: LastLine | None, received: tuple[SeriesCount, ...], missing: int
) -> None:
    survey = Survey(last={"p": last} if last else {}, received=received)
    assert late(survey) == missing


@pytest.mark.parametrize(
    ("written_at", "arrived_at", "lag"),
    [(10, 10, None), (10, 11, None), (10, 7, "3s"), (200, 10, "190s")],
)
def test_lag_is_how_much_older_the_newest_that_came_is(
    written_at: float, arrived_at: float, lag: str | None
) -> None:
    row = count(last={"p": line(9, at=written_at)}, received=(arrived(5, at=arrived_at),))
    assert row.lag == lag


def test_nothing_lags_where_nothing_came_or_nothing_is_known() -> None:
    assert count(last={"p": line(9)}, received=()).lag is None
    assert count(received=(arrived(9),)).lag is None


TAIL = 'node=worker-1 text="Sold"'


def test_a_line_of_the_emitter_is_read() -> None:
    text = f"2026-03-02T09:00:01.123456789Z run=2 series=3f9a2c71 seq=17 of=2000 {TAIL}\n"
    assert parse_line(text) == LastLine(
        series="3f9a2c71",
        run=2,
        seq=17,
        of=2000,
        time=datetime(2026, 3, 2, 9, 0, 1, 123456, tzinfo=UTC),
    )


@pytest.mark.parametrize("lines", [1, 25, 50, 225, 1000])
def test_what_the_emitter_really_writes_is_read(lines: int) -> None:
    series = Series(run=3, name="3f9a2c71", lines=lines, node="worker-1")
    written: list[bytes] = []
    ticks: Iterator[int] = iter(range(10**6))
    write_all(series, 1, lambda _, text: written.append(text), lambda: next(ticks), print)
    stamped = f"{time()[:-1]}.5Z {written[-1].decode()}"
    found = parse_line(stamped[:1024])
    assert found is not None
    assert (found.run, found.seq, found.of, found.is_last) == (3, lines, lines, True)


STAMP = "2026-03-02T09:00:01Z"


def test_the_last_line_need_not_stand_at_the_end() -> None:
    """Standard output and standard error are read beside each other."""
    begin = f"{STAMP} run=1 series="
    lines = [
        f"{begin}0000000b seq=77 of=90 {TAIL}",
        f"{begin}0000000a seq=88 of=90 {TAIL}",
        f"{begin}0000000a seq=90 of=90 {TAIL}",
        f"{STAMP} xxxxx",
        f"{begin}0000000a seq=89 of=90 {TAIL}",
        f"{STAMP} xxxxx",
    ]
    found = newest_line("\n".join(lines) + "\n")
    assert found is not None
    assert (found.series, found.seq, found.is_last) == ("0000000a", 90, True)
    assert newest_line(f"{STAMP} xxxxx\n") is None
    assert newest_line(None) is None


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "\n",
        "hello",
        f"{STAMP} hello",
        f"{STAMP} run=1 series=3f9a2c71 seq=17 of=",
        f"{STAMP} run=1 series=3f9a2c71 seq=17 of=2000",  # cut off: the number may be longer
        f"run=1 series=3f9a2c71 seq=17 of=2000 {TAIL}",
        f"when run=1 series=3f9a2c71 seq=17 of=2000 {TAIL}",
        f"2026-13-45T99:00:01Z run=1 series=3f9a2c71 seq=17 of=2000 {TAIL}",
        f"{STAMP} x run=1 series=3f9a2c71 seq=17 of=2000 {TAIL}",
        f"{STAMP} run=1 series=3F9A2C71 seq=17 of=2000 {TAIL}",
        f"{STAMP} run=1 series=3f9a2c71ff seq=17 of=2000 {TAIL}",
        f"{STAMP} run=1 series=3f9a2c71 seq=0 of=2000 {TAIL}",
        f"{STAMP} run=1 series=3f9a2c71 seq=-4 of=2000 {TAIL}",
        f"{STAMP} run=1 series=3f9a2c71 seq=2001 of=2000 {TAIL}",
        f"{STAMP} run=1 series=3f9a2c71 seq={'9' * 900} of={'9' * 900} {TAIL}",
        f"{STAMP} run=1 series=3f9a2c71 seq=١٧ of=2000 {TAIL}",
        f"{STAMP} run={'1' * 5000} series=3f9a2c71 seq=17 of=2000 {TAIL}",
    ],
)
def test_a_line_of_anybody_else_tells_nothing(text: str | None) -> None:
    assert parse_line(text) is None


@given(st.text() | st.from_regex(r"\S+ run=\d+ series=\w+ seq=\d+ of=\d+ "))
def test_no_line_does_any_harm(text: str) -> None:
    found = parse_line(text)
    assert found is None or 1 <= found.seq <= found.of < 10**7


counts = st.builds(
    SeriesCount,
    pod=st.sampled_from(["p", "q"]),
    series=st.sampled_from([ONE, TWO, THREE]),
    rows=st.integers(0, 10**12 - 1),
    distinct=st.integers(0, 10**12 - 1),
    highest=st.integers(0, 10**12 - 1),
    newest=st.just(moment(0)),
)


@given(
    st.lists(counts, max_size=6),
    st.none() | st.integers(1, 100).map(line),
    st.none() | st.integers(0, 200),
)
def test_no_count_is_ever_negative_or_too_large_whoever_answers(
    received: list[SeriesCount], last: LastLine | None, gap: int | None
) -> None:
    survey: dict[str, Any] = {
        "received": tuple(received),
        "last": {"p": last} if last else {},
        "gaps": None if gap is None else {"p": gap},
    }
    row = count(**survey)
    for number in numbers(row):
        assert number is not None
        assert 0 <= number < 2**63
    assert row.missing is not None
    assert row.received is not None
    assert row.missing <= max(row.written - row.received, 0)
    assert 0 <= late(Survey(**survey)) < 2**63
