"""What a demo can show: one module a family of scenarios, one registry for each kind of entry."""

from collections.abc import Mapping

from workshopdemo.model import CronJob, Job, Work
from workshopdemo.scenarios.base import (
    CronScenario,
    Expectation,
    JobScenario,
    Judgement,
    Scenario,
)
from workshopdemo.scenarios.cronjobs import CRON_SCENARIOS
from workshopdemo.scenarios.jobs import CUSTOM, JOB_SCENARIOS, MIGRATION

__all__ = [
    "CRON_SCENARIOS",
    "CUSTOM",
    "JOB_SCENARIOS",
    "MIGRATION",
    "CronScenario",
    "Expectation",
    "JobScenario",
    "Judgement",
    "Scenario",
    "any_scenario_of",
    "cron_scenario_of",
    "expectation",
    "scenario_of",
]


def scenario_of(job: Job) -> JobScenario:
    """The scenario of an entry; the CRD's enum admits the registry's names only."""
    return JOB_SCENARIOS[job.scenario]


def cron_scenario_of(cron_job: CronJob) -> CronScenario:
    """The scenario of an entry of spec.cronJobs."""
    return CRON_SCENARIOS[cron_job.scenario]


def expectation(work: Work) -> Expectation:
    """How a Job must end: the scenario's own outcome, or what a Custom entry says."""
    if work.expected is not None:
        return Expectation(work.expected, work.expected_reason)
    if isinstance(work, Job):
        return scenario_of(work).expected
    return Expectation("Complete")


def any_scenario_of(work: Work) -> Scenario:
    """The scenario of an entry, whichever it is."""
    scenarios: Mapping[str, Scenario] = JOB_SCENARIOS if isinstance(work, Job) else CRON_SCENARIOS
    return scenarios[work.scenario]
