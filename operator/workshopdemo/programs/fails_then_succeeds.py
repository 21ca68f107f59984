"""A Job that needs its retries: the database opens only after some attempts have failed.

FAILURES_SO_FAR tells how many attempts failed before this one. Kubernetes knows it, and says it on
the Pod as the annotation `batch.kubernetes.io/job-index-failure-count`; the first attempt has none.
FAILURES_WANTED says how many must fail (2).
"""

import os
import socket
import sys

from workshopdemo.programs.say import say


def main() -> int:
    """One attempt. The exit code is all that Kubernetes looks at: 0 is success, the rest is not."""
    try:
        so_far = _number("FAILURES_SO_FAR", default=0)
        wanted = _number("FAILURES_WANTED", default=2)
    except ValueError as error:
        say(str(error))
        return 2
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


def _number(name: str, *, default: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal():
        raise ValueError(f"{name} must be a whole number, zero or more; it is {text!r}.")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
