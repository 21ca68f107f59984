"""What Kubernetes asks the operator about itself, over HTTP: is it alive, is it ready?"""

from collections.abc import Awaitable, Callable

from aiohttp import web

Problems = Callable[[], list[str]]
"""What is wrong now, each in a sentence; nothing is well."""


class Probes:
    """A small HTTP server for the kubelet."""

    def __init__(self, *, alive: Problems, ready: Problems) -> None:
        app = web.Application()
        app.router.add_get("/healthz", _answering(alive))
        app.router.add_get("/readyz", _answering(ready))
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
