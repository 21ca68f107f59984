"""`python3 -m workshopdemo`: the operator."""

import asyncio
import logging
import os
import sys

import kopf

from workshopdemo import app, settings
from workshopdemo.errors import InvalidSpecError


def main() -> int:
    """Run the operator; gives the exit code."""
    try:
        loaded = settings.load(os.environ)
    except InvalidSpecError as error:
        sys.stderr.write(f"cannot start: {error}\n")
        return 2
    kopf.configure(
        log_format=kopf.LogFormat.JSON if loaded.log_format == "json" else kopf.LogFormat.FULL
    )
    logging.getLogger().setLevel(loaded.log_level)
    # A line for every request and every event would bury what matters.
    for noisy in ("httpx2", "kopf.objects"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    asyncio.run(app.run(loaded))
    return 0


if __name__ == "__main__":
    sys.exit(main())
