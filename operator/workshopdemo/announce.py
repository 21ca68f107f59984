"""What was seen → who is told of it, and what the status tells of that."""

from collections.abc import Callable
from datetime import datetime

from workshopdemo.courier import Courier
from workshopdemo.model import NotificationsStatus, WorkshopDemo
from workshopdemo.notify.deliveries import alerts, letters, tally, with_notified
from workshopdemo.observe import Observation


class Announcer:
    """Hands outcomes to the courier. It sends while the status is being written."""

    def __init__(self, courier: Courier, now: Callable[[], datetime]) -> None:
        self._courier = courier
        self._now = now

    def announce(
        self, demo: WorkshopDemo, seen: Observation
    ) -> tuple[Observation, NotificationsStatus | None]:
        """Tell of every outcome that nobody was told of; gives what the status says then."""
        targets = demo.spec.notifications.targets
        if not targets and demo.status.notifications is None:
            return seen, None
        made = letters(demo, seen)
        self._courier.offer(demo.key, demo.uid, targets, made, alerts(demo, seen))
        current = self._courier.current(demo.uid)
        deliveries = [current.get(letter.id, letter.delivery) for letter in made]
        status = tally(demo, deliveries, self._courier.states(demo.uid), self._now())
        return with_notified(seen, made), status

    def leave(self, demo_uid: str) -> None:
        """The demo is gone."""
        self._courier.leave(demo_uid)
