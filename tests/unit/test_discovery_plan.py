"""The plan of spec.serviceDiscovery: every object of it, exactly."""

import copy
import json
from typing import Any

import pytest
import yaml
from lightkube import codecs

from support import ROOT, SETTINGS, demo_body
from workshopdemo import handlers
from workshopdemo.apply import _PRUNED
from workshopdemo.facts import API_VERSIONS, child_of
from workshopdemo.model import parse
from workshopdemo.plan import Plan, build, needs_apply, prepared
from workshopdemo.programs import node_agent

GOLDEN = ROOT / "tests" / "unit" / "golden"
SECTIONS: dict[str, dict[str, Any]] = {
    "discovery-default": {},
    "discovery-placed": {
        "tolerateControlPlane": False,
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "gpu"}],
        "nodeSelector": {"disk": "ssd"},
    },
}
KINDS = ["ServiceAccount", "Role", "RoleBinding", "Service", "DaemonSet"]


def plan_of(section: dict[str, Any], **more: Any) -> Plan:
    return build(parse(demo_body(service_discovery=section, **more)), SETTINGS, {})


def manifests(section: dict[str, Any], **more: Any) -> dict[str, dict[str, Any]]:
    planned = plan_of(section, **more).intents
    return {one.kind: json.loads(json.dumps(one.manifest)) for one in planned}


@pytest.mark.parametrize("name", SECTIONS)
def test_manifests_are_the_golden_ones(name: str, request: pytest.FixtureRequest) -> None:
    planned = list(manifests(SECTIONS[name]).values())
    file = GOLDEN / f"{name}.yaml"
    if request.config.getoption("--update-golden"):
        file.write_text(yaml.safe_dump_all(planned, sort_keys=False))
    assert planned == list(yaml.safe_load_all(file.read_text()))


def test_the_right_is_there_before_who_uses_it() -> None:
    assert list(manifests({})) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_one_of_kubernetes(kind: str) -> None:
    """lightkube drops what it does not know, so a misspelt field breaks the round trip."""
    manifest = manifests(SECTIONS["discovery-placed"])[kind]
    assert codecs.from_dict(manifest).to_dict() == manifest


def test_only_the_agents_pod_has_the_token_and_it_may_only_see_pods() -> None:
    planned = manifests({}, namespace="room")
    account, role, binding = (planned[kind] for kind in KINDS[:3])
    assert account["automountServiceAccountToken"] is False
    pod = planned["DaemonSet"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is True
    name = account["metadata"]["name"]
    assert pod["serviceAccountName"] == name
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "room"}]


def test_the_agent_runs_under_the_restricted_standard() -> None:
    pod = manifests({})["DaemonSet"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "hostNetwork" not in pod
    assert "volumes" not in pod
    (container,) = pod["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_plan_and_program_speak_of_the_same_port() -> None:
    planned = manifests({})
    (container,) = planned["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [node_agent.PORT]
    assert [port["port"] for port in planned["Service"]["spec"]["ports"]] == [node_agent.PORT]
    assert planned["Service"]["spec"]["clusterIP"] == "None"
    selected = planned["Service"]["spec"]["selector"].items()
    labels = planned["DaemonSet"]["spec"]["template"]["metadata"]["labels"]
    assert selected <= labels.items()
    assert "pod-template-hash" not in labels


@pytest.mark.parametrize("name", ["bookshop", "x" * 63])
def test_both_lessons_side_by_side_never_meet(name: str) -> None:
    body = demo_body(service_discovery={}, log_shipping={}, name=name)
    planned = build(parse(body), SETTINGS, {}).intents
    every = [(one.kind, one.name) for one in planned]
    assert len(set(every)) == len(every) == 11
    selectors = [
        json.dumps(one.manifest["spec"]["selector"], sort_keys=True)
        for one in planned
        if one.kind in ("DaemonSet", "StatefulSet")
    ]
    assert len(set(selectors)) == len(selectors) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_kind_of_child_is_known_wherever_kinds_are_listed(kind: str) -> None:
    manifest = manifests({})[kind]
    assert API_VERSIONS[kind] == manifest["apiVersion"]
    group, version, _ = handlers.CHILD_KINDS[kind]
    assert f"{group}/{version}".lstrip("/") == manifest["apiVersion"]
    assert kind in _PRUNED


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_api_server_adds_is_no_drift_and_what_was_edited_is(kind: str) -> None:
    (intent,) = [one for one in plan_of({}).intents if one.kind == kind]
    live = copy.deepcopy(prepared(intent, None))
    live["metadata"] |= {"uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-03-02"}
    live |= {"secrets": [{"name": "added"}]} if kind == "ServiceAccount" else {}
    if kind == "Service":
        live["spec"] |= {"clusterIPs": ["None"], "ipFamilies": ["IPv4"], "type": "ClusterIP"}
    live = json.loads(json.dumps(live))
    assert not needs_apply(intent, child_of(kind, live).intended)
    edits: dict[str, Any] = {
        "ServiceAccount": {"automountServiceAccountToken": True},
        "Role": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]},
        "RoleBinding": {"subjects": []},
        "Service": {"spec": live.get("spec", {}) | {"selector": {"app": "other"}}},
        "DaemonSet": {"spec": live.get("spec", {}) | {"updateStrategy": {"type": "OnDelete"}}},
    }
    assert needs_apply(intent, child_of(kind, live | edits[kind]).intended)


def test_a_right_that_went_missing_altogether_is_given_back() -> None:
    (intent,) = [one for one in plan_of({}).intents if one.kind == "Role"]
    live = {name: part for name, part in prepared(intent, None).items() if name != "rules"}
    assert needs_apply(intent, live)
