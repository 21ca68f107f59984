"""What Prometheus would read of the operator, once a demo has run."""

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from world import QUICK, SYSTEM, World, wait_for

from workshopdemo.facts import WATCHED
from workshopdemo.metrics import EXPOSED

AGE_AT_REST = 345.0
"""Seconds: a watch that tells nothing is compared each 320 s, with a list of 20 s before."""


class Scrape:
    """All that the operator tells at a moment."""

    def __init__(self, world: World) -> None:
        path = f"/api/v1/namespaces/{SYSTEM}/pods/{world.operator_pod()}:8080/proxy/metrics"
        self.text = world.kubectl("get", "--raw", path)
        self._samples = [
            sample
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        ]

    def of(self, name: str, **labels: str) -> list[Sample]:
        assert name.startswith("process_") or name in EXPOSED
        return [
            one
            for one in self._samples
            if one.name == name and labels.items() <= one.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        return sum(one.value for one in self.of(name, **labels))


def test_an_operator_at_work_is_measured_and_nobody_is_named(world: World) -> None:
    before = Scrape(world)
    world.apply(QUICK, targets=[{"name": "hook", "inbox": {"dialect": "Webhook"}}])
    world.wait_for_phase("Ready")
    world.wait_for_delivered(1)

    def told() -> Scrape:
        now = Scrape(world)

        def rise(name: str, **labels: str) -> float:
            return now.total(name, **labels) - before.total(name, **labels)

        assert rise("workshopdemo_reconciles_total", result="success") > 0
        assert rise("workshopdemo_reconcile_duration_seconds_count") > 0
        requests = "workshopdemo_api_requests_total"
        assert rise(requests, verb="patch", kind="jobs", code="201") >= 1
        assert rise(requests, verb="patch", kind="workshopdemos/status", code="200") >= 1
        assert rise("workshopdemo_notifications_total", kind="inbox", state="delivered") >= 1
        assert now.total("workshopdemo_demos", phase="Ready") >= 1
        return now

    scrape = wait_for("its numbers", told)
    ages = {one.labels["kind"]: one.value for one in scrape.of("workshopdemo_watch_age_seconds")}
    assert set(ages) == set(WATCHED)
    assert max(ages.values()) < AGE_AT_REST, ages
    assert max(one.value for one in scrape.of("workshopdemo_queue_oldest_seconds")) < 60
    assert scrape.total("process_resident_memory_bytes") > 0
    for name in (world.namespace, "shop", "hook", SYSTEM, world.inbox.host):
        assert f'"{name}' not in scrape.text, "a label names somebody"
    assert world.namespace not in scrape.text
