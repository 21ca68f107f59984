"""Writes a piece of the log shipper's configuration: the headers, whose values are secrets.

The OpenTelemetry Collector puts values into its configuration for `${env:…}` and `${file:…}`, and
then looks into what it has put in. So a Secret that held `${file:/var/log/pods/…}` would send
a file of the node to whoever receives the logs. Here no value means more than it says.

HEADERS is a JSON object, name of each header → variable with its value; FILE is written.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from workshopdemo.programs import env
from workshopdemo.programs.say import say


def config(headers: dict[str, str]) -> dict[str, Any]:
    """The piece of configuration, as data: its JSON is YAML, which the collector reads."""
    literal = {_literal(name): _literal(value) for name, value in headers.items()}
    return {"exporters": {"otlp_http": {"headers": literal}}}


def _literal(text: str) -> str:
    """A text in which the collector finds nothing to put in: it reads `$$` as `$`."""
    return text.replace("$", "$$")


def main() -> int:
    """Write it. Nothing of a value is ever said."""
    variables: dict[str, str] = json.loads(env.text("HEADERS", "{}"))
    headers = {name: env.text(variable) for name, variable in variables.items()}
    file = Path(os.environ["FILE"])
    file.write_text(json.dumps(config(headers)), encoding="utf-8")
    say(f"Wrote {len(headers)} header(s) for the log shipper.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
