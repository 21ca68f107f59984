"""Kubernetes' timestamps: RFC 3339 in UTC, to the second (metav1.Time)."""

from collections.abc import Iterable
from datetime import UTC, datetime


def parse_time(text: str) -> datetime:
    """A timestamp as an aware datetime."""
    return datetime.fromisoformat(text).astimezone(UTC)


def format_time(moment: datetime) -> str:
    """An aware datetime as a timestamp."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def earliest(moments: Iterable[datetime | None]) -> datetime | None:
    """The first of those that there are."""
    return min((moment for moment in moments if moment is not None), default=None)
