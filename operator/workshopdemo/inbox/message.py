"""A message as the inbox keeps it, and what goes in and out around it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, Self, get_args

Dialect = Literal["Slack", "GoogleChat", "Alertmanager", "Webhook", "AlertmanagerWebhook"]
DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)

Json = dict[str, object]
"""A JSON object."""

AlertState = Literal["firing", "resolved"]

# A Kubernetes name: whoever posts to other addresses would fill the inbox with demos that are none.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class Address(NamedTuple):
    """Whose message it is."""

    namespace: str
    demo: str
    target: str
    dialect: Dialect

    @property
    def is_valid(self) -> bool:
        """Whether these are names that Kubernetes would allow."""
        return all(_NAME.fullmatch(name) for name in (self.namespace, self.demo, self.target))


class Filter(NamedTuple):
    """Which addresses are meant; what is None does not matter."""

    namespace: str | None = None
    demo: str | None = None
    target: str | None = None
    dialect: str | None = None

    def matches(self, address: Address) -> bool:
        """Whether the address is one of those meant."""
        return self.contains(Filter(*address))

    def contains(self, other: Self) -> bool:
        """Whether all that the other means is meant by this too."""
        return all(one is None or one == name for one, name in zip(self, other, strict=True))


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What somebody posted."""

    address: Address
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By name in small letters; only those that say something about it and open no door."""

    body: bytes
    received: datetime

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The receiver's answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_accepted(self) -> bool:
        """Whether the sender may take the message as delivered."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's success


class RefusedError(Exception):
    """The receiver does not take the message, for a reason in its own words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


@dataclass(frozen=True, kw_only=True)
class Flip:
    """An alert became another state."""

    at: datetime
    state: AlertState
    expired: bool = False
    """Nobody resolved it: its end passed without another word."""


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What the signature of a webhook is worth."""

    count: int
    """How many the header carries: more than one while keys are being rotated."""

    verified: bool | None
    """None: the inbox was given no key for this address."""


_MOST_FLIPS: Final = 50


@dataclass(kw_only=True)
class Alert:
    """An alert's life, by all that was posted of its label set."""

    starts: datetime
    ends: datetime
    is_timeout: bool
    """Nobody named the end: it is the time after which a silent alert counts as resolved."""

    flips: list[Flip] = field(default_factory=list)

    def state(self, now: datetime) -> AlertState:
        """As Alertmanager has it: an alert ends by the clock, whether or not anybody says so."""
        return "firing" if self.ends > now else "resolved"

    def settle(self, now: datetime) -> None:
        """Note down what the clock alone has changed."""
        last = self.flips[-1].state if self.flips else None
        if last == "firing" and self.ends <= now:
            self._flip(Flip(at=self.ends, state="resolved", expired=True))

    def note(self, now: datetime) -> None:
        """Note down the state that a delivery has brought."""
        state = self.state(now)
        if not self.flips or self.flips[-1].state != state:
            self._flip(Flip(at=now, state=state))

    @property
    def has_fired(self) -> bool:
        """Whether there was ever something to resolve."""
        return any(flip.state == "firing" for flip in self.flips)

    def _flip(self, flip: Flip) -> None:
        self.flips.append(flip)
        del self.flips[:-_MOST_FLIPS]


@dataclass(kw_only=True)
class Message:
    """One message, however often it was sent."""

    address: Address
    received: datetime
    body: bytes
    """JSON, as received: it was read once, so it is JSON."""

    headers: Mapping[str, str] = field(default_factory=dict)
    event: str | None = None
    """What tells a repeat from another message; None where the dialect has no such thing."""

    thread: str | None = None
    alert: Alert | None = None
    signature: Signature | None = None
    id: int = 0
    """Sequence number; the store's business."""

    repeats: int = 0
    last_received: datetime | None = None


def rfc3339(time: datetime) -> str:
    """In UTC, with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
