"""Whether generated files are what they should be, and making them so."""

from collections.abc import Mapping
from pathlib import Path


def check(wanted: Mapping[Path, str], root: Path) -> int:
    """Name the files that are older than what they are made from; an exit code."""
    old = _old(wanted)
    if old:
        names = ", ".join(str(path.relative_to(root)) for path in old)
        print(f"✗ Older than what it is made from: {names}. Run make docs, and commit it.")
    return int(bool(old))


def write(wanted: Mapping[Path, str], root: Path) -> int:
    """Write those that are, and name them; an exit code."""
    for path in _old(wanted):
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], "utf-8")
        print(f"✓ {path.relative_to(root)}")
    return 0


def _old(wanted: Mapping[Path, str]) -> list[Path]:
    return [
        path
        for path, told in wanted.items()
        if not path.exists() or path.read_text("utf-8") != told
    ]
