"""Whether the runs of a CronJob show what its lesson is about."""

from dataclasses import dataclass
from typing import Final

from workshopdemo.model import CronJob, CronJobStatus, Run
from workshopdemo.scenarios import Judgement, cron_scenario_of, expectation

_ENDED: Final = ("Complete", "Failed")


@dataclass(frozen=True)
class Verdict:
    """As expected, not, or None: not known yet. With words where there is something to say."""

    as_expected: bool | None
    reason: str | None = None
    message: str | None = None


_AS_EXPECTED: Final = Verdict(as_expected=True)


def not_expected(reason: str | None, message: str) -> Verdict:
    """The verdict on what should not be so."""
    return Verdict(as_expected=False, reason=reason, message=message)


def _not_yet(message: str) -> Verdict:
    return Verdict(as_expected=None, message=message)


def expected_words(entry: CronJob) -> str:
    """How the runs of the entry must end, for a person."""
    judgement = cron_scenario_of(entry).judgement
    if judgement is Judgement.EACH_RUN:
        return str(expectation(entry))
    return str(judgement.value)


def verdict(entry: CronJob, status: CronJobStatus) -> Verdict:
    """The verdict on what was shown so far."""
    stuck = next((run for run in status.runs if run.outcome == "Stuck"), None)
    if stuck is not None:
        return not_expected(stuck.reason, f"a Pod of {stuck.job} cannot start")
    judgement = cron_scenario_of(entry).judgement
    if judgement is Judgement.POLICY:
        return _policy(entry, status)
    if judgement is Judgement.FAILURE_AND_RECOVERY:
        return _failure_and_recovery(status)
    return _each_run(entry, status)


def _each_run(entry: CronJob, status: CronJobStatus) -> Verdict:
    ended = [run for run in status.runs if run.outcome in _ENDED]
    if not ended:
        if _is_first_run_due(entry, status):
            return Verdict(as_expected=None)
        return Verdict(as_expected=True, reason="NoRunYet")
    last = ended[0]
    wanted = expectation(entry)
    # The reason of a run recovered from Events is not known; its outcome is.
    reasons = (None, last.reason) if last.reason != "FromEvents" else (None, wanted.reason)
    if last.outcome == wanted.outcome and wanted.reason in reasons:
        return _AS_EXPECTED
    return not_expected(last.reason, f"the last run, {_name(last)}, is {last.outcome}")


def _is_first_run_due(entry: CronJob, status: CronJobStatus) -> bool:
    """Whether a run goes on, or runNow is still to be carried out."""
    return status.active > 0 or entry.run_now > status.run_now


def _failure_and_recovery(status: CronJobStatus) -> Verdict:
    if status.failed and status.succeeded:
        return _AS_EXPECTED
    seen = "a failure" if status.failed else "nothing"
    return Verdict(
        as_expected=None, message=f"{seen} has been seen so far; the next run shows more"
    )


def _policy(entry: CronJob, status: CronJobStatus) -> Verdict:
    shown = {
        "Allow": status.peak_active > 1,
        "Forbid": status.skipped > 0,
        "Replace": status.replaced > 0,
    }[entry.concurrency_policy]
    if shown:
        return _AS_EXPECTED
    return Verdict(
        as_expected=None, message="the next run that comes too early shows what becomes of it"
    )


def _name(run: Run) -> str:
    return run.job or f"of {run.scheduled_time}"
