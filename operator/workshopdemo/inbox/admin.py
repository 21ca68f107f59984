"""What is asked of the inbox: messages, counts, faults, switches, and the page for people."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime
from importlib import resources
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from workshopdemo.inbox import page, shown, views
from workshopdemo.inbox.faults import Fault, Faults, Name, TooManyFaultsError
from workshopdemo.inbox.keys import Keys
from workshopdemo.inbox.message import DIALECTS, Filter, Message
from workshopdemo.inbox.rates import RateLimits
from workshopdemo.inbox.receivers.webhook import decode_key
from workshopdemo.inbox.store import Store

logger = logging.getLogger(__name__)

T = TypeVar("T")

_SAFE: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class Switches(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What is to be another way; what is not named stays as it is."""

    rate_limits: bool | None = None
    signing_secret: str | None = None
    """Of the webhooks that the names below mean; empty: forget it."""

    namespace: Name | None = None
    demo: Name | None = None
    target: Name | None = None


class Admin:
    """Everything beside the receivers."""

    def __init__(
        self,
        *,
        store: Store,
        faults: Faults,
        limits: RateLimits,
        keys: Keys,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._faults = faults
        self._limits = limits
        self._keys = keys
        self._now = now
        self._style = resources.files("workshopdemo.inbox").joinpath("page.css").read_text("utf-8")

    def add_to(self, app: web.Application) -> None:
        """Serve it."""
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/messages", self._messages)
        app.router.add_delete("/messages", self._clear)
        app.router.add_get("/counts", self._counts)
        app.router.add_post("/faults", self._add_fault)
        app.router.add_get("/faults", self._list_faults)
        app.router.add_delete("/faults", self._remove_faults)
        app.router.add_put("/settings", self._switch)
        app.router.add_get("/settings", self._settings)
        app.router.add_get("/page.css", self._css)
        app.router.add_get("/", self._page)

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        """The newest of those that are meant, the oldest first."""
        wanted = _filter(request, {"limit"})
        limit = request.query.get("limit", "")
        if limit and not (limit.isdecimal() and int(limit[:9]) > 0):
            raise _bad("limit is a number from 1")
        found = self._store.select(wanted)
        if limit:
            found = found[-int(limit[:9]) :]
        dropped = self._store.counted(wanted).dropped
        answer = web.StreamResponse(headers=_SAFE)
        answer.content_type = "application/json"
        await answer.prepare(request)
        with suppress(ConnectionResetError):  # whoever hangs up has read enough
            await self._write(answer, found, dropped)
        return answer

    async def _write(
        self, answer: web.StreamResponse, messages: Sequence[Message], dropped: int
    ) -> None:
        """One by one, with a pause after each.

        All at once would take much memory, and keep those waiting who deliver meanwhile.
        """
        await answer.write(b'{"messages":[')
        now = self._now()
        for place, one in enumerate(messages):
            await answer.write(b"," * bool(place) + msgspec.json.encode(shown.message(one, now)))
            await asyncio.sleep(0)
        await answer.write(b'],"dropped":%d}' % dropped)

    async def _clear(self, request: web.Request) -> web.Response:
        return _json({"deleted": self._store.clear(_filter(request))})

    async def _counts(self, request: web.Request) -> web.Response:
        wanted = _filter(request)
        counts = self._store.counted(wanted)
        return _json(
            {
                "stored": counts.stored,
                "kept": len(self._store.select(wanted)),
                "repeats": counts.repeats,
                "dropped": counts.dropped,
                "refused": counts.refused,
            }
        )

    async def _add_fault(self, request: web.Request) -> web.Response:
        fault = await _read(request, Fault)
        _check_dialect(fault.dialect)
        try:
            active = self._faults.add(fault)
        except TooManyFaultsError as error:
            raise _bad(str(error)) from error
        logger.info("%r", shown.fault_words(active))
        return _json(shown.fault(active), status=201)

    async def _list_faults(self, _request: web.Request) -> web.Response:
        return _json({"faults": [shown.fault(one) for one in self._faults]})

    async def _remove_faults(self, request: web.Request) -> web.Response:
        return _json({"deleted": self._faults.remove(_filter(request))})

    async def _switch(self, request: web.Request) -> web.Response:
        switches = await _read(request, Switches)
        if switches.signing_secret is not None:
            wanted = Filter(switches.namespace, switches.demo, switches.target)
            secret = switches.signing_secret
            try:
                self._keys.put(wanted, decode_key(secret) if secret else None)
            except ValueError as error:
                raise _bad(str(error)) from error
        if switches.rate_limits is not None:
            self._limits.enabled = switches.rate_limits
            logger.info("rate limits are %s", "on" if self._limits.enabled else "off")
        return await self._settings(request)

    async def _settings(self, _request: web.Request) -> web.Response:
        """Whose secrets are known, and none of them."""
        known = [
            {"namespace": one.namespace, "demo": one.demo, "target": one.target}
            for one in self._keys.filters()
        ]
        return _json({"rateLimits": self._limits.enabled, "signingSecrets": known})

    async def _css(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css", headers=_SAFE)

    async def _page(self, request: web.Request) -> web.Response:
        wanted = _filter(request, {"follow"})
        now = self._now()
        newest = self._store.select(wanted)[: -page.MOST_CARDS - 1 : -1]
        scene = page.Scene(
            wanted=wanted,
            cards=[(message, views.card(message, now)) for message in newest],
            counts=self._store.counted(wanted),
            demos=list(self._store.demos()),
            faults=[shown.fault_words(one) for one in self._faults],
            now=now,
            refreshes=request.query.get("follow") != "no",
        )
        return web.Response(
            text=page.render(scene),
            content_type="text/html",
            headers={
                **_SAFE,
                "Content-Security-Policy": page.POLICY,
                "Referrer-Policy": "no-referrer",
            },
        )


def _filter(request: web.Request, others: Collection[str] = ()) -> Filter:
    """What the query means. A misspelt name must not mean everything."""
    query = request.query
    unknown = set(query) - {*Filter._fields, *others}
    if unknown or len(query) != len(set(query)):
        raise _bad(f"the query has each once of {', '.join([*Filter._fields, *others])}")
    _check_dialect(query.get("dialect"))
    return Filter(*(query.get(name) for name in Filter._fields))


def _check_dialect(dialect: str | None) -> None:
    if dialect is not None and dialect not in DIALECTS:
        raise _bad(f"dialect is one of {', '.join(DIALECTS)}")


async def _read(request: web.Request, kind: type[T]) -> T:
    """The body. Its type is asked for because no foreign page may send that one unasked."""
    if request.content_type != "application/json":
        raise _bad("the content type is application/json")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _bad(str(error)) from error


def _bad(words: str) -> web.HTTPBadRequest:
    text = msgspec.json.encode({"error": words}).decode()
    return web.HTTPBadRequest(text=text, content_type="application/json", headers=_SAFE)


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        content_type="application/json",
        headers=_SAFE,
    )
