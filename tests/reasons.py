"""Every reason that the operator itself can put on a status, read from its source.

A reason is written in one of three ways: passed to something whose parameter or field is called
`reason`, assigned to a name or attribute `reason`, or returned by a function whose answer is
unpacked into a name `reason`. What Kubernetes says of itself (a Pod's waiting reason, a Job's
condition) is not written down in the code, and so is not found.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

_WORD = re.compile(r"[A-Z][a-z]+([A-Z][a-z]+)*")
"""CamelCase, as metav1.Condition wants a reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def reasons_in(sources: Iterable[str]) -> set[str]:
    """The reasons that modules can give, which may call each other."""
    trees = [ast.parse(source) for source in sources]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return set(_Reader(nodes).reasons(nodes))


class _Reader:
    def __init__(self, nodes: Sequence[ast.AST]) -> None:
        self._functions: dict[str, list[Function]] = {}
        self._places: dict[str, int] = {}
        """At which place the parameter or field `reason` is, by name of function or class."""
        for node in nodes:
            if isinstance(node, Function):
                self._functions.setdefault(node.name, []).append(node)
                self._note_place(
                    node.name, [one.arg for one in node.args.args if one.arg != "self"]
                )
            elif isinstance(node, ast.ClassDef):
                fields = [
                    one.target.id
                    for one in node.body
                    if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
                ]
                self._note_place(node.name, fields)

    def _note_place(self, name: str, parameters: list[str]) -> None:
        if "reason" in parameters:
            place = parameters.index("reason")
            # Two things of one name that differ would make half of them unreadable.
            assert self._places.setdefault(name, place) == place, name

    def reasons(self, nodes: Iterable[ast.AST]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Call):
                yield from self._of_call(node)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    yield from self._of_assignment(target, node.value)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                yield from self._of_assignment(node.target, node.value)

    def _of_call(self, call: ast.Call) -> Iterator[str]:
        for keyword in call.keywords:
            if keyword.arg == "reason":
                yield from _words(keyword.value)
        place = self._places.get(_name(call.func))
        if place is not None and place < len(call.args):
            yield from _words(call.args[place])

    def _of_assignment(self, target: ast.expr, value: ast.expr) -> Iterator[str]:
        if _name(target) == "reason":
            yield from _words(value)
        if isinstance(target, ast.Tuple):
            for place, one in enumerate(target.elts):
                if _name(one) == "reason":
                    yield from self._at(place, value)

    def _at(self, place: int, value: ast.expr) -> Iterator[str]:
        """The words at that place of a tuple, or of what a function gives back."""
        if isinstance(value, ast.Tuple):
            if any(isinstance(one, ast.Starred) for one in value.elts[: place + 1]):
                starred = value.elts[0]
                assert isinstance(starred, ast.Starred), "a tuple whose first is not starred"
                yield from self._at(place, starred.value)
            else:
                yield from _words(value.elts[place])
        elif isinstance(value, ast.Call):
            for function in self._functions.get(_name(value.func), ()):
                for node in ast.walk(function):
                    if isinstance(node, ast.Return) and node.value is not None:
                        yield from self._at(place, node.value)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _words(value: ast.expr) -> Iterator[str]:
    """Reasons that an expression can be; what is compared in it is none."""
    if isinstance(value, ast.Constant):
        if isinstance(value.value, str) and _WORD.fullmatch(value.value):
            yield value.value
    elif isinstance(value, ast.IfExp):
        yield from _words(value.body)
        yield from _words(value.orelse)
    elif isinstance(value, ast.BoolOp):
        for one in value.values:
            yield from _words(one)
