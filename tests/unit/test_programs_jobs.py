"""The programs of the Job and CronJob lessons that need no database."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from program_runs import finish, run, start, terminate
from support import ROOT
from workshopdemo.programs import data_pipeline, failing_report, not_retriable, out_of_memory, pace
from workshopdemo.programs.data_pipeline import PipelineError
from workshopdemo.programs.say import LINE_LENGTH

SMALL = data_pipeline.sales_file(50)


class TestFailingReport:
    @pytest.fixture(autouse=True)
    def volume(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        return tmp_path

    def test_every_second_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert [failing_report.main() for _ in range(4)] == [1, 0, 1, 0]
        last = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Run ")]
        assert last == [
            "Run 1 failed: the payment provider's export is missing. Exit code 1.",
            "Run 2 succeeded, after run 1 had failed: this is a recovery.",
            "Run 3 failed: the payment provider's export is missing. Exit code 1.",
            "Run 4 succeeded, after run 3 had failed: this is a recovery.",
        ]

    def test_a_retry_is_the_same_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        codes = []
        for run_id in ("job-a", "job-a", "job-b", "job-b", "job-c"):
            monkeypatch.setenv("RUN_ID", run_id)
            codes.append(failing_report.main())
        assert codes == [1, 1, 0, 0, 1]

    def test_reports_count_for_themselves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("one", "two"):
            monkeypatch.setenv("REPORT_NAME", name)
            assert failing_report.main() == 1

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"run": "x", "id": ""}', "\xff"])
    def test_a_file_that_says_nothing(self, content: str, volume: Path) -> None:
        path = volume / "reports/failing-report.json"
        path.parent.mkdir()
        path.write_text(content, encoding="latin-1")
        assert failing_report.main() == 1
        assert json.loads(path.read_text()) == {"run": 1, "id": ""}
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "a b", "x" * 200])
    def test_a_name_leads_nowhere_else(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REPORT_NAME", name)
        assert failing_report.main() == 2

    def test_as_a_pod(self, volume: Path) -> None:
        code, lines = run("failing_report", DATA_DIR=str(volume))
        assert code == 1
        assert lines[-1].startswith("Run 1 failed: ")
        assert all(len(line) <= LINE_LENGTH for line in lines)


class TestPace:
    def test_progress(self) -> None:
        passed: list[float] = []
        pace.work(0.05, 0.02, passed.append)
        assert passed == [0.02, 0.04]

    @pytest.mark.parametrize("program", ["slow_report", "too_slow"])
    def test_sigterm(self, program: str) -> None:
        code, lines = terminate(start(program))
        assert code == 143
        assert [line.partition(":")[0] for line in lines if "SIGTERM" in line] == ["SIGTERM"]
        assert lines[-1].endswith("Exit code 143.")
        assert all(len(line) <= LINE_LENGTH for line in lines)

    @pytest.mark.parametrize(
        ("program", "variable"), [("slow_report", "RUN_SECONDS"), ("too_slow", "WORK_SECONDS")]
    )
    def test_done_in_time(self, program: str, variable: str) -> None:
        code, lines = run(program, **{variable: "0"})
        assert code == 0
        assert "after 0 seconds" in lines[-1]

    def test_the_deadline_is_named(self) -> None:
        _, lines = run("too_slow", WORK_SECONDS="0", ACTIVE_DEADLINE_SECONDS="20")
        assert lines[0].endswith("But my Job has activeDeadlineSeconds: 20.")

    def test_nonsense(self) -> None:
        code, lines = run("slow_report", RUN_SECONDS="soon")
        assert code == 2
        assert lines == ["RUN_SECONDS must be a whole number, 0 or more; it is 'soon'."]


def pod(
    volume: Path, index: int, run_id: str = "one", shards: int = 3, wait: int = 20
) -> subprocess.Popen[str]:
    return start(
        "data_pipeline",
        DATA_DIR=str(volume),
        JOB_COMPLETION_INDEX=str(index),
        SHARDS=str(shards),
        RUN_ID=run_id,
        MERGE_WAIT_SECONDS=str(wait),
    )


class TestDataPipeline:
    @pytest.fixture
    def pipeline(self, tmp_path: Path) -> data_pipeline.Run:
        return data_pipeline.Run(tmp_path / "pipeline" / "one", shards=3)

    def test_all_at_once(self, tmp_path: Path) -> None:
        """The merge first of all, as it may happen."""
        done = [finish(each) for each in [pod(tmp_path, index) for index in (3, 0, 1, 2)]]
        assert [code for code, _ in done] == [0] * 4, done
        assert [lines[-1] for _, lines in done] == [f"Index {n} is done." for n in (3, 0, 1, 2)]
        merged = done[0][1]
        assert "  3 of 3 are there" in merged
        assert (
            "They are the same, book by book: nothing was lost, nothing was counted twice."
            in merged
        )
        table = merged[merged.index("The 5 books that brought most:") + 1 :]
        assert [line.split()[0] for line in table[2:7]] == list("12345")
        assert not list((tmp_path / "pipeline/one").glob(".*"))

    def test_the_file_is_the_same_everywhere(self) -> None:
        content = data_pipeline.sales_file()
        assert content.count("\n") == data_pipeline.ROWS
        assert content == data_pipeline.sales_file()

    @pytest.mark.parametrize("shards", [1, 3, 7, 64])
    def test_parts_make_the_whole(
        self, shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_pipeline, "sales_file", lambda: SMALL)
        run = data_pipeline.Run(tmp_path / "run", shards)
        for shard in reversed(range(shards)):
            data_pipeline.aggregate(run, shard)
        data_pipeline.merge(run, 0)

    def test_waits_and_gives_up(
        self, pipeline: data_pipeline.Run, capsys: pytest.CaptureFixture[str]
    ) -> None:
        data_pipeline.aggregate(pipeline, 1)
        with pytest.raises(PipelineError, match="no result of shard 0, 2 after 0 s"):
            data_pipeline.merge(pipeline, 0.3)
        assert "  1 of 3 are there\n" in capsys.readouterr().out

    def test_its_retry_has_what_was_done(self, tmp_path: Path) -> None:
        code, lines = finish(pod(tmp_path, 1, shards=1, wait=0))
        assert code == 1
        assert lines[-1] == "Index 1 failed: no result of shard 0 after 0 s. Exit code 1."
        assert finish(pod(tmp_path, 0, shards=1))[0] == 0
        assert finish(pod(tmp_path, 1, shards=1, wait=0))[0] == 0

    def test_a_wait_can_be_stopped(self, tmp_path: Path) -> None:
        code, lines = terminate(pod(tmp_path, 3, wait=600))
        assert code == 143
        assert lines[-1] == "SIGTERM: stopped before my part was done. Exit code 143."

    @pytest.mark.parametrize("content", ["", "{}", "[]", '{"rows": 1, "copies": 2, "cents": 3}'])
    def test_no_result(self, content: str, pipeline: data_pipeline.Run) -> None:
        for shard in range(3):
            data_pipeline.aggregate(pipeline, shard)
        pipeline.partial(1).write_text(content)
        with pytest.raises(PipelineError, match=r"part-1-of-3\.json is no result"):
            data_pipeline.merge(pipeline, 0)

    def test_a_wrong_part_is_found(self, pipeline: data_pipeline.Run) -> None:
        for shard in range(3):
            data_pipeline.aggregate(pipeline, shard)
        pipeline.partial(1).write_bytes(pipeline.partial(0).read_bytes())
        with pytest.raises(PipelineError, match="do not come to the whole"):
            data_pipeline.merge(pipeline, 0)
        assert not (pipeline.directory / "result.json").exists()

    def test_parts_of_another_split_do_not_count(self, pipeline: data_pipeline.Run) -> None:
        data_pipeline.aggregate(pipeline, 0)
        with pytest.raises(PipelineError, match="no result of shard 0, 1 "):
            data_pipeline.merge(data_pipeline.Run(pipeline.directory, shards=2), 0)

    def test_a_rerun_removes_what_is_over(self, pipeline: data_pipeline.Run) -> None:
        base = pipeline.directory.parent
        for name in ("finished", "forgotten", "running"):
            (base / name).mkdir(parents=True)
        (base / "finished/result.json").touch()
        os.utime(base / "forgotten", (0, 0))
        for shard in range(3):
            data_pipeline.aggregate(pipeline, shard)
        data_pipeline.merge(pipeline, 0)
        assert sorted(path.name for path in base.iterdir()) == ["one", "running"]

    @pytest.mark.parametrize(
        ("env", "message"),
        [
            ({"JOB_COMPLETION_INDEX": ""}, "is this an Indexed Job?"),
            ({"JOB_COMPLETION_INDEX": "5"}, "Index 5 has no work: SHARDS is 4"),
            ({"SHARDS": "0"}, "SHARDS must be a whole number, 1 or more"),
            ({"RUN_ID": "../.."}, "RUN_ID must be letters"),
        ],
    )
    def test_nonsense(
        self,
        env: dict[str, str],
        message: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(pace, "listen", lambda: None)
        for name, value in {"DATA_DIR": str(tmp_path), "JOB_COMPLETION_INDEX": "0", **env}.items():
            monkeypatch.setenv(name, value)
        assert data_pipeline.main() == 2
        assert message in capsys.readouterr().out
        assert list(tmp_path.iterdir()) == []


_MEASURE_MEMORY = """
import os
from workshopdemo.programs import out_of_memory

