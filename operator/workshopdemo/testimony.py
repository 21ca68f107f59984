"""What a member of a StatefulSet says of itself (programs/testimony), read strictly."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

PORT: Final = 8083
"""Where each member answers."""

TESTIMONY_PATH: Final = "/testimony"

ENTRIES: Final = 20
"""So many of its newest entries a member tells."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
_Identifier = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Za-z-]{1,64}\Z")]
_Checksum = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Time = Annotated[
    str, msgspec.Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")
]
_MOST: Final = 2**31 - 1
"""What the status takes (int32): one with more in it could not be written."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


_Role = Literal["Primary", "Replica"]


class BadTestimonyError(ValueError):
    """Not what a member says."""


class Entry(msgspec.Struct, frozen=True):
    """A start, as it was written down then."""

    number: Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
    time: _Time
    checksum: _Checksum
    """Of this entry and all before it."""


class Testimony(msgspec.Struct, frozen=True, rename="camel"):
    """What a member knows of itself and its data.

    Of data that is damaged only that: what stands there may be anything, and is left out.
    """

    member: _Name
    pod: _Name
    """UID of its Pod."""

    identifier: _Identifier
    starts: _Count
    first: _Time | None
    intact: bool
    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=ENTRIES)]
    """The newest, the oldest of them first."""

    rows: _Count
    role: _Role | None = None
    streaming: bool | None = None
    lag_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be so.

        Raises:
            ValueError: a time that is none, or entries that are not the newest ones.
        """
        if self.first is not None:
            datetime.fromisoformat(self.first)
        first = self.starts - len(self.entries) + 1
        if [one.number for one in self.entries] != list(range(first, self.starts + 1)):
            raise ValueError("entries are not the newest, one after the other")
        if self.starts and not self.entries:
            raise ValueError("no entry of the newest start")

    def checksum_of(self, number: int) -> str | None:
        """Checksum of that entry, if it is one of those told."""
        return next((one.checksum for one in self.entries if one.number == number), None)


class _Heading(msgspec.Struct, frozen=True):
    """What a member knows whatever became of its data."""

    member: _Name
    pod: _Name
    intact: bool
    role: _Role | None = None


def testimony(answer: bytes) -> Testimony:
    """What a member says.

    Raises:
        BadTestimonyError: that is no member's answer.
    """
    try:
        heading = msgspec.json.decode(answer, type=_Heading)
        if heading.intact:
            return msgspec.json.decode(answer, type=Testimony)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadTestimonyError from None
    return Testimony(
        member=heading.member,
        pod=heading.pod,
        identifier="",
        starts=0,
        first=None,
        intact=False,
        entries=(),
        rows=0,
        role=heading.role,
    )
