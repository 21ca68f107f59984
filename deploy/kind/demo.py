"""`make demo`: the bookshop on a cluster, its way to Ready, and its story."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cache
import cluster
import engine
import images
import operatorimage
import story
import tools
from cluster import Access
from pins import REPOSITORY
from steps import Failure, output, run, step

RELEASE = "workshop-demo"
SYSTEM_NAMESPACE = "workshop-system"
NAMESPACE = "workshop"
CHART = REPOSITORY / "charts" / RELEASE
DEMO = REPOSITORY / "deploy" / "demos" / "bookshop.yaml"
CRD = "crd/workshopdemos.workshopdemo.dev"
INSTALL_SECONDS = 120
NAMESPACE_SECONDS = 90
READY_SECONDS = 300

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Image:
    """An image's name as the chart's values take it."""

    repository: str
    tag: str

    @classmethod
    def parse(cls, ref: str) -> "Image":
        """Split repository:tag."""
        repository, colon, tag = ref.rpartition(":")
        if not colon or "/" in tag or "@" in ref:
            raise Failure(f"IMAGE={ref} is no name with a tag, such as example.com/operator:0.1.0.")
        return cls(repository, tag)


def show() -> None:
    """Everything `make demo` does."""
    context, given = os.environ.get("CONTEXT"), os.environ.get("IMAGE")
    wanted = Image.parse(given) if context and given else None
    with cache.exclusive("demo"):
        target, image = _target(context, wanted)
    _install(target, image)
    _await_namespace(target)
    with step("bookshop applied"):
        run(target.kubectl("apply", "--filename", DEMO), otherwise="The demo was not accepted.")
    demos = _await_ready(target)
    _tell(target, demos)


def _target(context: str | None, image: Image | None) -> tuple[Access, Image]:
    """The cluster to use and the operator's image on it; CONTEXT= leaves all others alone."""
    if not context:
        target = cluster.up(cluster.DEMO_CLUSTER)
        return target, _load(cluster.DEMO_CLUSTER)
    target = _existing(context)
    if image:
        return target, image
    name = context.removeprefix("kind-")
    if name != context and engine.answers() and cluster.nodes(name):
        return target, _load(name)
    raise Failure(
        f"{context} is no kind cluster of this machine, so it pulls the operator's image: "
        "name one that it can pull, IMAGE=repository:tag."
    )


def _existing(context: str) -> Access:
    for candidate in (Access(context, None), cluster.access(context.removeprefix("kind-"))):
        known: list[str | Path] = [
            tools.tool("kubectl"),
            *candidate.flags,
            "config",
            "get-contexts",
            "-o=name",
        ]
        if context in output(known).split():
            _require_answer(candidate)
            return candidate
    raise Failure(f"CONTEXT={context} is in no kubeconfig: see `kubectl config get-contexts`.")


def _require_answer(target: Access) -> None:
    if not output(target.kubectl("get", "--raw=/version", "--request-timeout=10s")):
        raise Failure(f"The cluster of CONTEXT={target.context} does not answer.")


def _load(name: str) -> Image:
    operator = operatorimage.ensure()
    cluster.load(name, [*images.ensure(images.DEMO_IMAGES), operator])
    return Image.parse(operator)


def _install(target: Access, image: Image) -> None:
    with step("operator installed"):
        try:
            run(
                target.helm(
                    *("upgrade", "--install", RELEASE, CHART),
                    *("--namespace", SYSTEM_NAMESPACE, "--create-namespace"),
                    *("--set", f"image.repository={image.repository}"),
                    *("--set-string", f"image.tag={image.tag}"),
                    *("--wait", "--timeout", f"{INSTALL_SECONDS}s"),
                ),
                otherwise="The operator did not become ready.",
            )
        except Failure as failure:
            raise Failure(f"{failure}{_why_not_started(target)}") from None
        run(target.kubectl("wait", "--for=condition=Established", CRD, "--timeout=30s"))


def _why_not_started(target: Access) -> str:
    """What the kubelet or the operator itself says; "" if nothing can be learnt."""
    pods = output(target.kubectl("get", "pods", "-n", SYSTEM_NAMESPACE, "--output=json"))
    for pod in json.loads(pods)["items"] if pods else ():
        for status in pod["status"].get("containerStatuses", ()):
            waiting = status["state"].get("waiting") or {}
            if waiting.get("message"):
                return f"\n  {waiting['reason']}: {waiting['message']}"
    said = output(
        target.kubectl("logs", "-n", SYSTEM_NAMESPACE, f"deployment/{RELEASE}", "--tail=3")
    )
    return "".join(f"\n  {line}" for line in said.splitlines())


