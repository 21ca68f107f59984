"""Settings: a wrong one is a sentence that names the variable."""

import pytest

from workshopdemo import settings
from workshopdemo.errors import InvalidSpecError


def test_only_the_image_is_needed() -> None:
    loaded = settings.load({"WORKSHOPDEMO_IMAGE": "a:1"})
    assert loaded == settings.Settings(image="a:1")


def test_namespaces_are_a_list() -> None:
    loaded = settings.load({"WORKSHOPDEMO_IMAGE": "a:1", "WORKSHOPDEMO_NAMESPACES": " b, a,,a"})
    assert loaded.namespaces == ("a", "b")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WORKSHOPDEMO_IMAGE", " "),
        ("WORKSHOPDEMO_PULL_POLICY", "Sometimes"),
        ("WORKSHOPDEMO_PROBE_PORT", "http"),
        ("WORKSHOPDEMO_PROBE_PORT", "70000"),
        ("WORKSHOPDEMO_LOG_FORMAT", "xml"),
        ("WORKSHOPDEMO_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_names_its_variable(variable: str, value: str) -> None:
    with pytest.raises(InvalidSpecError, match=variable):
        settings.load({"WORKSHOPDEMO_IMAGE": "a:1", variable: value})
