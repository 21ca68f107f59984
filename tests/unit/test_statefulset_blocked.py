"""What keeps a StatefulSet from going on, and the way out."""

from collections.abc import Callable
from typing import Any

import pytest

from logshipping import moment, node, taint
from statefulset import NEW, OLD, Scene
from workshopdemo.observe.blocked import COPY_PATIENCE
from workshopdemo.observe.coverage import START_PATIENCE
from workshopdemo.observe.stuck import PULL_PATIENCE

SOON = START_PATIENCE.total_seconds()
NO_VOLUME = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims"
NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
NOT_THERE = 'storageclass.storage.k8s.io "fast" not found'
ELSEWHERE = "0/3 nodes are available: 1 node(s) had {}, 2 node(s) had volume node affinity conflict"
NEWER_WORDS = "0/3 nodes are available: 3 node(s) didn't match PersistentVolume's node affinity"
NO_ROOM = "0/3 nodes are available: 3 Insufficient memory"
POD = "bookshop-diary-0"
CLAIM = f"data-{POD}"


def comes_after(scene: Scene, patience: float) -> Any:
    """The blockage that is one after so many seconds, and not before."""
    early = scene.look(patience - 1)
    assert (early.blocked, early.as_expected) == (None, None)
    assert scene.due == moment(patience)
    return scene.blockage(patience)


def waiting_for_volume(words: str | None, **section: Any) -> Scene:
    scene = Scene(replicas=1, **section)
    scene.member(0, unplaced=NO_VOLUME, claimed=False)
    scene.claim(0, volume=None)
    if words is not None:
        scene.claim_words = {CLAIM: words}
    return scene


@pytest.mark.parametrize(
    ("words", "section", "reason", "message", "way_out"),
    [
        (
            NO_CLASS,
            {},
            "NoDefaultStorageClass",
            "the cluster has no default storage class",
            "is-default-class",
        ),
        (
            NOT_THERE,
            {"storageClassName": "fast"},
            "NoSuchStorageClass",
            "there is no storage class fast",
            "add the section again with storageClassName",
        ),
        (
            "failed to provision volume: quota of disks is used up",
            {},
            "VolumePending",
            "quota of disks is used up",
            "kubectl get storageclass",
        ),
        (None, {}, "VolumePending", "nothing provides a volume for it", "kubectl get storageclass"),
    ],
)
def test_a_claim_without_a_volume_is_told_with_the_reason(
    words: str | None, section: dict[str, Any], reason: str, message: str, way_out: str
) -> None:
    found = comes_after(waiting_for_volume(words, **section), SOON)
    assert (found.reason, found.pod) == (reason, POD)
    assert found.message == f"claim {CLAIM} of {POD} has no volume: {message}" or (
        found.message.endswith(message)
    )
    assert way_out in found.way_out
    assert CLAIM in found.way_out


@pytest.mark.parametrize(
    ("unplaced", "reason"),
    [("binding volumes: context deadline exceeded", "SchedulerError"), ("x", "Pending")],
)
def test_a_volume_that_is_not_made_for_a_pod_that_has_a_node_is_told_too(
    unplaced: str, reason: str
) -> None:
    """Where the class waits for the first Pod, the scheduler says nothing while it is made."""
    scene = Scene(replicas=1)
    scene.member(0, unplaced=unplaced, unplaced_reason=reason, claimed=False)
    scene.claim(0, volume=None)
    scene.claim_words = {CLAIM: "failed to provision volume: disk full"}
    assert comes_after(scene, SOON).reason == "VolumePending"


def test_a_pod_without_room_is_not_blamed_on_its_claim() -> None:
    """Where the class waits for the first Pod that fits, its claim has no volume until then."""
    scene = Scene(replicas=1)
    scene.member(0, unplaced=NO_ROOM, claimed=False)
    scene.claim(0, volume=None)
    found = comes_after(scene, SOON)
    assert (found.reason, found.message) == ("Unschedulable", f"{POD} fits on no node: {NO_ROOM}")
    assert "make room" in found.way_out


def test_a_pod_that_fits_nowhere_although_it_has_its_volume_is_told_of() -> None:
    scene = Scene(replicas=1)
    scene.member(0, unplaced=NO_ROOM)
    assert comes_after(scene, SOON).reason == "Unschedulable"


