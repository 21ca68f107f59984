"""Where a request may go. Everything in a target is written by students: every URL is hostile.

By default: https to public addresses. Slack's and Google Chat's targets: their own hosts. What is
inside the cluster: by the administrator's list alone. A machine itself, its cloud's metadata, the
API server and the nodes: never. Why so: OWASP's sheet on server-side request forgery, Stripe's
Smokescreen, and GitLab's history of holes (a resolver's error skipped the pin; one allowed address
switched the protection off for all; allowing the local network opened the metadata again).
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from workshopdemo.errors import InvalidSpecError, RefusedAddressError
from workshopdemo.notify.addresses import (
    Address,
    embedded,
    is_public,
    is_untouchable,
    without_zone,
)
from workshopdemo.notify.allowed import VALUE, AllowList
from workshopdemo.notify.resolver import UnresolvedError
from workshopdemo.notify.url import DEFAULT_PORTS, Url, parse
from workshopdemo.notify.wire import TargetKind

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Name and port → addresses; raises `UnresolvedError`."""

_WAY_OUT: Final = f"the administrator can allow it in the chart's value {VALUE}"


@dataclass(frozen=True, kw_only=True, repr=False)
class Destination:
    """What was checked, and is connected to as it stands. No repr: the path may be a secret."""

    scheme: str
    host: str
    """Name or address (an IPv6 one without brackets) that the certificate must be for."""

    port: int
    path: str
    """Path and query, exactly as to be sent."""

    addresses: tuple[Address, ...]
    """In the resolver's order; never empty."""

    @property
    def host_header(self) -> str:
        """The value of the Host header (RFC 9110 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class _Pin:
    """The only place where a kind of target may be."""

    hosts: frozenset[str]
    path: re.Pattern[str]
    sentence: str


_PINS: Final[dict[TargetKind, _Pin]] = {
    # The second host is GovSlack's. Paths: of incoming webhooks and of both kinds of workflows.
    "slack": _Pin(
        hosts=frozenset({"hooks.slack.com", "hooks.slack-gov.com"}),
        path=re.compile(r"/(?:services|workflows|triggers)(?:/[A-Za-z0-9_-]+)+"),
        sentence="the URL is no incoming webhook of Slack (https://hooks.slack.com/services/…)",
    ),
    "googleChat": _Pin(
        hosts=frozenset({"chat.googleapis.com"}),
        path=re.compile(r"/v1/spaces/[A-Za-z0-9_-]+/messages"),
        sentence="the URL is no webhook of a Google Chat space"
        " (https://chat.googleapis.com/v1/spaces/…/messages?…)",
    ),
}


_INBOX_SECONDS: Final = 5.0
"""So long the inbox's address is known: a burst of messages asks the cluster's DNS once."""


class Guard:
    """Says where a URL leads, or why it is refused."""

    def __init__(
        self,
        *,
        allowed: Sequence[str],
        inbox_url: str,
        forbidden: Callable[[], Collection[Address]],
        resolve: Resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read what the administrator wrote.

        Args:
            allowed: the administrator's list, see `AllowList`.
            inbox_url: the operator's own receiver; empty: there is none.
            forbidden: addresses of this cluster that are refused whatever the list says: the API
                server's, the nodes', the operator's own. Asked every time, as they change.
            resolve: looks a name up.
            clock: seconds that never go back.

        Raises:
            InvalidSpecError: an entry of the list, or the inbox's URL, means nothing.
        """
        self._allowed = AllowList(allowed)
        self._inbox = _inbox(inbox_url) if inbox_url else None
        self._forbidden = forbidden
        self._resolve = resolve
        self._clock = clock
        self._inbox_lookup: asyncio.Task[tuple[Address, ...]] | None = None
        self._inbox_until = 0.0

    async def admit(self, url: str, kind: TargetKind, *, reveal_host: bool = False) -> Destination:
        """Where the URL leads, checked.

        To be asked anew for every request. A name may lead elsewhere the next moment: what is
        connected to are the addresses of the answer, never the name again.

        Args:
            url: the student's.
            kind: of the target.
            reveal_host: the host may stand in the sentence of a refusal, as it does in the spec.

        Raises:
            RefusedAddressError: no demo may reach that. The sentence holds nothing of the URL, and
                never what a name resolved to: a student must not learn the cluster's addresses.
            UnresolvedError: the name has no address at present.
        """
        parsed = parse(url)
        if kind == "inbox":
            # The administrator's own URL, so no address is refused; loopback is right on a laptop.
            if self._inbox is None or _origin(parsed) != _origin(self._inbox):
                raise RefusedAddressError("the URL is not that of this installation's inbox")
            return _destination(parsed, await self._inbox_addresses(parsed))
        who = f"the host {parsed.host}" if reveal_host else "the URL's host"
        is_listed = self._allowed.lists(parsed)
        if not is_listed:
            _check_pin(parsed, kind)
        by_name = is_listed and isinstance(parsed.host, str)
        is_usual = parsed.scheme == "https" and parsed.port == DEFAULT_PORTS["https"]
        networks = self._allowed.networks(parsed)
        if not (is_usual or is_listed or networks):
            raise _unusual(who)
        addresses = await self._addresses(parsed)
        forbidden = self._forbidden()

        def passes(one: Address) -> bool:
            return (is_usual and is_public(one)) or (
                any(one in network for network in networks) and all(map(passes, embedded(one)))
            )

        is_known = is_listed or not isinstance(parsed.host, str)
        is_untouched = not any(is_untouchable(one, forbidden) for one in addresses)
        if is_known and not is_untouched:
            raise _untouchable(who)
        if not (is_untouched and (by_name or all(map(passes, addresses)))):
            # Of a name that nobody listed no more is told: not even how bad it is where it leads.
            raise _private(who) if is_usual else _unusual(who)
        return _destination(parsed, addresses)

    async def _inbox_addresses(self, url: Url) -> tuple[Address, ...]:
        """Looked up once for all who ask within some seconds; of a student's URL, each time anew.

        This name is the administrator's, and nothing is forbidden where it leads: there is nothing
        to be checked that might change.
        """
        lookup = self._inbox_lookup
        is_failed = lookup is not None and lookup.done() and not _is_good(lookup)
        if lookup is None or is_failed or self._clock() >= self._inbox_until:
            lookup = self._inbox_lookup = asyncio.create_task(self._addresses(url))
            self._inbox_until = self._clock() + _INBOX_SECONDS
        # Whoever stops waiting must not stop the others.
        return await asyncio.shield(lookup)

    async def _addresses(self, url: Url) -> tuple[Address, ...]:
        if not isinstance(url.host, str):
            return (url.host,)
        found = tuple(map(without_zone, await self._resolve(url.host, url.port)))
        if not found:
            raise UnresolvedError("the host's name has no address")
        return found


