"""Images of demos and tests: pulled by their own names, else built here under the same names."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cache
import debian
import oci
import registry
import tools
from pins import HERE, PINS, fingerprint
from steps import Failure, run, step

# On images built here: the hash of what went in, so that a changed pin replaces them.
INPUTS_LABEL = "workshopdemo.dev/inputs"
# What the lessons of deploy/demos run. The other RECIPES are followed only when somebody asks for
# one by name.
DEMO_IMAGES = ("busybox", "collector", "aggregator", "postgres")

BUSYBOX = debian.Tree("busybox", PINS.debian["images"], ("busybox-static",))
PYTHON = debian.Tree(
    "python",
    PINS.debian["images"],
    ("base-files", "ca-certificates", "dash", "python3", "tzdata"),
)
POSTGRES = debian.Tree(
    "postgres",
    PINS.debian["images"],
    (
        "base-files",
        "coreutils",
        "dash",
        "findutils",
        "grep",
        "gzip",
        "libc-bin",
        f"postgresql-{PINS.versions['postgres']}",
        "sed",
        "tzdata",
    ),
)


def ensure(names: Sequence[str]) -> list[str]:
    """Have the named images in the engine, and return their refs."""
    unknown = sorted(set(names) - RECIPES.keys())
    if unknown:
        known = ", ".join(RECIPES)
        raise Failure(f"There is no image called {', '.join(unknown)}; there are {known}.")
    for name in names:
        _ensure(name)
    return [PINS.images[name] for name in names]


def _ensure(name: str) -> None:
    ref = PINS.images[name]
    # An image without the label was pulled: its name is its pin.
    if registry.present(ref) and registry.label(ref, INPUTS_LABEL) in ("", _inputs(name)):
        return
    with step(f"image {name}"):
        if not registry.pull(ref):
            load_into_engine(image(name))


def image(name: str) -> oci.Image:
    """The image as it is built here, labelled with what went in."""
    return replace(RECIPES[name].image(), labels={INPUTS_LABEL: _inputs(name)})


def _inputs(name: str) -> str:
    return fingerprint(RECIPES[name].inputs(), HERE / "images.py", HERE / "oci.py")


def load_into_engine(image: oci.Image, *, compress: bool = True) -> None:
    """Give a written image to the engine."""
    with cache.scratch("load") as work:
        oci.write(work / "image.tar", [image], compress=compress)
        run(["docker", "load", "--input", work / "image.tar"], otherwise="docker load failed.")


def busybox() -> oci.Image:
    """One static program and links for its applets."""
    return oci.Image(PINS.images["busybox"], (BUSYBOX.archive(),), command=("sh",))


def python() -> oci.Image:
    """The interpreter without a distribution around it: base of the operator's image."""
    return oci.Image(PINS.images["python"], (PYTHON.archive(),), command=("python3",))


def postgres() -> oci.Image:
    """Server and client programs, with a small shell."""
    programs = f"/usr/lib/postgresql/{PINS.versions['postgres']}/bin"
    return oci.Image(
        PINS.images["postgres"],
        (POSTGRES.archive(),),
        command=("postgres",),
        env=(f"{oci.PATH}:{programs}", "PGDATA=/var/lib/postgresql/data"),
        user="postgres",
    )


def collector() -> oci.Image:
    """The OpenTelemetry Collector with the components of go/collector."""
    return _program("collector", tools.COLLECTOR.directory() / "collector", "otelcol-contrib")


def aggregator() -> oci.Image:
    """VictoriaLogs."""
    return _program("aggregator", tools.program("victoria-logs"), "victoria-logs-prod")


def alertmanager() -> oci.Image:
    """Prometheus' Alertmanager, whose configuration is the user's: there is no default one."""
    image = _program("alertmanager", tools.program("alertmanager"), "bin/alertmanager")
    # The official image's `nobody`, for whom no /etc/passwd is here.
    return replace(image, user="65534")


def kwok() -> oci.Image:
    """Plays nodes that do not exist."""
    return _program("kwok", tools.program("kwok"), "usr/local/bin/kwok")


def _program(name: str, program: Path, installed_as: str) -> oci.Image:
    """A static program in an otherwise empty image, at the official image's path."""

    def make(directory: Path) -> None:
        with cache.scratch(name) as root:
            place(program, root / installed_as)
            oci.pack(directory / "layer.tar", root, directories=["tmp"])

    layer = cache.artefact(f"image-{name}", _inputs(name), make) / "layer.tar"
    return oci.Image(PINS.images[name], (layer,), entrypoint=(f"/{installed_as}",))


def place(source: Path, target: Path) -> None:
    """Copy a file to where directories may be missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


@dataclass(frozen=True)
class Recipe:
    """How to build an image, and a hash of what that depends on."""

    image: Callable[[], oci.Image]
    inputs: Callable[[], str]


RECIPES = {
    "busybox": Recipe(busybox, BUSYBOX.key),
    "collector": Recipe(collector, tools.COLLECTOR.key),
    "aggregator": Recipe(aggregator, lambda: PINS.versions["victoria-logs"]),
    "alertmanager": Recipe(alertmanager, lambda: PINS.versions["alertmanager"]),
    "kwok": Recipe(kwok, lambda: PINS.versions["kwok"]),
    "postgres": Recipe(postgres, POSTGRES.key),
    "python": Recipe(python, PYTHON.key),
}
