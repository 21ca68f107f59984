"""Makes deliveries: a line a target, so that a slow or dead one delays nobody else."""

from workshopdemo.courier.courier import Courier
from workshopdemo.courier.line import LineKey

__all__ = ["Courier", "LineKey"]
