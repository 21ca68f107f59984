"""The witness beside a member of the database; SQLite plays the servers, whole or down."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from program_runs import run
from workshopdemo.programs import witness
from workshopdemo.programs.database import DatabaseError
from workshopdemo.programs.postgresql import Address
from workshopdemo.programs.testimony import Place, Testimony, Waiting
from workshopdemo.programs.witness import Ways, Witness, keep_passfile

PLACE = Place(member="shop-database-1", node="worker", pod="uid-1")
PRIMARY, REPLICA = (False, None, None), (True, "streaming", 7)


class Server:
    """A member's server, and the database that all members have; see `Connection`."""

    def __init__(self, state: tuple[bool, str | None, int | None] = REPLICA) -> None:
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        self.database.execute("ATTACH ':memory:' AS witness")
        self.state = state
        self.started = 1_000
        self.own_is_up = True
        self.service_is_up = True
        self.breaks_after_commit = False
        self.has_ledger = False
        self.now = datetime(2026, 11, 25, 14, 0, tzinfo=UTC)
        self.connections: list[Address] = []
        self.roles: list[str] = []

    def connect(self, address: Address) -> Any:
        self.connections.append(address)
        return Connection(self, address)

    def tamper(self, sql: str) -> None:
        self.database.execute(sql)


