"""A Job that needs its retries: the database opens only after some attempts have failed.

Nobody tells a Pod how many came before it, so the attempts are counted in a file on the demo's
volume (DATA_DIR), one for each Job (RUN_ID). FAILURES_WANTED says how many must fail (2).
"""

import socket
import sys
from pathlib import Path
from typing import Final

from workshopdemo.programs import env
from workshopdemo.programs.files import write_whole
from workshopdemo.programs.say import say

DIRECTORY: Final = "attempts"


def main() -> int:
    """One attempt. The exit code is all that Kubernetes looks at: 0 is success, the rest is not."""
    try:
        wanted = env.whole_number("FAILURES_WANTED", default=2)
        run = env.plain_name("RUN_ID", default="run")
        so_far = count_attempt(env.data_directory() / DIRECTORY / run)
    except env.SettingError as error:
        say(str(error))
        return 2
    except OSError as error:
        say(f"The attempts cannot be counted: {error}. Exit code 1.")
        return 1
    say(f"Attempt {so_far + 1}: preparing the bookshop's database.")
    say("Connecting to the database ...")
    problem = connect(database_is_open=so_far >= wanted)
    if problem is not None:
        say(f"It does not answer yet: {problem}.")
        say("I do not wait and I do not try again: retrying is the Job's work, not mine.")
        say(f"Attempt {so_far + 1} failed: the database is not there yet. Exit code 1.")
        return 1
    say("Connected: the database answers.")
    say(f"Attempt {so_far + 1} succeeded after {so_far} that failed. Exit code 0: the Job is done.")
    return 0


def count_attempt(path: Path) -> int:
    """Count this attempt; gives how many were there before it."""
    path.parent.mkdir(exist_ok=True)
    text = path.read_text() if path.exists() else ""
    so_far = int(text) if text.isdecimal() else 0
    write_whole(path, str(so_far + 1).encode())
    return so_far


def connect(*, database_is_open: bool) -> str | None:
    """Connect over TCP to a port of this very Pod, which stands for the database.

    A port that is bound but not listened on refuses connections, as one does whose server has not
    started yet.

    Returns:
        Why it failed, or None.
    """
    with socket.socket() as database:
        database.bind(("127.0.0.1", 0))
        if database_is_open:
            database.listen()
        try:
            with socket.create_connection(database.getsockname(), timeout=5):
                return None
        except OSError as error:
            return (error.strerror or str(error)).lower()


if __name__ == "__main__":
    sys.exit(main())
