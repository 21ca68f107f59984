"""Nodes, Pods and counts → what the status says of spec.logShipping."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from workshopdemo.errors import ClusterError
from workshopdemo.facts import Child, Node
from workshopdemo.model import LogShipping, LogShippingStatus, NodeLogs
from workshopdemo.observe.coverage import (
    START_PATIENCE,
    Coverage,
    bare_nodes,
    coverage,
    is_ready,
    node_of_pod,
    placement_of,
    pod_security_level,
    trouble,
    unready_since,
)
from workshopdemo.observe.stuck import hindrance
from workshopdemo.observe.survey import EmitterPod, Survey, node_logs
from workshopdemo.observe.text import MESSAGE_LIMIT, shorten_end
from workshopdemo.observe.times import earliest
from workshopdemo.observe.verdict import (
    Verdict,
    fine,
    listed,
    moving,
    named,
    of_nodes,
    with_nodes,
    wrong,
)

SILENCE_PATIENCE: Final = timedelta(seconds=60)
"""How long the aggregator may be away: that is what queues are for."""

Absence = tuple[Literal["shipper", "emitter", "aggregator"], str]
"""A part that has no Pod that stays, and the node where it has none; of an aggregator, none."""

_AGGREGATOR: Final = "the aggregator"
_EMITTER: Final = "the emitter"
"""Parts, in words."""

_VOLUME: Final = "PersistentVolumeClaim"
"""The scheduler's word where a volume is wanting."""


@dataclass(frozen=True, kw_only=True)
class LogShippingFacts:
    """All that is known of a demo's log shipping."""

    namespace: str
    aggregator: str | None
    """Name of its Service; None where the logs go elsewhere."""

    nodes: Sequence[Node]
    daemon_set: Child | None
    shippers: Sequence[Child]
    emitters: Sequence[Child]
    aggregators: Sequence[Child]
    """Pods."""

    refusal: str | None
    """Why Kubernetes makes no shipper, by the DaemonSet's Events."""

    absent: Mapping[Absence, datetime]
    """Since when the operator has seen it so."""

    survey: Survey | None
    told: LogShippingStatus | None
    problem: ClusterError | None
    """Why an object could not be written."""


def observe_log_shipping(
    asked: LogShipping, facts: LogShippingFacts, now: datetime
) -> tuple[LogShippingStatus, datetime | None]:
    """The section's status, and when to look again although nothing may have happened by then."""
    seen = coverage(
        placement_of(asked),
        facts.nodes,
        facts.shippers,
        refusal=facts.refusal,
        absent={name: since for (what, name), since in facts.absent.items() if what == "shipper"},
        now=now,
    )
    rows = _rows(asked, facts)
    verdict = _verdict(asked, facts, seen, rows, now)
    knows = facts.aggregator is not None
    status = LogShippingStatus(
        desired=len(facts.nodes),
        covered=len(seen.covered),
        as_expected=verdict.as_expected,
        reason=verdict.reason,
        message=shorten_end(verdict.message, MESSAGE_LIMIT),
        run=asked.emitter.run,
        written=sum(row.written for row in rows),
        received=sum(row.received or 0 for row in rows) if knows else None,
        missing=sum(row.missing or 0 for row in rows) if knows else None,
        duplicate=sum(row.duplicate or 0 for row in rows) if knows else None,
        aggregator=facts.aggregator,
        uncovered=seen.uncovered,
        nodes=rows,
    )
    return status, earliest((seen.due, verdict.due))


def absences(
    nodes: Iterable[Node],
    shippers: Iterable[Child],
    emitters: Iterable[Child],
    aggregators: Iterable[Child],
) -> set[Absence]:
    """What has no Pod that stays."""
    every = tuple(nodes)
    found: set[Absence] = {("shipper", name) for name in bare_nodes(every, shippers)}
    found |= {("emitter", name) for name in bare_nodes(every, emitters)}
    return found if _living(aggregators) else found | {("aggregator", "")}


def _living(pods: Iterable[Child]) -> list[Child]:
    return [pod for pod in pods if not pod.terminating]


def _nodes_of(pods: Iterable[Child]) -> set[str]:
    return {node_of_pod(pod) for pod in _living(pods)}


def emitter_pods(pods: Iterable[Child]) -> list[EmitterPod]:
    """The Pod that writes on each node, the newest where one replaces another."""
    newest: dict[str, Child] = {}
    for pod in sorted(pods, key=lambda pod: (not pod.terminating, pod.created)):
        node = pod.status.get("nodeName")
        if node:
            newest[str(node)] = pod
    return [
        EmitterPod(pod=pod.name, node=node, restarts=_restarts(pod))
        for node, pod in sorted(newest.items())
    ]


def makes_no_pod(daemon_set: Child, pods: Sequence[Child]) -> bool:
    """Whether Kubernetes should make Pods for it and does not: its Events say why."""
    return len(pods) < int(daemon_set.status.get("desiredNumberScheduled", 0))


def _restarts(pod: Child) -> int:
    statuses = pod.status.get("containerStatuses") or ()
    return sum(status.get("restartCount", 0) for status in statuses)


def told_rows(run: int, told: LogShippingStatus | None, *, knows: bool) -> dict[str, NodeLogs]:
    """What the status says of each Pod in that run, with an aggregator to ask or without one."""
    if told is None or told.run != run or (told.aggregator is not None) is not knows:
        return {}
    return {row.emitter: row for row in told.nodes}


def is_settled(emitter: EmitterPod, told: NodeLogs | None) -> bool:
    """Whether its count stands on the status and will not change any more."""
    return told is not None and told.complete and told.restarts == emitter.restarts


