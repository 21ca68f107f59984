"""The reference of the chart's values, from their comments, defaults and schema."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from markdown import PageError, code, lines, table, text

HEAD = ("value", "default", "allowed", "meaning")
MARK = "# -- "

_INTRO = """\
<!-- Written by `make docs` from the chart's values.yaml and values.schema.json. -->
# The chart, value by value

Say them with `--set name=value`, or in a file of your own: `--values my-values.yaml`. What is not
here is refused, so a misspelt name is an error and never ignored. `helm get values workshop-demo -n
workshop-system` shows what you said.
"""


@dataclass(frozen=True)
class Value:
    """A value, or a section of values, of values.yaml."""

    path: tuple[str, ...]
    comment: str | None
    default: Any
    children: tuple["Value", ...] = ()

    @property
    def name(self) -> str:
        """As --set wants it."""
        return ".".join(self.path)


def page(values: str, schema: Mapping[str, Any]) -> str:
    """The whole page.

    Args:
        values: values.yaml.
        schema: values.schema.json.
    """
    words = [_INTRO, *_tables(read(values), _Schema(schema), "##")]
    return lines(words)


def _tables(values: Sequence[Value], schema: "_Schema", level: str) -> Iterator[str]:
    """A table of those that are no sections, then the sections."""
    alone = [value for value in values if not value.children]
    if alone:
        yield from table(HEAD, [_row(value, schema) for value in alone])
        yield ""
    for section in values:
        if section.children:
            yield f"{level} {section.name}"
            yield ""
            if section.comment:
                yield text(section.comment)
                yield ""
            yield from _tables(section.children, schema, f"{level}#")


def read(values: str) -> tuple[Value, ...]:
    """The values in their order, each with the comment that explains it."""
    root = yaml.compose(values, yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise PageError("values.yaml is no mapping")
    return _read(root, yaml.safe_load(values), (), values.splitlines())


def _read(
    node: yaml.MappingNode,
    defaults: Mapping[str, Any],
    path: tuple[str, ...],
    source: Sequence[str],
) -> tuple[Value, ...]:
    found: list[Value] = []
    last_line = -1
    for key, value in node.value:
        name, default = (*path, str(key.value)), defaults[key.value]
        comment = _comment_above(source, key.start_mark.line)
        # What stands right below another value shares its comment.
        if comment is None and found and key.start_mark.line == last_line + 1:
            comment = found[-1].comment
        children: tuple[Value, ...] = ()
        if isinstance(value, yaml.MappingNode) and _is_section(value, source):
            children = _read(value, default, name, source)
        elif comment is None:
            raise PageError(
                f"{'.'.join(name)} of values.yaml has no comment: write one that begins with "
                f'"{MARK}" above it, then make docs'
            )
        found.append(Value(name, comment, default, children))
        last_line = key.start_mark.line if not children else -1
    return tuple(found)


def _is_section(node: yaml.MappingNode, source: Sequence[str]) -> bool:
    """Whether a mapping's own values are explained one by one."""
    return any(
        _comment_above(source, key.start_mark.line) is not None
        or (isinstance(value, yaml.MappingNode) and _is_section(value, source))
        for key, value in node.value
    )


def _comment_above(source: Sequence[str], line: int) -> str | None:
    """The comment that begins with the mark and ends right above the line."""
    above: list[str] = []
    for text_line in reversed(source[:line]):
        stripped = text_line.strip()
        if not stripped.startswith("#"):
            return None
        if stripped.startswith(MARK):
            return " ".join([stripped.removeprefix(MARK), *above])
        above.insert(0, stripped.removeprefix("#").strip())
    return None


def _row(value: Value, schema: "_Schema") -> tuple[str, ...]:
    default = code(json.dumps(value.default))
    return code(value.name), default, schema.allowed(value), text(value.comment or "")


class _Schema:
    """values.schema.json in words."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def allowed(self, value: Value) -> str:
        """What a value may be."""
        node = self._root
        for name in value.path:
            node = self._resolved(node)
            if name not in node.get("properties", {}):
                raise PageError(f"values.schema.json does not know {value.name}: add it there")
            node = node["properties"][name]
        return self._words(node)

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            found: Any = self._root
            for name in node["$ref"].removeprefix("#/").split("/"):
                found = found[name]
            node = found
        return node

    def _words(self, node: Mapping[str, Any]) -> str:
        node = self._resolved(node)
        for key in ("anyOf", "oneOf"):
            if key in node:
                return " or ".join(self._words(one) for one in node[key])
        if "const" in node:
            return "empty" if node["const"] == "" else code(json.dumps(node["const"]))
        if "enum" in node:
            return ", ".join(code(json.dumps(one).strip('"')) for one in node["enum"])
        kind = node.get("type", "anything")
        kind = " or ".join(kind) if isinstance(kind, list) else kind
        if kind == "array":
            return f"list; each: {self._words(node.get('items', {}))}"
        return "; ".join([self._object(node) if kind == "object" else kind, *_bounds(node)])

    def _object(self, node: Mapping[str, Any]) -> str:
        names = ", ".join(map(code, node.get("properties", ())))
        if names:
            return f"object of {names}"
        more = node.get("additionalProperties")
        return f"map; each: {self._words(more)}" if isinstance(more, Mapping) else "object"


def _bounds(node: Mapping[str, Any]) -> Iterator[str]:
    if "description" in node:
        yield text(node["description"]).rstrip(".")
    elif "pattern" in node:
        yield code(node["pattern"])
    if "minimum" in node and "maximum" in node:
        yield f"{node['minimum']} to {node['maximum']}"
    elif "minimum" in node:
        yield f"at least {node['minimum']}"
    elif "exclusiveMinimum" in node:
        yield f"above {node['exclusiveMinimum']}"
    if "maxLength" in node:
        yield f"at most {node['maxLength']} characters"
