"""A demo with spec.statefulSet, from its spec to its status, against a cluster in memory."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from logshipping import node_body
from office import NoDiscoverer, NoSurveyor, SilentCourier, look_and_tell, settle
from statefulset import claim_body, member_body, said_by, set_body
from support import NOW, SETTINGS, FakeCluster, demo_body, time
from workshopdemo import story
from workshopdemo.cluster import Cache
from workshopdemo.errors import ClusterError, ForbiddenError, NotFoundError, UnavailableError
from workshopdemo.facts import child_of
from workshopdemo.names import DemoKey
from workshopdemo.observe import Hearing, MemberPod
from workshopdemo.reconcile import Reconciler

CI = {"name": "ci", "scenario": "CIPipeline"}
DIARY = {"scenario": "Diary", "replicas": 2}
POSTGRES = {"scenario": "Postgres", "replicas": 2}
PARTS = {
    "Diary": {
        ("Service", "bookshop-diary"),
        ("Service", "bookshop-diary-members"),
        ("StatefulSet", "bookshop-diary"),
    },
    "Postgres": {
        ("ConfigMap", "bookshop-database"),
        ("Secret", "bookshop-database"),
        ("Service", "bookshop-database"),
        ("Service", "bookshop-database-members"),
        ("StatefulSet", "bookshop-database"),
    },
}
QUOTA = 'pods "bookshop-diary-1" is forbidden: exceeded quota: room'


class Told:
    """A registrar that has heard what a test says."""

    def __init__(self) -> None:
        self.orders: list[tuple[MemberPod, ...] | None] = []
        self.hearing: Hearing | None = None

    def offer(self, _: DemoKey, order: tuple[MemberPod, ...] | None) -> Hearing | None:
        self.orders.append(order)
        return self.hearing if order is not None else None


class World:
    """A cluster of two nodes, a StatefulSet controller, and an operator that can be replaced."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cache = Cache()
        self.cluster = FakeCluster(self.cache)
        self.cluster.told_events = []
        self.passwords: list[str] = []
        self.restart()

    def restart(self) -> None:
        self.cache.__init__()  # type: ignore[misc]
        for name in ("worker-1", "worker-2"):
            self.cache.put_node(node_body(name))
        for body in self.cluster.demos.values():
            self.cache.put_demo(body)
        for (kind, _, _), body in self.cluster.objects.items():
            if kind != "Secret":
                self.cache.put_child(kind, body)
        self.registrar = Told()
        self.reconciler = Reconciler(
            cluster=self.cluster,
            cache=self.cache,
            settings=SETTINGS,
            stories=story.load(),
            courier=SilentCourier(),  # type: ignore[arg-type]
            surveyor=NoSurveyor(),  # type: ignore[arg-type]
            discoverer=NoDiscoverer(),  # type: ignore[arg-type]
            registrar=self.registrar,  # type: ignore[arg-type]
            wake=lambda *_: None,
            wake_to_tell=lambda *_: None,
            now=lambda: NOW + timedelta(seconds=self.seconds),
            clock=lambda: self.seconds,
            password=self.password,
        )

    def password(self) -> str:
        self.passwords.append(f"s3cret-{len(self.passwords)}")
        return self.passwords[-1]

    def add(self, section: Mapping[str, Any], *jobs: Mapping[str, Any], **more: Any) -> DemoKey:
        return self.cluster.add_demo(demo_body(*jobs, stateful_set=section, **more))

    def begin(self, section: Mapping[str, Any], *jobs: Mapping[str, Any], **more: Any) -> DemoKey:
        """A demo whose members all run and have answered."""
        key = self.add(section, *jobs, **more)
        self.settle(key)
        self.control(section)
        self.settle(key)
        return key

    def control(self, section: Mapping[str, Any], *, life: int = 1, owned: bool = True) -> None:
        """What Kubernetes makes of the StatefulSet."""
        component = "diary" if section["scenario"] == "Diary" else "database"
        name = f"bookshop-{component}"
        body = self.cluster.objects["StatefulSet", "workshop", name]
        body["status"] = set_body(component)["status"]
        body["metadata"]["generation"] = 1
        self.cluster.put("StatefulSet", body)
        said = {}
        for ordinal in range(section["replicas"]):
            pod = member_body(ordinal, component, life=life, owner=body["metadata"]["uid"])
            self.cluster.put("Pod", pod)
            self.cluster.put("PersistentVolumeClaim", claim_body(ordinal, component, owned=owned))
            child = child_of("Pod", pod)
            role = "Replica" if ordinal else "Primary"
            more: dict[str, Any] = {} if component == "diary" else {"role": role}
            said[child.uid] = said_by(child, life, **more)
        self.registrar.hearing = Hearing(said=said)

    def look(self, key: DemoKey) -> float | None:
        return asyncio.run(look_and_tell(self.reconciler, key))

    def settle(self, key: DemoKey) -> None:
        settle(self.cluster, lambda: self.look(key))

    def told(self, key: DemoKey) -> dict[str, Any]:
        return dict(self.cluster.status(key)["statefulSet"])

    def parts(self) -> set[tuple[str, str]]:
        known = ("Pod", "PersistentVolumeClaim", "Job", "CronJob")
        return {(kind, name) for kind, _, name in self.cluster.objects if kind not in known}

    def claims(self) -> list[str]:
        claims = self.cluster.all_of("PersistentVolumeClaim")
        return sorted(one["metadata"]["name"] for one in claims)

    def writes_of(self, key: DemoKey) -> list[str]:
        """What one more look writes."""
        before = len(self.cluster.writes)
        self.look(key)
        return self.cluster.writes[before:]

    def secret(self) -> dict[str, Any]:
        return self.cluster.objects["Secret", "workshop", "bookshop-database"]

    def events(self, reason: str) -> list[str]:
        return [one["message"] for one in self.cluster.events if one["reason"] == reason]

    def remove_demo(self, key: DemoKey) -> None:
        del self.cluster.demos[key]
        self.cache.remove_demo(key, "demo-uid-1")


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("section", "line", "wait"),
    [
        (DIARY, "diary 2/2", None),
        # Of a Secret that is removed no watch tells.
        (POSTGRES, "database 2/2", 60),
    ],
)
def test_a_demo_comes_to_rest_and_then_writes_nothing(
    world: World, section: dict[str, Any], line: str, wait: float | None
) -> None:
    key = world.begin(section)
    assert world.parts() == PARTS[section["scenario"]]
    status = world.cluster.status(key)
    assert (status["phase"], status["summary"]) == ("Ready", line)
    assert [tale["concept"] for tale in status["story"]] == ["StatefulSet"]
    for _ in range(10):
        world.seconds += 61
        assert world.writes_of(key) == []
        assert world.look(key) == wait
    world.restart()
    assert world.writes_of(key) == [], "nor does a new process, which has heard nothing yet"
    assert world.look(key) == wait


