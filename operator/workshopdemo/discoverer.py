"""Asks node agents what they know and the API server what it knows, beside the looks.

A demo's look hands in whom to ask and takes what was found, as with the surveyor. A change that a
watch tells of is asked about at once, and again until nothing moves. At rest the agents are asked
all the same, as no watch tells of Pods that are not a demo's; the API server seldom.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from workshopdemo.cluster import Cluster
from workshopdemo.desks import Desks
from workshopdemo.errors import AgentError, ClusterError
from workshopdemo.names import DemoKey
from workshopdemo.observe import AgentPod, AskedService, Discovery, Silence, compare
from workshopdemo.published import PublishedPod
from workshopdemo.queue import WorkQueue

PAUSE: Final = 2.0
"""Seconds until both sides are asked again after something has changed."""

REST: Final = 5.0
"""Seconds until the agents are asked again after nothing has."""

SLICES_REST: Final = 30.0
"""Seconds after which EndpointSlices are read again although no agent has news."""

_AGENTS_PER_SECOND: Final = 5
"""With many nodes, they are asked less often."""

_Answers = Mapping[str, tuple[PublishedPod, ...] | AgentError]


class Agents(Protocol):
    """The agents, as far as asking goes."""

    async def pods(self, address: str) -> tuple[PublishedPod, ...]:
        """The Pods that the agent at that address knows.

        Raises:
            AgentError: it did not answer, or not sensibly.
        """


@dataclass(frozen=True)
class DiscoveryOrder:
    """Whom to ask, and about what."""

    namespace: str
    agents: tuple[AgentPod, ...]
    services: tuple[AskedService, ...]
    pods: frozenset[tuple[str, str, bool]]
    """Name, address and readiness of each Pod of the demo: a change is news."""


@dataclass
class _Desk:
    """What is known of a demo."""

    order: DiscoveryOrder
    asked: DiscoveryOrder | None = None
    """The order by which was asked last."""

    found: Discovery | None = None
    answers: _Answers = field(default_factory=dict)
    slices: Sequence[Mapping[str, Any]] = ()
    read: float = float("-inf")
    """When the EndpointSlices were last read."""


class Discoverer:
    """Asks for all demos."""

    def __init__(
        self,
        *,
        queue: WorkQueue[DemoKey],
        cluster: Cluster,
        agents: Agents,
        wake: Callable[[DemoKey], None],
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        """Know nothing yet.

        Args:
            queue: of its own.
            cluster: the API server.
            agents: asks agents.
            wake: is told when there is news of a demo.
            clock: the event loop's time, in seconds.
            now: the time of day.
        """
        self._cluster = cluster
        self._agents = agents
        self._wake = wake
        self._clock = clock
        self._now = now
        self._desks: Desks[DiscoveryOrder, _Desk] = Desks(queue, _Desk)

    def offer(self, key: DemoKey, order: DiscoveryOrder | None) -> Discovery | None:
        """Have this asked from now on, until it is offered None; gives what was found so far."""
        desk = self._desks.offer(key, order)
        return desk.found if desk is not None else None

    async def serve(self, key: DemoKey) -> float | None:
        """Ask once; gives the seconds until the next time, or None."""
        desk = self._desks.get(key)
        if desk is None:
            return None
        order, before = desk.order, desk.found
        is_new = desk.asked != order
        desk.asked = order
        answers = await self._ask(order.agents)
        is_new |= answers != desk.answers
        desk.answers = answers
        unread = None
        if is_new or before is None or not before.is_settled or self._is_read_long_ago(desk):
            unread = await self._read_slices(desk, order)
        if self._desks.get(key) is not desk:
            return self._desks.again(key)
        found = self._found(desk, order, answers, unread)
        if found != before:
            desk.found = found
            self._wake(key)
        pause = PAUSE if is_new or found != before else REST
        return max(pause, len(order.agents) / _AGENTS_PER_SECOND)

    async def _ask(self, agents: Sequence[AgentPod]) -> _Answers:
        found = await asyncio.gather(*(self._ask_one(agent) for agent in agents))
        return {agent.pod: answer for agent, answer in zip(agents, found, strict=True)}

    async def _ask_one(self, agent: AgentPod) -> tuple[PublishedPod, ...] | AgentError:
        try:
            return await self._agents.pods(agent.address)
        except AgentError as error:
            return error

    def _is_read_long_ago(self, desk: _Desk) -> bool:
        return self._clock() - desk.read >= SLICES_REST

    async def _read_slices(self, desk: _Desk, order: DiscoveryOrder) -> str | None:
        """Read EndpointSlices; gives why they could not be read."""
        services = [service.name for service in order.services]
        if not services:
            desk.slices = ()
            return None
        try:
            desk.slices = await self._cluster.list_endpoint_slices(order.namespace, services)
        except ClusterError as error:
            return str(error)
        desk.read = self._clock()
        return None

    def _found(
        self, desk: _Desk, order: DiscoveryOrder, answers: _Answers, unread: str | None
    ) -> Discovery:
        before, now = desk.found or Discovery(), self._now()
        known = {pod: one for pod, one in answers.items() if not isinstance(one, AgentError)}
        services = compare(
            order.services, [pod for pods in known.values() for pod in pods], desk.slices
        )
        return Discovery(
            pods={pod: len(pods) for pod, pods in known.items()},
            services=services,
            since={
                one.service: before.since.get(one.service, now)
                for one in services
                if not one.agrees
            },
            silent={
                pod: Silence(_since(before.silent.get(pod), now), str(one))
                for pod, one in answers.items()
                if isinstance(one, AgentError)
            },
            unread=Silence(_since(before.unread, now), unread) if unread else None,
        )


def _since(before: Silence | None, now: datetime) -> datetime:
    return before.since if before else now
