"""Images from their own registries, where one answers."""

import select
import subprocess

import oci
from steps import log_path, output

PROBE_SECONDS = 8
PULL_SECONDS = 900

_silent: set[str] = set()


def present(ref: str) -> bool:
    """Whether the engine has the image."""
    return bool(output(["docker", "image", "inspect", "--format", "{{.Id}}", ref]))


def label(ref: str, name: str) -> str:
    """A label of an image that the engine has; "" when it has none of this name."""
    return output(
        ["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{name}"}}}}', ref]
    )


def forget_others(current: str) -> None:
    """Remove the images that `current` replaces; the engine itself keeps those in use."""
    repository = current.rpartition(":")[0]
    listed = output(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", repository])
    for ref in listed.splitlines():
        if ref != current:
            output(["docker", "image", "rm", ref])


def pull(ref: str) -> bool:
    """Pull an image; a registry that kept silent once is not asked again in this run."""
    host = oci.full_name(ref).partition("/")[0]
    if host in _silent:
        return False
    command = ["docker", "pull", ref]
    with log_path().open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
            if not _says_anything(process):
                _silent.add(host)
                process.kill()
            return _succeeds(process)


def _says_anything(process: "subprocess.Popen[str]") -> bool:
    """`docker pull` prints or ends as soon as the registry has named the layers, or cannot."""
    assert process.stdout is not None  # noqa: S101 - told so by PIPE, for the type checker
    ready, _, _ = select.select([process.stdout], [], [], PROBE_SECONDS)
    return bool(ready)


def _succeeds(process: "subprocess.Popen[str]") -> bool:
    try:
        process.communicate(timeout=PULL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait() == 0
