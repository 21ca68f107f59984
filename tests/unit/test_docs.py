"""README and docs/ tell the truth: what they show works, what they name is there."""

import re
import tomllib
import typing
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

import pages
import reasons
import sentences
from support import ROOT, SCHEMA, with_defaults
from unit.kind_modules import load
from workshopdemo import model
from workshopdemo.observe import conditions

PACKAGE = ROOT / "operator/workshopdemo"
TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
TEXTS = {pages.name_of(page): page.read_text("utf-8") for page in pages.PAGES}
DEMOS = [
    pytest.param(demo, id=f"{pages.name_of(page)}-{number}")
    for page in pages.PAGES
    for number, demo in enumerate(pages.demos_of(page))
] + [
    pytest.param(yaml.safe_load(path.read_text("utf-8")), id=path.name) for path in pages.EXERCISES
]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_BAR = re.compile(r"(?<!\\)\|")
"""Between cells, in code too: GitHub takes it so."""

_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def _strict(schema: Any) -> Any:
    """The schema as kubectl has the API server apply it: a field that it lacks is an error."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {key: _strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        told["additionalProperties"] = False
    return told


@pytest.mark.parametrize("demo", DEMOS)
def test_a_demo_that_people_are_shown_is_valid(demo: dict[str, Any]) -> None:
    whole = {**demo, "metadata": {"namespace": "workshop", "uid": "1", "generation": 1}}
    whole["metadata"] |= demo["metadata"]
    spec = SCHEMA["properties"]["spec"]
    jsonschema.validate(demo["spec"], _strict(spec))
    model.parse({**whole, "spec": with_defaults(demo["spec"], spec)})


def test_the_pages_show_every_section_of_a_demo() -> None:
    shown = {section for (demo,) in (case.values for case in DEMOS) for section in demo["spec"]}
    assert shown == set(SCHEMA["properties"]["spec"]["properties"])


def _anchors(text: str) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _CODE.sub(_without_code_block, text), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def _without_code_block(found: re.Match[str]) -> str:
    return "" if found[0].startswith("```") else found[0]


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", page.read_text("utf-8"))):
        if "://" in link:
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if fragment:
            assert fragment in _anchors(target.read_text("utf-8")), link


def test_every_page_is_found_from_the_readme() -> None:
    found, new = set[Path](), {ROOT / "README.md"}
    while new:
        found |= new
        links = {
            (page.parent / link.partition("#")[0]).resolve()
            for page in new
            for link in _LINK.findall(page.read_text("utf-8"))
        }
        new = {link for link in links if link in pages.PAGES} - found
    assert found == set(pages.PAGES)


def _code_of(text: str) -> str:
    """What a page shows as code, a piece a line."""
    return "\n".join(found[0].strip("`") for found in _CODE.finditer(text))


def test_make_targets_that_pages_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name, text in TEXTS.items():
        for line in re.findall(r"^make ((?:[a-z0-9-]+ ?)+)", _code_of(text), re.MULTILINE):
            assert set(line.split()) <= targets, f"{name}: make {line}"


def test_files_that_pages_name_are_there() -> None:
    folders = r"(?:deploy|charts|crds|docs|tests|operator|bench)"
    for name, text in TEXTS.items():
        for path in re.findall(rf"(?<![\w/.-]){folders}/[\w./-]+\w", _code_of(text)):
            assert (ROOT / path).exists(), f"{name}: {path}"


def _pinned(name: str) -> str:
    pins = tomllib.loads((ROOT / "deploy/kind/pins.toml").read_text())
    return str(pins["images"][name].format(**pins["versions"]))


def test_images_that_pages_name_are_those_that_clusters_have() -> None:
    shown = {**TEXTS, **{path.name: path.read_text("utf-8") for path in pages.EXERCISES}}
    for name, text in shown.items():
        assert set(re.findall(r"image[:=] ?(busybox:\d[\w.]+)", text)) <= {_pinned("busybox")}, name


def test_a_classroom_without_internet_is_told_every_image() -> None:
    listed = re.findall(r"^\| `(\S+)` \|", TEXTS["docs/air-gapped.md"], re.MULTILINE)
    known = {_pinned(name) for name in load("images").DEMO_IMAGES}
    assert set(listed) == known | {load("operatorimage").REPOSITORY_NAME}


def _tables(text: str) -> list[list[list[str]]]:
    """The tables of a page, as cells; the head comes first."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [
        [_BAR.split(line)[1:-1] for line in table.splitlines() if not re.match(r"\| ?---", line)]
        for table in found
    ]


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name_of)
def test_rows_of_a_table_have_as_many_cells_as_its_head(page: Path) -> None:
    for head, *rows in _tables(page.read_text("utf-8")):
        assert [row for row in rows if len(row) != len(head)] == []


