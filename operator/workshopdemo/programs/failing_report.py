"""A report that works every second time: a failure, and the recovery from it.

REPORT_NAME names the file on the volume (DATA_DIR) that counts the runs. RUN_ID says which run this
is, if Kubernetes starts more than one Pod for it: a retry is the same run, and fails as well.
"""

import json
import sys
from pathlib import Path
from typing import Final

from workshopdemo.programs import env
from workshopdemo.programs.files import write_whole
from workshopdemo.programs.say import say

DIRECTORY: Final = "reports"


def count_run(path: Path, run_id: str) -> int:
    """The number of this run, 1 or more; it is written down before anything can go wrong."""
    path.parent.mkdir(exist_ok=True)
    try:
        last = json.loads(path.read_bytes())
        number, last_id = int(last["run"]), str(last["id"])
    except FileNotFoundError:
        number, last_id = 0, ""
    except (ValueError, TypeError, KeyError) as error:
        say(f"{path} does not say how many runs there were ({error!r}): counting from 1.")
        number, last_id = 0, ""
    if number and run_id and run_id == last_id:
        say(f"Run {number} again: a retry does not bring back what is missing.")
        return number
    write_whole(path, json.dumps({"run": number + 1, "id": run_id}).encode())
    return number + 1


def main() -> int:
    """One run. Who hears about it at 02:00 is the question of this lesson."""
    try:
        name = env.plain_name("REPORT_NAME", default="failing-report")
        path = env.data_directory() / DIRECTORY / f"{name}.json"
        number = count_run(path, env.text("RUN_ID"))
    except env.SettingError as error:
        say(str(error))
        return 2
    except OSError as error:
        say(f"The runs cannot be counted: {error}. Exit code 1.")
        return 1
    say(f"Report of payments, run {number}.")
    say("Comparing our orders with the payment provider's export ...")
    if number % 2:
        say("A CronJob does not call anybody: it goes on to its next run, whatever became of this.")
        say(f"Run {number} failed: the payment provider's export is missing. Exit code 1.")
        return 1
    say("The export is there, and every payment belongs to an order.")
    say(f"Run {number} succeeded, after run {number - 1} had failed: this is a recovery.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
