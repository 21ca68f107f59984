"""A Job that says itself that no retry will help: exit code 42, and a podFailurePolicy knows it.

ORDER_FILE names a file of orders, `customer;title;copies`; without it a malformed one is read.
"""

import sys
from pathlib import Path
from typing import Final

from workshopdemo.programs import env
from workshopdemo.programs.say import say

MALFORMED: Final = 42
"""The exit code that the Job's podFailurePolicy looks for."""

_FIELDS: Final = 3
_ORDERS: Final = """\
Ada Abel;The Glass Harbour;1
Bruno Costa;Night Trains;2
Chiara Berg;Seven Bridges;two
Elif Duarte;Atlas of Small Islands;1
"""


class MalformedError(Exception):
    """The order file is wrong; the text says where."""


def import_orders(text: str) -> int:
    """Read orders; all or none.

    Returns:
        How many copies were ordered.
    """
    copies = 0
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split(";")
        if len(fields) != _FIELDS:
            raise MalformedError(f"line {number} has {len(fields)} fields instead of {_FIELDS}")
        if not fields[2].isdecimal():
            raise MalformedError(f"line {number} orders {fields[2]!r} copies, which is no number")
        copies += int(fields[2])
    return copies


def main() -> int:
    """One attempt, and the only one."""
    say("Importing the orders of the day.")
    try:
        path = env.text("ORDER_FILE")
        copies = import_orders(Path(path).read_text(encoding="utf-8") if path else _ORDERS)
    except (MalformedError, UnicodeDecodeError) as error:
        say("The file will be as malformed in a minute as it is now: a retry cannot help.")
        say(
            f"So I exit with {MALFORMED} and not with 1. The Job's podFailurePolicy has a rule: "
            f"exit code {MALFORMED} means FailJob. No retry, however many backoffLimit would allow."
        )
        say(f"Import failed: the order file is malformed: {error}. Exit code {MALFORMED}.")
        return MALFORMED
    except OSError as error:
        say("A file that cannot be read now may be there in a minute: Kubernetes may retry this.")
        say(f"Import failed: {path}: {(error.strerror or str(error)).lower()}. Exit code 1.")
        return 1
    say(f"Imported: {copies} copies were ordered.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
