"""Google Chat's webhooks: `spaces.messages.create`, called with what is secret in the URL."""

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Final

import msgspec

from workshopdemo import names
from workshopdemo.inbox import reading
from workshopdemo.inbox.message import (
    Address,
    Delivery,
    Dialect,
    Filter,
    Json,
    Message,
    RefusedError,
    Reply,
    rfc3339,
)
from workshopdemo.inbox.rates import Rate
from workshopdemo.inbox.receivers.chat_schema import Violation, json_names, violations
from workshopdemo.inbox.store import Store

_MOST_BYTES: Final = 32_000
_MOST_WIDGETS: Final = 100
_LONGEST_THREAD_KEY: Final = 4000
_MOST_COLUMNS: Final = 2
_MESSAGE_ID: Final = re.compile(r"client-[a-z0-9-]{1,56}")

_REPLY_OR_NEW: Final = "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD"
_REPLY_OR_FAIL: Final = "REPLY_MESSAGE_OR_FAIL"
_REPLY_OPTIONS: Final = ("", "MESSAGE_REPLY_OPTION_UNSPECIFIED", _REPLY_OR_NEW, _REPLY_OR_FAIL)

_PARAMETERS: Final = frozenset(
    (
        *("messageId", "messageReplyOption", "requestId", "threadKey"),  # of the method
        *("key", "token", "alt", "fields", "prettyPrint", "quotaUser", "$.xgafv"),  # of every one
        "target",  # ours: which of a demo's targets it is
    )
)

_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_WORDS: Final = {
    400: "Request contains an invalid argument.",
    403: "The caller does not have permission",
    404: "Requested entity was not found.",
    429: "Resource has been exhausted (e.g. check quota).",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
}


class _ViolationsError(Exception):
    def __init__(self, found: Sequence[Violation]) -> None:
        super().__init__()
        self.found = found


class GoogleChat:
    """A message with a `requestId` is made once, however often it is sent."""

    dialect: Dialect = "GoogleChat"
    # Documented as one write a second for a space, and, elsewhere, as 60 in 60 s: both on average.
    rate: Rate | None = Rate(per_second=1, burst=5)

    def __init__(self, store: Store) -> None:
        self._store = store

    def rate_key(self, address: Address) -> Hashable:
        """All webhooks of a space share its rate."""
        return self.dialect, address.namespace, address.demo

    def receive(self, delivery: Delivery) -> Reply:
        """Make the message, give the one that was made already, or say why not."""
        try:
            body = _check(delivery)
            return self._take(delivery, body)
        except RefusedError as refused:
            return _error(refused.status, refused.words)
        except _ViolationsError as error:
            return _violated(error.found)

    def refuse(self, status: int, wait: int = 0) -> Reply:  # noqa: ARG002 - not told
        """What the API says with this status."""
        return _error(status, _WORDS.get(status, ""))

    def _take(self, delivery: Delivery, body: Json) -> Reply:
        request, client_id = delivery.query.get("requestId"), delivery.query.get("messageId")
        event = request or client_id or None
        known = self._store.find(delivery.address, event) if event else None
        if known and not request:
            raise RefusedError(409, "A message with this custom ID exists already.")
        if known:
            self._store.repeat(known, delivery.received)
            return _created(known)
        message = Message(
            address=delivery.address,
            received=delivery.received,
            body=delivery.body,
            headers=delivery.headers,
            event=event,
            thread=self._thread(delivery, body),
        )
        self._store.add(message)
        return _created(message)

    def _thread(self, delivery: Delivery, body: Json) -> str:
        """Its thread: without a reply option a new one, whatever key is given."""
        space = _space(delivery.address)
        thread = reading.mapping(body.get("thread"))
        key = reading.text(thread.get("threadKey")) or delivery.query.get("threadKey", "")
        name = reading.text(thread.get("name"))
        option = delivery.query.get("messageReplyOption", "")
        if option in (_REPLY_OR_NEW, _REPLY_OR_FAIL):
            if key:
                # A key is the webhook's own: another one's means another thread.
                return f"{space}/threads/{names.digest([delivery.address, key], 11)}"
            if name in {one.thread for one in self._store.select(_same_space(delivery.address))}:
                return name
            if option == _REPLY_OR_FAIL:
                raise RefusedError(404, _WORDS[404])
        return f"{space}/threads/{names.digest([delivery.address, self._store.next_id()], 11)}"


def _check(delivery: Delivery) -> Json:
    _check_caller(delivery.query)
    _check_parameters(delivery.query)
    if not delivery.address.is_valid:
        raise RefusedError(404, _WORDS[404])
    body = _parse(delivery.body)
    found = violations(body)
    if found:
        raise _ViolationsError(found)
    if len(delivery.body) > _MOST_BYTES:
        raise RefusedError(400, f"Message exceeds the maximum size of {_MOST_BYTES} bytes.")
    message = reading.mapping(json_names(body))
    _check_content(message, delivery.address)
    return message


def _check_caller(query: Mapping[str, str]) -> None:
    """What is secret in a real URL is the token; in ours, which opens nothing, it is `target`."""
    if not query.get("target"):
        raise RefusedError(403, "The request was called without a valid token.")