def _is_good(lookup: "asyncio.Task[tuple[Address, ...]]") -> bool:
    return not lookup.cancelled() and lookup.exception() is None


def _inbox(text: str) -> Url:
    try:
        return parse(text)
    except RefusedAddressError as error:
        raise InvalidSpecError("the inbox's URL", str(error)) from None


def _origin(url: Url) -> tuple[str, str | Address, int]:
    return url.scheme, url.host, url.port


def _destination(url: Url, addresses: tuple[Address, ...]) -> Destination:
    return Destination(
        scheme=url.scheme,
        host=str(url.host),
        port=url.port,
        path=url.path + url.query,
        addresses=addresses,
    )


def _check_pin(url: Url, kind: TargetKind) -> None:
    pin = _PINS.get(kind)
    if pin and not (
        url.scheme == "https" and url.host in pin.hosts and pin.path.fullmatch(url.path)
    ):
        raise RefusedAddressError(f"{pin.sentence}: copy it from there, or {_WAY_OUT}")


def _unusual(who: str) -> RefusedAddressError:
    return RefusedAddressError(
        f"{who} may be reached by https on port 443 only: use that, or {_WAY_OUT}"
    )


def _private(who: str) -> RefusedAddressError:
    return RefusedAddressError(f"{who} is not public: use one that is, or {_WAY_OUT}")


def _untouchable(who: str) -> RefusedAddressError:
    return RefusedAddressError(
        f"{who} leads to a machine itself, a cloud's metadata, the API server or a node: no demo"
        f" may reach those, whatever {VALUE} says"
    )
