"""Pods that cannot start: since when, and why in the kubelet's or the scheduler's words."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from workshopdemo.facts import Child
from workshopdemo.observe.attempts import runs_init, statuses_of
from workshopdemo.observe.text import shorten_middle
from workshopdemo.observe.times import parse_time

PATIENCE: Final = timedelta(seconds=60)
"""How long a Pod may fail to start before it counts as Stuck (design: 60 s)."""

PULL_PATIENCE: Final = timedelta(minutes=5)
"""How long a Pod may just be "creating": a large image over a slow line is not stuck."""

# The kubelet alternates between the two for one and the same failure.
_ALIASES: Final = {"ErrImagePull": "ImagePullBackOff"}
_CAUSE_LIMIT: Final = 160
"""Characters of why an image cannot be pulled: with its name, less than any status cuts off."""

_OWN_PORT: Final = re.compile(r":\d+->")
_BENIGN: Final = frozenset({"ContainerCreating", "PodInitializing"})


@dataclass(frozen=True)
class Hindrance:
    """Why a Pod does not start, and when that counts as Stuck."""

    reason: str
    message: str
    due: datetime

    @property
    def is_ordinary(self) -> bool:
        """Whether every Pod passes through this on its way."""
        return self.reason in _BENIGN or self.reason == "Pending"


def hindrance(pods: Iterable[Child]) -> Hindrance | None:
    """The hindrance that is due first among Pods that have not started."""
    found = [why for pod in pods if (why := _of_pod(pod))]
    return min(found, key=lambda why: (why.due, why.reason)) if found else None


def no_pod(job: Child, refusal: str | None) -> Hindrance:
    """The hindrance of a Job for which Kubernetes makes no Pod at all.

    Args:
        job: the Job.
        refusal: what the Job controller's Events say, such as an exceeded quota.
    """
    since = parse_time(job.status.get("startTime") or job.created)
    message = refusal or f"Kubernetes makes no Pod for it: kubectl describe job {job.name}"
    return Hindrance("FailedCreate", message, since + PATIENCE)


def _of_pod(pod: Child) -> Hindrance | None:
    if pod.status.get("phase") != "Pending" or runs_init(pod):
        return None
    created = parse_time(pod.created)
    waiting = [
        (status, state) for status in statuses_of(pod) if (state := status["state"].get("waiting"))
    ]
    for status, state in waiting:
        reason = _ALIASES.get(state["reason"], state["reason"])
        if reason not in _BENIGN:
            return Hindrance(reason, _message(reason, status, state), created + PATIENCE)
    for condition in pod.status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason = condition.get("reason") or "Unschedulable"
            return Hindrance(reason, condition.get("message") or reason, created + PATIENCE)
    reason = waiting[0][1]["reason"] if waiting else "Pending"
    return Hindrance(reason, f"Pod {pod.name} does not start", created + PULL_PATIENCE)


def _message(reason: str, status: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    said = str(state.get("message") or "")
    if reason != "ImagePullBackOff":
        return said or reason
    # The kubelet alternates between two sentences, one of which quotes the other, and both may hold
    # a port of its own: each change would be a status write.
    cause = _OWN_PORT.sub("->", said.rpartition("ErrImagePull: ")[2])
    # A registry's word, such as "not found" or "no such host", is the last of many wrapped errors.
    words = f": {shorten_middle(cause, _CAUSE_LIMIT)}" if cause else ""
    return f"the image {status['image']} cannot be pulled{words}"
