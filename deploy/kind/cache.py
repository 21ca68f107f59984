"""Where built things live, outside the checkout so that a second clone is warm."""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The cache's directory: WORKSHOP_CACHE, or a place in the user's own cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(os.environ.get("WORKSHOP_CACHE") or Path(home) / "workshop-demo").absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def artefact(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The directory of a built thing, made once: a killed build leaves nothing of this name."""
    final = _place(name, key)
    if not final.exists():
        with scratch(name) as directory:
            make(directory)
            final.parent.mkdir(exist_ok=True)
            directory.rename(final)
    return final


def existing(name: str, key: str) -> Path | None:
    """The directory of a built thing, if it was built."""
    path = _place(name, key)
    return path if path.exists() else None


def _place(name: str, key: str) -> Path:
    return root() / "built" / f"{name}-{key}"


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A temporary directory on the cache's own file system (so that a rename is atomic)."""
    parent = root() / "tmp"
    parent.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def exclusive(what: str) -> Iterator[None]:
    """One invocation at a time; the kernel frees the lock of a killed one."""
    with (root() / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another invocation"
            print(f"Waiting for {holder} to finish …", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"`{what}` (process {os.getpid()})")
        lock.flush()
        # Nobody else builds now, so whatever is here was left by a killed build.
        shutil.rmtree(root() / "tmp", ignore_errors=True)
        try:
            yield
        finally:
            lock.truncate(0)
