"""Every request to the API server is told of: whatever asks, goes through here."""

import re
from collections.abc import Callable
from typing import Final

import httpx2

Answered = Callable[[str, str, str], None]
"""Is told of a request: its verb and kind as RBAC has them, and HTTP's code, or `NO_ANSWER`."""

NO_ANSWER: Final = "none"

DISCOVERY: Final = "discovery"
"""Kind of what is asked of no resource: which groups and kinds there are."""

_RESOURCE: Final = re.compile(
    r"/(?:api|apis/[^/]+)/[^/]+/(?:namespaces/[^/]+/)?"
    r"(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?$"
)
_VERBS: Final = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}


def asked(method: str, path: str) -> tuple[str, str]:
    """Verb and kind of a request: nothing that names an object or a namespace."""
    found = _RESOURCE.search(path)
    if found is None:
        return "get", DISCOVERY
    kind = found["plural"] + (f"/{found['subresource']}" if found["subresource"] else "")
    return _VERBS.get(method) or ("get" if found["name"] else "list"), kind


class CountingTransport(httpx2.AsyncBaseTransport):
    """A transport that tells of each request how it was answered."""

    def __init__(self, transport: httpx2.AsyncBaseTransport, answered: Answered) -> None:
        self._transport = transport
        self._answered = answered

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request by the transport beneath."""
        verb, kind = asked(request.method, request.url.path)
        try:
            response = await self._transport.handle_async_request(request)
        except httpx2.HTTPError:
            self._answered(verb, kind, NO_ANSWER)
            raise
        self._answered(verb, kind, str(response.status_code))
        return response

    async def aclose(self) -> None:
        """Close the transport beneath."""
        await self._transport.aclose()
