"""The plan of spec.logShipping: every object of it, exactly."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from lightkube import codecs

from support import ROOT, SETTINGS, demo_body
from workshopdemo.model import parse
from workshopdemo.names import CONFIG_ANNOTATION
from workshopdemo.plan import Plan, build, needs_apply, prepared

GOLDEN = ROOT / "tests" / "unit" / "golden"
TOKEN_FROM = {"secretKeyRef": {"name": "log-service", "key": "authorization"}}
ELSEWHERE: dict[str, Any] = {
    "otlpHttp": {
        "endpoint": "https://logs.example/otlp/",
        "headers": [
            {"name": "Authorization", "valueFrom": TOKEN_FROM},
            {"name": "X-Scope-OrgID", "valueFrom": {"secretKeyRef": {"name": "t", "key": "id"}}},
        ],
        "caFrom": {"secretKeyRef": {"name": "log-ca", "key": "root.pem"}},
    }
}
SECTIONS: dict[str, dict[str, Any]] = {
    "logs-default": {},
    "logs-elsewhere": {"destination": ELSEWHERE},
    "logs-placed": {
        "tolerateControlPlane": False,
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "gpu"}],
        "nodeSelector": {"disk": "ssd", "kubernetes.io/os": "linux"},
        "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "512Mi"}},
        "emitter": {"lines": 10000, "linesPerSecond": 500, "run": 3},
        "retention": "2w",
        "storage": "2.5Gi",
        "storageClassName": "fast",
    },
}
KINDS = ["ConfigMap", "PersistentVolumeClaim", "Service", "StatefulSet", "DaemonSet", "DaemonSet"]
EVERY = [
    (section, number)
    for section in SECTIONS
    for number in range(3 if section == "logs-elsewhere" else 6)
]


def plan_of(section: Mapping[str, Any], **more: Any) -> Plan:
    return build(parse(demo_body(log_shipping=section, **more)), SETTINGS, {})


def leaves(value: object) -> Iterator[object]:
    """All that is in a manifest, at any depth."""
    yield value
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)


def manifests(section: Mapping[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [intent.manifest for intent in plan_of(section, **more).intents]


def find(section: Mapping[str, Any], kind: str, ending: str, **more: Any) -> dict[str, Any]:
    (found,) = (
        one
        for one in manifests(section, **more)
        if one["kind"] == kind and one["metadata"]["name"].endswith(ending)
    )
    return found


def pods(section: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The spec of each kind of Pod, by component."""
    return {
        one["metadata"]["labels"]["workshopdemo.dev/component"]: one["spec"]["template"]["spec"]
        for one in manifests(section)
        if "template" in one.get("spec", {})
    }


@pytest.mark.parametrize("name", SECTIONS)
def test_manifests_are_the_golden_ones(name: str, request: pytest.FixtureRequest) -> None:
    planned = json.loads(json.dumps(manifests(SECTIONS[name])))  # without YAML aliases
    planned[0]["data"]["config.json"] = json.loads(planned[0]["data"]["config.json"])
    file = GOLDEN / f"{name}.yaml"
    if request.config.getoption("--update-golden"):
        file.write_text(yaml.safe_dump_all(planned, sort_keys=False))
    assert planned == list(yaml.safe_load_all(file.read_text()))


def test_what_others_read_is_applied_before_them() -> None:
    assert [one["kind"] for one in manifests({})] == KINDS
    assert [one["kind"] for one in manifests({"destination": ELSEWHERE})] == [
        "ConfigMap",
        "DaemonSet",
        "DaemonSet",
    ]


@pytest.mark.parametrize(("section", "number"), EVERY)
def test_every_field_is_one_of_kubernetes(section: str, number: int) -> None:
    """lightkube drops what it does not know, so a misspelt field breaks the round trip."""
    manifest = manifests(SECTIONS[section])[number]
    read: Any = codecs.from_dict(manifest)
    assert read.to_dict() == manifest


@pytest.mark.parametrize("section", SECTIONS)
def test_nothing_in_a_plan_is_empty(section: str) -> None:
    """The API server drops what is, and drift would be put right for ever."""
    for manifest in manifests(SECTIONS[section]):
        assert not [one for one in leaves(manifest) if one in ({}, [], None)]


@pytest.mark.parametrize(
    ("name", "namespace"),
    [("x" * 63, "n" * 63), ("x" * 41, "n"), ("x" * 40, "n"), ("a-" * 31 + "b", "n"), ("a", "n")],
)
def test_names_stay_within_what_kubernetes_allows(name: str, namespace: str) -> None:
    plan = plan_of({}, name=name, namespace=namespace)
    for intent in plan.intents:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", intent.name)
        # A StatefulSet's revision, a label of at most 63, appends a hash of up to ten.
        assert len(intent.name) <= 52
        for value in intent.manifest["metadata"]["labels"].values():
            assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)
    kinds = [(intent.kind, intent.name) for intent in plan.intents]
    assert len(set(kinds)) == len(kinds) == 6


