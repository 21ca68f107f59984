"""Yesterday's sales from the bookshop's database, as a table.

Which day was yesterday depends on where you are: TZ names the time zone (UTC). A CronJob's own
`timeZone` says only when it starts; the container's clock knows nothing of it.
"""

import sys
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workshopdemo.programs import env
from workshopdemo.programs.database import Database, DatabaseError, connect
from workshopdemo.programs.database_migration import MigrationError, ensure_schema
from workshopdemo.programs.say import say
from workshopdemo.programs.shop import sell_until
from workshopdemo.programs.table import money, say_table


def time_zone() -> tzinfo:
    """The zone that TZ names."""
    name = env.text("TZ")
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise env.SettingError(
            f"TZ must be a time zone like Europe/Berlin; it is {name!r}."
        ) from None


def report(database: Database, now: datetime) -> None:
    """Say what was sold on the day before."""
    yesterday = now.date() - timedelta(days=1)
    ensure_schema(database)
    if days := sell_until(database, yesterday):
        say(f"The shop is a played one: it has now sold on {days} day(s) that had no orders yet.")
    rows = database.query(
        "SELECT title, copies, revenue_cents FROM daily_sales WHERE day = ?"
        " ORDER BY revenue_cents DESC, title",
        [str(yesterday)],
    )
    [(orders,)] = database.query(
        "SELECT COUNT(*) FROM orders WHERE ordered_on = ?", [str(yesterday)]
    )
    copies, revenue = (sum(int(row[column]) for row in rows) for column in (1, 2))
    say(f"Sales of {yesterday:%A, %Y-%m-%d}:")
    say_table(
        ("book", "copies", "revenue"),
        [(title, int(sold), money(int(cents))) for title, sold, cents in rows],
        ("total", copies, money(revenue)),
    )
    say(f"Report is done: {orders} orders, {copies} books, {money(revenue)}.")


def main() -> int:
    """One report. A second one of the same day says the same: it only reads what is there."""
    try:
        now = datetime.now(time_zone())
        say(f"Nightly report. It is {now:%Y-%m-%d %H:%M} ({now.tzname()}).")
        with connect() as database:
            say(f"Database: {database.label}.")
            report(database, now)
    except env.SettingError as error:
        say(str(error))
        return 2
    except (DatabaseError, MigrationError) as error:
        say(f"Report failed: {error}. Exit code 1.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
