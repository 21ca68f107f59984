"""How the logs of finished Jobs are found in the aggregator."""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from workshopdemo.logsql import log_command
from workshopdemo.model import CronJobStatus, JobStatus, Run, WorkshopDemo

_ENDED: Final = frozenset({"Complete", "Failed"})
_RUNS: Final = 5
"""Of so many runs of a CronJob the command is told; another Job's name in it shows another's."""

_BUDGET: Final = 12 * 1024
"""Bytes of commands in one status: of many CronJobs, it is told of fewer runs each."""

_Ended = TypeVar("_Ended", JobStatus, Run)


def with_log_queries(
    demo: WorkshopDemo,
    aggregator: str | None,
    jobs: Sequence[JobStatus],
    cron_jobs: Sequence[CronJobStatus],
) -> tuple[tuple[JobStatus, ...], tuple[CronJobStatus, ...]]:
    """Tell of each Job that ended which command shows its log.

    Args:
        demo: the demo.
        aggregator: name of the aggregator's Service; None where there is none to ask.
        jobs: what is told of spec.jobs.
        cron_jobs: what is told of spec.cronJobs.
    """

    def query(told: _Ended) -> str | None:
        if aggregator is None or told.job is None or told.outcome not in _ENDED:
            return None
        return log_command(namespace=demo.namespace, service=aggregator, job=told.job)

    jobs = tuple(msgspec.structs.replace(job, log_query=query(job)) for job in jobs)
    room = _BUDGET - sum(len(job.log_query or "") for job in jobs)
    told: dict[tuple[int, int], str] = {}
    for age in range(_RUNS):
        for index, cron_job in enumerate(cron_jobs):
            command = query(cron_job.runs[age]) if age < len(cron_job.runs) else None
            room -= len(command or "")
            if command is not None and room >= 0:
                told[index, age] = command
    return jobs, tuple(
        msgspec.structs.replace(
            cron_job,
            runs=tuple(
                msgspec.structs.replace(run, log_query=told.get((index, age)))
                for age, run in enumerate(cron_job.runs)
            ),
        )
        for index, cron_job in enumerate(cron_jobs)
    )
