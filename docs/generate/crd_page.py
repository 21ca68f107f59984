"""The reference of a WorkshopDemo, from the schema in its CRD."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markdown import PageError, anchor, code, lines, table, text

Schema = Mapping[str, Any]

HEAD = ("field", "type", "default", "allowed", "meaning")

_INTRO = """\
<!-- Written by `make docs` from crds/workshopdemos.workshopdemo.dev.yaml. -->
# A WorkshopDemo, field by field

`kubectl explain wd.spec` says the same in a terminal. The API server itself admits or refuses a
demo: under each table are the sentences that it refuses with, beyond type and bounds.
"""


def page(crd: Schema) -> str:
    """The whole page."""
    spec = crd["spec"]
    version = spec["versions"][0]
    names = spec["names"]
    schema = version["schema"]["openAPIV3Schema"]
    words = [_INTRO]
    words += table(
        ("what", "value"),
        [
            ("apiVersion", code(f"{spec['group']}/{version['name']}")),
            ("kind", code(names["kind"])),
            ("for kubectl", ", ".join(map(code, (names["plural"], *names["shortNames"])))),
            ("columns", ", ".join(map(_column, version["additionalPrinterColumns"]))),
        ],
    )
    words += ["", *_refusals(schema)]
    sections = _Sections()
    for name in ("spec", "status"):
        words += sections.of(name, schema["properties"][name])
    return lines(words)


def _column(column: Schema) -> str:
    return f"{column['name'].upper()} ({code(column['jsonPath'])})"


class _Sections:
    """Objects, each with a table of its fields. What is the same in many places is told once."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def of(self, path: str, schema: Schema) -> Iterator[str]:
        """The section of an object, and those of the objects in it."""
        self._told[_identity(schema)] = path
        yield f"## {path}"
        yield ""
        if "description" in schema:
            yield text(schema["description"])
            yield ""
        required = schema.get("required", ())
        deeper: list[tuple[str, Schema]] = []
        rows = []
        for name, field in schema["properties"].items():
            place, inner = _inner(f"{path}.{name}", field)
            known = None
            if "properties" in inner:
                known = self._told.setdefault(_identity(inner), place)
                if known == place:
                    deeper.append((place, inner))
            rows.append(_row(name, field, known, is_required=name in required))
        yield from table(HEAD, rows)
        yield ""
        yield from _refusals(schema)
        for place, inner in deeper:
            yield from self.of(place, inner)


def _identity(schema: Schema) -> str:
    """The same for objects that differ in their description alone."""
    return json.dumps({key: schema[key] for key in schema if key != "description"}, sort_keys=True)


def _inner(path: str, schema: Schema) -> tuple[str, Schema]:
    """The object that a field is, or is a list of, and its path."""
    if schema.get("type") == "array":
        return _inner(f"{path}[]", schema["items"])
    return path, schema


def _row(name: str, field: Schema, known: str | None, *, is_required: bool) -> tuple[str, ...]:
    if "description" not in field:
        raise PageError(f"the field {name} has no description in the CRD: add one, then make docs")
    kind = _type(field)
    default = code(json.dumps(field["default"])) if "default" in field else ""
    return (
        code(name),
        f"[{kind}](#{anchor(known)})" if known else kind,
        "required" if is_required else default,
        "; ".join(_allowed(field)),
        " ".join([text(field["description"]), *_sentences(field)]),
    )


def _type(field: Schema) -> str:
    if field["type"] == "array":
        return f"list of {_type(field['items'])}s"
    if field.get("format") == "date-time":
        return "time"
    if field["type"] == "object" and "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}s"
    return str(field["type"])


def _allowed(field: Schema) -> Iterator[str]:
    """Enums and bounds in words."""
    if "enum" in field:
        yield ", ".join(code(str(one)) for one in field["enum"])
    yield from _bounds(field, "minimum", "maximum", "")
    yield from _bounds(field, "minLength", "maxLength", " characters")
    yield from _bounds(field, "minItems", "maxItems", " items")
    yield from _bounds(field, "minProperties", "maxProperties", " entries")
    if "x-kubernetes-list-map-keys" in field:
        yield f"one of each {' and '.join(field['x-kubernetes-list-map-keys'])}"
    if "items" in field:
        for words in _allowed(field["items"]):
            yield f"each: {words}"


def _bounds(field: Schema, low: str, high: str, unit: str) -> Iterator[str]:
    if low in field and high in field:
        yield f"{field[low]} to {field[high]}{unit}"
    elif low in field:
        yield f"at least {field[low]}{unit}"
    elif high in field:
        yield f"at most {field[high]}{unit}"


def _sentences(field: Schema) -> Iterator[str]:
    """What a single value is refused with."""
    for schema in (field, field.get("items"), field.get("additionalProperties")):
        if isinstance(schema, Mapping) and "properties" not in schema:
            for rule in schema.get("x-kubernetes-validations", ()):
                yield f"*Refused:* {text(rule['message'])}."


def _refusals(schema: Schema) -> Iterator[str]:
    """What an object is refused with, by the field that the refusal names."""
    rules = schema.get("x-kubernetes-validations", ())
    if not rules:
        return
    yield "Refused with:"
    yield ""
    for rule in rules:
        field = rule.get("fieldPath", "").lstrip(".")
        yield f"- {code(field) + ': ' if field else ''}{text(rule['message'])}"
    yield ""