class Connection:
    """Answers what the witness asks, as a server of PostgreSQL would."""

    def __init__(self, server: Server, address: Address) -> None:
        self.server = server
        self.is_own = address.is_local
        self.check()

    def check(self) -> None:
        if not (self.server.own_is_up if self.is_own else self.server.service_is_up):
            raise DatabaseError("connection refused")

    def close(self) -> None:
        pass

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.check()
        server = self.server
        if sql == witness._ABOUT:
            is_replica, receiver, lag = server.state
            return [("7412", is_replica, server.started, server.has_ledger, receiver, lag)]
        if "clock_timestamp" in sql:
            return [(server.now,)]
        if sql.startswith(("ALTER ROLE", "SET ")):
            server.roles.append(sql)
            return []
        rows = server.database.execute(sql, values).fetchall()
        if sql == witness._LEDGER:
            rows = [(*row[:3], datetime.fromisoformat(row[3]), *row[4:]) for row in rows]
        return rows

    def insert(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.check()
        for row in rows:
            told = [str(value) if isinstance(value, datetime) else value for value in row]
            self.server.database.execute(sql, told)

    def script(self, sql: str) -> None:
        self.check()
        assert sql == witness._SCHEMA
        self.server.has_ledger = True
        self.server.database.execute(
            "CREATE TABLE IF NOT EXISTS witness.ledger (number INTEGER PRIMARY KEY, member, pod,"
            " node, time, checksum, start UNIQUE)"
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield
        if self.server.breaks_after_commit:
            self.server.breaks_after_commit = False
            raise DatabaseError("the connection broke")


@pytest.fixture
def ways(tmp_path: Path) -> Ways:
    for name in ("secret", "sockets"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "password").write_text("one")
    (tmp_path / "secret" / "replicationPassword").write_text("a:b\\c\n")
    return Ways(str(tmp_path / "sockets"), "shop-database", tmp_path / "secret")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.database.close()


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        self.time += 100
        return self.time


def beside(server: Server, ways: Ways, **place: str) -> Witness:
    return Witness(replace(PLACE, **place), ways, connect=server.connect, clock=Clock())


def told(witness: Witness, looks: int = 2) -> dict[str, Any]:
    for _ in range(looks):
        witness.look()
    assert isinstance(witness.known, Testimony), witness.known
    return witness.known.as_json()


class TestLedger:
    def test_a_start_is_written_once_and_through_the_service(
        self, server: Server, ways: Ways
    ) -> None:
        says = told(beside(server, ways), looks=5)
        (entry,) = says["entries"]
        assert (entry["number"], entry["pod"], entry["time"]) == (
            1, "uid-1", "2026-11-25T14:00:00Z",
        )  # fmt: skip
        written = [address for address in server.connections if not address.is_local]
        assert [(each.user, each.host, each.password) for each in written] == [
            ("bookshop", "shop-database", "one")
        ]

    def test_a_witness_that_was_killed_does_not_write_it_again(
        self, server: Server, ways: Ways
    ) -> None:
        told(beside(server, ways))
        assert told(beside(server, ways))["starts"] == 1

    def test_nor_one_that_cannot_know_whether_it_did(self, server: Server, ways: Ways) -> None:
        watched = beside(server, ways)
        server.breaks_after_commit = True
        assert told(watched, looks=4)["starts"] == 1

    def test_a_server_that_starts_again_is_a_new_start(self, server: Server, ways: Ways) -> None:
        watched = beside(server, ways)
        told(watched)
        server.own_is_up = False
        watched.look()
        assert watched.known == Waiting("this member's server does not answer: connection refused")
        server.own_is_up, server.started = True, 2_000
        assert told(watched)["starts"] == 2

    def test_so_is_a_new_pod(self, server: Server, ways: Ways) -> None:
        told(beside(server, ways))
        says = told(beside(server, ways, pod="uid-2", node="other"))
        assert [entry["node"] for entry in says["entries"]] == ["worker", "other"]
        assert says["intact"]

    def test_members_have_chains_of_their_own(self, server: Server, ways: Ways) -> None:
        told(beside(server, ways, member="shop-database-0", pod="uid-0"))
        says = told(beside(server, ways))
        assert (says["starts"], says["rows"], says["entries"][0]["number"]) == (1, 2, 1)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE witness.ledger SET node = 'elsewhere' WHERE number = 1",
            "UPDATE witness.ledger SET time = '2020-01-01T00:00:00+00:00' WHERE number = 2",
            "DELETE FROM witness.ledger WHERE number = 1",
            "DELETE FROM witness.ledger WHERE number = 2",
        ],
    )
    def test_who_changes_the_past_is_found_out(
        self, server: Server, ways: Ways, change: str
    ) -> None:
        for pod in ("uid-1", "uid-2", "uid-3"):
            watched = beside(server, ways, pod=pod)
            assert told(watched)["intact"]
        server.tamper(change)
        assert told(watched)["intact"] is False

    def test_a_primary_that_is_away(
        self, server: Server, ways: Ways, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server.service_is_up = False
        watched = beside(server, ways)
        for _ in range(4):
            watched.look()
        assert isinstance(watched.known, Waiting)
        assert capsys.readouterr().out.count("not in the ledger yet: connection refused") == 1
        server.service_is_up = True
        assert told(watched)["starts"] == 1

    def test_it_does_not_ask_all_the_time(self, server: Server, ways: Ways) -> None:
        server.service_is_up = False
        moments = iter(range(1000))
        watched = Witness(PLACE, ways, connect=server.connect, clock=lambda: float(next(moments)))
        for _ in range(60):
            assert watched.look() == 2.0
        asked = [address for address in server.connections if not address.is_local]
        assert 3 <= len(asked) < 15


class TestTestimony:
    def test_of_a_replica(self, server: Server, ways: Ways) -> None:
        says = told(beside(server, ways))
        assert says["scenario"] == "Postgres"
        assert says["identifier"] == "7412"
        assert (says["role"], says["streaming"], says["lagBytes"]) == ("Replica", True, 7)

    def test_of_a_replica_without_a_primary(self, server: Server, ways: Ways) -> None:
        watched = beside(server, ways)
        told(watched)
        server.state = (True, None, None)
        says = told(watched)
        assert says["streaming"] is False
        assert "lagBytes" not in says
        assert isinstance(watched.known, Testimony)
        assert "I do NOT stream from the primary" in watched.known.as_text()

    def test_of_the_primary(self, server: Server, ways: Ways) -> None:
        server.state = PRIMARY
        says = told(beside(server, ways))
        assert says["role"] == "Primary"
        assert not {"streaming", "lagBytes"} & says.keys()

    def test_it_reads_with_no_more_rights_than_it_needs(self, server: Server, ways: Ways) -> None:
        told(beside(server, ways))
        assert {each.user for each in server.connections if each.is_local} == {"replicator"}


class TestPasswords:
    def test_of_the_primary_s_roles(
        self, server: Server, ways: Ways, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server.state = PRIMARY
        watched = beside(server, ways)
        told(watched, looks=3)
        assert len(server.roles) == 4  # once, as start.sh may have read the Secret before a change
        (ways.secret / "password").write_text("it's new")
        watched.look()
        assert server.roles[4:] == [
            "SET log_min_error_statement = panic",
            "SET log_statement = none",
            "ALTER ROLE bookshop PASSWORD 'it''s new'",
            "ALTER ROLE replicator PASSWORD 'a:b\\c'",
        ]
        said = capsys.readouterr().out
        assert "The Secret has changed" in said
        assert "it's new" not in said

    def test_of_a_replica_s_server(self, server: Server, ways: Ways) -> None:
        watched = beside(server, ways)
        told(watched)
        path = Path(ways.sockets) / "passfile"
        assert path.read_text() == "*:*:*:replicator:a\\:b\\\\c\n"
        assert path.stat().st_mode & 0o077 == 0
        (ways.secret / "replicationPassword").write_text("new")
        watched.look()
        assert path.read_text() == "*:*:*:replicator:new\n"
        assert [each.name for each in Path(ways.sockets).iterdir()] == ["passfile"]
        assert server.roles == []

    def test_a_file_that_is_right_is_left_alone(self, tmp_path: Path) -> None:
        assert keep_passfile(tmp_path / "passfile", "x")
        assert not keep_passfile(tmp_path / "passfile", "x")

    def test_a_secret_that_is_not_there(
        self, server: Server, ways: Ways, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (ways.secret / "password").unlink()
        watched = beside(server, ways)
        watched.look()
        assert isinstance(watched.known, Waiting)
        assert "the Secret's password cannot be read" in capsys.readouterr().out


def test_it_must_know_its_place() -> None:
    code, lines = run("witness")
    assert code == 2
    assert "MEMBER must be" in lines[0]
