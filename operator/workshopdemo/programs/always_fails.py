"""A Job that no retry can help: the file it must import is not there, now or ever.

IMPORT_FILE names the file.
"""

import os
import sys
from pathlib import Path
from typing import Final

from workshopdemo.programs.say import say

DEFAULT_FILE: Final = "/import/new-books.csv"


def main() -> int:
    """One attempt. Its last line says why it failed: that is the line people look at first."""
    path = Path(os.environ.get("IMPORT_FILE", "").strip() or DEFAULT_FILE)
    say("Importing new books into the bookshop's catalogue.")
    say(f"Opening {path} ...")
    try:
        titles = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        say("Kubernetes starts a new Pod after each failure, until backoffLimit is used up.")
        say("But no number of retries puts a missing file there: somebody has to.")
        say(f"Import failed: {path}: {(error.strerror or str(error)).lower()}. Exit code 1.")
        return 1
    say(f"Imported {len(titles)} titles.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
