"""Names → addresses, by the system's own resolver: the cluster's search domains hold here too."""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address
from typing import Final

from workshopdemo.errors import WorkshopDemoError
from workshopdemo.notify.addresses import Address, without_zone

RESOLVE_SECONDS: Final = 5.0

_THREADS: Final = 32


class UnresolvedError(WorkshopDemoError):
    """A name has no address at present: time may heal that. The sentence does not hold the name."""


class SystemResolver:
    """`getaddrinfo`, in threads of its own.

    A lookup that hangs cannot be stopped, it only stops being waited for. In the event loop's own
    few threads, targets with a dead name server would hold up every other lookup of the operator,
    those of the API server included.
    """

    def __init__(self, *, threads: int = _THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        """All addresses of the name.

        Raises:
            UnresolvedError: there is none, or no answer in time.
        """
        lookup = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await asyncio.get_running_loop().run_in_executor(self._threads, lookup)
        except TimeoutError:
            raise UnresolvedError(
                f"the host's name was not resolved within {RESOLVE_SECONDS:g} s"
            ) from None
        except (OSError, UnicodeError):
            raise UnresolvedError("the host's name does not resolve") from None
        return tuple(
            dict.fromkeys(
                without_zone(ip_address(place[0]))
                for family, _, _, _, place in found
                if family in {socket.AF_INET, socket.AF_INET6}
            )
        )

    def close(self) -> None:
        """Let go of the threads, without waiting for lookups that hang."""
        self._threads.shutdown(wait=False, cancel_futures=True)
