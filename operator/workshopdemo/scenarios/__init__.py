"""What a demo can show: one module a family of scenarios, one registry for all."""

from workshopdemo.model import Job
from workshopdemo.scenarios.base import Expectation, JobScenario
from workshopdemo.scenarios.jobs import CUSTOM, JOB_SCENARIOS

__all__ = ["CUSTOM", "JOB_SCENARIOS", "Expectation", "JobScenario", "expectation", "scenario_of"]


def scenario_of(job: Job) -> JobScenario:
    """The scenario of an entry; the CRD's enum admits the registry's names only."""
    return JOB_SCENARIOS[job.scenario]


def expectation(job: Job) -> Expectation:
    """How this entry must end: the scenario's own outcome, or what a Custom entry says."""
    if job.expected is not None:
        return Expectation(job.expected, job.expected_reason)
    return scenario_of(job).expected