def test_the_registrar_is_told_whom_to_ask(world: World) -> None:
    key = world.begin(DIARY)
    order = world.registrar.orders[-1]
    assert order is not None
    assert [(one.pod, one.address, one.ready) for one in order] == [
        ("bookshop-diary-0", "10.0.0.1", True),
        ("bookshop-diary-1", "10.0.1.1", True),
    ]
    world.remove_demo(key)
    world.look(key)
    assert world.registrar.orders[-1] is None


def test_what_the_section_has_made_goes_with_it_and_claims_are_kubernetes_business(
    world: World,
) -> None:
    key = world.begin(DIARY, CI)
    world.cluster.change_spec(key, CI)
    world.settle(key)
    assert world.parts() == set()
    assert world.claims() == ["data-bookshop-diary-0", "data-bookshop-diary-1"]
    assert world.registrar.orders[-1] is None
    status = world.cluster.status(key)
    assert "statefulSet" not in status
    assert "StatefulSetReady" not in {one["type"] for one in status["conditions"]}


def test_another_scenario_is_another_stateful_set(world: World) -> None:
    key = world.begin(DIARY)
    world.cluster.change_spec(key, stateful_set=POSTGRES)
    world.settle(key)
    assert world.parts() == PARTS["Postgres"]
    told = world.told(key)
    assert [row["pod"] for row in told["members"]] == [
        "bookshop-database-0",
        "bookshop-database-1",
    ]
    assert told["members"][0]["cameBack"] == 0
    assert "steps" not in told


# The Secret.


def test_passwords_are_made_once(world: World) -> None:
    key = world.begin(POSTGRES)
    assert world.secret()["stringData"] == {
        "password": "s3cret-0",
        "replicationPassword": "s3cret-1",
    }
    for _ in range(5):
        world.seconds += 61
        world.look(key)
    world.restart()
    world.look(key)
    assert world.cluster.writes.count("create Secret bookshop-database") == 1
    assert len(world.passwords) == 2, "an operator that starts anew finds them"