def test_what_refers_to_another_object_names_it() -> None:
    for name in ("bookshop", "x" * 63):
        by_kind = {one["kind"]: one for one in manifests({}, name=name)}
        aggregator, claim = by_kind["StatefulSet"], by_kind["PersistentVolumeClaim"]
        service = by_kind["Service"]
        assert aggregator["spec"]["serviceName"] == service["metadata"]["name"]
        (volume,) = aggregator["spec"]["template"]["spec"]["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        labels = aggregator["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        config = json.loads(by_kind["ConfigMap"]["data"]["config.json"])
        url = config["exporters"]["otlp_http"]["logs_endpoint"]
        host = f"{service['metadata']['name']}.workshop.svc"
        assert url == f"http://{host}:9428/insert/opentelemetry/v1/logs"


def test_each_controller_selects_its_own_pods_and_no_others() -> None:
    controllers = [
        one
        for uid in ("1", "2")
        for one in manifests({}, uid=uid)
        if "selector" in one.get("spec", {}) and one["kind"] != "Service"
    ]
    for one, other in itertools.product(controllers, repeat=2):
        selector = one["spec"]["selector"]["matchLabels"].items()
        labels = other["spec"]["template"]["metadata"]["labels"].items()
        assert (selector <= labels) is (one is other)


CHANGES: list[dict[str, Any]] = [
    *SECTIONS.values(),
    {"tolerateControlPlane": False},
    {"emitter": {"run": 7}},
    {"retention": "4w"},
    {"storage": "3Gi"},
    {"resources": {"limits": {"memory": "1Gi"}}},
]
IMMUTABLE = {
    # apps/v1 and core/v1 validation: all that these may not change in place.
    "DaemonSet": ("selector",),
    "StatefulSet": ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"),
    "PersistentVolumeClaim": ("accessModes", "volumeMode"),
    "Service": ("clusterIP",),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_of_the_section_touches_what_kubernetes_lets_nobody_change(
    change: dict[str, Any],
) -> None:
    before = {(one["kind"], one["metadata"]["name"]): one for one in manifests({})}
    for after in manifests(change):
        known = before[after["kind"], after["metadata"]["name"]]
        for field in IMMUTABLE.get(after["kind"], ()):
            assert known["spec"].get(field) == after["spec"].get(field)


def test_a_new_configuration_replaces_the_shippers_and_no_emitter() -> None:
    sections: list[dict[str, Any]] = [{}, {"destination": ELSEWHERE}]
    digests = {
        find(section, "DaemonSet", "log-shipper")["spec"]["template"]["metadata"]["annotations"][
            CONFIG_ANNOTATION
        ]
        for section in sections
    }
    assert len(digests) == 2
    emitters = [find(section, "DaemonSet", "log-emitter") for section in sections]
    assert emitters[0] == emitters[1], "lines are not written again for it"


def test_a_run_replaces_the_emitters_and_nothing_else() -> None:
    before, after = manifests({}), manifests({"emitter": {"run": 2}})
    changed = [
        one["metadata"]["name"] for one, two in zip(before, after, strict=True) if one != two
    ]
    assert changed == ["bookshop-log-emitter"]


def test_shippers_and_emitters_go_to_the_same_nodes() -> None:
    for section in SECTIONS.values():
        fields = [
            {field: pod.get(field) for field in ("nodeSelector", "tolerations")}
            for component, pod in pods(section).items()
            if component != "log-aggregator"
        ]
        assert fields[0] == fields[1]
    placed = pods(SECTIONS["logs-placed"])["log-shipper"]
    assert placed["tolerations"] == SECTIONS["logs-placed"]["tolerations"]
    assert "tolerations" not in pods({"tolerateControlPlane": False})["log-shipper"]
    assert "tolerations" not in pods({})["log-aggregator"]


def test_each_privilege_is_a_needed_one() -> None:
    for component, pod in pods({}).items():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        if component != "log-shipper":
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert not [volume for volume in pod.get("volumes", ()) if "hostPath" in volume]


def test_a_shipper_writes_to_nothing_of_the_node_but_its_own_state() -> None:
    pod = pods({})["log-shipper"]
    paths = {one["name"]: one["hostPath"]["path"] for one in pod["volumes"] if "hostPath" in one}
    (container,) = pod["containers"]
    writable = {
        paths.get(mount["name"]) for mount in container["volumeMounts"] if not mount.get("readOnly")
    }
    assert writable == {"/var/lib/workshop-demo/workshop_bookshop"}
    assert paths["pod-logs"] == "/var/log/pods"


def test_no_two_demos_share_state_on_a_node() -> None:
    def state(**who: str) -> str:
        (shipper,) = (
            one
            for one in manifests({}, **who)
            if one["kind"] == "DaemonSet"
            and one["metadata"]["labels"]["workshopdemo.dev/component"] == "log-shipper"
        )
        volumes = shipper["spec"]["template"]["spec"]["volumes"]
        return str({one["name"]: one for one in volumes}["state"]["hostPath"]["path"])

    places = [
        state(namespace="a", name="b-c"),
        state(namespace="a-b", name="c"),
        state(namespace="a", name="b"),
        state(namespace="n" * 63, name="d" * 63),
        state(namespace="n" * 63, name="d" * 62),
    ]
    assert len(set(places)) == len(places)
    assert all(len(part) <= 255 for place in places for part in place.split("/"))


def test_a_header_s_value_is_only_in_the_secret_and_in_memory() -> None:
    config_map, shipper, _ = manifests({"destination": ELSEWHERE})
    config = json.loads(config_map["data"]["config.json"])
    assert "headers" not in config["exporters"]["otlp_http"]
    pod = shipper["spec"]["template"]["spec"]
    (container,), (writer,) = pod["containers"], pod["initContainers"]
    env = {one["name"]: one for one in writer["env"]}
    assert json.loads(env["HEADERS"]["value"]) == {
        "Authorization": "HEADER_0",
        "X-Scope-OrgID": "HEADER_1",
    }
    assert env["HEADER_0"] == {"name": "HEADER_0", "valueFrom": TOKEN_FROM}
    assert not [one for one in container["env"] if "secretKeyRef" in one.get("valueFrom", {})]
    # What is written is what is read, on top of the rest.
    (written,) = writer["volumeMounts"]
    assert env["FILE"]["value"] == f"{written['mountPath']}/config.json"
    assert f"--config={env['FILE']['value']}" == container["args"][1]
    (volume,) = (one for one in pod["volumes"] if one["name"] == written["name"])
    assert volume["emptyDir"]["medium"] == "Memory"
    assert writer["securityContext"]["runAsNonRoot"] is True


def test_what_the_user_writes_into_a_header_s_name_is_not_expanded() -> None:
    header = {"name": "$(FILE)", "valueFrom": TOKEN_FROM}
    remote = {"otlpHttp": {"endpoint": "https://logs.example", "headers": [header]}}
    pod = manifests({"destination": remote})[1]["spec"]["template"]["spec"]
    env = {one["name"]: one for one in pod["initContainers"][0]["env"]}
    # `$$(` is how Kubernetes writes `$(` (core/v1 EnvVar).
    assert env["HEADERS"]["value"] == '{"$$(FILE)": "HEADER_0"}'


def test_what_the_collector_of_a_service_elsewhere_is_told() -> None:
    config_map, shipper, _ = manifests({"destination": ELSEWHERE})
    config = json.loads(config_map["data"]["config.json"])
    (container,) = shipper["spec"]["template"]["spec"]["containers"]
    # A ConfigMap knows neither the value, nor where it is.
    assert not {"log-service", "authorization", "log-ca"} & {
        one for one in leaves(config_map) if isinstance(one, str)
    }
    assert config["exporters"]["otlp_http"]["logs_endpoint"] == (
        "https://logs.example/otlp/v1/logs"
    )
    assert config["exporters"]["otlp_http"]["tls"] == {"ca_file": "/etc/log-shipper-ca/ca.crt"}
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    (secret,) = (one for one in shipper["spec"]["template"]["spec"]["volumes"] if "secret" in one)
    assert secret["secret"] == {
        "secretName": "log-ca",
        "items": [{"key": "root.pem", "path": "ca.crt"}],
    }
    assert mounts[secret["name"]] == "/etc/log-shipper-ca"


def test_what_the_user_writes_into_an_endpoint_is_not_expanded() -> None:
    remote = {"otlpHttp": {"endpoint": "https://logs.example/$$/${env:HEADER_0}"}}
    config = json.loads(manifests({"destination": remote})[0]["data"]["config.json"])
    url = config["exporters"]["otlp_http"]["logs_endpoint"]
    assert url == "https://logs.example/$$$$/$${env:HEADER_0}/v1/logs"


@pytest.mark.parametrize(
    ("storage", "room"),
    [
        ("1Gi", 966367641),
        ("2.5Gi", 2415919104),
        ("1G", 900000000),
        ("1e9", 900000000),
        ("1E9", 900000000),
        ("+1Gi", 966367641),
        ("1073741824", 966367641),
    ],
)
def test_the_aggregator_drops_old_days_before_its_volume_is_full(storage: str, room: int) -> None:
    (container,) = pods({"storage": storage})["log-aggregator"]["containers"]
    assert f"-retention.maxDiskSpaceUsageBytes={room}" in container["args"]


def test_an_image_of_a_newer_operator_changes_pods_in_place() -> None:
    demo = parse(demo_body(log_shipping={}))
    newer = SETTINGS.__class__(
        image="operator:2", collector_image="collector:2", aggregator_image="aggregator:2"
    )
    pairs = zip(build(demo, SETTINGS, {}).intents, build(demo, newer, {}).intents, strict=True)
    changed = [new.name for old, new in pairs if needs_apply(new, prepared(old, None))]
    assert changed == ["bookshop-log-aggregator", "bookshop-log-shipper", "bookshop-log-emitter"]
