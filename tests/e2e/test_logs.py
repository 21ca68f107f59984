"""Logs of all nodes in one place and not a line lost, by the operator's count and a witness's."""

import re
import time
from collections import Counter
from typing import Any

import pytest
from logs import (
    AGGREGATOR,
    CONTROL_PLANE,
    EMITTER,
    FEW,
    HOSTILE,
    SHIPPER,
    Files,
    Logs,
    Remote,
    cut,
    joined,
    numbers,
    twice,
)
from world import FAILING, QUICK, World, wait_for

pytestmark = pytest.mark.busy

LINES = 10_000


def test_each_line_of_each_node_arrives_once_across_rotations(world: World) -> None:
    logs, files = Logs(world), Files()
    logs.apply({"emitter": {"lines": LINES, "linesPerSecond": 400}})
    status = wait_for_all_lines(logs, files, LINES)
    assert {row["node"]: row["received"] for row in status["nodes"]} == dict.fromkeys(
        logs.nodes(), LINES
    )
    assert (status["written"], status["received"], status["missing"]) == (3 * LINES, 3 * LINES, 0)
    arrived = wait_for_the_same(logs, files)
    # Where the machine stands still for longer than a request may take, that one is sent again.
    assert status["duplicate"] == twice(arrived) < LINES // 100
    assert status["message"] == (
        f"3/3 nodes covered; 30000 lines written, 30000 received, 0 missing, {twice(arrived)} twice"
    )
    assert set(arrived) == {pod.metadata.name for pod in logs.pods(EMITTER)}
    assert numbers(arrived) == [LINES] * 3
    rotations = {node: len(names) for node, names in files.rotated.items()}
    print(f"rotations: {rotations}, lines that came in pieces: {cut(arrived)}")
    assert cut(arrived) <= 20
    assert all(rotations.get(node, 0) >= 2 for node in logs.nodes()), rotations


def test_collectors_killed_on_every_node_lose_nothing_and_repeats_are_told(world: World) -> None:
    logs, files = Logs(world), Files()
    logs.apply({"emitter": {"lines": 6000, "linesPerSecond": 100}})
    wait_for_lines(logs, 300)
    assert logs.kill(SHIPPER) == 3
    wait_for("new processes", lambda: restarts(logs) >= 3)
    before = {pod.metadata.uid for pod in logs.pods(SHIPPER)}
    world.kubectl(
        *("delete", "pod", "-l", f"workshopdemo.dev/component={SHIPPER}"),
        *("--grace-period=0", "--force", "--wait=false"),
    )

    def look() -> bool:
        ready = logs.ready(SHIPPER)
        return len(ready) == 3 and not ready & before

    wait_for("new Pods", look)
    assert logs.kill(SHIPPER) == 3
    status = wait_for_all_lines(logs, files, 6000)
    arrived = wait_for_the_same(logs, files)
    assert numbers(arrived) == [6000] * 3
    print(f"arrived twice: {twice(arrived)}")
    assert status["duplicate"] == twice(arrived)
    assert f" {twice(arrived)} twice" in status["message"]


def wait_for_all_lines(logs: Logs, files: Files, lines: int) -> dict[str, Any]:
    """Wait for the status to tell it, and look at the files meanwhile: the oldest are removed."""

    def look() -> dict[str, Any]:
        time.sleep(3)
        logs.look_at_files(files)
        status = logs.status()
        assert status["reason"] == "AllLinesArrived", status["message"]
        return status

    wait_for("all lines", look, 240)
    return logs.wait_for_all_lines(lines)


def wait_for_the_same(logs: Logs, files: Files) -> dict[str, Counter[str]]:
    """Wait until the aggregator has what stands in the files, and nothing else; gives it."""

    def look() -> dict[str, Counter[str]]:
        logs.look_at_files(files)
        arrived = logs.arrived()
        for pod, lines in files.lines().items():
            here, there = set(lines), set(arrived[pod])
            missing, strange = here - there, there - here
            lost = [line[:90] for line in missing if not joined(line, strange)]
            assert not lost, f"{pod}: {lost}"
            assert all(any(piece.strip("\ufffd") in line for line in here) for piece in strange)
        return arrived

    return wait_for("what stands in the files is what has arrived", look, 30)


def restarts(logs: Logs) -> int:
    return sum(
        container.restart_count
        for pod in logs.pods(SHIPPER)
        for container in pod.status.container_statuses or ()
    )


def wait_for_lines(logs: Logs, count: int) -> None:
    """Wait until so many have come from each of three nodes."""
    logs.wait_for(
        f"{count} lines of each node",
        lambda status: (
            len(status.get("nodes", ())) == 3
            and all(row["received"] >= count for row in status["nodes"])
        ),
    )


