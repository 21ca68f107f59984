"""What the operator tells Prometheus about itself.

Labels are bounded: kinds, verbs, codes, phases. No namespace, name, address or host is a label, so
a class of hundreds makes no series more, and nobody learns of others by them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from workshopdemo import VERSION
from workshopdemo.model import Phase
from workshopdemo.notify.wire import TargetKind, TryState
from workshopdemo.queue import Backlog


@dataclass(frozen=True)
class Series:
    """A metric, by the name that queries have for it."""

    name: str
    kind: Literal["info", "gauge", "counter", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()

    def exposed(self) -> dict[str, tuple[str, ...]]:
        """Names of all its samples, with their labels."""
        if self.kind != "histogram":
            return {self.name: self.labels}
        return {
            f"{self.name}_bucket": (*self.labels, "le"),
            f"{self.name}_sum": self.labels,
            f"{self.name}_count": self.labels,
        }


BUILD: Final = Series("workshopdemo_build_info", "info", "What runs here.", ("version",))
DEMOS: Final = Series(
    "workshopdemo_demos", "gauge", "WorkshopDemos by the phase on their status.", ("phase",)
)
RECONCILES: Final = Series(
    "workshopdemo_reconciles_total", "counter", "Looks at demos, by how they ended.", ("result",)
)
RECONCILE_DURATION: Final = Series(
    "workshopdemo_reconcile_duration_seconds", "histogram", "How long a look at a demo takes."
)
QUEUE_DEPTH: Final = Series(
    "workshopdemo_queue_depth", "gauge", "Keys that are due and not begun.", ("queue",)
)
QUEUE_OLDEST: Final = Series(
    "workshopdemo_queue_oldest_seconds",
    "gauge",
    "How long the key has been due that waits longest.",
    ("queue",),
)
API_REQUESTS: Final = Series(
    "workshopdemo_api_requests_total",
    "counter",
    "Requests to the API server, watches aside; code none: no answer.",
    ("verb", "kind", "code"),
)
WATCH_AGE: Final = Series(
    "workshopdemo_watch_age_seconds",
    "gauge",
    "Since when it is not known whether the watch on that kind has told everything.",
    ("kind",),
)
NOTIFICATIONS: Final = Series(
    "workshopdemo_notifications_total",
    "counter",
    "Tries to deliver a notification, by kind of target and what became of it.",
    ("kind", "state"),
)

SERIES: Final = (
    BUILD,
    DEMOS,
    RECONCILES,
    RECONCILE_DURATION,
    QUEUE_DEPTH,
    QUEUE_OLDEST,
    API_REQUESTS,
    WATCH_AGE,
    NOTIFICATIONS,
)
"""All metrics of our own; dashboards and alert rules may name these, `process_*` and
`python_gc_*`."""

EXPOSED: Final = {name: labels for one in SERIES for name, labels in one.exposed().items()}
"""Names of all their samples, each with its labels."""

_DURATIONS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Buckets in seconds: a look that changes nothing takes milliseconds, one that waits for a slow API
server as long as requests may take."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What is asked at each scrape."""

    phases: Callable[[], Mapping[str, int]]
    """Numbers of demos by phase."""

    backlogs: Mapping[str, Callable[[], Backlog]]
    """By the queue's name."""

    ages: Callable[[], Mapping[str, float]]
    """Ages of watches in seconds, by plural."""


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        # A switch of the whole process. Else each counter had a second series, with the time at
        # which this process made it; process_start_time_seconds says as much.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        build = Info(BUILD.name.removesuffix("_info"), BUILD.meaning, registry=self._registry)
        build.info({"version": VERSION})
        self._reconciles = self._counter(RECONCILES)
        self._durations = Histogram(
            RECONCILE_DURATION.name,
            RECONCILE_DURATION.meaning,
            buckets=_DURATIONS,
            registry=self._registry,
        )
        self._requests = self._counter(API_REQUESTS)
        self._notifications = self._counter(NOTIFICATIONS)
        self._begin_with_zero()

    def _begin_with_zero(self) -> None:
        """Make the series there are: of a counter that begins with one nobody sees that it rose."""
        for result in ("success", "error"):
            self._reconciles.labels(result)
        for kind, state in product(get_args(TargetKind), get_args(TryState)):
            self._notifications.labels(kind, state)

    def _counter(self, series: Series) -> Counter:
        return Counter(series.name, series.meaning, series.labels, registry=self._registry)

    def read_from(self, sources: Sources) -> None:
        """Ask these at each scrape."""
        self._registry.register(_Gauges(sources))

    def looked(self, seconds: float, succeeded: bool) -> None:  # noqa: FBT001 - see WorkQueue
        """A look at a demo has ended."""
        self._reconciles.labels("success" if succeeded else "error").inc()
        self._durations.observe(seconds)

    def answered(self, verb: str, kind: str, code: str) -> None:
        """The API server has answered a request, or has not."""
        self._requests.labels(verb, kind, code).inc()

    def tried(self, kind: TargetKind, state: TryState) -> None:
        """A try to deliver a notification has ended."""
        self._notifications.labels(kind, state).inc()

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that is asked for, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class _Gauges(Collector):
    """What is asked at each scrape."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Ask."""
        phases = self._sources.phases()
        yield _gauge(DEMOS, {phase: phases.get(phase, 0) for phase in get_args(Phase)})
        backlogs = {name: ask() for name, ask in self._sources.backlogs.items()}
        yield _gauge(QUEUE_DEPTH, {name: one.depth for name, one in backlogs.items()})
        yield _gauge(QUEUE_OLDEST, {name: one.oldest for name, one in backlogs.items()})
        yield _gauge(WATCH_AGE, self._sources.ages())


def _gauge(series: Series, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(series.name, series.meaning, labels=series.labels)
    for label, value in values.items():
        family.add_metric([label], value)
    return family
