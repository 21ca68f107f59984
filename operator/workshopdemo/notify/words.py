"""A stranger's words made fit for a status: no secret that it may have echoed."""

from typing import Final
from urllib.parse import quote, urlsplit

from workshopdemo.notify.wire import Credentials

HIDDEN: Final = "[hidden]"
_LEAST: Final = 6
"""Shorter pieces are no secrets, and would hide ordinary words."""


def without_secrets(words: str, credentials: Credentials) -> str:
    """The words without any value that came from a Secret, or a part of a secret URL."""
    for secret in sorted(_pieces(credentials), key=len, reverse=True):
        words = words.replace(secret, HIDDEN)
    return words


def _pieces(credentials: Credentials) -> set[str]:
    found = set(credentials.secrets)
    if credentials.url in found:
        parts = urlsplit(credentials.url)
        found |= {parts.path, parts.query, *parts.path.split("/")}
        found |= {value for pair in parts.query.split("&") for value in pair.split("=")}
    found |= {quote(secret, safe="") for secret in found}
    return {piece for piece in found if len(piece) >= _LEAST}
