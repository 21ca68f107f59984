"""A CI pipeline in one Pod: checkout, lint, test, package.

The first three steps are init containers: Kubernetes starts one after the other, and the next only
if the one before ended with exit code 0. The steps share nothing but a directory (an emptyDir
volume, WORKSPACE), as the jobs of a real pipeline share a checkout.
"""

import ast
import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from workshopdemo.programs.say import LINE_LENGTH, say

SOURCE: Final = Path(__file__).parent / "shop_project"
PACKAGE: Final = "bookshop"
_IGNORED: Final = ("__pycache__", "dist")
_TEST_SECONDS: Final = 60


class BrokenError(Exception):
    """The project does not pass this step; the text says why."""


def checkout(project: Path) -> None:
    """Copy the project to the workspace.

    Kubernetes may run init containers again (when a Pod's sandbox is made anew), so the step
    must end the same whatever it finds.
    """
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(SOURCE, project, ignore=shutil.ignore_patterns(*_IGNORED))
    for path in _files(project):
        say(f"  {path.relative_to(project)} ({path.stat().st_size} bytes)")
    say(f"Commit {commit_id(project)}: a hash of every file's name and content, as in Git.")


def commit_id(project: Path) -> str:
    """Twelve digits that change with any change of the project."""
    content = hashlib.sha256()
    for path in _files(project):
        for part in (path.relative_to(project).as_posix().encode(), path.read_bytes()):
            content.update(len(part).to_bytes(8, "big") + part)
    return content.hexdigest()[:12]


def lint(project: Path) -> None:
    """Read the source without running it, and name what is wrong by file and line."""
    sources = [path for path in _files(project) if path.suffix == ".py"]
    if not sources:
        raise BrokenError(f"no Python file in {project}: has the checkout step run?")
    problems = [
        f"{path.relative_to(project)}:{line}: {problem}"
        for path in sources
        for line, problem in sorted(findings(path.read_text(encoding="utf-8")))
    ]
    for problem in problems:
        say(problem)
    if problems:
        raise BrokenError(f"{len(problems)} problem(s) found")
    say(f"{len(sources)} files parsed: no syntax error, tab, long line or unused import.")


def findings(source: str) -> Iterator[tuple[int, str]]:
    """Line number and problem, in no order."""
    for number, line in enumerate(source.splitlines(), 1):
        if "\t" in line:
            yield number, "tab: indent with spaces"
        if len(line) > LINE_LENGTH:
            yield number, f"line is {len(line)} characters long, {LINE_LENGTH} are allowed"
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        yield error.lineno or 1, f"syntax error: {error.msg}"
        return
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name = (alias.asname or alias.name).partition(".")[0]
                if name not in used | {"annotations"}:
                    yield node.lineno, f"unused import: {name}"


def test(project: Path) -> None:
    """Run the project's own tests in a process of their own."""
    output, code = _python(project, "-m", "unittest", "discover", "-v", "-t", ".", "-s", "tests")
    print(output, end="", flush=True)
    count = re.search(r"^Ran (\d+) tests?", output, re.MULTILINE)
    # Before Python 3.12 unittest calls it a success to have found nothing.
    if code != 0 or count is None or count[1] == "0":
        raise BrokenError("no test was found" if count and count[1] == "0" else "a test failed")
    say(f"{count[1]} tests passed.")


def package(project: Path) -> None:
    """Build a wheel, then prove it by using what is inside."""
    wheel = build_wheel(project)
    content = wheel.read_bytes()
    say(f"Built {wheel.name}: {len(content)} bytes.")
    say(f"sha256 {hashlib.sha256(content).hexdigest()}")
    proof = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); from {PACKAGE} import cart; "
        "basket = cart.Cart(); basket.add(cart.Book('Proof', 1000)); "
        "print(cart.__file__, basket.total())"
    )
    # Isolated (-I), so that nothing but the wheel can be what is imported.
    output, code = _python(wheel.parent, "-I", "-c", proof)
    if code != 0 or wheel.name not in output:
        raise BrokenError(f"the wheel cannot be used: {output.strip().splitlines()[-1]}")
    say(f"Imported {PACKAGE} from the wheel and filled a cart: it works.")


def build_wheel(project: Path) -> Path:
    """A wheel of the package; the same source always gives the same bytes."""
    try:
        metadata = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
        name, version = metadata["project"]["name"], metadata["project"]["version"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise BrokenError(f"pyproject.toml does not say name and version: {error!r}") from None
    info = f"{name}-{version}.dist-info"
    content = {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in _files(project / PACKAGE)
    } | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    content[f"{info}/RECORD"] = _record(content, f"{info}/RECORD").encode()
    wheel = project / "dist" / f"{name}-{version}-py3-none-any.whl"
    wheel.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED)
    return wheel


def _record(content: Mapping[str, bytes], itself: str) -> str:
    lines = []
    for path, data in content.items():
        checksum = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={checksum},{len(data)}")
    return "\n".join([*lines, f"{itself},,", ""])


def _files(directory: Path) -> list[Path]:
    return sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and not set(path.relative_to(directory).parts) & set(_IGNORED)
    )


def _python(directory: Path, *args: str) -> tuple[str, int]:
    """Run Python; what it printed, and its exit code."""
    try:
        done = subprocess.run(
            [sys.executable, *args],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TEST_SECONDS,
            check=False,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
    except subprocess.TimeoutExpired:
        raise BrokenError(f"it did not end within {_TEST_SECONDS} seconds") from None
    return done.stdout, done.returncode


STEPS: Final[Mapping[str, tuple[str, Callable[[Path], None]]]] = {
    "checkout": ("fetching the bookshop's source", checkout),
    "lint": ("reading the source for mistakes", lint),
    "test": ("running the tests", test),
    "package": ("building the file that the shop's servers install", package),
}


def main(args: list[str]) -> int:
    """Run one step. Anything but exit code 0 ends the pipeline here: the next step never starts."""
    if len(args) != 1 or args[0] not in STEPS:
        say(f"Say one step of the pipeline: {', '.join(STEPS)}.")
        return 2
    name = args[0]
    purpose, step = STEPS[name]
    project = Path(os.environ.get("WORKSPACE", "").strip() or "/workspace") / PACKAGE
    say(f"Step {list(STEPS).index(name) + 1} of {len(STEPS)}, {name}: {purpose}.")
    try:
        step(project)
    except (BrokenError, OSError) as error:
        say("Exit code 1 ends the pipeline here: no later step runs.")
        say(f"Step {name} failed: {error}.")
        return 1
    say(f"Step {name} is done.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
