"""The chart's values: they read as documentation, and of a wrong one is said what is wrong."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, KUBERNETES, Object, run

VALUES = (CHART / "values.yaml").read_text()
SCHEMA: Object = yaml.safe_load((CHART / "values.schema.json").read_text())


def resolved(part: Object) -> Object:
    """A part of the schema, where it may be a reference to another."""
    for key in part["$ref"].removeprefix("#/").split("/") if "$ref" in part else ():
        part = resolved(part[key]) if key in part else SCHEMA[key]
    return part


def parts(
    values: Object, schema: Object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Object]]:
    """Every value that has a name of its own in the schema, with what the schema says of it.

    What is in Kubernetes' own structures, such as resources, is theirs to document.
    """
    for key, value in values.items():
        here = schema["properties"][key]
        yield (*path, key), value, here
        if "properties" in here and key != "resources":
            yield from parts(value, here, (*path, key))


def documented(text: str) -> dict[tuple[str, ...], str]:
    """The first line of the comment directly above each key, by the key's path."""
    found: dict[tuple[str, ...], str] = {}
    lines = text.splitlines()

    def walk(node: yaml.MappingNode, path: tuple[str, ...]) -> None:
        for key, value in node.value:
            first = key.start_mark.line
            while first and lines[first - 1].lstrip().startswith("#"):
                first -= 1
            found[(*path, key.value)] = lines[first].strip()
            if isinstance(value, yaml.MappingNode):
                walk(value, (*path, key.value))

    walk(yaml.compose(text), ())
    return found


class TestDocumentation:
    def test_every_value_says_what_it_is_for(self) -> None:
        comments = documented(VALUES)
        for path, _, _ in parts(yaml.safe_load(VALUES), SCHEMA):
            assert re.match(r"# -- [A-Za-z]", comments[path]), ".".join(path)

    def test_schema_knows_exactly_the_values(self) -> None:
        assert set(SCHEMA["properties"]) - {"global"} == set(yaml.safe_load(VALUES))
        for path, value, schema in parts(yaml.safe_load(VALUES), SCHEMA):
            if "properties" in schema and path[-1] != "resources":
                assert set(schema["properties"]) == set(value), ".".join(path)

    def test_schema_lets_nothing_unknown_through(self) -> None:
        for path, _, schema in parts(yaml.safe_load(VALUES), SCHEMA):
            if "properties" in schema:
                assert schema["additionalProperties"] is False, ".".join(path)


def refused(helm: str, *settings: str) -> str:
    done = run(
        helm, "template", "demo", str(CHART), f"--kube-version={KUBERNETES}",
        *(f"--set={setting}" for setting in settings),
    )  # fmt: skip
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("imag.tag=v1", "additional properties 'imag' not allowed"),
        ("image=operator:v1", "at '/image': got string, want object"),
        ("image.tags=v1", "additional properties 'tags' not allowed"),
        ("image.tag=1", "at '/image/tag': got number, want string"),
        ("image.pullPolicy=Sometimes", "one of 'Always', 'IfNotPresent', 'Never'"),
        ("image.repository=", "/image/repository"),
        ("imagePullSecrets={mirror}", "at '/imagePullSecrets/0': got string, want object"),
        ("namespaces={one,one}", "/namespaces"),
        ("namespaces=workshop", "at '/namespaces': got string, want array"),
        ("crds.keep=maybe", "at '/crds/keep': got string, want boolean"),
        ("log.level=LOUD", "one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
        ("log.format=xml", "one of 'text', 'json'"),
        ("probePort=80", "/probePort"),
        ("probePort=http", "at '/probePort': got string, want integer"),
        ("resources.limit.memory=1Gi", "additional properties 'limit' not allowed"),
        ("replicas=2", "additional properties 'replicas' not allowed"),
        ("serviceAccount.name=Bad_Name", "/serviceAccount/name"),
        ("podLabels.count=1", "at '/podLabels/count': got number, want string"),
        ("tolerations=all", "at '/tolerations': got string, want array"),
        ("inbox.enabled=yes", "at '/inbox/enabled': got string, want boolean"),
        ("inbox.port=80", "/inbox/port"),
        ("inbox.maxMessages=0", "/inbox/maxMessages"),
        ("inbox.replicas=2", "additional properties 'replicas' not allowed"),
        ("notifications.allowedHost={a:1}", "additional properties 'allowedHost' not allowed"),
        ("notifications.allowedHosts=a:1", "at '/notifications/allowedHosts': got string"),
        ("limits.demos=-1", "/limits/demos"),
        ("limits.replicas=many", "at '/limits/replicas': got string, want integer"),
        ("limits.scenarios={Postgress}", "/limits/scenarios/0"),
        ("limits.logShipping=no", "at '/limits/logShipping': got string, want boolean"),
        ("limits.pods=3", "additional properties 'pods' not allowed"),
        ("statefulSet.postgresImage=", "/statefulSet/postgresImage"),
        ("statefulSet.image=postgres:17", "additional properties 'image' not allowed"),
        ("metrics.enabled=true", "additional properties 'enabled' not allowed"),
        ("metrics.serviceMonitor.enabled=yes", "one of 'auto', true, false"),
        ("metrics.serviceMonitor.interval=30", "at '/metrics/serviceMonitor/interval'"),
        ("networkPolicy.apiServerPorts={https}", "at '/networkPolicy/apiServerPorts/0'"),
        ("networkPolicy.apiServerCIDRs={10.0.0.1}", "at '/networkPolicy/apiServerCIDRs/0'"),
    ],
)
def test_what_the_schema_refuses(helm: str, setting: str, said: str) -> None:
    told = refused(helm, setting)
    assert "don't meet the specifications of the schema" in told
    # helm 3.18 changed the words with its library: "at '/image/tag'" was "image.tag" before.
    assert said in told or said.strip("/").replace("/", ".") in told, told


SENTENCES: dict[str, str] = yaml.safe_load(Path(__file__).with_name("sentences.yaml").read_text())


@pytest.mark.parametrize(("setting", "sentence"), SENTENCES.items())
def test_what_a_sentence_refuses(helm: str, setting: str, sentence: str) -> None:
    assert sentence in refused(helm, setting).splitlines()


def test_all_mistakes_are_told_at_once(helm: str) -> None:
    told = refused(helm, "image.tag=a b", "namespaces={Workshop}", "resources.limits.memory=1")
    assert re.findall(r"(?m)^([a-z][\w.\[\]]+): ", told) == [
        "namespaces[0]", "image.tag", "resources.limits.memory",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "setting",
    [
        "resources.limits.memory=268435456",
        "resources.limits.memory=0.5Gi",
        "resources.limits.memory=1e9",
        "resources.requests.cpu=1",
        "resources.requests.cpu=0.5",
        "image.repository=registry.example:5000/a/b",
        "imageRegistry=localhost:5000",
        "imageRegistry=registry.example/a/b/",
        "fullnameOverride=a",
    ],
)
def test_what_is_unusual_and_right(helm: str, setting: str) -> None:
    done = run(helm, "template", "demo", str(CHART), f"--kube-version={KUBERNETES}",
               f"--set={setting}")  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_an_old_kubernetes_is_refused(helm: str) -> None:
    done = run(helm, "template", "demo", str(CHART), "--kube-version=1.28.0")
    assert done.returncode != 0
    assert "requires kubeVersion: >=1.29.0-0" in done.stderr
