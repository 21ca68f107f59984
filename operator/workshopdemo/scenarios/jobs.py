"""Scenarios of Jobs."""

from typing import Final

from workshopdemo.scenarios.base import Expectation, JobScenario, Step

CUSTOM: Final = "Custom"

_COMPLETE: Final = Expectation("Complete")

_ALL: Final = (
    JobScenario(
        name="CIPipeline",
        expected=_COMPLETE,
        workspace=True,
        steps=tuple(
            Step(name=step, program="ci_pipeline", args=(step,))
            for step in ("checkout", "lint", "test", "package")
        ),
    ),
    JobScenario(
        name="FailsThenSucceeds",
        expected=_COMPLETE,
        counts_failures=True,
        steps=(
            Step(
                name="connect",
                program="fails_then_succeeds",
                env={"FAILURES_WANTED": "2"},
                failures_env="FAILURES_SO_FAR",
            ),
        ),
    ),
    JobScenario(
        name="AlwaysFails",
        expected=Expectation("Failed", "BackoffLimitExceeded"),
        # Three attempts end within a minute; Kubernetes' own 6 would take over ten.
        backoff_limit=2,
        steps=(Step(name="import", program="always_fails"),),
    ),
    JobScenario(name=CUSTOM, expected=_COMPLETE, steps=()),
)

JOB_SCENARIOS: Final = {scenario.name: scenario for scenario in _ALL}
"""By name; the CRD's enum holds the same names (checked by a test)."""
