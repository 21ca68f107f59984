"""What a test does and sees: a user with kubectl, and a witness who asks the API server itself."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from inbox import SERVICE, About, Inbox, Letter, tally
from kubernetes.client import (
    ApiClient,
    AppsV1Api,
    BatchV1Api,
    CoreV1Api,
    CustomObjectsApi,
)
from kubernetes.client.exceptions import ApiException
from pytest_kind.cluster import KindCluster
from urllib3.exceptions import HTTPError

GROUP, VERSION, PLURAL = "workshopdemo.dev", "v1alpha1", "workshopdemos"
SYSTEM = "workshop-system"
DEADLINE = 150.0
ALLOWED_HOSTS = f"{{{SERVICE}.{SYSTEM}.svc:80,*.svc:9093}}"
"""What targets may reach in the cluster: the inbox as if it were a stranger, and Alertmanagers."""

QUESTIONS = "selfsubjectaccessreviews"
"""Asking whether one may do something is a POST, but nothing is stored by it."""

T = TypeVar("T")

QUICK: dict[str, Any] = {
    "name": "ok",
    "scenario": "Custom",
    "image": "busybox:1.37.0",
    "command": ["sh", "-c", "echo working; echo done"],
}
"""An entry that is over in a moment."""

FAILING: dict[str, Any] = QUICK | {
    "name": "bad",
    "command": ["sh", "-c", "echo no such file >&2; exit 3"],
    "backoffLimit": 0,
    "expected": "Failed",
    "expectedReason": "BackoffLimitExceeded",
}
"""An entry whose lesson is its failure."""


def wait_for(what: str, look: Callable[[], T | None], deadline: float = DEADLINE) -> T:
    """Poll until `look` gives something true; what it asserts, or misses, counts as "not yet"."""
    end = time.monotonic() + deadline
    last: object = None
    while True:
        try:
            last = look()
        except AssertionError as error:
            last = error
        except LookupError as error:
            last = f"there is no {error}"
        except ApiException as error:
            if error.status not in {404, 409, 429, 500, 503}:
                raise
            last = error
        except HTTPError as error:  # the API server is away
            last = error
        else:
            if last:
                return last  # type: ignore[return-value]
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:.0f} s: {what}; last seen: {last}")
        time.sleep(0.3)


@dataclass(frozen=True)
class Chart:
    """The chart by helm's own command line."""

    helm: str
    kubectl: str
    kubeconfig: str
    context: str
    image: str
    path: Path

    def install(self, *arguments: str, namespace: str = SYSTEM) -> None:
        """Install or upgrade, and wait until the operator is ready."""
        repository, _, tag = self.image.rpartition(":")
        self._run(
            *("upgrade", "--install", "workshop-demo", str(self.path), "--namespace", namespace),
            *("--create-namespace", "--wait", "--timeout", "120s"),
            *("--set", f"image.repository={repository}", "--set", f"image.tag={tag}"),
            *("--set", f"notifications.allowedHosts={ALLOWED_HOSTS}"),
            *arguments,
        )

    def restore(self) -> None:
        """Install, whatever a test that failed half-way has left behind.

        Helm takes over no CRD that is not marked as its own; a test may have applied one.
        """
        crd = f"crd/{PLURAL}.{GROUP}"
        access = ("--kubeconfig", self.kubeconfig, "--context", self.context)
        release = (
            "meta.helm.sh/release-name=workshop-demo",
            f"meta.helm.sh/release-namespace={SYSTEM}",
        )
        for change in (
            ("label", crd, "app.kubernetes.io/managed-by=Helm"),
            ("annotate", crd, *release),
        ):
            subprocess.run(
                [self.kubectl, *access, *change, "--overwrite"], capture_output=True, check=False
            )
        self.install()

    def uninstall(self, namespace: str = SYSTEM) -> None:
        """Remove the release; its CRD stays, as the values say."""
        self._run("uninstall", "workshop-demo", "--namespace", namespace, "--wait")

    def rendered(self, *arguments: str) -> list[dict[str, Any]]:
        """The objects of the chart, as it would install them."""
        version = ("--kube-version", "1.34.0")
        done = subprocess.run(
            [self.helm, "template", "workshop-demo", self.path, "-n", SYSTEM, *version, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]

    def rollback(self, namespace: str = SYSTEM) -> None:
        """Back to the revision before, and wait until the operator is ready."""
        self._run(
            *("rollback", "workshop-demo", "--namespace", namespace, "--wait", "--timeout", "120s")
        )

    def _run(self, *arguments: str) -> None:
        access = ("--kubeconfig", self.kubeconfig, "--kube-context", self.context)
        done = subprocess.run(
            [self.helm, *arguments, *access], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


class World:
    """A namespace in the cluster."""

    def __init__(self, api: ApiClient, cluster: KindCluster, namespace: str) -> None:
        self.api = api
        self.cluster = cluster
        self.namespace = namespace
        self.core = CoreV1Api(api)
        self.batch = BatchV1Api(api)
        self.apps = AppsV1Api(api)
        self.custom = CustomObjectsApi(api)
        self.inbox = Inbox(api, SYSTEM, namespace)
        self._namespaces: list[str] = []
        self._secrets: list[str] = []

    # What a user does.

    def kubectl(self, *arguments: str, fails: bool = False) -> str:
        """kubectl in this namespace; gives all it prints."""
        command = [str(self.cluster.kubectl_path), "-n", self.namespace, *arguments]
        done = subprocess.run(
            command,
            env=os.environ | {"KUBECONFIG": str(self.cluster.kubeconfig_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) is fails, f"{' '.join(arguments)}: {done.stdout}"
        return done.stdout

    def create_namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        self.core.create_namespace({"metadata": {"name": name, "labels": dict(labels or {})}})
        self._namespaces.append(name)

    def apply(
        self,
        *jobs: Mapping[str, Any],
        cron_jobs: Sequence[Mapping[str, Any]] = (),
        targets: Sequence[Mapping[str, Any]] = (),
        name: str = "shop",
        namespace: str = "",
    ) -> None:
        """Apply a demo as a user does: server-side, the whole of it."""
        spec: dict[str, Any] = {
            "jobs": [dict(job) for job in jobs],
            "cronJobs": [dict(one) for one in cron_jobs],
            "notifications": {"targets": [dict(one) for one in targets]} if targets else {},
        }
        asked = {section: entries for section, entries in spec.items() if entries}
        self.apply_manifest(self.manifest(asked, name, namespace))

    def manifest(
        self, spec: Mapping[str, Any], name: str = "shop", namespace: str = ""
    ) -> dict[str, Any]:
        """A demo as a user writes it."""
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "WorkshopDemo",
            "metadata": {"name": name, "namespace": namespace or self.namespace},
            "spec": dict(spec),
        }

    def apply_manifest(self, manifest: Mapping[str, Any], who: str = "") -> None:
        """Apply it, as somebody else if a user is named."""
        command = [str(self.cluster.kubectl_path), "apply", "--server-side", "-f", "-"]
        command += [f"--as={who}"] if who else []
        done = subprocess.run(
            command,
            env=os.environ | {"KUBECONFIG": str(self.cluster.kubeconfig_path)},
            input=yaml.safe_dump(dict(manifest)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def secret(self, name: str, *, hidden: str, **values: str) -> None:
        """Make a Secret, or change it; `hidden` is the part of it that nobody may ever tell."""
        self._secrets.append(hidden)
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace},
            "stringData": values,
        }
        self.apply_manifest(manifest)

    def delete_demo(self, name: str = "shop") -> None:
        self.custom.delete_namespaced_custom_object(GROUP, VERSION, self.namespace, PLURAL, name)

    # What a witness sees.

    def demo(self, name: str = "shop", namespace: str = "") -> dict[str, Any]:
        return self.custom.get_namespaced_custom_object(
            GROUP, VERSION, namespace or self.namespace, PLURAL, name
        )

    def status(self, name: str = "shop", namespace: str = "") -> dict[str, Any]:
        """The status, once it tells of the spec as it is now."""
        demo = self.demo(name, namespace)
        status = demo.get("status") or {}
        assert status.get("observedGeneration") == demo["metadata"]["generation"], (
            "not observed yet"
        )
        return status

    def entry(self, entry: str, name: str = "shop") -> dict[str, Any]:
        (found,) = [job for job in self.status(name)["jobs"] if job["name"] == entry]
        return found

    def wait_for_attempts(
        self, entry: str, look: Callable[[list[dict[str, Any]]], bool], name: str = "shop"
    ) -> None:
        """Wait until an entry's attempts are told as they should be.

        The phase may be told earlier, as it is the Job's: its Pods come by another watch, and their
        logs from kubelets that may be busy, or out of the API server's reach.
        """

        def found() -> bool:
            attempts = self.entry(entry, name)["attempts"]
            assert look(attempts), attempts
            return True

        wait_for(f"the attempts of {entry}", found)

    def wait_for_log(self, entry: str, log: str, name: str = "shop") -> None:
        """Wait until the latest attempt of an entry is told with this log."""
        self.wait_for_attempts(entry, lambda attempts: attempts[-1]["log"] == log, name)

    def wait_for_phase(
        self, phase: str, name: str = "shop", namespace: str = "", deadline: float = DEADLINE
    ) -> dict[str, Any]:
        """Wait for the phase; gives the status."""

        def look() -> dict[str, Any] | None:
            status = self.status(name, namespace)
            assert status["phase"] == phase, f"{status['phase']}: {status['summary']}"
            return status

        return wait_for(f"{name} is {phase}", look, deadline)

    def jobs(self, namespace: str = "") -> list[dict[str, Any]]:
        found = self.batch.list_namespaced_job(namespace or self.namespace).items
        return [self.api.sanitize_for_serialization(job) for job in found]

    def job_of(self, entry: str, run: int = 1, demo: str = "shop") -> dict[str, Any]:
        selector = f"workshopdemo.dev/job={entry},workshopdemo.dev/demo={demo}"
        found = self.batch.list_namespaced_job(
            self.namespace, label_selector=f"{selector},workshopdemo.dev/run={run}"
        ).items
        assert len(found) == 1, f"{len(found)} Jobs of {entry}, run {run}"
        return self.api.sanitize_for_serialization(found[0])

    def pods_of(self, entry: str) -> list[dict[str, Any]]:
        selector = f"workshopdemo.dev/job={entry}"
        found = self.core.list_namespaced_pod(self.namespace, label_selector=selector).items
        return [self.api.sanitize_for_serialization(pod) for pod in found]

    def events(self, reason: str) -> list[dict[str, Any]]:
        found = self.core.list_namespaced_event(
            self.namespace, field_selector=f"reason={reason}"
        ).items
        return [self.api.sanitize_for_serialization(event) for event in found]

    def notifications(self, name: str = "shop") -> dict[str, Any]:
        """What the status tells of deliveries."""
        return dict(self.status(name).get("notifications") or {})

    def condition(self, kind: str, name: str = "shop") -> dict[str, Any]:
        (found,) = [one for one in self.status(name)["conditions"] if one["type"] == kind]
        return dict(found)

    def wait_for_condition(self, kind: str, status: str, words: str = "") -> None:
        """Wait for a condition's status, with these words in its message."""

        def look() -> bool:
            found = self.condition(kind)
            assert words in found["message"], found
            return bool(found["status"] == status)

        wait_for(f"{kind} is {status}: {words}", look)

    def check_secrets(self) -> None:
        """No word of a Secret stands where others read."""
        if not self._secrets:
            return
        said = {
            "the demo": self.kubectl("describe", "wd"),
            "all demos": self.kubectl("get", "wd", "-A", "-o", "yaml"),
            "the Jobs": self.kubectl("get", "jobs,cronjobs", "-o", "yaml"),
            "the Events": self.kubectl("get", "events", "-A", "-o", "yaml"),
            "the operator's log": self.operator_log(),
            "the inbox's log": self.kubectl("-n", SYSTEM, "logs", f"deployment/{SERVICE}"),
        }
        for where, words in said.items():
            for number, secret in enumerate(self._secrets):
                assert secret not in words, f"secret {number} is told by {where}"

    def ends(self) -> dict[str, str]:
        """How each Job that is over has ended, by its own conditions."""
        words = {"Complete": "Success", "Failed": "Failure"}
        return {
            job["metadata"]["name"]: words[condition["type"]]
            for job in self.jobs()
            for condition in job.get("status", {}).get("conditions") or ()
            if condition["type"] in words and condition["status"] == "True"
        }

    def wait_for_delivered(
        self, count: int, name: str = "shop", deadline: float = DEADLINE
    ) -> dict[str, Any]:
        """Wait until the status tells of so many deliveries, and of none still to be made."""

        def look() -> dict[str, Any]:
            told = self.notifications(name)
            assert told.get("delivered") == count, told
            assert (told["pending"], told["failed"]) == (0, 0), told
            return told

        return wait_for(f"{count} deliveries", look, deadline)

    def wait_until_told(
        self, ends: Mapping[str, str], *targets: str, deadline: float = DEADLINE
    ) -> list[Letter]:
        """Wait until the inbox has a message of each end to each target; gives all it has."""
        wanted = {About(target, *end) for target in targets for end in ends.items()}

        def look() -> list[Letter]:
            letters = self.inbox.letters(*targets)
            missing = wanted - tally(letters).keys()
            assert not missing, f"{len(missing)} of {len(wanted)} are missing: {min(missing)}"
            return letters

        return wait_for("every message", look, deadline)

    # The operator, as its administrator sees it.

    def operator_pod(self) -> str:
        """Name of the operator's running Pod."""
        alive = [pod for pod in self._operator_pods() if not pod.metadata.deletion_timestamp]
        assert len(alive) == 1, f"{len(alive)} operators"
        return str(alive[0].metadata.name)

    def _operator_pods(self) -> list[Any]:
        label = "app.kubernetes.io/name=workshop-demo"
        return list(self.core.list_namespaced_pod(SYSTEM, label_selector=label).items)

    def restarts(self) -> list[int]:
        """How often each operator's container was started again; of one that is going, nothing."""
        staying = [pod for pod in self._operator_pods() if not pod.metadata.deletion_timestamp]
        found = [pod.status.container_statuses or () for pod in staying]
        return [int(container.restart_count) for containers in found for container in containers]

    def operator_is_ready(self) -> bool:
        return _is_ready(self.core.read_namespaced_pod(self.operator_pod(), SYSTEM))

    def operator_log(self) -> str:
        """What the operator wrote; nothing while its container is being created."""
        try:
            return str(self.core.read_namespaced_pod_log(self.operator_pod(), SYSTEM))
        except ApiException as error:
            if error.status != 400:
                raise
            return ""

    def kill_operator(self, *, in_place: bool = False) -> None:
        """End its process by SIGKILL; Kubernetes starts it in another Pod, or in the same.

        In the same Pod it starts at once only after the first crash. To delete the Pod alone would
        be a warning: the kubelet lets its process end.
        """
        for pod in self._operator_pods():
            for container in pod.status.container_statuses or ():
                if container.state.running:
                    name = container.container_id.partition("://")[2]
                    process = "$(crictl inspect -o go-template --template {{.info.pid}} " + name
                    self.node("bash", "-c", f"kill -9 {process})", name=pod.spec.node_name)
            if not in_place:
                self.core.delete_namespaced_pod(pod.metadata.name, SYSTEM, grace_period_seconds=0)
        if in_place:
            wait_for("its restart", lambda: any(self.restarts()))

    def wait_for_api_server(self) -> None:
        # An API server that starts refuses everybody until it has read its roles.
        wait_for("the API server", lambda: self.kubectl("get", "--raw", "/readyz"), 180)
        wait_for("its roles", lambda: self.kubectl("get", "pods"), 60)

    def scale_operator(self, replicas: int) -> None:
        self.apps.patch_namespaced_deployment_scale(
            "workshop-demo", SYSTEM, {"spec": {"replicas": replicas}}
        )

        def look() -> bool:
            pods = self._operator_pods()
            return len(pods) == replicas and all(map(_is_ready, pods))

        wait_for(f"{replicas} operators", look)

    def requests(self, since: str = "") -> list[dict[str, Any]]:
        """The operator's requests so far, or since then, by the API server's audit log."""
        # What is full is laid aside under another name that sorts before it.
        log = self.node("sh", "-c", "cat /var/log/kubernetes/audit*.log")
        whole = (line for line in log.splitlines() if line.endswith("}"))
        return [
            json.loads(line)
            for line in whole
            if line.partition('"requestReceivedTimestamp":"')[2] >= since
        ]

    def writes(self, namespace: str = "") -> list[str]:
        """The operator's writes so far, with their request ids; everywhere, or in a namespace."""
        return [
            f"{request['verb']} {request['requestURI']} {request['auditID']}"
            for request in self.requests()
            if request["verb"] in {"create", "update", "patch", "delete", "deletecollection"}
            and request["stage"] == "ResponseComplete"
            and request.get("objectRef", {}).get("resource") != QUESTIONS
            and (not namespace or f"/namespaces/{namespace}/" in request["requestURI"])
        ]

    def node(self, *command: str, name: str = "") -> str:
        """Run a command on a node, by default on the control plane's."""
        return subprocess.run(
            ["docker", "exec", name or f"{self.cluster.name}-control-plane", *command],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    @contextmanager
    def operators(self, replicas: int) -> Iterator[None]:
        """None meanwhile, or two by mistake; one again in the end."""
        self.scale_operator(replicas)
        try:
            yield
        finally:
            self.scale_operator(1)

    # The end.

    def story_of_failure(self) -> str:
        """What the cluster says, for the one who reads a failed test."""
        parts = []
        for command in (
            ("get", "wd,jobs,pods", "-o", "wide"),
            ("get", "wd", "-o", "yaml"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("-n", SYSTEM, "get", "pods"),
            ("-n", SYSTEM, "logs", "deployment/workshop-demo", "--tail=60"),
        ):
            try:
                parts.append(f"$ kubectl {' '.join(command)}\n{self.kubectl(*command)}")
            except AssertionError as error:
                parts.append(str(error))
        return "\n".join(parts)

    def clean_up(self) -> None:
        for name in self._namespaces:
            try:
                self.core.delete_namespace(name)
            except ApiException as error:
                if error.status != 404:
                    raise


def _is_ready(pod: Any) -> bool:
    conditions = pod.status.conditions or ()
    return any(each.type == "Ready" and each.status == "True" for each in conditions)
