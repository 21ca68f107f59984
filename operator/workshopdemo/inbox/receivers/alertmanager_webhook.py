"""What a real Alertmanager tells: its webhook receiver's JSON, version 4."""

from collections.abc import Hashable
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
)
from workshopdemo.inbox.rates import Rate
from workshopdemo.inbox.store import Store

_LONGEST_NAME: Final = 253


class AlertmanagerWebhook:
    """One message a demo that the notification speaks of: Alertmanager may group several."""

    dialect: Dialect = "AlertmanagerWebhook"
    rate: Rate | None = None

    def __init__(self, store: Store) -> None:
        self._store = store

    def rate_key(self, address: Address) -> Hashable:
        """Nobody is limited."""
        return address

    def receive(self, delivery: Delivery) -> Reply:
        """Take the notification, or say why not."""
        try:
            notification = _parse(delivery.body)
        except RefusedError as refused:
            return self._say(refused.status, refused.words)
        receiver = reading.text(notification.get("receiver"))[:_LONGEST_NAME]
        for (namespace, demo), alerts in _by_demo(notification).items():
            self._store.add(
                Message(
                    address=Address(namespace, demo, receiver, self.dialect),
                    received=delivery.received,
                    body=msgspec.json.encode({**notification, "alerts": alerts}),
                    headers=delivery.headers,
                )
            )
        return Reply()

    def refuse(self, status: int, wait: int = 0) -> Reply:  # noqa: ARG002 - not told
        """Alertmanager only looks at the status."""
        return self._say(status, "as asked for")

    def _say(self, status: int, words: str) -> Reply:
        return Reply(status=status, body=words.encode() + b"\n")


def _parse(body: bytes) -> Json:
    try:
        value = reading.parse(body)
    except reading.NotJsonError as error:
        raise RefusedError(400, "the body is no JSON") from error
    if not isinstance(value, dict) or value.get("version") != "4":
        raise RefusedError(400, 'this is no notification of Alertmanager, version "4"')
    alerts = value.get("alerts")
    if not isinstance(alerts, list) or not alerts or not all(isinstance(a, dict) for a in alerts):
        raise RefusedError(400, "the notification has no alerts")
    return value


def _by_demo(notification: Json) -> dict[tuple[str, str], list[object]]:
    found: dict[tuple[str, str], list[object]] = {}
    for alert in reading.sequence(notification.get("alerts")):
        labels = reading.mapping(reading.mapping(alert).get("labels"))
        namespace, demo = (
            reading.text(labels.get(name))[:_LONGEST_NAME] for name in ("namespace", "demo")
        )
        found.setdefault((namespace, demo), []).append(alert)
    return found
