"""Alertmanager's API v2: alerts are told apart by their labels, and end by the clock."""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from workshopdemo.inbox import reading
from workshopdemo.inbox.message import (
    Address,
    Alert,
    Delivery,
    Dialect,
    Json,
    Message,
    RefusedError,
    Reply,
)
from workshopdemo.inbox.rates import Rate
from workshopdemo.inbox.store import Store

_RESOLVE_TIMEOUT: Final = timedelta(minutes=5)
"""Alertmanager's default: what is silent for so long and names no end counts as resolved."""

# As Prometheus has it, and Alertmanager in its classic mode: what every version takes.
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

_URI: Final = re.compile(r"/|[a-zA-Z][a-zA-Z0-9+.-]*:")

_GO_TYPES: Final[tuple[tuple[type, str], ...]] = (
    (dict, "object"),
    (list, "array"),
    (str, "string"),
    (bool, "bool"),
    (int, "number"),
    (float, "number"),
    (type(None), "null"),
)

_REQUIRED: Final = 602
_WRONG_TYPE: Final = 601


@dataclass(frozen=True, kw_only=True)
class _Posted:
    """One element of what was posted."""

    raw: Json
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts: datetime | None
    ends: datetime | None


class Alertmanager:
    """One message an alert, for as long as the inbox remembers it."""

    dialect: Dialect = "Alertmanager"
    rate: Rate | None = None

    def __init__(self, store: Store) -> None:
        self._store = store

    def rate_key(self, address: Address) -> Hashable:
        """Nobody is limited."""
        return address

    def receive(self, delivery: Delivery) -> Reply:
        """Take all alerts that are fine, those beside one that is not too: then it says 400."""
        try:
            posted = _parse(delivery)
        except RefusedError as refused:
            return _problem(refused.status, refused.status, refused.words)
        except _SchemaError as error:
            return _problem(422, error.code, str(error))
        problems = []
        for one in posted:
            problem = _problem_of(one, delivery.received)
            if problem:
                problems.append(problem)
            else:
                self._put(one, delivery)
        if problems:
            return self._say(400, "; ".join(problems))
        return Reply(content_type="application/json")

    def refuse(self, status: int, wait: int = 0) -> Reply:  # noqa: ARG002 - not told
        """What Alertmanager says with this status."""
        return self._say(status, "")

    def _put(self, posted: _Posted, delivery: Delivery) -> None:
        now = delivery.received
        labels = {name: value for name, value in posted.labels.items() if value}
        event = fingerprint(labels)
        message = self._store.find(delivery.address, event)
        new = _lasting(posted, now)
        if message is None or message.alert is None:
            new.note(now)
            self._store.add(
                Message(
                    address=delivery.address,
                    received=now,
                    body=msgspec.json.encode(posted.raw),
                    headers=delivery.headers,
                    event=event,
                    alert=new,
                )
            )
            return
        message.alert.settle(now)
        message.alert = _merge(message.alert, new, now)
        message.alert.note(now)
        message.body = msgspec.json.encode(posted.raw)
        self._store.repeat(message, now)

    def _say(self, status: int, words: str) -> Reply:
        return Reply(
            status=status, body=msgspec.json.encode(words) + b"\n", content_type="application/json"
        )


