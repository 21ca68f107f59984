"""`make push`: what gets to a registry, under which names, and what is said."""

import contextlib
from pathlib import Path

import pytest
import yaml

from unit.kind_modules import KIND, load

images = load("images")
mirror = load("mirror")
operatorimage = load("operatorimage")
pins = load("pins")
steps = load("steps")

OPERATOR = "workshop-demo/operator:0.1.0-0123456789ab"
DEMOS = sorted((KIND.parent / "demos").glob("*.yaml"))


@pytest.fixture
def docker(monkeypatch) -> list[list[str]]:
    """What docker is asked for; it has every image and pushes whatever it is told to."""
    asked: list[list[str]] = []
    monkeypatch.setattr(operatorimage, "ensure", lambda: OPERATOR)
    monkeypatch.setattr(images, "ensure", lambda names: [pins.PINS.images[n] for n in names])
    monkeypatch.setattr(mirror, "run", lambda argv, **_: asked.append(argv))
    monkeypatch.setattr(mirror, "output", asked.append)
    monkeypatch.setattr(mirror, "step", lambda _: contextlib.nullcontext())
    return asked


def images_in(node: object) -> set[str]:
    """Every image that a manifest names."""
    if isinstance(node, list):
        return set().union(*map(images_in, node))
    if not isinstance(node, dict):
        return set()
    own = {node["image"]} if isinstance(node.get("image"), str) else set()
    return own.union(*map(images_in, node.values()))


def pushed(asked: list[list[str]]) -> list[str]:
    return [target for verb, target in (one[1:3] for one in asked if one[1] == "push")]


def test_every_image_of_operator_and_demos_is_pushed(docker) -> None:
    mirror.push("127.0.0.1:5000/class")
    assert sorted(pushed(docker)) == sorted(
        f"127.0.0.1:5000/class/{ref}"
        for ref in [*(pins.PINS.images[name] for name in images.DEMO_IMAGES), OPERATOR]
    )


@pytest.mark.parametrize("path", DEMOS, ids=lambda path: path.stem)
def test_no_demo_names_an_image_that_is_not_pushed(docker, path: Path) -> None:
    mirror.push("127.0.0.1:5000")
    for document in yaml.safe_load_all(path.read_text()):
        for ref in images_in(document):
            assert mirror.mirrored(ref, "127.0.0.1:5000") in pushed(docker)


def test_an_image_has_the_mirrors_name_for_the_push_alone(docker) -> None:
    mirror.push("127.0.0.1:5000")
    target = f"127.0.0.1:5000/{OPERATOR}"
    assert docker[-3:] == [
        ["docker", "tag", OPERATOR, target],
        ["docker", "push", target],
        ["docker", "image", "rm", target],
    ]


def test_a_refused_push_is_one_sentence_and_leaves_no_name(docker, monkeypatch) -> None:
    def run(argv: list[str], otherwise: str) -> None:
        docker.append(argv)
        if argv[1] == "push":
            raise steps.Failure(otherwise)

    monkeypatch.setattr(mirror, "run", run)
    with pytest.raises(steps.Failure, match=r"`docker login 127\.0\.0\.1:5000`"):
        mirror.push("127.0.0.1:5000/class")
    assert [one[1:3] for one in docker].count(["image", "rm"]) == 1


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        ("postgres:17", "m.local/w/postgres:17"),
        ("otel/collector:1", "m.local/w/otel/collector:1"),
        ("ghcr.io/a/b:1", "m.local/w/a/b:1"),
        ("localhost/a:1", "m.local/w/a:1"),
        ("host:5000/a@sha256:00", "m.local/w/a@sha256:00"),
    ],
)
def test_the_host_of_a_name_gives_way(ref: str, name: str) -> None:
    assert mirror.mirrored(ref, "m.local/w") == name


@pytest.mark.parametrize(
    ("registry", "said"),
    [
        ("", "Name the registry"),
        ("https://registry.local", "no https:// and no tag"),
        ("registry.local/workshop:1", "no https:// and no tag"),
        ("registry.local/Workshop", "no registry"),
        ("workshop", "names no host"),
        ("me/workshop", r"docker\.io"),
    ],
)
def test_what_is_no_registry_is_refused_with_the_way_out(registry: str, said: str) -> None:
    with pytest.raises(steps.Failure, match=said) as refused:
        mirror.prefix(registry)
    assert mirror.EXAMPLE in str(refused.value)


@pytest.mark.parametrize(
    "registry", ["localhost", "registry.local", "127.0.0.1:5000/a/b-c/", "docker.io/me", "host:80"]
)
def test_a_registry_with_or_without_a_path(registry: str) -> None:
    assert mirror.prefix(registry) == registry.rstrip("/")


def test_what_to_type_next_takes_images_from_there() -> None:
    said = "\n".join(mirror.next_steps("127.0.0.1:5000/class", OPERATOR))
    assert "--set imageRegistry=127.0.0.1:5000/class" in said
    assert "--set-string image.tag=0.1.0-0123456789ab" in said
    busybox = pins.PINS.images["busybox"]
    assert f"s|image: {busybox}$|image: 127.0.0.1:5000/class/{busybox}|" in said
