"""NetworkPolicies, as an add-on that enforces them would read them.

The kind cluster of the tests enforces none. So the rules are read here, by what Kubernetes says
that they mean, and asked for the connections that the operator and the inbox live by.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from chart.rendering import Object, deployment, environment, named, pod_spec, render
from workshopdemo import logsql, names, settings, testimony
from workshopdemo.plan import AGENT_PORT

ON = "--set=networkPolicy.enabled=true"
Labels = Mapping[str, str]


def policy_of(objects: list[Object], pod: Labels) -> Object:
    """The one policy that selects a Pod with these labels."""
    (found,) = [
        each
        for each in objects
        if each["kind"] == "NetworkPolicy"
        and each["spec"]["podSelector"]["matchLabels"].items() <= pod.items()
    ]
    return dict(found["spec"])


def labels_of(objects: list[Object], suffix: str = "") -> Labels:
    return dict(deployment(objects, suffix)["spec"]["template"]["metadata"]["labels"])


def selects(selector: Object, labels: Labels) -> bool:
    """Whether a label selector of the kinds that the chart uses selects something."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each.get("values", [labels.get(each["key"])])
        and each["key"] in labels
        for each in selector.get("matchExpressions", ())
    )


def is_in(block: Object, address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return ip in ipaddress.ip_network(block["cidr"]) and not any(
        ip in ipaddress.ip_network(network) for network in block.get("except", ())
    )


@dataclass(frozen=True, kw_only=True)
class To:
    """Where a connection goes: to an address outside, or to a Pod, which no address stands for."""

    port: int
    protocol: str = "TCP"
    address: str = ""
    pod: Labels = field(default_factory=dict)
    namespace: str = ""

    def is_at(self, ports: list[Object]) -> bool:
        """Whether the ports of a rule let it through."""
        return any(
            each["protocol"] == self.protocol and each.get("port", self.port) == self.port
            for each in ports
        )

    def is_to(self, peer: Object) -> bool:
        """Whether it goes to a rule's peer."""
        if "ipBlock" in peer:
            return bool(self.address) and is_in(peer["ipBlock"], self.address)
        # Without a selector of namespaces, a peer is in the policy's own.
        own = {"matchLabels": {"kubernetes.io/metadata.name": "system"}}
        return selects(peer["podSelector"], self.pod) and selects(
            peer.get("namespaceSelector", own), {"kubernetes.io/metadata.name": self.namespace}
        )


def lets_to(
    policy: Object,
    port: int,
    protocol: str = "TCP",
    *,
    address: str = "",
    pod: Labels | None = None,
    namespace: str = "",
) -> bool:
    """Whether a connection gets out."""
    to = To(port=port, protocol=protocol, address=address, pod=pod or {}, namespace=namespace)
    return any(
        to.is_at(rule["ports"]) and ("to" not in rule or any(map(to.is_to, rule["to"])))
        for rule in policy["egress"]
    )


def lets_in(policy: Object, port: int) -> bool:
    """Whether anybody gets in at the port."""
    return any("from" not in rule and {"port": port, "protocol": "TCP"} in rule["ports"]
               for rule in policy["ingress"])  # fmt: skip


DEMO_POD = {names.DEMO_LABEL: "bookshop", names.COMPONENT_LABEL: "node-agent"}


class TestOperator:
    @pytest.fixture
    def objects(self, helm: str) -> list[Object]:
        return render(helm, ON, "--set=probePort=9000,inbox.port=9001")

    @pytest.fixture
    def policy(self, objects: list[Object]) -> Object:
        return policy_of(objects, labels_of(objects))

    def test_only_its_probe_port_is_open(self, policy: Object) -> None:
        assert lets_in(policy, 9000)
        assert [rule["ports"] for rule in policy["ingress"]] == [
            [{"port": 9000, "protocol": "TCP"}]
        ]

    @pytest.mark.parametrize("port", [AGENT_PORT, testimony.PORT, logsql.PORT])
    def test_it_reaches_what_demos_run(self, policy: Object, port: int) -> None:
        assert lets_to(policy, port, pod=DEMO_POD, namespace="workshop")
        assert not lets_to(policy, port, pod={"app": "shop"}, namespace="workshop")
        assert not lets_to(policy, 22, pod=DEMO_POD, namespace="workshop")

    def test_it_reaches_the_inbox_at_the_port_of_its_pod(
        self, objects: list[Object], policy: Object
    ) -> None:
        inbox = labels_of(objects, "-inbox")
        assert lets_to(policy, 9001, pod=inbox, namespace="system")
        assert not lets_to(policy, 9001, pod=inbox, namespace="elsewhere")

    @pytest.mark.parametrize("protocol", ["UDP", "TCP"])
    @pytest.mark.parametrize("address", ["10.96.0.10", "169.254.20.10"])
    def test_it_reaches_dns(self, policy: Object, address: str, protocol: str) -> None:
        assert lets_to(policy, 53, address=address, protocol=protocol)

    @pytest.mark.parametrize(("address", "port"), [("10.96.0.1", 443), ("172.18.0.2", 6443)])
    def test_it_reaches_the_api_server(self, policy: Object, address: str, port: int) -> None:
        assert lets_to(policy, port, address=address)

    @pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
    @pytest.mark.parametrize("port", [443, 8443])
    def test_it_reaches_receivers_on_public_addresses(
        self, policy: Object, address: str, port: int
    ) -> None:
        assert lets_to(policy, port, address=address)

    @pytest.mark.parametrize(
        "address", ["10.1.2.3", "172.20.0.5", "192.168.1.1", "100.64.0.1", "169.254.169.254",
                    "fd00::1", "fe80::1", "127.0.0.1"],
    )  # fmt: skip
    @pytest.mark.parametrize("port", [80, 8080, 9093, 10250])
    def test_private_addresses_are_shut(self, policy: Object, address: str, port: int) -> None:
        assert not lets_to(policy, port, address=address)


def test_ports_of_allowed_hosts_are_open_each_once(helm: str) -> None:
    hosts = "{alertmanager.monitoring.svc:9093,10.0.0.0/8:9093,*.lab.example,[fd00::1]:80}"
    objects = render(helm, ON, f"--set=notifications.allowedHosts={hosts}")
    policy = policy_of(objects, labels_of(objects))
    for port in (9093, 443, 80):
        assert lets_to(policy, port, address="10.1.2.3")
    assert not lets_to(policy, 9094, address="10.1.2.3")
    opened = [each["ports"] for each in policy["egress"]]
    assert opened.count([{"port": 9093, "protocol": "TCP"}]) == 1


def test_a_network_of_the_api_server_shuts_its_ports_elsewhere(helm: str) -> None:
    objects = render(
        helm, ON, "--set=networkPolicy.apiServerCIDRs={10.96.0.1/32}",
        "--set=networkPolicy.apiServerPorts={16443}",
    )  # fmt: skip
    policy = policy_of(objects, labels_of(objects))
    assert lets_to(policy, 16443, address="10.96.0.1")
    assert not lets_to(policy, 16443, address="10.96.0.2")
    assert not lets_to(policy, 6443, address="10.96.0.1")


def test_with_namespaces_by_name_only_their_demos_are_reached(helm: str) -> None:
    objects = render(helm, ON, "--set=namespaces={one,two}")
    policy = policy_of(objects, labels_of(objects))
    assert lets_to(policy, AGENT_PORT, pod=DEMO_POD, namespace="two")
    assert not lets_to(policy, AGENT_PORT, pod=DEMO_POD, namespace="three")


def test_more_rules_on_request(helm: str) -> None:
    objects = render(helm, ON, "--set-json=networkPolicy.extraEgress="
                     '[{"ports": [{"port": 5353, "protocol": "UDP"}]}]')  # fmt: skip
    policy = policy_of(objects, labels_of(objects))
    assert lets_to(policy, 5353, address="10.1.2.3", protocol="UDP")


class TestInbox:
    def test_anybody_reaches_its_port_and_no_other(self, helm: str) -> None:
        objects = render(helm, ON, "--set=inbox.port=9001")
        policy = policy_of(objects, labels_of(objects, "-inbox"))
        (service_port,) = named(objects, "Service", "-inbox")["spec"]["ports"]
        (container,) = pod_spec(objects, "-inbox")["containers"]
        assert {"name": service_port["targetPort"], "containerPort": 9001} in container["ports"]
        assert lets_in(policy, 9001)
        assert len(policy["ingress"]) == 1

    def test_it_reaches_nothing(self, helm: str) -> None:
        objects = render(helm, ON)
        policy = policy_of(objects, labels_of(objects, "-inbox"))
        assert "Egress" in policy["policyTypes"]
        assert policy["egress"] == []

    def test_none_without_an_inbox(self, helm: str) -> None:
        objects = render(helm, ON, "--set=inbox.enabled=false")
        assert [
            each["metadata"]["name"] for each in objects if each["kind"] == "NetworkPolicy"
        ] == ["demo-workshop-demo"]
        assert settings.load(environment(pod_spec(objects))).inbox_url == ""


def test_none_by_default(helm: str) -> None:
    assert "NetworkPolicy" not in {each["kind"] for each in render(helm)}
