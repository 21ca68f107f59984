"""Log shipping as its user sees it, and a witness who counts lines himself: in the nodes' files and
at the aggregator, by a question of his own.
"""

import base64
import json
import os
import re
import secrets
import subprocess
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import yaml
from kubernetes.client.exceptions import ApiException
from world import DEADLINE, GROUP, VERSION, World, wait_for

from support import ROOT

SHIPPER, EMITTER, AGGREGATOR = "log-shipper", "log-emitter", "log-aggregator"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
FEW: dict[str, Any] = {"lines": 60, "linesPerSecond": 60}
"""Lines enough to see that they come."""


@dataclass
class Files:
    """What was ever seen in the files of a demo's emitters."""

    rotated: dict[str, set[str]] = field(default_factory=dict)
    """Names of the files that the kubelet had laid aside, by node."""

    _contents: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def keep(self, node: str, pod: str, name: str, content: bytes) -> None:
        """Note what a file holds; the newest has no time in its name."""
        if name.count(".") > 1:
            self.rotated.setdefault(node, set()).add(name)
        self._contents.setdefault(pod, {})[name] = content

    def lines(self) -> dict[str, Counter[str]]:
        """Each line and how often it stands there, by Pod.

        A long line may be cut in two by a rotation; then it is two lines to all who read it.
        """
        return {
            pod: Counter(line for content in files.values() for line in whole_lines(content))
            for pod, files in self._contents.items()
        }


