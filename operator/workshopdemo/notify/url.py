"""One strict reading of a URL. Pure.

Two parsers that read a URL differently are how a check is passed by. So there is one, it takes the
plain part of RFC 3986 only, and what it read is what is connected to and sent: the text itself is
never looked at again. What is odd is refused and not put right.
"""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from workshopdemo.errors import RefusedAddressError
from workshopdemo.notify.addresses import Address

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_LONGEST: Final = 2048
_LONGEST_NAME: Final = 253
_HIGHEST_PORT: Final = 65535

_PRINTABLE: Final = re.compile(r"[!-~]*")
_PARTS: Final = re.compile(r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/?#]*)(?P<rest>.*)")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_BRACKETED: Final = re.compile(r"\[([0-9a-f:.]+)\]")
# As the WHATWG's URL standard has it: such a last label makes the whole host a number, to browsers
# and to inet_aton alike (017700000001, 0x7f.1, 2130706433 are all 127.0.0.1).
_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PATH_AND_QUERY: Final = re.compile(
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*)"
    r"(?P<query>\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)
_DOT: Final = re.compile(r"%2e", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, repr=False)
class Url:
    """What a URL says. No repr: path and query may be secrets."""

    scheme: str
    """`http` or `https`."""

    host: str | Address
    """A name in lower case, or an address."""

    port: int
    path: str
    """Begins with a slash, has no dot segments."""

    query: str
    """Empty, or begins with a question mark."""


def parse(text: str) -> Url:
    """Read a URL.

    Raises:
        RefusedAddressError: it is none that we connect to. The sentence holds no part of it.
    """
    _check_characters(text)
    parts = _PARTS.fullmatch(text)
    if not parts or parts["scheme"].lower() not in DEFAULT_PORTS:
        raise RefusedAddressError("the URL does not begin with https:// (or http://)")
    scheme = parts["scheme"].lower()
    host, port = parse_authority(parts["authority"])
    rest = _PATH_AND_QUERY.fullmatch(parts["rest"])
    if not rest:
        raise RefusedAddressError(
            "the URL's path or query has a character that must be percent-encoded"
        )
    path = rest["path"] or "/"
    if any(_DOT.sub(".", segment) in {".", ".."} for segment in path.split("/")):
        raise RefusedAddressError("the URL's path has a segment . or ..: write where it leads")
    return Url(
        scheme=scheme,
        host=host,
        port=port if port is not None else DEFAULT_PORTS[scheme],
        path=path,
        query=rest["query"] or "",
    )


def parse_authority(text: str) -> tuple[str | Address, int | None]:
    """Read `host`, `host:port`, `1.2.3.4:port` or `[v6]:port`.

    Raises:
        RefusedAddressError: it is something else.
    """
    if "@" in text:
        raise RefusedAddressError(
            "the URL has a user or password before its host: use basicAuth or bearerTokenFrom"
        )
    parts = _AUTHORITY.fullmatch(text)
    if not parts:
        raise RefusedAddressError("the URL's host is neither a name nor an address")
    return _host(parts["host"].lower()), _port(parts["port"])


def _check_characters(text: str) -> None:
    if len(text) > _LONGEST:
        raise RefusedAddressError(f"the URL has more than {_LONGEST} characters")
    if not text.isascii():
        raise RefusedAddressError(
            "the URL has characters beyond ASCII: write its host as xn--…, percent-encode the rest"
        )
    if not _PRINTABLE.fullmatch(text):
        raise RefusedAddressError(
            "the URL has a space, a line break or a control character (perhaps at its end)"
        )
    if "\\" in text:
        raise RefusedAddressError("the URL has a backslash")
    if "#" in text:
        raise RefusedAddressError("the URL has a fragment (#…), which no server ever sees")


def _host(text: str) -> str | Address:
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed:
        try:
            return IPv6Address(bracketed[1])
        except AddressValueError:
            raise RefusedAddressError("the URL's host is no IPv6 address") from None
    if not text:
        raise RefusedAddressError("the URL has no host")
    if text.endswith("."):
        raise RefusedAddressError("the URL's host ends in a dot: leave it out")
    labels = text.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return IPv4Address(text)
        except AddressValueError:
            raise RefusedAddressError(
                "the URL's host is a number: write an IPv4 address as four decimal numbers"
            ) from None
    if len(text) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise RefusedAddressError(
            "the URL's host is no host name: letters, digits, '-', '_' and '.' only"
        )
    return text


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not _PORT.fullmatch(text) or int(text) > _HIGHEST_PORT:
        raise RefusedAddressError(f"the URL's port is no number from 1 to {_HIGHEST_PORT}")
    return int(text)
