"""Pods, claims and what members say → the proof that each is the same as before.

The status as it stands is the memory: which volume a member had, and which of its entries was the
newest. What it says today must still contain that entry.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from workshopdemo import names
from workshopdemo.facts import Child
from workshopdemo.model import Member, StatefulSetStatus, Step
from workshopdemo.names import StatefulSetNames
from workshopdemo.observe.coverage import is_ready
from workshopdemo.observe.hearing import Hearing, restarts_of
from workshopdemo.observe.times import format_time
from workshopdemo.testimony import Testimony

STEPS: Final = 30
"""So many of what happened to members are told."""

ROWS: Final = 20
"""So many members are told of; there are more only after somebody else's kubectl scale."""

_SCALED_AWAY: Final = "it was scaled away, and its claim is kept"

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_THOUSAND: Final = 1024


@dataclass(frozen=True)
class Seen:
    """What is there of a StatefulSet's members."""

    named: StatefulSetNames
    replicas: int
    """How many there are to be."""

    pods: Mapping[str, Child]
    claims: Mapping[str, Child]
    """By name, both."""

    heard: Hearing


def member_rows(seen: Seen, told: StatefulSetStatus | None) -> tuple[Member, ...]:
    """A row for each member that is to be, and for each that is still there.

    And for each that was scaled away and whose claim waits for it: when it comes back, it has to be
    what it was.
    """
    before = {row.pod: row for row in told.members} if told is not None else {}
    ordinals = set(range(seen.replicas)) | {ordinal_of(name) for name in seen.pods}
    ordinals |= {row.ordinal for row in before.values() if _is_kept(seen, row)}
    return tuple(_row(seen, ordinal, before) for ordinal in sorted(ordinals)[:ROWS])


def _is_kept(seen: Seen, row: Member) -> bool:
    claim = seen.claims.get(row.claim)
    return claim is not None and not claim.terminating


def ordinal_of(pod: str) -> int:
    """A member's number, by its name."""
    return int(pod.rpartition("-")[2])


def _row(seen: Seen, ordinal: int, before: Mapping[str, Member]) -> Member:
    name, claim_name = seen.named.pod(ordinal), seen.named.claim(ordinal)
    pod, told = seen.pods.get(name), before.get(name)
    # Until it is asked, the same Pod is what it was: an operator that starts anew has not asked.
    known = told if pod is not None and told is not None and told.pod_uid == pod.uid else None
    said = seen.heard.said.get(pod.uid) if pod is not None else None
    whole = said if said is not None and said.intact else None
    volume = volume_of(seen.claims.get(claim_name))
    return Member(
        pod=name,
        ordinal=ordinal,
        ready=pod is not None and is_ready(pod) and not pod.terminating,
        node=pod.status.get("nodeName") if pod is not None else None,
        pod_uid=pod.uid if pod is not None else (told.pod_uid if told else None),
        revision=revision_of(pod) if pod is not None else None,
        claim=claim_name,
        volume=volume or (told.volume if told else None),
        restarts=restarts_of(pod) if pod is not None else 0,
        role=said.role if said else (known.role if known else None),
        lag=_lag(said) if said else (known.lag if known else None),
        first_seen=whole.first if whole else (told.first_seen if told else None),
        starts=whole.starts if whole else (told.starts if told else 0),
        came_back=_came_back(pod, told),
        same_claim=_same_claim(volume, told),
        same_data=_same_data(said, told),
        identifier=whole.identifier if whole else (told.identifier if told else None),
        checksum=_newest(whole) or (told.checksum if told else None),
        message=_SCALED_AWAY if pod is None and ordinal >= seen.replicas else None,
    )


def volume_of(claim: Child | None) -> str | None:
    """Name of the volume that a claim has got."""
    if claim is None:
        return None
    volume = (claim.intended.get("spec") or {}).get("volumeName")
    return str(volume) if volume else None


def revision_of(pod: Child) -> str | None:
    """The revision of the template that it was made from, without the StatefulSet's name."""
    label = pod.labels.get(names.REVISION_LABEL)
    return label.rpartition("-")[2] if label else None


