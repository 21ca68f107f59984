"""Slack's Block Kit: what a message may be made of. Slack says no more than that it is not so."""

from collections.abc import Callable
from typing import Final

from workshopdemo.inbox.message import Json, RefusedError

_HEADER: Final = 150
_TEXT: Final = 3000
_FIELD: Final = 2000
_MOST_FIELDS: Final = 10
_MOST_ELEMENTS: Final = 10
_MOST_ACTIONS: Final = 25
_BUTTON: Final = 75
_BLOCK_ID: Final = 255
_MARKDOWN: Final = 12_000
_ALT_TEXT: Final = 2000


class _InvalidError(Exception):
    pass


def check_blocks(value: object, word: str, block_ids: set[str]) -> tuple[int, int]:
    """Check a list of blocks; gives the characters of all their texts, and their number.

    Args:
        value: what stands under `blocks`; nothing is fine.
        word: what Slack calls the fault.
        block_ids: those seen in the message so far; no two are the same.

    Raises:
        RefusedError: this is no list of blocks.
    """
    if value is None:
        return 0, 0
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise RefusedError(400, "invalid_blocks_format" if word == "invalid_blocks" else word)
    try:
        return sum(_block(one, block_ids) for one in value), len(value)
    except _InvalidError as error:
        raise RefusedError(400, word) from error


def _block(block: Json, block_ids: set[str]) -> int:
    kind = block.get("type")
    check = _CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        raise _InvalidError
    if "block_id" in block:
        block_id = block["block_id"]
        if not isinstance(block_id, str) or len(block_id) > _BLOCK_ID or block_id in block_ids:
            raise _InvalidError
        block_ids.add(block_id)
    return check({name: value for name, value in block.items() if name != "block_id"})


def _section(block: Json) -> int:
    _only(block, "text", "fields", "accessory", "expand")
    if "text" not in block and "fields" not in block:
        raise _InvalidError
    length = _text(block["text"], _TEXT) if "text" in block else 0
    if "fields" in block:
        length += sum(_text(one, _FIELD) for one in _some(block["fields"], _MOST_FIELDS))
    return length


def _header(block: Json) -> int:
    _only(block, "text", "level")
    return _text(block.get("text"), _HEADER, kinds=("plain_text",))


def _context(block: Json) -> int:
    _only(block, "elements")
    return sum(
        _image(one) if one.get("type") == "image" else _text(one, _TEXT)
        for one in map(_object, _some(block.get("elements"), _MOST_ELEMENTS))
    )


def _actions(block: Json) -> int:
    """Buttons; the other elements are no use without an app behind the webhook."""
    _only(block, "elements")
    elements = map(_object, _some(block.get("elements"), _MOST_ACTIONS))
    return sum(
        _text(one.get("text"), _BUTTON, kinds=("plain_text",))
        for one in elements
        if one.get("type") == "button"
    )


def _divider(block: Json) -> int:
    _only(block)
    return 0


def _markdown(block: Json) -> int:
    _only(block, "text")
    return _string(block.get("text"), _MARKDOWN)


def _image(block: Json) -> int:
    _string(block.get("alt_text"), _ALT_TEXT)
    return 0


def _unchecked(_block: Json) -> int:
    return 0


_CHECKS: Final[dict[str, Callable[[Json], int]]] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "divider": _divider,
    "markdown": _markdown,
    "image": _image,
    "rich_text": _unchecked,
    "table": _unchecked,
    "video": _unchecked,
}


def _text(value: object, limit: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> int:
    """A text object; each of the two kinds has a switch that the other has not."""
    text_object = _object(value)
    if text_object.get("type") not in kinds:
        raise _InvalidError
    _only(text_object, "text", "emoji" if text_object["type"] == "plain_text" else "verbatim")
    return _string(text_object.get("text"), limit)


def _string(value: object, limit: int) -> int:
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise _InvalidError
    return len(value)


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise _InvalidError
    return value


def _some(value: object, most: int) -> list[object]:
    if not isinstance(value, list) or not 0 < len(value) <= most:
        raise _InvalidError
    return value


def _only(block: Json, *names: str) -> None:
    """Slack refuses what it does not know: `invalid additional property`."""
    if not block.keys() <= {"type", *names}:
        raise _InvalidError
