"""What changed between two statuses, for Kubernetes Events: transitions only, never a state."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from workshopdemo.model import CronJobStatus, JobStatus, Run, Status

_ENDED: Final = frozenset({"Complete", "Failed", "Stuck"})


@dataclass(frozen=True)
class Transition:
    """One Event. `identity` is the same whenever the same transition is told again."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    identity: str


def transitions(before: Status, after: Status) -> list[Transition]:
    """Events that tell the way from one status to the next."""
    known = {job.name: job for job in before.jobs}
    found = [event for job in after.jobs for event in _of_job(known.get(job.name), job)]
    told = {cron_job.name: cron_job for cron_job in before.cron_jobs}
    for cron_job in after.cron_jobs:
        found += _of_cron_job(told.get(cron_job.name), cron_job)
    if after.phase != before.phase and after.phase in ("Ready", "Invalid"):
        kind: Literal["Normal", "Warning"] = "Normal" if after.phase == "Ready" else "Warning"
        reason = "Ready" if after.phase == "Ready" else "InvalidSpec"
        # A demo may be Ready many times: after each change of its spec, after each new Job.
        state = [job.uid for job in after.jobs] + [cron_job.uid for cron_job in after.cron_jobs]
        found.append(
            Transition(kind, reason, after.summary, f"{reason} {after.observed_generation} {state}")
        )
    return found


def claims_kept(demo_uid: str, claims: Sequence[str]) -> Transition:
    """The Event that names what a demo leaves behind."""
    message = (
        f"claims are kept, with their data: {', '.join(claims)}. A demo of the same name finds it "
        "again; kubectl delete pvc removes it"
    )
    return Transition("Normal", "ClaimsKept", message, f"ClaimsKept {demo_uid} {list(claims)}")


def _of_job(before: JobStatus | None, after: JobStatus) -> Iterator[Transition]:
    if after.outcome not in _ENDED or after.uid is None:
        return
    if before is not None and (before.uid, before.outcome) == (after.uid, after.outcome):
        return
    as_expected = after.as_expected is True
    wanted = (
        f"{after.expected} ({after.expected_reason})" if after.expected_reason else after.expected
    )
    judged = "as the lesson expects" if as_expected else f"but the lesson expects {wanted}"
    because = f" ({after.reason})" if after.reason else ""
    yield Transition(
        "Normal" if as_expected else "Warning",
        f"Job{after.outcome}",
        f"{after.name}: {after.outcome}{because}, {judged}",
        f"{after.uid} {after.outcome}",
    )


_ORDINARY: Final = frozenset({"Complete", "Skipped", "Replaced"})


def _of_cron_job(before: CronJobStatus | None, after: CronJobStatus) -> Iterator[Transition]:
    known = {_run_identity(run): run.outcome for run in before.runs} if before else {}
    for run in reversed(after.runs):
        identity = _run_identity(run)
        if run.outcome == "Running" or known.get(identity) == run.outcome:
            continue
        what = run.job or f"the run of {run.scheduled_time}"
        because = f" ({run.reason})" if run.reason else ""
        yield Transition(
            "Normal" if run.outcome in _ORDINARY else "Warning",
            f"Run{run.outcome}",
            f"{after.name}: {what}: {run.outcome}{because}",
            f"{after.uid} {identity} {run.outcome}",
        )


def _run_identity(run: Run) -> str:
    return run.uid or run.job or f"{run.scheduled_time}"
