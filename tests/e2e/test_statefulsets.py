"""Members keep their names, their claims and their data; what blocks is told with the way out."""

import base64
import json
import re

import pytest
from kubernetes.client.exceptions import ApiException
from stateful import Stateful
from world import World, wait_for


def test_members_come_up_in_order_and_answer_by_their_names(world: World) -> None:
    diary = Stateful(world)
    diary.apply()
    diary.wait_until_ready()
    status = world.wait_for_phase("Ready")
    assert status["summary"] == "diary 3/3"
    assert [tale["concept"] for tale in status["story"]] == ["StatefulSet"]
    told = [(step["pod"], step["what"]) for step in diary.status()["steps"]]
    names = [diary.pod_name(ordinal) for ordinal in range(3)]
    assert told == [(name, what) for name in names for what in ("Created", "Ready")]
    rows = diary.rows()
    assert {name: rows[name]["volume"] for name in names} == {
        diary.pod_name(int(claim[-1])): volume for claim, volume in diary.claims().items()
    }
    for ordinal in range(3):
        said = json.loads(ask(world, diary, ordinal))
        assert said["member"] == diary.pod_name(ordinal)
        assert said["pod"] == diary.pod(ordinal).metadata.uid
        assert (said["starts"], said["intact"]) == (1, True)


def ask(world: World, stateful: Stateful, ordinal: int, path: str = "testimony") -> str:
    """Ask a member from another Pod, by its stable name."""
    name = f"{stateful.pod_name(ordinal)}.{stateful.members_service}"
    program = (
        f"import urllib.request as u; print(u.urlopen('http://{name}:8083/{path}').read().decode())"
    )
    return world.kubectl("exec", stateful.pod_name(0), "--", "python3", "-c", program)


def test_a_pod_that_is_deleted_comes_back_with_its_name_claim_and_data(world: World) -> None:
    diary = Stateful(world)
    diary.apply()
    first = diary.wait_until_ready()
    claims = diary.claims()
    checksums = fill(world, diary)
    for ordinal in (2, 1, 0):
        before = diary.uids()
        diary.delete_pod(ordinal)

        def is_back(ordinal: int = ordinal, before: dict[str, str] = before) -> bool:
            row = diary.rows()[diary.pod_name(ordinal)]
            assert row["podUid"] != before[diary.pod_name(ordinal)]
            assert (row["cameBack"], row["starts"]) == (1, 2), row
            return bool(row["ready"])

        wait_for(f"member {ordinal} is back", is_back)
    status = diary.wait_until_ready()
    assert diary.claims() == claims
    assert fill(world, diary, write=False) == checksums
    for before, after in zip(first["members"], status["members"], strict=True):
        assert (after["sameClaim"], after["sameData"]) == (True, True)
        assert [before[field] for field in ("pod", "claim", "volume", "identifier")] == [
            after[field] for field in ("pod", "claim", "volume", "identifier")
        ]
        assert before["firstSeen"] == after["firstSeen"]
    assert "replaced 3 times" in status["message"]
    world.wait_for_phase("Ready")


def fill(world: World, diary: Stateful, *, write: bool = True) -> list[str]:
    """10,000 rows on each member's volume, and their checksums."""
    program = (
        "import hashlib, os, pathlib; path = pathlib.Path('/data/rows');"
        f"write = {write};"
        "me = os.environ['MEMBER']; lines = ''.join(f'{me} {n}\\n' for n in range(10000));"
        "write and path.write_text(lines);"
        "print(hashlib.sha256(path.read_bytes()).hexdigest())"
    )
    return [
        world.kubectl("exec", diary.pod_name(ordinal), "--", "python3", "-c", program)
        for ordinal in range(3)
    ]


@pytest.mark.parametrize("retain", [True, False])
def test_scaling_away_and_back_keeps_the_data_or_not_as_asked(
    world: World, *, retain: bool
) -> None:
    diary = Stateful(world)
    diary.apply(retain=retain)
    before = {row["pod"]: row for row in diary.wait_until_ready()["members"]}
    claims = diary.claims()
    diary.apply(retain=retain, replicas=1)
    status = diary.wait_until_ready(1)
    gone = [diary.claim_name(1), diary.claim_name(2)]
    if retain:
        assert diary.claims() == claims
        assert status["keptClaims"] == gone
    else:
        wait_for("their claims are gone", lambda: list(diary.claims()) == [diary.claim_name(0)])
    # That they were stopping before may be over before anybody looks.
    left = [step["pod"] for step in diary.status()["steps"] if step["what"] == "Gone"]
    assert left == [diary.pod_name(2), diary.pod_name(1)]
    diary.apply(retain=retain)
    diary.wait_until_ready()
    rows = diary.rows()
    for ordinal in (1, 2):
        row, was = rows[diary.pod_name(ordinal)], before[diary.pod_name(ordinal)]
        assert row["starts"] == (2 if retain else 1)
        assert (row["identifier"] == was["identifier"]) is retain
        assert (row["volume"] == was["volume"]) is retain
        assert row["cameBack"] == (1 if retain else 0)
        assert (row["sameClaim"], row["sameData"]) == (True, True)
    assert rows[diary.pod_name(0)]["starts"] == 1
    assert "keptClaims" not in diary.status()


