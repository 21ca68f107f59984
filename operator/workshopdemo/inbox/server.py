"""The inbox over HTTP: what is posted, what is asked of it, and what shall go wrong."""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from aiohttp import web

from workshopdemo.inbox.admin import Admin
from workshopdemo.inbox.faults import ActiveFault, Faults
from workshopdemo.inbox.keys import Keys
from workshopdemo.inbox.message import Address, Delivery, Dialect, Reply
from workshopdemo.inbox.rates import RateLimits, whole_seconds
from workshopdemo.inbox.receivers import Receiver
from workshopdemo.inbox.receivers.alertmanager import Alertmanager
from workshopdemo.inbox.receivers.alertmanager_webhook import AlertmanagerWebhook
from workshopdemo.inbox.receivers.googlechat import GoogleChat
from workshopdemo.inbox.receivers.slack import Slack
from workshopdemo.inbox.receivers.webhook import Webhook
from workshopdemo.inbox.store import Store

_MOST_BODY: Final = 256 * 1024
_MOST_STORED: Final = 16 * 1024 * 1024
_MOST_BUSY: Final = 128
"""Deliveries at the same time: each may hold a body while a fault delays it."""

_READ_SECONDS: Final = 15.0
_HARMLESS: Final = ("content-type", "webhook-id", "webhook-timestamp", "webhook-signature")

logger = logging.getLogger(__name__)

AddressOf = Callable[[web.Request], Address]


@dataclass(frozen=True, kw_only=True)
class _Route:
    path: str
    receiver: Receiver
    address_of: AddressOf


class Inbox:
    """Everything that one inbox is."""

    def __init__(
        self,
        *,
        most_messages: int,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        """Empty, with nothing going wrong.

        Args:
            most_messages: that are kept; there is a bound of bytes too.
            now: the time of day.
            clock: seconds that never go back.
        """
        self._now = now
        self._store = Store(most_messages=most_messages, most_bytes=_MOST_STORED)
        self._faults = Faults(clock)
        self._limits = RateLimits(clock)
        self._keys = Keys()
        self._busy = 0
        self._admin = Admin(
            store=self._store, faults=self._faults, limits=self._limits, keys=self._keys, now=now
        )

    def application(self) -> web.Application:
        """To be served, or tested."""
        app = web.Application(client_max_size=_MOST_BODY)
        for route in self._routes():
            app.router.add_post(route.path, self._deliver(route.receiver, route.address_of))
        self._admin.add_to(app)
        return app

    def _routes(self) -> list[_Route]:
        store = self._store
        names = "{namespace}/{demo}/{target}"
        return [
            _Route(
                path=f"/slack/services/{names}",
                receiver=Slack(store),
                address_of=_named("Slack"),
            ),
            _Route(
                path="/googlechat/v1/spaces/{space}/messages",
                receiver=GoogleChat(store),
                address_of=_in_space,
            ),
            _Route(
                path=f"/alertmanager/{names}/api/v2/alerts",
                receiver=Alertmanager(store),
                address_of=_named("Alertmanager"),
            ),
            _Route(
                path=f"/webhook/{names}",
                receiver=Webhook(store, self._keys.of),
                address_of=_named("Webhook"),
            ),
            _Route(
                path="/alertmanager-webhook{rest:(/.*)?}",
                receiver=AlertmanagerWebhook(store),
                address_of=lambda _request: _nobody("AlertmanagerWebhook"),
            ),
        ]

    def _deliver(
        self, receiver: Receiver, address_of: AddressOf
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def deliver(request: web.Request) -> web.StreamResponse:
            address = address_of(request)
            # Names that cannot be are refused, and are not worth to be remembered.
            counted = address if address.is_valid else _nobody(receiver.dialect)
            if self._busy >= _MOST_BUSY:
                return self._respond(counted, receiver.refuse(503))
            self._busy += 1
            try:
                return await self._answer(request, receiver, address, counted)
            finally:
                self._busy -= 1

        return deliver

    async def _answer(
        self, request: web.Request, receiver: Receiver, address: Address, counted: Address
    ) -> web.StreamResponse:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._respond(counted, receiver.refuse(413))
        except TimeoutError:
            return self._respond(counted, receiver.refuse(408))
        active = self._faults.find(address)
        if active and not active.fault.after_storing:
            failed = await self._fail(request, receiver, counted, active)
            if failed:
                return failed
        reply = self._receive(
            receiver,
            Delivery(
                address=address,
                query=request.query,
                headers=_harmless(request.headers),
                body=body,
                received=self._now(),
            ),
        )
        if active and active.fault.after_storing and reply.is_accepted:
            failed = await self._fail(request, receiver, counted, active)
            if failed:
                return failed
        return self._respond(counted, reply)

    def _receive(self, receiver: Receiver, delivery: Delivery) -> Reply:
        if receiver.rate is not None:
            wait = self._limits.wait(receiver.rate_key(delivery.address), receiver.rate)
            if wait:
                return receiver.refuse(429, whole_seconds(wait))
        return receiver.receive(delivery)

    async def _fail(
        self, request: web.Request, receiver: Receiver, counted: Address, active: ActiveFault
    ) -> web.StreamResponse | None:
        """Let the fault happen; None: it was only a delay."""
        active.used += 1
        fault = active.fault
        await asyncio.sleep(fault.delay)
        if fault.reset:
            self._store.counts(counted).refuse("reset")
            return _reset(request)
        if not fault.answers:
            return None
        status = 200 if fault.status is None else fault.status
        reply = receiver.refuse(status)
        if fault.body is not None:
            reply = replace(reply, body=fault.body.encode())
        if fault.retry_after is not None:
            reply = replace(reply, headers={"Retry-After": str(fault.retry_after)})
        return self._respond(counted, reply)

    def _respond(self, counted: Address, reply: Reply) -> web.Response:
        if not reply.is_accepted:
            self._store.counts(counted).refuse(str(reply.status))
        logger.debug("%s: %d", "/".join(counted), reply.status)
        return web.Response(
            status=reply.status,
            body=reply.body,
            content_type=reply.content_type if reply.body else None,
            headers=reply.headers,
        )


def _named(dialect: Dialect) -> AddressOf:
    def address(request: web.Request) -> Address:
        found = request.match_info
        return Address(found["namespace"], found["demo"], found["target"], dialect)

    return address


def _in_space(request: web.Request) -> Address:
    """A namespace has no dot, the name of a demo may have some."""
    namespace, _, demo = request.match_info["space"].partition(".")
    return Address(namespace, demo, request.query.get("target", ""), "GoogleChat")


def _harmless(headers: Mapping[str, str]) -> dict[str, str]:
    """Those worth keeping, as text: in a header any byte may stand, and JSON has no room for it."""
    return {
        name: headers[name].encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:1024]
        for name in _HARMLESS
        if name in headers
    }


def _nobody(dialect: Dialect) -> Address:
    return Address("", "", "", dialect)


def _reset(request: web.Request) -> web.Response:
    """Close the connection so that the other side gets a reset, and no polite end."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
    return web.Response()
