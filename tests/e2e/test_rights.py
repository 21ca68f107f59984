"""The operator's rights: what the chart grants, all of it is used, and nothing is missing.

A demo that needs everything is applied and taken away again; the API server's audit log tells what
the operator asked for meanwhile. Requests of other tests do not count: what an older operator, or
one with fewer rights, did on this cluster would hide a verb that nobody uses any more.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import pytest
from world import QUICK, SYSTEM, Chart, World, wait_for

pytestmark = pytest.mark.disruptive

ACCOUNT: Final = f"system:serviceaccount:{SYSTEM}:workshop-demo"
INBOX: Final = {"name": "inbox", "inbox": {"dialect": "Slack"}}
CHILDREN: Final = (
    "configmap,service,persistentvolumeclaim,serviceaccount,role,rolebinding,job,cronjob,daemonset,"
    "statefulset"
)


class Right(NamedTuple):
    """A verb on a kind; written as in RBAC."""

    verb: str
    group: str
    resource: str


EVERYBODYS: Final = frozenset({Right("create", "authorization.k8s.io", "selfsubjectaccessreviews")})
"""Kubernetes lets everybody ask what they may do (system:basic-user)."""


def granted(objects: list[dict[str, Any]]) -> set[Right]:
    """What the chart binds to the operator's account, wherever."""
    bound = {
        (one["roleRef"]["kind"], one["metadata"].get("namespace"), one["roleRef"]["name"])
        for one in objects
        if "roleRef" in one
    }
    return {
        Right(verb, group, resource)
        for one in objects
        if (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) in bound
        for rule in one["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(requests: list[dict[str, Any]]) -> set[Right]:
    """What a request needed. One about no kind, such as discovery, needs none of these."""
    found = set()
    for request in requests:
        about = request.get("objectRef")
        if about is None:
            continue
        resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
        group = about.get("apiGroup", "")
        found.add(Right(request["verb"], group, resource))
        # Server-side apply is a patch; where it made the object, it had to be allowed to create it.
        if request["verb"] == "patch" and request.get("responseStatus", {}).get("code") == 201:
            found.add(Right("create", group, resource))
    return found


def refused(requests: list[dict[str, Any]]) -> list[str]:
    """What was refused for want of a right; a quota refuses too, but in another way."""
    return [
        f"{request['verb']} {request['requestURI']}"
        for request in requests
        if request["annotations"]["authorization.k8s.io/decision"] != "allow"
    ]


@pytest.mark.usefixtures("chart_as_before")
@pytest.mark.parametrize("scope", ["cluster", "namespaces"])
def test_every_right_is_used_and_none_is_missing(world: World, chart: Chart, scope: str) -> None:
    values = [f"--set=namespaces={{{world.namespace}}}"] if scope == "namespaces" else []
    grants = granted(chart.rendered(*values))
    assert len(grants) > 60
    chart.install(*values)
    with world.operators(0):
        since = world.node("date", "-u", "+%Y-%m-%dT%H:%M:%S").strip()

    def seen() -> list[dict[str, Any]]:
        requests = [one for one in world.requests(since) if one["user"]["username"] == ACCOUNT]
        assert requests, "the audit log tells of the operator"
        return requests

    _show_everything(world)
    _show_next_to_nothing(world)
    _disturb_the_ledger(world, lambda: Right("get", "batch", "jobs") in used(seen()))

    def all_used() -> bool:
        unused = sorted(grants - used(seen()))
        assert not unused, f"granted, and of no use: {unused}"
        return True

    wait_for("every right is used", all_used, 60)
    requests = seen()
    assert used(requests) - grants == EVERYBODYS
    assert refused(requests) == []


def _children(world: World) -> list[str]:
    selector = "workshopdemo.dev/demo=shop"
    return world.kubectl(
        "get", CHILDREN, "-l", selector, "-o", "name", "--ignore-not-found"
    ).split()


def _show_everything(world: World) -> None:
    """A demo with every section."""
    # Where no Pod may mount the node's files, only Events tell why the log shipper has none.
    baseline = {"pod-security.kubernetes.io/enforce": "baseline"}
    world.core.patch_namespace(world.namespace, {"metadata": {"labels": baseline}})
    everything = world.manifest(
        {
            "jobs": [QUICK],
            "cronJobs": [{"name": "report", "scenario": "NightlyReport", "schedule": "0 2 * * *"}],
            "logShipping": {"emitter": {"lines": 10}},
            "serviceDiscovery": {},
            "statefulSet": {"scenario": "Postgres", "storage": "128Mi"},
            "notifications": {"targets": [INBOX]},
        }
    )
    world.apply_manifest(everything)
    world.wait_for_log("ok", "working\ndone")
    wait_for("its refusal", lambda: world.condition("LogsShipped")["reason"] == "PodSecurity")
    wait_for("the agents' answers", lambda: world.status()["serviceDiscovery"]["services"])


def _show_next_to_nothing(world: World) -> None:
    """What is not asked for any more is removed, kind by kind."""
    world.apply(QUICK | {"name": "last"})
    wait_for("the rest is gone", lambda: len(_children(world)) == 1)


def _disturb_the_ledger(world: World, is_enough: Callable[[], bool]) -> None:
    """Write on Jobs while it is noted on them who was told: the operator has to read them anew."""
    for run in range(1, 20):
        world.apply(QUICK | {"name": "told", "run": run}, targets=[INBOX])
        name = wait_for("the Job", partial(world.job_of, "told", run))["metadata"]["name"]
        wait_for("what is noted on it", partial(_is_told, world, name))
        if is_enough():
            return


def _is_told(world: World, job: str) -> bool:
    """Write on a Job some times; whether it says then that somebody was told of it."""
    for number in range(50):
        note = {"metadata": {"annotations": {"example.com/number": str(number)}}}
        written = world.batch.patch_namespaced_job(job, world.namespace, note)
    return any(name.startswith("notify.") for name in written.metadata.annotations)
