"""A Job that needs more time than it is given: activeDeadlineSeconds ends it.

ACTIVE_DEADLINE_SECONDS tells how long that is, WORK_SECONDS how long the work takes (an hour).
"""

import sys
from typing import Final

from workshopdemo.programs import env, pace
from workshopdemo.programs.say import say

PROGRESS_SECONDS: Final = 5


def main() -> int:
    """Work until it is done, or until Kubernetes has seen enough."""
    pace.listen()
    try:
        seconds = env.whole_number("WORK_SECONDS", default=3600)
        deadline = env.whole_number("ACTIVE_DEADLINE_SECONDS", default=0)
        limit = f"activeDeadlineSeconds: {deadline}" if deadline else "activeDeadlineSeconds"
        say(f"Scaling all book covers: I need {seconds} seconds. But my Job has {limit}.")
        say("That clock starts with the Job and goes on through all its Pods and retries.")
        pace.work(seconds, PROGRESS_SECONDS, lambda passed: say(f"  {passed:.0f} s of {seconds} s"))
    except env.SettingError as error:
        say(str(error))
        return 2
    except pace.StoppedError:
        say(
            "SIGTERM: Kubernetes stops me now, most likely because activeDeadlineSeconds has "
            "passed. Then the Job fails with DeadlineExceeded, and nothing is retried, whatever "
            "backoffLimit is."
        )
        say("Stopped before the work was done. Exit code 143.")
        return pace.stopped()
    say(f"All covers are scaled after {seconds} seconds: no deadline came first.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
