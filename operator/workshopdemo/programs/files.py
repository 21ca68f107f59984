"""Files that are there whole or not at all, whatever crashes."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_HALF: Final = ".half"
_LEFT_OVER_SECONDS: Final = 3600


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give the path of a file to write, which gets its true name when all went well.

    A rename within one directory happens at once: nobody ever sees half of it under that name. The
    name meanwhile is a random one, because every container's process has the same number, 1.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_HALF, dir=path.parent)
    os.close(handle)
    half = Path(name)
    try:
        yield half
        _to_disk(half)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    _to_disk(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under its name at once."""
    with written_whole(path) as half:
        half.write_bytes(content)


def remove_left_overs(directory: Path) -> int:
    """Remove what writers left that were killed; young files may still be written.

    Returns:
        How many there were.
    """
    old = time.time() - _LEFT_OVER_SECONDS
    left_over = [path for path in directory.glob(f".*{_HALF}") if path.stat().st_mtime < old]
    for path in left_over:
        path.unlink(missing_ok=True)
    return len(left_over)


def _to_disk(path: Path) -> None:
    """Wait until it is on the disk: else a rename may survive a crash that its data did not."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