def test_a_demo_that_goes_leaves_its_claims_if_asked_and_the_next_one_finds_its_data(
    world: World,
) -> None:
    diary = Stateful(world)
    diary.apply(retain=True, replicas=2)
    before = diary.wait_until_ready(2)
    world.delete_demo()
    (event,) = wait_for("the Event", lambda: world.events("ClaimsKept"))
    assert "data-shop-diary-0, data-shop-diary-1" in event["message"]
    wait_for("all Pods are gone", lambda: not diary.uids())
    assert len(diary.claims()) == 2
    diary.apply(retain=True, replicas=2)
    after = diary.wait_until_ready(2)
    for was, is_now in zip(before["members"], after["members"], strict=True):
        assert is_now["starts"] == 2
        assert is_now["volume"] == was["volume"]
        assert (is_now["identifier"], is_now["firstSeen"]) == (was["identifier"], was["firstSeen"])


def test_a_demo_that_retains_nothing_leaves_no_claim(world: World) -> None:
    diary = Stateful(world)
    # What was kept before is not kept any more either, and Kubernetes itself would leave it.
    diary.apply(retain=True, replicas=2)
    diary.wait_until_ready(2)
    diary.apply(retain=True, replicas=1)
    diary.wait_until_ready(1)
    diary.apply(retain=False, replicas=1)
    wait_for("what was kept is gone", lambda: list(diary.claims()) == [diary.claim_name(0)])
    diary.wait_until_ready(1)
    world.delete_demo()
    wait_for("no claim", lambda: not diary.claims())
    assert not world.events("ClaimsKept")


def test_a_partitioned_update_touches_only_the_upper_members(world: World) -> None:
    diary = Stateful(world)
    diary.apply()
    diary.wait_until_ready()
    before = diary.uids()
    more = {"requests": {"cpu": "11m", "memory": "25Mi"}, "limits": {"memory": "65Mi"}}
    partition = {"updateStrategy": {"rollingUpdate": {"partition": 2}}}
    diary.apply(resources=more, **partition)
    status = diary.wait_until_ready(reason="PartitionedUpdate")
    after = diary.uids()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {diary.pod_name(2)}
    assert status["updated"] == 1
    assert "as partition 2 asks" in status["message"]
    diary.apply(resources=more)
    diary.wait_until_ready()
    assert not set(diary.uids().values()) & set(before.values())
    left = [step["pod"] for step in diary.status()["steps"] if step["what"] == "Gone"]
    assert left == [diary.pod_name(ordinal) for ordinal in (2, 1, 0)]


def test_a_broken_image_that_is_reverted_needs_its_pod_deleted_and_the_status_says_so(
    world: World,
) -> None:
    diary = Stateful(world)
    diary.apply(replicas=2)
    diary.wait_until_ready(2)
    diary.apply(replicas=2, image="registry.invalid/bookshop/diary:no-such-tag")
    blocked = diary.wait_for_blockage("ImagePullBackOff")
    assert "spec.statefulSet.image" in blocked["wayOut"]
    assert world.status()["phase"] == "Degraded"
    diary.apply(replicas=2)
    blocked = diary.wait_for_blockage("ForcedRollback")
    assert blocked["pod"] == diary.pod_name(1)
    command = blocked["wayOut"].split()
    assert command[:4] == ["kubectl", "delete", "pod", diary.pod_name(1)]
    world.kubectl(*command[1:])
    diary.wait_until_ready(2)
    assert "blocked" not in diary.status()
    world.wait_for_phase("Ready")


def test_a_storage_class_that_is_not_there_is_named(world: World) -> None:
    diary = Stateful(world)
    diary.apply(storageClassName="no-such-class")
    blocked = diary.wait_for_blockage("NoSuchStorageClass")
    assert "no-such-class" in blocked["message"]
    assert "kubectl get storageclass" in blocked["wayOut"]


