"""`python3 -m workshopdemo.inbox`: the inbox."""

import asyncio
import logging
import os
import signal
import sys
from datetime import UTC, datetime

from aiohttp import web

from workshopdemo.errors import InvalidSpecError
from workshopdemo.inbox.server import Inbox
from workshopdemo.inbox.settings import Settings, load

_GRACE_SECONDS = 0.3
"""For answers under way when it is told to stop."""

logger = logging.getLogger("workshopdemo.inbox")


def main() -> int:
    """Run the inbox; gives the exit code."""
    try:
        settings = load(os.environ)
    except InvalidSpecError as error:
        sys.stderr.write(f"cannot start: {error}\n")
        return 2
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    )
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, told_to_stop.set)
    inbox = Inbox(
        most_messages=settings.most_messages, now=lambda: datetime.now(UTC), clock=loop.time
    )
    runner = web.AppRunner(inbox.application(), access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "0.0.0.0", settings.port).start()  # noqa: S104 - it is a Service
        logger.info("listening on port %d", settings.port)
        await told_to_stop.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
