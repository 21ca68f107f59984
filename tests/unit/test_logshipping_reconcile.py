"""A whole look at a demo that ships logs, against a cluster in memory."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from logshipping import CONTROL_PLANE, node_body, part_body, taint
from office import NoDiscoverer, NoRegistrar, SilentCourier, look_and_tell, password, settle
from support import NOW, SETTINGS, FakeCluster, condition, demo_body, pod_body, time
from workshopdemo import story
from workshopdemo.cluster import Cache
from workshopdemo.errors import ForbiddenError, NameTakenError, RejectedError
from workshopdemo.logsql import SeriesCount
from workshopdemo.names import DemoKey
from workshopdemo.observe import LastLine, Survey
from workshopdemo.reconcile import Reconciler
from workshopdemo.surveyor import SurveyOrder

CI = {"name": "ci", "scenario": "CIPipeline"}
NIGHTLY = {"name": "nightly", "scenario": "NightlyReport", "schedule": "0 2 * * *", "runNow": 0}
ELSEWHERE = {"destination": {"otlpHttp": {"endpoint": "https://logs.example"}}}
NODES = ("control", "worker-1", "worker-2")
BUILT_IN = {
    ("ConfigMap", "bookshop-log-shipper"),
    ("DaemonSet", "bookshop-log-emitter"),
    ("DaemonSet", "bookshop-log-shipper"),
    ("PersistentVolumeClaim", "bookshop-log-aggregator"),
    ("Service", "bookshop-log-aggregator"),
    ("StatefulSet", "bookshop-log-aggregator"),
}
REMOTE = {one for one in BUILT_IN if not one[1].endswith("aggregator")}


class StubSurveyor:
    """Takes orders, and finds what a test says."""

    def __init__(self) -> None:
        self.orders: list[SurveyOrder | None] = []
        self.survey: Survey | None = None

    def offer(self, _: DemoKey, order: SurveyOrder | None) -> Survey | None:
        self.orders.append(order)
        return self.survey if order is not None else None


class World:
    """A cluster of three nodes with one operator, whose process can be replaced."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cache = Cache()
        self.cluster = FakeCluster(self.cache)
        self.cluster.told_events = []
        self.restart()

    def restart(self) -> None:
        self.cache.__init__()  # type: ignore[misc]
        self.cache.put_node(node_body("control", taint(CONTROL_PLANE)))
        for name in NODES[1:]:
            self.cache.put_node(node_body(name))
        for body in self.cluster.demos.values():
            self.cache.put_demo(body)
        for (kind, _, _), body in self.cluster.objects.items():
            self.cache.put_child(kind, body)
        self.surveyor = StubSurveyor()
        self.reconciler = Reconciler(
            cluster=self.cluster,
            cache=self.cache,
            settings=SETTINGS,
            stories=story.load(),
            courier=SilentCourier(),  # type: ignore[arg-type]
            surveyor=self.surveyor,  # type: ignore[arg-type]
            discoverer=NoDiscoverer(),  # type: ignore[arg-type]
            registrar=NoRegistrar(),  # type: ignore[arg-type]
            wake=lambda *_: None,
            wake_to_tell=lambda *_: None,
            now=lambda: NOW + timedelta(seconds=self.seconds),
            clock=lambda: self.seconds,
            password=password,
        )

    def begin(self, section: Mapping[str, Any] | None = None, **more: Any) -> DemoKey:
        """A demo whose parts all run."""
        key = self.cluster.add_demo(demo_body(log_shipping=section or {}, **more))
        self.settle(key)
        self.start_pods()
        self.settle(key)
        return key

    def start_pods(self) -> None:
        for name in NODES:
            self.cluster.put("Pod", part_body("log-shipper", name))
            self.cluster.put("Pod", part_body("log-emitter", name))
        body = part_body(
            "log-aggregator", "worker-1", name="bookshop-log-aggregator-0", ip="10.1.1.1"
        )
        self.cluster.put("Pod", body)

    def look(self, key: DemoKey) -> float | None:
        return asyncio.run(look_and_tell(self.reconciler, key))

    def settle(self, key: DemoKey) -> None:
        settle(self.cluster, lambda: self.look(key))

    def counted(self, came: int, of: int = 100, run: int = 1) -> None:
        """Every emitter has written all, and so many have come of each."""
        pods = [f"bookshop-log-emitter-{name}" for name in NODES]
        self.surveyor.survey = Survey(
            last={
                pod: LastLine(series="0000000a", run=run, seq=of, of=of, time=NOW) for pod in pods
            },
            received=tuple(
                SeriesCount(
                    pod=pod, series="0000000a", rows=came, distinct=came, highest=came, newest=NOW
                )
                for pod in pods
            ),
        )

    def children(self) -> set[tuple[str, str]]:
        return {
            (kind, name)
            for kind, _, name in self.cluster.objects
            if kind not in ("Pod", "Job", "CronJob")
        }

    def told(self, key: DemoKey) -> dict[str, Any]:
        return dict(self.cluster.status(key)["logShipping"])

    def writes_of(self, key: DemoKey) -> list[str]:
        """What one more look writes."""
        before = len(self.cluster.writes)
        self.look(key)
        return self.cluster.writes[before:]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("section", [{}, ELSEWHERE], ids=["built-in", "elsewhere"])