def test_a_volume_on_a_node_that_is_gone_is_told(world: World) -> None:
    diary = Stateful(world)
    volume = f"lost-{world.namespace}"
    lost = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["a-node-that-was"]}
    world.core.create_persistent_volume(
        {
            "metadata": {"name": volume},
            "spec": {
                "capacity": {"storage": "16Mi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": volume,
                "local": {"path": "/tmp/nowhere"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [lost]}]}},
            },
        }
    )
    try:
        diary.apply(replicas=1, storageClassName=volume)
        blocked = diary.wait_for_blockage("VolumeOnLostNode")
        assert f"kubectl delete pvc {diary.claim_name(0)}" in blocked["wayOut"]
    finally:
        world.core.delete_persistent_volume(volume)


def test_a_quota_is_told(world: World) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"persistentvolumeclaims": "1"}}}
    world.core.create_namespaced_resource_quota(world.namespace, quota)
    diary = Stateful(world)
    diary.apply(replicas=2)
    blocked = diary.wait_for_blockage("QuotaExceeded")
    assert "exceeded quota: small" in blocked["message"]
    world.core.delete_namespaced_resource_quota("small", world.namespace)
    diary.wait_until_ready(2)


def test_a_member_that_fits_nowhere_is_told(world: World) -> None:
    diary = Stateful(world)
    diary.apply(replicas=1, resources={"requests": {"cpu": "500"}})
    blocked = diary.wait_for_blockage("Unschedulable")
    assert "Insufficient cpu" in blocked["message"]
    diary.apply(replicas=1)
    # The Pod that fits nowhere is of the template before: it is the same trap.
    blocked = diary.wait_for_blockage("ForcedRollback")
    world.kubectl(*blocked["wayOut"].split()[1:])
    diary.wait_until_ready(1)


def test_what_somebody_does_to_the_statefulset_is_put_right(world: World) -> None:
    diary = Stateful(world)
    diary.apply(replicas=1)
    diary.wait_until_ready(1)
    world.kubectl("scale", "statefulset", diary.name, "--replicas=3")

    def is_one_again() -> bool:
        live = diary.apps.read_namespaced_stateful_set(diary.name, world.namespace)
        return live.spec.replicas == 1 and list(diary.uids()) == [diary.pod_name(0)]

    wait_for("it is one again", is_one_again)
    diary.wait_until_ready(1)
    wait_for("its extra claims are gone", lambda: list(diary.claims()) == [diary.claim_name(0)])
    assert world.events("PutRight")


@pytest.mark.busy
def test_rows_survive_every_pod_of_a_database(world: World) -> None:
    database = Stateful(world, "Postgres")
    database.apply()
    first = database.wait_until_ready()
    assert [row["role"] for row in first["members"]] == ["Primary", "Replica", "Replica"]
    assert len({row["identifier"] for row in first["members"]}) == 1
    database.psql(
        "CREATE TABLE rows AS SELECT n, md5(n::text) AS m FROM generate_series(1, 10000) n"
    )
    wanted = wait_for_rows(database, 10_000)
    claims = database.claims()
    for ordinal in (2, 1, 0):
        before = database.uids()[database.pod_name(ordinal)]
        database.delete_pod(ordinal)

        def is_back(ordinal: int = ordinal, before: str = before) -> bool:
            row = database.rows()[database.pod_name(ordinal)]
            assert row["podUid"] != before
            assert row["starts"] == 2, row
            return bool(row["ready"])

        wait_for(f"member {ordinal} is back", is_back)
    status = database.wait_until_ready()
    assert database.claims() == claims
    assert wait_for_rows(database, 10_000) == wanted
    assert status["identifier"] == first["identifier"]
    assert all(row["sameClaim"] and row["sameData"] for row in status["members"])
    wait_for("a row of each start", lambda: database.status()["rows"] == 6)
    database.psql("INSERT INTO rows VALUES (10001, 'one more')")
    wait_for_rows(database, 10_001)
    assert "read-only" in database.psql("INSERT INTO rows VALUES (0, '')", 1, fails=True)


def wait_for_rows(database: Stateful, count: int) -> str:
    """Wait until each member has them; gives their checksum."""
    sql = "SELECT count(*) || ' ' || md5(string_agg(n || m, ',' ORDER BY n)) FROM rows"

    def look() -> str:
        found = {database.psql(sql, ordinal) for ordinal in range(3)}
        assert len(found) == 1, found
        (words,) = found
        assert words.split()[0] == str(count), words
        return words

    return wait_for(f"{count} rows on each member", look)