def test_an_aggregator_that_is_gone_for_a_minute_gets_it_all_when_it_is_back(world: World) -> None:
    logs, files = Logs(world), Files()
    logs.apply({"emitter": {"lines": 8000, "linesPerSecond": 80}})
    wait_for_lines(logs, 300)
    pod = f"shop-{AGGREGATOR}-0"
    logs.hold(pod)
    try:
        world.kubectl("delete", "pod", pod, "--wait=false")
        began = time.monotonic()
        logs.wait_for("its absence", lambda status: status["reason"] in AWAY, 40)
        print(f"told to be away after {time.monotonic() - began:.0f} s")
        logs.look_at_files(files)
        assert condition(world)["status"] == "Unknown"
        status = logs.wait_for("a complaint", lambda status: status["reason"] in GONE, 120)
        print(f"a complaint after {time.monotonic() - began:.0f} s: {status['message']}")
        assert time.monotonic() - began >= 55
        assert world.status()["phase"] == "Degraded"
    finally:
        logs.let_go(pod)
    status = wait_for_all_lines(logs, files, 8000)
    arrived = wait_for_the_same(logs, files)
    assert numbers(arrived) == [8000] * 3
    print(f"arrived twice: {twice(arrived)}")
    assert status["duplicate"] == twice(arrived)
    world.wait_for_phase("Ready")


AWAY, GONE = {"AggregatorAway", "Starting"}, {"AggregatorUnreachable", "NoPod"}
LAST_WORDS = QUICK | {"name": "last", "command": ["echo", 'I am "gone", 再见']}
NIGHTLY = QUICK | {"name": "nightly", "schedule": "0 2 * * *", "runNow": 1}


def test_a_job_that_exits_at_once_is_read_from_the_aggregator_as_the_status_says(
    world: World,
) -> None:
    logs = Logs(world)
    steps = {"name": "steps", "scenario": "CIPipeline"}
    crowd = {"completions": 3, "parallelism": 3, "completionMode": "Indexed"}
    shards = QUICK | {"name": "shards", "command": ["sh", "-c", 'echo "I am $HOSTNAME"']} | crowd
    logs.apply({"emitter": FEW}, [LAST_WORDS, FAILING, steps, shards], [NIGHTLY])
    world.wait_for_phase("Ready")
    job = {entry["name"]: entry for entry in world.status()["jobs"]}
    run = world.status()["cronJobs"][0]["runs"][0]

    def shown() -> dict[str, list[str]]:
        queries = {name: told["logQuery"] for name, told in job.items()}
        queries["nightly"] = run["logQuery"]
        lines = {name: logs.run(query).splitlines() for name, query in queries.items()}
        assert lines["last"] == [job["last"]["job"], '"I am ""gone"", 再见"']
        assert lines["bad"] == [job["bad"]["job"], "no such file"]
        assert lines["nightly"] == [run["job"], "working", "done"]
        assert "Step package is done." in lines["steps"]
        assert len(lines["shards"]) == 4
        return lines

    before = wait_for("the logs of all", shown, 30)
    world.kubectl("delete", "pods", "-l", "batch.kubernetes.io/job-name", "--wait")
    assert (
        world.core.list_namespaced_pod(
            world.namespace, label_selector="batch.kubernetes.io/job-name"
        ).items
        == []
    )
    assert shown() == before
    # The log of a run that is over stays when there is another.
    logs.apply({"emitter": FEW}, [LAST_WORDS | {"run": 2}, FAILING, steps, shards], [NIGHTLY])
    wait_for("the second run", lambda: world.entry("last").get("run") == 2)
    world.wait_for_phase("Ready")
    query = world.entry("last")["logQuery"]
    wait_for("its log", lambda: '"gone"' in logs.run(query), 30)
    assert shown() == before


def test_no_other_namespace_is_read(world: World) -> None:
    logs = Logs(world)
    # Their directories begin alike.
    others = [f"{world.namespace}-b", f"{world.namespace}b", "a" + world.namespace]
    pod = {
        "metadata": {"name": "loud"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "loud",
                    "image": "busybox:1.37.0",
                    "command": [
                        "sh",
                        "-c",
                        "for n in $(seq 30); do echo whisper $n; sleep 1; done",
                    ],
                }
            ],
        },
    }
    for other in others:
        world.create_namespace(other)
        world.core.create_namespaced_pod(other, pod)
    logs.apply({"emitter": FEW}, [QUICK])
    world.core.create_namespaced_pod(world.namespace, pod)
    logs.wait_for_all_lines(60)
    heard = wait_for("the one in the namespace", lambda: logs.ask("whisper"), 60)
    for other in others:
        ended = ["--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s"]
        world.kubectl("-n", other, "wait", "pod/loud", *ended)

    def all_of_one() -> bool:
        nonlocal heard
        heard = logs.ask("whisper")
        return len(heard) == 30

    wait_for("all of it", all_of_one, 60)
    spaces = logs.ask('* | stats by ("k8s.namespace.name") count() lines')
    assert [row["k8s.namespace.name"] for row in spaces] == [world.namespace]

    def containers() -> set[str]:
        return {row["k8s.container.name"] for row in logs.ask('* | uniq by ("k8s.container.name")')}

    wait_for("the Job's lines", lambda: "main" in containers(), 60)
    assert containers() == {EMITTER, "main", "loud"}, "nor what the shipping itself has to say"