def test_it_comes_to_rest_and_then_writes_nothing(world: World, section: dict[str, Any]) -> None:
    key = world.begin(section)
    assert world.children() == (REMOTE if section else BUILT_IN)
    world.counted(100)
    world.settle(key)
    assert world.cluster.status(key)["phase"] == "Ready"
    assert [tale["concept"] for tale in world.cluster.status(key)["story"]] == ["DaemonSet"]
    assert world.writes_of(key) == []
    world.restart()
    assert world.writes_of(key) == [], "nor does a new process"
    world.seconds = 86400
    assert world.writes_of(key) == []


def test_what_the_api_server_writes_its_own_way_is_no_drift(world: World) -> None:
    key = world.begin({"storage": "0.5Gi"})
    for kind, field, value in (
        ("PersistentVolumeClaim", "resources", {"requests": {"storage": "512Mi"}}),
        ("PersistentVolumeClaim", "storageClassName", "standard"),
        ("Service", "clusterIP", "10.96.0.7"),
        ("StatefulSet", "podManagementPolicy", "OrderedReady"),
        ("DaemonSet", "revisionHistoryLimit", 10),
    ):
        for body in world.cluster.all_of(kind):
            body["spec"] = body["spec"] | {field: value}
            world.cluster.put(kind, body)
    world.settle(key)
    assert not [one for one in world.cluster.events if one["reason"] == "PutRight"]


def test_what_the_section_leaves_behind_is_removed_with_it(world: World) -> None:
    key = world.begin(cron_jobs=[NIGHTLY])
    world.cluster.change_spec(key, cron_jobs=[NIGHTLY])
    world.settle(key)
    assert world.children() == {("PersistentVolumeClaim", "bookshop-data")}
    assert world.surveyor.orders[-1] is None
    status = world.cluster.status(key)
    assert "logShipping" not in status
    assert "LogsShipped" not in {one["type"] for one in status["conditions"]}


def test_a_destination_may_change_and_change_back(world: World) -> None:
    key = world.begin()
    world.cluster.change_spec(key, log_shipping=ELSEWHERE)
    world.settle(key)
    assert world.children() == REMOTE
    order = world.surveyor.orders[-1]
    assert order is not None
    assert order.knows is False
    assert "received" not in world.told(key)
    world.cluster.change_spec(key, log_shipping={})
    world.settle(key)
    assert world.children() == BUILT_IN
    order = world.surveyor.orders[-1]
    assert order is not None
    assert order.knows is True


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("ConfigMap", "data", {"config.json": "{}"}),
        ("Service", "spec", {"selector": {"app": "another"}}),
        ("Service", "spec", {"ports": []}),
        ("StatefulSet", "spec", {"replicas": 0}),
        ("DaemonSet", "spec", {"template": {"spec": {"nodeSelector": {"no": "where"}}}}),
        ("DaemonSet", "spec", {"updateStrategy": {"type": "OnDelete"}}),
    ],
)
def test_drift_is_put_right_and_told(
    world: World, kind: str, field: str, value: dict[str, Any]
) -> None:
    key = world.begin()
    name = min(name for of_kind, name in BUILT_IN if of_kind == kind)
    body = world.cluster.objects[kind, "workshop", name]
    asked = dict(body[field])
    body[field] = asked | value
    world.cluster.put(kind, body)
    world.settle(key)
    assert world.cluster.objects[kind, "workshop", name][field] == asked
    (event,) = (one for one in world.cluster.events if one["reason"] == "PutRight")
    assert f"{kind} {name} was changed by hand" in event["message"]