def _came_back(pod: Child | None, told: Member | None) -> int:
    if told is None:
        return 0
    is_another = pod is not None and told.pod_uid is not None and pod.uid != told.pod_uid
    return told.came_back + is_another


def _same_claim(volume: str | None, told: Member | None) -> bool | None:
    if volume is None:
        return told.same_claim if told else None
    if told is None or told.volume is None:
        return True
    return volume == told.volume and told.same_claim is not False


def _same_data(said: Testimony | None, told: Member | None) -> bool | None:
    if said is None:
        return told.same_data if told else None
    if told is None or told.checksum is None:
        return said.intact
    # Of a newest entry that is too old to be told any more, the chain itself is the proof.
    is_there = said.checksum_of(told.starts) in (None, told.checksum)
    is_same = said.identifier == told.identifier and said.starts >= told.starts and is_there
    return said.intact and is_same and told.same_data is not False


def _newest(said: Testimony | None) -> str | None:
    return said.entries[-1].checksum if said is not None and said.entries else None


def _lag(said: Testimony) -> str | None:
    return readable_size(said.lag_bytes) if said.lag_bytes is not None else None


def readable_size(size: int) -> str:
    """A size in bytes, rounded up so coarsely that what changes all the time is told seldom."""
    for unit in _UNITS[:-1]:
        if size < _THOUSAND:
            return f"{1 << (size - 1).bit_length() if size else 0} {unit}"
        size = -(-size // _THOUSAND)
    return f"{size} {_UNITS[-1]}"


def steps(
    rows: Iterable[Member],
    pods: Mapping[str, Child],
    told: StatefulSetStatus | None,
    now: datetime,
) -> tuple[Step, ...]:
    """What happened to the members, the oldest first: what was told, and what is new.

    Times come from the operator, the API server and kubelets, whose clocks differ: a member's next
    step is never earlier than its last one.
    """
    before = {row.pod: row for row in told.members} if told is not None else {}
    known = told.steps if told is not None else ()
    last = {step.pod: step for step in known}
    current = {row.pod: row for row in rows}
    found: list[Step] = []
    # Of those whose end nobody saw, the highest went first, as Kubernetes scales down.
    members = before.keys() | current.keys()
    left = sorted(members - pods.keys(), reverse=True)
    for name in (*left, *sorted(members & pods.keys())):
        found += _news(name, pods.get(name), before.get(name), last.get(name), now)
    return tuple(sorted((*known, *found), key=lambda step: step.time))[-STEPS:]


def _news(
    name: str, pod: Child | None, told: Member | None, last: Step | None, now: datetime
) -> list[Step]:
    earliest = last.time if last is not None else ""
    moment = max(format_time(now), earliest)
    if pod is None:
        # Without a Pod, a row has no revision.
        is_news = told is not None and told.revision is not None
        return [Step(time=moment, pod=name, what="Gone")] if is_news else []
    found = []
    created = max(pod.created, earliest)
    is_new = told is None or told.pod_uid != pod.uid
    if is_new:
        if told is not None and told.revision is not None:
            found.append(Step(time=created, pod=name, what="Gone"))
        found.append(Step(time=created, pod=name, what="Created", revision=revision_of(pod)))
        earliest, moment = created, max(moment, created)
    was_ready = told is not None and told.ready and not is_new
    if pod.terminating:
        if is_new or last is None or last.what != "Stopping":
            found.append(Step(time=moment, pod=name, what="Stopping"))
        return found
    if is_ready(pod) != was_ready:
        since = max(ready_since(pod) or moment, earliest)
        found.append(Step(time=since, pod=name, what="NotReady" if was_ready else "Ready"))
    return found


def ready_since(pod: Child) -> str | None:
    """Since when it is Ready, or is not any more."""
    conditions: Sequence[Mapping[str, str]] = pod.status.get("conditions") or ()
    return next(
        (one.get("lastTransitionTime") for one in conditions if one.get("type") == "Ready"), None
    )