def test_a_secret_that_was_removed_is_made_anew_within_a_minute(world: World) -> None:
    key = world.begin(POSTGRES)
    world.seconds += 61
    world.look(key)
    del world.cluster.objects["Secret", "workshop", "bookshop-database"]
    world.seconds += 59
    assert world.look(key) == pytest.approx(1)
    assert ("Secret", "bookshop-database") not in world.parts()
    world.seconds += 1
    world.look(key)
    assert world.secret()["stringData"]["password"] == "s3cret-2"


def test_a_secret_of_somebody_else_is_left_alone_and_told_of(world: World) -> None:
    theirs = {
        "kind": "Secret",
        "metadata": {"name": "bookshop-database", "namespace": "workshop", "uid": "theirs"},
        "data": {"password": "dGhlaXJz"},
    }
    world.cluster.objects["Secret", "workshop", "bookshop-database"] = theirs
    key = world.add(POSTGRES, CI)
    for _ in range(3):
        with suppress(ClusterError):
            world.look(key)
        world.seconds += 10
    assert world.secret() is theirs
    assert world.passwords == []
    told = world.told(key)
    assert (told["asExpected"], told["reason"]) == (False, "NameTaken")
    assert "Secret bookshop-database is there and is not this demo's" in told["message"]
    assert len(world.cluster.jobs()) == 1, "the rest of the demo runs"
    del world.cluster.objects["Secret", "workshop", "bookshop-database"]
    world.settle(key)
    assert len(world.passwords) == 2


