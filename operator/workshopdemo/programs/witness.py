"""Beside each member of the bookshop's database: testifies that it kept its name and its data.

At each start of its server it writes a row into the table witness.ledger, through the Service, and
so into the primary; what it tells (GET /testimony) it reads from its own member's copy. It also
brings a changed password of the Secret to where it is needed: the primary's roles, and the file by
which a replica's server logs in.

The database may come and go as it likes: the witness goes on with whatever it can reach.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from workshopdemo.programs import env, pace
from workshopdemo.programs.database import DatabaseError
from workshopdemo.programs.postgresql import Address, Postgres, literal
from workshopdemo.programs.say import say
from workshopdemo.programs.testimony import (
    Entry,
    Known,
    Place,
    Testimony,
    Waiting,
    first_broken,
    serving,
    utc_second,
)

DATABASE: Final = "bookshop"
SOCKETS: Final = "/run/postgresql"
SECRET: Final = "/etc/database-secret"  # noqa: S105 (a directory)
PASSFILE: Final = "passfile"

_LOOK_SECONDS: Final = 2.0
_SOON_SECONDS: Final = 0.2
"""After an entry was written: it may still be on its way here."""

_PATIENCE_SECONDS: Final = 5.0
"""So long an answer may take. Longer, and what is told would be old."""

_PAUSES: Final = (2.0, 4.0, 8.0, 15.0)
"""Between tries to write an entry."""

_SCHEMA: Final = """
CREATE SCHEMA IF NOT EXISTS witness;
CREATE TABLE IF NOT EXISTS witness.ledger (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    member   text NOT NULL,
    pod      text NOT NULL,
    node     text NOT NULL,
    time     timestamptz NOT NULL,
    checksum text NOT NULL,
    -- Which start of which server this is: one that is tried again is still the same one.
    start    text NOT NULL UNIQUE
);
GRANT USAGE ON SCHEMA witness TO replicator;
GRANT SELECT ON witness.ledger TO replicator;
"""

_LEDGER: Final = (
    "SELECT member, pod, node, time, checksum, start FROM witness.ledger"
    " WHERE member = ? ORDER BY number"
)

_ABOUT: Final = """
SELECT
    CAST((SELECT system_identifier FROM pg_control_system()) AS text),
    pg_is_in_recovery(),
    CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000 AS bigint),
    to_regclass('witness.ledger') IS NOT NULL,
    (SELECT status FROM pg_stat_wal_receiver),
    CAST((
        SELECT pg_wal_lsn_diff(latest_end_lsn, pg_last_wal_replay_lsn()) FROM pg_stat_wal_receiver
    ) AS bigint)
"""


@dataclass(frozen=True)
class About:
    """What a member's own server says of itself."""

    identifier: str
    is_replica: bool
    started: int
    """Milliseconds since 1970."""

    has_ledger: bool
    receiver: str | None
    lag_bytes: int | None

    @property
    def is_streaming(self) -> bool:
        """Whether what happens at the primary arrives here."""
        return self.receiver == "streaming"


