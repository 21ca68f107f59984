"""The shell scripts of the database's Pods: what of them needs no server."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from program_runs import SOURCE_ROOT

SCRIPTS = SOURCE_ROOT / "workshopdemo" / "programs" / "postgres"
SHELL = shutil.which("dash") or shutil.which("sh") or "sh"
"""dash is what the image has; a script that it runs is none that only bash understands."""


def sh(script: str, *args: str, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        [SHELL, str(SCRIPTS / script), *args],
        env={"PATH": os.environ["PATH"], **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


def functions(script: str) -> str:
    """The script without what it does at its end."""
    text = (SCRIPTS / script).read_text()
    for end in ("\nmain\n", "\ntrap stop TERM INT\n"):
        text = text.partition(end)[0]
    return text


def call(script: str, code: str, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        [SHELL, "-c", f"{functions(script)}\n{code}"],
        env={"PATH": os.environ["PATH"], **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("script", ["start.sh", "backup.sh"])
class TestScripts:
    def test_the_shell_understands_it(self, script: str) -> None:
        subprocess.run([SHELL, "-n", str(SCRIPTS / script)], check=True)

    def test_it_fits_a_terminal_and_a_config_map(self, script: str) -> None:
        text = (SCRIPTS / script).read_text()
        assert all(len(line.expandtabs(4)) <= 100 for line in text.splitlines())
        assert text.isascii()
        assert len(text) < 20_000

    def test_it_uses_nothing_that_the_image_lacks(self, script: str) -> None:
        text = (SCRIPTS / script).read_text()
        for program in ("awk", "perl", "bash", "diff", "cmp", "pkill", "getopt", "flock"):
            assert f" {program} " not in text


@pytest.fixture
def member(tmp_path: Path) -> dict[str, str]:
    """The environment of a member, with stand-ins for PostgreSQL's programs first on its PATH."""
    for name in ("secret", "sockets", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "password").write_text("one")
    (tmp_path / "secret" / "replicationPassword").write_text("a:b\\c\n")
    return {
        "PGDATA": str(tmp_path / "pgdata"),
        "MEMBER": "shop-database-1",
        "PRIMARY_HOST": "shop-database-0.shop-database-members",
        "SECRET_DIRECTORY": str(tmp_path / "secret"),
        "SOCKET_DIRECTORY": str(tmp_path / "sockets"),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    }


def stand_in(member: dict[str, str], name: str, script: str) -> None:
    path = Path(member["PATH"].partition(":")[0]) / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def segment(member: dict[str, str], name: str, says: str) -> None:
    """A file with WAL, whose first page says where it belongs."""
    path = Path(member["PGDATA"]) / "pg_wal" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * 8 + bytes.fromhex(says)[::-1])


class TestStart:
    @pytest.mark.parametrize("name", ["shop-database", "", "shop-database-x"])
    def test_a_member_needs_a_number(self, member: dict[str, str], name: str) -> None:
        code, said = sh("start.sh", **{**member, "MEMBER": name or "x"})
        assert code == 2
        assert "MEMBER must end in a number" in said

    def test_a_secret_that_is_not_whole(self, member: dict[str, str]) -> None:
        (Path(member["SECRET_DIRECTORY"]) / "password").write_text("")
        code, said = sh("start.sh", **member)
        assert code == 1
        assert "password is missing or empty: is the Secret complete? Exit code 1." in said

    def test_the_file_of_passwords(self, member: dict[str, str]) -> None:
        code, said = call("start.sh", "write_passfile", **member)
        assert (code, said) == (0, "")
        path = Path(member["SOCKET_DIRECTORY"]) / "passfile"
        # The very bytes that the witness writes: else it would write it anew each time.
        assert path.read_text() == "*:*:*:replicator:a\\:b\\\\c\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_the_newest_wal(self, member: dict[str, str]) -> None:
        stand_in(member, "pg_controldata", "echo 'Bytes per WAL segment:                4194304'")
        segment(member, "000000010000000000000001", "0000000000400000")
        segment(member, "0000000100000000000000FF", "000000003fc00000")
        segment(member, "000000010000000100000000", "0000000100000000")
        # Renamed for later use: it still says what it was before.
        segment(member, "000000010000000100000001", "0000000000400000")
        segment(member, "0000000100000001000000FE", "0000000000000000")
        (Path(member["PGDATA"]) / "pg_wal" / "archive_status").mkdir()
        code, said = call("start.sh", "newest_wal", **member)
        assert (code, said) == (0, "000000010000000100000000\n")

    def test_a_clone_that_is_whole_takes_the_place_of_the_data(
        self, member: dict[str, str]
    ) -> None:
        data = Path(member["PGDATA"])
        for path in (data, Path(f"{data}.cloned")):
            path.mkdir()
            (path / "PG_VERSION").write_text(path.name)
        assert call("start.sh", "move_clone_into_place", **member) == (0, "")
        assert (data / "PG_VERSION").read_text() == "pgdata.cloned"
        assert call("start.sh", "move_clone_into_place", **member) == (0, "")
        assert data.is_dir()

    def test_data_of_another_database_is_not_touched(self, member: dict[str, str]) -> None:
        data = Path(member["PGDATA"])
        data.mkdir()
        stand_in(member, "pg_isready", "exit 0")
        stand_in(member, "psql", "echo '222|1|0/3000060|'")
        stand_in(member, "pg_controldata", "echo 'Database system identifier:  111'")
        code, said = sh("start.sh", **member)
        assert code == 42
        assert "of database 111, the primary's is 222." in said
        assert "kubectl delete pvc data-shop-database-1 --wait=false" in said
        assert said.splitlines()[-1].endswith("Exit code 42.")
        assert list(data.iterdir()) == []

    @pytest.mark.parametrize(
        ("answer", "code", "says"),
        [("behind", 42, "newer than the primary's"), ("gone", 0, "has to be made anew")],
    )
    def test_data_that_cannot_be_continued(
        self, member: dict[str, str], answer: str, code: int, says: str
    ) -> None:
        stand_in(member, "pg_isready", "exit 0")
        stand_in(
            member,
            "psql",
            f'case "$*" in *IDENTIFY_SYSTEM*) echo "111|1|" ;; *) echo {answer} ;; esac',
        )
        stand_in(member, "pg_controldata", "echo 'Database system identifier:  111'")
        segment(member, "000000010000000000000001", "0000000000400000")
        made_anew = "clone() { say CLONED; }\n"
        done, said = call("start.sh", f"{made_anew} check_data", **member)
        assert done == code
        assert says in said
        assert ("CLONED" in said) == (code == 0)

    def test_a_clone_that_breaks_off_is_tried_again(self, member: dict[str, str]) -> None:
        data = Path(member["PGDATA"])
        stand_in(member, "pg_isready", "exit 0")
        stand_in(
            member,
            "pg_basebackup",
            f'mkdir "{data}.cloning" || exit 9\n'
            f'[ -e "{data}.again" ] || {{ : >"{data}.again"; exit 1; }}',
        )
        code, said = call("start.sh", "pause() { :; }\nclone", **member)
        assert code == 0
        assert "That was not a whole clone" in said
        assert (data / "standby.signal").exists()
        assert sorted(path.name for path in data.parent.glob("pgdata*")) == [
            "pgdata",
            "pgdata.again",
        ]


