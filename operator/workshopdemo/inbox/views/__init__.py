"""What a message looks like to people, by its dialect."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from workshopdemo.inbox import reading
from workshopdemo.inbox.card import Card
from workshopdemo.inbox.message import Dialect, Json, Message
from workshopdemo.inbox.views import alerts, event, googlechat, slack

View = Callable[[Json, Message, datetime], Card]

_VIEWS: Final[dict[Dialect, View]] = {
    "Slack": slack.view,
    "GoogleChat": googlechat.view,
    "Alertmanager": alerts.view,
    "AlertmanagerWebhook": alerts.notification_view,
    "Webhook": event.view,
}


def card(message: Message, now: datetime) -> Card:
    """The message for people, as it is now: alerts change by the clock."""
    body = reading.mapping(msgspec.json.decode(message.body))
    return _VIEWS[message.address.dialect](body, message, now)