@dataclass(frozen=True)
class Ways:
    """How the databases are reached."""

    sockets: str
    """Directory of this member's own socket."""

    service: str
    """Name of the Service that leads to the primary."""

    secret: Path

    def own(self, user: str) -> Address:
        """This member's own copy."""
        return Address(user=user, database=DATABASE, host=self.sockets)

    def primary(self) -> Address:
        """The database that can be written."""
        password = self.password("password")
        return Address(user="bookshop", database=DATABASE, host=self.service, password=password)

    def password(self, name: str) -> str:
        """As the Secret has it now: the kubelet keeps the file up to date."""
        try:
            return (self.secret / name).read_text(encoding="utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DatabaseError(f"the Secret's {name} cannot be read: {error}") from error


Connect = Callable[[Address], Postgres]


def connect(address: Address) -> Postgres:
    """With little patience."""
    return Postgres(address, connect_seconds=_PATIENCE_SECONDS, answer_seconds=_PATIENCE_SECONDS)


class Witness:
    """Looks after one member."""

    def __init__(
        self,
        place: Place,
        ways: Ways,
        *,
        connect: Connect = connect,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nothing yet."""
        self._place = place
        self._ways = ways
        self._connect = connect
        self._clock = clock
        self._own: Postgres | None = None
        self._written = ""
        self._failures = 0
        self._due = 0.0
        self._passwords: tuple[str, str] | None = None
        self._said: dict[str, str] = {}
        self.known: Known = Waiting("this member's server does not answer yet")

    def look(self) -> float:
        """Do once all that is to be done; gives the seconds until it is to be done again."""
        try:
            about, entries, rows = self._read()
        except DatabaseError as error:
            self.close()
            self.known = Waiting(f"this member's server does not answer: {error}")
            self._say("own", f"My member's server does not answer: {error}.")
            return _LOOK_SECONDS
        start = f"{self._place.pod}/{about.started}"
        self._say("own", f"My member is a {_role(about)} of database {about.identifier}.")
        self.known = self._told(about, entries, rows)
        try:
            self._bring_passwords(about)
        except (DatabaseError, OSError) as error:
            self._say("passwords", f"A password could not be brought to its place: {error}.")
        if any(entry.mark == start for entry in entries):
            self._written = start
        if self._written != start and self._clock() >= self._due and self._write(start):
            return _SOON_SECONDS
        return _LOOK_SECONDS

    def close(self) -> None:
        """Leave the own server."""
        if self._own:
            self._own.close()
            self._own = None

    def _read(self) -> tuple[About, list[Entry], int]:
        # The replicator may read the ledger, and what tells of the replication, and no more.
        own = self._own = self._own or self._connect(self._ways.own("replicator"))
        about = About(*own.query(_ABOUT)[0])
        if not about.has_ledger:
            return about, [], 0
        [(rows,)] = own.query("SELECT count(*) FROM witness.ledger")
        return about, _entries(own, self._place.member), int(rows)

    def _told(self, about: About, entries: list[Entry], rows: int) -> Known:
        if not entries:
            return Waiting("the first entry of this member is not yet in its own copy")
        more: dict[str, Any] = {"role": _role(about)}
        remarks = [f"I am the {_role(about)}. The whole ledger has {rows} rows in my copy."]
        if about.is_replica:
            more["streaming"] = about.is_streaming
            if about.lag_bytes is not None:
                more["lagBytes"] = max(0, about.lag_bytes)
            remarks.append(
                f"I stream from the primary and am {more.get('lagBytes', 0)} bytes behind."
                if about.is_streaming
                else "I do NOT stream from the primary: what is new there does not arrive here."
            )
        return Testimony(
            place=self._place,
            scenario="Postgres",
            identifier=about.identifier,
            entries=entries,
            is_intact=first_broken(entries, self._place.member) is None,
            rows=rows,
            more=tuple(more.items()),
            remarks=tuple(remarks),
        )

    def _write(self, start: str) -> bool:
        """Write this start down; a start that may have been written is not written again."""
        try:
            with closing(self._connect(self._ways.primary())) as primary:
                entry = add_entry(primary, self._place, start)
        except DatabaseError as error:
            pause = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
            self._failures += 1
            self._due = self._clock() + pause
            self._say("ledger", f"My entry is not in the ledger yet: {error}. I try again.")
            return False
        self._written, self._failures = start, 0
        self._say("ledger", f"This start is entry {entry.number} of {entry.member} in the ledger.")
        return True

    def _bring_passwords(self, about: About) -> None:
        passwords = self._ways.password("password"), self._ways.password("replicationPassword")
        if about.is_replica:
            # It is in memory only, so each start of the Pod needs it anew.
            if keep_passfile(Path(self._ways.sockets) / PASSFILE, passwords[1]):
                self._say("passwords", "The replication's password is new: my server has it now.")
        elif passwords != self._passwords:
            with closing(self._connect(self._ways.own("postgres"))) as own:
                set_passwords(own, *passwords)
            if self._passwords:
                say("The Secret has changed: the roles bookshop and replicator have new passwords.")
            self._passwords = passwords

    def _say(self, about: str, what: str) -> None:
        """Say it once, until it changes."""
        if self._said.get(about) != what:
            self._said[about] = what
            say(what)


def _role(about: About) -> str:
    return "Replica" if about.is_replica else "Primary"


def _entries(database: Postgres, member: str) -> list[Entry]:
    return [
        Entry(
            number=number,
            member=member,
            pod=pod,
            node=node,
            time=_told_time(moment),
            mark=start,
            checksum=checksum,
        )
        for number, (member, pod, node, moment, checksum, start) in enumerate(
            database.query(_LEDGER, [member]), 1
        )
    ]


def _told_time(moment: object) -> str:
    # A year beyond Python's calendar, or 'infinity', comes as a text.
    return utc_second(moment) if isinstance(moment, datetime) else str(moment)


def add_entry(primary: Postgres, place: Place, start: str) -> Entry:
    """Write the entry of that start, unless it is there; gives the entry."""
    with primary.transaction():
        primary.script(_SCHEMA)
        entries = _entries(primary, place.member)
        for entry in entries:
            if entry.mark == start:
                return entry
        [(now,)] = primary.query("SELECT date_trunc('second', clock_timestamp())")
        entry = Entry(
            number=len(entries) + 1,
            member=place.member,
            pod=place.pod,
            node=place.node,
            time=_told_time(now),
            mark=start,
        ).sealed(entries[-1].checksum if entries else "")
        primary.insert(
            "INSERT INTO witness.ledger (member, pod, node, time, checksum, start)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(entry.member, entry.pod, entry.node, now, entry.checksum, start)],
        )
    return entry


def set_passwords(own: Postgres, password: str, replication_password: str) -> None:
    """Give the roles their passwords, which must not get into the server's log."""
    own.query("SET log_min_error_statement = panic")
    own.query("SET log_statement = none")
    own.query(f"ALTER ROLE bookshop PASSWORD {literal(password)}")
    own.query(f"ALTER ROLE replicator PASSWORD {literal(replication_password)}")


def keep_passfile(path: Path, password: str) -> bool:
    """Write libpq's file of passwords if it says something else; gives whether it did.

    The server reads it whenever it connects.
    """
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    content = f"*:*:*:replicator:{escaped}\n".encode()
    with suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return False
    # mkstemp makes it readable for its owner only; libpq refuses any other.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".passfile.")
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    Path(name).replace(path)
    return True


def main() -> int:
    """Look every other second, until SIGTERM, which is no failure."""
    pace.listen()
    try:
        place = Place.read()
        service = env.plain_name("DATABASE_HOST", default="")
        ways = Ways(
            sockets=env.text("SOCKET_DIRECTORY", SOCKETS),
            service=service,
            secret=Path(env.text("SECRET_DIRECTORY", SECRET)),
        )
        witness = Witness(place, ways)
        say(f"I am the witness of {place.member}, on node {place.node}, in Pod {place.pod}.")
        with serving(lambda: witness.known):
            while True:
                time.sleep(witness.look())
    except env.SettingError as error:
        say(str(error))
        return 2
    except OSError as error:
        say(f"The witness cannot go on: {error}. Exit code 1.")
        return 1
    except pace.StoppedError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