@pytest.mark.busy
def test_a_primary_that_is_killed_loses_no_acknowledged_row(world: World) -> None:
    database = Stateful(world, "Postgres")
    database.apply(replicas=2)
    database.wait_until_ready(2)
    database.psql("CREATE TABLE acknowledged (n integer PRIMARY KEY)")
    # Through the Service, one row a transaction, for as long as it is answered.
    writer = (
        "export PGPASSWORD=$(cat /etc/database-secret/password) PGCONNECT_TIMEOUT=3; n=0;"
        "while psql -h shop-database -U bookshop bookshop -qAtc"
        ' "INSERT INTO acknowledged VALUES ($n)"; do echo "told $n"; n=$((n+1)); done;'
        'echo "the end"; exit 0'
    )
    database.psql("ALTER TABLE acknowledged OWNER TO bookshop")
    count = "psql -h /run/postgresql -U postgres bookshop -Atc 'SELECT count(*) FROM acknowledged'"
    server = "$(head -1 $PGDATA/postmaster.pid)"
    killer = f"until [ $({count}) -ge 30 ]; do sleep 0.2; done; kill -9 {server}"
    world.kubectl(
        *("exec", database.pod_name(0), "-c", "postgres", "--"),
        *("sh", "-c", f"({killer}) >/dev/null 2>&1 &"),
    )
    log = world.kubectl(*("exec", database.pod_name(1), "-c", "postgres", "--", "sh", "-c", writer))
    told = {int(number) for number in re.findall(r"^told (\d+)$", log, re.MULTILINE)}
    assert len(told) >= 29, log[-500:]

    def restarted() -> bool:
        row = database.rows()[database.pod_name(0)]
        return bool(row["restarts"] >= 1 and row["ready"])

    wait_for("the primary was started again", restarted)
    database.wait_until_ready(2)
    have = {int(line) for line in database.psql("SELECT n FROM acknowledged").splitlines()}
    assert told <= have, sorted(told - have)
    assert len(have - told) <= 1
    print(f"{len(told)} rows acknowledged, {len(have)} there")


def test_the_bookshop_stands_on_its_database(world: World) -> None:
    database = Stateful(world, "Postgres")
    nightly = {"schedule": "0 2 * * *", "runNow": 1}
    database.apply(
        replicas=1,
        jobs=[{"name": "migrate", "scenario": "DatabaseMigration"}],
        cron_jobs=[
            {"name": "report", "scenario": "NightlyReport", **nightly},
            {"name": "backup", "scenario": "DatabaseBackup", **nightly},
        ],
    )
    status = world.wait_for_phase("Ready", deadline=240)
    assert "database 1/1" in status["summary"]
    world.wait_for_attempts("migrate", lambda attempts: "PostgreSQL" in attempts[-1]["log"])
    tables = database.psql("SELECT count(*) FROM schema_migrations")
    assert int(tables) > 0
    runs = {one["name"]: one["runs"][0] for one in world.status()["cronJobs"]}
    assert {name: run["outcome"] for name, run in runs.items()} == {
        "report": "Complete",
        "backup": "Complete",
    }
    wait_for("the backup's log", lambda: "good" in world.status()["cronJobs"][1]["runs"][0]["log"])
    password = read_password(world)
    assert password not in world.kubectl(
        "get", "wd,jobs,cronjobs,statefulsets,events", "-o", "yaml"
    )
    assert password not in world.operator_log()


def read_password(world: World) -> str:
    """As whoever may read Secrets can."""
    secret = world.core.read_namespaced_secret("shop-database", world.namespace)
    assert secret.metadata.owner_references[0].kind == "WorkshopDemo"
    return base64.b64decode(secret.data["password"]).decode()


def test_a_secret_that_is_removed_is_made_anew_and_the_database_takes_it(world: World) -> None:
    database = Stateful(world, "Postgres")
    migrate = {"name": "migrate", "scenario": "DatabaseMigration"}
    database.apply(replicas=2, jobs=[migrate])
    world.wait_for_phase("Ready", deadline=240)
    before = read_password(world)
    world.core.delete_namespaced_secret("shop-database", world.namespace)

    def made_anew() -> bool:
        try:
            return read_password(world) != before
        except ApiException:
            # Nothing tells the operator; it looks once a minute.
            return False

    wait_for("another Secret", made_anew)
    database.apply(replicas=2, jobs=[migrate | {"run": 2}])
    # The kubelet brings it to the Pods within a minute or two.
    world.wait_for_phase("Ready", deadline=300)
    database.wait_until_ready(2)
    before_kill = database.rows()[database.pod_name(1)]["podUid"]
    database.delete_pod(1)
    wait_for(
        "a replica joins with the new password",
        lambda: (
            database.rows()[database.pod_name(1)]["podUid"] != before_kill
            and database.rows()[database.pod_name(1)]["ready"]
        ),
    )
    database.wait_until_ready(2)
