"""Asks a Pod of a demo over HTTP.

Whoever may run a Pod in the demo's namespace may stand at its address: what answers may be anybody,
and may never end, redirect or lie. No word of an answer gets into a sentence of ours.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from workshopdemo.outbound import Outbound

TOTAL_SECONDS: Final = 5.0
"""From the connection to the end of the answer."""

ANSWER_BYTES: Final = 1024 * 1024
"""More is no answer to what is asked here."""

_OK: Final = 200


class NoAnswerError(Exception):
    """There is no answer, or none to take; the text follows after the name of who was asked."""


class PodHttp:
    """One session for all Pods that are asked at one port; no connection is kept."""

    def __init__(self, *, port: int, seconds: float = TOTAL_SECONDS) -> None:
        """Nothing is connected before the first question.

        Args:
            port: of every Pod.
            seconds: that an answer may take.
        """
        self._port = port
        self._seconds = seconds
        self._outbound = Outbound()

    async def ask(self, address: str, path: str, form: Mapping[str, str] | None = None) -> bytes:
        """What answers at that address: a POST with a form, or a GET without.

        Args:
            address: of the Pod, IPv4 or IPv6.
            path: what is asked for.
            form: is sent.

        Raises:
            NoAnswerError: nothing answers in time, in measure and with HTTP 200.
        """
        url = self._url(address, path)
        try:
            return await self._answer(url, form)
        except TimeoutError:
            raise NoAnswerError(f" did not answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswerError(f" cannot be reached ({type(error).__name__})") from None

    async def close(self) -> None:
        """Break off what is under way."""
        await self._outbound.close()

    def _url(self, address: str, path: str) -> URL:
        try:
            host = ipaddress.ip_address(address)
        except ValueError:
            raise NoAnswerError("'s Pod has no address yet") from None
        literal = f"[{host}]" if host.version == 6 else str(host)  # noqa: PLR2004 - IPv6
        return URL(f"http://{literal}:{self._port}{path}", encoded=True)

    async def _answer(self, url: URL, form: Mapping[str, str] | None) -> bytes:
        async with self._outbound.session().request(
            "GET" if form is None else "POST",
            url,
            data=form,
            headers={"Accept-Encoding": "identity"},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=self._seconds),
        ) as response:
            if response.status != _OK:
                raise NoAnswerError(f" answered with HTTP {response.status}")
            return await _bounded(response)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    answer = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        answer += chunk
        if len(answer) > ANSWER_BYTES:
            raise NoAnswerError("'s answer does not end")
    return bytes(answer)
