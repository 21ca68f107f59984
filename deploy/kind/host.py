"""What this machine is and has: packages, privileges, disk, memory."""

import os
import platform
import shutil
from pathlib import Path

import cache
from steps import Failure, output, run, step

GIB = 1024**3
NEEDED_MEMORY = 4 * GIB
NEEDED_DISK_WARM = 4 * GIB
# Measured: Go keeps 6.3 GiB of sources and objects, the rest is ours and the engine's.
NEEDED_DISK_TO_BUILD = 10 * GIB
CAP_SYS_RESOURCE = 24

APT = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]


def is_root() -> bool:
    """Whether packages can be installed and daemons started."""
    return os.geteuid() == 0


def has_apt() -> bool:
    """Whether this is Debian or a child of it."""
    return shutil.which("apt-get") is not None


def has_init_system() -> bool:
    """Whether systemd is in charge here."""
    return Path("/run/systemd/system").is_dir()


def lacks_capability(number: int, status: str | None = None) -> bool:
    """Whether no process here can ever hold a capability (its bounding set lacks it)."""
    text = status if status is not None else Path("/proc/self/status").read_text()
    bounding = next(line for line in text.splitlines() if line.startswith("CapBnd:"))
    return not int(bounding.split()[1], 16) >> number & 1


def go_architecture() -> str:
    """This machine's architecture, as Go and OCI call it."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def install_packages(commands: dict[str, str], purpose: str) -> None:
    """Install the Debian packages of those commands that are missing (command -> package)."""
    missing = sorted({package for name, package in commands.items() if not which(name)})
    if not missing:
        return
    names = " ".join(missing)
    if not has_apt():
        raise Failure(f"{purpose} needs {', '.join(missing)}: install that and try again.")
    if not is_root():
        raise Failure(f"{purpose} needs packages: run `sudo apt-get install {names}` first.")
    with step(f"Debian packages {names}"):
        problem = f"apt-get could not install {names}: see the log, repair apt and try again."
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run([*APT, "update"], otherwise=problem, env=quiet)
        run([*APT, "install", "--no-install-recommends", *missing], otherwise=problem, env=quiet)


def which(command: str) -> str | None:
    """Daemons live in sbin, which a user's PATH often lacks."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(command, path=path)


def require_memory() -> None:
    """Refuse a machine on which the nodes would be killed."""
    # The engine may be in a virtual machine with less than this one.
    engine = output(["docker", "info", "--format", "{{.MemTotal}}"])
    total = int(engine or 0) or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if total < NEEDED_MEMORY:
        raise Failure(
            f"This machine has {total / GIB:.1f} GiB of memory; a three-node cluster "
            f"needs {NEEDED_MEMORY // GIB} GiB: use a bigger one."
        )


def require_disk(needed: int) -> None:
    """Refuse to begin what would fill the disk."""
    for place in (cache.root(), _engine_directory()):
        free = shutil.disk_usage(place).free
        if free < needed:
            raise Failure(
                f"{place} has {free / GIB:.1f} GiB free and {needed // GIB} GiB are needed: "
                "free some space (for instance `docker system prune`) and try again."
            )


def _engine_directory() -> Path:
    """Docker's data; on a laptop it may be inside a virtual machine, out of sight."""
    named = output(["docker", "info", "--format", "{{.DockerRootDir}}"])
    path = Path(named or "/var/lib")
    return path if path.is_dir() else cache.root()
