"""Pods, claims and what members say → what the status says of spec.statefulSet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from workshopdemo.errors import ClusterError
from workshopdemo.facts import Child
from workshopdemo.model import Blockage, Member, StatefulSet, StatefulSetStatus
from workshopdemo.names import StatefulSetNames
from workshopdemo.observe.blocked import Surroundings, blockage
from workshopdemo.observe.coverage import is_ready
from workshopdemo.observe.hearing import Hearing
from workshopdemo.observe.members import ROWS, Seen, member_rows, ordinal_of, ready_since, steps
from workshopdemo.observe.text import MESSAGE_LIMIT, shorten_end
from workshopdemo.observe.times import earliest, parse_time
from workshopdemo.observe.verdict import Verdict, fine, listed, moving, named, wrong

SILENCE_PATIENCE: Final = timedelta(seconds=60)
"""How long a member that is Ready may not answer, or not stream, before that is a complaint."""


@dataclass(frozen=True, kw_only=True)
class StatefulSetFacts(Surroundings):
    """All that is known of a demo's StatefulSet."""

    heard: Hearing | None
    told: StatefulSetStatus | None
    problem: ClusterError | None
    """Why an object could not be written."""


@dataclass(frozen=True)
class _Scene:
    """What a verdict is made of."""

    facts: StatefulSetFacts
    told: StatefulSetStatus | None
    rows: tuple[Member, ...]
    blocked: Blockage | None
    due: datetime | None
    """When what hinders a Pod counts as a blockage."""

    now: datetime

    @property
    def asked(self) -> StatefulSet:
        return self.facts.asked

    @property
    def hearing(self) -> Hearing:
        return self.facts.heard or Hearing()

    @property
    def members(self) -> tuple[Member, ...]:
        """Those that are to be."""
        return tuple(row for row in self.rows if row.ordinal < self.asked.replicas)

    @property
    def newest(self) -> str:
        """Revision of the newest template, empty if it is not known yet."""
        live = self.facts.live
        return str((live.status if live else {}).get("updateRevision", "")).rpartition("-")[2]

    @property
    def outdated(self) -> tuple[Member, ...]:
        """Those of another template than the newest."""
        newest = self.newest
        return tuple(row for row in self.members if newest and row.revision not in (None, newest))

    @property
    def unheard(self) -> tuple[Member, ...]:
        """Members of which nothing is known yet.

        An operator that starts anew has heard nothing, and what was fine is fine all the same.
        """
        was_fine = self.told is not None and self.told.as_expected is True
        before = {
            (row.pod_uid, row.restarts)
            for row in (self.told.members if self.told and was_fine else ())
            if row.starts
        }
        return tuple(
            row
            for row in self.members
            if row.pod_uid not in self.hearing.said and (row.pod_uid, row.restarts) not in before
        )

    def since(self, row: Member, moment: datetime) -> datetime:
        """That moment, or when the member got Ready if that was later: before, nobody answers."""
        pod = self.facts.pods.get(row.pod)
        ready = ready_since(pod) if pod is not None else None
        return max(moment, parse_time(ready)) if ready is not None else moment

    @property
    def silent(self) -> dict[str, tuple[datetime, str]]:
        """Members that do not answer: since when, and in which words."""
        silent = self.hearing.silent
        return {
            row.pod: (self.since(row, silent[row.pod_uid].since), silent[row.pod_uid].words)
            for row in self.members
            if row.pod_uid is not None and row.pod_uid in silent
        }

    @property
    def idle(self) -> dict[str, datetime]:
        """Members that do not stream, and since when."""
        idle = self.hearing.idle
        return {
            row.pod: self.since(row, idle[row.pod_uid])
            for row in self.members
            if row.pod_uid is not None and row.pod_uid in idle
        }

    @property
    def patience_ends(self) -> datetime | None:
        """When a silence, or a replica that does not stream, becomes a complaint."""
        begun = [since for since, _ in self.silent.values()] + list(self.idle.values())
        ends = [since + SILENCE_PATIENCE for since in begun]
        return min((end for end in ends if end > self.now), default=None)