def test_who_is_quicker_makes_the_passwords(world: World) -> None:
    """Between get and create another operator may have made it."""
    key = world.add(POSTGRES)
    get = world.cluster.get

    async def blind(kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return None if kind == "Secret" else await get(kind, namespace, name)

    world.look(key)
    made = dict(world.secret()["stringData"])
    world.restart()
    world.cluster.get = blind  # type: ignore[method-assign]
    world.look(key)
    assert world.secret()["stringData"] == made


@pytest.mark.parametrize(
    "error", [ForbiddenError("cannot create Secret: exceeded quota"), UnavailableError("away")]
)
def test_a_secret_that_cannot_be_made_is_told_and_tried_again(
    world: World, error: ClusterError
) -> None:
    world.cluster.failures["create"] = error
    key = world.add(POSTGRES)
    with pytest.raises(type(error)):
        world.look(key)
    assert world.told(key)["reason"] == error.reason
    del world.cluster.failures["create"]
    world.seconds += 1
    world.look(key)
    assert world.secret()


def test_a_namespace_that_goes_gets_no_secret_and_no_complaint(world: World) -> None:
    world.cluster.failures["create"] = NotFoundError("namespace is going")
    key = world.add(POSTGRES)
    assert world.look(key) == 10


def test_a_demo_that_takes_the_place_of_another_has_passwords_at_once(world: World) -> None:
    key = world.begin(POSTGRES)
    world.remove_demo(key)
    world.cluster.objects.clear()
    world.cluster.add_demo(demo_body(stateful_set=POSTGRES, uid="demo-uid-2"))
    world.look(key)
    assert world.secret()["metadata"]["labels"]["workshopdemo.dev/demo-uid"] == "demo-uid-2"


def test_no_password_is_ever_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = world.begin(POSTGRES, {"name": "migrate", "scenario": "DatabaseMigration"})
    world.cluster.failures["StatefulSet"] = ForbiddenError("cannot apply StatefulSet: no")
    body = world.cluster.objects["StatefulSet", "workshop", "bookshop-database"]
    body["spec"]["replicas"] = 7
    world.cluster.put("StatefulSet", body)
    with pytest.raises(ForbiddenError) as raised:
        world.look(key)
    kept = {one: body for one, body in world.cluster.objects.items() if one[0] != "Secret"}
    everything = [
        str(kept),
        str(world.cluster.demos),
        str(world.cluster.events),
        str(world.cluster.writes),
        repr(raised.value),
        caplog.text,
    ]
    assert len(world.passwords) == 2
    assert not [said for said in everything if "s3cret" in said]


# Claims.


@pytest.mark.parametrize("retain", [False, True])
def test_claims_of_members_are_never_pruned(world: World, retain: bool) -> None:
    section = DIARY | {"retain": retain}
    key = world.begin(section)
    world.control(section, owned=not retain)
    world.settle(key)
    assert world.claims() == ["data-bookshop-diary-0", "data-bookshop-diary-1"]
    assert not [one for one in world.cluster.writes if one.startswith("delete")]


def test_what_was_kept_is_removed_when_nothing_is_to_be_kept_any_more(world: World) -> None:
    key = world.begin(DIARY | {"retain": True})
    world.control(DIARY, owned=False)
    for ordinal in (2, 3):
        world.cluster.put("PersistentVolumeClaim", claim_body(ordinal))
    world.cluster.put("Pod", member_body(3, terminating=True))
    world.settle(key)
    assert len(world.claims()) == 4
    assert list(world.told(key)["keptClaims"]) == ["data-bookshop-diary-2"]
    world.cluster.change_spec(key, stateful_set=DIARY)
    world.settle(key)
    assert world.claims() == [
        "data-bookshop-diary-0",
        "data-bookshop-diary-1",
        "data-bookshop-diary-3",
    ]
    assert "delete PersistentVolumeClaim data-bookshop-diary-2" in world.cluster.writes


def test_claims_of_an_earlier_demo_of_this_name_are_found_again(world: World) -> None:
    for ordinal in (0, 4):
        old = claim_body(ordinal, demo_uid="demo-uid-0")
        world.cluster.put("PersistentVolumeClaim", old)
    key = world.add(DIARY)
    world.settle(key)
    told = world.told(key)
    assert told["members"][0]["volume"] == "pv-0"
    assert list(told["keptClaims"]) == ["data-bookshop-diary-4"]
    assert len(world.claims()) == 2, "they are not this demo's to remove"


@pytest.mark.parametrize("going", ["gone", "going", "replaced"])
def test_what_a_demo_leaves_behind_is_told_once(world: World, going: str) -> None:
    key = world.begin(DIARY | {"retain": True})
    world.control(DIARY, owned=False)
    world.settle(key)
    if going == "going":
        body = world.cluster.demos[key]
        body["metadata"]["deletionTimestamp"] = time()
        world.cluster.add_demo(body)
        world.look(key)
    world.remove_demo(key)
    if going == "replaced":
        world.cluster.add_demo(demo_body(CI, uid="demo-uid-2"))
    world.look(key)
    world.look(key)
    (told,) = world.events("ClaimsKept")
    assert "data-bookshop-diary-0, data-bookshop-diary-1" in told
    event = next(one for one in world.cluster.events if one["reason"] == "ClaimsKept")
    assert event["involvedObject"]["uid"] == "demo-uid-1"


def test_a_demo_that_leaves_nothing_behind_says_nothing(world: World) -> None:
    key = world.begin(DIARY)
    world.remove_demo(key)
    world.look(key)
    assert world.events("ClaimsKept") == []


def test_a_namespace_that_goes_too_is_told_nothing(world: World) -> None:
    key = world.begin(DIARY | {"retain": True})
    world.control(DIARY, owned=False)
    world.look(key)
    world.cluster.failures["post"] = NotFoundError("namespace is going")
    world.remove_demo(key)
    assert world.look(key) is None


# Drift.


@pytest.mark.parametrize(
    "edit",
    [
        {"replicas": 9},
        {"updateStrategy": {"type": "OnDelete"}},
        {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}},
        {"template": {}},
    ],
)
def test_drift_is_put_right_and_told(world: World, edit: dict[str, Any]) -> None:
    key = world.begin(DIARY)
    body = world.cluster.objects["StatefulSet", "workshop", "bookshop-diary"]
    asked = dict(body["spec"])
    body["spec"] = asked | edit
    world.cluster.put("StatefulSet", body)
    world.settle(key)
    assert world.cluster.objects["StatefulSet", "workshop", "bookshop-diary"]["spec"] == asked
    (event,) = world.events("PutRight")
    assert "StatefulSet bookshop-diary was changed by hand" in event


def test_what_cannot_be_changed_is_not_sent_anew_and_told_with_the_way_out(world: World) -> None:
    key = world.begin(DIARY)
    body = world.cluster.objects["StatefulSet", "workshop", "bookshop-diary"]
    (template,) = body["spec"]["volumeClaimTemplates"]
    older = template | {"metadata": {"name": "data", "labels": {"of": "an older version"}}}
    body["spec"] = body["spec"] | {"volumeClaimTemplates": [older], "replicas": 9}
    world.cluster.put("StatefulSet", body)
    world.settle(key)
    live = world.cluster.objects["StatefulSet", "workshop", "bookshop-diary"]["spec"]
    assert live["volumeClaimTemplates"] == [older]
    assert live["replicas"] == 2, "the rest is put right all the same"
    told = world.told(key)
    assert (told["asExpected"], told["reason"]) == (False, "ImmutableFields")
    assert "--cascade=orphan" in told["blocked"]["wayOut"]
    assert world.writes_of(key) == []


