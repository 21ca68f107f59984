"""The bookshop's database, as the programs see it: all they know of it is `Database`.

It is SQLite, one file on the demo's volume, or PostgreSQL if the demo has a StatefulSet of it. SQL
in the programs and migrations is what both understand, with `?` for a value.
"""

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from workshopdemo.programs import env

BUSY_SECONDS: Final = 30
_FILE: Final = "bookshop.db"


class DatabaseError(Exception):
    """The database refuses, or cannot be reached; the text says why."""


class Database(Protocol):
    """What the programs may do with a database, whichever it is."""

    label: str
    """Which database it is, for a person."""

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""

    def insert(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row."""

    def script(self, sql: str) -> None:
        """Run statements one after the other, in the transaction that is open."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing. One at a time: a second one waits here until the first has ended."""

    def tables(self) -> list[str]:
        """Names of all tables, sorted."""


def connect() -> AbstractContextManager[Database]:
    """The demo's database; it is empty at first.

    Raises:
        SettingError: DATA_DIR or DATABASE_URL makes no sense.
        DatabaseError: It cannot be opened.
    """
    if not env.text("DATABASE_URL"):
        return open_file()
    # The driver takes time and memory, which who works with a file does not need.
    from workshopdemo.programs import postgresql  # noqa: PLC0415

    return postgresql.connect()


def open_file() -> AbstractContextManager["SQLite"]:
    """The database in a file, whose whole content can be copied by whoever has the volume.

    Raises:
        SettingError: DATA_DIR makes no sense, or the database is not in a file.
        DatabaseError: It cannot be opened.
    """
    if env.text("DATABASE_URL"):
        raise env.SettingError("DATABASE_URL is set, but this needs a database in a file.")
    return closing(SQLite(env.data_directory() / _FILE))


def row_counts(database: Database) -> Mapping[str, int]:
    """How many rows each table has."""
    return {
        table: database.query(f'SELECT COUNT(*) FROM "{table}"')[0][0]  # noqa: S608 (its own name)
        for table in database.tables()
    }


class SQLite:
    """A database in a file.

    Several Pods may use it at once, so the journal is SQLite's classic one (DELETE) and not WAL:
    WAL shares memory between its users, which corrupts the file where the volume is on a network.
    And a backup is one file, without a second one that it is incomplete without.
    """

    dump_suffix = ".db"
    """How the name of a dump's file ends."""

    def __init__(self, path: Path) -> None:
        self.label = f"SQLite {sqlite3.sqlite_version}, {path}"
        with _explained(path):
            # isolation_level=None: Python would begin transactions on its own, and not for DDL.
            self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            self.query("PRAGMA journal_mode = DELETE")
            self.query("PRAGMA foreign_keys = ON")
        except DatabaseError as error:
            self.close()
            raise DatabaseError(f"{path}: {error}") from error

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        with _explained():
            return self._connection.execute(sql, values).fetchall()

    def insert(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row."""
        with _explained():
            self._connection.executemany(sql, rows)

    def script(self, sql: str) -> None:
        """Run statements one after the other; `executescript` would commit before it starts."""
        for statement in _statements(sql):
            self.query(statement)
            if not self._connection.in_transaction:
                raise DatabaseError("a script must not end the transaction it runs in")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing.

        IMMEDIATE, because two that have read and then both want to write can never go on.
        """
        self.query("BEGIN IMMEDIATE")
        try:
            yield
            self.query("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise

    def tables(self) -> list[str]:
        """Names of all tables, without SQLite's own."""
        rows = self.query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%'"
            " ESCAPE '!' ORDER BY name"
        )
        return [name for (name,) in rows]

    def dump(self, path: Path) -> Mapping[str, int]:
        """Copy page by page with SQLite's backup API: a plain copy of a file in use is none.

        Returns:
            How many rows each table had at that moment.
        """
        self.query("BEGIN")
        try:
            # Reading starts the snapshot: what is counted is what is copied.
            counts = row_counts(self)
            with _explained(path), closing(sqlite3.connect(path, isolation_level=None)) as copy:
                # A copy that is cut short is thrown away, so it needs no journal beside it.
                copy.execute("PRAGMA journal_mode = OFF")
                self._connection.backup(copy)
        finally:
            self._connection.rollback()
        return counts

    @contextmanager
    def restored(self, path: Path) -> Iterator["SQLite"]:
        """A copy in /tmp, as a new server would get it; an error if the dump is not sound."""
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(shutil.copy(path, Path(scratch) / _FILE))
            with closing(SQLite(copy)) as database:
                problems = [str(row[0]) for row in database.query("PRAGMA integrity_check(3)")]
                if problems != ["ok"]:
                    raise DatabaseError("; ".join(" ".join(text.split()) for text in problems))
                if orphans := database.query("PRAGMA foreign_key_check"):
                    raise DatabaseError(f"{len(orphans)} rows refer to rows that are not there")
                yield database


def _statements(sql: str) -> Iterator[str]:
    """Split where SQLite sees a statement's end; a semicolon in a text or a comment is none."""
    statement = ""
    for part in sql.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement:
        raise DatabaseError("the script ends in the middle of a statement")


@contextmanager
def _explained(path: Path | None = None) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise DatabaseError(f"{path}: {error}" if path else str(error)) from error
