"""The shop's database on a server; a fake plays the driver's connection."""

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from program_runs import run
from workshopdemo.programs import database, env, nightly_report, postgresql
from workshopdemo.programs.database import DatabaseError
from workshopdemo.programs.database_migration import load, migrate
from workshopdemo.programs.postgresql import Address, Postgres, read_address

NATIVE = postgresql.native


class Driver:
    """What a connection was told, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.options: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}
        """Rows, or an error, by a part of the statement."""
        self.refusals: list[Exception] = []
        """For the next attempts to connect."""

    def __call__(self, user: str, **options: Any) -> "Driver":
        self.options = {"user": user, **options}
        if self.refusals:
            raise self.refusals.pop(0)
        return self

    @property
    def parameter_statuses(self) -> dict[str, str]:
        return {"server_version": "17.12 (Debian 17.12-0)"}

    def run(self, sql: str) -> Any:
        return self.execute_unnamed(sql).rows

    def execute_unnamed(self, sql: str, vals: Sequence[Any] = ()) -> Any:
        self.asked.append((sql, tuple(vals)))
        for part, answer in self.answers.items():
            if part in sql:
                if isinstance(answer, Exception):
                    raise answer
                return SimpleNamespace(rows=answer)
        return SimpleNamespace(rows=None)

    def close(self) -> None:
        raise NATIVE.InterfaceError("connection is closed")

    @property
    def statements(self) -> list[str]:
        return [sql for sql, _ in self.asked]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(postgresql.native, "Connection", driver)
    return driver


@pytest.fixture
def address() -> Iterator[Address]:
    """Where somebody accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        yield Address(
            user="bookshop", database="bookshop", host="127.0.0.1", port=port, password="secret"
        )


@pytest.fixture
def shop(driver: Driver, address: Address) -> Iterator[Postgres]:
    with closing(Postgres(address)) as shop:
        assert driver.options["sock"]
        yield shop


@pytest.fixture
def url(address: Address, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"postgresql://bookshop@127.0.0.1:{address.port}/bookshop"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    monkeypatch.setattr(postgresql, "_AGAIN_SECONDS", 0.01)
    return url


class TestPostgres:
    def test_values_go_beside_the_statement(self, shop: Postgres, driver: Driver) -> None:
        driver.answers["FROM a"] = [["x", 1]]
        rows = shop.query("SELECT * FROM a WHERE b = ? AND c LIKE '100%?' AND d = ?", ["y", 2])
        assert rows == [("x", 1)]
        assert driver.asked == [
            ("SELECT * FROM a WHERE b = $1 AND c LIKE '100%?' AND d = $2", ("y", 2))
        ]
        # What all users of the driver would share is as it was.
        assert postgresql.dbapi.paramstyle == "format"

    def test_statements_without_rows(self, shop: Postgres, driver: Driver) -> None:
        assert shop.query("DELETE FROM a") == []
        shop.insert("INSERT INTO a VALUES (?)", [(1,), (2,)])
        assert driver.asked[1:] == [("INSERT INTO a VALUES ($1)", (n,)) for n in (1, 2)]

    def test_a_transaction_is_one_at_a_time(self, shop: Postgres, driver: Driver) -> None:
        with shop.transaction():
            shop.query("SELECT 1")
        assert driver.statements == [
            "BEGIN",
            "SET LOCAL lock_timeout = '30s'",
            "SELECT pg_advisory_xact_lock($1)",
            "SELECT 1",
            "COMMIT",
        ]
        assert 0 < driver.asked[2][1][0] < 2**63  # a bigint

    def test_a_transaction_is_all_or_nothing(self, shop: Postgres, driver: Driver) -> None:
        driver.answers["boom"] = NATIVE.DatabaseError({"M": 'relation "boom" does not exist'})
        with pytest.raises(DatabaseError, match=r'^relation "boom" does not exist$'):
            self.failing(shop)
        assert driver.statements[-1] == "ROLLBACK"

    def failing(self, shop: Postgres) -> None:
        with shop.transaction():
            shop.query("SELECT * FROM boom")

    def test_a_script_must_not_end_its_transaction(self, shop: Postgres, driver: Driver) -> None:
        driver.answers["pg_current_xact_id"] = [["1"]]
        shop.script("CREATE TABLE a (b TEXT)")
        numbers = iter(range(10))
        driver.answers["pg_current_xact_id"] = type(
            "Rows", (), {"__iter__": lambda _: iter([[str(next(numbers))]])}
        )()
        with pytest.raises(DatabaseError, match="must not end"):
            shop.script("COMMIT")

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (
                NATIVE.DatabaseError({"M": "no", "D": "Key (id)=(1)."}),
                r"^no \(Key \(id\)=\(1\)\.\)",
            ),
            (NATIVE.InterfaceError("network error"), r"^the connection broke \(network error\)$"),
            (TimeoutError("timed out"), "^timed out$"),
            (ConnectionResetError(104, "Connection reset by peer"), "^connection reset by peer$"),
            (AttributeError("'NoneType' object has no attribute 'read'"), "^the connection broke$"),
        ],
    )
    def test_errors_are_sentences(
        self, shop: Postgres, driver: Driver, error: Exception, said: str
    ) -> None:
        driver.answers["SELECT"] = error
        with pytest.raises(DatabaseError, match=said):
            shop.query("SELECT 1")

    def test_tables(self, shop: Postgres, driver: Driver) -> None:
        driver.answers["pg_tables"] = [["books"], ["orders"]]
        assert shop.tables() == ["books", "orders"]

    def test_migrations_go_through_as_they_are(self, shop: Postgres, driver: Driver) -> None:
        driver.answers["pg_current_xact_id"] = [["1"]]
        migrate(shop, load())
        assert [sql for sql in driver.statements if sql in {each.sql for each in load()}] == [
            each.sql for each in load()
        ]

    def test_a_report(
        self, shop: Postgres, driver: Driver, capsys: pytest.CaptureFixture[str]
    ) -> None:
        driver.answers |= {
            "FROM schema_migrations": [[each.version, each.name, each.checksum] for each in load()],
            "pg_tables": [["schema_migrations"]],
            "SELECT id FROM orders": [[1]],
            "daily_sales": [["Night Trains", 2, 2500]],
            "COUNT(*) FROM orders": [[1]],
        }
        nightly_report.report(shop, datetime(2026, 11, 25, tzinfo=UTC))
        last = "Report is done: 1 orders, 2 books, 25.00."
        assert capsys.readouterr().out.splitlines()[-1] == last

    def test_a_socket_in_the_file_system(self, driver: Driver, tmp_path: Path) -> None:
        local = Address(user="postgres", database="bookshop", host=str(tmp_path))
        with pytest.raises(DatabaseError, match="no such file or directory"):
            Postgres(local)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"{tmp_path}/.s.PGSQL.5432")
            listening.listen()
            Postgres(local).close()
        assert driver.options["user"] == "postgres"


