"""How the programs talk: plain lines that fit a terminal and appear at once."""

import textwrap
from typing import Final

LINE_LENGTH: Final = 100


def say(text: str) -> None:
    """Print a sentence or two, wrapped.

    Flushed, because Python buffers what it writes to a pipe, and a container's log is one: without
    it, `kubectl logs --follow` shows nothing until the program ends.
    """
    for line in text.splitlines():
        print(textwrap.fill(line, LINE_LENGTH, break_on_hyphens=False), flush=True)
