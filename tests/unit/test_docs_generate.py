"""The generated pages say what their sources say, and a source that says nothing is refused."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import CRD, ROOT
from unit.kind_modules import GENERATE, load

chart_page = load("chart_page", GENERATE)
crd_page = load("crd_page", GENERATE)
markdown = load("markdown", GENERATE)
picture = load("picture", GENERATE)
freshness = load("freshness", GENERATE)

CHART = ROOT / "charts/workshop-demo"
VALUES = (CHART / "values.yaml").read_text("utf-8")
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {
        name: leaf
        for key, part in value.items()
        for name, leaf in _leaves(part, f"{path}.{key}".lstrip(".")).items()
    }


def _rows(page: str) -> dict[str, list[str]]:
    """Rows of a page's tables, by what stands in their first column as code."""
    found = re.findall(r"^\| `([^`]+)` \| (.*) \|$", page, re.MULTILINE)
    return {name: re.split(r" \| ", rest) for name, rest in found}


def test_every_value_of_the_chart_is_told_with_its_default() -> None:
    rows = _rows(chart_page.page(VALUES, SCHEMA))
    told = {name: json.loads(row[0].strip("`")) for name, row in rows.items()}
    leaves = {
        leaf: value
        for name, default in told.items()
        for leaf, value in _leaves(default, name).items()
    }
    assert leaves == _leaves(yaml.safe_load(VALUES))
    assert all(row[2] for row in rows.values())


def _values(text: str) -> dict[str, list[str]]:
    properties = {name: {"type": "string"} for name in ("a", "b", "c")}
    nested = {"type": "object", "properties": properties}
    schema = {"properties": {**properties, "section": nested}}
    return _rows(chart_page.page(text, schema))


def test_neighbours_share_a_comment() -> None:
    rows = _values("# -- Of both,\n# and long.\na: x\nb: y\n\n# -- Other.\nc: z\n")
    assert [rows[name][2] for name in "abc"] == ["Of both, and long."] * 2 + ["Other."]


def test_a_section_tells_each_of_its_values() -> None:
    rows = _values("# -- All.\nsection:\n  # -- This.\n  a: x\n  # -- That, a \\| b.\n  b: y\n")
    assert {name: row[2] for name, row in rows.items() if len(row) > 2} == {
        "section.a": "This.",
        "section.b": "That, a \\\\| b.",
    }


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ("# -- One.\na: x\n\nb: y\n", "b"),
        ("# a comment without the mark\na: x\n", "a"),
        ("# -- All.\nsection:\n  a: x\n  # -- This.\n  b: y\n", "section.a"),
        ("# -- Unknown to the schema.\nd: x\n", "d"),
    ],
)
def test_a_value_without_a_word_or_a_type_is_refused(values: str, name: str) -> None:
    with pytest.raises(markdown.PageError, match=rf"\b{re.escape(name)}\b"):
        _values(values)


def _fields(schema: dict[str, Any]) -> int:
    """Fields with a description, each object that is the same as another one counted once."""
    seen = set()

    def count(node: dict[str, Any]) -> int:
        while "items" in node:
            node = node["items"]
        own = json.dumps({key: node[key] for key in node if key != "description"}, sort_keys=True)
        if "properties" not in node or own in seen:
            return 0
        seen.add(own)
        return len(node["properties"]) + sum(map(count, node["properties"].values()))

    return count(schema)


def test_every_field_of_the_crd_is_told_once() -> None:
    schema = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    told = re.findall(r"^\| `[^`]+` \|(?: [^|]*\|){4,}", crd_page.page(CRD), re.MULTILINE)
    assert (
        len(told) == _fields({"properties": {key: schema[key] for key in ("spec", "status")}}) - 2
    )


def _sentences(node: Any) -> Iterator[str]:
    """What any rule refuses with."""
    if isinstance(node, dict):
        for rule in node.get("x-kubernetes-validations", ()):
            yield rule["message"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _sentences(part)


def test_every_sentence_of_the_crd_is_told() -> None:
    page = crd_page.page(CRD)
    sentences = set(_sentences(CRD["spec"]["versions"]))
    assert sentences
    for sentence in sentences:
        assert markdown.text(sentence) in page.replace("\\|", "|")


def test_a_field_without_description_is_refused() -> None:
    crd = json.loads(json.dumps(CRD))
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["jobs"]["description"]
    with pytest.raises(markdown.PageError, match="jobs has no description"):
        crd_page.page(crd)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("a <b> and *c*", "a \\<b\\> and \\*c\\*"),
        ("as `<demo>-<name>` is", "as `<demo>-<name>` is"),
        ("two\n  lines", "two lines"),
    ],
)
def test_words_are_no_markup(words: str, told: str) -> None:
    assert markdown.text(words) == told


def test_the_picture_has_every_word_of_the_terminal() -> None:
    transcript = "$ make <demo> & more\n  ✓ done  2 s\n\nReady: it is\n"
    drawn = ET.fromstring(picture.svg(transcript))
    words = " ".join("".join(text.itertext()) for text in drawn.iter() if text.tag.endswith("text"))
    assert words.split() == transcript.split()
    heights = [int(text.get("y", 0)) for text in drawn.iter() if text.tag.endswith("text")]
    assert max(heights) < int(drawn.get("height", 0))
    assert heights[-1] - heights[0] == 3 * picture.LINE


def test_columns_stand_one_below_the_other() -> None:
    drawn = ET.fromstring(picture.svg("NAME   PHASE\nshop   Ready\n"))
    places = [text.get("x") for text in drawn.iter() if text.tag.endswith("text")]
    assert places[:2] == places[2:]


@pytest.mark.parametrize("before", ["old", "new", None])
def test_a_page_that_is_old_is_named_and_written(
    before: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "reference" / "page.md"
    if before is not None:
        page.parent.mkdir()
        page.write_text(before)
    is_old = before != "new"
    assert freshness.check({page: "new"}, tmp_path) == is_old
    assert ("reference/page.md. Run make docs" in capsys.readouterr().out) is is_old
    assert freshness.write({page: "new"}, tmp_path) == 0
    assert page.read_text() == "new"
    assert freshness.check({page: "new"}, tmp_path) == 0
