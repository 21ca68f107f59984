"""Google Chat's `Message` as its discovery document has it: fields, and the kind of each.

What a webhook cannot use (dialogs, forms, attachments), what is deprecated, and what is output only
is known by name and not looked into.
"""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

_ANY: Final = "any"
_ALIGNMENT: Final = "HORIZONTAL_ALIGNMENT_UNSPECIFIED|START|CENTER|END"
_VISIBILITY: Final = "VISIBILITY_UNSPECIFIED|VISIBLE|HIDDEN"
_SHAPE: Final = "SQUARE|CIRCLE"

_NOT_OURS: Final = """
    actionResponse annotations argumentText attachedGifs attachment cards createTime deleteTime
    deletionMetadata elements emojiReactionSummaries formattedText lastUpdateTime markupSyntax
    matchedUrl name privateMessageViewer quotedMessageMetadata sender silent slashCommand space
    threadReply
"""

# A kind is a scalar, an enum as A|B|C, the name of another message, or one of these in brackets.
_MESSAGES: Final[dict[str, dict[str, str]]] = {
    "Message": {
        "text": "string",
        "fallbackText": "string",
        "cardsV2": "[CardWithId]",
        "thread": "Thread",
        "accessoryWidgets": "[AccessoryWidget]",
        "clientAssignedMessageId": "string",
        **dict.fromkeys(_NOT_OURS.split(), _ANY),
    },
    "Thread": {"name": "string", "threadKey": "string"},
    "AccessoryWidget": {"buttonList": "ButtonList"},
    "CardWithId": {"cardId": "string", "card": "Card", "ownerUser": _ANY},
    "Card": {
        "header": "CardHeader",
        "sections": "[Section]",
        "name": "string",
        "sectionDividerStyle": "DIVIDER_STYLE_UNSPECIFIED|SOLID_DIVIDER|NO_DIVIDER",
        "displayStyle": "DISPLAY_STYLE_UNSPECIFIED|PEEK|REPLACE",
        "cardActions": _ANY,
        "expressionData": _ANY,
        "fixedFooter": _ANY,
        "peekCardHeader": "CardHeader",
    },
    "CardHeader": {
        "title": "string",
        "subtitle": "string",
        "imageUrl": "string",
        "imageType": _SHAPE,
        "imageAltText": "string",
    },
    "Section": {
        "header": "string",
        "widgets": "[Widget]",
        "collapsible": "boolean",
        "uncollapsibleWidgetsCount": "integer",
        "collapseControl": _ANY,
        "id": "string",
    },
    "Widget": {
        "textParagraph": "TextParagraph",
        "decoratedText": "DecoratedText",
        "buttonList": "ButtonList",
        "image": "Image",
        "divider": "Divider",
        "grid": "Grid",
        "columns": "Columns",
        "chipList": "ChipList",
        "carousel": _ANY,
        "textInput": _ANY,
        "selectionInput": _ANY,
        "dateTimePicker": _ANY,
        "eventActions": _ANY,
        "horizontalAlignment": _ALIGNMENT,
        "visibility": _VISIBILITY,
        "id": "string",
    },
    "TextParagraph": {
        "text": "string",
        "maxLines": "integer",
        "textSyntax": "TEXT_SYNTAX_UNSPECIFIED|HTML|MARKDOWN",
    },
    "DecoratedText": {
        "topLabel": "string",
        "topLabelText": "TextParagraph",
        "text": "string",
        "contentText": "TextParagraph",
        "bottomLabel": "string",
        "bottomLabelText": "TextParagraph",
        "wrapText": "boolean",
        "button": "Button",
        "icon": "Icon",
        "startIcon": "Icon",
        "endIcon": "Icon",
        "startIconVerticalAlignment": "VERTICAL_ALIGNMENT_UNSPECIFIED|TOP|MIDDLE|BOTTOM",
        "onClick": "OnClick",
        "switchControl": _ANY,
    },
    "ButtonList": {"buttons": "[Button]"},
    "Button": {
        "text": "string",
        "icon": "Icon",
        "onClick": "OnClick",
        "altText": "string",
        "disabled": "boolean",
        "color": "Color",
        "type": "TYPE_UNSPECIFIED|OUTLINED|FILLED|FILLED_TONAL|BORDERLESS",
    },
    "Icon": {
        "knownIcon": "string",
        "iconUrl": "string",
        "materialIcon": "MaterialIcon",
        "altText": "string",
        "imageType": _SHAPE,
    },
    "MaterialIcon": {"name": "string", "fill": "boolean", "weight": "integer", "grade": "integer"},
    "OnClick": {
        "openLink": "OpenLink",
        "card": "Card",
        "action": _ANY,
        "openDynamicLinkAction": _ANY,
        "overflowMenu": _ANY,
    },
    "OpenLink": {"url": "string", "openAs": "FULL_SIZE|OVERLAY", "onClose": "NOTHING|RELOAD"},
    "Image": {"imageUrl": "string", "altText": "string", "onClick": "OnClick"},
    "Divider": {},
    "Grid": {
        "title": "string",
        "items": "[GridItem]",
        "columnCount": "integer",
        "borderStyle": _ANY,
        "onClick": "OnClick",
    },
    "GridItem": {
        "id": "string",
        "title": "string",
        "subtitle": "string",
        "image": _ANY,
        "layout": "GRID_ITEM_LAYOUT_UNSPECIFIED|TEXT_BELOW|TEXT_ABOVE",
    },
    "Columns": {"columnItems": "[Column]"},
    "Column": {
        "widgets": "[Widgets]",
        "horizontalAlignment": _ALIGNMENT,
        "horizontalSizeStyle": (
            "HORIZONTAL_SIZE_STYLE_UNSPECIFIED|FILL_AVAILABLE_SPACE|FILL_MINIMUM_SPACE"
        ),
        "verticalAlignment": "VERTICAL_ALIGNMENT_UNSPECIFIED|CENTER|TOP|BOTTOM",
    },
    "Widgets": {
        "textParagraph": "TextParagraph",
        "decoratedText": "DecoratedText",
        "buttonList": "ButtonList",
        "image": "Image",
        "chipList": "ChipList",
        "textInput": _ANY,
        "selectionInput": _ANY,
        "dateTimePicker": _ANY,
    },
    "ChipList": {"chips": "[Chip]", "layout": "LAYOUT_UNSPECIFIED|WRAPPED|HORIZONTAL_SCROLLABLE"},
    "Chip": {
        "label": "string",
        "icon": "Icon",
        "onClick": "OnClick",
        "altText": "string",
        "enabled": "boolean",
        "disabled": "boolean",
    },
    "Color": dict.fromkeys(("red", "green", "blue", "alpha"), "number"),
}