@pytest.mark.parametrize(("kind", "name"), sorted(BUILT_IN))
def test_each_part_that_is_deleted_comes_back(world: World, kind: str, name: str) -> None:
    key = world.begin()
    world.cluster.remove(kind, world.cluster.objects[kind, "workshop", name])
    world.settle(key)
    assert world.children() == BUILT_IN


@pytest.mark.parametrize("kind", ["Service", "ConfigMap", "StatefulSet"])
def test_an_object_of_somebody_else_is_left_alone_and_told_of(world: World, kind: str) -> None:
    (name,) = (name for of_kind, name in BUILT_IN if of_kind == kind)
    theirs = {"kind": kind, "metadata": {"name": name, "namespace": "workshop", "uid": "theirs"}}
    world.cluster.objects[kind, "workshop", name] = theirs
    key = world.cluster.add_demo(demo_body(CI, log_shipping={}))
    # The others are tried all the same, and so is this one again.
    with pytest.raises(NameTakenError):
        world.look(key)
    assert world.cluster.objects[kind, "workshop", name] is theirs
    told = world.told(key)
    assert (told["reason"], told["asExpected"]) == ("NameTaken", False)
    assert world.children() == BUILT_IN
    assert len(world.cluster.jobs()) == 1, "the rest of the demo runs"


def test_what_ails_a_namesake_is_told_of_the_namesake_alone(world: World) -> None:
    """A CronJob named log-shipper is called like the DaemonSet."""
    entry = NIGHTLY | {"name": "log-shipper"}
    world.cluster.failures["CronJob"] = RejectedError("cannot apply CronJob: no")
    key = world.cluster.add_demo(demo_body(cron_jobs=[entry], log_shipping={}))
    world.look(key)
    assert world.cluster.status(key)["cronJobs"][0]["reason"] == "ApplyRejected"
    assert world.told(key)["reason"] == "Starting"
    world.cluster.failures = {"DaemonSet": RejectedError("cannot apply DaemonSet: no")}
    world.cluster.change_spec(key, cron_jobs=[entry], log_shipping={"emitter": {"run": 2}})
    world.look(key)
    assert world.told(key)["reason"] == "ApplyRejected"
    assert world.cluster.status(key)["cronJobs"][0]["reason"] != "ApplyRejected"


def test_a_volume_that_cannot_grow_is_told_in_the_api_servers_words(world: World) -> None:
    key = world.begin()
    world.cluster.failures["PersistentVolumeClaim"] = ForbiddenError(
        "cannot apply PersistentVolumeClaim: the storageclass must support resize"
    )
    world.cluster.change_spec(key, log_shipping={"storage": "2Gi", "emitter": {"run": 2}})
    with pytest.raises(ForbiddenError):
        world.look(key)
    assert "must support resize" in world.told(key)["message"]
    emitter = world.cluster.objects["DaemonSet", "workshop", "bookshop-log-emitter"]
    (container,) = emitter["spec"]["template"]["spec"]["containers"]
    assert {"name": "RUN", "value": "2"} in container["env"], "the rest is carried out"


def _refuse(world: World, *events: tuple[str, str, float]) -> None:
    world.cluster.told_events = [
        {"reason": reason, "message": message, "lastTimestamp": time(at)}
        for reason, message, at in events
    ]
    body = world.cluster.objects["DaemonSet", "workshop", "bookshop-log-shipper"]
    body["status"] = {"desiredNumberScheduled": 3}
    world.cluster.put("DaemonSet", body)


