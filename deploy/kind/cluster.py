"""The kind cluster: created, recognised when it is there, replaced when it is half dead."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from string import Template

import cache
import engine
import host
import nodeimage
import tools
from pins import FILES
from steps import Failure, console, output, run, step

DEMO_CLUSTER = "workshop"
NODES = 3
ANSWER_SECONDS = 30
READY_SECONDS = 120
CLUSTER_LABEL = "io.x-k8s.kind.cluster"


class Health(Enum):
    """What is left of a cluster."""

    ABSENT = "absent"
    ALIVE = "alive"
    DEAD = "dead"


@dataclass(frozen=True)
class Node:
    """A node's container, in whatever state."""

    name: str
    state: str
    image: str


@dataclass(frozen=True)
class Access:
    """How to reach one cluster, and no other: flags for every kubectl and helm call."""

    context: str
    kubeconfig: Path | None

    @property
    def flags(self) -> list[str | Path]:
        """What names the kubeconfig, where it is not the user's own."""
        return ["--kubeconfig", self.kubeconfig] if self.kubeconfig else []

    def kubectl(self, *arguments: str | Path) -> list[str | Path]:
        """A kubectl command line for this cluster."""
        return [tools.tool("kubectl"), *self.flags, "--context", self.context, *arguments]

    def helm(self, *arguments: str | Path) -> list[str | Path]:
        """A helm command line for this cluster."""
        return [tools.tool("helm"), *self.flags, "--kube-context", self.context, *arguments]


def access(name: str) -> Access:
    """The user's kubeconfig knows the demo's cluster only; others have a file of their own."""
    own = cache.root() / "clusters" / f"{name}.kubeconfig"
    own.parent.mkdir(exist_ok=True)
    return Access(f"kind-{name}", None if name == DEMO_CLUSTER else own)


def up(name: str) -> Access:
    """Have the cluster running, whatever state it is in now."""
    host.require_memory()
    host.require_disk(host.NEEDED_DISK_WARM)
    engine.ensure()
    found = nodes(name)
    health = check(name, found)
    if health is Health.DEAD:
        # Starting its nodes again is no cure: Docker deals their addresses out anew, and those of
        # etcd and of the API server are in their certificates.
        console.say(f"Cluster {name} is half dead ({describe(found)}): it is replaced.")
        delete(name)
    if health is Health.ALIVE:
        _say_when_outdated(name, found)
    else:
        image = _prepare()
        with step(f"cluster {name}"):
            _create(name, image)
    return access(name)


def nodes(name: str) -> list[Node]:
    """The containers of a cluster's nodes, running or not."""
    form = "{{.Names}}\t{{.State}}\t{{.Image}}"
    wanted = f"label={CLUSTER_LABEL}={name}"
    printed = output(["docker", "ps", "--all", "--filter", wanted, "--format", form])
    return sorted(
        (Node(*line.split("\t")) for line in printed.splitlines()), key=lambda node: node.name
    )


def check(name: str, found: Sequence[Node]) -> Health:
    """Judge a cluster; the API server is asked only where its nodes run."""
    health = judge(found, answers=True)
    return judge(found, answers=_answers(name)) if health is Health.ALIVE else health


def judge(found: Sequence[Node], *, answers: bool) -> Health:
    """Decide from what the engine lists and from whether Kubernetes answers."""
    if not found:
        return Health.ABSENT
    whole = len(found) == NODES and all(node.state == "running" for node in found)
    return Health.ALIVE if whole and answers else Health.DEAD


def describe(found: Sequence[Node]) -> str:
    """What is wrong with a cluster that is not alive."""
    states = ", ".join(f"{node.name} {node.state}" for node in found)
    missing = NODES - len(found)
    if missing > 0:
        return f"{states}, {missing} of {NODES} nodes missing"
    if all(node.state == "running" for node in found):
        return (
            "its nodes run, but the API server or a kubelet does not answer, or a node has another "
            "address than before"
        )
    return states


def _answers(name: str) -> bool:
    """Whether every node is ready; kubeconfig is written anew when it is stale."""
    probe = access(name).kubectl("get", "--raw", "/readyz", "--request-timeout=5s")
    if not output(probe) and not _export_kubeconfig(name):
        return False
    deadline = time.monotonic() + ANSWER_SECONDS
    while not output(probe):
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    printed = output(_wait_for_nodes(name, ANSWER_SECONDS), timeout=ANSWER_SECONDS + 5)
    return printed.count("condition met") == NODES and _known_addresses(name) == addresses(name)


