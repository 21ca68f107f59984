"""What the operator exposes of itself: GET /metrics, by the API server's proxy."""

from collections import Counter

from world import SYSTEM, World

_PORT = 8080


def read(world: World) -> Counter[str]:
    """The newest values, added up over all labels but `queue`: `name` or `name{queue}`."""
    path = f"/api/v1/namespaces/{SYSTEM}/pods/{world.operator_pod()}:{_PORT}/proxy/metrics"
    found: Counter[str] = Counter()
    for line in world.kubectl("get", "--raw", path).splitlines():
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            name, _, labels = series.partition("{")
            queue = labels.partition('queue="')[2].partition('"')[0]
            found[f"{name}{{{queue}}}" if queue else name] += float(value)  # type: ignore[assignment]
    return found


def has_looked_at_all(world: World, demos: int) -> bool:
    """Whether every demo was looked at since the operator started, and nothing is left to do."""
    found = read(world)
    left = found["workshopdemo_queue_depth{looks}"] + found["workshopdemo_queue_depth{statuses}"]
    return found["workshopdemo_reconciles_total"] >= demos and left == 0