@pytest.mark.parametrize("words", [ELSEWHERE, NEWER_WORDS])
@pytest.mark.parametrize("nodes", [["worker-2"], [], None], ids=["gone", "none", "not ready"])
def test_a_volume_on_a_node_that_is_gone_is_told_with_what_it_costs(
    words: str, nodes: list[str] | None
) -> None:
    scene = Scene(replicas=1)
    scene.nodes = [node("worker-1", ready=False)] if nodes is None else list(map(node, nodes))
    scene.member(0, unplaced=words, claimed=False)
    scene.claim(0, node="worker-1")
    found = comes_after(scene, SOON)
    assert found.reason == "VolumeOnLostNode"
    assert "is on node worker-1, which is gone or not Ready" in found.message
    assert f"kubectl delete pvc {CLAIM} -n workshop --wait=false" in found.way_out
    assert f"kubectl delete pod {POD} -n workshop" in found.way_out


def test_a_volume_of_which_nobody_says_where_it_is_is_told_of_all_the_same() -> None:
    scene = Scene(replicas=1)
    scene.member(0, unplaced=ELSEWHERE)
    assert "is on a node, which is gone" in comes_after(scene, SOON).message


def test_a_volume_on_a_node_without_room_names_the_node() -> None:
    scene = Scene(replicas=1)
    scene.member(0, unplaced=ELSEWHERE, claimed=False)
    scene.claim(0, node="worker-1")
    found = comes_after(scene, SOON)
    assert found.reason == "VolumeOnFullNode"
    assert found.way_out.startswith("make room on worker-1: kubectl describe node worker-1")


@pytest.mark.parametrize("words", [ELSEWHERE, NEWER_WORDS])
def test_a_volume_on_a_drained_node_is_told_at_once_with_the_way_back(words: str) -> None:
    scene = Scene(replicas=1)
    scene.nodes = [node("worker-1", taint("node.kubernetes.io/unschedulable")), node("worker-2")]
    scene.member(0, unplaced=words, claimed=False)
    scene.claim(0, node="worker-1")
    found = scene.blockage(1)
    assert (found.reason, found.pod) == ("VolumeOnCordonedNode", POD)
    assert "is on node worker-1, which takes no new Pods" in found.message
    assert found.way_out.startswith("kubectl uncordon worker-1")


@pytest.mark.parametrize("terminating", [False, True])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_member_on_a_lost_node_is_told_at_once(terminating: bool, is_there: bool) -> None:
    scene = Scene(replicas=2)
    scene.all_well()
    scene.look()
    scene.nodes = [node("worker-2")] + ([node("worker-1", ready=False)] if is_there else [])
    scene.member(0, node="worker-2")
    scene.member(1, ready=False, ready_at=10, terminating=terminating)
    found = scene.blockage(10)
    assert (found.reason, found.pod) == ("NodeLost", "bookshop-diary-1")
    assert "kubectl delete node worker-1" in found.way_out


BROKEN: dict[str, dict[str, Any]] = {
    "image": {"waiting": "ImagePullBackOff"},
    "pulling": {"waiting": "ErrImagePull"},
    "crash": {"waiting": "CrashLoopBackOff", "last": 1, "restarts": 1},
    "config": {"waiting": "CreateContainerConfigError"},
    "resources": {"unplaced": NO_ROOM},
}


def corrected(**section: Any) -> Scene:
    """The highest member is of a broken template, which has been corrected."""
    scene = Scene(replicas=2, **section)
    scene.all_well([0])
    scene.template(NEW)
    return scene


@pytest.mark.parametrize("ailment", BROKEN)
def test_a_broken_pod_of_an_older_template_has_to_be_deleted_by_hand(ailment: str) -> None:
    scene = corrected()
    scene.member(1, ready=False, **BROKEN[ailment])
    found = scene.blockage()
    assert (found.reason, found.pod) == ("ForcedRollback", "bookshop-diary-1")
    assert found.way_out == "kubectl delete pod bookshop-diary-1 -n workshop"
    assert "Kubernetes waits until it is Ready" in found.message