class Logs:
    """The log shipping of a demo."""

    def __init__(self, world: World, demo: str = "shop") -> None:
        self.world = world
        self.demo = demo

    # What a user does.

    def apply(
        self,
        asked: Mapping[str, Any] | None = None,
        jobs: Sequence[Mapping[str, Any]] = (),
        cron_jobs: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Apply the demo; without `asked`, it ships no logs."""
        spec: dict[str, Any] = {"jobs": list(jobs), "cronJobs": list(cron_jobs)}
        spec = {section: entries for section, entries in spec.items() if entries}
        if asked is not None:
            spec["logShipping"] = dict(asked)
        self.world.apply_manifest(
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "WorkshopDemo",
                "metadata": {"name": self.demo, "namespace": self.world.namespace},
                "spec": spec,
            }
        )

    def run(self, command: str) -> str:
        """Run a command as it is printed, in a shell that has kubectl."""
        kubectl = self.world.cluster.kubectl_path.parent
        done = subprocess.run(
            ["bash", "-c", command],
            env=os.environ
            | {
                "KUBECONFIG": str(self.world.cluster.kubeconfig_path),
                "PATH": f"{kubectl}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    # What the status says.

    def status(self) -> dict[str, Any]:
        return dict(self.world.status(self.demo)["logShipping"])

    def rows(self) -> dict[str, dict[str, Any]]:
        """What it says of each node's lines."""
        return {row["node"]: row for row in self.status().get("nodes", ())}

    def uncovered(self) -> dict[str, dict[str, Any]]:
        return {node["node"]: node for node in self.status().get("uncovered", ())}

    def wait_for(
        self, what: str, look: Callable[[dict[str, Any]], Any], deadline: float = DEADLINE
    ) -> dict[str, Any]:
        """Wait until the section's status is so; gives it."""

        def seen() -> dict[str, Any]:
            status = self.status()
            assert look(status), {key: status[key] for key in status if key != "nodes"}
            return status

        return wait_for(what, seen, deadline)

    def wait_for_reason(self, reason: str, deadline: float = DEADLINE) -> dict[str, Any]:
        return self.wait_for(reason, lambda status: status["reason"] == reason, deadline)

    def wait_for_all_lines(
        self, lines: int, nodes: int = 3, deadline: float = 240
    ) -> dict[str, Any]:
        """Wait until all lines that each node has to write are told to have arrived."""

        def look(status: dict[str, Any]) -> bool:
            rows = status.get("nodes", ())
            return status["reason"] == "AllLinesArrived" and len(rows) == nodes

        status = self.wait_for("all lines", look, deadline)
        assert all(row["received"] == row["written"] >= lines for row in status["nodes"]), status
        assert status["missing"] == 0
        return status

    # What a witness sees.

    def nodes(self) -> list[str]:
        return sorted(node.metadata.name for node in self.world.core.list_node().items)

    def pods(self, component: str) -> list[Any]:
        selector = f"workshopdemo.dev/component={component},workshopdemo.dev/demo={self.demo}"
        return list(
            self.world.core.list_namespaced_pod(self.world.namespace, label_selector=selector).items
        )

    def ready(self, component: str) -> set[str]:
        """UIDs of the Pods that are Ready and stay."""
        return {
            pod.metadata.uid
            for pod in self.pods(component)
            if pod.metadata.deletion_timestamp is None
            and any(
                one.type == "Ready" and one.status == "True" for one in pod.status.conditions or ()
            )
        }

    def all_pods(self) -> list[str]:
        """Pods of the log shipping."""
        return [
            pod.metadata.name
            for component in (SHIPPER, EMITTER, AGGREGATOR)
            for pod in self.pods(component)
        ]

    def ask(self, query: str) -> list[dict[str, str]]:
        """Ask the aggregator."""
        path = (
            f"/api/v1/namespaces/{self.world.namespace}/services/{self.demo}-{AGGREGATOR}:9428"
            f"/proxy/select/logsql/query?query={quote(query)}"
        )
        answer = self.world.kubectl("get", "--raw", path)
        return [json.loads(line) for line in answer.splitlines() if line]

    def arrived(self) -> dict[str, Counter[str]]:
        """Each line of the demo's emitters that the aggregator has, and how often, by Pod."""
        query = f'"k8s.pod.name":="{self.demo}-{EMITTER}-"* | fields "k8s.pod.name", _msg'
        found: dict[str, Counter[str]] = {}
        for row in self.ask(query):
            found.setdefault(row["k8s.pod.name"], Counter())[_tidy(row["_msg"])] += 1
        return found

    def look_at_files(self, files: Files) -> None:
        """Read what stands in the files on the nodes: the kubelet removes the oldest."""
        for node in self.nodes():
            found = on_node(node, "sh", "-c", _ALL_FILES, "sh", self.world.namespace, self.demo)
            for part in found.split(b"\0FILE ")[1:]:
                path, _, content = part.partition(b"\n")
                directory, _, name = path.decode().partition("/log-emitter/")
                files.keep(node, directory.split("_")[1], name.removesuffix(".gz"), content)

    def requests(self) -> list[str]:
        """The operator's requests about anything in the namespace, by the audit log."""
        command = 'grep -hF "$1" /var/log/kubernetes/audit*.log || true'
        found = self.world.node("sh", "-c", command, "sh", f'"namespace":"{self.world.namespace}"')
        lines = [json.loads(line) for line in found.splitlines() if line.endswith("}")]
        return [
            f"{line['requestReceivedTimestamp']} {line['verb']} {line['requestURI']}"
            for line in lines
            if line["stage"] == "ResponseComplete"
        ]

    def children(self) -> list[str]:
        """What there is of the demo's log shipping, but Pods."""
        kinds = "daemonset,statefulset,service,configmap,persistentvolumeclaim"
        selector = f"workshopdemo.dev/demo={self.demo}"
        found = self.world.kubectl("get", kinds, "-l", selector, "-o", "name", "--ignore-not-found")
        return found.split()

    # What goes wrong.

    def kill(self, component: str) -> int:
        """SIGKILL to a container's process on each node, as the kernel does when memory is short;
        gives how many were hit.
        """
        hit = 0
        for node in self.nodes():
            found = on_node(
                *(node, "crictl", "ps", "-q", "--name", f"^{component}$"),
                *("--label", f"io.kubernetes.pod.namespace={self.world.namespace}"),
            )
            for container in found.decode().split():
                told = json.loads(on_node(node, "crictl", "inspect", container))
                if f"{self.demo}-" in told["status"]["labels"]["io.kubernetes.pod.name"]:
                    on_node(node, "kill", "-KILL", str(told["info"]["pid"]))
                    hit += 1
        return hit

    def hold(self, pod: str) -> None:
        """Have a Pod that is deleted stay in the way of the next, until it is let go."""
        self._finalizers(pod, ["e2e.workshopdemo.dev/hold"])

    def let_go(self, pod: str) -> None:
        try:
            self._finalizers(pod, None)
        except ApiException as error:
            if error.status != 404:
                raise

    def _finalizers(self, pod: str, finalizers: list[str] | None) -> None:
        self.world.core.patch_namespaced_pod(
            pod, self.world.namespace, {"metadata": {"finalizers": finalizers}}
        )


_VALUES = yaml.safe_load((ROOT / "charts" / "workshop-demo" / "values.yaml").read_text())
_IMAGE = str(_VALUES["logShipping"]["aggregatorImage"])


HOSTILE = "${env:K8S_NODE_NAME} $${env:K8S_NODE_NAME} ${file:/etc/log-shipper/config.json}"
"""What the collector would put something in for, if it were in its configuration."""


class Remote:
    """A log service of somebody else: it has a certificate of its own, and wants a password."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.password = secrets.token_hex(12)
        self.token = base64.b64encode(f"demo:{self.password}".encode()).decode()
        host = f"remote.{world.namespace}.svc"
        reference = {"name": "log-service", "key": "authorization"}
        self.destination = {
            "endpoint": f"https://{host}:9428/insert/opentelemetry",
            "headers": [
                {"name": "Authorization", "valueFrom": {"secretKeyRef": reference}},
                # VictoriaLogs adds what this header says to each line: so one sees what arrived.
                {
                    "name": "VL-Extra-Fields",
                    "valueFrom": {"secretKeyRef": reference | {"key": "fields"}},
                },
            ],
            "caFrom": {"secretKeyRef": {"name": "remote", "key": "tls.crt"}},
        }
        self._host = host

    def start(self) -> None:
        made = self._world.node(
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=remote"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", f"subjectAltName=DNS:{self._host}"),
            *("-keyout", "/dev/stdout", "-out", "/dev/stdout"),
        )
        key, begin, certificate = made.partition("-----BEGIN CERTIFICATE")
        self._secret("remote", {"tls.key": key, "tls.crt": begin + certificate})
        self._secret("remote-password", {"password": self.password})
        for manifest in _remote(self._world.namespace, _IMAGE):
            self._world.apply_manifest(manifest)
        self._world.kubectl("wait", "--for=condition=Ready", "pod/remote", "--timeout=150s")

    def make_secret(self) -> None:
        """Which the demo names: what the service wants to see, and what tries to get more."""
        data = {"authorization": f"Basic {self.token}", "fields": f"said={HOSTILE}"}
        self._secret("log-service", data)

    def ask(self, query: str) -> list[dict[str, str]]:
        """Ask it; who asks has to know the password, too."""
        pod = self._world.core.read_namespaced_pod("remote", self._world.namespace)
        path = f"/select/logsql/query?query={quote(query)}"
        address = f"{pod.status.pod_ip}:9428"
        answer = self._world.node("sh", "-c", _GET, "sh", path, self.token, address)
        head, _, body = answer.partition("\n\n")
        assert " 200 " in head.splitlines()[0], head
        return [json.loads(line) for line in body.splitlines() if line]

    def _secret(self, name: str, data: Mapping[str, str]) -> None:
        body = {"metadata": {"name": name}, "stringData": dict(data)}
        self._world.core.create_namespaced_secret(self._world.namespace, body)


def _remote(namespace: str, image: str) -> list[dict[str, Any]]:
    metadata = {"name": "remote", "namespace": namespace, "labels": {"app": "remote"}}
    files = "/etc/remote"
    container = {
        "name": "remote",
        "image": image,
        "args": [
            *("-storageDataPath=/data", "-httpAuth.username=demo"),
            "-httpAuth.password=file:///etc/password/password",
            *("-tls", f"-tlsCertFile={files}/tls.crt", f"-tlsKeyFile={files}/tls.key"),
        ],
        "readinessProbe": {"tcpSocket": {"port": 9428}, "periodSeconds": 2},
        "volumeMounts": [
            {"name": "remote", "mountPath": files},
            {"name": "password", "mountPath": "/etc/password"},
            {"name": "data", "mountPath": "/data"},
        ],
    }
    volumes = [
        {"name": "remote", "secret": {"secretName": "remote"}},
        {"name": "password", "secret": {"secretName": "remote-password"}},
        {"name": "data", "emptyDir": {}},
    ]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": "remote"}, "ports": [{"port": 9428}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": [container], "volumes": volumes},
        },
    ]


_GET = r"""
printf 'GET %s HTTP/1.0\r\nAuthorization: Basic %s\r\n\r\n' "$1" "$2" |
  openssl s_client -quiet -connect "$3" 2>/dev/null
"""

_ALL_FILES = r"""
cd /var/log/pods
for path in "$1"_"$2"-log-emitter-*/log-emitter/*; do
  case "$path" in *"*"|*.tmp) continue;; esac
  printf '\0FILE %s\n' "$path"
  case "$path" in *.gz) zcat "$path";; *) cat "$path";; esac
done
"""


def on_node(node: str, *command: str) -> bytes:
    """Run a command on a node."""
    done = subprocess.run(["docker", "exec", node, *command], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def whole_lines(log: bytes) -> Iterator[str]:
    """The lines of a log as they were written: a runtime cuts long ones into pieces (CRI)."""
    begun: dict[bytes, bytes] = {}
    for line in log.splitlines():
        _, stream, tag, words = line.split(b" ", 3)
        begun[stream] = begun.get(stream, b"") + words
        if tag == b"F":
            yield _readable(begun.pop(stream))
    yield from map(_readable, begun.values())


def _readable(line: bytes) -> str:
    return _tidy(line.decode(errors="replace"))


def _tidy(line: str) -> str:
    """Half a character is one that cannot be read, whoever counts its bytes."""
    return re.sub("\ufffd+", "\ufffd", line)


def joined(line: str, pieces: Collection[str]) -> bool:
    """Whether the line is all there, in pieces."""
    rest = line
    while rest:
        # A character that was cut is in neither piece.
        starts = (rest, rest[1:])
        found = [
            start[len(bare) :]
            for piece in pieces
            for start in starts
            if (bare := piece.strip("\ufffd")) and start.startswith(bare)
        ]
        if not found:
            return len(rest) == 1
        rest = min(found, key=len)
    return True


def cut(lines: Mapping[str, Counter[str]]) -> int:
    """How many lines are ends of others: of long ones, where the reading was slow or a file new."""
    return sum(not line.startswith("run=") for texts in lines.values() for line in texts)


def twice(arrived: Mapping[str, Counter[str]]) -> int:
    """How many lines arrived again; ends of two long lines that read alike are no line again."""
    return sum(
        count - 1
        for lines in arrived.values()
        for line, count in lines.items()
        if _NUMBER.match(line)
    )


def numbers(lines: Mapping[str, Counter[str]]) -> list[int]:
    """How many different lines each emitter wrote, by their numbers alone."""
    return [
        len({found[0] for text in texts if (found := _NUMBER.match(text))})
        for texts in lines.values()
    ]


_NUMBER = re.compile(r"run=\d+ series=\w+ seq=\d+ ")
