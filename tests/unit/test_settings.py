"""Settings: a wrong one is a sentence that names the variable."""

import pytest

from workshopdemo import settings
from workshopdemo.errors import InvalidSpecError

IMAGES = {
    "WORKSHOPDEMO_IMAGE": "a:1",
    "WORKSHOPDEMO_COLLECTOR_IMAGE": "b:2",
    "WORKSHOPDEMO_AGGREGATOR_IMAGE": "c:3",
    "WORKSHOPDEMO_POSTGRES_IMAGE": "d:4",
}


def test_only_images_are_needed() -> None:
    loaded = settings.load(IMAGES)
    assert loaded == settings.Settings(
        image="a:1", collector_image="b:2", aggregator_image="c:3", postgres_image="d:4"
    )


def test_namespaces_are_a_list() -> None:
    loaded = settings.load(IMAGES | {"WORKSHOPDEMO_NAMESPACES": " b, a,,a"})
    assert loaded.namespaces == ("a", "b")


def test_hosts_that_demos_may_reach_are_a_list() -> None:
    hosts = "10.0.0.0/8:9093, alertmanager.monitoring:9093,,*.lab.example:443"
    loaded = settings.load(IMAGES | {"WORKSHOPDEMO_ALLOWED_HOSTS": hosts})
    assert loaded.allowed_hosts == (
        "10.0.0.0/8:9093", "alertmanager.monitoring:9093", "*.lab.example:443",
    )  # fmt: skip


def test_how_many_demos_a_namespace_may_have() -> None:
    loaded = settings.load(
        IMAGES
        | {"WORKSHOPDEMO_DEMOS_PER_NAMESPACE": "3", "WORKSHOPDEMO_EXEMPT_NAMESPACES": "workshop,b"}
    )
    assert loaded.demos_per_namespace == 3
    assert loaded.exempt_namespaces == ("workshop", "b")


def test_paths_are_appended_to_the_inbox_s_url() -> None:
    url = "http://inbox.system.svc:80/"
    loaded = settings.load(IMAGES | {"WORKSHOPDEMO_INBOX_URL": url})
    assert loaded.inbox_url == "http://inbox.system.svc:80"


def test_the_operator_knows_its_name() -> None:
    loaded = settings.load(IMAGES | {"WORKSHOPDEMO_IDENTITY": "operator-7d4-x"})
    assert loaded.identity == "operator-7d4-x"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *((name, " ") for name in IMAGES),
        ("WORKSHOPDEMO_PULL_POLICY", "Sometimes"),
        ("WORKSHOPDEMO_PROBE_PORT", "http"),
        ("WORKSHOPDEMO_PROBE_PORT", "70000"),
        ("WORKSHOPDEMO_DEMOS_PER_NAMESPACE", "few"),
        ("WORKSHOPDEMO_DEMOS_PER_NAMESPACE", "-1"),
        ("WORKSHOPDEMO_LOG_FORMAT", "xml"),
        ("WORKSHOPDEMO_LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_value_names_its_variable(variable: str, value: str) -> None:
    with pytest.raises(InvalidSpecError, match=variable):
        settings.load(IMAGES | {variable: value})
