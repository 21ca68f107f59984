"""What the operator took: its process as the kernel counts it, its requests by the audit log."""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from world import SYSTEM, World

from figures import Figure

_TICKS = 100
_ACCOUNT = f"system:serviceaccount:{SYSTEM}:workshop-demo"
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
# Asking whether one may do something is a POST, but nothing is stored by it.
_QUESTIONS = "selfsubjectaccessreviews"


@dataclass(frozen=True)
class Usage:
    """Of the operator's process so far."""

    at: float
    cpu_seconds: float
    rss_mib: float
    peak_rss_mib: float


def usage(world: World) -> Usage:
    """Read it on the node: what is run inside of the container would be counted too."""
    pod: Any = world.core.read_namespaced_pod(world.operator_pod(), SYSTEM)
    container = pod.status.container_statuses[0].container_id.removeprefix("containerd://")
    inspect = f"crictl inspect --output go-template --template '{{{{.info.pid}}}}' {container}"
    read = f"cd /proc/$({inspect}) && cat stat status"
    text = world.node("sh", "-c", read, name=pod.spec.node_name)
    # utime and stime are fields 14 and 15; the second holds a name with any character.
    fields = text.partition("\n")[0].rpartition(")")[2].split()
    lines = dict(line.split(":", 1) for line in text.splitlines() if line.startswith("Vm"))
    return Usage(
        at=time.time(),
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        rss_mib=_mebibytes(lines["VmRSS"]),
        peak_rss_mib=_mebibytes(lines["VmHWM"]),
    )


def since(world: World, before: Usage, *, writes_aim: float | None = None) -> list[Figure]:
    """What it took from then to now."""
    return between(world, before, usage(world), writes_aim=writes_aim)


def between(
    world: World, before: Usage, now: Usage, *, writes_aim: float | None = None
) -> list[Figure]:
    """What it took in that time."""
    asked = requests(world, before.at, now.at)
    seconds = now.at - before.at
    cpu = now.cpu_seconds - before.cpu_seconds
    return [
        Figure("CPU", round(cpu, 2), "s"),
        Figure("CPU, of one core", round(cpu / seconds * 100, 1), "%"),
        Figure("memory (RSS)", round(now.rss_mib), "MiB"),
        Figure("memory (RSS), peak since its start", round(now.peak_rss_mib), "MiB"),
        Figure("API writes", writes(asked), aim=writes_aim),
        *(Figure(f"  {name}", count) for name, count in asked.most_common()),
    ]


def writes(requests: Counter[str]) -> int:
    """How many of the requests change something."""
    return sum(count for name, count in requests.items() if name.split()[0] in _WRITES)


def requests(world: World, begin: float, end: float) -> Counter[str]:
    """How many requests the operator made in that time, by verb and resource."""
    found: Counter[str] = Counter()
    for event in world.requests():
        received = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
        is_ours = event["user"]["username"] == _ACCOUNT and begin <= received <= end
        if not is_ours or event["stage"] != "ResponseComplete":
            continue
        thing = event.get("objectRef") or {}
        if thing.get("resource") == _QUESTIONS:
            continue
        parts = (thing.get("resource") or event["requestURI"], thing.get("subresource"))
        found[f"{event['verb']} {'/'.join(part for part in parts if part)}"] += 1
    return found


def _mebibytes(text: str) -> float:
    return int(text.split(maxsplit=1)[0]) / 1024
