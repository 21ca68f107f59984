"""Which IP addresses are public, and which no demo may ever reach. Pure.

Python's `is_global` alone is no answer: it calls multicast, 6to4, NAT64, site-local, 192.88.99.1
and Azure's 168.63.129.16 global, and what it says of a few networks changed between releases. So
the networks stand here, from IANA's registries of special-purpose addresses, and `is_global` is
asked on top, for what a newer Python may know.
"""

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


NEVER: Final = _networks(
    "0.0.0.0/8",  # "this host": Linux connects 0.0.0.0 to itself
    "127.0.0.0/8",
    "169.254.0.0/16",  # link-local: metadata of nearly every cloud, credentials of ECS and EKS
    "224.0.0.0/4",
    "255.255.255.255/32",
    "100.100.100.200/32",  # metadata of Alibaba Cloud
    "168.63.129.16/32",  # Azure's wire server; a public address by every registry
    "192.0.0.192/32",  # metadata of Oracle Cloud
    "::/128",
    "::1/128",
    "fe80::/10",
    "ff00::/8",
    "fd00:ec2::/32",  # Amazon: metadata, and the credentials of EKS
    "fd20:ce::254/128",  # metadata of Google Cloud
    "fd00:c1::a9fe:a9fe/128",  # of Oracle Cloud
    "fd00:a9fe:a9fe::1/128",  # of Linode
    "fd00:42::42/128",  # of Scaleway
    "fd00:100::100:200/128",  # of Alibaba Cloud
    # NAT64 of a site's own (RFC 8215): where in it the IPv4 address stands is the site's choice, so
    # what it leads to cannot be judged.
    "64:ff9b:1::/48",
)
"""Loopback, unspecified, link-local, multicast, metadata: refused whatever anybody allows."""

_SPECIAL: Final = _networks(
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT; pods of some clouds
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",  # AS112
    "192.52.193.0/24",  # AMT
    "192.88.99.0/24",  # relays of 6to4
    "192.168.0.0/16",
    "192.175.48.0/24",  # AS112
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/23",  # protocols: Teredo, ORCHID, benchmarks, anycast
    "2001:db8::/32",
    "2002::/16",  # 6to4
    "2620:4f:8000::/48",  # AS112
    "3fff::/20",  # documentation
)
"""Within unicast, what IANA set aside: nobody's web server is there."""

_UNICAST: Final = IPv6Network("2000::/3")
"""All that was ever given out of IPv6 (RFC 4291 2.4, IANA's registry of unicast assignments).

What leads to an IPv4 address is outside of it, or 6to4 or Teredo, which are set aside.
"""

_LAST_32_BITS: Final = (
    IPv6Network("::/96"),  # IPv4-compatible
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped
    IPv6Network("::ffff:0:0:0/96"),  # IPv4-translated (RFC 2765)
    IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
)


def without_zone(address: Address) -> Address:
    """The address alone: a zone says by which interface, and spoils every comparison."""
    return IPv6Address(int(address)) if isinstance(address, IPv6Address) else address


def embedded(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to, wherever in it they stand."""
    if isinstance(address, IPv4Address):
        return
    if any(address in network for network in _LAST_32_BITS):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo


def is_untouchable(address: Address, forbidden: Collection[Address] = ()) -> bool:
    """Whether the address, or one that it embeds, is refused whatever anybody allows.

    Args:
        address: what would be connected to.
        forbidden: more such addresses, of this very cluster.
    """
    more = set(map(without_zone, forbidden))
    return any(
        one in more or any(one in network for network in NEVER)
        for one in (without_zone(address), *embedded(address))
    )


def is_public(address: Address) -> bool:
    """Whether the address is one on the internet. What embeds another is not: see `_UNICAST`."""
    return (
        address.is_global
        and not address.is_multicast
        and (isinstance(address, IPv4Address) or address in _UNICAST)
        and not any(address in network for network in (*_SPECIAL, *NEVER))
    )
