"""Small Debian trees from the mirrors that this machine's own apt is configured with."""

from dataclasses import dataclass
from pathlib import Path

import cache
import host
from pins import FILES, fingerprint
from steps import Failure, output, run

NO_REGISTRY = "No image registry answers, so images are built here, and"
# Removed from every tree: manuals, what belongs to this machine, what only apt wants.
CLUTTER = (
    "dev/*",
    "etc/apt",
    "etc/fstab",
    "etc/hostname",
    "etc/resolv.conf",
    "usr/lib/*/gconv",
    "usr/share/bash-completion",
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/pixmaps",
    "var/cache/*",
    "var/lib/apt/*",
    "var/log/*",
)


@dataclass(frozen=True)
class Tree:
    """A file system as a tar. files/trees/<name> is a script that finishes its directory.

    Packages are only unpacked, unless `configured`: then their maintainer scripts run too.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    configured: bool = False

    def key(self) -> str:
        """Changes with whatever the tree is made of."""
        return fingerprint(
            self.suite, *self.packages, FILES / "trees" / self.name, str(self.configured)
        )

    def built(self) -> Path | None:
        """The directory of the tar, if it was made."""
        return cache.existing(f"tree-{self.name}", self.key())

    def archive(self) -> Path:
        """The tar, made when it is missing."""
        return cache.artefact(f"tree-{self.name}", self.key(), self._make) / "tree.tar"

    def _make(self, directory: Path) -> None:
        require()
        with cache.scratch(f"root-{self.name}") as root:
            problem = f"Putting the Debian {self.suite} tree of {self.name} together failed."
            run(self._bootstrap(root), stdin=sources(self.suite), otherwise=problem)
            clutter = [path for pattern in CLUTTER for path in root.glob(pattern)]
            run(["rm", "-rf", *clutter], otherwise=problem)
            run([FILES / "trees" / self.name, root], otherwise=problem)
            tar: list[str | Path] = ["tar", "--numeric-owner", "--sort=name", "-C", root, "-cf"]
            run([*tar, directory / "tree.tar", "."], otherwise=problem)

    def _bootstrap(self, root: Path) -> list[str | Path]:
        return [
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            f"--variant={'essential' if self.configured else 'extract'}",
            f"--include={','.join(self.packages)}",
            # Docker makes its own /dev.
            "--skip=output/dev",
            self.suite,
            root,
            "-",
        ]


def require() -> None:
    """Refuse at once where no tree can be built."""
    if not host.has_apt():
        raise Failure(f"{NO_REGISTRY} building here needs Debian: use one or the other.")
    if not host.is_root():
        raise Failure(f"{NO_REGISTRY} building here needs root: use sudo.")
    host.install_packages({"mmdebstrap": "mmdebstrap"}, "Building images")
    if not mirrors():
        # apt knows whose archive it is only once it has read the archive's index.
        run([*host.APT, "update"], otherwise="apt-get update failed: repair apt and try again.")
    if not mirrors():
        raise Failure(f"{NO_REGISTRY} apt is configured with no Debian mirror to build from.")


def sources(suite: str) -> str:
    """Source lines of apt for a suite, on the mirrors that serve this machine's own."""
    found = mirrors()
    lines = [f"deb {found['Debian']} {suite} main", f"deb {found['Debian']} {suite}-updates main"]
    if "Debian-Security" in found:
        lines.append(f"deb {found['Debian-Security']} {suite}-security main")
    return "\n".join(lines) + "\n"


def mirrors() -> dict[str, str]:
    """Label of the archive -> URI, as apt itself tells them."""
    fields = "$(LABEL)|$(REPO_URI)"
    printed = output(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"])
    pairs = (line.split("|") for line in printed.splitlines())
    return {label: uri for label, uri in pairs if label in ("Debian", "Debian-Security")}
