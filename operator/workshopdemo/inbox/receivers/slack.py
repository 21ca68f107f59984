"""Slack's incoming webhooks."""

from collections.abc import Hashable
from typing import Final

from workshopdemo.inbox import reading
from workshopdemo.inbox.message import (
    Address,
    Delivery,
    Dialect,
    Json,
    Message,
    RefusedError,
    Reply,
)
from workshopdemo.inbox.rates import Rate
from workshopdemo.inbox.receivers.slack_blocks import check_blocks
from workshopdemo.inbox.store import Store

_MOST_BLOCKS: Final = 50
_MOST_ATTACHMENTS: Final = 100
_LONGEST_BLOCKS: Final = 13_200
"""Characters in all; not documented, but what people have met."""

_FIXED: Final = ("channel", "username", "icon_emoji", "icon_url")
"""What a webhook was made with and a message cannot change."""

_LEGACY: Final = ("fields", "text", "title", "pretext", "footer", "author_name", "image_url")
"""What an attachment says where it has no blocks."""

_WORDS: Final = {
    400: "invalid_payload",
    403: "invalid_token",
    404: "no_service",
    410: "channel_is_archived",
    429: "rate_limited",
    500: "rollup_error",
}


class Slack:
    """Answers `ok`, or one word. It has no idea of a repeat: each is another message."""

    dialect: Dialect = "Slack"
    # "1 per second, short bursts >1 allowed"
    rate: Rate | None = Rate(per_second=1, burst=3)

    def __init__(self, store: Store) -> None:
        self._store = store

    def rate_key(self, address: Address) -> Hashable:
        """Each webhook has its own rate."""
        return address

    def receive(self, delivery: Delivery) -> Reply:
        """Take the message, or say why not."""
        try:
            _check(delivery)
        except RefusedError as refused:
            return Reply(status=refused.status, body=refused.words.encode())
        self._store.add(
            Message(
                address=delivery.address,
                received=delivery.received,
                body=delivery.body,
                headers=delivery.headers,
            )
        )
        return Reply(body=b"ok")

    def refuse(self, status: int, wait: int = 0) -> Reply:
        """What Slack says with this status."""
        headers = {"Retry-After": str(wait)} if wait else {}
        return Reply(status=status, body=_WORDS.get(status, "").encode(), headers=headers)


def _check(delivery: Delivery) -> None:
    if not delivery.address.is_valid:
        raise RefusedError(404, "no_service")
    payload = _payload(delivery)
    if any(name in payload for name in _FIXED):
        raise RefusedError(404, "channel_not_found")
    words = payload.get("text")
    if not isinstance(words, str | None):
        raise RefusedError(400, "invalid_payload")
    blocks, attachments = payload.get("blocks"), payload.get("attachments")
    block_ids: set[str] = set()
    length, count = check_blocks(blocks, "invalid_blocks", block_ids)
    for attachment in _attachments(attachments):
        more_length, more = check_blocks(attachment.get("blocks"), "invalid_attachments", block_ids)
        length, count = length + more_length, count + more
    if not (words or blocks or attachments):
        raise RefusedError(400, "no_text")
    if count > _MOST_BLOCKS:
        raise RefusedError(400, "invalid_blocks" if blocks else "invalid_attachments")
    if length > _LONGEST_BLOCKS:
        raise RefusedError(400, "msg_blocks_too_long")


def _payload(delivery: Delivery) -> Json:
    try:
        payload = reading.parse(delivery.body)
    except reading.NotJsonError as error:
        raise RefusedError(400, "invalid_payload") from error
    if delivery.media_type != "application/json" or not isinstance(payload, dict):
        raise RefusedError(400, "invalid_payload")
    return payload


def _attachments(value: object) -> list[Json]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise RefusedError(400, "invalid_attachments")
    if len(value) > _MOST_ATTACHMENTS:
        raise RefusedError(400, "too_many_attachments")
    return [_attachment(one) for one in value]


def _attachment(value: object) -> Json:
    """With blocks, it has nothing of the old form beside colour and fallback."""
    if not isinstance(value, dict):
        raise RefusedError(400, "invalid_attachments")
    legacy = [name for name in _LEGACY if name in value]
    if value.get("blocks"):
        if legacy:
            raise RefusedError(400, "invalid_attachments")
    elif not (legacy or value.get("fallback")):
        raise RefusedError(400, "no_text")
    return value
