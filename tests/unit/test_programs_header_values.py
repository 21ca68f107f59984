"""The headers of the log shipper: a secret's value means no more than it says."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workshopdemo.plan.collector import otlp_http
from workshopdemo.programs import header_values

HOSTILE = "${file:/var/log/pods/other_pod_uid/main/0.log}"


@given(st.dictionaries(st.text("a${}:b", min_size=1), st.text("a${}:b \"'\\n")))
def test_nothing_is_left_to_put_in(headers: dict[str, str]) -> None:
    written = header_values.config(headers)["exporters"]["otlp_http"]["headers"]
    for name, value in written.items():
        # As the collector reads it: an odd `$` before a brace would begin something.
        assert not re.search(r"(?<!\$)(?:\$\$)*\$(?!\$)", name + "|" + value)
    read = {name.replace("$$", "$"): value.replace("$$", "$") for name, value in written.items()}
    assert read == headers


def test_a_file_is_written_and_no_value_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    monkeypatch.setenv("FILE", str(file))
    monkeypatch.setenv("HEADERS", '{"Authorization": "HEADER_0", "X-Scope-OrgID": "HEADER_1"}')
    monkeypatch.setenv("HEADER_0", f"Bearer {HOSTILE}\n")
    monkeypatch.setenv("HEADER_1", "007")
    assert header_values.main() == 0
    exporters = json.loads(file.read_text())["exporters"]
    # Without the line break that an editor or `echo` leaves, which no header may hold.
    assert exporters["otlp_http"]["headers"] == {
        "Authorization": f"Bearer ${HOSTILE}",
        "X-Scope-OrgID": "007",
    }
    # The collector runs as another user, without the right to read what is not for all.
    assert file.stat().st_mode & 0o044 == 0o044
    said = capsys.readouterr().out
    assert said.endswith("Wrote 2 header(s) for the log shipper.\n")
    assert "pods" not in said


def test_it_is_of_the_exporter_that_the_plan_has() -> None:
    assert otlp_http("https://logs.example").logs_url == "https://logs.example/v1/logs"
    assert list(header_values.config({})["exporters"]) == ["otlp_http"]