def test_a_control_plane_that_is_not_tolerated_is_left_out_and_named(world: World) -> None:
    logs = Logs(world)
    logs.apply({"tolerateControlPlane": False, "emitter": FEW})
    status = world.wait_for_phase("Ready")
    told = logs.wait_for_all_lines(60, nodes=2)
    (node,) = told["uncovered"]
    assert (told["covered"], told["desired"]) == (2, 3)
    assert node["node"].endswith("control-plane")
    assert (node["reason"], node["asAsked"]) == ("ControlPlane", True)
    for words in (f"taint {CONTROL_PLANE}:NoSchedule", "tolerateControlPlane: true"):
        assert words in node["message"]
        assert words in told["message"]
    assert "logs 2/3 nodes" in status["summary"]
    assert "logs 2/3 nodes" in world.kubectl("get", "wd")
    began = time.monotonic()
    logs.apply({"emitter": FEW})
    logs.wait_for("the third", lambda status: status["covered"] == 3)
    print(f"covered after {time.monotonic() - began:.1f} s")
    logs.wait_for_all_lines(60)


def test_a_label_moves_a_node_in_and_out(world: World) -> None:
    logs, key = Logs(world), world.namespace
    logs.apply({"nodeSelector": {key: "wanted"}, "emitter": FEW})
    told = logs.wait_for_reason("NoNodes")
    assert (told["covered"], told["desired"], len(told["uncovered"])) == (0, 3, 3)
    assert world.status()["phase"] == "Degraded"
    node = logs.nodes()[-1]
    try:
        for label, covered in ((f"{key}=wanted", 1), (f"{key}-", 0), (f"{key}=wanted", 1)):
            world.kubectl("label", "node", node, label)
            began = time.monotonic()
            logs.wait_for(label, lambda status, count=covered: status["covered"] == count)
            print(f"{label}: told after {time.monotonic() - began:.1f} s")
            (said,) = [one for one in logs.uncovered().values() if one["node"] == node] or [None]
            if covered:
                told = logs.wait_for_all_lines(60, nodes=1)
                assert "1/3 nodes covered" in told["message"]
                assert said is None
            else:
                assert said["reason"] == "NodeSelector"
                assert f"no label {key}=wanted" in said["message"]
    finally:
        world.kubectl("label", "node", node, f"{key}-")


def condition(world: World, name: str = "LogsShipped", demo: str = "shop") -> dict[str, Any]:
    (found,) = [one for one in world.status(demo)["conditions"] if one["type"] == name]
    return found


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_pod_security_is_named_with_the_command_that_heals_it(world: World, level: str) -> None:
    logs = Logs(world)
    label = "pod-security.kubernetes.io/enforce"
    world.core.patch_namespace(world.namespace, {"metadata": {"labels": {label: level}}})
    logs.apply({"emitter": FEW}, [QUICK])
    status = world.wait_for_phase("Degraded")
    wait_for("the job", lambda: condition(world, "JobsAsExpected")["status"] == "True")
    told = condition(world)
    assert (told["status"], told["reason"]) == ("False", "PodSecurity")
    assert f"namespace {world.namespace} enforces Pod Security {level}" in told["message"]
    logs.wait_for("each node", lambda status: len(status.get("uncovered", ())) == 3)
    assert {one["reason"] for one in logs.uncovered().values()} == {"PodSecurity"}
    assert "PodSecurity" in status["summary"]
    # Whatever else ships logs may run.
    wait_for(
        "all other Pods",
        lambda: all(
            container.ready
            for component, count in ((EMITTER, 3), (AGGREGATOR, 1))
            for pod in logs.pods(component)
            for container in pod.status.container_statuses or ()
            if len(logs.pods(component)) == count
        ),
    )
    command = re.search(r"kubectl label namespace \S+ \S+ --overwrite", told["message"])
    assert command, told
    logs.run(command[0])
    began = time.monotonic()
    logs.wait_for("each node", lambda status: status["covered"] == 3, 240)
    print(f"healed after {time.monotonic() - began:.0f} s")
    logs.wait_for_all_lines(60)
    world.wait_for_phase("Ready")


