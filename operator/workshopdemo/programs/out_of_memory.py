"""A container that takes more memory than its limit: the kernel kills it, and it cannot object.

It takes real memory, so it does not run on when there is no limit that would stop it. A test can
stop it earlier, by MEMORY_CEILING_MIB.
"""

import sys
import time
from pathlib import Path
from typing import Final

from workshopdemo.programs import env, pace
from workshopdemo.programs.say import say

STEP_MIB: Final = 8
_MIB: Final = 2**20
_WITHOUT_LIMIT_MIB: Final = 512
_PAUSE_SECONDS: Final = 0.2
_LIMIT_FILES: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def limit_mib(files: tuple[Path, ...] = _LIMIT_FILES) -> int | None:
    """The container's limit as the kernel has it: cgroup version 2, or 1."""
    for path in files:
        try:
            limit = int(path.read_text()) // _MIB
        except (OSError, ValueError):
            continue
        # Version 1 says "no limit" with a number that no machine has.
        return limit if limit < 2**30 else None
    return None


def take(ceiling_mib: int) -> list[bytearray]:
    """Take memory step by step, and keep it."""
    held: list[bytearray] = []
    while len(held) * STEP_MIB < ceiling_mib:
        # Written to, page by page: memory that nobody has touched does not count, nor exist.
        held.append(bytearray(b"\xab") * (STEP_MIB * _MIB))
        say(f"  I hold {len(held) * STEP_MIB} MiB.")
        # Time for the line to reach the log before the next step may be the last.
        time.sleep(_PAUSE_SECONDS)
    return held


def main() -> int:
    """Take memory until the kernel has had enough. There is no last line: nobody asks first."""
    pace.listen()
    try:
        limit = limit_mib()
        twice = 2 * limit if limit else _WITHOUT_LIMIT_MIB
        ceiling = env.whole_number("MEMORY_CEILING_MIB", default=twice, at_least=1)
        say("Loading all books of the world into memory, instead of one after the other.")
        known = f"My limit is {limit} MiB" if limit else "I see no limit of mine"
        say(f"{known} (resources.limits.memory). Past it the kernel kills me, without asking:")
        say("no exception, no SIGTERM, no last words. Look for exit code 137 and OOMKilled.")
        held = take(ceiling)
    except env.SettingError as error:
        say(str(error))
        return 2
    except pace.StoppedError:
        say("SIGTERM: stopped before the memory was used up. Exit code 143.")
        return pace.STOPPED
    say("I stop here, lest the whole node runs out of memory. Has this container a limit at all?")
    say(f"Nobody stopped me at {len(held) * STEP_MIB} MiB. Exit code 1.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
