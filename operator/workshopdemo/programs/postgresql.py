"""The bookshop's database on a PostgreSQL server. No other program knows the driver."""

import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pg8000 import dbapi, native

from workshopdemo.programs import env
from workshopdemo.programs.database import BUSY_SECONDS, DatabaseError
from workshopdemo.programs.say import say

PORT: Final = 5432
CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 2.0 * BUSY_SECONDS
WAIT_SECONDS: Final = 120
_AGAIN_SECONDS: Final = 1.0

_LOCK: Final = int.from_bytes(b"bookshop")
"""Whoever changes this database takes PostgreSQL's advisory lock of this number."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a database is, and who asks."""

    user: str
    database: str
    host: str
    """One that starts with a slash is the directory of a server's socket."""

    port: int = PORT
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        where = self.host if self.is_local else f"{self.host}:{self.port}"
        return f"{where}/{self.database}"

    @property
    def is_local(self) -> bool:
        """Whether it is reached by a socket in the file system."""
        return self.host.startswith("/")


class Postgres:
    """A connection; when it breaks, every further call is a DatabaseError."""

    def __init__(
        self,
        address: Address,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Connect.

        Args:
            address: of the database.
            connect_seconds: how long to wait for the server.
            answer_seconds: how long to wait for each answer.

        Raises:
            DatabaseError: Nobody answers, or not in the way that a server does.
        """
        with _explained(str(address)):
            connected = _connected(address, connect_seconds)
            try:
                connected.settimeout(answer_seconds)
                self._connection = native.Connection(
                    address.user,
                    database=address.database,
                    password=address.password,
                    sock=connected,
                    host=address.host,
                    # The demos' server has no certificate to be checked.
                    ssl_context=False,
                    application_name="bookshop",
                )
            except BaseException:
                connected.close()
                raise
        self._socket = connected
        version = self._connection.parameter_statuses.get("server_version", "")
        self.label = f"PostgreSQL {version.partition(' ')[0]}, {address}"

    def close(self) -> None:
        """Leave, politely if the other side is still there."""
        with suppress(native.Error, OSError, AttributeError):
            self._connection.close()
        self._socket.close()

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        with _explained():
            if not values:
                rows = self._connection.run(sql)
            else:
                # Without the module's paramstyle, which all that use the driver would share.
                statement, ordered = dbapi.convert_paramstyle("qmark", sql, values)
                rows = self._connection.execute_unnamed(statement, vals=tuple(ordered)).rows
        return [tuple(row) for row in rows or ()]

    def insert(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement for each row."""
        for row in rows:
            self.query(sql, row)

    def script(self, sql: str) -> None:
        """Run statements one after the other."""
        before = self._transaction()
        self.query(sql)
        if self._transaction() != before:
            raise DatabaseError("a script must not end the transaction it runs in")

    def _transaction(self) -> str:
        [(number,)] = self.query("SELECT CAST(pg_current_xact_id() AS text)")
        return str(number)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; a lock of our own makes it one at a time, even for what is not there yet.

        It ends with the transaction, and with the connection if that breaks.
        """
        self.query("BEGIN")
        try:
            self.query(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'")
            self.query("SELECT pg_advisory_xact_lock(?)", [_LOCK])
            yield
            self.query("COMMIT")
        except BaseException:
            with suppress(DatabaseError):
                self.query("ROLLBACK")
            raise

    def tables(self) -> list[str]:
        """Names of the shop's tables."""
        rows = self.query(
            "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
            " ORDER BY tablename"
        )
        return [str(name) for (name,) in rows]


def connect() -> AbstractContextManager[Postgres]:
    """The database that DATABASE_URL names, with DATABASE_PASSWORD; it is waited for.

    Whatever the server says, it may say something else in a moment: when a demo is applied, all its
    parts start at once, and a password that has changed takes a minute to get everywhere.

    Raises:
        SettingError: A variable makes no sense.
        DatabaseError: It did not answer in time; the text has the last reason.
    """
    address = read_address()
    seconds = env.whole_number("DATABASE_WAIT_SECONDS", default=WAIT_SECONDS)
    deadline, said = time.monotonic() + seconds, ""
    while True:
        try:
            return closing(Postgres(address))
        except DatabaseError as error:
            left = deadline - time.monotonic()
            if left <= 0:
                raise DatabaseError(f"no database within {seconds} seconds: {error}") from error
            if said != str(error):
                said = str(error)
                say(f"The database does not answer yet: {error}. I wait, {left:.0f} s at most.")
            time.sleep(min(_AGAIN_SECONDS, left))


def read_address() -> Address:
    """As the environment has it.

    Raises:
        SettingError: DATABASE_URL makes no sense. It is not shown: a password may be in it.
    """
    expected = "DATABASE_URL must look like postgresql://user@host:5432/database"
    try:
        url = urlsplit(env.text("DATABASE_URL"))
        port = url.port or PORT
    except ValueError:
        raise env.SettingError(f"{expected}; its port or host makes no sense.") from None
    if url.scheme not in ("postgres", "postgresql"):
        raise env.SettingError(f"{expected}; these programs know no other kind.")
    if url.password is not None or url.query or url.fragment:
        raise env.SettingError(
            f"{expected}, and no more: the password goes into DATABASE_PASSWORD."
        )
    database = unquote(url.path.removeprefix("/"))
    if not (url.hostname and url.username and database) or "/" in database:
        raise env.SettingError(f"{expected}; a part of it is missing.")
    # Not stripped of blanks, as other settings are: they may be meant.
    password = os.environ.get("DATABASE_PASSWORD") or None
    return Address(
        user=unquote(url.username),
        database=database,
        host=url.hostname,
        port=port,
        password=password,
    )


def literal(text: str) -> str:
    """A text within a statement that takes no values."""
    return str(native.literal(text))


def _connected(address: Address, seconds: float) -> socket.socket:
    if not address.is_local:
        connected = socket.create_connection((address.host, address.port), seconds)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connected
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(seconds)
        connected.connect(f"{address.host}/.s.PGSQL.{address.port}")
    except BaseException:
        connected.close()
        raise
    return connected


@contextmanager
def _explained(where: str = "") -> Iterator[None]:
    """What the driver lets out is an error of the database; its texts have no password in them."""
    try:
        yield
    except (native.Error, OSError, struct.error, AttributeError) as error:
        text = _sentence(error)
        raise DatabaseError(f"{where}: {text}" if where else text) from error


def _sentence(error: Exception) -> str:
    told = error.args[0] if error.args else None
    if isinstance(told, dict):  # as the server says it, by the letters of its protocol
        detail = f" ({told['D']})" if "D" in told else ""
        return f"{told.get('M', 'an error without a message')}{detail}"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    # A broken connection surfaces in the driver in many ways.
    known = isinstance(error, native.Error) and str(error)
    return f"the connection broke ({error})" if known else "the connection broke"
