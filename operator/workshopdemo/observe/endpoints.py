"""What agents publish and what EndpointSlices have, compared: the arithmetic of discovery."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from workshopdemo.facts import Child
from workshopdemo.names import SERVICE_NAME_LABEL
from workshopdemo.observe.coverage import is_ready
from workshopdemo.published import PublishedPod


@dataclass(frozen=True)
class AgentPod:
    """A Pod that is asked what it knows."""

    pod: str
    node: str
    address: str


@dataclass(frozen=True)
class AskedService:
    """A Service whose addresses are compared."""

    name: str
    selector: tuple[tuple[str, str], ...]
    families: frozenset[str]
    """IPv4, IPv6 or both; none: whatever there is."""

    takes_unready: bool
    """Whether its EndpointSlices call a Pod ready that is not (publishNotReadyAddresses)."""


@dataclass(frozen=True)
class Endpoint:
    """An address in an EndpointSlice."""

    address: str
    node: str | None


@dataclass(frozen=True)
class ServiceFound:
    """A Service by both accounts; all addresses in order."""

    service: str
    agents: int
    endpoint_slices: int
    only_agents: tuple[str, ...]
    only_endpoint_slices: tuple[Endpoint, ...]

    @property
    def agrees(self) -> bool:
        """Whether both accounts are the same."""
        return not (self.only_agents or self.only_endpoint_slices)


@dataclass(frozen=True)
class Silence:
    """An agent that does not answer."""

    since: datetime
    words: str


@dataclass(frozen=True)
class Discovery:
    """What was found when agents and EndpointSlices were last asked."""

    pods: Mapping[str, int] = field(default_factory=dict)
    """How many each agent publishes, by name of the agent's Pod."""

    services: tuple[ServiceFound, ...] = ()
    since: Mapping[str, datetime] = field(default_factory=dict)
    """Since when the accounts of a Service differ without a break, by its name."""

    silent: Mapping[str, Silence] = field(default_factory=dict)
    """By name of the agent's Pod."""

    unread: Silence | None = None
    """Why the EndpointSlices could not be read."""

    @property
    def is_settled(self) -> bool:
        """Whether all have answered, and agree."""
        return not (self.since or self.silent or self.unread)


def agent_pods(pods: Iterable[Child]) -> tuple[AgentPod, ...]:
    """The agents that can be asked, by node."""
    found = [
        AgentPod(pod.name, str(pod.status.get("nodeName")), str(pod.status["podIP"]))
        for pod in pods
        if is_ready(pod) and pod.status.get("podIP")
    ]
    return tuple(sorted(found, key=lambda agent: (agent.node, agent.pod)))


def asked_services(services: Iterable[Child]) -> tuple[AskedService, ...]:
    """The Services that find Pods by a selector, by name."""
    found = []
    for child in sorted(services, key=lambda child: child.name):
        spec = child.intended.get("spec") or {}
        if spec.get("selector") and not child.terminating:
            found.append(
                AskedService(
                    name=child.name,
                    selector=tuple(sorted(spec["selector"].items())),
                    families=frozenset(spec.get("ipFamilies") or ()),
                    takes_unready=bool(spec.get("publishNotReadyAddresses")),
                )
            )
    return tuple(found)


def compare(
    services: Sequence[AskedService],
    published: Sequence[PublishedPod],
    slices: Sequence[Mapping[str, Any]],
) -> tuple[ServiceFound, ...]:
    """Each Service by both accounts.

    Args:
        services: which.
        published: what all agents publish together.
        slices: all EndpointSlices of these Services.
    """
    by_service: dict[str, dict[str, Endpoint]] = {}
    for piece in slices:
        of_service = by_service.setdefault(piece["metadata"]["labels"][SERVICE_NAME_LABEL], {})
        of_service |= {endpoint.address: endpoint for endpoint in _ready_endpoints(piece)}
    return tuple(
        _compared(service, published, by_service.get(service.name, {})) for service in services
    )


def _compared(
    service: AskedService, published: Iterable[PublishedPod], endpoints: Mapping[str, Endpoint]
) -> ServiceFound:
    known = {
        address
        for pod in published
        if (pod.is_ready or service.takes_unready)
        and all(pod.labels.get(key) == value for key, value in service.selector)
        for address in pod.addresses
        if not service.families or _family(address) in service.families
    }
    return ServiceFound(
        service=service.name,
        agents=len(known),
        endpoint_slices=len(endpoints),
        only_agents=tuple(sorted(known - endpoints.keys())),
        only_endpoint_slices=tuple(endpoints[one] for one in sorted(endpoints.keys() - known)),
    )


def _family(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


def _ready_endpoints(piece: Mapping[str, Any]) -> Iterable[Endpoint]:
    for endpoint in piece.get("endpoints") or ():
        # Nothing said means ready (discovery/v1 EndpointConditions).
        if (endpoint.get("conditions") or {}).get("ready") is not False:
            for address in endpoint.get("addresses") or ():
                yield Endpoint(str(address), endpoint.get("nodeName"))
