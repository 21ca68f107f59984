"""Which nodes are covered, and why the others are not."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from logshipping import CONTROL_PLANE, GPU, cluster_nodes, moment, node, shipper, taint
from workshopdemo.facts import Child, Node
from workshopdemo.model import UncoveredNode
from workshopdemo.observe.coverage import Coverage, Placement, coverage


def see(
    nodes: Sequence[Node],
    pods: Sequence[Child] = (),
    *,
    control_plane: bool = True,
    tolerations: Sequence[Mapping[str, Any]] = (),
    selector: Mapping[str, str] | None = None,
    refusal: str | None = None,
    absent: Mapping[str, Any] | None = None,
    after: float = 0,
) -> Coverage:
    placement = Placement(control_plane, tolerations, selector or {})
    return coverage(placement, nodes, pods, refusal=refusal, absent=absent or {}, now=moment(after))


def why(one: Node, *pods: Child, **more: Any) -> UncoveredNode:
    found = see([one], pods, **more)
    assert not found.covered
    (told,) = found.uncovered
    return told


def test_a_node_with_a_ready_pod_is_covered() -> None:
    found = see(cluster_nodes(), [shipper(name) for name in ("control", "worker-1", "worker-2")])
    assert found.covered == ("control", "worker-1", "worker-2")
    assert (found.uncovered, found.overdue, found.due, found.asked) == ((), (), None, 3)


def test_a_control_plane_is_left_out_as_asked_and_the_way_in_is_told() -> None:
    nodes = cluster_nodes()
    found = see(nodes, [shipper("worker-1"), shipper("worker-2")], control_plane=False)
    assert found.covered == ("worker-1", "worker-2")
    (told,) = found.uncovered
    assert told == UncoveredNode(
        node="control",
        reason="ControlPlane",
        message=f"taint {CONTROL_PLANE}:NoSchedule is not tolerated: "
        "set tolerateControlPlane: true",
        as_asked=True,
    )
    assert (found.asked, found.overdue, found.due) == (2, (), None)
    assert why(nodes[0]).reason == "NoPod"


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_a_control_plane_that_is_asked_for_is_whatever_its_taint_does(effect: str) -> None:
    assert why(node("control", taint(CONTROL_PLANE, effect))).reason == "NoPod"


@pytest.mark.parametrize("other", ["CriticalAddonsOnly", "zone.example/only"])
def test_a_control_plane_left_out_is_as_asked_whatever_other_taints_it_has(other: str) -> None:
    told = why(node("control", taint(CONTROL_PLANE), taint(other)), control_plane=False)
    assert (told.reason, told.as_asked) == ("ControlPlane", True)


@pytest.mark.parametrize(
    ("tolerations", "of", "tolerated"),
    [
        ([], GPU, False),
        ([{"key": "dedicated", "operator": "Exists"}], GPU, True),
        ([{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}], GPU, True),
        ([{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}], GPU, False),
        ([{"key": "dedicated", "operator": "Exists", "effect": ""}], GPU, True),
        ([{"key": "dedicated", "operator": "Equal", "value": "gpu"}], GPU, True),
        ([{"key": "dedicated", "value": "gpu"}], GPU, True),
        ([{"key": "dedicated", "value": "cpu"}], GPU, False),
        ([{"key": "dedicated"}], GPU, False),
        ([{"key": "dedicated"}], taint("dedicated"), True),
        ([{"key": "Dedicated", "operator": "Exists"}], GPU, False),
        ([{"operator": "Exists"}], GPU, True),
        ([{"key": "", "operator": "Exists"}], GPU, True),
        ([{"operator": "Exists", "effect": "NoExecute"}], GPU, False),
        ([{"operator": "Equal"}], taint("dedicated"), False),
        ([{"key": "a", "operator": "Exists"}, {"key": "dedicated", "value": "gpu"}], GPU, True),
        ([{"key": "out", "operator": "Exists"}], taint("out", "NoExecute"), True),
        ([{"key": "out", "effect": "NoSchedule"}], taint("out", "NoExecute"), False),
        ([], taint("soft", "PreferNoSchedule"), True),
    ],
)
def test_a_toleration_is_read_as_kubernetes_reads_it(
    tolerations: list[dict[str, Any]], of: dict[str, Any], tolerated: bool
) -> None:
    told = why(node("a", of), tolerations=tolerations)
    assert told.reason == ("NoPod" if tolerated else "TaintNotTolerated")
    assert told.as_asked is False


def test_a_taint_that_is_not_tolerated_is_a_complaint_with_its_cure() -> None:
    told = why(node("a", GPU))
    assert told.message == (
        "taint dedicated=gpu:NoSchedule is not tolerated: "
        "add {key: dedicated, operator: Exists, effect: NoSchedule} to tolerations"
    )
    assert see([node("a", GPU)]).overdue == (told,)
    cure = {"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}
    assert why(node("a", GPU), tolerations=[cure]).reason == "NoPod"
    assert why(node("a", taint("b"), GPU), tolerations=[cure]).message.startswith("taint b:")


@pytest.mark.parametrize(
    "key", ["not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure"]
)
def test_what_every_daemon_set_tolerates_is_no_obstacle(key: str) -> None:
    assert why(node("a", taint(f"node.kubernetes.io/{key}"))).reason == "NoPod"


def test_a_cordoned_node_stays_covered() -> None:
    one = node("a", cordoned=True)
    assert see([one], [shipper("a")]).covered == ("a",)
    assert why(one).reason == "NoPod"


def test_a_pod_that_was_there_before_the_taint_stays_and_covers() -> None:
    assert see([node("a", GPU)], [shipper("a")]).covered == ("a",)


def test_a_node_without_the_label_is_left_out_as_asked() -> None:
    selector = {"disk": "ssd", "zone": "b"}
    told = why(node("a", labels={"zone": "b", "disk": "hdd"}), selector=selector)
    assert (told.reason, told.as_asked) == ("NodeSelector", True)
    assert told.message == "it has no label disk=ssd, which nodeSelector asks for"
    assert why(node("a", labels=selector | {"x": "y"}), selector=selector).reason == "NoPod"
    # The selector counts before a taint and before the node's own state.
    assert why(node("a", GPU, ready=False), selector=selector).reason == "NodeSelector"


def test_a_node_that_leaves_the_selector_is_left_out_when_its_pod_goes() -> None:
    one = node("a", labels={})
    told = why(one, shipper("a", terminating=True), selector={"disk": "ssd"})
    assert (told.reason, told.as_asked) == ("NodeSelector", True)
    assert see([one], [shipper("a", terminating=True)], selector={"disk": "ssd"}).due is None


def test_a_node_that_is_not_ready_is_told_though_its_pod_still_says_ready() -> None:
    told = why(node("a", ready=False), shipper("a"))
    assert (told.reason, told.as_asked) == ("NodeNotReady", False)
    assert told.message == "the node is not Ready: kubectl describe node a"
    assert see([node("a", ready=False)], [shipper("a")]).overdue == (told,)


def test_a_node_without_a_pod_is_on_its_way_for_a_minute() -> None:
    absent = {"a": moment(10)}
    for after, overdue in ((10, 0), (69, 0), (70, 1)):
        found = see([node("a")], absent=absent, after=after)
        assert len(found.overdue) == overdue
        assert found.due == (None if overdue else moment(70))
    assert found.uncovered[0].reason == "NoPod"


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        ({"bare": True}, "Pending"),
        ({"waiting": "ContainerCreating", "ready": False}, "ContainerCreating"),
        ({"ready": False}, "PodNotReady"),
    ],
)
def test_a_pod_that_is_starting_is_on_its_way_for_a_minute(
    pod: dict[str, Any], reason: str
) -> None:
    pods = [shipper("a", at=5, **pod)]
    assert why(node("a"), *pods).reason == reason
    assert see([node("a")], pods, after=64).overdue == ()
    assert see([node("a")], pods, after=64).due == moment(65)
    assert len(see([node("a")], pods, after=65).overdue) == 1


def test_an_old_pod_that_was_killed_is_on_its_way_again() -> None:
    killed = shipper("a", ready=False, ready_at=5000, restarts=1, exit_code=137)
    found = see([node("a")], [killed], after=5010)
    assert (found.overdue, found.due) == ((), moment(5060))
    assert len(see([node("a")], [killed], after=5060).overdue) == 1


def test_a_pod_that_is_replaced_is_on_its_way_and_one_that_never_goes_is_not() -> None:
    going = shipper("a", terminating=True)
    told = why(node("a"), going, absent={"a": moment(5000)}, after=5001)
    assert told.reason == "Terminating"
    assert told.message == f"Pod {going.name} is being replaced"
    assert see([node("a")], [going], absent={"a": moment(5000)}, after=5001).overdue == ()
    assert len(see([node("a")], [going], absent={"a": moment(5000)}, after=5060).overdue) == 1


def test_the_new_pod_speaks_for_its_node_not_the_old_one() -> None:
    old = shipper("a", name="old", terminating=True)
    assert see([node("a")], [old, shipper("a", name="new", at=9)]).covered == ("a",)
    unready = shipper("a", name="new", at=-9, ready=False, waiting="ImagePullBackOff")
    assert why(node("a"), old, unready).reason == "ImagePullBackOff"


def test_a_node_that_has_been_too_long_is_told_although_another_has_just_come() -> None:
    nodes = [node("slow"), node("new")]
    pods = [shipper("slow", ready=False), shipper("new", at=80, ready=False)]
    found = see(nodes, pods, after=90)
    assert [one.node for one in found.overdue] == ["slow"]
    assert found.due == moment(140)


@pytest.mark.parametrize(
    ("refusal", "reason", "message"),
    [
        (
            'pods "x" is forbidden: violates PodSecurity "baseline:latest": hostPath volumes',
            "PodSecurity",
            "Pod Security baseline forbids the Pod its hostPath",
        ),
        (
            'pods "x" is forbidden: violates PodSecurity "restricted:v1.34": hostPath',
            "PodSecurity",
            "Pod Security restricted forbids the Pod its hostPath",
        ),
        (
            'pods "x" is forbidden: exceeded quota: few',
            "FailedCreate",
            'pods "x" is forbidden: exceeded quota: few',
        ),
        (None, "NoPod", "Kubernetes has not made its Pod yet"),
    ],
)
def test_a_pod_that_kubernetes_does_not_make_has_its_reason(
    refusal: str | None, reason: str, message: str
) -> None:
    told = why(node("a"), refusal=refusal)
    assert (told.reason, told.message, told.as_asked) == (reason, message, False)
    assert len(see([node("a")], refusal=refusal).overdue) == (0 if refusal is None else 1)


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        ("ErrImagePull", "ImagePullBackOff"),
        ("ImagePullBackOff", "ImagePullBackOff"),
        ("CreateContainerConfigError", "CreateContainerConfigError"),
    ],
)
def test_a_pod_that_cannot_start_is_told_in_the_kubelets_words(waiting: str, reason: str) -> None:
    told = why(node("a"), shipper("a", ready=False, waiting=waiting, message="no such thing"))
    assert told.reason == reason
    assert "no such thing" in told.message or "some:image" in told.message
    assert len(see([node("a")], [shipper("a", ready=False, waiting=waiting)]).overdue) == 1


def test_a_pod_that_crashes_is_told_with_its_exit_code() -> None:
    pod = shipper(
        "a", ready=False, waiting="CrashLoopBackOff", phase="Running", restarts=4, exit_code=1
    )
    told = why(node("a"), pod)
    assert told.reason == "CrashLoopBackOff"
    assert told.message == f"Pod {pod.name} has restarted; it ended with exit code 1"


def test_a_pod_that_is_not_scheduled_is_told_of_the_node_it_is_meant_for() -> None:
    pod = shipper("worker-1", bound=False)
    told = {one.node: one for one in see(cluster_nodes(), [pod]).uncovered}
    assert told["worker-1"].reason == "Unschedulable"
    assert told["worker-1"].message == "0/3 nodes are available: 1 Insufficient memory"
    assert told["worker-2"].reason == "NoPod"


def test_words_of_strangers_are_of_bounded_length() -> None:
    long = "x" * 5000
    assert len(why(node("a"), refusal=long).message) <= 256
    pod = shipper("a", ready=False, waiting="CreateContainerError", message=long)
    assert len(why(node("a"), pod).message) <= 256


def test_a_pod_without_a_node_covers_nobody() -> None:
    assert see([node("a")], [shipper("", name="lost")]).covered == ()