@pytest.mark.parametrize(
    "strategy",
    [{"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, {"type": "OnDelete"}],
    ids=["partition", "on delete"],
)
def test_what_an_update_strategy_would_replace_is_a_forced_rollback_too(
    strategy: dict[str, Any],
) -> None:
    scene = corrected(updateStrategy=strategy)
    scene.member(1, ready=False, waiting="ImagePullBackOff")
    found = scene.blockage()
    assert found.reason == "ForcedRollback"
    assert ("until it is deleted" in found.message) == (strategy["type"] == "OnDelete")


def test_with_on_delete_a_broken_pod_waits_for_its_deletion_in_parallel_too() -> None:
    scene = corrected(updateStrategy={"type": "OnDelete"}, podManagementPolicy="Parallel")
    scene.member(1, ready=False, waiting="ImagePullBackOff")
    assert scene.blockage().reason == "ForcedRollback"


@pytest.mark.parametrize(
    "section",
    [
        {"updateStrategy": {"rollingUpdate": {"partition": 2}}},
        {"podManagementPolicy": "Parallel"},
    ],
    ids=["below the partition", "parallel"],
)
def test_what_kubernetes_replaces_or_keeps_by_itself_is_no_forced_rollback(
    section: dict[str, Any],
) -> None:
    scene = corrected(**section)
    scene.member(1, ready=False, waiting="ImagePullBackOff")
    assert comes_after(scene, SOON).reason == "ImagePullBackOff"


def test_no_corrected_template_reaches_a_broken_pod_below_the_partition() -> None:
    scene = corrected(updateStrategy={"rollingUpdate": {"partition": 2}})
    scene.member(1, ready=False, waiting="ImagePullBackOff")
    assert comes_after(scene, SOON).way_out == (
        "lower spec.statefulSet.updateStrategy.rollingUpdate.partition to 1: members below it keep "
        "the template that they have"
    )


def test_a_broken_pod_of_todays_template_is_mended_by_the_image_whatever_the_partition() -> None:
    scene = Scene(replicas=2, image="no:such", updateStrategy={"rollingUpdate": {"partition": 2}})
    scene.all_well([0])
    scene.member(1, ready=False, waiting="ImagePullBackOff")
    assert comes_after(scene, SOON).way_out == "correct spec.statefulSet.image, or leave it out"


def test_an_older_pod_that_is_on_its_way_or_going_is_no_forced_rollback() -> None:
    scene = corrected()
    scene.member(1, ready=False, waiting="ContainerCreating")
    assert scene.look().blocked is None
    scene.member(1, ready=False, waiting="ImagePullBackOff", terminating=True)
    assert scene.look().blocked is None


def test_an_image_that_does_not_exist_is_told_with_the_field_to_correct() -> None:
    scene = Scene(replicas=1, image="no:such")
    scene.member(0, ready=False, waiting="ErrImagePull", message="not found")
    found = comes_after(scene, SOON)
    assert found.reason == "ImagePullBackOff"
    assert found.way_out == "correct spec.statefulSet.image, or leave it out"


CRASHES: dict[str, dict[str, Any]] = {
    "waits": {"waiting": "CrashLoopBackOff"},
    "runs": {"started": False},
    "has ended": {"ended": 1},
}


@pytest.mark.parametrize("component", ["Diary", "Postgres"])
def test_a_member_that_crashes_is_told_so_whenever_one_looks(component: str) -> None:
    scene = Scene(component, 2)
    scene.all_well([0])
    told = set()
    for crash in CRASHES.values():
        scene.member(1, ready=False, last=1, restarts=4, **crash)
        found = comes_after(scene, SOON)
        told.add((found.reason, found.message, found.way_out))
    ((reason, message, way_out),) = told
    assert reason == "CrashLoopBackOff"
    assert message.endswith("it ended with exit code 1")
    assert f"-c {'diary' if component == 'Diary' else 'postgres'} --previous" in way_out


def test_the_log_to_read_is_that_of_the_container_that_fails() -> None:
    scene = Scene("Postgres", 1)
    scene.member(
        0, ready=False, waiting="CrashLoopBackOff", last=3, restarts=2, container="witness"
    )
    assert "-c witness --previous" in comes_after(scene, SOON).way_out


def test_a_member_that_runs_without_getting_ready_is_told_with_its_log() -> None:
    scene = Scene(replicas=1)
    scene.member(0, ready=False, started=True)
    found = comes_after(scene, SOON)
    assert found.reason == "PodNotReady"
    assert found.way_out == f"kubectl logs {POD} -n workshop -c diary"


@pytest.mark.parametrize(
    ("ordinal", "restarts", "patience"),
    [(1, 0, COPY_PATIENCE.total_seconds()), (1, 1, SOON), (0, 0, SOON)],
    ids=["first copy", "not the first", "the primary"],
)
def test_only_a_replica_may_take_its_time_for_its_first_copy(
    ordinal: int, restarts: int, patience: float
) -> None:
    scene = Scene("Postgres", 2)
    scene.all_well([1 - ordinal])
    scene.member(ordinal, ready=False, started=False, restarts=restarts)
    comes_after(scene, patience)


def test_a_large_image_may_take_its_time() -> None:
    scene = Scene(replicas=1)
    scene.member(0, ready=False, waiting="ContainerCreating")
    found = comes_after(scene, PULL_PATIENCE.total_seconds())
    assert (found.reason, found.pod) == ("ContainerCreating", POD)


@pytest.mark.parametrize(
    "state",
    [
        {"ended": 42},
        {"waiting": "CrashLoopBackOff", "last": 42, "restarts": 1},
        {"last": 42, "restarts": 2},
    ],
    ids=["ended", "waits", "tries again"],
)
def test_a_replica_with_another_databases_data_is_told_at_once(state: dict[str, Any]) -> None:
    scene = Scene("Postgres", 2)
    scene.all_well([0])
    scene.member(1, ready=False, **state)
    found = scene.blockage()
    assert (found.reason, found.pod) == ("OtherDatabase", "bookshop-database-1")
    assert "is of another database than bookshop-database-0's, and is left alone" in found.message
    assert "kubectl delete pvc data-bookshop-database-1 -n workshop" in found.way_out


def test_an_exit_42_of_another_container_says_nothing_of_the_data() -> None:
    scene = Scene("Postgres", 1)
    scene.member(0, ready=False, ended=42, container="witness")
    assert scene.look().blocked is None


@pytest.mark.parametrize(
    ("refusal", "reason", "way_out"),
    [
        (
            'create Pod x failed error: pods "x" is forbidden: exceeded quota: room, pods=1',
            "QuotaExceeded",
            "kubectl describe quota -n workshop",
        ),
        (
            "create Claim y for Pod x failed error: forbidden: exceeded quota: requests.storage",
            "QuotaExceeded",
            "storage of spec.statefulSet",
        ),
        (
            'pods "bookshop-diary-0" is forbidden: violates PodSecurity "restricted:latest"',
            "PodSecurity",
            "pod-security.kubernetes.io/enforce=restricted",
        ),
        ("admission webhook said no", "FailedCreate", "kubectl describe statefulset"),
    ],
)
def test_why_kubernetes_makes_no_pod_is_told_in_its_words(
    refusal: str, reason: str, way_out: str
) -> None:
    scene = Scene(replicas=2)
    scene.all_well([0])
    scene.refusal = refusal
    found = scene.blockage()
    assert (found.reason, found.message) == (reason, refusal)
    assert way_out in found.way_out


def test_fields_that_cannot_be_changed_are_told_with_the_way_to_change_them() -> None:
    scene = Scene(replicas=1)
    scene.all_well()
    scene.unchangeable = ("serviceName", "volumeClaimTemplates")
    found = scene.blockage()
    assert found.reason == "ImmutableFields"
    assert "serviceName, volumeClaimTemplates of StatefulSet bookshop-diary" in found.message
    assert "--cascade=orphan" in found.way_out


def test_what_is_in_the_way_already_is_told_before_what_may_be_so() -> None:
    scene = Scene("Postgres", 3)
    scene.member(0, ready=False, waiting="ContainerCreating")
    scene.member(1, ready=False, ended=42)
    assert scene.blockage().reason == "OtherDatabase"
    scene.member(1, ready=False, waiting="ImagePullBackOff")
    assert scene.blockage(SOON).pod == "bookshop-database-1"


def test_whoever_is_ready_is_in_nobodys_way() -> None:
    scene = Scene("Postgres", 2)
    scene.all_well()
    scene.member(1, last=42, restarts=3, ready=True, revision=OLD)
    scene.pods["bookshop-database-1"].status["conditions"][0]["status"] = "True"
    assert scene.look(3600).blocked is None


HOSTILE = "\x1b[31m" + "x" * 5000


@pytest.mark.parametrize(
    "ail",
    [
        lambda scene: setattr(scene, "refusal", HOSTILE),
        lambda scene: scene.member(0, unplaced=HOSTILE),
        lambda scene: scene.member(0, waiting="CreateContainerError", message=HOSTILE),
        lambda scene: scene.claim_words.update({CLAIM: HOSTILE}),
    ],
    ids=["event", "scheduler", "kubelet", "claim"],
)
def test_words_of_others_are_bounded(ail: Callable[[Scene], object]) -> None:
    scene = waiting_for_volume(None)
    ail(scene)
    found = scene.blockage(SOON)
    assert len(found.message) < 600