def _check_parameters(query: Mapping[str, str]) -> None:
    unknown = [name for name in query if name not in _PARAMETERS]
    if unknown:
        raise _ViolationsError(
            [
                Violation(
                    "",
                    f'Invalid JSON payload received. Unknown name "{name}": '
                    "Cannot bind query parameter. "
                    f"Field '{name}' could not be found in request message.",
                )
                for name in unknown
            ]
        )
    option = query.get("messageReplyOption", "")
    if option not in _REPLY_OPTIONS:
        words = f"Invalid value at 'message_reply_option' (TYPE_ENUM), \"{option[:100]}\""
        raise _ViolationsError([Violation("message_reply_option", words)])
    message_id = query.get("messageId")
    if message_id and not _MESSAGE_ID.fullmatch(message_id):
        raise RefusedError(400, "Custom message IDs begin with `client-` and are [a-z0-9-]{1,63}.")


def _parse(body: bytes) -> Json:
    try:
        value = reading.parse(body)
    except reading.NotJsonError as error:
        shown = body[:40].decode(errors="replace")
        words = f"Invalid JSON payload received. Unexpected token.\n{shown}\n^"
        raise RefusedError(400, words) from error
    if not isinstance(value, dict):
        words = "Invalid JSON payload received. Root element must be a message."
        raise RefusedError(400, words)
    return value


def _check_content(message: Json, address: Address) -> None:
    cards = reading.sequence(message.get("cardsV2"))
    if not (message.get("text") or cards or message.get("cards") or message.get("attachment")):
        words = "Message cannot be empty. Discarding empty create message request in"
        raise RefusedError(400, f"{words} {_space(address)}.")
    key = reading.mapping(message.get("thread")).get("threadKey")
    if len(reading.text(key)) > _LONGEST_THREAD_KEY:
        raise RefusedError(400, f"Thread keys have at most {_LONGEST_THREAD_KEY} characters.")
    for card in map(reading.mapping, cards):
        if len(cards) > 1 and not card.get("cardId"):
            raise RefusedError(400, "cardId is required if the message contains multiple cards.")
        _check_card(reading.mapping(card.get("card")))


def _check_card(card: Json) -> None:
    if "header" in card and not reading.mapping(card["header"]).get("title"):
        raise RefusedError(400, "Card header must have a title.")
    sections = [reading.mapping(one) for one in reading.sequence(card.get("sections"))]
    widgets = [reading.sequence(one.get("widgets")) for one in sections]
    if not all(widgets):
        raise RefusedError(400, "Section must have at least one widget.")
    if sum(map(len, widgets)) > _MOST_WIDGETS:
        raise RefusedError(400, f"Card cannot have more than {_MOST_WIDGETS} widgets.")
    for widget in (reading.mapping(one) for some in widgets for one in some):
        _check_widget(widget)


def _check_widget(widget: Json) -> None:
    kinds = widget.keys() - {"horizontalAlignment", "visibility", "id", "eventActions"}
    if not kinds:
        raise RefusedError(400, "Widget must have content.")
    decorated = reading.mapping(widget.get("decoratedText"))
    if "decoratedText" in kinds and not (decorated.get("text") or decorated.get("contentText")):
        raise RefusedError(400, "decoratedText must have text.")
    if "textParagraph" in kinds and not reading.mapping(widget["textParagraph"]).get("text"):
        raise RefusedError(400, "textParagraph must have text.")
    columns = reading.sequence(reading.mapping(widget.get("columns")).get("columnItems"))
    if len(columns) > _MOST_COLUMNS:
        raise RefusedError(400, f"Columns cannot have more than {_MOST_COLUMNS} items.")
    buttons = reading.sequence(reading.mapping(widget.get("buttonList")).get("buttons"))
    if "buttonList" in kinds and not buttons:
        raise RefusedError(400, "buttonList must have a button.")
    for button in map(reading.mapping, buttons):
        if not button.get("onClick") or not (button.get("text") or button.get("icon")):
            raise RefusedError(400, "Button must have text or an icon, and onClick.")


def _space(address: Address) -> str:
    return f"spaces/{address.namespace}.{address.demo}"


def _same_space(address: Address) -> Filter:
    return Filter(namespace=address.namespace, demo=address.demo, dialect=address.dialect)


def _created(message: Message) -> Reply:
    """Not the whole message: what the system has added to it."""
    space = _space(message.address)
    unique = names.digest([message.address, message.id], 11)
    return _json(
        200,
        {
            "name": f"{space}/messages/{unique}.{unique}",
            "createTime": rfc3339(message.received),
            "thread": {"name": message.thread},
            "space": {"name": space},
        },
    )


def _violated(found: Sequence[Violation]) -> Reply:
    bad_request = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [
            {**({"field": one.field} if one.field else {}), "description": one.description}
            for one in found[:20]
        ],
    }
    return _error(400, "\n".join(one.description for one in found[:20]), [bad_request])


def _error(status: int, words: str, details: Sequence[object] = ()) -> Reply:
    error = {"code": status, "message": words, "status": _STATUS.get(status, "UNKNOWN")}
    return _json(status, {"error": {**error, "details": details} if details else error})


def _json(status: int, value: object) -> Reply:
    body = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    return Reply(status=status, body=body, content_type="application/json")