def _await_namespace(target: Access) -> None:
    """Wait while the namespace of an earlier demo is still being deleted."""
    path = "jsonpath={.status.phase}"
    ask = target.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "--output", path)
    if output(ask) != "Terminating":
        return
    deadline = time.monotonic() + NAMESPACE_SECONDS
    with step(f"namespace {NAMESPACE} of the demo before is gone"):
        while output(ask) == "Terminating":
            if time.monotonic() > deadline:
                raise Failure(
                    f"Namespace {NAMESPACE} is still being deleted: "
                    f"`kubectl --context {target.context} get all,wd -n {NAMESPACE}` "
                    "shows what is left in it."
                )
            time.sleep(1)


def _await_ready(target: Access) -> list[Object]:
    """The demos, once all are Ready; meanwhile a line of what is happening."""
    deadline = time.monotonic() + READY_SECONDS
    with step("demo is Ready") as waiting:
        while True:
            demos = _demos(target)
            waiting.note("; ".join(map(progress, demos)))
            if demos and all(map(is_ready, demos)):
                return demos
            if time.monotonic() > deadline or any(map(is_invalid, demos)):
                raise Failure(_why_not_ready(target, demos))
            time.sleep(1)


def _demos(target: Access) -> list[Object]:
    printed = output(target.kubectl("get", "--filename", DEMO, "--output=json"))
    found = json.loads(printed) if printed else {}
    return [one for one in found.get("items", [found]) if one.get("kind") == "WorkshopDemo"]


def progress(demo: Object) -> str:
    """What a demo's status says, in one line."""
    status = demo.get("status", {})
    said = [status.get("phase", "Pending"), status.get("summary", "")]
    return f"{demo['metadata']['name']}: " + " · ".join(filter(None, said))


def is_ready(demo: Object) -> bool:
    """Whether the operator has seen the latest spec and everything is as the lesson expects."""
    condition = _condition(demo, "Ready")
    latest = condition.get("observedGeneration") == demo["metadata"].get("generation")
    return latest and condition.get("status") == "True"


def is_invalid(demo: Object) -> bool:
    """Whether only a person can go on."""
    return bool(demo.get("status", {}).get("phase") == "Invalid")


def _condition(demo: Object, kind: str) -> Object:
    found = demo.get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == kind), {})


def _why_not_ready(target: Access, demos: Sequence[Object]) -> str:
    if not demos:
        return f"The demo of {DEMO.name} is gone: somebody deleted it, or its namespace."
    one = next(demo for demo in demos if not is_ready(demo))
    name = one["metadata"]["name"]
    reason = _condition(one, "Ready").get("message", "the operator has not written its status")
    return (
        f"{name} is not Ready: {reason.rstrip('.')}. "
        f"`kubectl --context {target.context} describe wd {name} -n {NAMESPACE}` tells more."
    )


def _tell(target: Access, demos: Sequence[Object]) -> None:
    print(flush=True)
    print(output(target.kubectl("get", "wd", "--namespace", NAMESPACE)))
    width = min(shutil.get_terminal_size().columns, story.MAX_WIDTH)
    for demo in demos:
        for item in demo.get("status", {}).get("story", []):
            print()
            print("\n".join(story.render(item, width)))
    print()
    print("\n".join(_next(target, demos)))


def _next(target: Access, demos: Sequence[Object]) -> Iterator[str]:
    yield "What to type next"
    call: list[str | Path] = target.kubectl()
    if shutil.which("kubectl") != str(call[0]) or not _is_current(target):
        yield f"  alias kubectl='{' '.join(map(str, call))}'"
    for demo in demos:
        yield f"  kubectl describe wd {demo['metadata']['name']} -n {NAMESPACE}"
    yield f"  kubectl get jobs,pods -n {NAMESPACE}"
    yield f"  kubectl get wd -n {NAMESPACE} --watch"
    inbox = f"service/{RELEASE}-inbox"
    yield f"  kubectl port-forward -n {SYSTEM_NAMESPACE} {inbox} 8081:80    # http://localhost:8081"
    if target == cluster.access(cluster.DEMO_CLUSTER):
        yield "  make down    # removes the cluster"


def _is_current(target: Access) -> bool:
    current: list[str | Path] = [tools.tool("kubectl"), "config", "current-context"]
    return target.kubeconfig is None and output(current) == target.context
