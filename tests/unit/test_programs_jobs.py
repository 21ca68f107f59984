"""The programs of the Job and CronJob lessons that need no database."""

import json
from pathlib import Path

import pytest

from program_runs import run, start, terminate
from workshopdemo.programs import failing_report, pace
from workshopdemo.programs.say import LINE_LENGTH


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
