"""The pinned versions (pins.toml), content hashes and version comparison."""

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
FILES = HERE / "files"
GO_MODULES = HERE / "go"


@dataclass(frozen=True)
class Pins:
    """The tables of pins.toml."""

    versions: dict[str, str]
    minimum: dict[str, str]
    programs: dict[str, str]
    images: dict[str, str]
    debian: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the page; {names} in image refs stand for versions on it."""
        pins = cls(**tomllib.loads(text))
        images = {name: ref.format_map(pins.versions) for name, ref in pins.images.items()}
        return cls(pins.versions, pins.minimum, pins.programs, images, pins.debian)

    def requirements(self) -> dict[str, dict[str, str]]:
        """What each module under go/ must require: directory -> module prefix -> version."""
        contrib = "github.com/open-telemetry/opentelemetry-collector-contrib"
        beta, stable = self.versions["collector"], self.versions["collector-stable"]
        return {
            "kubernetes": {
                "k8s.io/kubernetes": self.versions["kubernetes"],
                # Kubernetes replaces its libraries by directories, which only its own build sees.
                "k8s.io/api": "0." + self.versions["kubernetes"].partition(".")[2],
            },
            "addons": {
                "github.com/coredns/coredns": self.versions["coredns"],
                "github.com/rancher/local-path-provisioner": self.versions[
                    "local-path-provisioner"
                ],
            },
            "etcd": {"go.etcd.io/etcd/server/v3": self.versions["etcd"]},
            "collector": {
                f"{contrib}/receiver/filelogreceiver": beta,
                f"{contrib}/extension/storage/filestorage": beta,
                f"{contrib}/extension/healthcheckextension": beta,
                "go.opentelemetry.io/collector/otelcol": beta,
                "go.opentelemetry.io/collector/confmap/provider/envprovider": stable,
            },
        }


PINS = Pins.parse((HERE / "pins.toml").read_text())


def version_of(text: str) -> tuple[int, ...]:
    """The first dotted version in a text: "v1.32.4-dispatcher" -> (1, 32, 4)."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def within_skew(client: str, server: str) -> bool:
    """Kubernetes supports kubectl one minor version either side of the API server."""
    ours, theirs = version_of(client), version_of(server)
    return len(ours) > 1 and ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= 1


def fingerprint(*parts: str | Path) -> str:
    """A short content hash of strings, files and whole directories (names and modes count)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            _feed(digest, "text", part.encode())
            continue
        for path in _files(part):
            mode = "x" if path.stat().st_mode & 0o100 else "-"
            name = path.relative_to(part).as_posix() if path != part else part.name
            _feed(digest, f"{mode}{name}", path.read_bytes())
    return digest.hexdigest()[:12]


def _feed(digest: "hashlib._Hash", label: str, content: bytes) -> None:
    digest.update(f"{label}\0{len(content)}\0".encode())
    digest.update(content)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
