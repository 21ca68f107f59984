"""Who is told of what, counted at the receiver."""

import base64
import re
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from alertmanager import manifests
from inbox import About, tally
from world import FAILING, QUICK, World, wait_for

RETRIED = {"name": "retried", "scenario": "FailsThenSucceeds"}
HOOK = {"name": "hook", "inbox": {"dialect": "Webhook"}}
TEAM = {"name": "team", "inbox": {"dialect": "Slack"}}
NIGHTLY = {"schedule": "0 2 * * *", "notifyOn": ["Success", "Failure", "Recovery"]}
INDEXED = {"completions": 3, "completionMode": "Indexed"}


def wait_for_complaint(world: World, words: str) -> None:
    world.wait_for_condition("NotificationsDelivered", "False", words)


def wait_until_all_is_well(world: World) -> None:
    """The totals tell of the last delivery a moment before its target is called well."""
    world.wait_for_condition("NotificationsDelivered", "True")


def script(text: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", text]}


def token() -> str:
    """A secret that is also a name, as the inbox wants one in its paths."""
    return f"t0psecret-{secrets.token_hex(12)}"


def test_each_outcome_is_told_once_to_each_target_in_its_own_language(world: World) -> None:
    dialects = {"team": "Slack", "space": "GoogleChat", "pager": "Alertmanager", "hook": "Webhook"}
    targets = [{"name": name, "inbox": {"dialect": one}} for name, one in dialects.items()]
    world.apply(QUICK, FAILING, RETRIED, targets=targets)
    # An Alertmanager hears of the failure alone: a success that ends no alert is no news to it.
    told = world.wait_for_delivered(3 * 3 + 1)
    assert all(one["latency"] and one["attempts"] == 1 for one in told["recent"])
    types = Counter(one["body"]["type"] for one in world.inbox.messages(target="hook"))
    # The retries that failed are no failure: one message, at the end.
    assert types == {"dev.workshopdemo.job.succeeded.v1": 2, "dev.workshopdemo.job.failed.v1": 1}
    for target, count in {"team": 3, "space": 3, "pager": 1, "hook": 3}.items():
        messages = world.inbox.messages(target=target)
        assert len(messages) == count, messages
        # Alerts are told again on purpose, for as long as they fire.
        assert target == "pager" or not any(message["repeats"] for message in messages)
    failure = next(
        one for one in world.inbox.messages(target="team") if "bad failed" in one["text"]
    )
    for word in ("BackoffLimitExceeded", "Exit code: 3", "no such file", "kubectl logs job/"):
        assert word in failure["text"]
    wait_until_all_is_well(world)


def hard_to_judge() -> dict[str, dict[str, Any]]:
    """Retries, deadlines and indexes: where other notifiers tell too early, wrongly or not."""
    # Late enough that a busy node starts the first attempt before.
    attempt = f"test $(date +%s) -ge {int(time.time()) + 30} || exit 1"
    too_slow = {"activeDeadlineSeconds": 5, "expected": "Failed"}
    last_is_late = script('test "$JOB_COMPLETION_INDEX" != 2 || sleep 20')
    return {
        "late": QUICK | script(f"{attempt}; sleep 15"),
        "soon": QUICK | script(attempt),
        "never": {"scenario": "AlwaysFails", "backoffLimit": 2},
        "slow": QUICK | too_slow | script("trap 'exit 1' TERM; sleep 600 & wait"),
        "row": QUICK | INDEXED | {"parallelism": 1},
        "last": QUICK | INDEXED | {"parallelism": 3} | last_is_late,
        "together": QUICK | INDEXED | {"parallelism": 3},
    }


def test_the_verdict_is_the_job_s_and_is_told_at_its_end(world: World) -> None:
    jobs = hard_to_judge()
    world.apply(*(job | {"name": name} for name, job in jobs.items()), targets=[HOOK, TEAM])
    world.wait_for_phase("Ready")
    ends = world.ends()
    named = {job["metadata"]["labels"]["workshopdemo.dev/job"]: job for job in world.jobs()}
    assert {name: ends[job["metadata"]["name"]] for name, job in named.items()} == {
        name: "Failure" if name in ("never", "slow") else "Success" for name in jobs
    }
    assert all(named[name]["status"]["failed"] for name in ("late", "soon")), "they were retried"
    world.wait_for_delivered(2 * len(jobs))
    letters = world.wait_until_told(ends, "hook", "team")
    assert len(letters) == 2 * len(jobs)
    assert set(tally(letters).values()) == {1}
    since = {
        job["metadata"]["name"]: condition["lastTransitionTime"]
        for job in named.values()
        for condition in job["status"]["conditions"]
        if condition["type"] in ("Complete", "Failed")
    }
    for letter in letters:
        end = datetime.fromisoformat(since[letter.about.job])
        assert datetime.fromisoformat(letter.received) >= end


FAULTS: dict[str, dict[str, Any]] = {
    "busy": {"status": 429, "retryAfter": 7},
    "busy-team": {"status": 429, "retryAfter": 7},
    "broken": {"status": 500},
    "deaf": {"reset": True},
    "mute": {"reset": True, "delay": 40},  # more than the half minute that an answer may take
    "forgetful": {"reset": True, "afterStoring": True, "count": 1},
    "forgetful-team": {"reset": True, "afterStoring": True, "count": 1},
}


def test_a_receiver_that_fails_in_any_way_hears_everything_once_it_is_well(world: World) -> None:
    """For a minute nothing gets through, in five ways; then all of it does."""
    names = ["team", *FAULTS]
    for name, fault in FAULTS.items():
        world.inbox.fails(target=name, **fault)
    began = time.monotonic()
    jobs = [QUICK | {"name": f"ok-{number}"} for number in range(3)]
    targets = [(TEAM if "team" in name else HOOK) | {"name": name} for name in names]
    world.apply(*jobs, FAILING, targets=targets)
    wait_for("four ends", lambda: len(world.ends()) == 4)
    minute = time.monotonic() + 60
    wait_for_complaint(world, "broken: HTTP 500")
    wait_for("each way to fail", lambda: retrying(world) == set(FAULTS) - FORGETFUL)
    time.sleep(max(minute - time.monotonic(), 0))
    assert world.notifications()["delivered"] == 4 * 3, "what failed once, and what never did"
    refused = {one: world.inbox.counts(target=one)["refused"]["429"] for one in BUSY}
    longest = time.monotonic() - began
    world.inbox.is_well()
    world.wait_for_delivered(4 * len(names), deadline=240)
    check_forgetful(world, tally(world.wait_until_told(world.ends(), *names)))
    # Every seventh second at most, and no two at the same time after the first answer.
    assert all(1 < count <= 4 + longest // 7 for count in refused.values()), refused
    wait_until_all_is_well(world)


FORGETFUL = {"forgetful", "forgetful-team"}
BUSY = {"busy", "busy-team"}


def retrying(world: World) -> set[str]:
    targets = world.notifications()["targets"]
    return {one["name"] for one in targets if one["state"] == "Retrying"}


def check_forgetful(world: World, counted: Mapping[About, int]) -> None:
    """What a receiver took, but did not answer, came again; on Slack it says so."""
    twice = {about for about, times in counted.items() if times > 1}
    assert len(twice) == 2
    assert {about.target for about in twice} == FORGETFUL
    assert set(counted.values()) == {1, 2}
    assert world.inbox.counts(target="forgetful")["repeats"] == 1
    letters = world.inbox.letters("forgetful-team")
    assert len(letters) == 5
    assert [one.may_repeat for one in letters].count(True) == 1
    first, second = (one for one in letters if one.about in twice)
    assert (first.id, first.may_repeat, second.may_repeat) == (second.id, False, True)


def test_a_missing_secret_is_named_and_its_coming_delivers_what_waited(world: World) -> None:
    reference = {"secretKeyRef": {"name": "hook", "key": "url"}}
    world.apply(QUICK, targets=[{"name": "hook", "webhook": {"urlFrom": reference}}])
    wait_for_complaint(world, "kubectl create secret generic hook")
    hidden = token()
    world.secret("hook", hidden=hidden, url=f"https://127.0.0.1/{hidden}")
    wait_for_complaint(world, "no demo may reach")
    world.secret("hook", hidden=hidden, url=world.inbox.url("webhook", hidden, "hook"))
    world.wait_for_delivered(1)
    assert len(world.inbox.letters(demo=hidden)) == 1


def test_a_wrong_secret_is_not_tried_again_until_it_is_corrected(world: World) -> None:
    wrong, right, key = token(), token(), base64.b64encode(secrets.token_bytes(32)).decode()
    signing = f"whsec_{key}"
    world.secret("team", hidden=wrong, url=f"http://{world.inbox.host}:80/nothing/{wrong}")
    world.secret("hook", hidden=key, signing="whsec_c2hvcnQ=")
    world.apply(
        FAILING,
        targets=[
            {
                "name": "team",
                "slack": {"urlFrom": {"secretKeyRef": {"name": "team", "key": "url"}}},
            },
            {
                "name": "hook",
                "webhook": {
                    "url": world.inbox.url("webhook", "shop", "hook"),
                    "signingSecretFrom": {"secretKeyRef": {"name": "hook", "key": "signing"}},
                },
            },
        ],
    )
    wait_for_complaint(world, "team: HTTP 404")
    wait_for_complaint(world, "key signing of Secret hook")
    (refused,) = (one for one in world.notifications()["recent"] if one["target"] == "team")
    assert (refused["state"], refused["attempts"]) == ("Refused", 1)
    world.inbox.knows(signing, demo="shop", target="hook")
    world.secret("team", hidden=right, url=world.inbox.url("slack/services", right, "team"))
    world.secret("hook", hidden=key, signing=signing)
    world.wait_for_delivered(2)
    assert len(world.inbox.letters(demo=right)) == 1
    (signed,) = world.inbox.messages(demo="shop", target="hook")
    assert signed["signature"] == {"count": 1, "verified": True}
    wait_until_all_is_well(world)


def test_a_target_hears_of_what_happens_while_it_is_there(world: World) -> None:
    """Added later: only what comes then. Removed: what waits for it is withdrawn."""
    gone = HOOK | {"name": "gone"}
    world.inbox.fails(target="gone", status=503)
    world.apply(QUICK, targets=[HOOK, gone])
    wait_for("one delivery", lambda: world.notifications().get("delivered") == 1)
    wait_for_complaint(world, "gone: HTTP 503")
    world.apply(QUICK, FAILING, targets=[HOOK, TEAM])
    world.wait_for_delivered(3)
    world.inbox.is_well()
    assert [one.about.outcome for one in world.inbox.letters("team")] == ["Failure"]
    assert len(world.inbox.letters("hook")) == 2
    told = world.notifications()
    states = {one["target"]: one["state"] for one in told["recent"]}
    assert states == {"hook": "Delivered", "team": "Delivered", "gone": "Withdrawn"}
    # More than the pause after which a receiver that failed twice would have been tried again.
    time.sleep(8)
    assert world.inbox.letters("gone") == []


def test_at_rest_nothing_is_written_and_the_ledger_is_no_drift(world: World) -> None:
    world.apply(QUICK, FAILING, targets=[HOOK, TEAM])
    world.wait_for_delivered(4)
    job = world.job_of("ok")["metadata"]["name"]
    world.kubectl("patch", "job", job, "--type=merge", "-p", '{"spec":{"backoffLimit":1}}')
    wait_for("drift is put right", lambda: world.job_of("ok")["spec"]["backoffLimit"] == 6)
    world.apply(QUICK | {"notifyOn": ["Success"]}, FAILING, targets=[HOOK, TEAM])
    world.wait_for_phase("Ready")

    def ledger_is_closed() -> bool:
        marks = [world.job_of(entry)["metadata"]["annotations"] for entry in ("ok", "bad")]
        names = [f"notify.workshopdemo.dev/{target}" for target in ("hook", "team")]
        return all('"state":"sent"' in each[name] for each in marks for name in names)

    wait_for("the ledger", ledger_is_closed)
    wait_until_all_is_well(world)
    time.sleep(5)  # a status is written at most once in a second, and a busy machine takes its time
    before = world.writes(world.namespace)
    time.sleep(10)
    assert world.writes(world.namespace) == before
    assert len(world.inbox.letters()) == 4
    assert world.inbox.counts()["repeats"] == 0


def run_alertmanagers(world: World, replicas: int) -> None:
    """Real ones, which tell the inbox by their own webhook what they were told."""
    receiver = f"http://{world.inbox.host}:80/alertmanager-webhook"
    for manifest in manifests(world.namespace, receiver, replicas=replicas):
        world.apply_manifest(manifest)
    world.kubectl("rollout", "status", "deployment/alertmanager", "--timeout=150s")


def alerts_of_each(world: World) -> list[str]:
    """What each Alertmanager says of its alerts."""
    pods = world.core.list_namespaced_pod(world.namespace, label_selector="app=alertmanager").items
    root = f"/api/v1/namespaces/{world.namespace}/pods"
    return [
        world.kubectl("get", "--raw", f"{root}/{pod.metadata.name}:9093/proxy/api/v2/alerts")
        for pod in pods
    ]


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_real_alertmanager_fires_and_resolves(world: World, replicas: int) -> None:
    run_alertmanagers(world, replicas)
    url = f"http://alertmanager.{world.namespace}.svc:9093"
    targets = [{"name": "pager", "alertmanager": {"url": url}}]
    doomed = FAILING | {"name": "doomed"}
    world.apply(doomed, targets=targets)
    world.wait_for_delivered(1)

    def firing() -> list[str]:
        return list(world.notifications()["targets"][0].get("firing", ()))

    def told(status: str) -> int:
        messages = world.inbox.messages(dialect="AlertmanagerWebhook")
        return sum(one["body"]["status"] == status for one in messages)

    wait_for("it fires", lambda: firing() == ["doomed/Failure"])
    wait_for("each replica fires", lambda: told("firing") == replicas)
    alerts = alerts_of_each(world)
    assert len(alerts) == replicas
    assert all('"alertname":"JobFailed"' in one and "no such file" in one for one in alerts)
    repaired = {name: value for name, value in doomed.items() if name != "expectedReason"}
    again = {"run": 2, "expected": "Complete", "command": QUICK["command"]}
    world.apply(repaired | again, targets=targets)
    wait_for("each replica resolves", lambda: told("resolved") == replicas)
    assert told("firing") == replicas, "one alert, told once"
    wait_for("it fires no more", lambda: not firing())


def test_runs_of_cron_jobs_are_told_in_words_though_their_jobs_are_gone(world: World) -> None:
    """A failure, the third in a row, the recovery: each with the log of a Job that is removed."""
    limits = {"successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 0}
    text = 'echo "run of $HOSTNAME"; case "$HOSTNAME" in *-now-[123]-*) exit 1;; esac'
    entry = QUICK | NIGHTLY | limits | script(text) | {"name": "pay", "backoffLimit": 0}
    report = NIGHTLY | {"name": "report", "scenario": "FailingReport"}
    for run in range(1, 6):
        world.apply(
            cron_jobs=[entry | {"runNow": run}, report | {"runNow": min(run, 2)}],
            targets=[HOOK, TEAM],
        )

        def look(run: int = run) -> bool:
            told = world.status()["cronJobs"]
            ended = [one.get("succeeded", 0) + one.get("failed", 0) for one in told]
            return ended == [run, min(run, 2)]

        wait_for(f"run {run}", look)
        world.wait_for_delivered(2 * (run + min(run, 2)))
    events = [one["body"]["data"] for one in world.inbox.messages(target="hook")]
    assert [one["headline"] for one in events if one["entry"] == "pay"] == [
        "pay failed",
        "pay failed for the second time in a row",
        "pay failed for the third time in a row",
        "pay works again after 3 failures",
        "pay succeeded",
    ]
    assert [one["outcome"] for one in events if one["entry"] == "report"] == ["Failure", "Recovery"]
    assert all(one["kind"] == "CronJob" for one in events)
    # A Pod is removed, log and all, a second after its end: a busy machine may be too late for one.
    paid = [event for event in events if event["entry"] == "pay" and event["log"]]
    assert len(paid) >= 3, events
    for event in paid:
        assert event["log"].startswith("run of shop-pay-now-"), event["log"]
        assert event["job"].rpartition("-")[2] in event["log"]
    wait_for("the Jobs are removed", lambda: len(world.jobs()) == 2)
    assert set(tally(world.inbox.letters()).values()) == {1}


TRAP = [
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "trap", "labels": {"app": "trap"}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "trap",
                    "image": QUICK["image"],
                    "command": ["sh", "-c"],
                    "args": ["while nc -l -p 443 </dev/null; do echo caught; done"],
                    "ports": [{"containerPort": 443, "hostPort": 443}],
                }
            ],
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "trap"},
        "spec": {"selector": {"app": "trap"}, "ports": [{"port": 443}]},
    },
]
"""Tells in its log of everybody who connects, by the Service or by the node's own address."""


