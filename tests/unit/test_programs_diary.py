"""The diary of a member, and what it tells: as functions, and as its Pod runs it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from program_runs import run
from workshopdemo.programs import testimony
from workshopdemo.programs.diary import Diary, read, tell
from workshopdemo.programs.env import SettingError
from workshopdemo.programs.say import LINE_LENGTH
from workshopdemo.programs.testimony import (
    Desk,
    Entry,
    Place,
    Testimony,
    Waiting,
    answer,
    first_broken,
    serving,
    utc_second,
)

NOW = datetime(2026, 11, 25, 14, 0, 0, 999_999, tzinfo=UTC)
PLACE = Place(member="shop-diary-1", node="worker", pod="uid-1")


def start(directory: Path, pod: str = "uid-1", **place: str) -> Diary:
    """A start of the member, in a Pod of that UID."""
    diary = Diary(directory, replace(PLACE, pod=pod, **place))
    tell(diary, diary.write(NOW))
    return diary


def told(diary: Diary) -> dict[str, Any]:
    known = diary.testimony()
    assert isinstance(known, Testimony)
    return known.as_json()


class TestDiary:
    def test_the_first_start(self, tmp_path: Path) -> None:
        says = told(start(tmp_path))
        (entry,) = says.pop("entries")
        assert len(says.pop("identifier")) == 16
        assert says == {
            "member": "shop-diary-1",
            "scenario": "Diary",
            "node": "worker",
            "pod": "uid-1",
            "starts": 1,
            "first": "2026-11-25T14:00:00Z",
            "intact": True,
            "rows": 1,
        }
        assert len(entry.pop("checksum")) == 64
        assert entry == {
            "number": 1,
            "time": "2026-11-25T14:00:00Z",
            "node": "worker",
            "pod": "uid-1",
        }

    def test_each_start_is_one_more(self, tmp_path: Path) -> None:
        first = told(start(tmp_path))
        says = told(start(tmp_path, "uid-2", node="other"))
        assert says["identifier"] == first["identifier"]
        assert says["entries"][0] == first["entries"][0]
        assert [entry["number"] for entry in says["entries"]] == [1, 2]
        assert [entry["node"] for entry in says["entries"]] == ["worker", "other"]
        assert says["intact"]

    def test_the_newest_are_told(self, tmp_path: Path) -> None:
        for _ in range(testimony.TOLD + 3):
            diary = start(tmp_path)
        says = told(diary)
        assert says["starts"] == testimony.TOLD + 3
        assert [entry["number"] for entry in says["entries"]] == list(range(4, 24))

    def test_two_volumes_are_not_the_same(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        one, other = told(start(tmp_path / "a")), told(start(tmp_path / "b"))
        assert one["identifier"] != other["identifier"]
        assert one["entries"][0]["checksum"] != other["entries"][0]["checksum"]

    @pytest.mark.parametrize("cut", [1, 5, 100])
    def test_a_torn_line_is_told_and_stays(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], cut: int
    ) -> None:
        diary = start(tmp_path)
        start(tmp_path)
        content = diary.path.read_bytes()[:-cut]
        diary.path.write_bytes(content)
        capsys.readouterr()
        says = told(start(tmp_path, "uid-3"))
        assert "The last line is torn after" in capsys.readouterr().out
        assert says["intact"]
        # The start whose entry was never said to be on the disk counts as none.
        assert [entry["pod"] for entry in says["entries"]] == ["uid-1", "uid-3"]
        assert diary.path.read_bytes().startswith(content + b"\n")
        known = start(tmp_path, "uid-4").testimony()
        assert isinstance(known, Testimony)
        assert known.as_json()["intact"]
        assert "1 time(s) a crash cut short what I was writing." in known.as_text()

    def test_a_crash_in_the_very_first_line(self, tmp_path: Path) -> None:
        (tmp_path / "diary.jsonl").write_bytes(b'{"ident')
        says = told(start(tmp_path))
        assert (says["starts"], says["intact"]) == (1, True)

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            (lambda lines: [lines[0].replace(b"worker", b"elsewhere"), *lines[1:]], "entry 1 is"),
            (lambda lines: [lines[0], *lines[2:]], "entry 3 is not what shop-diary-1 has written"),
            (lambda lines: lines[1:], "entry 2 is not"),
            (lambda lines: [lines[0], b"not an entry\n", *lines[1:]], "line 2 is not an entry"),
            (lambda _lines: [b"\0" * 300 + b"\n"], "line 1 is not an entry"),
            (lambda lines: [*lines, b"\n"], "line 4 is not an entry"),
            (lambda lines: [lines[1], lines[0], lines[2]], "entry 2 is not"),
            (lambda lines: [b'{"torn": 1' + lines[0][10:], *lines[1:]], "line 1 is not an entry"),
        ],
    )
    def test_a_damaged_file_is_shown_and_left_alone(
        self, tmp_path: Path, change: Any, problem: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        diary = [start(tmp_path) for _ in range(3)][-1]
        damaged = b"".join(change(diary.path.read_bytes().splitlines(keepends=True)))
        diary.path.write_bytes(damaged)
        assert told(diary)["intact"] is False
        capsys.readouterr()
        again = start(tmp_path)
        assert problem in " ".join(capsys.readouterr().out.split())
        assert told(again)["intact"] is False
        assert diary.path.read_bytes() == damaged
        known = again.testimony()
        assert isinstance(known, Testimony)
        assert "MY DATA IS DAMAGED" in known.as_text()
        assert "So this start of mine is not in it." in known.as_text()

    def test_the_diary_of_another(self, tmp_path: Path) -> None:
        start(tmp_path, member="shop-diary-0")
        assert told(start(tmp_path))["intact"] is False

    def test_entries_of_two_diaries(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        one = start(tmp_path / "a").path.read_bytes()
        start(tmp_path / "b")
        other = start(tmp_path / "b").path.read_bytes()
        mixed = one + other.splitlines(keepends=True)[1]
        assert read(mixed, PLACE.member).problem

    def test_a_file_that_vanishes_meanwhile(self, tmp_path: Path) -> None:
        diary = start(tmp_path)
        diary.path.unlink()
        assert told(diary)["intact"] is False
        diary.path.mkdir()
        known = diary.testimony()
        assert isinstance(known, Waiting)
        assert "cannot be read" in known.reason

    def test_a_changed_past_is_noticed_by_its_checksum(self) -> None:
        entry = Entry(number=1, member="a", pod="p", node="n", time="t").sealed("")
        then = replace(entry, number=2).sealed(entry.checksum)
        assert first_broken([entry, then], "a") is None
        other = replace(entry, node="m").sealed("")
        assert first_broken([other, then], "a") == then


class TestTestimony:
    def test_the_page_for_people(self, tmp_path: Path) -> None:
        start(tmp_path)
        known = start(tmp_path, "uid-2", node="other").testimony()
        assert isinstance(known, Testimony)
        lines = known.as_text().splitlines()
        assert lines[0] == "I am shop-diary-1. Today I run on node other, in Pod uid-2."
        assert lines[1] == (
            "I have been here since 2026-11-25T14:00:00Z, and was started 2 times: "
            "in 2 Pod(s), on 2 node(s)."
        )
        assert lines[-1].split()[:4] == ["2", "2026-11-25T14:00:00Z", "other", "uid-2"]
        assert all(len(line) <= LINE_LENGTH for line in lines)

    def test_times_are_told_in_utc(self) -> None:
        berlin = datetime.fromisoformat("2026-11-25T15:00:00+01:00")
        assert utc_second(berlin) == "2026-11-25T14:00:00Z"

    @pytest.mark.parametrize(
        ("request_line", "status"),
        [
            (b"GET / HTTP/1.1", b"200 OK"),
            (b"GET /testimony?x=1 HTTP/1.1", b"200 OK"),
            (b"GET /other HTTP/1.1", b"404 Not Found"),
            (b"POST /testimony HTTP/1.1", b"405 Method Not Allowed"),
            (b"\0", b"405 Method Not Allowed"),
        ],
    )
    def test_what_is_answered(self, tmp_path: Path, request_line: bytes, status: bytes) -> None:
        said = answer(request_line + b"\r\n\r\n", start(tmp_path).testimony)
        assert said.startswith(b"HTTP/1.1 " + status)

    def test_nothing_is_known_yet(self) -> None:
        said = answer(b"GET /testimony HTTP/1.1\r\n\r\n", lambda: Waiting("not yet"))
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert json.loads(body) == {"waiting": "not yet"}
        assert answer(b"GET / HTTP/1.1\r\n\r\n", lambda: Waiting("not yet")).endswith(b"not yet\n")

    def test_head_has_no_body(self) -> None:
        said = answer(b"HEAD / HTTP/1.1\r\n\r\n", lambda: Waiting("not yet"))
        assert said.endswith(b"\r\n\r\n")

    @pytest.mark.parametrize("name", ["MEMBER", "NODE_NAME", "POD_UID"])
    def test_its_place_must_be_known(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for each in ("MEMBER", "NODE_NAME", "POD_UID"):
            monkeypatch.setenv(each, "a" if each != name else "")
        with pytest.raises(SettingError, match=name):
            Place.read()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with serving(start(tmp_path).testimony, host="127.0.0.1", port=0) as desk:
        yield desk


def ask(desk: Desk, *parts: bytes) -> bytes:
    with socket.create_connection(desk.server_address[:2], timeout=10) as asked:
        for part in parts:
            asked.sendall(part)
        return b"".join(iter(lambda: asked.recv(4096), b""))


class TestDesk:
    def test_a_question_in_pieces(self, desk: Desk) -> None:
        assert b'"starts": 1' in ask(desk, b"GET /testi", b"mony HTTP/1.1\r\n", b"\r\n")

    def test_who_asks_nothing_in_time_gets_no_answer(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(testimony, "_ANSWER_SECONDS", 0.2)
        assert ask(desk, b"GET / HT") == b""
        assert b"200 OK" in ask(desk, b"GET / HTTP/1.1\r\n\r\n")

    def test_too_much(self, desk: Desk) -> None:
        try:
            said = ask(desk, b"GET /" + b"x" * 100_000)
        except ConnectionError:  # what was sent and not read is a reset
            said = b""
        assert said == b""

    def test_too_many_at_a_time(self, desk: Desk) -> None:
        idle = [socket.create_connection(desk.server_address[:2]) for _ in range(40)]
        deadline = time.monotonic() + 10
        while threading.active_count() < testimony._CONNECTIONS and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= testimony._CONNECTIONS + 1
        for each in idle:
            each.close()


class TestAsItsPodRunsIt:
    def test_no_volume(self, tmp_path: Path) -> None:
        place = {"MEMBER": "a-0", "NODE_NAME": "n", "POD_UID": "u"}
        code, lines = run("diary", DATA_DIR=str(tmp_path / "none"), **place)
        assert code == 2
        assert "is a volume mounted?" in " ".join(lines)

    def test_no_name(self, tmp_path: Path) -> None:
        code, lines = run("diary", DATA_DIR=str(tmp_path))
        assert code == 2
        assert "MEMBER must be" in lines[0]

    def test_a_volume_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "diary.jsonl").mkdir()
        place = {"MEMBER": "a-0", "NODE_NAME": "n", "POD_UID": "u"}
        code, lines = run("diary", DATA_DIR=str(tmp_path), **place)
        assert code == 1
        assert "The diary cannot be kept" in lines[-2] + lines[-1]
        assert "Traceback" not in " ".join(lines)