def test_a_storage_class_that_is_not_there_is_told_with_the_way_out(world: World) -> None:
    logs = Logs(world)
    logs.apply({"emitter": FEW, "storageClassName": "no-such-class"}, [QUICK])
    world.wait_for_phase("Degraded")
    told = condition(world)
    print(f"{told['reason']}: {told['message']}")
    assert "storageClassName" in told["message"]
    assert "no-such-class" in told["message"]
    wait_for("the job", lambda: condition(world, "JobsAsExpected")["status"] == "True")
    # As the API server says to who changes it in place.
    logs.apply(None, [QUICK])
    wait_for("nothing of it is left", lambda: not logs.children())
    logs.apply({"emitter": FEW}, [QUICK])
    logs.wait_for_all_lines(60)
    world.wait_for_phase("Ready")


def test_two_demos_in_a_namespace_count_their_own_and_leave_nothing(world: World) -> None:
    first, second = Logs(world, "one"), Logs(world, "two")
    first.apply({"emitter": FEW}, [QUICK])
    second.apply({"emitter": FEW | {"lines": 90}}, [QUICK])
    for logs, lines in ((first, 60), (second, 90)):
        status = logs.wait_for_all_lines(lines)
        world.wait_for_phase("Ready", logs.demo)
        assert (status["written"], status["duplicate"]) == (3 * lines, 0)
        assert numbers(logs.arrived()) == [lines] * 3
    quiet_for(first, 20)
    told = second.status()
    first.apply(None, [QUICK])
    left = [f"job.batch/{world.job_of('ok', demo='one')['metadata']['name']}"]
    wait_for("nothing of it is left", lambda: not first.children() and not first.all_pods())
    world.wait_for_phase("Ready", "one")
    assert "logShipping" not in world.status("one")
    assert (
        world.kubectl("get", "jobs", "-l", "workshopdemo.dev/demo=one", "-o", "name").split()
        == left
    )
    assert second.status() == told
    assert numbers(second.arrived()) == [90] * 3
    world.delete_demo("two")
    wait_for("nothing is left", lambda: not second.children() and not second.all_pods())


def quiet_for(logs: Logs, seconds: float) -> None:
    """What is settled is asked for no more, and nothing is written about it."""
    time.sleep(5)
    before = logs.requests()
    time.sleep(seconds)
    assert [one for one in logs.requests() if one not in before] == []


def test_a_service_elsewhere_gets_it_all_with_a_header_from_a_secret(world: World) -> None:
    logs, remote = Logs(world), Remote(world)
    remote.start()
    logs.apply({"emitter": FEW, "destination": {"otlpHttp": remote.destination}}, [QUICK])
    wait_for(
        "the reason, of each node",
        lambda: (
            [(one["reason"], one["message"]) for one in logs.uncovered().values()]
            == [("CreateContainerConfigError", 'secret "log-service" not found')] * 3
        ),
    )
    world.wait_for_phase("Degraded")
    told = condition(world)
    print(f"{told['reason']}: {told['message']}")
    assert 'secret "log-service" not found' in told["message"]
    remote.make_secret()
    began = time.monotonic()
    status = logs.wait_for_reason("Shipped")
    print(f"healed after {time.monotonic() - began:.0f} s")
    assert status["covered"] == 3
    logs.wait_for(
        "what was written",
        lambda status: [row["written"] for row in status["nodes"]] == [60] * 3,
    )
    assert "received" not in logs.status()
    query = f'"k8s.pod.name":="shop-{EMITTER}-"* | stats by ("k8s.pod.name") count() lines'
    wait_for("the lines", lambda: [row["lines"] for row in remote.ask(query)] == ["60"] * 3)
    world.wait_for_phase("Ready")
    # A header means no more than its Secret says.
    assert [row["said"] for row in remote.ask("* | uniq by (said)")] == [HOSTILE]

    def said() -> bool:
        # Whoever receives makes what it took visible in its own time, container by container.
        rows = remote.ask('"k8s.container.name":="main" | sort by (_time)')
        assert [row["_msg"] for row in rows] == ["working", "done"]
        return True

    wait_for("the Job's own lines", said)
    assert "logQuery" not in world.entry("ok")
    assert f"statefulset.apps/shop-{AGGREGATOR}" not in logs.children()
    seen = [world.operator_log(), world.kubectl("describe", "wd,daemonset,pods")]
    seen += [world.kubectl("get", "wd,events,daemonset,pods,configmap", "-o", "yaml")]
    seen += [world.kubectl("logs", pod.metadata.name) for pod in logs.pods(SHIPPER)]
    for words in seen:
        assert remote.password not in words
        assert remote.token not in words
    quiet_for(logs, 10)