_ONE_OF: Final[dict[str, tuple[str, ...]]] = {
    "Widget": (
        "textParagraph", "decoratedText", "buttonList", "image", "divider", "grid", "columns",
        "chipList", "carousel", "textInput", "selectionInput", "dateTimePicker",
    ),
    "Widgets": (
        "textParagraph", "decoratedText", "buttonList", "image", "chipList", "textInput",
        "selectionInput", "dateTimePicker",
    ),
    "OnClick": ("openLink", "card", "action", "openDynamicLinkAction", "overflowMenu"),
}  # fmt: skip
"""Of these, a message has one and not two."""

_SCALARS: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "string": ((str,), "TYPE_STRING"),
    "boolean": ((bool,), "TYPE_BOOL"),
    "integer": ((int,), "TYPE_INT32"),
    "number": ((int, float), "TYPE_FLOAT"),
}


@dataclass(frozen=True)
class Violation:
    """What is wrong, and where, as the API says it."""

    field: str
    description: str


def violations(message: object) -> list[Violation]:
    """Everything in this JSON that is no `Message`."""
    return list(_check(message, "Message", "message"))


def _check(value: object, kind: str, path: str) -> list[Violation]:
    if value is None or kind == _ANY:
        return []
    if kind.startswith("["):
        return _check_list(value, kind[1:-1], path)
    if kind in _MESSAGES:
        return _check_message(value, kind, path)
    return _check_scalar(value, kind, path)


def _check_list(value: object, kind: str, path: str) -> list[Violation]:
    if not isinstance(value, list):
        return [_invalid(path, value, f"type.googleapis.com/{kind}")]
    return [
        found for place, one in enumerate(value) for found in _check(one, kind, f"{path}[{place}]")
    ]


def _check_message(value: object, kind: str, path: str) -> list[Violation]:
    if not isinstance(value, dict):
        return [_invalid(path, value, f"type.googleapis.com/{kind}")]
    found: list[Violation] = []
    taken = [name for name in value if camel(name) in _ONE_OF.get(kind, ())]
    if len(taken) > 1:
        words = f"oneof field is already set. Cannot set '{taken[1]}'"
        found.append(Violation(path, f"Invalid value at '{path}' (oneof), {words}"))
    for name, inner in value.items():
        known = _MESSAGES[kind].get(camel(name))
        if known is None:
            words = f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}'"
            found.append(Violation(path, f"{words}: Cannot find field."))
        else:
            found.extend(_check(inner, known, f"{path}.{snake(name)}"))
    return found


def _check_scalar(value: object, kind: str, path: str) -> list[Violation]:
    if kind not in _SCALARS:
        fine = isinstance(value, str) and value in kind.split("|")
        return [] if fine else [_invalid(path, value, "TYPE_ENUM")]
    types, name = _SCALARS[kind]
    # In Python, True is an int.
    fine = isinstance(value, types) and (kind == "boolean" or not isinstance(value, bool))
    return [] if fine else [_invalid(path, value, name)]


def _invalid(path: str, value: object, kind: str) -> Violation:
    shown = msgspec.json.encode(value).decode()[:100]
    return Violation(path, f"Invalid value at '{path}' ({kind}), {shown}")


def json_names(value: object) -> object:
    """The same value with the JSON name of each field, whichever the sender used."""
    if isinstance(value, dict):
        return {camel(name): json_names(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [json_names(inner) for inner in value]
    return value


def camel(name: str) -> str:
    """The JSON name; the API takes both."""
    return re.sub("_([a-z0-9])", lambda found: found[1].upper(), name)


def snake(name: str) -> str:
    """The name in paths."""
    return re.sub("[A-Z]", lambda found: "_" + found[0].lower(), name)
