"""deploy/kind's images: which there are, and that one built here is used like the official one."""

import tarfile

import pytest

from unit.kind_modules import load

images = load("images")
pins = load("pins")
registry = load("registry")
steps = load("steps")
tools = load("tools")


@pytest.fixture
def _nothing_is_compiled(tmp_path, monkeypatch) -> None:
    """A file stands for every program from a Go module."""
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "program"
    path.write_text("built")
    path.chmod(0o755)
    monkeypatch.setattr(tools, "program", lambda _: path)


def test_every_pinned_image_can_be_built() -> None:
    # The node's is built by nodeimage.py.
    assert images.RECIPES.keys() == pins.PINS.images.keys() - {"node"}


def test_what_only_tests_and_the_bench_run_is_built_for_nobody_else() -> None:
    assert set(images.DEMO_IMAGES) == images.RECIPES.keys() - {"alertmanager", "kwok", "python"}


@pytest.mark.usefixtures("_nothing_is_compiled")
def test_alertmanager_is_started_like_the_official_image() -> None:
    image = images.image("alertmanager")
    assert image.ref == f"prom/alertmanager:v{pins.PINS.versions['alertmanager']}"
    assert image.entrypoint == ("/bin/alertmanager",)
    assert image.user == "65534"
    (layer,) = image.layers
    with tarfile.open(layer) as tar:
        entry = tar.getmember("bin/alertmanager")
        assert tar.extractfile(entry).read() == b"built"
    assert entry.mode & 0o111 == 0o111


@pytest.mark.usefixtures("_nothing_is_compiled")
@pytest.mark.parametrize("answers", [True, False])
def test_an_image_is_built_only_where_no_registry_has_it(answers, monkeypatch) -> None:
    loaded = []
    monkeypatch.setattr(registry, "present", lambda _: False)
    monkeypatch.setattr(registry, "pull", lambda _: answers)
    monkeypatch.setattr(images, "load_into_engine", lambda image: loaded.append(image.ref))
    (ref,) = images.ensure(["alertmanager"])
    assert loaded == ([] if answers else [ref])


def test_programs_are_static_and_of_the_pinned_version(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path))
    ran = []
    monkeypatch.setattr(tools, "_require_go", lambda _: None)
    monkeypatch.setattr(tools, "run", lambda command, **how: ran.append((command, how["env"])))
    tools.program("alertmanager")
    ((command, env),) = ran
    package = pins.PINS.programs["alertmanager"]
    assert command[-1] == f"{package}@v{pins.PINS.versions['alertmanager']}"
    assert env["CGO_ENABLED"] == "0"


def test_an_unknown_image_is_refused_with_those_there_are() -> None:
    with pytest.raises(steps.Failure, match=r"called nonsense; there are .*alertmanager"):
        images.ensure(["busybox", "nonsense"])
