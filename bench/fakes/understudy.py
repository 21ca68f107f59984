"""Answers for Pods that do not exist: members of StatefulSets, and aggregators of logs.

It runs from the operator's image, with two arguments: how many lines each emitter of logs has
written, and the name of its series. The addresses of all these Pods lead here; which one was asked
is seen by the address that was called.
"""

import asyncio
import hashlib
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from lightkube import ALL_NS, AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.operators import exists
from lightkube.resources.core_v1 import Pod

from workshopdemo import logsql, names, testimony
from workshopdemo.plan import EMITTER


@dataclass(frozen=True)
class Part:
    """A Pod that is played."""

    namespace: str
    name: str
    uid: str
    component: str
    began: str

    def testimony(self) -> dict[str, Any]:
        """What it says as a member that was started once."""
        is_primary = self.name.endswith("-0")
        roles = {"role": "Primary"} if is_primary else {"role": "Replica", "streaming": True}
        entry = {"number": 1, "time": self.began, "checksum": _checksum(self.uid)}
        return {
            "member": self.name,
            "pod": self.uid,
            "identifier": "1",
            "starts": 1,
            "first": self.began,
            "intact": True,
            "entries": [entry],
            "rows": 1,
            **(roles if self.component == "database" else {}),
        }


@dataclass
class Understudy:
    """Plays all parts."""

    lines: int
    series: str
    parts: dict[str, Part] = field(default_factory=dict)
    """By address."""

    async def learn(self) -> None:
        """Follow which Pods there are."""
        client = AsyncClient()
        while True:
            try:
                async for what, pod in client.watch(
                    Pod, namespace=ALL_NS, labels={names.DEMO_UID_LABEL: exists()}
                ):
                    self._hear(what, pod)
            except ApiError as error:
                print(f"the watch broke: {error}", flush=True)

    def _hear(self, what: str, pod: Pod) -> None:
        metadata, status = pod.metadata, pod.status
        if metadata is None or status is None or not status.podIP:
            return
        if status.phase not in ("Pending", "Running"):
            what = "DELETED"  # its address may be another's now
        part = Part(
            namespace=metadata.namespace or "",
            name=metadata.name or "",
            uid=metadata.uid or "",
            component=(metadata.labels or {}).get(names.COMPONENT_LABEL, ""),
            began=f"{status.startTime or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        )
        if what != "DELETED":
            self.parts[status.podIP] = part
        elif self.parts.get(status.podIP) == part:
            del self.parts[status.podIP]

    async def testify(self, request: web.Request) -> web.Response:
        """As a member."""
        return web.json_response(self._asked(request).testimony())

    async def count(self, request: web.Request) -> web.Response:
        """As the aggregator of a namespace: all that its emitters have written is there."""
        namespace = self._asked(request).namespace
        rows = [
            {
                "k8s.pod.name": part.name,
                "series": self.series,
                **dict.fromkeys(("rows", "distinct", "highest"), str(self.lines)),
                "newest": part.began,
            }
            for part in self.parts.values()
            if (part.namespace, part.component) == (namespace, EMITTER)
        ]
        return web.Response(text="".join(f"{json.dumps(row)}\n" for row in rows))

    async def ready(self, _: web.Request) -> web.Response:
        """As itself."""
        return web.Response()

    def _asked(self, request: web.Request) -> Part:
        address = request.transport.get_extra_info("sockname")[0] if request.transport else ""
        try:
            return self.parts[address]
        except KeyError:
            raise web.HTTPServiceUnavailable(text=f"nobody is known at {address}") from None


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def main(lines: int, series: str) -> None:
    """Play until the end."""
    understudy = Understudy(lines, series)
    app = web.Application()
    app.router.add_get(testimony.TESTIMONY_PATH, understudy.testify)
    app.router.add_post(logsql.QUERY_PATH, understudy.count)
    app.router.add_get("/ready", understudy.ready)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for port in (testimony.PORT, logsql.PORT):
        await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104 - of every Pod
    await understudy.learn()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
