"""Nodes, agents and what they know → what the status says of spec.serviceDiscovery."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from workshopdemo.errors import ClusterError
from workshopdemo.facts import Child, Node
from workshopdemo.model import (
    NodePods,
    ServiceAddresses,
    ServiceDiscovery,
    ServiceDiscoveryStatus,
)
from workshopdemo.observe.coverage import Coverage, coverage, placement_of
from workshopdemo.observe.endpoints import AgentPod, Discovery, ServiceFound, agent_pods
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

LAG: Final = timedelta(seconds=20)
"""How long the two accounts may differ: each hears of a change in its own time."""

_SERVICES: Final = 50
_ADDRESSES: Final = 10
"""So many are told, as the CRD says."""


@dataclass(frozen=True, kw_only=True)
class DiscoveryFacts:
    """All that is known of a demo's service discovery."""

    nodes: Sequence[Node]
    agents: Sequence[Child]
    """Pods."""

    refusal: str | None
    """Why Kubernetes makes no agent, by the DaemonSet's Events."""

    absent: Mapping[str, datetime]
    """Since when the operator has seen no agent that stays, by name of node."""

    found: Discovery | None
    """None: nobody has been asked since the operator began."""

    told: ServiceDiscoveryStatus | None
    """What the demo's status says."""

    problem: ClusterError | None
    """Why an object could not be written."""


def observe_discovery(
    asked: ServiceDiscovery, facts: DiscoveryFacts, now: datetime
) -> tuple[ServiceDiscoveryStatus, datetime | None]:
    """The section's status, and when to look again although nothing may have happened by then."""
    seen = coverage(
        placement_of(asked),
        facts.nodes,
        facts.agents,
        refusal=facts.refusal,
        absent=facts.absent,
        now=now,
    )
    found = facts.found or Discovery()
    agents = agent_pods(facts.agents)
    if facts.found is None and facts.told is not None and _is_still_fine(facts, seen, agents):
        return facts.told, seen.due
    verdict = _verdict(facts, seen, agents, now)
    status = ServiceDiscoveryStatus(
        desired=len(facts.nodes),
        covered=len(seen.covered),
        as_expected=verdict.as_expected,
        reason=verdict.reason,
        message=shorten_end(verdict.message, MESSAGE_LIMIT),
        uncovered=seen.uncovered,
        nodes=_rows(agents, found.pods),
        services=tuple(_told(service) for service in found.services[:_SERVICES]),
    )
    return status, earliest((seen.due, verdict.due))


def _is_still_fine(facts: DiscoveryFacts, seen: Coverage, agents: Sequence[AgentPod]) -> bool:
    """Whether what was told as fine is so, as far as one can see without asking.

    An operator that starts anew has asked nobody, and what was fine is fine all the same.
    """
    told = facts.told
    if told is None or told.as_expected is not True or facts.problem is not None:
        return False
    places = (len(facts.nodes), len(seen.covered), seen.uncovered)
    asked = {(row.node, row.agent) for row in told.nodes}
    return (told.desired, told.covered, told.uncovered) == places and asked <= {
        (agent.node, agent.pod) for agent in agents
    }


def _rows(agents: Sequence[AgentPod], pods: Mapping[str, int]) -> tuple[NodePods, ...]:
    rows = {
        agent.node: NodePods(node=agent.node, agent=agent.pod, pods=pods[agent.pod])
        for agent in agents
        if agent.pod in pods
    }
    return tuple(rows.values())


def _told(found: ServiceFound) -> ServiceAddresses:
    elsewhere = [endpoint.address for endpoint in found.only_endpoint_slices]
    return ServiceAddresses(
        service=found.service,
        agents=found.agents,
        endpoint_slices=found.endpoint_slices,
        only_agents=found.only_agents[:_ADDRESSES],
        only_endpoint_slices=tuple(elsewhere[:_ADDRESSES]),
    )


def _verdict(
    facts: DiscoveryFacts, seen: Coverage, agents: Sequence[AgentPod], now: datetime
) -> Verdict:
    if facts.problem is not None:
        return wrong(facts.problem.reason, str(facts.problem))
    uncovered = of_nodes(seen)
    if uncovered is not None:
        return uncovered
    found = facts.found
    unasked = [
        agent
        for agent in agents
        if found is None or (agent.pod not in found.pods and agent.pod not in found.silent)
    ]
    if found is None or unasked or not found.services:
        return moving("Asking", "the agents are being asked")
    return with_nodes(_of_answers(found, agents, now) or _of_services(found, seen, now), seen)


def _of_answers(found: Discovery, agents: Sequence[AgentPod], now: datetime) -> Verdict | None:
    """What is wrong with those who were asked."""
    silent = {agent.node: found.silent[agent.pod] for agent in agents if agent.pod in found.silent}
    if silent:
        due = min(silence.since for silence in silent.values()) + LAG
        words = named([(node, silence.words) for node, silence in silent.items()])
        return wrong("AgentSilent", words) if now >= due else moving("AgentSilent", words, due)
    if found.unread is not None:
        due, words = found.unread.since + LAG, found.unread.words
        return wrong("SlicesUnread", words) if now >= due else moving("SlicesUnread", words, due)
    return None


def _of_services(found: Discovery, seen: Coverage, now: datetime) -> Verdict:
    left_out = {node.node for node in seen.uncovered if node.as_asked}
    every = len(found.services)
    agreed = sum(1 for service in found.services if service.agrees)
    count = f"{agreed}/{every} services agree"
    differing = [service for service in found.services if not service.agrees]
    wanting = [service for service in differing if not _is_explained(service, left_out)]
    if not differing:
        addresses = sum(service.endpoint_slices for service in found.services)
        return fine(
            "ServicesAgree", f"{count}: {addresses} addresses by agents and EndpointSlices alike"
        )
    told = wanting or differing
    words = f"{count}; {named([(service.service, _difference(service)) for service in told])}"
    if not wanting:
        return fine("NodesLeftOut", f"{words}, on nodes without an agent")
    due = min(found.since.get(service.service, now) for service in wanting) + LAG
    if now >= due:
        return wrong("ServicesDiffer", words)
    return moving("Comparing", f"{words}; that may be for a moment", due)


def _is_explained(found: ServiceFound, left_out: set[str]) -> bool:
    """Whether all that the agents lack is on nodes where the spec wants none."""
    return not found.only_agents and all(
        endpoint.node in left_out for endpoint in found.only_endpoint_slices
    )


def _difference(found: ServiceFound) -> str:
    sides = {
        "only agents": list(found.only_agents),
        "only EndpointSlices": [endpoint.address for endpoint in found.only_endpoint_slices],
    }
    return ", ".join(f"{who} have {listed(what)}" for who, what in sides.items() if what)
