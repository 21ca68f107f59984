"""Nodes, Pods and counts → what is told of spec.logShipping."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from logshipping import (
    WORKERS,
    aggregator,
    cluster_nodes,
    emitter,
    moment,
    node,
    part_body,
    shipper,
    taint,
)
from support import NOW, SCHEMA, demo_body
from workshopdemo import story
from workshopdemo.errors import ForbiddenError, NameTakenError
from workshopdemo.facts import Child, child_of
from workshopdemo.logsql import SeriesCount
from workshopdemo.model import LogShippingStatus, NodeLogs, Status, UncoveredNode, parse
from workshopdemo.observe import (
    LastLine,
    LogShippingFacts,
    Observation,
    Survey,
    observe,
    status_of,
)
from workshopdemo.observe.logshipping import absences, emitter_pods, observe_log_shipping

NODES = ("control", *WORKERS)
SERIES = "0000000a"
STATUS = SCHEMA["properties"]["status"]
PSA = 'pods "x" is forbidden: violates PodSecurity "baseline:latest": hostPath volumes'


class Scene:
    """A demo that ships logs on a control plane and two workers, all well."""

    def __init__(self, **section: Any) -> None:
        self.section = section
        self.nodes = cluster_nodes()
        self.shippers = [shipper(name) for name in NODES]
        self.emitters = [emitter(name) for name in NODES]
        self.aggregators = [aggregator(ip="10.1.1.1")]
        self.refusal: str | None = None
        self.survey: Survey | None = None
        self.told: LogShippingStatus | None = None
        self.problem: Any = None
        self.absent: dict[Any, datetime] = {}
        self.daemon_set_at = 0.0

    @property
    def demo(self) -> Any:
        return parse(demo_body(log_shipping=self.section))

    def facts(self) -> LogShippingFacts:
        remote = "destination" in self.section
        return LogShippingFacts(
            namespace="workshop",
            aggregator=None if remote else "bookshop-log-aggregator",
            nodes=self.nodes,
            daemon_set=daemon_set(self.daemon_set_at),
            shippers=self.shippers,
            emitters=self.emitters,
            aggregators=self.aggregators,
            refusal=self.refusal,
            absent=self.absent,
            survey=self.survey,
            told=self.told,
            problem=self.problem,
        )

    def tell(self, after: float = 0) -> LogShippingStatus:
        return self.tell_and_recheck(after)[0]

    def tell_and_recheck(self, after: float = 0) -> tuple[LogShippingStatus, float | None]:
        absent = absences(self.nodes, self.shippers, self.emitters, self.aggregators)
        self.absent = {what: self.absent.get(what, moment(after)) for what in absent}
        told, due = observe_log_shipping(self.demo.spec.log_shipping, self.facts(), moment(after))
        return told, (due - NOW).total_seconds() if due else None

    def counted(self, *counts: tuple[int, int], of: int = 100, **survey: Any) -> "Scene":
        """For each emitter, how many lines it wrote and how many came."""
        pods = [pod.name for pod in self.emitters]
        written = zip(pods, counts, strict=False)
        received = zip(pods, counts, strict=False)
        self.survey = Survey(
            last={
                pod: LastLine(series=SERIES, run=1, seq=seq, of=of, time=NOW)
                for pod, (seq, _) in written
                if seq
            },
            received=tuple(
                SeriesCount(
                    pod=pod, series=SERIES, rows=came, distinct=came, highest=came, newest=NOW
                )
                for pod, (_, came) in received
                if came
            ),
            **survey,
        )
        return self

    def status(self, after: float = 0, told: Status | None = None) -> Status:
        """The status of a demo that has nothing else."""
        self.tell(after)
        body = demo_body(
            log_shipping=self.section, status=msgspec.to_builtins(told) if told else None
        )
        demo = parse(body)
        now = moment(after)
        return status_of(demo, observe(demo, {}, {}, now, self.facts()), None, [], now)


def daemon_set(at: float = 0, desired: int = 3) -> Child:
    body = part_body("log-shipper", None, name="bookshop-log-shipper", at=at)
    body["status"] = {"desiredNumberScheduled": desired}
    return child_of("DaemonSet", body)


def verdict(told: LogShippingStatus) -> tuple[bool | None, str]:
    return told.as_expected, told.reason


def test_all_lines_arrived() -> None:
    told, due = Scene().counted((100, 100), (100, 100), (100, 100)).tell_and_recheck()
    assert (verdict(told), due) == ((True, "AllLinesArrived"), None)
    assert told.message == (
        "3/3 nodes covered; 300 lines written, 300 received, 0 missing, 0 twice"
    )
    assert (told.desired, told.covered, told.run) == (3, 3, 1)
    assert (told.written, told.received, told.missing, told.duplicate) == (300, 300, 0, 0)
    assert told.aggregator == "bookshop-log-aggregator"
    assert [row.node for row in told.nodes] == sorted(NODES)


def test_under_way_it_is_not_known_yet() -> None:
    told, due = Scene().counted((100, 100), (60, 55), (0, 0)).tell_and_recheck()
    assert (verdict(told), due) == ((None, "Shipping"), None)
    assert told.message == "3/3 nodes covered; 155 of 160 lines have arrived so far"


def test_it_is_not_all_while_an_emitter_has_not_begun() -> None:
    scene = Scene().counted((100, 100), (100, 100))
    assert verdict(scene.tell()) == (None, "Shipping")


def test_a_control_plane_left_out_as_asked_is_as_expected_and_says_so() -> None:
    scene = Scene(tolerateControlPlane=False)
    del scene.shippers[0], scene.emitters[0]
    told = scene.counted((100, 100), (100, 100)).tell()
    assert verdict(told) == (True, "AllLinesArrived")
    assert (told.covered, told.desired) == (2, 3)
    assert told.message.startswith("2/3 nodes covered; 200 lines written")
    assert "left out as asked: control: taint node-role.kubernetes.io/control" in told.message
    assert told.message.endswith("set tolerateControlPlane: true")


def test_a_selector_that_selects_nothing_is_no_success() -> None:
    scene = Scene(nodeSelector={"no": "where"})
    scene.shippers, scene.emitters = [], []
    told = scene.tell()
    assert verdict(told) == (False, "NoNodes")
    assert [one.reason for one in told.uncovered] == ["NodeSelector"] * 3


def test_what_could_not_be_written_comes_before_all_else() -> None:
    scene = Scene()
    scene.refusal, scene.shippers = PSA, []
    scene.problem = ForbiddenError("cannot apply DaemonSet: no")
    assert verdict(scene.tell()) == (False, "Forbidden")
    assert scene.tell().message == "cannot apply DaemonSet: no"
    scene.problem = NameTakenError("Service x is there")
    assert verdict(scene.tell()) == (False, "NameTaken")
    scene.problem = None
    assert verdict(scene.tell()) == (False, "PodSecurity")


def test_pod_security_says_which_label_on_which_namespace() -> None:
    scene = Scene()
    scene.refusal, scene.shippers = PSA, []
    told = scene.tell()
    assert told.message.startswith("namespace workshop enforces Pod Security baseline")
    assert (
        "kubectl label namespace workshop pod-security.kubernetes.io/enforce=privileged"
        " --overwrite" in told.message
    )
    assert {one.reason for one in told.uncovered} == {"PodSecurity"}


def test_nodes_come_before_pods_and_pods_before_lines() -> None:
    scene = Scene().counted((100, 100), (100, 90), (100, 100), gaps={"bookshop-x": 1})
    scene.aggregators = [aggregator(ready=False)]
    scene.nodes[1] = node("worker-1", taint("dedicated"))
    del scene.shippers[1]
    assert verdict(scene.tell(100)) == (False, "NodesUncovered")
    scene.nodes[1], scene.shippers = node("worker-1"), [shipper(name) for name in NODES]
    assert verdict(scene.tell(100)) == (False, "PodNotReady")
    assert scene.tell(100).message.startswith("the aggregator: ")
    scene.aggregators = [aggregator()]
    assert verdict(scene.tell(100)) == (None, "Shipping")


def test_a_fresh_demo_is_starting_and_no_step_of_it_is_a_complaint() -> None:
    scene = Scene()
    scene.shippers, scene.emitters, scene.aggregators = [], [], []
    told, due = scene.tell_and_recheck(0)
    assert (verdict(told), due) == ((None, "Starting"), 60)
    assert told.message == "0/3 nodes covered, the others are on their way"
    for state in ({"bare": True}, {"ready": False, "waiting": "ContainerCreating"}):
        scene.shippers = [shipper(name, at=1, **state) for name in NODES]
        assert verdict(scene.tell(2)) == (None, "Starting")
    scene.shippers = [shipper(name, at=1, ready=False) for name in NODES]
    assert scene.tell_and_recheck(3)[1] == 61
    scene.shippers = [shipper(name, at=1) for name in NODES]
    told, due = scene.tell_and_recheck(4)
    assert (verdict(told), due) == ((None, "Starting"), 60)
    assert told.message == "the aggregator is starting"
    scene.aggregators = [aggregator(at=5, ready=False, waiting="ContainerCreating")]
    assert verdict(scene.tell(6)) == (None, "Starting")
    scene.aggregators = [aggregator(at=5)]
    assert scene.tell(7).message == "the emitter of control, worker-1, worker-2 is starting"
    scene.emitters = [emitter(name, at=6) for name in NODES]
    assert verdict(scene.tell(8)) == (None, "Shipping")


def test_an_aggregator_that_never_gets_a_pod_is_a_complaint_after_a_minute() -> None:
    scene = Scene()
    scene.aggregators = []
    told, due = scene.tell_and_recheck(1000)
    assert (verdict(told), due) == ((None, "Starting"), 1060)
    told = scene.tell(1060)
    assert verdict(told) == (False, "NoPod")
    assert told.message == "the aggregator has no Pod: kubectl get events --namespace workshop"


def test_a_covered_node_without_an_emitter_is_a_complaint_after_a_minute() -> None:
    """A quota may have had room for its shipper only; nothing would ever prove that node."""
    scene = Scene().counted((100, 100), (100, 100))
    del scene.emitters[2]
    told, due = scene.tell_and_recheck(1000)
    assert (verdict(told), due) == ((None, "Starting"), 1060)
    assert told.message == "the emitter of worker-2 is starting"
    told = scene.tell(1060)
    assert verdict(told) == (False, "NoPod")
    assert told.message.startswith("the emitter of worker-2 has no Pod: kubectl get events")
    scene.emitters = []
    assert "the emitter of control, worker-1, worker-2 " in scene.tell(2000).message


def test_an_aggregator_whose_pod_never_goes_is_a_complaint_too() -> None:
    scene = Scene().counted((100, 100), (100, 100), (100, 100))
    scene.aggregators = [aggregator(terminating=True)]
    assert verdict(scene.tell(1000)) == (None, "Starting")
    assert verdict(scene.tell(1060)) == (False, "NoPod")


@pytest.mark.parametrize(
    ("pod", "patience", "reason"),
    [
        ({"ready": False, "waiting": "ErrImagePull"}, 60, "ImagePullBackOff"),
        ({"ready": False, "waiting": "ContainerCreating"}, 300, "ContainerCreating"),
        ({"bound": False}, 60, "Unschedulable"),
        ({"ready": False}, 60, "PodNotReady"),
        (
            {"ready": False, "waiting": "CrashLoopBackOff", "phase": "Running", "exit_code": 1},
            60,
            "CrashLoopBackOff",
        ),
    ],
)
def test_an_aggregator_that_does_not_start_is_told_with_its_reason(
    pod: dict[str, Any], patience: float, reason: str
) -> None:
    scene = Scene()
    scene.aggregators = [aggregator(at=10, **pod)]
    told, due = scene.tell_and_recheck(9 + patience)
    assert (verdict(told), due) == ((None, "Starting"), 10 + patience)
    assert verdict(scene.tell(10 + patience)) == (False, reason)
    assert len(scene.tell(10 + patience).message) > len("the aggregator: ")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"storageClassName": "fast"}, "storageClassName is fast (kubectl get storageclass)"),
        ({}, "the cluster needs a default storage class (kubectl get storageclass)"),
    ],
)
def test_a_volume_that_cannot_be_had_is_told_with_the_way_to_another(
    wanted: dict[str, Any], words: str
) -> None:
    scene = Scene(**wanted)
    scene.aggregators = [aggregator(bound=False)]
    (unbound,) = scene.aggregators[0].status["conditions"]
    unbound["message"] = (
        "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    )
    told = scene.tell(60)
    assert verdict(told) == (False, "Unschedulable")
    assert "PersistentVolumeClaims; " in told.message
    assert words in told.message
    assert "remove spec.logShipping, apply, and add it again" in told.message
    unbound["message"] = "0/3 nodes are available: 3 Insufficient memory."
    assert scene.tell(60).message.endswith("3 Insufficient memory.")


def test_an_aggregator_that_was_killed_has_a_minute_to_come_back() -> None:
    scene = Scene().counted((100, 100), (100, 100), (100, 100))
    scene.aggregators = [aggregator(ready=False, ready_at=5000, restarts=1)]
    assert verdict(scene.tell(5010)) == (None, "Starting")
    assert verdict(scene.tell(5060)) == (False, "PodNotReady")


def test_one_emitter_that_hangs_is_told_although_another_has_just_begun() -> None:
    scene = Scene()
    scene.emitters[0] = emitter("control", ready=False)
    scene.emitters[1] = emitter("worker-1", ready=False, at=80)
    assert verdict(scene.tell(90)) == (False, "PodNotReady")


def test_an_aggregator_that_does_not_answer_is_away_before_it_is_unreachable() -> None:
    scene = Scene().counted((100, 50), trouble="no answer", unheard=moment(1000))
    told, due = scene.tell_and_recheck(1059)
    assert (verdict(told), due) == ((None, "AggregatorAway"), 1060)
    told, due = scene.tell_and_recheck(1060)
    assert (verdict(told), due) == ((False, "AggregatorUnreachable"), None)
    assert told.message == "3/3 nodes covered; no answer"
    assert (told.written, told.received) == (100, 50)


def test_missing_lines_are_told_by_node_and_not_all_of_a_thousand() -> None:
    scene = Scene()
    pods = [pod.name for pod in scene.emitters]
    gaps = dict(zip(pods, (10, 0, 7), strict=True))
    scene.counted((100, 90), (100, 100), (100, 93), gaps=gaps)
    told = scene.tell()
    assert verdict(told) == (False, "LinesMissing")
    assert told.message == ("3/3 nodes covered; 17 lines are missing: control: 10; worker-2: 7")
    assert told.missing == 17


def test_elsewhere_only_what_was_written_is_told() -> None:
    scene = Scene(destination={"otlpHttp": {"endpoint": "https://logs.example"}})
    scene.aggregators = []
    told = scene.counted((100, 0), (100, 0), (40, 0)).tell()
    assert verdict(told) == (True, "Shipped")
    assert told.written == 240
    assert (told.received, told.missing, told.duplicate, told.aggregator) == (None,) * 4
    assert all(row.received is None for row in told.nodes)
    assert "destination, which alone knows" in told.message


def test_what_is_settled_is_told_from_memory() -> None:
    scene = Scene().counted((100, 100), (100, 100), (100, 100))
    scene.told = scene.tell()
    scene.survey = None
    assert scene.tell(1000) == scene.told


def test_an_emitter_that_was_started_again_is_counted_again() -> None:
    scene = Scene().counted((100, 100), (100, 100), (100, 100))
    scene.told = scene.tell()
    scene.emitters[0] = emitter("control", restarts=1)
    last = LastLine(series="0000000b", run=1, seq=4, of=100, time=NOW)
    received = (
        SeriesCount(
            pod=scene.emitters[0].name,
            series=SERIES,
            rows=100,
            distinct=100,
            highest=100,
            newest=NOW,
        ),
    )
    scene.survey = Survey(last={scene.emitters[0].name: last}, received=received)
    told = scene.tell()
    assert verdict(told) == (None, "Shipping")
    row = told.nodes[0]
    assert (row.restarts, row.written, row.received, row.complete) == (1, 104, 100, False)
    assert told.nodes[1:] == scene.told.nodes[1:]


ELSEWHERE = {"otlpHttp": {"endpoint": "https://logs.example"}}


@pytest.mark.parametrize("back", [False, True])
def test_what_was_counted_at_one_destination_says_nothing_of_another(back: bool) -> None:
    before = Scene() if not back else Scene(destination=ELSEWHERE)
    after = Scene(destination=ELSEWHERE) if not back else Scene()
    after.told = before.counted((100, 100), (100, 100), (100, 100)).tell()
    assert after.told.as_expected is True
    after.survey = None
    told = after.tell()
    if back:
        assert (told.as_expected, told.received) == (None, 0), "not: all has arrived"
    else:
        assert all(row.received is None for row in told.nodes)


def test_a_run_that_was_raised_begins_with_nothing() -> None:
    scene = Scene().counted((100, 100), (100, 100), (100, 100))
    told = scene.tell()
    scene = Scene(emitter={"run": 2})
    scene.told = told
    scene.counted((100, 100), (100, 100), (100, 100))  # still of the first run
    after = scene.tell()
    assert (after.run, after.written, after.received, after.missing) == (2, 0, 0, 0)
    assert verdict(after) == (None, "Shipping")


def test_the_newest_emitter_of_a_node_is_counted() -> None:
    pods = [
        emitter("a", name="old", at=0),
        emitter("a", name="new", at=5),
        emitter("a", name="newest", at=9, terminating=True),
        emitter("b", name="meant", bound=False),
        emitter("", name="nowhere"),
        emitter("c", name="restarted", restarts=3),
    ]
    assert [(one.node, one.pod, one.restarts) for one in emitter_pods(pods)] == [
        ("a", "new", 0),
        ("b", "meant", 0),
        ("c", "restarted", 3),
    ]


def conditions(status: Status) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in status.conditions}


def test_a_demo_with_nothing_else_goes_from_pending_to_ready() -> None:
    scene = Scene()
    shippers, scene.shippers = scene.shippers, []
    status = scene.status(0)
    assert (status.phase, status.summary) == ("Pending", "logs 0/3 nodes, 0 of 0 lines")
    assert conditions(status)["LogsShipped"] == ("Unknown", "Starting")
    assert conditions(status)["Ready"] == ("False", "Starting")
    assert conditions(status)["Progressing"] == ("True", "Unfinished")
    scene.shippers = shippers
    status = scene.counted((100, 90), (50, 50), (0, 0)).status(10)
    assert (status.phase, status.summary) == ("Progressing", "logs 3/3 nodes, 140 of 150 lines")
    assert conditions(status)["LogsShipped"] == ("Unknown", "Shipping")
    status = scene.counted((100, 100), (100, 100), (100, 100)).status(20)
    assert (status.phase, status.summary) == ("Ready", "logs 3/3 nodes")
    assert conditions(status) == {
        "Ready": ("True", "AsExpected"),
        "Progressing": ("False", "Settled"),
        "LogsShipped": ("True", "AllLinesArrived"),
        "SpecValid": ("True", "Valid"),
    }


def test_a_complaint_degrades_the_demo_and_is_in_its_summary() -> None:
    scene = Scene()
    scene.nodes[2] = node("worker-2", ready=False)
    status = scene.status()
    assert (status.phase, status.summary) == ("Degraded", "logs 2/3 nodes: NodesUncovered")
    assert conditions(status)["Ready"] == ("False", "NodesUncovered")


def test_at_rest_the_status_is_the_same_whenever_one_looks() -> None:
    scene = Scene().counted((100, 100), (100, 100), (100, 100))
    first = scene.status()
    scene.told, scene.survey = first.log_shipping, None
    assert scene.status(86400, first) == first


def _shipping(
    covered: int, uncovered: int, remarkable: Sequence[int] = (), message: str = "m" * 120
) -> LogShippingStatus:
    """A big class, with names of nodes as a cloud gives them."""
    name = "ip-10-0-{:03}-34.eu-central-1.compute.internal".format
    rows = tuple(
        NodeLogs(
            node=name(at),
            emitter=f"bookshop-of-the-class-log-emitter-{at:05}",
            restarts=0,
            complete=at not in remarkable,
            written=2000,
            received=1990 if at in remarkable else 2000,
            missing=10 if at in remarkable else 0,
            duplicate=0,
        )
        for at in range(covered)
    )
    return LogShippingStatus(
        desired=covered + uncovered,
        covered=covered,
        reason="Shipping",
        message="x" * 1024,
        run=1,
        written=2000 * covered,
        received=2000 * covered,
        missing=0,
        duplicate=0,
        aggregator="bookshop-of-the-class-log-aggregator",
        uncovered=tuple(
            UncoveredNode(
                node=name(at), reason="NodeSelector", message=message, as_asked=at % 2 > 0
            )
            for at in range(covered, covered + uncovered)
        ),
        nodes=rows,
    )


def _whole(shipping: LogShippingStatus) -> tuple[Status, int]:
    places = {
        "namespace": "n" * 63,
        "demo": "d" * 63,
        "job": "j" * 54,
        "cronjob": "c" * 52,
        "daemonset": "s" * 52,
        "component": "log-shipper",
        "statefulset": "s" * 52,
        "service": "s" * 52,
        "members": "m" * 52,
    }
    shown = [tale.short(places) for tale in story.load().values()]
    seen = Observation(
        jobs=(), cron_jobs=(), log_shipping=shipping, runs={}, mistakes=(), recheck=None
    )
    status = status_of(parse(demo_body(log_shipping={})), seen, None, shown, NOW)
    return status, len(json.dumps(msgspec.to_builtins(status), ensure_ascii=False).encode())


@pytest.mark.parametrize(
    ("covered", "uncovered"),
    [(200, 0), (0, 200), (200, 200), (100, 100), (1000, 0), (0, 1000), (900, 100)],
)
def test_the_status_stays_under_64_kib_and_its_totals_are_those_of_all(
    covered: int, uncovered: int
) -> None:
    shipping = _shipping(covered, uncovered, remarkable=range(covered - 5, covered))
    status, size = _whole(shipping)
    assert size < 64 * 1024
    told = status.log_shipping
    assert told is not None
    assert (told.desired, told.covered) == (covered + uncovered, covered)
    assert told.written == 2000 * covered
    assert len(told.nodes) <= 200
    assert len(told.nodes) >= min(covered, 80)
    assert len(told.uncovered) >= min(uncovered, 80)
    names = [row.node for row in told.nodes]
    assert names == sorted(names)
    missing = {row.node for row in shipping.nodes if row.missing}
    assert missing <= set(names), "what there is to say something of comes first"
    complaints = {one.node for one in shipping.uncovered if not one.as_asked}
    if uncovered < 200:
        assert complaints <= {one.node for one in told.uncovered}
    jsonschema.validate(msgspec.json.decode(msgspec.json.encode(status)), STATUS)


def test_two_hundred_covered_nodes_are_all_told() -> None:
    told = _whole(_shipping(200, 0))[0].log_shipping
    assert told is not None
    assert len(told.nodes) == 200


def test_a_thousand_complaints_are_told_in_bounded_words() -> None:
    scene = Scene()
    scene.nodes = [node(f"node-{at:04}", ready=False) for at in range(1000)]
    scene.shippers, scene.emitters = [], [emitter(f"node-{at:04}") for at in range(1000)]
    told = scene.tell()
    assert told.message.startswith("1000 uncovered: node-0000: the node is not Ready")
    assert told.message.endswith(" and 997 more")
    scene.nodes = [node(f"node-{at:04}") for at in range(1000)]
    scene.shippers = [shipper(f"node-{at:04}") for at in range(1000)]
    scene.counted(
        *[(100, 90)] * 1000, gaps={f"bookshop-log-emitter-node-{at:04}": 10 for at in range(1000)}
    )
    told = scene.tell()
    assert told.message == (
        "1000/1000 nodes covered; 10000 lines are missing: "
        "node-0000: 10; node-0001: 10; node-0002: 10 and 997 more"
    )
    scene.problem = ForbiddenError("x" * 10000)
    assert len(scene.tell().message) <= 1024
