"""The bookshop's customers, played: the same day always brings the same orders."""

import random
from datetime import date, timedelta
from typing import Final

from workshopdemo.programs.database import Database

DAYS_BACK: Final = 7
"""How far back a day without orders is made up for."""

_FIRST_NAMES: Final = ("Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farah", "Goran", "Hana")
_LAST_NAMES: Final = ("Abel", "Berg", "Costa", "Duarte", "Eriksen")
_ORDERS_A_DAY: Final = 1000


def sell_until(database: Database, day: date) -> int:
    """Let the shop sell on each of the last days, up to this one, that has no orders yet.

    Returns:
        On how many days it sold.
    """
    days = [day - timedelta(days=back) for back in reversed(range(DAYS_BACK))]
    return sum(_sell_on(database, each) for each in days)


def _sell_on(database: Database, day: date) -> bool:
    # The look and the orders are one transaction: two reports at once would sell twice.
    with database.transaction():
        if database.query("SELECT id FROM orders WHERE ordered_on = ? LIMIT 1", [str(day)]):
            return False
        _invite_customers(database)
        prices = database.query("SELECT id, price_cents FROM books ORDER BY id")
        customers = [number for (number,) in database.query("SELECT id FROM customers ORDER BY id")]
        chance = random.Random(str(day))  # noqa: S311 (repeatable is what it must be)
        orders, lines = [], []
        for number in range(chance.randint(20, 60)):
            order = day.toordinal() * _ORDERS_A_DAY + number
            orders.append((order, chance.choice(customers), str(day)))
            for book, price in chance.sample(prices, chance.choice((1, 1, 1, 2, 2, 3))):
                lines.append((order, book, chance.choice((1, 1, 1, 1, 2)), price))
        database.insert("INSERT INTO orders (id, customer_id, ordered_on) VALUES (?, ?, ?)", orders)
        database.insert(
            "INSERT INTO order_lines (order_id, book_id, copies, price_cents) VALUES (?, ?, ?, ?)",
            lines,
        )
    return True


def _invite_customers(database: Database) -> None:
    if database.query("SELECT id FROM customers LIMIT 1"):
        return
    names = [f"{first} {last}" for first in _FIRST_NAMES for last in _LAST_NAMES]
    database.insert(
        "INSERT INTO customers (id, name, email) VALUES (?, ?, ?)",
        [
            (number, name, f"{name.lower().replace(' ', '.')}@bookshop.example")
            for number, name in enumerate(names, 1)
        ],
    )
