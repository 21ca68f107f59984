"""Who is told of what, counted at the receiver."""

import json
from collections import Counter
from typing import Any

from world import FAILING, GROUP, QUICK, SYSTEM, VERSION, World, wait_for

RETRIED = {"name": "retried", "scenario": "FailsThenSucceeds"}
INBOX = f"/api/v1/namespaces/{SYSTEM}/services/workshop-demo-inbox:80/proxy"


def apply(world: World, *jobs: dict[str, Any], targets: list[dict[str, Any]]) -> None:
    world.apply_manifest(
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "WorkshopDemo",
            "metadata": {"name": "shop", "namespace": world.namespace},
            "spec": {"jobs": list(jobs), "notifications": {"targets": targets}},
        }
    )


def arrived(world: World, target: str) -> list[dict[str, Any]]:
    """What the inbox took for that target; a repeat of a message is counted on it."""
    query = f"namespace={world.namespace}&target={target}"
    found = json.loads(world.kubectl("get", "--raw", f"{INBOX}/messages?{query}"))
    return list(found["messages"])


def wait_for_delivered(world: World, count: int) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        told = world.status().get("notifications") or {}
        assert told.get("delivered") == count, told
        return told

    return wait_for(f"{count} deliveries", look)


def test_each_outcome_is_told_once_to_each_target_in_its_own_language(world: World) -> None:
    dialects = {"team": "Slack", "space": "GoogleChat", "pager": "Alertmanager", "hook": "Webhook"}
    targets = [{"name": name, "inbox": {"dialect": one}} for name, one in dialects.items()]
    apply(world, QUICK, FAILING, RETRIED, targets=targets)
    # An Alertmanager hears of the failure alone: a success that ends no alert is no news to it.
    told = wait_for_delivered(world, 3 * 3 + 1)
    assert (told["pending"], told["failed"]) == (0, 0)
    assert all(one["latency"] and one["attempts"] == 1 for one in told["recent"])
    types = Counter(message["body"]["type"] for message in arrived(world, "hook"))
    # The retries that failed are no failure: one message, at the end.
    assert types == {"dev.workshopdemo.job.succeeded.v1": 2, "dev.workshopdemo.job.failed.v1": 1}
    for target, count in {"team": 3, "space": 3, "pager": 1, "hook": 3}.items():
        messages = arrived(world, target)
        assert len(messages) == count, messages
        # Alerts are told again on purpose, for as long as they fire.
        assert target == "pager" or not any(message["repeats"] for message in messages)
    failure = next(one for one in arrived(world, "team") if "bad failed" in one["text"])
    for word in ("BackoffLimitExceeded", "Exit code: 3", "no such file", "kubectl logs job/"):
        assert word in failure["text"]
    condition = next(
        one for one in world.status()["conditions"] if one["type"] == "NotificationsDelivered"
    )
    assert condition["status"] == "True"


def test_a_missing_secret_is_named_and_its_coming_delivers_what_waited(world: World) -> None:
    reference = {"secretKeyRef": {"name": "hook", "key": "url"}}
    apply(world, QUICK, targets=[{"name": "hook", "webhook": {"urlFrom": reference}}])

    def complaint(words: str) -> bool:
        (found,) = [
            one for one in world.status()["conditions"] if one["type"] == "NotificationsDelivered"
        ]
        assert words in found["message"], found
        return found["status"] == "False"

    wait_for("the Secret is named", lambda: complaint("kubectl create secret generic hook"))
    url = "https://127.0.0.1/T0PSECRET"
    world.kubectl("create", "secret", "generic", "hook", f"--from-literal=url={url}")
    wait_for("loopback is refused", lambda: complaint("no demo may reach"))
    for words in (
        world.kubectl("get", "wd,events", "-o", "yaml"),
        world.kubectl("describe", "wd"),
        world.operator_log(),
    ):
        assert "T0PSECRET" not in words