def _known_addresses(name: str) -> dict[str, str]:
    """The nodes' addresses as Kubernetes knows them, by which Pods on other nodes are reached."""
    form = (
        '{range .items[*]}{.metadata.name}{"\\t"}'
        '{.status.addresses[?(@.type=="InternalIP")].address}{"\\n"}{end}'
    )
    return _table(output(access(name).kubectl("get", "nodes", f"--output=jsonpath={form}")))


def addresses(name: str) -> dict[str, str]:
    """The nodes' addresses as the engine has dealt them out: anew, whenever it was restarted."""
    form = '{{slice .Name 1}}{{"\\t"}}{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
    containers = [node.name for node in nodes(name)]
    return _table(output(["docker", "inspect", "--format", form, *containers]))


def _table(printed: str) -> dict[str, str]:
    return {node: address for node, _, address in (x.partition("\t") for x in printed.splitlines())}


def _wait_for_nodes(name: str, seconds: int) -> list[str | Path]:
    wait = ["wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={seconds}s"]
    return access(name).kubectl(*wait)


def _prepare() -> str:
    """Programs and the node image; building wants more disk than running."""
    if not nodeimage.available():
        host.require_disk(host.NEEDED_DISK_TO_BUILD)
    image = nodeimage.ensure()
    for name in ("kind", "kubectl", "helm"):
        tools.tool(name)
    return image


def _create(name: str, image: str) -> None:
    create = _kind("create", "cluster", "--name", name, *access(name).flags)
    create += ["--image", image, "--config", _write_config(), "--wait", f"{READY_SECONDS}s"]
    run(create, otherwise=f"kind could not create cluster {name}: its log says why.")
    run(
        _wait_for_nodes(name, READY_SECONDS),
        otherwise=f"A node of cluster {name} is not ready after {READY_SECONDS} s.",
    )


def delete(name: str) -> None:
    """Remove a cluster's nodes and its place in the kubeconfig."""
    with step(f"cluster {name} removed"):
        target = access(name)
        run(
            _kind("delete", "cluster", "--name", name, *target.flags),
            otherwise=f"kind could not delete cluster {name}.",
        )
        if target.kubeconfig:
            target.kubeconfig.unlink(missing_ok=True)


def down(name: str) -> None:
    """Remove a cluster if there is one; caches stay."""
    if engine.answers() and nodes(name):
        delete(name)
    else:
        console.say(f"There is no cluster {name}.")


def require(name: str) -> None:
    """Refuse a cluster that is not here."""
    if not nodes(name):
        raise Failure(f"There is no cluster {name} here: `python3 deploy/kind up --name {name}`.")


def load(name: str, refs: Sequence[str]) -> None:
    """Copy images to the nodes; kind skips those that a node has already."""
    with step(f"images on the nodes of {name}"):
        run(
            _kind("load", "docker-image", "--name", name, *refs),
            otherwise=f"kind could not load {', '.join(refs)}.",
        )


def _export_kubeconfig(name: str) -> bool:
    """A control plane that was killed early has none to export."""
    try:
        run(_kind("export", "kubeconfig", "--name", name, *access(name).flags))
    except Failure:
        return False
    return True


def _kind(*arguments: str | Path) -> list[str | Path]:
    return [tools.tool("kind"), *arguments]


def _write_config() -> Path:
    """The audit policy is mounted from the cache: a checkout may be moved or removed."""
    directory = cache.root() / "config"
    directory.mkdir(exist_ok=True)
    shutil.copy(FILES / "audit-policy.yaml", directory)
    template = Template((FILES / "cluster.yaml").read_text())
    path = directory / "cluster.yaml"
    path.write_text(template.substitute(policy=json.dumps(str(directory / "audit-policy.yaml"))))
    return path


def _say_when_outdated(name: str, found: Sequence[Node]) -> None:
    if found[0].image not in nodeimage.current_refs():
        console.say(
            f"Cluster {name} runs {found[0].image}, an older node image: `down` and `up` renew it."
        )