PSA = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": hostPath volumes'


def test_pod_security_is_told_from_events_and_the_rest_of_the_demo_runs(world: World) -> None:
    key = world.cluster.add_demo(demo_body(CI, log_shipping={}))
    world.settle(key)
    _refuse(world, ("FailedCreate", PSA, 1))
    assert world.look(key) == pytest.approx(5), "no watch tells of Events"
    told = world.told(key)
    assert (told["reason"], told["asExpected"]) == ("PodSecurity", False)
    assert "kubectl label namespace workshop" in told["message"]
    assert len(world.cluster.jobs()) == 1
    # The label is set; the controller makes its Pods, and the Events of before are still there.
    world.start_pods()
    world.settle(key)
    assert world.told(key)["reason"] == "Shipping"
    reads = world.cluster.event_reads
    world.look(key)
    assert world.cluster.event_reads == reads, "at rest no Event is read"


def test_a_refusal_that_was_overcome_is_no_reason_any_more(world: World) -> None:
    key = world.begin()
    _refuse(world, ("FailedCreate", PSA, 1), ("SuccessfulCreate", "Created pod: y", 9))
    pod = world.cluster.objects["Pod", "workshop", "bookshop-log-shipper-worker-2"]
    world.cluster.remove("Pod", pod)
    world.settle(key)
    told = world.told(key)
    assert [(one["node"], one["reason"]) for one in told["uncovered"]] == [("worker-2", "NoPod")]
    assert told["reason"] == "Starting"
    _refuse(
        world,
        ("FailedCreate", "exceeded quota", 9),
        ("SuccessfulCreate", "Created pod: y", 9),
        ("FailedCreate", PSA, 1),
    )
    world.settle(key)
    assert world.told(key)["uncovered"][0]["reason"] == "FailedCreate"


def test_a_pod_that_is_replaced_is_no_complaint_however_old_the_demo(world: World) -> None:
    key = world.begin()
    world.counted(100)
    world.settle(key)
    phases = []

    def look(after: float) -> float | None:
        world.seconds = after
        wait = world.look(key)
        phases.append(world.cluster.status(key)["phase"])
        return wait

    name = "bookshop-log-shipper-worker-2"
    body = world.cluster.objects["Pod", "workshop", name]
    world.cluster.put("Pod", part_body("log-shipper", "worker-2", terminating=True))
    look(5000)
    world.cluster.remove("Pod", body)
    assert look(5010) == pytest.approx(50)
    new = part_body("log-shipper", "worker-2", name=f"{name}-new", at=5010, ready=False)
    world.cluster.put("Pod", new)
    assert look(5011) == pytest.approx(59)
    world.cluster.put("Pod", part_body("log-shipper", "worker-2", name=f"{name}-new", at=5010))
    look(5015)
    assert phases == ["Progressing", "Progressing", "Progressing", "Ready"]
    # It goes again: it has its minute again, and no longer.
    world.cluster.remove("Pod", new)
    look(6000)
    look(6060)
    assert phases[4:] == ["Progressing", "Degraded"]


def test_a_node_that_comes_and_goes_is_followed(world: World) -> None:
    key = world.begin()
    world.cache.put_node(node_body("worker-3"))
    world.look(key)
    told = world.told(key)
    assert (told["covered"], told["desired"]) == (3, 4)
    world.cluster.put("Pod", part_body("log-shipper", "worker-3"))
    world.look(key)
    assert world.told(key)["covered"] == 4
    world.cache.remove_node("worker-3")
    world.look(key)
    told = world.told(key)
    assert (told["covered"], told["desired"], told.get("uncovered")) == (3, 3, None)


