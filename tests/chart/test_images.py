"""Names of images: those of the values, and those in a mirror."""

import pytest
import yaml

from chart.rendering import CHART, environment, pod_spec, pod_specs, render
from unit.kind_modules import load
from workshopdemo import settings

mirror = load("mirror")

MIRROR = "registry.local:5000/workshop"
NAMES = [
    "postgres:17",
    "victoriametrics/victoria-logs:v1",
    "ghcr.io/a/b:1",
    "localhost/a:1",
    "registry.example:5000/a:1",
    f"docker.io/library/postgres@sha256:{'0' * 64}",
]


def operator_settings(helm: str, *args: str) -> settings.Settings:
    return settings.load(environment(pod_spec(render(helm, *args))))


def test_images_of_others_reach_the_operator(helm: str) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    loaded = operator_settings(helm)
    assert (loaded.collector_image, loaded.aggregator_image, loaded.postgres_image) == (
        values["logShipping"]["collectorImage"],
        values["logShipping"]["aggregatorImage"],
        values["statefulSet"]["postgresImage"],
    )


@pytest.mark.parametrize("name", NAMES)
def test_without_a_mirror_a_name_stays_as_it_is(helm: str, name: str) -> None:
    assert operator_settings(helm, f"--set=statefulSet.postgresImage={name}").postgres_image == name


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_the_mirror_is_the_one_that_was_pushed(helm: str, name: str) -> None:
    for given in (MIRROR, f"{MIRROR}/"):
        loaded = operator_settings(
            helm, f"--set=imageRegistry={given},statefulSet.postgresImage={name}"
        )
        assert loaded.postgres_image == mirror.mirrored(name, MIRROR)


def test_no_image_is_pulled_from_elsewhere_than_the_mirror(helm: str) -> None:
    objects = render(helm, f"--set=imageRegistry={MIRROR}")
    loaded = settings.load(environment(pod_spec(objects)))
    named = [
        *(each["image"] for pod in pod_specs(objects) for each in pod["containers"]),
        *(value for field, value in vars(loaded).items() if field.split("_")[-1] == "image"),
    ]
    assert len(named) == 2 + 4
    assert [name for name in named if not name.startswith(f"{MIRROR}/")] == []


def test_defaults_are_what_is_pushed(helm: str) -> None:
    # `make push` pushes the operator under the chart's own repository, with a tag of its content.
    operator = "workshop-demo/operator:0.1.0-0123456789ab"
    said = " ".join(mirror.next_steps(MIRROR, operator))
    assert f"--set imageRegistry={MIRROR} --set-string image.tag=0.1.0-0123456789ab" in said
    loaded = operator_settings(
        helm, f"--set=imageRegistry={MIRROR}", "--set-string=image.tag=0.1.0-0123456789ab"
    )
    assert loaded.image == mirror.mirrored(operator, MIRROR)


def test_a_tag_is_never_a_number(helm: str) -> None:
    for pod in pod_specs(render(helm, "--set-string=image.tag=20261125")):
        assert pod["containers"][0]["image"].endswith(":20261125")


def test_pull_secrets_are_for_every_pod_of_the_chart(helm: str) -> None:
    for pod in pod_specs(render(helm, "--set=imagePullSecrets[0].name=mirror")):
        assert pod["imagePullSecrets"] == [{"name": "mirror"}]