def test_no_demo_reaches_what_it_must_not(world: World) -> None:
    for manifest in TRAP:
        manifest["metadata"] |= {"namespace": world.namespace}
        world.apply_manifest(manifest)
    world.kubectl("wait", "--for=condition=Ready", "pod/trap", "--timeout=60s")
    node = world.core.read_namespaced_pod("trap", world.namespace).status.host_ip
    server = world.core.read_namespaced_service("kubernetes", "default").spec.cluster_ip
    world.node("bash", "-c", f"</dev/tcp/{node}/443")
    wait_for("the trap works", lambda: world.kubectl("logs", "trap").count("caught") == 1)
    machine, private = "leads to a machine itself", "is not public"
    urls = {
        "api": ("https://kubernetes.default.svc/api", private),
        "api-ip": (f"https://{server}/api", machine),
        "node": (f"https://{node}/x", machine),
        "metadata": ("https://169.254.169.254/latest/meta-data/", machine),
        "local": ("https://127.0.0.1:443/x", machine),
        "service": (f"https://trap.{world.namespace}.svc/x", private),
        "inbox": (
            f"http://{world.inbox.host}.cluster.local:80/webhook/{world.namespace}/shop/inbox",
            "https on port 443 only",
        ),
        "disguised": (f"https://[::ffff:{node}]/x", machine),
    }
    targets = [{"name": name, "webhook": {"url": url}} for name, (url, _) in urls.items()]
    world.apply(QUICK, targets=targets)

    def refused() -> bool:
        told = {one["name"]: one for one in world.notifications().get("targets", ())}
        for name, (_, words) in urls.items():
            assert told[name]["state"] == "Refused", told[name]
            assert words in told[name]["message"], told[name]
        return True

    wait_for("a sentence each", refused)
    wait_for_complaint(world, f"api: the host kubernetes.default.svc {private}")
    told = world.notifications()
    assert told["delivered"] == 0
    named = [one["message"] for one in told["targets"] if one["name"] in ("api", "service")]
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", " ".join(named)), "no address is found out"
    assert world.kubectl("logs", "trap").count("caught") == 1, "nobody came but the test itself"
    assert world.inbox.counts()["stored"] == 0
    assert world.inbox.counts()["refused"] == {}


def test_everything_at_once_is_about_the_right_job(world: World) -> None:
    """Ten Jobs of two demos that end together: no message is about another's Job."""
    for demo in ("one", "two"):
        jobs = [(FAILING if number % 2 else QUICK) | {"name": f"j{number}"} for number in range(5)]
        world.apply(*jobs, targets=[HOOK, TEAM], name=demo)
    for demo in ("one", "two"):
        world.wait_for_phase("Ready", demo)
        world.wait_for_delivered(10, demo)
    letters = world.wait_until_told(world.ends(), "hook", "team")
    assert len(letters) == 20
    assert set(tally(letters)) == {
        About(target, *end) for target in ("hook", "team") for end in world.ends().items()
    }