def test_what_is_to_be_counted_is_ordered_and_nothing_when_all_is_settled(world: World) -> None:
    key = world.begin()
    order = world.surveyor.orders[-1]
    assert order is not None
    assert (order.namespace, order.container, order.run) == ("workshop", "log-emitter", 1)
    assert (order.address, order.knows) == ("10.1.1.1", True)
    assert [one.node for one in order.emitters] == list(NODES)
    assert "run=1 series=" in order.query
    assert "bookshop-log-emitter-" in order.query
    world.counted(100)
    world.settle(key)
    settled = world.surveyor.orders[-1]
    assert settled is None
    world.cluster.put("Pod", part_body("log-emitter", "worker-2", restarts=1))
    world.look(key)
    again = world.surveyor.orders[-1]
    assert again is not None
    assert [one.node for one in again.emitters] == ["worker-2"], "only what is not settled"


def test_an_aggregator_that_goes_has_no_address(world: World) -> None:
    key = world.begin()
    name = "bookshop-log-aggregator-0"
    going = part_body("log-aggregator", "worker-1", name=name, ip="10.1.1.1", terminating=True)
    world.cluster.put("Pod", going)
    world.look(key)
    order = world.surveyor.orders[-1]
    assert order is not None
    assert order.address is None


def test_counts_survive_a_new_operator(world: World) -> None:
    key = world.begin()
    world.counted(90)
    world.settle(key)
    before = world.told(key)
    assert (before["written"], before["received"]) == (300, 270)
    world.restart()
    assert world.writes_of(key) == []
    # Its first answer: there is none.
    world.surveyor.survey = Survey(trouble="the log aggregator cannot be reached", unheard=NOW)
    world.settle(key)
    told = world.told(key)
    assert (told["written"], told["received"], told["reason"]) == (300, 270, "AggregatorAway")
    world.counted(100)
    world.settle(key)
    assert world.told(key)["received"] == 300


def test_a_new_run_is_counted_from_its_own_pods(world: World) -> None:
    key = world.begin()
    world.counted(100)
    world.settle(key)
    world.cluster.change_spec(key, log_shipping={"emitter": {"run": 2}})
    world.settle(key)
    told = world.told(key)
    assert (told["run"], told["written"], told["reason"]) == (2, 0, "Shipping")
    order = world.surveyor.orders[-1]
    assert order is not None
    assert order.run == 2
    assert "run=2 series=" in order.query


def test_a_demo_that_goes_is_counted_no_more(world: World) -> None:
    key = world.begin()
    assert world.surveyor.orders[-1] is not None
    world.cache.remove_demo(key, "demo-uid-1")
    assert world.look(key) is None
    assert world.surveyor.orders[-1] is None


def test_counts_of_a_thousand_nodes_settle_though_the_status_has_not_all(world: World) -> None:
    key = world.cluster.add_demo(demo_body(log_shipping={"tolerations": [{"operator": "Exists"}]}))
    world.settle(key)
    names = [f"node-{at:04}" for at in range(1000)]
    for name in names:
        world.cache.put_node(node_body(name))
        for component in ("log-shipper", "log-emitter"):
            world.cluster.put("Pod", part_body(component, name))
    world.start_pods()
    pods = [f"bookshop-log-emitter-{name}" for name in (*names, *NODES)]
    world.surveyor.survey = Survey(
        last={pod: LastLine(series="0000000a", run=1, seq=9, of=9, time=NOW) for pod in pods},
        received=tuple(
            SeriesCount(pod=pod, series="0000000a", rows=9, distinct=9, highest=9, newest=NOW)
            for pod in pods
        ),
    )
    world.settle(key)
    told = world.told(key)
    assert (told["reason"], told["covered"], told["desired"]) == ("AllLinesArrived", 1003, 1003)
    assert (told["written"], told["received"]) == (9027, 9027)
    assert len(told["nodes"]) <= 200
    assert world.surveyor.orders[-1] is None
    assert world.writes_of(key) == []


QUERY = "kubectl get --raw '/api/v1/namespaces/workshop/services/bookshop-log-aggregator:9428/"


