"""A webhook that takes CloudEvents and wants them sent as Standard Webhooks says."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import msgspec

from workshopdemo.inbox import reading
from workshopdemo.inbox.message import (
    Address,
    Delivery,
    Dialect,
    Json,
    Message,
    RefusedError,
    Reply,
    Signature,
)
from workshopdemo.inbox.rates import Rate
from workshopdemo.inbox.store import Store

_MOST_BYTES: Final = 64 * 1024
_TOLERANCE: Final = 300
"""Seconds; whoever recorded a delivery cannot play it back later."""

_LONGEST_ID: Final = 256
_ATTRIBUTE: Final = re.compile(r"[a-z0-9]+")
_REQUIRED: Final = ("id", "source", "specversion", "type")
_STRINGS: Final = (*_REQUIRED, "datacontenttype", "dataschema", "subject", "time")

_PREFIX: Final = "whsec_"

Keys = Callable[[Address], Sequence[bytes]]
"""The keys with which deliveries to an address may be signed; none: nobody knows."""


class Webhook:
    """A delivery whose `webhook-id` came before is a repeat, and as welcome as the first."""

    dialect: Dialect = "Webhook"
    rate: Rate | None = None

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys

    def rate_key(self, address: Address) -> Hashable:
        """Nobody is limited."""
        return address

    def receive(self, delivery: Delivery) -> Reply:
        """Take the event, or say why not."""
        try:
            signature = self._check(delivery)
        except RefusedError as refused:
            return _say(refused.status, refused.words)
        event = delivery.headers["webhook-id"]
        known = self._store.find(delivery.address, event)
        if known:
            self._store.repeat(known, delivery.received)
            return Reply(status=204)
        self._store.add(
            Message(
                address=delivery.address,
                received=delivery.received,
                body=delivery.body,
                headers=delivery.headers,
                event=event,
                signature=signature,
            )
        )
        return Reply(status=204)

    def refuse(self, status: int, wait: int = 0) -> Reply:  # noqa: ARG002 - not told
        """Each webhook has its own words; these are ours."""
        return _say(status, "as asked for")

    def _check(self, delivery: Delivery) -> Signature | None:
        if not delivery.address.is_valid:
            raise RefusedError(404, "no such webhook")
        _check_event(delivery)
        _check_headers(delivery)
        return _verified(delivery, self._keys(delivery.address))


def decode_key(secret: str) -> bytes:
    """The key in a secret of the form `whsec_<base64>`.

    Raises:
        ValueError: it has another form, or another length than 24 to 64 bytes.
    """
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("after whsec_ comes base64") from error
    if not secret.startswith(_PREFIX) or not 24 <= len(key) <= 64:  # noqa: PLR2004 - the standard
        raise ValueError("a signing secret is whsec_ and the base64 of 24 to 64 bytes")
    return key


def _check_event(delivery: Delivery) -> None:
    """CloudEvents 1.0, structured mode."""
    if delivery.media_type != "application/cloudevents+json":
        raise RefusedError(415, "the content type is application/cloudevents+json")
    if len(delivery.body) > _MOST_BYTES:
        raise RefusedError(413, f"an event has at most {_MOST_BYTES} bytes")
    try:
        event = reading.parse(delivery.body)
    except reading.NotJsonError as error:
        raise RefusedError(400, "the body is no JSON") from error
    if not isinstance(event, dict):
        raise RefusedError(400, "an event is a JSON object")
    _check_attributes(event)


def _check_attributes(event: Json) -> None:
    for name in _REQUIRED:
        if not event.get(name):
            raise RefusedError(400, f"the attribute {name} is missing")
    for name in _STRINGS:
        if not isinstance(event.get(name, ""), str):
            raise RefusedError(400, f"the attribute {name} is no string")
    if event["specversion"] != "1.0":
        raise RefusedError(400, "the specversion is 1.0")
    if "time" in event and reading.time(reading.text(event["time"])) is None:
        raise RefusedError(400, "the time is none of RFC 3339")
    if "data" in event and "data_base64" in event:
        raise RefusedError(400, "an event has data or data_base64, not both")
    for name in event.keys() - {"data_base64"}:
        if not _ATTRIBUTE.fullmatch(name):
            raise RefusedError(400, "names of attributes are a-z and 0-9")


def _check_headers(delivery: Delivery) -> None:
    """Standard Webhooks: who is it, and is it of now?"""
    event = delivery.headers.get("webhook-id", "")
    if not event or "." in event or len(event) > _LONGEST_ID:
        raise RefusedError(400, "webhook-id is missing, too long or has a dot")
    timestamp = delivery.headers.get("webhook-timestamp", "")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise RefusedError(400, "webhook-timestamp is missing or not in whole seconds")
    if abs(int(timestamp) - delivery.received.timestamp()) > _TOLERANCE:
        raise RefusedError(400, "webhook-timestamp is more than five minutes off")


def _verified(delivery: Delivery, keys: Sequence[bytes]) -> Signature | None:
    given = delivery.headers.get("webhook-signature", "").split()
    if not keys:
        return Signature(count=len(given), verified=None) if given else None
    signed = f"{delivery.headers['webhook-id']}.{delivery.headers['webhook-timestamp']}.".encode()
    wanted = [
        b"v1," + base64.b64encode(hmac.digest(key, signed + delivery.body, hashlib.sha256))
        for key in keys
    ]
    if not any(hmac.compare_digest(one.encode(), other) for one in given for other in wanted):
        raise RefusedError(401, "no signature of webhook-signature fits")
    return Signature(count=len(given), verified=True)


def _say(status: int, words: str) -> Reply:
    body = msgspec.json.encode({"error": words})
    return Reply(status=status, body=body, content_type="application/json")
