"""What is asked beside the looks: a look hands in an order, and takes what was found so far."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from workshopdemo.names import DemoKey
from workshopdemo.queue import WorkQueue


class Desk(Protocol):
    """What is known of a demo, and what is asked of it."""

    order: Any


OrderT = TypeVar("OrderT")
DeskT = TypeVar("DeskT", bound=Desk)


class Desks(Generic[OrderT, DeskT]):
    """One for each demo that something is asked of."""

    def __init__(
        self,
        queue: WorkQueue[DemoKey],
        make: Callable[[OrderT], DeskT],
        change: Callable[[DeskT, OrderT], DeskT] | None = None,
    ) -> None:
        """None yet.

        Args:
            queue: is woken for each order that is new.
            make: makes a desk for an order.
            change: gives the desk to go on with when its order changes; by default the same one.
        """
        self._queue = queue
        self._make = make
        self._change = change
        self._desks: dict[DemoKey, DeskT] = {}

    def offer(self, key: DemoKey, order: OrderT | None) -> DeskT | None:
        """Have this asked from now on, until None is offered."""
        if order is None:
            self._desks.pop(key, None)
            return None
        desk = self._desks.get(key)
        if desk is not None and desk.order == order:
            return desk
        if desk is None:
            desk = self._make(order)
        elif self._change is not None:
            desk = self._change(desk, order)
        desk.order = order
        self._desks[key] = desk
        self._queue.wake(key)
        return desk

    def get(self, key: DemoKey) -> DeskT | None:
        """The desk as it is now."""
        return self._desks.get(key)

    def again(self, key: DemoKey) -> float | None:
        """When to ask again after an answer that is nobody's any more: at once, or not at all."""
        return 0.0 if key in self._desks else None
