"""Alerts that an Alertmanager must be told again and again: it forgets what it does not hear of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from workshopdemo.notify.deliveries import alert_entry
from workshopdemo.notify.dialects.alertmanager import RESEND_SECONDS
from workshopdemo.notify.message import Message

RESOLVED_FOR: Final = 300.0
"""So many seconds the end of an alert is told again (Alertmanager, alerts API: clients are expected
to re-send resolved alerts for up to 5 minutes)."""


@dataclass
class Ended:
    """An alert that was resolved: by a success, or because nobody watches for one any more."""

    message: Message
    until: float
    is_success: bool


@dataclass
class AlertKeeper:
    """What is to be told again to one Alertmanager."""

    firing: dict[str, Message] = field(default_factory=dict)
    ended: dict[str, Ended] = field(default_factory=dict)
    """By entry, or by alert where it ended without a success."""

    confirmed: set[str] = field(default_factory=set)
    """Alerts of which the demo's status tells that they fire."""

    due: float = float("inf")

    def moments(self) -> list[float]:
        """When there is something to be told again."""
        return [self.due] if self.firing or self.ended else []

    def offer(self, alerts: Mapping[str, Message], now: float) -> bool:
        """Take over what fires by the demo's status; gives whether that is news to be sent."""
        # The status lags behind a delivery that has just begun or ended an alert.
        current = {
            alert: message
            for alert, message in alerts.items()
            if alert_entry(alert) not in self.ended
        }
        fresh = {
            alert: message
            for alert, message in self.firing.items()
            if alert not in alerts and alert not in self.confirmed
        }
        orphans = {
            alert: message
            for alert, message in self.firing.items()
            if alert not in alerts and alert in self.confirmed
        }
        self.confirmed = set(alerts)
        self.firing = current | fresh
        for alert, message in orphans.items():
            self.ended[alert] = Ended(message, now + RESOLVED_FOR, is_success=False)
        if orphans:
            self.due = now
        elif self.due == float("inf") and current:
            self.due = now + RESEND_SECONDS
        return bool(orphans)

    def fired(self, alert: str, message: Message, now: float) -> None:
        """An alert was delivered."""
        self.ended.pop(alert_entry(alert), None)
        self.ended.pop(alert, None)
        self.firing[alert] = message
        self.due = min(self.due, now + RESEND_SECONDS)

    def calmed(self, message: Message, now: float) -> None:
        """A success was delivered."""
        entry = message.entry
        self.firing = {
            alert: told for alert, told in self.firing.items() if alert_entry(alert) != entry
        }
        self.ended[entry] = Ended(message, now + RESOLVED_FOR, is_success=True)
        self.due = min(self.due, now + RESEND_SECONDS)

    def told(self, now: float) -> None:
        """Everything was told again."""
        self.due = now + RESEND_SECONDS
        self.forget(now)

    def forget(self, now: float) -> None:
        """Leave what ended a while ago: whoever has not heard of it has let it expire meanwhile."""
        self.ended = {name: ended for name, ended in self.ended.items() if ended.until > now}
        if not (self.firing or self.ended):
            self.due = float("inf")
