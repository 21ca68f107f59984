"""Bring the database's schema to the version that this image's programs need.

The migrations are numbered files that are applied in turn, each once, each in a transaction. Which
ones were applied is written in the database itself, so it does not matter how often this runs.
"""

import hashlib
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from workshopdemo.programs import env
from workshopdemo.programs.database import Database, DatabaseError, connect
from workshopdemo.programs.env import SettingError
from workshopdemo.programs.say import say

MIGRATION_WAIT: Final = "MIGRATION_WAIT_SECONDS"

DIRECTORY: Final = Path(__file__).parent / "migrations"

_CREATE_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    checksum   TEXT NOT NULL,
    applied_at TEXT NOT NULL
);
"""


class MigrationError(Exception):
    """The schema cannot be brought to its version; the text names the migration and says why."""


@dataclass(frozen=True)
class Migration:
    """One step of the schema."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Changes with any change of the file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}"


def load(directory: Path = DIRECTORY) -> list[Migration]:
    """All migrations in the order of their numbers, which have no gaps."""
    migrations = []
    for number, path in enumerate(sorted(directory.glob("*.sql")), 1):
        match = re.fullmatch(r"(\d{4})_(\w+)", path.stem)
        if match is None or int(match[1]) != number:
            raise MigrationError(f"{path.name}: expected a name like {number:04}_what_it_does.sql")
        migrations.append(Migration(number, match[2], path.read_text(encoding="utf-8")))
    return migrations


def applied(database: Database) -> Mapping[int, tuple[str, str]]:
    """Version to name and checksum of what was applied, as the database tells it."""
    if "schema_migrations" not in database.tables():
        return {}
    rows = database.query("SELECT version, name, checksum FROM schema_migrations ORDER BY version")
    return {version: (name, checksum) for version, name, checksum in rows}


def pending(database: Database, migrations: Sequence[Migration]) -> list[Migration]:
    """What is still to do.

    Raises:
        MigrationError: What was applied is not what the files say, so nobody knows the schema.
    """
    known = {migration.version: migration for migration in migrations}
    done = applied(database)
    for version, (name, checksum) in done.items():
        if version not in known:
            raise MigrationError(
                f"the schema has {version:04}_{name}, which this image does not know: it is newer "
                "than the image"
            )
        if known[version].checksum != checksum:
            raise MigrationError(
                f"{known[version]} was changed after it was applied (checksum {checksum[:12]} then,"
                f" {known[version].checksum[:12]} now): undo the change and write a new migration"
            )
    return [migration for migration in migrations if migration.version not in done]


def migrate(database: Database, migrations: Sequence[Migration]) -> None:
    """Apply what is pending."""
    todo = pending(database, migrations)
    if not todo:
        say("Nothing to do: every migration was applied before.")
        return
    with database.transaction():
        database.script(_CREATE_LEDGER)
    for migration in todo:
        apply(database, migration, migrations)


def apply(database: Database, migration: Migration, migrations: Sequence[Migration]) -> None:
    """Apply one, and write down in the same transaction that it was: both happen, or none does."""
    try:
        with database.transaction():
            # Another Pod may have been here while this one waited for its turn.
            if migration not in pending(database, migrations):
                say(f"  {migration}: another run has just applied it.")
                return
            database.script(migration.sql)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            database.insert(
                "INSERT INTO schema_migrations (version, name, checksum, applied_at)"
                " VALUES (?, ?, ?, ?)",
                [(migration.version, migration.name, migration.checksum, now)],
            )
    except DatabaseError as error:
        raise MigrationError(f"{migration}: {error}; the schema is as it was before it") from error
    say(f"  {migration}: applied.")


def ensure_schema(database: Database) -> None:
    """For the other programs: have the schema they need, and say it if that took something.

    A demo's migration Job may have started at the same moment: MIGRATION_WAIT_SECONDS (0) is what
    it gets to do that.
    """
    migrations = load()
    _await_migration(database, migrations, env.whole_number(MIGRATION_WAIT, default=0))
    if pending(database, migrations):
        state = "an older schema" if applied(database) else "no schema yet"
        say(f"The database has {state}: applying the missing migrations first.")
        migrate(database, migrations)


def _await_migration(database: Database, migrations: Sequence[Migration], seconds: int) -> None:
    if seconds and pending(database, migrations):
        say(f"The database has no schema yet. I wait for the migration, {seconds} s at most.")
    for _ in range(seconds):
        if not pending(database, migrations):
            return
        time.sleep(1)


def main() -> int:
    """Run it as often as you like: only what is missing is done."""
    say("Bringing the bookshop's database to the schema that its programs need.")
    try:
        migrations = load()
        with connect() as database:
            say(f"Database: {database.label}. Migrations in this image: {len(migrations)}.")
            migrate(database, migrations)
            version, (name, _) = max(applied(database).items())
    except SettingError as error:
        say(str(error))
        return 2
    except (DatabaseError, MigrationError) as error:
        say("Each migration is a transaction: none is ever applied by half.")
        say(f"Migration failed: {error}. Exit code 1.")
        return 1
    say(f"The schema has version {version} ({version:04}_{name}).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
