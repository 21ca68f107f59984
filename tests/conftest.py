"""Options of the whole suite."""

import hypothesis
import pytest

# No test is about time: a busy machine must not fail one.
hypothesis.settings.register_profile(
    "workshop", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("workshop")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden manifests anew")
