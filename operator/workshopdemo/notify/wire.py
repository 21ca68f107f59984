"""What goes over the wire and what comes back, whatever the dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

TargetKind = Literal["inbox", "slack", "googleChat", "alertmanager", "webhook"]
"""As the fields of a target in the spec are called."""

Dialect = Literal["Slack", "GoogleChat", "Alertmanager", "Webhook"]


@dataclass(frozen=True, kw_only=True, repr=False)
class HttpRequest:
    """A POST. No repr: the URL and the headers may be secrets."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a request. No word in it is from the request."""

    code: int | None = None
    """HTTP status; None: there was no answer."""

    body: str = ""
    """The beginning of the answer's body."""

    retry_after: float | None = None
    """Seconds, by the answer's Retry-After, whether given as seconds or as a date."""

    problem: str = ""
    """Why there was no answer, in words such as `connection refused`."""

    may_have_arrived: bool = True
    """Whether the receiver may have taken the request: not where no connection came about."""


Fate = Literal["Delivered", "Retry", "TargetRefused", "MessageRefused"]

TryState = Literal["delivered", "retried", "failed"]
"""What a try to deliver came to, for metrics: failed waits for a person, retried for time."""

TRY_STATES: Final[Mapping[Fate, TryState]] = {
    "Delivered": "delivered",
    "Retry": "retried",
    "TargetRefused": "failed",
    "MessageRefused": "failed",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an answer means."""

    fate: Fate
    """Retry: time may heal it. TargetRefused: nothing gets through until the target's address or
    credentials change. MessageRefused: this message never will."""

    words: str = ""
    """The receiver's own, short; not yet cleaned of secrets."""

    after: float | None = None
    """Seconds to wait at least, by the receiver's wish."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Credentials:
    """What a request needs beside its body, read from Secrets at the time of sending. No repr."""

    url: str
    bearer: str | None = None
    basic: tuple[str, str] | None = None
    ca: str | None = None
    """PEM of the authority that signed the receiver's certificate."""

    signing: tuple[str, ...] = ()
    """Keys of Standard Webhooks, the newest first; more than one while they are being rotated."""

    secrets: tuple[str, ...] = field(default=())
    """Every value that came from a Secret: what is cleaned from words of strangers."""
