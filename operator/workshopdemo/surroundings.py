"""Where no notification may go, whatever anybody allows: this cluster's machines."""

import asyncio
import ipaddress
import logging
from typing import Final

from workshopdemo.cluster import Cluster
from workshopdemo.errors import ClusterError
from workshopdemo.notify.addresses import Address

logger = logging.getLogger(__name__)

_PAUSE: Final = 60.0
_OBSTRUCTED_PAUSE: Final = 5.0


class Surroundings:
    """Addresses of the API server and of the nodes, kept up to date."""

    def __init__(self, cluster: Cluster, api_host: str) -> None:
        """Know nothing yet.

        Args:
            cluster: the API server.
            api_host: its service address, as Pods are told it; empty outside a cluster.
        """
        self._cluster = cluster
        self._api_host = api_host
        self._addresses: frozenset[Address] = frozenset()
        self.known = asyncio.Event()
        """Before this, nothing may be sent."""

    def addresses(self) -> frozenset[Address]:
        """The addresses."""
        return self._addresses

    async def watch(self) -> None:
        """Look again every minute: nodes come and go."""
        while True:
            pause = _PAUSE
            try:
                await self._look()
            except ClusterError as error:
                # What is known stays so. It is told once more by the operator's readiness.
                logger.warning("%s", error)
                pause = _OBSTRUCTED_PAUSE
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        found = [*await self._cluster.machine_addresses(), self._api_host]
        self._addresses = frozenset(
            ipaddress.ip_address(address) for address in found if _is_address(address)
        )
        self.known.set()


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
