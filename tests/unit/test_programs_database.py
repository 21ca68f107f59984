"""The programs that use the bookshop's database: as functions, and as their Pods run them."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from program_runs import SOURCE_ROOT, finish, run, start
from workshopdemo.programs import database_migration, nightly_report, shop
from workshopdemo.programs.database import DatabaseError, SQLite
from workshopdemo.programs.database_migration import (
    Migration,
    MigrationError,
    applied,
    load,
    migrate,
    pending,
)
from workshopdemo.programs.env import SettingError
from workshopdemo.programs.say import LINE_LENGTH
from workshopdemo.programs.table import aligned, money

LATEST = "The schema has version 5 (0005_daily_sales)."


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bookshop.db"


@pytest.fixture
def database(file: Path) -> Iterator[SQLite]:
    """Empty, and where the programs look for it."""
    database = SQLite(file)
    yield database
    database.close()


class TestSQLite:
    def test_statements_end_where_sqlite_says(self, database: SQLite) -> None:
        with database.transaction():
            database.script(
                "CREATE TABLE a (b TEXT); -- not; here\n"
                "INSERT INTO a VALUES ('x;y');\n"
                "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; SELECT 1; END;\n"
                "/* nor; here */ INSERT INTO a VALUES ('last')\n"
            )
        assert database.query("SELECT * FROM a") == []

    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("CREATE TABLE a (b TEXT); COMMIT; CREATE TABLE c (d TEXT);", "must not end"),
            ("CREATE TABLE a (b TEXT); INSERT INTO a VALUES ('x);", "middle of a statement"),
            ("CREATE TABL a (b TEXT);", "syntax error"),
        ],
    )
    def test_bad_scripts(self, database: SQLite, script: str, message: str) -> None:
        with pytest.raises(DatabaseError, match=message), database.transaction():
            database.script(script)

    def test_a_transaction_is_all_or_nothing(self, database: SQLite) -> None:
        with pytest.raises(KeyboardInterrupt):
            self.interrupted(database)
        assert database.tables() == []

    def interrupted(self, database: SQLite) -> None:
        with database.transaction():
            database.script("CREATE TABLE a (b TEXT);")
            raise KeyboardInterrupt

    def test_its_journal_is_safe_on_a_shared_volume(self, file: Path) -> None:
        with sqlite3.connect(file) as other:
            assert other.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
            other.execute("CREATE TABLE a (b TEXT)")
        other.close()
        database = SQLite(file)
        assert database.query("PRAGMA journal_mode") == [("delete",)]
        database.close()

    def test_no_database(self, file: Path) -> None:
        file.write_text("This is a text, and a long one.\n" * 100)
        with pytest.raises(DatabaseError, match=r"bookshop\.db: file is not a database"):
            SQLite(file)


class TestMigration:
    def test_twice(self, tmp_path: Path) -> None:
        code, lines = run("database_migration", DATA_DIR=str(tmp_path))
        assert code == 0, lines
        assert [line for line in lines if line.endswith(": applied.")] == [
            f"  {migration}: applied." for migration in load()
        ]
        assert lines[-1] == LATEST
        assert all(len(line) <= LINE_LENGTH for line in lines if "/" not in line)
        code, lines = run("database_migration", DATA_DIR=str(tmp_path))
        assert code == 0, lines
        assert lines[-2:] == ["Nothing to do: every migration was applied before.", LATEST]

    def test_what_the_schema_has(self, database: SQLite) -> None:
        migrate(database, load())
        assert set(database.tables()) == {
            "books",
            "customers",
            "order_lines",
            "orders",
            "schema_migrations",
        }
        assert database.query("SELECT * FROM daily_sales") == []
        plan = database.query("EXPLAIN QUERY PLAN SELECT * FROM orders WHERE ordered_on = ?", ["x"])
        assert "orders_by_day" in plan[0][3]
        times = database.query("SELECT applied_at FROM schema_migrations")
        assert all(time.endswith("+00:00") for (time,) in times)

    def test_four_at_once_apply_each_once(self, tmp_path: Path) -> None:
        processes = [start("database_migration", DATA_DIR=str(tmp_path)) for _ in range(4)]
        done = [finish(process) for process in processes]
        assert [code for code, _ in done] == [0] * 4, done
        said = [line for _, lines in done for line in lines if line.endswith(": applied.")]
        assert sorted(said) == [f"  {migration}: applied." for migration in load()]
        assert all(lines[-1] == LATEST for _, lines in done)

    def test_a_second_one_waits_and_then_has_nothing_to_do(
        self, database: SQLite, tmp_path: Path
    ) -> None:
        with database.transaction():
            waiting = start("database_migration", DATA_DIR=str(tmp_path))
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.4)
            database.script(database_migration._CREATE_LEDGER)
        code, lines = finish(waiting)
        assert (code, lines[-1]) == (0, LATEST)

    def test_a_changed_migration_is_named(self, database: SQLite, tmp_path: Path) -> None:
        migrate(database, load())
        database.query("UPDATE schema_migrations SET checksum = 'abc' WHERE version = 3")
        code, lines = run("database_migration", DATA_DIR=str(tmp_path))
        assert code == 1
        assert "0003_orders was changed after it was applied" in " ".join(lines)

    def test_a_newer_schema_is_named(self, database: SQLite) -> None:
        migrations = load()
        migrate(database, migrations)
        with pytest.raises(MigrationError, match="0005_daily_sales, which this image does not"):
            pending(database, migrations[:-1])

    def test_a_failing_migration_leaves_the_schema_as_it_was(self, database: SQLite) -> None:
        good, *_ = load()
        bad = Migration(2, "bad", "CREATE TABLE half (a TEXT);\nINSERT INTO nowhere VALUES (1);")
        with pytest.raises(MigrationError, match="0002_bad: no such table: nowhere; the schema is"):
            migrate(database, [good, bad])
        assert database.tables() == ["books", "schema_migrations"]
        assert list(applied(database)) == [1]
        fixed = Migration(2, "bad", "CREATE TABLE half (a TEXT);")
        migrate(database, [good, fixed])
        assert list(applied(database)) == [1, 2]

    def test_killed_in_the_middle(self, tmp_path: Path, file: Path) -> None:
        """More is written than memory caches, so that the file holds half a migration."""
        (tmp_path / "0001_first.sql").write_text("CREATE TABLE a (b TEXT);")
        (tmp_path / "0002_big.sql").write_text(
            "CREATE TABLE half (a BLOB);\n"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)\n"
            "INSERT INTO half SELECT randomblob(1000) FROM n;\n"
            "SELECT die();"
        )
        program = (
            "import os, signal, sys; from pathlib import Path\n"
            "from workshopdemo.programs import database, database_migration as program\n"
            "base = Path(sys.argv[1]); shop = database.SQLite(base / 'bookshop.db')\n"
            "shop._connection.create_function('die', 0, lambda: os.kill(os.getpid(), 9))\n"
            "program.migrate(shop, program.load(base))\n"
        )
        killed = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            env={"PYTHONPATH": str(SOURCE_ROOT)},
            check=False,
            timeout=30,
        )
        assert killed.returncode == -signal.SIGKILL
        assert file.stat().st_size > 1_000_000
        assert file.with_name("bookshop.db-journal").exists()
        database = SQLite(file)
        assert database.tables() == ["a", "schema_migrations"]
        assert list(applied(database)) == [1]
        assert database.query("PRAGMA integrity_check") == [("ok",)]
        database.close()

    @pytest.mark.parametrize("name", ["0002_x.sql", "1_x.sql", "0001-x.sql"])
    def test_wrong_names_of_files(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).touch()
        with pytest.raises(MigrationError, match=f"{name}: expected a name like 0001_"):
            load(tmp_path)

    def test_no_volume(self, tmp_path: Path) -> None:
        code, lines = run("database_migration", DATA_DIR=str(tmp_path / "none"))
        assert code == 2
        assert "is a volume mounted?" in " ".join(lines)

    def test_another_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DATABASE_URL", "postgresql://db/bookshop")
        with pytest.raises(SettingError, match="know SQLite only"):
            database_migration.connect()

    def test_a_database_that_cannot_be_opened(self, tmp_path: Path) -> None:
        """What SQLite says is passed on, not a traceback."""
        (tmp_path / "bookshop.db").mkdir()
        code, lines = run("database_migration", DATA_DIR=str(tmp_path))
        assert code == 1
        assert "unable to open database file" in " ".join(lines)
        assert "Traceback" not in " ".join(lines)


NIGHT = datetime(2020, 11, 21, 2, 0, tzinfo=UTC)


class TestNightlyReport:
    def test_of_an_empty_volume(self, tmp_path: Path) -> None:
        code, lines = run("nightly_report", DATA_DIR=str(tmp_path))
        assert code == 0, lines
        assert "The database has no schema yet: applying the missing migrations first." in lines
        assert (
            "The shop is a played one: it has now sold on 7 day(s) that had no orders yet." in lines
        )
        assert lines[-1].startswith("Report is done: ")

    def test_again(self, database: SQLite, capsys: pytest.CaptureFixture[str]) -> None:
        nightly_report.report(database, NIGHT)
        first = capsys.readouterr().out.partition("Sales of Friday, 2020-11-20:\n")[2]
        nightly_report.report(database, NIGHT)
        again = capsys.readouterr().out
        assert again == f"Sales of Friday, 2020-11-20:\n{first}"

    def test_the_next_night_sells_one_day_more(
        self, database: SQLite, capsys: pytest.CaptureFixture[str]
    ) -> None:
        nightly_report.report(database, NIGHT)
        capsys.readouterr()
        nightly_report.report(database, NIGHT + timedelta(days=1))
        lines = capsys.readouterr().out.splitlines()
        assert "sold on 1 day(s)" in lines[0]
        assert lines[1] == "Sales of Saturday, 2020-11-21:"
        days = database.query("SELECT COUNT(DISTINCT ordered_on) FROM orders")
        assert days == [(shop.DAYS_BACK + 1,)]

    def test_a_day_is_the_same_on_every_volume(self, tmp_path: Path, database: SQLite) -> None:
        other = SQLite(tmp_path / "other.db")
        for each, day in ((database, NIGHT.date()), (other, NIGHT.date() - timedelta(days=2))):
            migrate(each, load())
            shop.sell_until(each, day)
        shop.sell_until(other, NIGHT.date())
        sql = "SELECT * FROM daily_sales WHERE day > '2020-11-15' ORDER BY day, title"
        assert database.query(sql) == other.query(sql) != []
        other.close()

    def test_two_at_once_sell_once(self, tmp_path: Path, database: SQLite) -> None:
        done = [
            finish(each) for each in [start("nightly_report", DATA_DIR=str(tmp_path)) for _ in "ab"]
        ]
        assert [code for code, _ in done] == [0, 0], done
        assert done[0][1][-1] == done[1][1][-1]
        assert database.query("SELECT COUNT(DISTINCT ordered_on) FROM orders") == [
            (shop.DAYS_BACK,)
        ]

    def test_table_lines_up(self, database: SQLite, capsys: pytest.CaptureFixture[str]) -> None:
        nightly_report.report(database, NIGHT)
        _, _, table = capsys.readouterr().out.partition("Sales of ")
        _, head, rule, *rows, last = table.splitlines()
        assert {len(line) for line in (head, rule, *rows)} == {len(rule)}
        *books, second_rule, total = (row.split() for row in rows)
        assert second_rule == rule.split()
        assert total[0] == "total"
        assert sum(int(row[-2]) for row in books) == int(total[1])
        assert f"{int(total[1])} books, {total[2]}." in last

    @pytest.mark.parametrize(
        ("zone", "day"),
        [
            ("", "2020-11-20"),
            ("Pacific/Kiritimati", "2020-11-21"),
            ("America/New_York", "2020-11-20"),
        ],
    )
    def test_yesterday_depends_on_the_place(
        self,
        zone: str,
        day: str,
        database: SQLite,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("TZ", zone)
        noon = NIGHT.replace(hour=12)
        nightly_report.report(database, noon.astimezone(nightly_report.time_zone()))
        assert f", {day}:\n" in capsys.readouterr().out

    @pytest.mark.parametrize("zone", ["Europe/Atlantis", "/etc/passwd", "../x", "Europe"])
    def test_unknown_zone(self, zone: str, tmp_path: Path) -> None:
        code, lines = run("nightly_report", DATA_DIR=str(tmp_path), TZ=zone)
        assert code == 2
        assert lines == [f"TZ must be a time zone like Europe/Berlin; it is {zone!r}."]


def test_numbers_and_texts_in_a_table() -> None:
    assert list(aligned(("a", "long"), [("x", 1), ("yy", 1234)], ("sum", 1235))) == [
        "  a     long",
        "  ---  -----",
        "  x        1",
        "  yy   1,234",
        "  ---  -----",
        "  sum  1,235",
    ]
    assert [money(cents) for cents in (0, 5, 199, 123456789)] == [
        "0.00",
        "0.05",
        "1.99",
        "1,234,567.89",
    ]
