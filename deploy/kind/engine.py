"""The container engine: the one that answers, or a dockerd started here."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import cache
import host
from pins import FILES
from steps import Failure, output, run, step

SHIM = "oci-runtime-without-sys-resource"
SOCKET = Path("/var/run/docker.sock")
PID_FILE = Path("/var/run/docker.pid")
START_SECONDS = 60
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_WANTED = 512


def ensure() -> None:
    """Have an engine that answers; a working one is left as it is."""
    if not answers():
        _refuse_what_cannot_be_started()
        host.install_packages(
            {"dockerd": "docker.io", "iptables": "iptables", "docker": "docker.io", "jq": "jq"},
            "The container engine",
        )
        with step("container engine"):
            _start()


def answers() -> bool:
    """Whether an engine answers to the docker command."""
    return bool(output(["docker", "info", "--format", "{{.ServerVersion}}"], timeout=15))


def _refuse_what_cannot_be_started() -> None:
    if os.environ.get("DOCKER_HOST"):
        raise Failure("DOCKER_HOST names an engine that does not answer: start it or unset it.")
    if SOCKET.exists() and not os.access(SOCKET, os.W_OK):
        raise Failure("You may not talk to Docker: join the group docker, or use sudo.")
    if host.has_init_system() and host.which("dockerd") and not host.is_root():
        raise Failure("Docker does not answer: start it (`sudo systemctl start docker`).")
    if host.has_apt() and host.is_root():
        return
    if shutil.which("podman") and not shutil.which("docker"):
        raise Failure("Only podman is installed, which is not supported here: install Docker.")
    if shutil.which("docker"):
        raise Failure("Docker is installed but does not answer: start it and try again.")
    raise Failure("No container engine: install Docker and try again.")


def _start() -> None:
    if host.has_init_system():
        run(["systemctl", "start", "docker"], otherwise="systemctl could not start docker.")
    else:
        _start_daemon()
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            raise Failure(f"dockerd did not start in {START_SECONDS} s: see {_daemon_log()}.")
        time.sleep(0.5)


def _start_daemon() -> None:
    """A session of its own lets dockerd outlive this command."""
    _forget_stale_pid(PID_FILE)
    _allow_many_watches()
    with _daemon_log().open("a") as log:
        subprocess.Popen(
            ["dockerd", *_runtime_options()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def _daemon_log() -> Path:
    path = cache.root() / "logs" / "dockerd.log"
    path.parent.mkdir(exist_ok=True)
    return path


def _forget_stale_pid(pid_file: Path) -> None:
    """After a hard stop the recorded pid may be another program's, and dockerd would refuse."""
    if not pid_file.exists():
        return
    command = Path("/proc") / pid_file.read_text().strip() / "comm"
    if not command.exists() or command.read_text().strip() != "dockerd":
        pid_file.unlink()


def _allow_many_watches() -> None:
    """Each node runs a systemd, and the usual 128 instances are too few for two clusters."""
    if int(INOTIFY.read_text()) < INOTIFY_WANTED and os.access(INOTIFY, os.W_OK):
        INOTIFY.write_text(str(INOTIFY_WANTED))


def _runtime_options() -> list[str]:
    if not host.lacks_capability(host.CAP_SYS_RESOURCE):
        return []
    shim = cache.root() / "bin" / SHIM
    shim.parent.mkdir(exist_ok=True)
    shutil.copy(FILES / SHIM, shim)
    return [f"--add-runtime=workshop={shim}", "--default-runtime=workshop"]