class TestBackup:
    @pytest.mark.parametrize("args", [(), ("other",)])
    def test_it_has_two_steps(self, args: tuple[str, ...]) -> None:
        code, said = sh("backup.sh", *args)
        assert (code, said) == (2, "Say one step of the backup: dump, restore.\n")

    @pytest.mark.parametrize("keep", ["0", "x", "-1"])
    def test_how_many_are_kept(self, keep: str) -> None:
        code, said = sh("backup.sh", "dump", KEEP=keep)
        assert code == 2
        assert "KEEP must be a whole number, 1 or more" in said

    def test_only_older_ones_are_removed(self, tmp_path: Path) -> None:
        (tmp_path / "database-backups").mkdir()
        names = [f"bookshop-2026112{day}T020000Z.dump" for day in range(5)]
        others = [
            "bookshop-20200101T020000Z.db",
            ".bookshop-20200101T020000Z.dump.x.half",
            "a.dump",
        ]
        for name in [*names, *others]:
            (tmp_path / "database-backups" / name).touch()
        code, said = call("backup.sh", "remove_old", DATA_DIR=str(tmp_path), KEEP="2")
        assert code == 0
        assert said.splitlines() == [
            f"Removed {name}: the newest 2 are kept." for name in names[:3]
        ]
        assert {path.name for path in (tmp_path / "database-backups").iterdir()} == {
            *names[3:],
            *others,
        }

    def test_a_restore_without_a_dump(self, tmp_path: Path) -> None:
        code, said = sh("backup.sh", "restore", WORKSPACE=str(tmp_path), DATA_DIR=str(tmp_path))
        assert code == 1
        assert said.splitlines()[-1] == (
            "Backup failed: there is no dump here, so the step dump has to run first. Exit code 1."
        )

    def test_what_is_empty_gets_no_name(self, tmp_path: Path) -> None:
        directory = tmp_path / "database-backups"
        directory.mkdir()
        half = directory / ".bookshop-x.dump.half"
        for path, text in ((half, ""), (tmp_path / "half", f"{half}\n")):
            path.write_text(text)
        (tmp_path / "name").write_text("bookshop-x.dump\n")
        (tmp_path / "counts").touch()
        code, said = sh("backup.sh", "restore", WORKSPACE=str(tmp_path), DATA_DIR=str(tmp_path))
        assert code == 0
        assert "nothing to back up" in said
        assert list(directory.iterdir()) == []

    def test_the_table_shows_what_is_missing(self, tmp_path: Path) -> None:
        was, restored = tmp_path / "was", tmp_path / "is"
        was.write_text("books\t8\norders\t1000\n")
        restored.write_text("books\t8\n")
        code, said = call("backup.sh", f'say_counts "{was}" "{restored}"; total "{was}"')
        assert code == 0
        assert [line.split() for line in said.splitlines()[2:]] == [
            ["books", "8", "8"],
            ["orders", "1000", "0"],
            ["1008"],
        ]
