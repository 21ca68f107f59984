"""The operator's image: dependencies by pip on this machine, the rest by operator/Dockerfile."""

import shutil
import sys
import tomllib
from pathlib import Path

import cache
import host
import images
import registry
from pins import PINS, REPOSITORY, fingerprint
from steps import Failure, output, run, step

REPOSITORY_NAME = "workshop-demo/operator"
KEPT = 5
OPERATOR = REPOSITORY / "operator"
LOCK = REPOSITORY / "requirements" / "runtime.txt"


def ensure() -> str:
    """Build the image unless the engine has one of the same content; returns its ref."""
    (base,) = images.ensure(["python"])
    ref = f"{REPOSITORY_NAME}:{version()}-{_key(base)}"
    if not registry.present(ref):
        with step("operator image"), cache.scratch("operator") as context:
            _build(ref, base, context)
            _forget_older()
    return ref


def version() -> str:
    """The operator's version, from the project's own page."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def _key(base: str) -> str:
    return fingerprint(OPERATOR, LOCK, base, registry.label(base, images.INPUTS_LABEL))


def _build(ref: str, base: str, context: Path) -> None:
    shutil.copytree(_dependencies(), context / "site-packages")
    package = OPERATOR / "workshopdemo"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, context / package.name, ignore=ignored)
    shutil.copy(OPERATOR / "Dockerfile", context)
    run(
        ["docker", "build", "--tag", ref, "--build-arg", f"BASE={base}", context],
        otherwise="Building the operator's image failed.",
    )


def _forget_older() -> None:
    """Remove all but the newest images: each change of the source makes one."""
    listing = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY_NAME]
    for old in output(listing).splitlines()[KEPT:]:  # the newest first
        output(["docker", "image", "rm", old])


def _dependencies() -> Path:
    """Wheels for the image's Python, not this machine's, so nothing is compiled here."""
    _require_pip()

    def make(directory: Path) -> None:
        target = directory / "site-packages"
        run(
            [*_pip("install"), "--target", target, "--requirement", LOCK],
            otherwise="pip could not install the locked dependencies.",
        )
        # Console scripts start with the path of this machine's Python.
        shutil.rmtree(target / "bin", ignore_errors=True)

    key = fingerprint(LOCK, PINS.versions["python"], host.go_architecture())
    return cache.artefact("operator-dependencies", key, make) / "site-packages"


def _pip(verb: str) -> list[str]:
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(host.go_architecture(), "")
    # Newest glibc first: Debian trixie has 2.41.
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in (41, 34, 28, 17)]
    return [
        *(sys.executable, "-m", "pip", verb, "--no-compile", "--no-deps", "--require-hashes"),
        *("--only-binary=:all:", "--implementation=cp"),
        f"--python-version={PINS.versions['python']}",
        *(f"--platform={platform}" for platform in (*platforms, f"manylinux2014_{machine}")),
    ]


def _require_pip() -> None:
    pip = [sys.executable, "-m", "pip", "--version"]
    if not output(pip):
        host.install_packages({"pip3": "python3-pip"}, "The operator's image")
    if not output(pip):
        raise Failure(f"{sys.executable} has no pip: install it, or use another python3.")
