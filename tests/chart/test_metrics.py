"""What a Prometheus and a Grafana of the cluster get: who is scraped, alerts, a dashboard."""

import json
import re
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, Object, deployment, named, only, render
from workshopdemo.metrics import EXPOSED

# As prometheus_client's collectors of processes have them (on Linux).
PROCESS: dict[str, tuple[str, ...]] = {
    "process_resident_memory_bytes": (),
    "process_cpu_seconds_total": (),
    "process_start_time_seconds": (),
}
KNOWN = {**EXPOSED, **PROCESS}

# What Prometheus adds to everything that a ServiceMonitor makes it scrape.
TARGET = {"namespace", "job", "pod", "service", "instance", "container", "endpoint"}

GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
NAME = re.compile(r"\b(?<![$.])[a-zA-Z_:][\w:]*\b(?!\s*\()")
WORDS = {"by", "without", "on", "ignoring", "and", "or", "unless", "bool", "offset"}

API = "--api-versions=monitoring.coreos.com/v1/"


def metrics_in(expression: str) -> set[str]:
    """Names of the metrics that PromQL asks for."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', " ", expression)
    bare = GROUPING.sub(" ", bare)
    return set(NAME.findall(bare)) - WORDS


def labels_in(expression: str) -> set[str]:
    """Labels that it selects or groups by."""
    matched = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression)
    grouped = [one.strip() for found in GROUPING.findall(expression) for one in found.split(",")]
    return {*matched, *grouped}


def check(expression: str) -> None:
    """It asks for what the operator tells, by labels that this has."""
    found = metrics_in(expression)
    assert found, expression
    assert found - KNOWN.keys() == set(), expression
    allowed = TARGET.union(*(KNOWN[metric] for metric in found))
    assert labels_in(expression) - allowed == set(), expression


@pytest.mark.parametrize(
    ("expression", "metrics", "labels"),
    [
        ('sum by (a, b) (rate(x_total{c="d", e=~"f|g"}[5m])) > 0.5', {"x_total"}, set("abce")),
        ('absent(x{c="y z"}) or time() - y_seconds', {"x", "y_seconds"}, {"c"}),
        ("histogram_quantile(0.9, sum by (le) (rate(x_bucket[$__rate_interval])))",
         {"x_bucket"}, {"le"}),
    ],
)  # fmt: skip
def test_promql_is_read_well_enough(expression: str, metrics: set[str], labels: set[str]) -> None:
    assert metrics_in(expression) == metrics
    assert labels_in(expression) == labels


class TestScraping:
    def test_the_service_leads_to_the_operator(self, helm: str) -> None:
        objects = render(helm, "--set=probePort=9000")
        service, operator = named(objects, "Service", "-metrics"), deployment(objects)
        assert service["spec"]["selector"] == operator["spec"]["selector"]["matchLabels"]
        (port,) = service["spec"]["ports"]
        (container,) = operator["spec"]["template"]["spec"]["containers"]
        assert {"name": port["targetPort"], "containerPort": 9000} in container["ports"]

    def test_the_monitor_selects_that_service_and_no_other(self, helm: str) -> None:
        objects = render(helm, f"{API}ServiceMonitor")
        spec = only(objects, "ServiceMonitor")["spec"]
        selected = [
            each
            for each in objects
            if each["kind"] == "Service"
            and spec["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
        ]
        assert selected == [named(objects, "Service", "-metrics")]
        (endpoint,) = spec["endpoints"]
        assert (endpoint["path"], endpoint["interval"]) == ("/metrics", "30s")
        assert endpoint["port"] == selected[0]["spec"]["ports"][0]["name"]

    def test_none_on_request(self, helm: str) -> None:
        objects = render(
            helm, f"{API}ServiceMonitor", "--set=metrics.service.enabled=false,inbox.enabled=false"
        )
        assert {"Service", "ServiceMonitor"}.isdisjoint(each["kind"] for each in objects)


MONITOR, RULE = f"{API}ServiceMonitor", f"{API}PrometheusRule"


def kinds(helm: str, *args: str) -> set[str]:
    """Of what is rendered for monitoring."""
    wanted = {"ServiceMonitor", "PrometheusRule", "ConfigMap"}
    return {each["kind"] for each in render(helm, *args)} & wanted


class TestAuto:
    def test_it_follows_the_cluster(self, helm: str) -> None:
        assert kinds(helm) == set()
        assert kinds(helm, MONITOR) == {"ServiceMonitor", "ConfigMap"}
        assert kinds(helm, MONITOR, RULE) == {"ServiceMonitor", "PrometheusRule", "ConfigMap"}

    @pytest.mark.parametrize("value", ["serviceMonitor", "service"])
    def test_no_alert_tells_that_what_nobody_scrapes_is_silent(self, helm: str, value: str) -> None:
        assert kinds(helm, MONITOR, RULE, f"--set=metrics.{value}.enabled=false") == set()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("serviceMonitor", "ServiceMonitor"),
        ("prometheusRule", "PrometheusRule"),
        ("dashboard", "ConfigMap"),
    ],
)
class TestEach:
    def test_true_and_false_are_heeded_whatever_the_cluster_has(
        self, helm: str, value: str, kind: str
    ) -> None:
        said = f"--set=metrics.{value}.enabled"
        assert kind in kinds(helm, f"{said}=true")
        assert kind not in kinds(helm, MONITOR, RULE, f"{said}=false")

    def test_it_is_found_by_labels_of_the_cluster_s(self, helm: str, value: str, kind: str) -> None:
        objects = render(
            helm, f"--set=metrics.{value}.enabled=true,metrics.{value}.labels.release=monitoring"
        )
        labels = only(objects, kind)["metadata"]["labels"]
        assert labels["release"] == "monitoring"
        assert labels["app.kubernetes.io/name"] == "workshop-demo"


def alerts(helm: str, *args: str) -> list[Object]:
    objects = render(helm, "--set=metrics.prometheusRule.enabled=true", *args)
    (group,) = only(objects, "PrometheusRule")["spec"]["groups"]
    return list(group["rules"])


ALERTS = [each["alert"] for each in yaml.safe_load((CHART / "files/rules.yaml").read_text())]


class TestAlerts:
    @pytest.mark.parametrize("name", ALERTS)
    def test_an_alert_says_what_is_wrong_and_what_to_type(self, helm: str, name: str) -> None:
        (alert,) = [each for each in alerts(helm) if each["alert"] == name]
        check(alert["expr"])
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["annotations"].keys() == {"summary", "description"}
        description = alert["annotations"]["description"]
        assert re.search(r"`kubectl [^`]+`", description)
        # Whatever the chart has to fill in is filled in; what is left is Prometheus' own.
        assert re.findall(r"\$[A-Z_]+", json.dumps(alert)) == []
        assert set(re.findall(r"\$\w+", description)) <= {"$labels", "$value"}
        for label in re.findall(r"\$labels\.(\w+)", json.dumps(alert["annotations"])):
            assert label in labels_in(alert["expr"])

    def test_they_are_about_this_release_alone(self, helm: str) -> None:
        objects = render(helm, "--set=metrics.prometheusRule.enabled=true")
        job = named(objects, "Service", "-metrics")["metadata"]["name"]
        for alert in alerts(helm):
            selectors = re.findall(r"(\w+)\{([^}]*)\}", alert["expr"])
            assert {metric for metric, _ in selectors} == metrics_in(alert["expr"])
            for _, selector in selectors:
                assert f'namespace="system", job="{job}"' in selector

    def test_commands_name_what_is_installed(self, helm: str) -> None:
        told = json.dumps(alerts(helm))
        operator = deployment(render(helm))["metadata"]
        assert set(re.findall(r"deployment/([\w-]+)", told)) == {operator["name"]}
        assert set(re.findall(r"-n ([a-z-]+)", told)) == {operator["namespace"]}

    @pytest.mark.parametrize(
        ("limit", "bytes_"),
        [("256Mi", 268435456), ("0.5Gi", 536870912), ("1G", 10**9), ("268435456", 268435456)],
    )
    def test_the_limit_of_memory_is_the_container_s(
        self, helm: str, limit: str, bytes_: int
    ) -> None:
        (alert,) = [
            each
            for each in alerts(helm, f"--set=resources.limits.memory={limit}")
            if each["alert"] == "WorkshopDemoMemoryHigh"
        ]
        assert alert["expr"].endswith(f"> 0.85 * {bytes_}")

    def test_without_a_limit_there_is_none_to_come_close_to(self, helm: str) -> None:
        found = [each["alert"] for each in alerts(helm, "--set=resources.limits.memory=null")]
        assert found == [name for name in ALERTS if name != "WorkshopDemoMemoryHigh"]


DASHBOARD: dict[str, Any] = json.loads((CHART / "files/dashboard.json").read_text())


PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


class TestDashboard:
    def test_the_config_map_has_it_whole(self, helm: str) -> None:
        objects = render(helm, "--set=metrics.dashboard.enabled=true")
        config_map = only(objects, "ConfigMap")
        assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert config_map["metadata"]["namespace"] == "system"
        (text,) = config_map["data"].values()
        assert json.loads(text) == DASHBOARD

    def test_it_can_be_where_the_sidecar_looks(self, helm: str) -> None:
        objects = render(
            helm, "--set=metrics.dashboard.enabled=true,metrics.dashboard.namespace=monitoring"
        )
        assert only(objects, "ConfigMap")["metadata"]["namespace"] == "monitoring"

    @pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
    def test_a_panel_asks_for_what_the_operator_tells(self, panel: Object) -> None:
        assert panel["description"]
        for target in panel["targets"]:
            check(target["expr"])
            assert 'namespace="$namespace", job="$job"' in target["expr"]
            assert target["datasource"] == panel["datasource"] == {
                "type": "prometheus", "uid": "${datasource}",
            }  # fmt: skip

    def test_every_metric_has_its_place(self) -> None:
        shown = {
            metric
            for panel in PANELS
            for target in panel["targets"]
            for metric in metrics_in(target["expr"])
        }
        own = {metric for metric in EXPOSED if not metric.endswith(("_sum", "_count"))}
        assert shown == own | PROCESS.keys()

    def test_variables_are_there_before_they_are_used(self) -> None:
        names = [each["name"] for each in DASHBOARD["templating"]["list"]]
        assert names == ["datasource", "namespace", "job"]
        for each in DASHBOARD["templating"]["list"][1:]:
            assert metrics_in(each["definition"].split("(")[1].rsplit(",")[0]) <= EXPOSED.keys()

    def test_no_panel_is_above_another(self) -> None:
        taken: set[tuple[int, int]] = set()
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert max(x for x, _ in cells) < 24
            assert taken.isdisjoint(cells), panel["title"]
            taken |= cells
        identities = [panel["id"] for panel in DASHBOARD["panels"]]
        assert len(identities) == len(set(identities))
