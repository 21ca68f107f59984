"""A report that runs longer than the time to its next run: RUN_SECONDS (90).

What a CronJob then does is its `concurrencyPolicy`: Allow starts the next one as well, Forbid skips
it, Replace stops this one.
"""

import sys
from typing import Final

from workshopdemo.programs import env, pace
from workshopdemo.programs.say import say

PROGRESS_SECONDS: Final = 10


def main() -> int:
    """One slow run."""
    pace.listen()
    try:
        seconds = env.whole_number("RUN_SECONDS", default=90)
        say(f"Report of the whole year: this takes {seconds} seconds.")
        pace.work(seconds, PROGRESS_SECONDS, lambda passed: say(f"  {passed:.0f} s of {seconds} s"))
    except env.SettingError as error:
        say(str(error))
        return 2
    except pace.StoppedError:
        say(
            "SIGTERM: I am being replaced or stopped. With concurrencyPolicy Replace a CronJob "
            "deletes the run that is under way when the next one is due."
        )
        say("Stopped before the report was done. Exit code 143.")
        return pace.stopped()
    say(f"Report is done after {seconds} seconds.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