def test_a_stateful_set_that_is_made_anew_around_its_pods_is_the_same(world: World) -> None:
    key = world.begin(DIARY)
    before = world.told(key)
    body = world.cluster.objects["StatefulSet", "workshop", "bookshop-diary"]
    for pod in world.cluster.all_of("Pod"):
        del pod["metadata"]["ownerReferences"]
        world.cluster.put("Pod", pod)
    world.cluster.remove("StatefulSet", body)
    world.settle(key)
    world.control(DIARY)
    world.settle(key)
    after = world.told(key)
    assert after["steps"] == before["steps"], "no Pod was ever gone"
    assert [row["cameBack"] for row in after["members"]] == [0, 0]
    assert after["reason"] == "MembersReady"


@pytest.mark.parametrize(
    ("kind", "name"), sorted(PARTS["Postgres"] - {("Secret", "bookshop-database")})
)
def test_each_part_that_is_deleted_comes_back(world: World, kind: str, name: str) -> None:
    key = world.begin(POSTGRES)
    world.cluster.remove(kind, world.cluster.objects[kind, "workshop", name])
    world.settle(key)
    assert world.parts() == PARTS["Postgres"]


# What Events tell.


def tell_events(world: World, *events: tuple[str, str, float]) -> None:
    world.cluster.told_events = [
        {"reason": reason, "message": message, "lastTimestamp": time(at)}
        for reason, message, at in events
    ]


def test_why_there_is_no_pod_is_told_from_events(world: World) -> None:
    key = world.begin(DIARY)
    world.cluster.remove("Pod", world.cluster.objects["Pod", "workshop", "bookshop-diary-1"])
    tell_events(world, ("FailedCreate", QUOTA, 5))
    world.seconds = 10
    assert world.look(key) == 5, "no watch tells of Events"
    assert world.told(key)["blocked"]["reason"] == "QuotaExceeded"
    world.seconds = 100
    assert world.look(key) == 30
    tell_events(world, ("FailedCreate", QUOTA, 5), ("SuccessfulCreate", "", 101))
    world.look(key)
    assert "blocked" not in world.told(key)


def test_while_kubernetes_would_make_no_pod_no_event_is_read(world: World) -> None:
    key = world.add(DIARY)
    world.settle(key)
    world.control(DIARY | {"replicas": 1})
    reads = world.cluster.event_reads
    world.cluster.put("Pod", member_body(0, ready=False, waiting="ImagePullBackOff"))
    world.settle(key)
    world.seconds = 200
    assert world.look(key) is None
    assert world.cluster.event_reads == reads
    assert world.told(key)["blocked"]["reason"] == "ImagePullBackOff"


def test_why_a_claim_gets_no_volume_is_told_from_events(world: World) -> None:
    key = world.add(DIARY)
    world.settle(key)
    unplaced = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims"
    world.cluster.put("Pod", member_body(0, unplaced=unplaced))
    world.cluster.put("PersistentVolumeClaim", claim_body(0, volume=None))
    words = "no persistent volumes available for this claim and no storage class is set"
    tell_events(
        world, ("WaitForFirstConsumer", "it waits", 9), ("FailedBinding", words, 8), ("Else", "", 9)
    )
    world.seconds = 10
    assert world.look(key) == pytest.approx(50), "a Pod may take a minute"
    world.seconds += 50
    world.look(key)
    assert world.told(key)["blocked"]["reason"] == "NoDefaultStorageClass"


def test_events_that_cannot_be_read_are_no_reason_to_say_nothing(world: World) -> None:
    key = world.begin(DIARY)

    async def away(*_: object, **__: object) -> list[dict[str, Any]]:
        raise UnavailableError("cannot list Events: away")

    world.cluster.list_events = away  # type: ignore[method-assign]
    world.cluster.remove("Pod", world.cluster.objects["Pod", "workshop", "bookshop-diary-1"])
    with pytest.raises(UnavailableError):
        world.look(key)
    assert world.told(key)["reason"] == "Restarting"
