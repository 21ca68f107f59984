"""Pods of a Job → its attempts, with the logs that survive them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from workshopdemo.facts import Child
from workshopdemo.model import Attempt, AttemptOutcome, JobStatus
from workshopdemo.observe.text import clean

_OUTCOMES: Final[Mapping[str, AttemptOutcome]] = {
    "Pending": "Pending",
    "Running": "Running",
    "Succeeded": "Succeeded",
    "Failed": "Failed",
}
_ENDED: Final = frozenset({"Succeeded", "Failed", "Deleted"})
_OTHER_STEP_LINES: Final = 2


@dataclass(frozen=True)
class LogWanted:
    """A log that nobody has read yet, of a Pod that ended or is being ended."""

    pod: str
    pod_uid: str
    containers: tuple[str, ...]
    """In the order they run; only those that ran, or may have."""

    decisive: str
    """The container whose end was the Pod's end."""

    last_word: str
    """What the kubelet says of a container that wrote nothing, such as a command not found."""

    is_final: bool
    """Whether nothing can be written any more. A Pod that is being removed is read while it still
    can be: Kubernetes may take it away the moment it ends."""

    def told(self, logs: Mapping[str, str | None]) -> str:
        """The log in short: the end of the decisive container's, a line or two of the others."""
        if len(self.containers) == 1:
            return clean(logs.get(self.decisive) or self.last_word)
        lines = []
        for container in self.containers:
            text = logs.get(container) or (self.last_word if container == self.decisive else "")
            short = clean(text) if container == self.decisive else clean(text, _OTHER_STEP_LINES)
            lines += [f"[{container}] {line}" for line in short.splitlines()]
        return "\n".join(lines)


def logs_wanted(pods: Iterable[Child], known: Collection[str]) -> list[LogWanted]:
    """Logs to read now.

    Args:
        pods: Pods of one entry.
        known: names of Pods whose whole log is told already.
    """
    wanted = []
    for pod in pods:
        is_final = pod.status.get("phase") in _ENDED
        if pod.name in known or not (is_final or pod.terminating):
            continue
        ran = [status for status in statuses_of(pod) if _has_run(status)] or _starting(pod)
        decisive = _decisive(pod) or (ran[-1] if ran else None)
        if decisive is not None:
            wanted.append(
                LogWanted(
                    pod=pod.name,
                    pod_uid=pod.uid,
                    containers=tuple(status["name"] for status in ran),
                    decisive=decisive["name"],
                    last_word=(_terminated(decisive) or {}).get("message") or "",
                    is_final=is_final,
                )
            )
    return wanted


def told_pods(told: JobStatus | None) -> set[str]:
    """Pods of an entry of spec.jobs whose log is told already."""
    if told is None:
        return set()
    return {
        attempt.pod
        for attempt in told.attempts
        if attempt.log is not None and attempt.outcome in _ENDED
    }


@dataclass(frozen=True)
class End:
    """How the newest Pod of a run ended, or is about to."""

    uid: str
    node: str | None
    exit_code: int | None


def newest_end(pods: Iterable[Child]) -> End | None:
    """The end of the newest Pod that ended or is being removed; the newest Pod if none did."""
    newest = sorted(pods, key=lambda pod: (pod.created, pod.name))
    ended = [pod for pod in newest if pod.status.get("phase") in _ENDED or pod.terminating]
    for pod in (ended or newest)[-1:]:
        decisive = _decisive(pod)
        end = _terminated(decisive) if decisive else None
        return End(pod.uid, pod.status.get("nodeName"), end["exitCode"] if end else None)
    return None


def attempts_of(
    pods: Iterable[Child],
    told: JobStatus | None,
    logs: Mapping[str, str],
    keep: int,
) -> tuple[Attempt, ...]:
    """The newest attempts, oldest first.

    Args:
        pods: the Job's Pods that there are.
        told: what the status said of this very Job; it remembers Pods that are gone.
        logs: told logs by UID of Pod.
        keep: how many attempts.
    """
    remembered = {attempt.pod: attempt for attempt in told.attempts} if told else {}
    seen = {pod.name: _attempt(pod, remembered.get(pod.name), logs) for pod in pods}
    gone = {
        name: attempt if attempt.outcome in _ENDED else _deleted(attempt)
        for name, attempt in remembered.items()
        if name not in seen
    }
    everything = [*gone.values(), *seen.values()]
    # A Pod that has not started yet is the newest.
    everything.sort(key=lambda attempt: (attempt.start_time or "~", attempt.pod))
    return tuple(everything[-keep:])


def _attempt(pod: Child, remembered: Attempt | None, logs: Mapping[str, str]) -> Attempt:
    decisive = _decisive(pod)
    end = _terminated(decisive) if decisive else None
    log = logs.get(pod.uid)
    if log is None and remembered is not None:
        log = remembered.log
    outcome = _OUTCOMES.get(str(pod.status.get("phase")), "Pending")
    if outcome == "Pending" and runs_init(pod):
        outcome = "Running"
    return Attempt(
        pod=pod.name,
        node=pod.status.get("nodeName"),
        index=pod.index,
        outcome=outcome,
        exit_code=end["exitCode"] if end else None,
        reason=pod.status.get("reason") or (end or {}).get("reason"),
        start_time=pod.status.get("startTime"),
        finish_time=_finish(pod) if outcome in _ENDED else None,
        log=log,
    )


def _deleted(attempt: Attempt) -> Attempt:
    return msgspec.structs.replace(attempt, outcome="Deleted", reason="Deleted")


def runs_init(pod: Child) -> bool:
    """Whether an init container runs now; the Pod's phase is Pending meanwhile."""
    statuses = pod.status.get("initContainerStatuses") or ()
    return any("running" in (status.get("state") or {}) for status in statuses)


def statuses_of(pod: Child) -> list[Mapping[str, Any]]:
    """Container statuses in the order the containers run."""
    return [
        *(pod.status.get("initContainerStatuses") or ()),
        *(pod.status.get("containerStatuses") or ()),
    ]


def _has_run(status: Mapping[str, Any]) -> bool:
    state = status.get("state") or {}
    return "terminated" in state or "running" in state


def _starting(pod: Child) -> list[Mapping[str, Any]]:
    """The first container of a Pod that is removed before the kubelet told whether that ran.

    The kubelet tells of a start up to a second late.
    """
    for status in statuses_of(pod)[:1] if pod.terminating else ():
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in {"ContainerCreating", "PodInitializing"}:
            return [status]
    return []


def _terminated(status: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return (status.get("state") or {}).get("terminated")


def _decisive(pod: Child) -> Mapping[str, Any] | None:
    """The container that failed first, else the last one that ended."""
    ended = [status for status in statuses_of(pod) if _terminated(status)]
    for status in ended:
        if (_terminated(status) or {}).get("exitCode"):
            return status
    return ended[-1] if ended else None


def _finish(pod: Child) -> str | None:
    ends = [end.get("finishedAt") for status in statuses_of(pod) if (end := _terminated(status))]
    return max((end for end in ends if end), default=None)