def observe_stateful_set(
    facts: StatefulSetFacts, now: datetime
) -> tuple[StatefulSetStatus, datetime | None]:
    """The section's status, and when to look again although nothing may have happened by then."""
    asked, told = facts.asked, facts.told
    if told is not None and told.stateful_set != facts.named.stateful_set:
        told = None
    hearing = facts.heard or Hearing()
    seen = Seen(facts.named, asked.replicas, facts.pods, facts.claims, hearing)
    rows = member_rows(seen, told)
    found = blockage(facts)
    is_due = found is not None and (found[1] is None or now >= found[1])
    blocked = found[0] if found is not None and is_due else None
    due = found[1] if found is not None and not is_due else None
    scene = _Scene(facts, told, rows, blocked, due, now)
    verdict = _verdict(scene)
    primary = next((row for row in scene.members if row.ordinal == 0), None)
    said = hearing.said.get(primary.pod_uid or "") if primary is not None else None
    is_database = asked.scenario == "Postgres"
    status = StatefulSetStatus(
        scenario=asked.scenario,
        stateful_set=facts.named.stateful_set,
        service=facts.named.stateful_set,
        replicas=asked.replicas,
        ready=sum(1 for row in scene.members if row.ready),
        updated=sum(1 for row in scene.members if row.revision and row.revision == scene.newest),
        as_expected=verdict.as_expected,
        reason=verdict.reason,
        message=shorten_end(verdict.message, MESSAGE_LIMIT),
        identifier=primary.identifier if primary is not None and is_database else None,
        rows=(said.rows if said else (told.rows if told else None)) if is_database else None,
        blocked=blocked,
        members=rows,
        steps=steps(rows, facts.pods, told, now),
        kept_claims=_kept(facts),
    )
    return status, earliest((due, verdict.due))


def _kept(facts: StatefulSetFacts) -> tuple[str, ...]:
    found = []
    for claim in facts.claims.values():
        ordinal = facts.named.ordinal_of_claim(claim.name)
        if ordinal is None or ordinal < facts.asked.replicas or claim.terminating:
            continue
        if facts.named.pod(ordinal) not in facts.pods:
            found.append(claim.name)
    return tuple(sorted(found, key=ordinal_of)[:ROWS])


def lacks_pod(asked: StatefulSet, named: StatefulSetNames, pods: Mapping[str, Child]) -> bool:
    """Whether there is a member that Kubernetes could make, and has not made."""
    for ordinal in range(asked.replicas):
        pod = pods.get(named.pod(ordinal))
        if pod is None:
            return True
        if asked.pod_management_policy == "OrderedReady" and not is_ready(pod):
            return False
    return False


def _verdict(scene: _Scene) -> Verdict:
    problem, blocked = scene.facts.problem, scene.blocked
    if problem is not None:
        return wrong(problem.reason, str(problem))
    if blocked is not None:
        return wrong(blocked.reason, f"{blocked.message.rstrip('.')}. Way out: {blocked.way_out}")
    found = _of_data(scene) or _under_way(scene) or _of_testimonies(scene) or _as_asked(scene)
    return replace(found, due=earliest((scene.due, scene.patience_ends)))


def _of_data(scene: _Scene) -> Verdict | None:
    """What is wrong with what is on the volumes now."""
    damaged = [
        row.pod
        for row in scene.members
        if (said := scene.hearing.said.get(row.pod_uid or "")) is not None and not said.intact
    ]
    if damaged:
        words = f"what {listed(damaged)} wrote at earlier starts is not what it was"
        return wrong("DataDamaged", f"{words}: its checksum does not fit any more")
    if scene.asked.scenario != "Postgres":
        return None
    known = {row.identifier for row in scene.members if row.identifier and row.ready}
    if len(known) > 1:
        return wrong("OtherDatabase", "members have data of different databases")
    return None