class TestConnect:
    def test_the_database_that_the_url_names(self, url: str, driver: Driver) -> None:
        with database.connect() as shop:
            assert shop.label == f"PostgreSQL 17.12, {url.partition('@')[2]}"
        assert (driver.options["user"], driver.options["database"]) == ("bookshop", "bookshop")
        assert driver.options["password"] == "secret"

    @pytest.mark.usefixtures("url")
    def test_it_is_waited_for(self, driver: Driver, capsys: pytest.CaptureFixture[str]) -> None:
        starting = NATIVE.DatabaseError({"M": "the database system is starting up"})
        driver.refusals = [starting, starting, starting]
        with database.connect():
            pass
        said = " ".join(capsys.readouterr().out.split())
        assert said.count("The database does not answer yet") == 1
        assert "starting up. I wait, 120 s at most." in said
        assert "secret" not in said

    @pytest.mark.usefixtures("url")
    def test_but_not_for_ever(self, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_WAIT_SECONDS", "0")
        driver.refusals = [NATIVE.DatabaseError({"M": "password authentication failed"})]
        with pytest.raises(DatabaseError) as caught:
            database.connect()
        assert "no database within 0 seconds" in str(caught.value)
        assert "password authentication failed" in str(caught.value)
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("program", ["database_migration", "nightly_report"])
    def test_programs_say_why_they_fail(self, program: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        url = f"postgresql://bookshop@127.0.0.1:{port}/bookshop"
        code, lines = run(
            program, DATABASE_URL=url, DATABASE_WAIT_SECONDS="0", DATABASE_PASSWORD="x"
        )
        assert code == 1
        said = " ".join(lines)
        assert f"127.0.0.1:{port}/bookshop: connection refused. Exit code 1." in said
        assert "Traceback" not in said

    def test_a_backup_of_a_file_refuses_a_server(self, tmp_path: Path) -> None:
        url = "postgresql://bookshop@db/bookshop"
        code, lines = run("database_backup", DATA_DIR=str(tmp_path), DATABASE_URL=url)
        assert code == 2
        assert "this needs a database in a file" in lines[-1]


class TestAddress:
    def read(self, monkeypatch: pytest.MonkeyPatch, url: str) -> Address:
        monkeypatch.setenv("DATABASE_URL", url)
        return read_address()

    def test_port_and_password_may_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DATABASE_PASSWORD", raising=False)
        assert self.read(monkeypatch, "postgresql://a%40b@db/c%20d") == Address(
            user="a@b", database="c d", host="db"
        )

    def test_a_password_is_taken_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_PASSWORD", " x ")
        address = self.read(monkeypatch, "postgresql://a@db/c")
        assert address.password == " x "
        assert "password" not in repr(address)

    @pytest.mark.parametrize(
        "url",
        [
            "sqlite:///x",
            "postgresql://a:hidden@db/c",
            "postgresql://a@db:hidden/c",
            "postgresql://a@db/",
            "postgresql://db/c",
            "postgresql:///c",
            "postgresql://a@db/c/d",
            "postgresql://a@db/c?password=hidden",
            "postgresql://a@[hidden/c",
        ],
    )
    def test_what_makes_no_sense(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        with pytest.raises(env.SettingError, match="DATABASE_URL must look like") as caught:
            self.read(monkeypatch, url)
        assert "hidden" not in str(caught.value)


def test_a_server_that_speaks_something_else(address: Address) -> None:
    """The driver itself: whatever it raises becomes a sentence, and no socket is left open."""
    short = Address(**{**vars(address), "password": None})
    with pytest.raises(DatabaseError):
        Postgres(short, answer_seconds=0.2)
    assert "pg8000" in sys.modules
