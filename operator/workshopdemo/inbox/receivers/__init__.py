"""The receivers that are played, each with the limits, errors and rates of the real one."""

from collections.abc import Hashable
from typing import Protocol

from workshopdemo.inbox.message import Address, Delivery, Dialect, Reply
from workshopdemo.inbox.rates import Rate


class Receiver(Protocol):
    """One of them."""

    dialect: Dialect
    rate: Rate | None

    def rate_key(self, address: Address) -> Hashable:
        """Who shares a rate with whom."""

    def receive(self, delivery: Delivery) -> Reply:
        """Take the message, or say why not."""

    def refuse(self, status: int, wait: int = 0) -> Reply:
        """What the real one says with this status.

        Args:
            status: of HTTP.
            wait: seconds after which it would take the message, which not every one tells.
        """
