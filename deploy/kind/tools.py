"""kind, kubectl and helm: the installed ones that fit, else pinned ones built from Go modules."""

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import cache
from pins import GO_MODULES, PINS, fingerprint, version_of, within_skew
from steps import Failure, output, run, step

# Static and without paths of this machine, so that the same pins give the same programs.
BUILD_FLAGS = ("-trimpath", "-buildvcs=false")
VERSION_COMMANDS = {
    "kind": ("version",),
    "helm": ("version", "--short"),
    "kubectl": ("version", "--client"),
    "kube-score": ("version",),
}
# Another version of a linter finds other things: it has to be the pinned one.
LINTERS = ("kube-score",)


@functools.cache
def tool(name: str) -> Path:
    """The program's path; it is built when nothing that fits is installed."""
    return available(name) or _build(name)


def available(name: str) -> Path | None:
    """The program's path if it needs no building."""
    return installed(name) or built(name)


def installed(name: str) -> Path | None:
    """The one on PATH, if its version fits."""
    found = shutil.which(name)
    if found and fits(name, output([found, *VERSION_COMMANDS[name]])):
        return Path(found)
    return None


def fits(name: str, reported: str) -> bool:
    """Whether a program that reports this version can be used: the same major, no older."""
    if name == "kubectl":
        return within_skew(reported, PINS.versions["kubernetes"])
    if name in LINTERS:
        return version_of(reported) == version_of(PINS.versions[name])
    wanted = version_of(PINS.minimum[name])
    found = version_of(reported)
    return found[:1] == wanted[:1] and found >= wanted


def built(name: str) -> Path | None:
    """The one built here before."""
    if name == "kubectl":
        # The node image's build leaves one among its programs.
        directory = KUBERNETES.built() or KUBECTL.built()
    else:
        directory = cache.existing(name, PINS.versions[name])
    return directory / name if directory else None


def _build(name: str) -> Path:
    versions = {**PINS.versions, **PINS.minimum, "kubectl": PINS.versions["kubernetes"]}
    _require_go(f"{name} {versions[name]} is not installed")
    with step(f"{name} from its Go module"):
        return KUBECTL.directory() / name if name == "kubectl" else program(name)


def program(name: str) -> Path:
    """A pinned program from its Go module, by `go install`."""
    version = PINS.versions[name]

    def make(directory: Path) -> None:
        package = f"{PINS.programs[name]}@v{version}"
        problem = f"Building {name} v{version} failed."
        _go(["install", *BUILD_FLAGS, "-ldflags=-s -w", package], problem, GOBIN=str(directory))

    return cache.artefact(name, version, make) / name


@dataclass(frozen=True)
class Module:
    """Programs built in a module of ours (go/<name>), where go.sum pins every dependency."""

    name: str
    packages: tuple[str, ...]
    ldflags: str = ""

    def key(self) -> str:
        """Changes with the module's files and how it is built."""
        return fingerprint(GO_MODULES / self.name, self.ldflags, *self.packages)

    def built(self) -> Path | None:
        """The directory of the programs, if they were built."""
        return cache.existing(self.name, self.key())

    def directory(self) -> Path:
        """The directory of the programs, built when they are missing."""
        return cache.artefact(self.name, self.key(), self._make)

    def _make(self, directory: Path) -> None:
        flags = [*BUILD_FLAGS, f"-ldflags=-s -w {self.ldflags}"]
        _go(
            ["build", *flags, f"-o={directory}/", *self.packages],
            f"Building {self.name} failed.",
            cwd=GO_MODULES / self.name,
        )


def _kubernetes(*commands: str) -> Module:
    version = PINS.versions["kubernetes"]
    major, minor = version.split(".")[:2]
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    ldflags = [f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items()]
    packages = tuple(f"k8s.io/kubernetes/cmd/{command}" for command in commands)
    return Module("kubernetes", packages, " ".join(ldflags))


KUBECTL = _kubernetes("kubectl")
KUBERNETES = _kubernetes(
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubeadm",
    "kubectl",
)
ETCD = Module("etcd", ("go.etcd.io/etcd/server/v3",))
# One module, so that the client library that both use is compiled once.
ADDONS = Module("addons", ("./coredns", "github.com/rancher/local-path-provisioner"))
COLLECTOR = Module("collector", (".",))


def _go(arguments: list[str], problem: str, cwd: Path | None = None, **env: str) -> None:
    _require_go("Programs are missing")
    run(["go", *arguments], otherwise=problem, cwd=cwd, env={"CGO_ENABLED": "0", **env})


def _require_go(problem: str) -> None:
    needed = PINS.minimum["go"]
    found = output(["go", "version"])
    # GOTOOLCHAIN=auto fetches a newer one by itself.
    fetches = output(["go", "env", "GOTOOLCHAIN"]) not in ("", "local")
    if not found or (version_of(found) < version_of(needed) and not fetches):
        have = found.split()[2] if found else "none"
        raise Failure(
            f"{problem}, and building needs Go {needed} (here: {have}): install one of them."
        )
