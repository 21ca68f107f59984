"""Reading JSON that strangers wrote."""

import re
from datetime import datetime
from typing import Final

import msgspec

from workshopdemo.inbox.message import Json

_DEEPEST: Final = 64

SHOWN: Final = 25
"""Of a list, on a page: a hostile one can have tens of thousands."""

_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)"  # all that 3.11 parses
)


class NotJsonError(Exception):
    """Bytes that are no JSON, or JSON that nobody writes in earnest."""


def parse(body: bytes) -> object:
    """The JSON value.

    Raises:
        NotJsonError: it is none, or nested deeper than anything honest: whoever walks through the
            value may rely on it.
    """
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotJsonError(str(error)) from error
    except RecursionError as error:
        raise NotJsonError("too deep") from error
    if _is_deeper(value, _DEEPEST):
        raise NotJsonError("too deep")
    return value


def _is_deeper(value: object, room: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return room == 0 or any(_is_deeper(one, room - 1) for one in inner)


def mapping(value: object) -> Json:
    """The JSON object, or an empty one where there is something else."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[object]:
    """The JSON array, or an empty one where there is something else."""
    return value if isinstance(value, list) else []


def objects(value: object, most: int = SHOWN) -> list[Json]:
    """The objects of the JSON array, as many of the first as anybody would look at."""
    return [mapping(one) for one in sequence(value)[:most]]


def text(value: object) -> str:
    """The string, or an empty one where there is something else."""
    return value if isinstance(value, str) else ""


def time(value: str) -> datetime | None:
    """The time of RFC 3339, or None where it is none."""
    if not _RFC3339.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:
        return None
