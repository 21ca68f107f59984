"""Back up the bookshop's database to its volume, and prove that the backup can be restored.

A backup gets its name only after a restore of it has worked, and old ones are removed only after
that: whatever goes wrong, the newest file in the directory is one that can be relied on. KEEP says
how many stay (3).

(A real shop keeps its backups on another disk than the database. One volume is enough to learn on.)

A database on a server is backed up by postgres/backup.sh, in the image that has the server's tools.
"""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from workshopdemo.programs import env
from workshopdemo.programs.database import DatabaseError, SQLite, open_file, row_counts
from workshopdemo.programs.database_migration import MigrationError, ensure_schema
from workshopdemo.programs.files import remove_left_overs, written_whole
from workshopdemo.programs.say import say
from workshopdemo.programs.table import say_table

DIRECTORY: Final = "backups"
_NAME: Final = "bookshop-"


class BackupError(Exception):
    """The backup is no good; the text says why."""


def back_up(database: SQLite, directory: Path, now: datetime) -> Path:
    """Write a backup, try a restore of it, and only then give it its name."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{_NAME}{now:%Y%m%dT%H%M%SZ}{database.dump_suffix}"
    with written_whole(path) as half:
        counts = database.dump(half)
        say(f"Copied {sum(counts.values()):,} rows into {half.stat().st_size:,} bytes.")
        say("A backup that nobody has restored is only a hope. Restoring it to a scratch place ...")
        try_restore(database, half, counts)
    say(f"The backup is good. From now on it is {path}.")
    return path


def try_restore(database: SQLite, path: Path, counts: Mapping[str, int]) -> None:
    """Restore it somewhere else, and compare with what the database held at that moment."""
    try:
        with database.restored(path) as copy:
            restored = row_counts(copy)
    except (DatabaseError, OSError) as error:
        raise BackupError(f"the backup cannot be restored: {error}") from error
    say_table(
        ("table", "rows", "restored"),
        [
            (name, counts.get(name, 0), restored.get(name, 0))
            for name in sorted({*counts, *restored})
        ],
    )
    if restored != counts:
        raise BackupError("what was restored is not what was backed up")


def remove_old(directory: Path, suffix: str, keep: int) -> list[Path]:
    """Remove all but the newest; a name holds its time, so the names' order is the times'."""
    backups = sorted(directory.glob(f"{_NAME}*{suffix}"))
    old = backups[: max(0, len(backups) - keep)]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def main() -> int:
    """One backup."""
    try:
        keep = env.whole_number("KEEP", default=3, at_least=1)
        directory = env.data_directory() / DIRECTORY
        say("Backing up the bookshop's database, while the shop stays open.")
        with open_file() as database:
            say(f"Database: {database.label}.")
            ensure_schema(database)
            path = back_up(database, directory, datetime.now(UTC))
            for old in remove_old(directory, database.dump_suffix, keep):
                say(f"Removed {old.name}: the newest {keep} are kept.")
        if count := remove_left_overs(directory):
            say(f"Removed what {count} earlier backup(s) left that were cut short.")
    except env.SettingError as error:
        say(str(error))
        return 2
    except (BackupError, DatabaseError, MigrationError, OSError) as error:
        say("Only a backup that was restored gets its name: what is there of before is good.")
        say(f"Backup failed: {error}. Exit code 1.")
        return 1
    say(f"Backup is done: {path.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
