"""Scenarios of CronJobs."""

from typing import Final

from workshopdemo.scenarios.base import JOB_NAME_FIELD, CronScenario, Judgement, ScriptStep, Step
from workshopdemo.scenarios.jobs import CUSTOM

_ALL: Final = (
    CronScenario(
        name="NightlyReport",
        database=True,
        steps=(Step(name="report", program="nightly_report"),),
    ),
    CronScenario(
        name="DatabaseBackup",
        data=True,
        database=True,
        steps=(Step(name="backup", program="database_backup"),),
        database_steps=tuple(
            ScriptStep(name=phase, script="backup.sh", argument=phase)
            for phase in ("dump", "restore")
        ),
    ),
    CronScenario(
        name="FailingReport",
        data=True,
        backoff_limit=0,
        judgement=Judgement.FAILURE_AND_RECOVERY,
        steps=(
            Step(
                name="report",
                program="failing_report",
                env={"REPORT_NAME": "{entry}"},
                # A retry is the same run to it, and fails again.
                field_env={"RUN_ID": JOB_NAME_FIELD},
            ),
        ),
    ),
    CronScenario(
        name="SlowReport",
        judgement=Judgement.POLICY,
        backoff_limit=0,
        steps=(Step(name="report", program="slow_report", env={"RUN_SECONDS": "90"}),),
    ),
    CronScenario(name=CUSTOM, steps=()),
)

CRON_SCENARIOS: Final = {scenario.name: scenario for scenario in _ALL}
"""By name; the CRD's enum holds the same names (checked by a test)."""
