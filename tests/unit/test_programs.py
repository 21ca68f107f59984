"""The demos' programs: as functions, and as their Pods run them."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from workshopdemo.programs import always_fails, ci_pipeline
from workshopdemo.programs.say import LINE_LENGTH, say

SOURCE_ROOT = Path(ci_pipeline.__file__).parents[2]
STEPS = ("checkout", "lint", "test", "package")


def run(program: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The program as a Pod runs it, with no more than the environment given."""
    return subprocess.run(
        [sys.executable, "-m", f"workshopdemo.programs.{program}", *args],
        env={"PYTHONPATH": str(SOURCE_ROOT), "PATH": os.environ["PATH"], **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


def step(name: str, workspace: Path) -> subprocess.CompletedProcess[str]:
    return run("ci_pipeline", name, WORKSPACE=str(workspace))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checked-out project."""
    path = tmp_path / ci_pipeline.PACKAGE
    ci_pipeline.checkout(path)
    return path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


class TestCIPipeline:
    def test_all_steps_in_turn(self, tmp_path: Path) -> None:
        for name in STEPS:
            done = step(name, tmp_path)
            assert done.returncode == 0, done.stdout
            assert done.stdout.splitlines()[-1] == f"Step {name} is done."
            assert all(len(line) <= LINE_LENGTH for line in done.stdout.splitlines()), done.stdout

    def test_steps_are_in_the_order_they_run(self) -> None:
        assert tuple(ci_pipeline.STEPS) == STEPS

    def test_checkout_leaves_no_trace_of_the_run_before(self, project: Path) -> None:
        before = ci_pipeline.commit_id(project)
        (project / "left-over.py").write_text("x = 1\n")
        assert ci_pipeline.commit_id(project) != before
        ci_pipeline.checkout(project)
        assert ci_pipeline.commit_id(project) == before

    def test_commit_id_covers_names_too(self, project: Path) -> None:
        before = ci_pipeline.commit_id(project)
        (project / "README.md").rename(project / "README.txt")
        assert ci_pipeline.commit_id(project) != before

    @pytest.mark.parametrize(
        ("source", "finding"),
        [
            ("import os\n", (1, "unused import: os")),
            ("import os.path\nimport sys as s\ns.exit()\n", (1, "unused import: os")),
            ("from a import b as c\n", (1, "unused import: c")),
            ("if True:\n\tx = 1\n", (2, "tab: indent with spaces")),
            (f"x = '{'a' * 100}'\n", (1, "line is 106 characters long, 100 are allowed")),
            ("def f(:\n    pass\n", (1, "syntax error: invalid syntax")),
        ],
    )
    def test_lint_finds(self, source: str, finding: tuple[int, str]) -> None:
        assert list(ci_pipeline.findings(source)) == [finding]

    @pytest.mark.parametrize(
        "source",
        ["", "import os.path\nos.path.exists('/')\n", "from __future__ import annotations\n"],
    )
    def test_lint_finds_nothing(self, source: str) -> None:
        assert list(ci_pipeline.findings(source)) == []

    def test_lint_names_file_and_line(self, project: Path) -> None:
        replace(project / "bookshop/cart.py", "from dataclasses", "import sys\nfrom dataclasses")
        done = step("lint", project.parent)
        assert done.returncode == 1
        assert "bookshop/cart.py:3: unused import: sys" in done.stdout
        assert done.stdout.splitlines()[-1].startswith("Step lint failed: 1 problem(s) found.")

    def test_a_failing_test_fails_the_step(self, project: Path) -> None:
        replace(project / "bookshop/cart.py", "SHIPPING = 490", "SHIPPING = 0")
        replace(project / "tests/test_cart.py", "1250 + SHIPPING", "1740")
        done = step("test", project.parent)
        assert done.returncode == 1
        assert "AssertionError: 1250 != 1740" in done.stdout
        assert done.stdout.splitlines()[-1].startswith("Step test failed: a test failed.")

    def test_no_test_is_a_failure(self, project: Path) -> None:
        (project / "tests/test_cart.py").unlink()
        with pytest.raises(ci_pipeline.BrokenError, match="no test was found"):
            ci_pipeline.test(project)

    def test_endless_test(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ci_pipeline, "_TEST_SECONDS", 0.5)
        (project / "tests/test_cart.py").write_text("while True:\n    pass\n")
        with pytest.raises(ci_pipeline.BrokenError, match="did not end within"):
            ci_pipeline.test(project)

    def test_wheel_is_reproducible_and_installable(self, project: Path) -> None:
        first = ci_pipeline.build_wheel(project)
        content = first.read_bytes()
        first.unlink()
        assert ci_pipeline.build_wheel(project).read_bytes() == content
        names = zipfile.ZipFile(first).namelist()
        assert "bookshop/cart.py" in names
        assert {name.partition("/")[2] for name in names if "dist-info" in name} == {
            "METADATA",
            "WHEEL",
            "RECORD",
        }
        assert not any("tests" in name or "__pycache__" in name for name in names)

    def test_a_wheel_that_cannot_be_used_fails_the_step(self, project: Path) -> None:
        replace(project / "bookshop/cart.py", "class Cart:", "class Basket:")
        done = step("package", project.parent)
        assert done.returncode == 1
        assert "the wheel cannot be used: AttributeError" in done.stdout

    def test_no_version(self, project: Path) -> None:
        replace(project / "pyproject.toml", "version", "release")
        with pytest.raises(ci_pipeline.BrokenError, match=r"pyproject\.toml does not say"):
            ci_pipeline.package(project)

    @pytest.mark.parametrize("name", STEPS[1:])
    def test_without_checkout(self, name: str, tmp_path: Path) -> None:
        done = step(name, tmp_path)
        assert done.returncode == 1
        assert "Traceback" not in done.stdout
        assert f"\nStep {name} failed: " in done.stdout

    def test_read_only_workspace(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        done = step("checkout", tmp_path / "file")
        assert done.returncode == 1
        assert "Traceback" not in done.stdout

    @pytest.mark.parametrize("args", [(), ("deploy",), ("lint", "test")])
    def test_wrong_arguments(self, args: tuple[str, ...]) -> None:
        done = run("ci_pipeline", *args)
        assert done.returncode == 2
        assert "checkout, lint, test, package" in done.stdout


class TestFailsThenSucceeds:
    def test_two_failures_by_default(self, tmp_path: Path) -> None:
        for attempt, code in enumerate((1, 1, 0, 0), start=1):
            done = run("fails_then_succeeds", DATA_DIR=str(tmp_path), RUN_ID="job-a")
            assert done.returncode == code
            assert done.stdout.splitlines()[-1].startswith(f"Attempt {attempt} ")
            assert ("connection refused" in done.stdout) == (code == 1)

    def test_each_job_counts_for_itself(self, tmp_path: Path) -> None:
        codes = [
            run("fails_then_succeeds", DATA_DIR=str(tmp_path), RUN_ID=job).returncode
            for job in ("a", "b", "a", "b", "a", "b")
        ]
        assert codes == [1, 1, 1, 1, 0, 0]

    def test_a_broken_count_starts_again(self, tmp_path: Path) -> None:
        (tmp_path / "attempts").mkdir()
        (tmp_path / "attempts" / "run").write_text("two")
        assert run("fails_then_succeeds", DATA_DIR=str(tmp_path)).returncode == 1

    @pytest.mark.parametrize("value", ["two", "-1", "1.5"])
    def test_nonsense(self, tmp_path: Path, value: str) -> None:
        done = run("fails_then_succeeds", DATA_DIR=str(tmp_path), FAILURES_WANTED=value)
        assert done.returncode == 2
        assert "FAILURES_WANTED must be a whole number" in done.stdout

    def test_no_volume(self) -> None:
        done = run("fails_then_succeeds", DATA_DIR="/no/such/place")
        assert done.returncode == 2
        assert "is a volume mounted?" in done.stdout


class TestAlwaysFails:
    def test_last_line_says_why(self) -> None:
        done = run("always_fails")
        assert done.returncode == 1
        assert done.stdout.splitlines()[-1] == (
            f"Import failed: {always_fails.DEFAULT_FILE}: no such file or directory. Exit code 1."
        )

    def test_it_would_really_import(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        books = tmp_path / "books.csv"
        books.write_text("The Glass Harbour\n")
        monkeypatch.setenv("IMPORT_FILE", str(books))
        assert always_fails.main() == 0


def test_say_wraps_and_keeps_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("  indented\n" + "word " * 40)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  indented"
    assert len(lines) == 3
    assert all(len(line) <= LINE_LENGTH for line in lines)
