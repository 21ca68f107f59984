"""Sentences that the operator can say, read from its source: what pages quote is among them."""

import ast
import re
from collections.abc import Iterable, Iterator

_FILLED = "\0"
"""Stands for what is filled in."""

_WORDS = re.compile(r"[A-Za-z']+ [A-Za-z']+")
"""What a text has to have of its own to be told from any other."""

_LEAST = 11
"""Letters of a text without anything filled in that makes a sentence with what comes after it."""

_OF_WHOM = re.compile(r"[\w.-]+: ")
"""Many sentences are told of a node, a Pod or an entry, whose name comes before."""


class Sayings:
    """All sentences in some modules. A semicolon ends one: many are told in a row."""

    def __init__(self, sources: Iterable[str]) -> None:
        texts = {text for source in sources for text in _texts(ast.parse(source))}
        parts = {part for text in texts for part in text.split("; ") if _WORDS.search(part)}
        self._fixed = {part for part in parts if _FILLED not in part}
        self._open = [_pattern(part) for part in parts - self._fixed]

    def holds(self, quote: str) -> bool:
        """Whether each sentence of it is one of the operator's, or a part of one."""
        return all(
            self._is_said(part) or self._is_said(_OF_WHOM.sub("", part, count=1))
            for part in quote.split("; ")
        )

    def _is_said(self, words: str) -> bool:
        if any(words in part or _begins(part, words) for part in self._fixed):
            return True
        return any(pattern.fullmatch(words) for pattern in self._open)


def _begins(part: str, words: str) -> bool:
    return len(part) >= _LEAST and words.startswith(part)


def _pattern(part: str) -> re.Pattern[str]:
    # What begins with a space goes on from what somebody else has said.
    before = ".+" if part.startswith(" ") else ""
    return re.compile(before + ".+".join(map(re.escape, part.split(_FILLED))))


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else _FILLED
                for part in node.values
            )
