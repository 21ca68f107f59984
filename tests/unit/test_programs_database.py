"""The programs that use the bookshop's database: as functions, and as their Pods run them."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from program_runs import SOURCE_ROOT, finish, run, start
from workshopdemo.programs import database_backup, database_migration, nightly_report, shop
from workshopdemo.programs.database import DatabaseError, SQLite
from workshopdemo.programs.database_migration import (
    Migration,
    MigrationError,
    applied,
    load,
    migrate,
    pending,
)
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

    def test_one_that_was_overtaken_applies_nothing_twice(
        self,
        database: SQLite,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Another run does it all after this one has looked what there is to do."""

        def overtaken(database: SQLite, migrations: list[Migration]) -> list[Migration]:
            todo = pending(database, migrations)
            monkeypatch.undo()
            with closing(SQLite(file)) as other:
                migrate(other, migrations)
            return todo

        monkeypatch.setattr(database_migration, "pending", overtaken)
        migrate(database, load())
        said = capsys.readouterr().out.splitlines()
        assert [line.partition(": ")[2] for line in said] == [
            *["applied."] * len(load()),
            *["another run has just applied it."] * len(load()),
        ]

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

    def test_a_kind_that_nobody_knows(self, tmp_path: Path) -> None:
        url = "mysql://somebody:a-password@db/bookshop"
        code, lines = run("database_migration", DATA_DIR=str(tmp_path), DATABASE_URL=url)
        assert code == 2
        said = " ".join(lines)
        assert "DATABASE_URL must look like postgresql://user@host:5432/database" in said
        assert "a-password" not in said
        assert not list(tmp_path.iterdir())

    def test_who_works_with_a_file_does_not_load_the_driver(self, tmp_path: Path) -> None:
        script = (
            "import sys; from workshopdemo.programs import nightly_report; nightly_report.main(); "
            "sys.exit('pg8000' in sys.modules)"
        )
        env = {"PYTHONPATH": str(SOURCE_ROOT), "DATA_DIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True)

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
    def test_unknown_zone(
        self, zone: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("TZ", zone)
        assert nightly_report.main() == 2
        expected = f"TZ must be a time zone like Europe/Berlin; it is {zone!r}.\n"
        assert capsys.readouterr().out == expected


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


class TestBackup:
    @pytest.fixture
    def shop_database(self, database: SQLite) -> SQLite:
        migrate(database, load())
        shop.sell_until(database, NIGHT.date())
        return database

    @pytest.fixture
    def backups(self, tmp_path: Path) -> Path:
        return tmp_path / "backups"

    def test_of_an_empty_volume(self, tmp_path: Path, backups: Path) -> None:
        code, lines = run("database_backup", DATA_DIR=str(tmp_path))
        assert code == 0, lines
        assert "The database has no schema yet: applying the missing migrations first." in lines
        [path] = backups.iterdir()
        assert re.fullmatch(r"bookshop-\d{8}T\d{6}Z\.db", path.name)
        assert lines[-1] == f"Backup is done: {path.name}."

    def test_it_is_the_whole_database(self, shop_database: SQLite, backups: Path) -> None:
        path = database_backup.back_up(shop_database, backups, NIGHT)
        assert path.name == "bookshop-20201121T020000Z.db"
        copy = SQLite(path)
        for table in (*shop_database.tables(), "daily_sales"):
            sql = f"SELECT * FROM {table} ORDER BY 1, 2"
            assert copy.query(sql) == shop_database.query(sql) != []
        copy.close()

    def test_while_the_shop_sells(self, shop_database: SQLite, tmp_path: Path) -> None:
        """A half-made sale is not in it, and does not stop it."""
        with shop_database.transaction():
            shop_database.script("DELETE FROM order_lines;")
            code, lines = run("database_backup", DATA_DIR=str(tmp_path))
        assert code == 0, lines
        [sold] = [line.split() for line in lines if line.startswith("  order_lines")]
        assert sold[1] == sold[2] != "0"

    def test_keeps_the_newest(self, tmp_path: Path, backups: Path) -> None:
        backups.mkdir()
        names = [f"bookshop-2020112{day}T020000Z.db" for day in range(5)]
        for name in (*names, "notes.txt"):
            (backups / name).touch()
        code, lines = run("database_backup", DATA_DIR=str(tmp_path), KEEP="2")
        assert code == 0, lines
        left = sorted(path.name for path in backups.iterdir())
        assert left[:1] == names[-1:]
        assert len(left) == 3
        assert f"Removed {names[0]}: the newest 2 are kept." in lines

    @pytest.mark.parametrize("damage", ["page", "index", "header", "cut", "empty", "row"])
    def test_damage_is_found(
        self, damage: str, shop_database: SQLite, backups: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever is wrong with a backup, it gets no name and the older ones stay."""
        good = database_backup.back_up(shop_database, backups, NIGHT)
        dump = shop_database.dump

        def damaged(path: Path) -> Mapping[str, int]:
            counts = dump(path)
            spoil(path, damage)
            return counts

        monkeypatch.setattr(shop_database, "dump", damaged)
        with pytest.raises(database_backup.BackupError):
            database_backup.back_up(shop_database, backups, NIGHT + timedelta(days=1))
        assert list(backups.iterdir()) == [good]

    def test_full_disk(self, shop_database: SQLite, backups: Path) -> None:
        """A process that may not write files of that size stands for a volume that is full."""
        assert (backups.parent / "bookshop.db").stat().st_size > 8192
        program = (
            "import resource, signal, sys; from workshopdemo.programs import database_backup\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
            "sys.exit(database_backup.main())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(SOURCE_ROOT), "DATA_DIR": str(backups.parent)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 1, done.stderr
        assert "\nBackup failed:" in done.stdout
        assert list(backups.iterdir()) == []

    def test_killed_in_the_middle(self, tmp_path: Path, backups: Path) -> None:
        program = (
            "import os; from workshopdemo.programs import database_backup\n"
            "database_backup.try_restore = lambda *_: os.kill(os.getpid(), 9)\n"
            "database_backup.main()\n"
        )
        killed = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(SOURCE_ROOT), "DATA_DIR": str(tmp_path)},
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert killed.returncode == -signal.SIGKILL
        [half] = backups.iterdir()
        assert half.name.startswith(".bookshop-")
        assert half.name.endswith(".half")
        assert list(backups.glob("bookshop-*")) == []
        os.utime(half, (0, 0))
        code, lines = run("database_backup", DATA_DIR=str(tmp_path))
        assert code == 0
        assert "Removed what 1 earlier backup(s) left that were cut short." in lines
        assert not half.exists()

    @pytest.mark.parametrize("keep", ["0", "-1", "all"])
    def test_nonsense(
        self, keep: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("KEEP", keep)
        assert database_backup.main() == 2
        expected = f"KEEP must be a whole number, 1 or more; it is {keep!r}.\n"
        assert capsys.readouterr().out == expected


def spoil(path: Path, damage: str) -> None:
    """What disks and people do to files."""
    content = bytearray(path.read_bytes())
    match damage:
        case "page":
            content[4096 * 3 : 4096 * 4] = b"\xff" * 4096
        case "index":
            # An entry of orders_by_day that no order has: counting rows does not show it.
            with closing(SQLite(path)) as copy:
                sql = "SELECT rootpage FROM sqlite_master WHERE name = 'orders_by_day'"
                [(page,)] = copy.query(sql)
            place = content.index(b"2020-11-", 4096 * (page - 1), 4096 * page)
            content[place : place + 4] = b"2019"
        case "header":
            content[:16] = b"SQLite formal 3\0"
        case "cut":
            content = content[: len(content) // 2]
        case "empty":
            content.clear()
    path.write_bytes(content)
    if damage == "row":
        copy = SQLite(path)
        copy.query("DELETE FROM order_lines WHERE rowid = 1")
        copy.close()


class TestMigrationFirst:
    """All of a demo starts at the same moment, and the migration is to be the migration's."""

    def test_others_wait_for_it(self, database: SQLite, monkeypatch, capsys) -> None:
        monkeypatch.setenv(database_migration.MIGRATION_WAIT, "30")
        naps = []

        def nap(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                migrate(database, load())

        # Not the module's own sleep: threads that other tests have left would count too.
        monkeypatch.setattr(database_migration, "time", SimpleNamespace(sleep=nap))
        database_migration.ensure_schema(database)
        assert len(naps) == 3
        assert "I wait for the migration, 30 s at most" in capsys.readouterr().out

    def test_and_do_without_it_in_the_end(self, database: SQLite, monkeypatch) -> None:
        monkeypatch.setenv(database_migration.MIGRATION_WAIT, "2")
        monkeypatch.setattr(database_migration, "time", SimpleNamespace(sleep=lambda _: None))
        database_migration.ensure_schema(database)
        assert not pending(database, load())
