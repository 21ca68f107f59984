"""The emitter: what its lines say, its pace, and how it ends."""

import itertools
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from program_runs import SOURCE_ROOT, run
from workshopdemo.programs import log_emitter
from workshopdemo.programs.log_emitter import Series, due_times, write_all

LINE = re.compile(
    r'run=(\d+) series=([0-9a-f]{8}) seq=(\d+) of=(\d+) node=(\S+) text=("(?:[^"\\]|\\.)*")'
    r"(?: pad=(\S+))?"
)
PIECE_BYTES = 16 * 1024


def series(lines: int = 2000) -> Series:
    return Series(run=3, name="3f9a2c71", lines=lines, node="workshop-worker")


class Clock:
    """Time passes only by sleeping, and by what writing takes."""

    def __init__(self, write_seconds: float = 0.0) -> None:
        self.now = 1000.0
        self.write_seconds = write_seconds
        self.written: list[tuple[float, int, bytes]] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    def write(self, descriptor: int, line: bytes) -> None:
        self.written.append((self.now - 1000.0, descriptor, line))
        self.now += self.write_seconds


class TestLines:
    def test_a_line(self) -> None:
        assert series().line(17) == (
            "run=3 series=3f9a2c71 seq=17 of=2000 node=workshop-worker"
            ' text="Searched: Анна Каренина, 3 editions found"'
        )

    def test_every_line_can_be_read(self) -> None:
        for number in range(1, 2001):
            line = series().line(number)
            assert "\n" not in line
            found = LINE.fullmatch(line)
            assert found, line
            assert found.group(1, 2, 3, 4, 5) == (
                "3",
                "3f9a2c71",
                str(number),
                "2000",
                "workshop-worker",
            )
            assert json.loads(found[6])

    def test_some_are_cut_by_the_runtime(self) -> None:
        lengths = [len(series().line(number).encode()) for number in range(1, 2001)]
        assert sum(PIECE_BYTES < length < 2 * PIECE_BYTES for length in lengths) == 30
        assert sum(length > 2 * PIECE_BYTES for length in lengths) == 10
        # The kubelet's copy of the end of a log holds whole pieces: the line's beginning is there.
        assert sum(length < 1024 for length in lengths) == 1960

    @pytest.mark.parametrize("lines", [1, 25, 50, 75, 200, 225, 2000, 10_000])
    def test_the_last_line_is_a_short_one(self, lines: int) -> None:
        assert len(series(lines).line(lines)) < 1024

    def test_the_runtime_cuts_in_the_middle_of_a_character(self) -> None:
        for number in range(25, 2000, 200):
            whole = series().line(number).encode()
            with pytest.raises(UnicodeDecodeError):
                # Of two cuts, one is in the middle at least.
                (whole[:PIECE_BYTES].decode(), whole[: 2 * PIECE_BYTES].decode())


class TestPace:
    def test_the_pace_is_kept_without_drifting(self) -> None:
        clock = Clock(write_seconds=0.0004)
        write_all(series(5000), 1000, clock.write, clock, clock.sleep)
        times = [moment for moment, _, _ in clock.written]
        assert times == pytest.approx([number / 1000 for number in range(5000)])

    def test_what_was_late_is_caught_up_with(self) -> None:
        clock = Clock()
        stuck = itertools.chain([5.0], itertools.repeat(0.0))

        def write(descriptor: int, line: bytes) -> None:
            clock.write(descriptor, line)
            clock.now += next(stuck)

        write_all(series(100), 10, write, clock, clock.sleep)
        times = [moment for moment, _, _ in clock.written]
        assert times[1:50] == [5.0] * 49
        assert times[-1] == pytest.approx(9.9)

    def test_both_streams_in_turn(self) -> None:
        clock = Clock()
        write_all(series(6), 1, clock.write, clock, clock.sleep)
        assert [descriptor for _, descriptor, _ in clock.written] == [1, 2, 1, 2, 1, 2]
        assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for *_, line in clock.written)

    def test_due_times(self) -> None:
        assert list(itertools.islice(due_times(7.0, 4), 3)) == [7.0, 7.25, 7.5]

    def test_a_line_is_written_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        written = bytearray()

        def write_some(_descriptor: int, data: memoryview) -> int:
            written.extend(data[:7])
            return min(7, len(data))

        monkeypatch.setattr("os.write", write_some)
        log_emitter.write_line(1, b"a line that does not fit at once\n")
        assert bytes(written) == b"a line that does not fit at once\n"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "workshopdemo.programs.log_emitter"],
        env={"PYTHONPATH": str(SOURCE_ROOT), "LINES": "3", "LINES_PER_SECOND": "1000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        yield process
        process.kill()


class TestProgram:
    def test_it_stays_after_its_last_line_and_ends_with_sigterm(
        self, process: subprocess.Popen[bytes]
    ) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        # Without a buffer's help: what is asked for here has been written as lines.
        lines = [process.stdout.readline(), process.stderr.readline(), process.stdout.readline()]
        found = [LINE.fullmatch(line.decode().rstrip("\n")) for line in lines]
        assert [one and one.group(1, 3, 4, 5) for one in found] == [
            ("1", str(number), "3", "unknown") for number in (1, 2, 3)
        ]
        assert len({one[2] for one in found if one}) == 1
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")

    def test_sigterm_ends_it_in_the_middle(self) -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "workshopdemo.programs.log_emitter"],
            env={"PYTHONPATH": str(SOURCE_ROOT), "LINES": "1000000", "LINES_PER_SECOND": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0

    @pytest.mark.parametrize("name", ["RUN", "LINES", "LINES_PER_SECOND"])
    def test_a_setting_that_makes_no_sense(self, name: str) -> None:
        code, lines = run("log_emitter", **{name: "0"})
        assert code == 2
        assert lines == [f"{name} must be a whole number, 1 or more; it is '0'."]