def fingerprint(labels: Mapping[str, str]) -> str:
    """What Alertmanager knows an alert by: FNV-1a of its labels, which are in order."""
    data = b"".join(
        name.encode() + b"\xff" + value.encode() + b"\xff" for name, value in sorted(labels.items())
    )
    found = 0xCBF29CE484222325
    for byte in data:
        found = ((found ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{found:016x}"


class _SchemaError(Exception):
    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


def _parse(delivery: Delivery) -> list[_Posted]:
    if not delivery.address.is_valid:
        raise RefusedError(404, "path was not found")
    if delivery.media_type != "application/json":
        words = (
            f'unsupported media type "{delivery.media_type}", only [application/json] are allowed'
        )
        raise RefusedError(415, words)
    if not delivery.body.strip():
        raise _SchemaError(_REQUIRED, "alerts in body is required")
    try:
        value = reading.parse(delivery.body)
    except reading.NotJsonError as error:
        raise _unparsed(str(error)) from error
    if value is None:
        return []
    if not isinstance(value, list):
        raise _mistyped(value, "value of type models.PostableAlerts")
    posted = [_posted(one) for one in value]
    for place, one in enumerate(posted):
        if "labels" not in one.raw or one.raw["labels"] is None:
            raise _SchemaError(_REQUIRED, f"{place}.labels in body is required")
        url = reading.text(one.raw.get("generatorURL"))
        if url and not _URI.match(url):
            words = f'{place}.generatorURL in body must be of type uri: "{url}"'
            raise _SchemaError(_WRONG_TYPE, words)
    return posted


def _posted(value: object) -> _Posted:
    if not isinstance(value, dict):
        raise _mistyped(value, "value of type models.PostableAlert")
    if not isinstance(value.get("generatorURL", ""), str | None):
        field = "struct field Alert.generatorURL of type string"
        raise _mistyped(value["generatorURL"], field)
    return _Posted(
        raw=value,
        labels=_strings(value.get("labels"), "labels"),
        annotations=_strings(value.get("annotations"), "annotations"),
        starts=_time(value.get("startsAt"), "startsAt"),
        ends=_time(value.get("endsAt"), "endsAt"),
    )


def _strings(value: object, name: str) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _mistyped(value, f"struct field .{name} of type models.LabelSet")
    for inner in value.values():
        if not isinstance(inner, str):
            raise _mistyped(inner, f"struct field Alert.{name} of type string")
    return value


def _time(value: object, name: str) -> datetime | None:
    """Go's zero time means that there is none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _mistyped(value, f"struct field .{name} of type string")
    found = reading.time(value)
    if found is None:
        shown = msgspec.json.encode(value[:100]).decode()
        raise _unparsed(f"parsing time {shown}: cannot parse")
    return None if found.year == 1 else found


def _mistyped(value: object, wanted: str) -> RefusedError:
    found = next(name for types, name in _GO_TYPES if isinstance(value, types))
    return _unparsed(f"json: cannot unmarshal {found} into Go {wanted}")


def _unparsed(words: str) -> RefusedError:
    return RefusedError(400, f'parsing alerts body from "" failed, because {words}')


def _problem_of(posted: _Posted, now: datetime) -> str | None:
    """What is wrong with an alert that could be read."""
    starts = posted.starts or posted.ends or now
    if posted.ends and posted.ends < starts:
        return "start time must be before end time"
    if not any(posted.labels.values()):
        return "at least one label pair required"
    for kind, pairs in (("label set", posted.labels), ("annotations", posted.annotations)):
        for name, value in pairs.items():
            if not _LABEL_NAME.fullmatch(name) and (value or kind == "annotations"):
                return f"invalid {kind}: invalid name {msgspec.json.encode(name).decode()}"
    return None


def _lasting(posted: _Posted, now: datetime) -> Alert:
    return Alert(
        starts=posted.starts or posted.ends or now,
        ends=posted.ends or now + _RESOLVE_TIMEOUT,
        is_timeout=posted.ends is None,
    )


def _merge(old: Alert, new: Alert, now: datetime) -> Alert:
    """One alert of two whose times overlap, as Alertmanager merges them; else the new one."""
    overlap = old.starts < new.ends < old.ends or old.starts < new.starts < old.ends
    starts, ends = new.starts, new.ends
    if overlap:
        starts = min(old.starts, new.starts)
        both_resolved = new.ends <= now and old.ends <= now
        still_named = new.ends > now and not old.is_timeout
        if old.ends > new.ends and (both_resolved or still_named):
            ends = old.ends
    return Alert(starts=starts, ends=ends, is_timeout=new.is_timeout, flips=old.flips)


def _problem(status: int, code: int, words: str) -> Reply:
    """As the API's framework says it, before Alertmanager has looked at anything."""
    body = msgspec.json.encode({"code": code, "message": words})
    return Reply(status=status, body=body, content_type="application/json")
