"""Times of messages: RFC 3339, which a stranger may have written otherwise."""

from datetime import UTC, datetime


def moment(text: str | None) -> datetime | None:
    """The time in UTC; None if it is none, or has no zone."""
    try:
        time = datetime.fromisoformat(text or "")
        return time.astimezone(UTC) if time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def rfc3339(time: datetime) -> str:
    """The time as every receiver reads it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
