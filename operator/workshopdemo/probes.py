"""What the operator is asked about itself, over HTTP: is it alive, is it ready, how does it do?"""

from collections.abc import Awaitable, Callable

from aiohttp import web

Problems = Callable[[], list[str]]
"""What is wrong now, each in a sentence; nothing is well."""


Scrape = Callable[[str], tuple[bytes, str]]
"""Gives numbers for Prometheus and their media type, by the request's Accept."""


class Probes:
    """A small HTTP server for the kubelet and for Prometheus."""

    def __init__(self, *, alive: Problems, ready: Problems, scrape: Scrape) -> None:
        app = web.Application()
        app.router.add_get("/healthz", _answering(alive))
        app.router.add_get("/readyz", _answering(ready))
        app.router.add_get("/metrics", _scraped(scrape))
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self, port: int) -> None:
        """Listen on all addresses: the kubelet comes from outside the Pod."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "0.0.0.0", port).start()  # noqa: S104

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()


def _answering(problems: Problems) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        found = problems()
        return web.Response(text="\n".join(found or ["ok"]) + "\n", status=503 if found else 200)

    return answer


def _scraped(scrape: Scrape) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        body, media_type = scrape(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": media_type})

    return answer