def test_a_job_that_ended_tells_how_to_see_its_log(world: World) -> None:
    key = world.begin(None)
    world.cluster.change_spec(key, CI, log_shipping={})
    world.settle(key)
    (told,) = world.cluster.status(key)["jobs"]
    assert "logQuery" not in told
    job = world.cluster.job("ci")
    world.cluster.put("Pod", pod_body(job, "p1", "Running"))
    world.settle(key)
    assert "logQuery" not in world.cluster.status(key)["jobs"][0]
    world.cluster.finish(job, "Complete", "CompletionsReached")
    world.settle(key)
    (told,) = world.cluster.status(key)["jobs"]
    assert told["logQuery"].startswith(QUERY)
    assert job["metadata"]["name"] in told["logQuery"]
    assert world.writes_of(key) == []
    world.restart()
    assert world.writes_of(key) == []
    world.cluster.change_spec(key, CI)
    world.settle(key)
    assert "logQuery" not in world.cluster.status(key)["jobs"][0]


def test_a_job_tells_no_query_where_the_logs_go_elsewhere(world: World) -> None:
    key = world.begin(ELSEWHERE)
    world.cluster.change_spec(key, CI, log_shipping=ELSEWHERE)
    world.settle(key)
    world.cluster.finish(world.cluster.job("ci"), "Failed", "BackoffLimitExceeded")
    world.settle(key)
    assert "logQuery" not in world.cluster.status(key)["jobs"][0]


def _run(world: World, number: int) -> None:
    """The CronJob controller makes a Job and ends it."""
    (cron_job,) = world.cluster.all_of("CronJob")
    at = number * 86400
    name = f"bookshop-nightly-{29000000 + number * 1440}"
    world.cluster.put(
        "Job",
        {
            "metadata": {
                "name": name,
                "namespace": "workshop",
                "uid": f"uid-{name}",
                "labels": dict(cron_job["spec"]["jobTemplate"]["metadata"]["labels"]),
                "annotations": {"batch.kubernetes.io/cronjob-scheduled-timestamp": time(at)},
                "creationTimestamp": time(at),
                "ownerReferences": [{"uid": cron_job["metadata"]["uid"], "controller": True}],
            },
            "spec": {},
            "status": {
                "startTime": time(at),
                "conditions": [condition("Complete", "CompletionsReached", at + 9)],
            },
        },
    )


def test_of_a_cron_job_the_newest_five_runs_tell_it(world: World) -> None:
    key = world.begin(cron_jobs=[NIGHTLY])
    for number in range(1, 9):
        world.seconds = number * 86400 + 60
        _run(world, number)
        world.settle(key)
    (told,) = world.cluster.status(key)["cronJobs"]
    ended = [run for run in told["runs"] if run["outcome"] == "Complete"]
    assert len(ended) > 5
    assert [("logQuery" in run) for run in told["runs"]] == [
        index < 5 and run["outcome"] == "Complete" for index, run in enumerate(told["runs"])
    ]
    for run in told["runs"][:5]:
        if "logQuery" in run:
            assert run["job"] in run["logQuery"]
    assert world.writes_of(key) == []


def test_of_many_jobs_and_runs_the_newest_tell_it_within_their_room(world: World) -> None:
    jobs = [CI | {"name": f"{'j' * 30}-{at:02}"} for at in range(20)]
    key = world.begin(None)
    world.cluster.change_spec(key, *jobs, log_shipping={})
    world.settle(key)
    for job in world.cluster.jobs():
        world.cluster.finish(job, "Complete", "CompletionsReached")
    world.settle(key)
    told = world.cluster.status(key)["jobs"]
    assert all("logQuery" in job for job in told)
    assert sum(len(job["logQuery"]) for job in told) < 12 * 1024


def test_a_last_word_is_not_missed_because_a_node_has_no_pod(world: World) -> None:
    key = world.begin()
    world.cluster.change_spec(key, CI, log_shipping={})
    world.settle(key)
    _refuse(world)
    world.cluster.remove(
        "Pod", world.cluster.objects["Pod", "workshop", "bookshop-log-shipper-worker-1"]
    )
    pod = pod_body(world.cluster.job("ci"), "p1", "Running")
    pod["metadata"]["deletionTimestamp"] = time(5)
    world.cluster.put("Pod", pod)
    assert world.look(key) == pytest.approx(1)
