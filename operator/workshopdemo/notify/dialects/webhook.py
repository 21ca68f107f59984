"""Any other receiver: CloudEvents 1.0 in structured mode, signed as Standard Webhooks say."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Final
from urllib.parse import quote

from workshopdemo import names
from workshopdemo.model import Notice
from workshopdemo.notify.dialects import text
from workshopdemo.notify.dialects.answers import by_status
from workshopdemo.notify.dialects.credentials import authorization
from workshopdemo.notify.dialects.text import PLAIN
from workshopdemo.notify.dialects.times import moment, rfc3339
from workshopdemo.notify.message import Message
from workshopdemo.notify.wire import Answer, Credentials, HttpRequest, Verdict
from workshopdemo.observe.text import CUT

_VERBS: Final[Mapping[Notice, str]] = {
    "Success": "succeeded",
    "Failure": "failed",
    "Recovery": "recovered",
    "Missed": "missed",
    "Stuck": "stuck",
}

# An event of 64 KiB gets through everywhere (CloudEvents 1.0, size limits), and Standard Webhooks
# ask for less than 20 kB: together these are below that. In bytes, as JSON.
_FIELD: Final = 350
_LONGER: Final = {"why": 1000, "log": 3500}
_MOST_COMMANDS: Final = 8
_COMMAND: Final = 300

_PREFIX: Final = "whsec_"
_OTHER_PREFIXES: Final = ("whsk_", "whpk_")
_SHORTEST_KEY: Final = 24
_LONGEST_KEY: Final = 64


def request(message: Message, credentials: Credentials, now: datetime) -> HttpRequest:
    """The message as an event, signed with every key there is.

    Raises:
        ValueError: a key is none; `key_problem` says so before.
    """
    body = text.json_body(_event(message))
    identifier, timestamp = text.identifier(message), str(int(now.timestamp()))
    headers = {
        "Content-Type": "application/cloudevents+json; charset=UTF-8",
        "webhook-id": identifier,
        "webhook-timestamp": timestamp,
        **authorization(credentials),
    }
    if credentials.signing:
        signatures = [signature(key, identifier, timestamp, body) for key in credentials.signing]
        headers["webhook-signature"] = " ".join(signatures)
    return HttpRequest(url=credentials.url, headers=headers, body=body)


def signature(key: str, identifier: str, timestamp: str, body: bytes) -> str:
    """The signature of a delivery (Standard Webhooks 1.0, symmetric: HMAC with SHA-256).

    Raises:
        ValueError: the key is none.
    """
    signed = f"{identifier}.{timestamp}.".encode() + body
    digest = hmac.digest(_key_bytes(key), signed, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def key_problem(key: str) -> str | None:
    """What is wrong with a signing key, in words that do not hold it; None if it will do.

    A key is `whsec_` and Base64, as Standard Webhooks write it; without that prefix its characters
    are the key.
    """
    if key.startswith(_OTHER_PREFIXES):
        return "it is an asymmetric key (whsk_, whpk_): signatures are made with whsec_ and Base64"
    try:
        length = len(_key_bytes(key))
    except ValueError:
        return "what follows whsec_ is not Base64"
    if not _SHORTEST_KEY <= length <= _LONGEST_KEY:
        return f"it has {length} bytes, and must have {_SHORTEST_KEY} to {_LONGEST_KEY}"
    return None


def _key_bytes(key: str) -> bytes:
    encoded = key.removeprefix(_PREFIX)
    if encoded == key:
        return key.encode()
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        # None of its words: binascii's are about the key.
        raise ValueError("a signing key is whsec_ and Base64") from None


def _event(message: Message) -> dict[str, object]:
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": text.identifier(message),
        "source": (
            f"/apis/{names.API_VERSION}/namespaces/{_segment(message.namespace)}"
            f"/{names.PLURAL}/{_segment(message.demo)}"
        ),
        "type": f"dev.workshopdemo.{message.kind.lower()}.{_VERBS[message.outcome]}.v1",
        "subject": text.own(message.entry),
        "datacontenttype": "application/json",
        "data": _data(message),
    }
    time = moment(message.time)
    # Left out rather than sent wrong: the attribute is optional, its form is not.
    return event if time is None else {**event, "time": rfc3339(time)}


def _segment(name: str) -> str:
    """A name as one segment of a URI's path."""
    return quote(text.own(name), safe="")


def _data(message: Message) -> dict[str, object]:
    """Every field that is known, and the whole as a person would read it."""
    known = {field.name: getattr(message, field.name) for field in fields(message)}
    data = {
        _camel(name): _bounded(name, value) for name, value in known.items() if value is not None
    }
    data["headline"] = PLAIN.start(text.headline(message), _FIELD)
    data["text"] = text.plain_text(message)
    return data


def _bounded(name: str, value: object) -> object:
    if isinstance(value, tuple):
        lines = [PLAIN.start(text.one_line(str(one)), _COMMAND) for one in value[:_MOST_COMMANDS]]
        return lines if len(value) <= _MOST_COMMANDS else [*lines, CUT]
    if not isinstance(value, str):
        return value
    if name == "log":
        return PLAIN.end(text.tail(value), _LONGER[name])
    return PLAIN.start(text.one_line(value), _LONGER.get(name, _FIELD))


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def judge(answer: Answer) -> Verdict:
    """What any webhook's answer means: its status says it all (Standard Webhooks, CloudEvents).

    410 means that it is gone for good, 429 that Retry-After is to be obeyed.
    """
    return by_status(answer)
