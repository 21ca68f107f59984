"""Posts a request to where the guard says, and tells in our own words what came of it.

The receiver is a stranger: it may never answer, answer without end, send bombs or redirect. And its
URL is a secret, so no word of an exception goes any further: aiohttp's hold the URL.
"""

import asyncio
import errno
import hashlib
import re
import ssl
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from yarl import URL

from workshopdemo.errors import TargetConfigError
from workshopdemo.notify.addresses import Address
from workshopdemo.notify.guard import Destination, Guard
from workshopdemo.notify.resolver import UnresolvedError
from workshopdemo.notify.wire import Answer, HttpRequest, TargetKind
from workshopdemo.outbound import Outbound

CONNECT_SECONDS: Final = 5.0
"""For TCP and TLS together, for each address."""

TOTAL_SECONDS: Final = 30.0
"""From the first address to the end of the answer."""

BODY_BYTES: Final = 64 * 1024
"""So much of an answer is read, and so much of it unpacked."""

LONGEST_RETRY_AFTER: Final = 86_400.0

REPLICAS: Final = 16
"""So many addresses of an Alertmanager are sent to: a name can have thousands."""

_CA_BYTES: Final = 256 * 1024
_TRUSTS: Final = 64
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_HEADER_VALUE: Final = re.compile(r"[\t -~]*")

# OpenSSL's X509_V_ERR_*, in words of our own: its own hold the host.
_CERTIFICATE_PROBLEMS: Final = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is signed by itself",
    19: "its authority is unknown: caFrom can name it",
    20: "its authority is unknown: caFrom can name it",
    21: "its authority is unknown: caFrom can name it",
    62: "it is for another host",
    64: "it is for another address",
}

_CONNECT_PROBLEMS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "the connection was reset while it was made",
    errno.ENETUNREACH: "no route to the network",
    errno.EHOSTUNREACH: "no route to the host",
}

_PROBLEMS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (TimeoutError, f"no answer within {TOTAL_SECONDS:g} s"),
    (aiohttp.ServerDisconnectedError, "the connection was closed without an answer"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (OSError, "the connection was reset"),
)
"""Of a connection that came about; the first that fits."""


class Sender:
    """One session for all targets; connections are neither kept nor shared."""

    def __init__(self, guard: Guard, *, now: Callable[[], datetime]) -> None:
        """Nothing is connected before the first request.

        Args:
            guard: says where a URL leads.
            now: the time, for a Retry-After that is a date.
        """
        self._guard = guard
        self._now = now
        self._outbound = Outbound()
        self._trusts: OrderedDict[bytes, ssl.SSLContext] = OrderedDict()

    async def post(
        self,
        request: HttpRequest,
        *,
        kind: TargetKind,
        ca: str | None = None,
        reveal_host: bool = False,
    ) -> list[Answer]:
        """Send a request, once.

        Args:
            request: what to send, and whereto.
            kind: of the target. Each address of an Alertmanager is a replica and gets the request
                (they share no alerts); of any other target the addresses are tried in turn, as long
                as no connection comes about.
            ca: PEM of the only authority to trust; None: those that the system trusts.
            reveal_host: the host may stand in the sentence of a refusal.

        Returns:
            One answer for each address of an Alertmanager, else a single one.

        Raises:
            RefusedAddressError: no demo may reach that.
            TargetConfigError: the authority, or a header, can never be used.
        """
        deadline = asyncio.get_running_loop().time() + TOTAL_SECONDS
        trust = self._trust(ca)
        headers = _headers(request)
        try:
            destination = await self._guard.admit(request.url, kind, reveal_host=reveal_host)
        except UnresolvedError as error:
            return [Answer(problem=str(error), may_have_arrived=False)]
        attempt = _Attempt(
            session=self._outbound.session(),
            destination=destination,
            headers=headers,
            body=request.body,
            trust=trust,
            deadline=deadline,
            now=self._now,
        )
        if kind == "alertmanager":
            replicas = destination.addresses[:REPLICAS]
            return list(await asyncio.gather(*map(attempt.at, replicas)))
        return [await attempt.at_first(destination.addresses)]

    async def check(self, url: str, kind: TargetKind, *, reveal_host: bool = False) -> None:
        """Ask whether a URL would be refused, and send nothing.

        Raises:
            RefusedAddressError: it would. A name that does not resolve at present is not refused.
        """
        with suppress(UnresolvedError):
            await self._guard.admit(url, kind, reveal_host=reveal_host)

    async def close(self) -> None:
        """Break off what is under way."""
        await self._outbound.close()

    def _trust(self, ca: str | None) -> ssl.SSLContext | bool:
        if ca is None:
            return True
        # An empty one would mean the system's authorities to Python.
        if not ca or len(ca) > _CA_BYTES or not ca.isascii():
            raise _no_certificate()
        digest = hashlib.sha256(ca.encode()).digest()
        known = self._trusts.get(digest)
        if known is None:
            known = self._trusts[digest] = _context(ca)
            if len(self._trusts) > _TRUSTS:
                self._trusts.popitem(last=False)
        self._trusts.move_to_end(digest)
        return known


