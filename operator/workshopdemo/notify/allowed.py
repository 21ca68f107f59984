"""The administrator's list of where else notifications may go. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from typing import Final

from workshopdemo.errors import InvalidSpecError, RefusedAddressError
from workshopdemo.notify.addresses import NEVER, Network
from workshopdemo.notify.url import DEFAULT_PORTS, Url, parse_authority

VALUE: Final = "notifications.allowedHosts"
"""The chart's value that holds the list."""

_CIDR: Final = re.compile(r"([0-9a-f:.]+/[0-9]{1,3})(?::(.*))?")


@dataclass(frozen=True, kw_only=True)
class _Entry:
    port: int | None
    name: str = ""
    """Exactly this name; with a leading dot, what ends in it."""

    network: Network | None = None

    def fits_port(self, url: Url) -> bool:
        """No port in the entry: https on its own port. Plain http needs a port that is named."""
        if self.port is None:
            return url.scheme == "https" and url.port == DEFAULT_PORTS["https"]
        return url.port == self.port

    def names(self, url: Url) -> bool:
        if self.network is not None:
            return not isinstance(url.host, str) and url.host in self.network
        if not isinstance(url.host, str):
            return False
        return url.host.endswith(self.name) if self.name[0] == "." else url.host == self.name


class AllowList:
    """Entries `host`, `*.domain`, `1.2.3.4`, `[v6]` or `network/prefix`, with `:port` or without.

    Without a port an entry means https on port 443; with one, https and http on that port.
    `*.domain` means what is below the domain, at any depth, and not the domain itself. An address
    or a network means what a URL says or what its name resolves to.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        """Read the list.

        Raises:
            InvalidSpecError: an entry means nothing, or could never let anything through.
        """
        self._entries = tuple(_parse(index, entry) for index, entry in enumerate(entries))

    def lists(self, url: Url) -> bool:
        """Whether the URL itself is on the list, wherever its name leads."""
        return any(entry.fits_port(url) and entry.names(url) for entry in self._entries)

    def networks(self, url: Url) -> tuple[Network, ...]:
        """Where the URL may lead besides."""
        return tuple(
            entry.network
            for entry in self._entries
            if entry.network is not None and entry.fits_port(url)
        )


def _parse(index: int, text: str) -> _Entry:
    field = f"{VALUE}[{index}]"
    try:
        entry = _read(text)
    except (ValueError, RefusedAddressError):
        raise InvalidSpecError(
            field,
            f"{text!r} is none of host:port, *.domain:port, 10.0.0.0/8:port, [fd00::1]:port"
            " (without a port: 443)",
        ) from None
    if entry.network and any(_is_within(entry.network, never) for never in NEVER):
        raise InvalidSpecError(
            field,
            f"{text!r} is refused whatever the list says: take it out"
            " (loopback, link-local, multicast and metadata addresses)",
        )
    return entry


def _read(text: str) -> _Entry:
    if not text.isascii():
        raise ValueError(text)
    text = text.lower()
    cidr = _CIDR.fullmatch(text)
    if cidr:
        # The port is read by the same rules as everywhere, behind a host that does not matter.
        _, port = parse_authority("host" if cidr[2] is None else f"host:{cidr[2]}")
        return _Entry(port=port, network=ip_network(cidr[1]))
    host, port = parse_authority(text.removeprefix("*."))
    if isinstance(host, str):
        return _Entry(port=port, name=f".{host}" if text.startswith("*.") else host)
    if text.startswith("*."):
        raise ValueError(text)
    return _Entry(port=port, network=ip_network(host))


def _is_within(inner: Network, outer: Network) -> bool:
    if isinstance(inner.network_address, IPv4Address) != isinstance(
        outer.network_address, IPv4Address
    ):
        return False
    return inner.prefixlen >= outer.prefixlen and inner.network_address in outer