def _first_column(*heads: str) -> list[str]:
    """Words in the first column of troubleshooting's tables of that head."""
    rows = [table[1:] for table in _tables(TROUBLESHOOTING) if table[0][0].strip() in heads]
    return [word for table in rows for row in table for word in re.findall(r"`(\w+)`", row[0])]


def _given() -> set[str]:
    paths = [PACKAGE / "errors.py", *sorted((PACKAGE / "observe").glob("*.py"))]
    return reasons.reasons_in(path.read_text("utf-8") for path in paths)


def _events() -> set[str]:
    jobs = {"Complete", "Failed", "Stuck"}
    runs = set(typing.get_args(model.RunOutcome)) - {"Running"}
    return {f"Job{one}" for one in jobs} | {f"Run{one}" for one in runs} | EVENTS


EVENTS = {"Ready", "InvalidSpec", "ClaimsKept"}
"""Of a whole demo."""


def test_every_reason_is_explained() -> None:
    explained = set(_first_column("reason", "Kubernetes says")) | EVENTS
    assert not _given() - explained


def test_every_reason_that_is_explained_can_be_given() -> None:
    told = _first_column("reason")
    assert len(told) == len(set(told)), "each once, and others refer to it"
    assert not set(told) - _given()


def _quotes(row: list[str]) -> list[str]:
    """What a row quotes; not what it shows as code."""
    return re.findall(r'"([^"]+)"', re.sub(r"`[^`]*`", "", "|".join(row)))


@pytest.fixture(scope="module")
def said() -> sentences.Sayings:
    return sentences.Sayings(path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py")))


def test_what_is_quoted_is_what_the_operator_says(said: sentences.Sayings) -> None:
    tables = [table for table in _tables(TROUBLESHOOTING) if table[0][0].strip() == "reason"]
    quoted = [quote for table in tables for row in table for quote in _quotes(row)]
    assert len(quoted) > 20
    assert [quote for quote in quoted if not said.holds(quote)] == []


@pytest.mark.parametrize(
    ("quote", "is_said"),
    [
        ("shop-1 does not stream from shop-0", True),
        ("shop-1 does not follow shop-0", False),
        ("2/3 nodes covered; shop-1 does not stream from shop-0", True),
        ("2/3 nodes covered; nothing is wrong", False),
        ("worker: it has no label", True),
        ("still to end: migrate", True),
        ("still to come: migrate", False),
    ],
)
def test_a_quote_is_known_whatever_is_filled_in(quote: str, is_said: bool) -> None:
    source = """
f"{pod} does not stream from {primary}"
f"{count}/{every} nodes covered; {more}"
"it has no label, which nodeSelector asks for"
listed("still to end", names)
"""
    assert sentences.Sayings([source]).holds(quote) is is_said


def test_every_condition_is_explained_and_no_other() -> None:
    kinds = {
        value
        for name, value in vars(conditions).items()
        if name.isupper() and isinstance(value, str)
    }
    assert set(_first_column("condition")) == kinds


def test_every_event_is_named() -> None:
    told = TROUBLESHOOTING.partition("\n## Events\n")[2].replace("kubectl describe wd NAME", "")
    assert set(re.findall(r"`([A-Z]\w+)`", told)) == _events()


STARRED = """
reason, _, _ = more()
def more():
    return *less(), None
def less():
    return 'Deep', 'words'
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("wrong('NodeLost', 'it is gone')\ndef wrong(reason, words): ...", {"NodeLost"}),
        ("thing.replace(reason='JobGone')", {"JobGone"}),
        (
            "reason = 'PodSecurity' if level else (words or 'FailedCreate')",
            {"PodSecurity", "FailedCreate"},
        ),
        ("if reason == 'Other': ...", set()),
        ("outcome, reason = why()\ndef why():\n    return 'Missed', 'NotStarted'", {"NotStarted"}),
        (STARRED, {"Deep"}),
        ("class Problem(Exception):\n    reason = 'NameTaken'", {"NameTaken"}),
        ("class Why:\n    reason: str\n    def f(self): return Why('FullDisk')", {"FullDisk"}),
    ],
)
def test_a_reason_is_found_however_it_is_written(source: str, expected: set[str]) -> None:
    assert reasons.reasons_in([source]) == expected


def test_the_picture_says_what_the_operator_says(said: sentences.Sayings) -> None:
    """It is of a real run; of one whose words are those of today."""
    lines = (ROOT / "docs/demo.txt").read_text("utf-8").splitlines()
    conditions = [found[1] for line in lines if (found := re.match(r"[A-Z]\w+: (.{12,})", line))]
    assert len(conditions) > 5
    assert [line for line in [*conditions, lines[-1]] if not said.holds(line)] == []


def test_the_picture_tells_the_story_as_the_demo_does() -> None:
    told = " ".join((ROOT / "docs/demo.txt").read_text("utf-8").split())
    story = yaml.safe_load((PACKAGE / "story/job.yaml").read_text("utf-8"))
    for part in ("problem", "why"):
        assert " ".join(story[part].split()) in told