def pages():
    with open("/proc/self/statm") as statistics:
        return int(statistics.read().split()[1])

out_of_memory._PAUSE_SECONDS = 0
before = pages()
held = out_of_memory.take(64)
print((pages() - before) * os.sysconf("SC_PAGE_SIZE"))
"""


class TestOutOfMemory:
    def test_stopped_by_the_test(self) -> None:
        code, lines = run("out_of_memory", MEMORY_CEILING_MIB="20")
        assert code == 1
        held = [f"  I hold {step} MiB." for step in (8, 16, 24)]
        assert [line for line in lines if line.startswith("  I hold")] == held
        assert lines[-1] == "Nobody stopped me at 24 MiB. Exit code 1."
        assert all(len(line) <= LINE_LENGTH for line in lines)

    def test_it_is_real_memory(self) -> None:
        if not Path("/proc/self/statm").exists():
            pytest.skip("only Linux tells")
        # In a process of its own: this one may have memory to spare from tests before.
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE_MEMORY],
            env=os.environ | {"PYTHONPATH": str(ROOT / "operator")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout.splitlines()[-1]) > 60 * 2**20

    def test_sigterm(self) -> None:
        code, lines = terminate(start("out_of_memory", MEMORY_CEILING_MIB="256"))
        assert code == 143
        assert lines[-1].startswith("SIGTERM: ")

    @pytest.mark.parametrize(
        ("content", "limit"),
        [("67108864\n", 64), ("max\n", None), ("9223372036854771712\n", None), (None, None)],
    )
    def test_limit(self, content: str | None, limit: int | None, tmp_path: Path) -> None:
        path = tmp_path / "memory.max"
        if content is not None:
            path.write_text(content)
        assert out_of_memory.limit_mib((tmp_path / "none", path)) == limit

    @pytest.mark.parametrize(("limit", "ceiling"), [(64, 128), (None, 512)])
    def test_it_spares_a_node_without_limits(
        self, limit: int | None, ceiling: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        monkeypatch.setattr(pace, "listen", lambda: None)
        monkeypatch.setattr(out_of_memory, "limit_mib", lambda: limit)
        monkeypatch.setattr(out_of_memory, "take", lambda mib: asked.append(mib) or [])
        assert out_of_memory.main() == 1
        assert asked == [ceiling]


class TestNotRetriable:
    def test_says_why(self) -> None:
        code, lines = run("not_retriable")
        assert code == 42
        text = " ".join(lines)
        assert text.endswith("line 3 orders 'two' copies, which is no number. Exit code 42.")
        assert "podFailurePolicy" in text

    @pytest.mark.parametrize(
        ("content", "code"),
        [(b"A;B;1\n", 0), (b"A;B;1;2\n", 42), (b"A;B;\n", 42), (b"\xff", 42), (None, 1)],
    )
    def test_it_really_reads(
        self, content: bytes | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "orders.csv"
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setenv("ORDER_FILE", str(path))
        assert not_retriable.main() == code