def _rows(asked: LogShipping, facts: LogShippingFacts) -> tuple[NodeLogs, ...]:
    knows = facts.aggregator is not None
    told = told_rows(asked.emitter.run, facts.told, knows=knows)
    emitters = emitter_pods(facts.emitters)
    return tuple(_row(one, asked, facts, told.get(one.pod)) for one in emitters)


def _row(
    emitter: EmitterPod, asked: LogShipping, facts: LogShippingFacts, told: NodeLogs | None
) -> NodeLogs:
    if told is not None and (facts.survey is None or is_settled(emitter, told)):
        return told
    knows = facts.aggregator is not None
    return node_logs(emitter, asked.emitter, facts.survey or Survey(), told, knows=knows)


def _verdict(
    asked: LogShipping,
    facts: LogShippingFacts,
    seen: Coverage,
    rows: Sequence[NodeLogs],
    now: datetime,
) -> Verdict:
    if facts.problem is not None:
        return wrong(facts.problem.reason, str(facts.problem))
    found = _of_nodes(facts, seen) or _of_pods(asked, facts, seen, now)
    if found is not None:
        return found
    if asked.destination.otlp_http is not None:
        told = "the logs go to the destination, which alone knows what it received"
        found = fine("Shipped", told)
    else:
        found = _of_lines(facts, seen, rows, now)
    return with_nodes(found, seen)


def _of_nodes(facts: LogShippingFacts, seen: Coverage) -> Verdict | None:
    level = pod_security_level(facts.refusal)
    if level is not None and not facts.shippers:
        return wrong("PodSecurity", _pod_security_words(facts.namespace, level))
    return of_nodes(seen)


def _pod_security_words(namespace: str, level: str) -> str:
    return (
        f"namespace {namespace} enforces Pod Security {level}, which forbids the hostPath that a "
        f"log shipper reads: kubectl label namespace {namespace} "
        "pod-security.kubernetes.io/enforce=privileged --overwrite, where nobody else may make Pods"
    )


def _of_pods(
    asked: LogShipping, facts: LogShippingFacts, seen: Coverage, now: datetime
) -> Verdict | None:
    """What is wrong with the Pods around the shippers."""
    found = [_of_part(_EMITTER, facts.emitters, now)]
    emitting = _nodes_of(facts.emitters)
    if silent := [name for name in seen.covered if name not in emitting]:
        nodes = listed(silent)
        since = min(facts.absent.get(("emitter", name), now) for name in silent)
        found.insert(0, _absent(f"{_EMITTER} of {nodes}", since, facts.namespace, now))
    if facts.aggregator is not None:
        aggregator = _of_part(_AGGREGATOR, facts.aggregators, now)
        found.insert(0, _with_way_to_a_volume(aggregator, asked.storage_class_name))
        if not _living(facts.aggregators):
            since = facts.absent.get(("aggregator", ""), now)
            found.insert(0, _absent(_AGGREGATOR, since, facts.namespace, now))
    return next((verdict for verdict in found if verdict is not None), None)


def _absent(part: str, since: datetime, namespace: str, now: datetime) -> Verdict:
    complaint = f"{part} has no Pod: kubectl get events --namespace {namespace}"
    return _patient("NoPod", complaint, f"{part} is starting", since + START_PATIENCE, now)


def _of_part(part: str, pods: Sequence[Child], now: datetime) -> Verdict | None:
    verdicts = [_of_unready_pod(part, pod, now) for pod in _living(pods) if not is_ready(pod)]
    # What has taken too long is told before what is to be due first.
    verdicts.sort(key=lambda one: (one.as_expected is None, one.due or now))
    return verdicts[0] if verdicts else None


def _with_way_to_a_volume(verdict: Verdict | None, wanted: str | None) -> Verdict | None:
    """The scheduler says that there is no volume, and not why."""
    if verdict is None or verdict.reason != "Unschedulable" or _VOLUME not in verdict.message:
        return verdict
    if wanted is None:
        why = "without storageClassName, the cluster needs a default storage class"
    else:
        why = f"storageClassName is {wanted}"
    way = (
        f"{why} (kubectl get storageclass); to change it, remove spec.logShipping, apply, and add "
        "it again with another storageClassName"
    )
    return replace(verdict, message=f"{verdict.message.rstrip('.')}; {way}")


def _of_unready_pod(part: str, pod: Child, now: datetime) -> Verdict:
    hindered = hindrance([pod])
    due = hindered.due if hindered is not None else unready_since(pod) + START_PATIENCE
    reason, message = trouble(pod)
    return _patient(reason, f"{part}: {message}", f"{part} is starting", due, now)


def _patient(reason: str, complaint: str, words: str, due: datetime, now: datetime) -> Verdict:
    return wrong(reason, complaint) if now >= due else moving("Starting", words, due)


def _of_lines(
    facts: LogShippingFacts, seen: Coverage, rows: Sequence[NodeLogs], now: datetime
) -> Verdict:
    survey = facts.survey
    if survey is not None and survey.trouble is not None and survey.unheard is not None:
        due = survey.unheard + SILENCE_PATIENCE
        if now >= due:
            return wrong("AggregatorUnreachable", survey.trouble)
        return moving("AggregatorAway", survey.trouble, due)
    written = sum(row.written for row in rows)
    received = sum(row.received or 0 for row in rows)
    missing = {row.node: row.missing for row in rows if row.missing}
    if missing:
        words = named([(node, str(count)) for node, count in missing.items()])
        return wrong("LinesMissing", f"{sum(missing.values())} lines are missing: {words}")
    if len(rows) >= seen.asked and all(row.complete for row in rows):
        twice = sum(row.duplicate or 0 for row in rows)
        counts = f"{written} lines written, {received} received, 0 missing, {twice} twice"
        return fine("AllLinesArrived", counts)
    return moving("Shipping", f"{received} of {written} lines have arrived so far")
