"""A diary: at each start its Pod writes who it is on its volume, and whoever asks is shown it.

The file diary.jsonl has an entry a line, and is only ever added to. A crash in the middle of a line
leaves a torn one: the next entry tells how long it is. A file that is damaged in any other way is
shown as it is, and left as it is.
"""

import json
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from workshopdemo.programs import env, pace
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

_FILE: Final = "diary.jsonl"


@dataclass(frozen=True)
class Line:
    """An entry as it stands in the file."""

    entry: Entry
    identifier: str
    """Of the whole diary."""

    torn: int
    """How long the torn line before it is; 0 if there is none."""

    @classmethod
    def parsed(cls, text: bytes) -> "Line | None":
        """None if it is no entry."""
        try:
            told = json.loads(text)
            identifier, torn = str(told["identifier"]), int(told["torn"])
            entry = Entry(
                number=int(told["number"]),
                mark=_mark(identifier, torn),
                **{name: str(told[name]) for name in ("member", "pod", "node", "time", "checksum")},
            )
        except (ValueError, LookupError, TypeError):
            return None
        return cls(entry, identifier, torn)

    def __bytes__(self) -> bytes:
        entry = {name: value for name, value in vars(self.entry).items() if name != "mark"}
        told = {"identifier": self.identifier, "torn": self.torn, **entry}
        return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def _mark(identifier: str, torn: int) -> str:
    return f"{identifier} torn {torn}" if torn else identifier


@dataclass(frozen=True)
class Pages:
    """The whole file as it is."""

    lines: tuple[Line, ...]
    problem: str
    """What is wrong with it; nothing if all holds."""

    rest: int
    """Bytes at its end that are no whole line."""

    @property
    def entries(self) -> list[Entry]:
        """One a start."""
        return [line.entry for line in self.lines]

    @property
    def identifier(self) -> str:
        """Chosen when the first entry was written; empty if there is none."""
        return self.lines[0].identifier if self.lines else ""

    @property
    def torn(self) -> int:
        """How many lines were cut short and came to light at the next start."""
        return sum(line.torn > 0 for line in self.lines)


def read(content: bytes, member: str) -> Pages:
    """What the file says, and whether it holds together."""
    *texts, rest = content.split(b"\n")
    lines, problem = _parsed(texts)
    if not problem:
        broken = first_broken([line.entry for line in lines], member)
        if broken:
            problem = f"entry {broken.number} is not what {member} has written there"
        elif len({line.identifier for line in lines}) > 1:
            problem = "it has entries of two diaries"
    return Pages(tuple(lines), problem, len(rest))


def _parsed(texts: Sequence[bytes]) -> tuple[list[Line], str]:
    """All entries, and the first problem."""
    lines, problem = [], ""
    parsed = [Line.parsed(text) for text in texts]
    for number, (text, line) in enumerate(zip(texts, parsed, strict=True), 1):
        after = parsed[number] if number < len(parsed) else None
        # The checksum of an entry vouches for what it says of the line before. That one may even
        # look whole: it was never said to be on the disk.
        if after and after.torn and after.torn == len(text):
            continue
        if line is None:
            problem = problem or f"line {number} is not an entry"
        else:
            lines.append(line)
    return lines, problem


class Diary:
    """The file of one member."""

    def __init__(self, directory: Path, place: Place) -> None:
        self.path = directory / _FILE
        self._place = place
        self._written: Entry | None = None

    def read(self) -> Pages:
        """As it is now."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        return read(content, self._place.member)

    def write(self, now: datetime) -> Pages:
        """Add an entry of this start, unless the file is damaged; gives what was there before."""
        before = self.read()
        if not before.problem:
            line = self._next(before, now)
            self._append(before, line)
            self._written = line.entry
        return before

    def _next(self, before: Pages, now: datetime) -> Line:
        identifier = before.identifier or secrets.token_hex(8)
        entry = Entry(
            number=len(before.lines) + 1,
            member=self._place.member,
            pod=self._place.pod,
            node=self._place.node,
            time=utc_second(now),
            mark=_mark(identifier, before.rest),
        )
        previous = before.lines[-1].entry.checksum if before.lines else ""
        return Line(entry.sealed(previous), identifier, before.rest)

    def _append(self, before: Pages, line: Line) -> None:
        """Returns when it is on the disk."""
        content = (b"\n" if before.rest else b"") + bytes(line)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(self.path, flags, 0o640)
        try:
            while content:
                content = content[os.write(descriptor, content) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        # Else the file's name may be gone after a crash.
        directory = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def testimony(self) -> Known:
        """What the file says now, and not what was once read."""
        try:
            pages = self.read()
        except OSError as error:
            return Waiting(f"the diary cannot be read: {error.strerror or error}")
        if self._written and self._written not in pages.entries and not pages.problem:
            pages = replace(pages, problem="what I wrote at this start is no longer there")
        return Testimony(
            place=self._place,
            scenario="Diary",
            identifier=pages.identifier,
            entries=pages.entries,
            is_intact=not pages.problem,
            rows=len(pages.lines),
            remarks=tuple(self.remarks(pages)),
        )

    def remarks(self, pages: Pages) -> list[str]:
        """What is to be said about it, if anything is."""
        remarks = []
        if pages.problem:
            remarks.append(f"{self.path} is damaged: {pages.problem}. I leave it as it is.")
        if pages.problem and not self._written:
            remarks.append("So this start of mine is not in it.")
        if pages.torn:
            remarks.append(f"{pages.torn} time(s) a crash cut short what I was writing.")
        return remarks


def tell(diary: Diary, before: Pages) -> None:
    """Say what this start found."""
    if before.rest:
        say(f"The last line is torn after {before.rest} bytes: a crash came while I wrote it.")
        if not before.problem:
            say("It stays as it is, and my new entry says so.")
    if before.problem:
        for remark in diary.remarks(before):
            say(remark)
    elif before.lines:
        last = before.lines[-1].entry
        first = before.entries[0].time
        say(f"My volume knows me. Entries: {len(before.lines)}, the first of {first}.")
        say(f"The last time I ran on node {last.node}, in Pod {last.pod}.")
        say(f"Each entry's checksum fits. This is start {len(before.lines) + 1}.")
    else:
        say("My volume is empty: this is my first start.")


def main() -> int:
    """Write an entry, then answer until SIGTERM, which is no failure."""
    pace.listen()
    try:
        place = Place.read()
        diary = Diary(env.data_directory(), place)
        say(f"I am {place.member}, on node {place.node}, in Pod {place.pod}.")
        tell(diary, diary.write(datetime.now(UTC)))
        with serving(diary.testimony):
            while True:
                signal.pause()
    except env.SettingError as error:
        say(str(error))
        return 2
    except OSError as error:
        say(f"The diary cannot be kept: {error}. Exit code 1.")
        return 1
    except pace.StoppedError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
