"""Scenarios of Jobs."""

from typing import Final

from workshopdemo.scenarios.base import (
    COMPLETE,
    JOB_NAME_FIELD,
    Expectation,
    JobScenario,
    Step,
)

CUSTOM: Final = "Custom"
MIGRATION: Final = "DatabaseMigration"
"""Scenarios that others speak of."""

_ALL: Final = (
    JobScenario(
        name=MIGRATION,
        expected=COMPLETE,
        database=True,
        steps=(Step(name="migrate", program="database_migration"),),
    ),
    JobScenario(
        name="CIPipeline",
        expected=COMPLETE,
        workspace=True,
        steps=tuple(
            Step(name=step, program="ci_pipeline", args=(step,))
            for step in ("checkout", "lint", "test", "package")
        ),
    ),
    JobScenario(
        name="DataPipeline",
        expected=COMPLETE,
        data=True,
        indexed=True,
        completions=5,
        parallelism=5,
        steps=(
            Step(
                name="count",
                program="data_pipeline",
                env={"SHARDS": "{shards}"},
                field_env={"RUN_ID": JOB_NAME_FIELD},
            ),
        ),
    ),
    JobScenario(
        name="FailsThenSucceeds",
        expected=COMPLETE,
        # backoffLimitPerIndex would tell each Pod how often it has failed (KEP-3850), but in
        # Kubernetes 1.34 a namespace that is deleted while such a Job waits for its retry hangs.
        data=True,
        steps=(
            Step(
                name="connect",
                program="fails_then_succeeds",
                env={"FAILURES_WANTED": "2"},
                field_env={"RUN_ID": JOB_NAME_FIELD},
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
    JobScenario(
        name="TooSlow",
        expected=Expectation("Failed", "DeadlineExceeded"),
        active_deadline_seconds=20,
        steps=(
            Step(
                name="reindex",
                program="too_slow",
                env={"ACTIVE_DEADLINE_SECONDS": "{deadline}"},
            ),
        ),
    ),
    JobScenario(
        name="OutOfMemory",
        expected=Expectation("Failed", "BackoffLimitExceeded"),
        memory_limit="64Mi",
        backoff_limit=1,
        steps=(Step(name="load", program="out_of_memory"),),
    ),
    JobScenario(
        name="NotRetriable",
        expected=Expectation("Failed", "PodFailurePolicy"),
        pod_failure_policy={
            "rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]
        },
        steps=(Step(name="orders", program="not_retriable"),),
    ),
    JobScenario(
        name="BadImage",
        expected=Expectation("Stuck", "ImagePullBackOff"),
        # `.invalid` resolves nowhere (RFC 2606): the lesson is the same with and without internet.
        image="registry.invalid/bookshop/website:no-such-tag",
        steps=(Step(name="website", program="ci_pipeline"),),
    ),
    JobScenario(name=CUSTOM, expected=COMPLETE, steps=()),
)

JOB_SCENARIOS: Final = {scenario.name: scenario for scenario in _ALL}
"""By name; the CRD's enum holds the same names (checked by a test)."""
