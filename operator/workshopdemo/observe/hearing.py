"""What the members of a StatefulSet were heard to say, and since when others were not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from workshopdemo.facts import Child
from workshopdemo.observe.coverage import is_ready
from workshopdemo.observe.endpoints import Silence
from workshopdemo.testimony import Testimony


@dataclass(frozen=True)
class MemberPod:
    """A member that can be asked."""

    pod: str
    uid: str
    address: str
    ready: bool
    restarts: int
    """Whether this or what is above has changed is a reason to ask anew."""


@dataclass(frozen=True)
class Hearing:
    """What was heard, by UID of Pod."""

    said: Mapping[str, Testimony] = field(default_factory=dict)
    silent: Mapping[str, Silence] = field(default_factory=dict)
    idle: Mapping[str, datetime] = field(default_factory=dict)
    """Replicas that do not stream, and since when that was seen."""


def member_pods(pods: Iterable[Child]) -> tuple[MemberPod, ...]:
    """Those that have an address and are to stay."""
    return tuple(
        sorted(
            (
                MemberPod(
                    pod=pod.name,
                    uid=pod.uid,
                    address=str(pod.status["podIP"]),
                    ready=is_ready(pod),
                    restarts=restarts_of(pod),
                )
                for pod in pods
                if pod.status.get("podIP") and not pod.terminating
            ),
            key=lambda member: member.pod,
        )
    )


def restarts_of(pod: Child) -> int:
    """How often its containers were started again."""
    statuses = pod.status.get("containerStatuses") or ()
    return sum(int(status.get("restartCount", 0)) for status in statuses)
