"""The pins of deploy/kind: one page says every version, and all else agrees with it."""

import re
from pathlib import Path

import pytest
import yaml

from unit.kind_modules import KIND, load

pins = load("pins")
tools = load("tools")

# Assembled here, so that this very check may name what it looks for.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("npmjs", "org"),
        ("debian", "org"),
    )
]


def sources() -> list[Path]:
    files = (path for path in KIND.rglob("*") if path.is_file() and path.name != "go.sum")
    hidden = re.compile(r"__pycache__|/\.")
    return [path for path in files if not hidden.search(path.relative_to(KIND.parent).as_posix())]


def test_every_go_module_requires_what_the_pins_say() -> None:
    for name, requirements in pins.PINS.requirements().items():
        text = (KIND / "go" / name / "go.mod").read_text()
        for module, version in requirements.items():
            wanted = rf"(?m)^\s*(require )?{re.escape(module)} v{re.escape(version)}\b"
            assert re.search(wanted, text), module


def test_kubernetes_libraries_are_all_replaced_by_the_same_release() -> None:
    text = (KIND / "go" / "kubernetes" / "go.mod").read_text()
    replaced = re.findall(r"(\S+) => (\S+) v(\S+)", text)
    library = pins.PINS.requirements()["kubernetes"]["k8s.io/api"]
    assert len(replaced) > 20
    assert {version for _, _, version in replaced} == {library}
    assert all(old == new for old, new, _ in replaced)


def test_every_module_directory_is_pinned() -> None:
    assert {path.name for path in (KIND / "go").iterdir()} == pins.PINS.requirements().keys()


def test_images_take_their_versions_from_the_page() -> None:
    parsed = pins.Pins.parse((KIND / "pins.toml").read_text().replace('"1.37.0"', '"9.9.9"'))
    assert parsed.images["busybox"] == "busybox:9.9.9"


def test_no_package_registry_is_named() -> None:
    for path in sources():
        text = path.read_text()
        assert [name for name in REGISTRIES if name in text] == [], path


def test_no_version_outside_the_page() -> None:
    versions = {v for v in pins.PINS.versions.values() if v.count(".") == 2}
    for path in sources():
        if path.name not in {"pins.toml", "go.mod"}:
            assert [v for v in versions if v in path.read_text()] == [], path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0", (1, 32, 4)),
        ("kind v0.30.0 go1.26.8 linux/amd64", (0, 30, 0)),
        ("v3.19.5+g1234", (3, 19, 5)),
        ("nonsense", ()),
    ],
)
def test_version_of(text: str, version: tuple[int, ...]) -> None:
    assert pins.version_of(text) == version


@pytest.mark.parametrize(
    ("client", "fits"),
    [("v1.33.0", True), ("v1.34.9", True), ("v1.35.1", True), ("v1.32.4", False), ("", False)],
)
def test_kubectl_is_used_within_one_minor_version(client, fits) -> None:
    assert pins.within_skew(client, "1.34.4") is fits


@pytest.mark.parametrize(
    ("name", "reported", "fits"),
    [
        ("helm", "v3.19.5+gabc", True),
        ("helm", "v3.2.0", False),
        ("helm", "v4.0.0", False),
        ("kind", "kind v0.29.0 go1.22", False),
        ("kind", "kind v0.31.0 go1.26", True),
        ("kind", "", False),
    ],
)
def test_installed_tools_are_used_when_they_fit(name, reported, fits) -> None:
    assert tools.fits(name, reported) is fits


@pytest.mark.parametrize("name", tools.LINTERS)
def test_a_linter_is_the_pinned_one(name: str) -> None:
    pinned = pins.PINS.versions[name]
    assert tools.fits(name, f"{name} version: {pinned}, commit: 0, built: now")
    assert not tools.fits(name, f"{name} version: {pinned}1, commit: 0, built: now")
    assert not tools.fits(name, f"{name} version: development, commit: N/A, built: N/A")


def test_fingerprint_changes_with_content_name_and_mode_only(tmp_path) -> None:
    (tmp_path / "a").write_text("one")
    before = pins.fingerprint(tmp_path)
    assert pins.fingerprint(tmp_path) == before

    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("noise")
    assert pins.fingerprint(tmp_path) == before

    (tmp_path / "a").write_text("two")
    changed = pins.fingerprint(tmp_path)
    assert changed != before

    (tmp_path / "a").chmod(0o755)
    executable = pins.fingerprint(tmp_path)
    assert executable != changed

    (tmp_path / "a").rename(tmp_path / "b")
    assert pins.fingerprint(tmp_path) != executable


def test_parts_do_not_run_into_each_other() -> None:
    assert pins.fingerprint("ab", "c") != pins.fingerprint("a", "bc")


def test_a_changed_pin_remakes_only_what_depends_on_it() -> None:
    changed = tools.Module("etcd", ("other",))
    assert changed.key() != tools.ETCD.key()
    assert tools.KUBECTL.key() != tools.KUBERNETES.key()


def test_the_chart_names_the_images_that_are_made_here() -> None:
    values = yaml.safe_load((KIND.parent.parent / "charts/workshop-demo/values.yaml").read_text())
    assert values["logShipping"] == {
        "collectorImage": pins.PINS.images["collector"],
        "aggregatorImage": pins.PINS.images["aggregator"],
    }
    assert values["statefulSet"] == {"postgresImage": pins.PINS.images["postgres"]}