def _under_way(scene: _Scene) -> Verdict | None:
    """What Kubernetes has still to do."""
    facts, asked = scene.facts, scene.asked
    live = facts.live
    count = f"{sum(1 for row in scene.members if row.ready)}/{asked.replicas} members ready"
    if live is None or int(live.status.get("observedGeneration", 0)) < live.generation:
        return moving("Starting", f"{count}, Kubernetes has just been told")
    leaving = [
        row.pod for row in scene.rows if row.ordinal >= asked.replicas and row.pod in facts.pods
    ]
    if leaving:
        return moving("ScalingDown", f"{count}; {listed(leaving)} goes, the last one first")
    unready = [row.pod for row in scene.members if not row.ready]
    if unready:
        has_all = all(row.starts for row in scene.members)
        reason = "Restarting" if has_all else "Starting"
        return moving(reason, f"{count}, {listed(unready)} to come")
    waiting = [row.pod for row in _to_update(scene)]
    if waiting:
        return moving("Updating", f"{count}, {listed(waiting)} still of the old template")
    return None


def _to_update(scene: _Scene) -> list[Member]:
    """Members that Kubernetes will replace, as the update strategy has it."""
    strategy = scene.asked.update_strategy
    if strategy.type == "OnDelete":
        return []
    return [row for row in scene.outdated if row.ordinal >= strategy.partition]


def _of_testimonies(scene: _Scene) -> Verdict | None:
    """What members that are Ready say, or do not."""
    long_ago = scene.now - SILENCE_PATIENCE
    lasting = [(pod, words) for pod, (since, words) in scene.silent.items() if since <= long_ago]
    if lasting:
        return wrong("MemberSilent", named(lasting))
    unheard = [row.pod for row in scene.unheard]
    if unheard:
        return moving("Asking", f"{listed(unheard)} to be asked")
    idle = scene.idle
    if idle:
        verb = "does" if len(idle) == 1 else "do"
        words = f"{listed(list(idle))} {verb} not stream from {scene.facts.named.pod(0)}"
        is_lasting = min(idle.values()) <= long_ago
        return wrong("NotStreaming", words) if is_lasting else moving("Joining", words)
    return None


def _as_asked(scene: _Scene) -> Verdict:
    """It is as the lesson expects; what is worth telling of that."""
    asked, members = scene.asked, scene.members
    if not asked.replicas:
        return fine("ScaledToZero", "no member is asked for")
    count = f"{len(members)}/{asked.replicas} members ready"
    anew = [row.pod for row in members if row.same_claim is False or row.same_data is False]
    if anew:
        words = f"{listed(anew)} began anew: its volume or its data is not the one it had before"
        return fine("BeganAnew", f"{count}; {words}")
    outdated = [row.pod for row in scene.outdated]
    if outdated and asked.update_strategy.type == "OnDelete":
        words = f"{listed(outdated)} of an old template until its Pod is deleted (OnDelete)"
        return fine("UpdateOnDelete", f"{count}; {words}")
    if outdated:
        partition = asked.update_strategy.partition
        words = f"{listed(outdated)} of the old template, as partition {partition} asks"
        return fine("PartitionedUpdate", f"{count}; {words}")
    return fine("MembersReady", f"{count}; {_proof(scene)}")


def _proof(scene: _Scene) -> str:
    members = scene.members
    words = ["each with its own name, claim and data"]
    back = sum(row.came_back for row in members)
    if back:
        times = "once" if back == 1 else f"{back} times"
        words = [f"Pods were replaced {times}, and name, claim and data were the same"]
    streaming = sum(1 for row in members if row.role == "Replica")
    if streaming:
        who = "1 replica streams" if streaming == 1 else f"{streaming} replicas stream"
        words.append(f"{who} from {scene.facts.named.pod(0)}")
    return "; ".join(words)