@dataclass(frozen=True, kw_only=True, repr=False)
class _Attempt:
    """One request at whichever address. No repr: it holds secrets."""

    session: aiohttp.ClientSession
    destination: Destination
    headers: Mapping[str, str]
    body: bytes
    trust: ssl.SSLContext | bool
    deadline: float
    now: Callable[[], datetime]

    async def at_first(self, addresses: tuple[Address, ...]) -> Answer:
        """Try the addresses in turn; if no connection comes about, the first one's answer."""
        first = answer = await self.at(addresses[0])
        for address in addresses[1:]:
            if answer.may_have_arrived or self._seconds_left() <= 0:
                break
            answer = await self.at(address)
        return answer if answer.may_have_arrived else first

    async def at(self, address: Address) -> Answer:
        """Send the request to one address; nothing is looked up again."""
        goal = self.destination
        is_tls = goal.scheme == "https"
        literal = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IPv6
        try:
            response = await self.session.post(
                URL(f"{goal.scheme}://{literal}:{goal.port}{goal.path}", encoded=True),
                data=self.body,
                headers={**self.headers, "Host": goal.host_header},
                ssl=self.trust,
                # For SNI and for the check of the certificate, instead of the address.
                server_hostname=goal.host if is_tls else None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    # To aiohttp, none left would mean no limit.
                    total=max(self._seconds_left(), 0.1),
                    sock_connect=CONNECT_SECONDS,
                ),
            )
            try:
                return await self._answer(response)
            finally:
                response.close()
        except Exception as error:  # noqa: BLE001 - a stranger caused it, and its text holds the URL
            return _unanswered(error)

    def _seconds_left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()

    async def _answer(self, response: aiohttp.ClientResponse) -> Answer:
        raw = bytearray()
        problem = ""
        try:
            while len(raw) < BODY_BYTES:
                chunk = await response.content.read(BODY_BYTES - len(raw))
                if not chunk:
                    break
                raw += chunk
        except (aiohttp.ClientError, OSError):
            problem = "the answer broke off"
        return Answer(
            code=response.status,
            body=_text(bytes(raw), response.headers.get("Content-Encoding", "")),
            retry_after=retry_after(response.headers.get("Retry-After", ""), self.now()),
            problem=problem,
        )


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds to wait by a Retry-After header (RFC 9110 10.2.3), a day at most."""
    if _SECONDS.fullmatch(value):
        return min(float(value), LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(value)
        wait = (date if date.tzinfo else date.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(wait.total_seconds(), 0.0), LONGEST_RETRY_AFTER)


def _headers(request: HttpRequest) -> dict[str, str]:
    """The request's headers, and those that are the sender's own business.

    Raises:
        TargetConfigError: a value cannot be sent.
    """
    for name, value in request.headers.items():
        # Said here, as a line break in a value would otherwise be another header (RFC 9110 5.5).
        if not _HEADER_VALUE.fullmatch(value):
            raise TargetConfigError(
                f"the header {name} cannot be sent: what it is made from must be one line of plain"
                " ASCII characters"
            )
    own = {"Accept-Encoding": "identity", "User-Agent": "workshop-demo"}
    taken = {"host", *map(str.lower, own)}
    return {**own, **{k: v for k, v in request.headers.items() if k.lower() not in taken}}


def _context(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=ca)
    except (ssl.SSLError, ValueError):
        raise _no_certificate() from None


def _no_certificate() -> TargetConfigError:
    return TargetConfigError(
        "caFrom leads to no PEM certificate (-----BEGIN CERTIFICATE-----) of at most"
        f" {_CA_BYTES // 1024} KiB"
    )


def _text(raw: bytes, encoding: str) -> str:
    """An answer's beginning; unpacked by us, as we asked for it plain and it may be a bomb."""
    match encoding.strip().lower():
        case "" | "identity":
            plain = raw
        case "gzip" | "x-gzip" | "deflate":
            either_header = zlib.MAX_WBITS | 32
            try:
                plain = zlib.decompressobj(either_header).decompress(raw, BODY_BYTES)
            except zlib.error:
                plain = b""
        case _:
            plain = b""
    return plain.decode(errors="replace")


def _unanswered(error: Exception) -> Answer:
    if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
        return Answer(problem=_unconnected(error), may_have_arrived=False)
    for cause, problem in _PROBLEMS:
        if isinstance(error, cause):
            return Answer(problem=problem)
    return Answer(problem=f"no proper answer ({type(error).__name__})")


def _unconnected(error: aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        code = getattr(error.certificate_error, "verify_code", 0)
        why = _CERTIFICATE_PROBLEMS.get(code, "it could not be verified")
        return f"the certificate is not trusted: {why}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "no TLS connection came about: perhaps the port speaks plain http"
    return _CONNECT_PROBLEMS.get(error.os_error.errno or 0, "no connection came about")
