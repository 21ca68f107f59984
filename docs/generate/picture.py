"""The picture of a terminal, from what stood on it."""

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

CELL = 8.43
"""Width of a character of 14 px in the common monospaced fonts, in px."""

LINE = 19
MARGIN = 16
TOP = 48
"""Of the first line; above it is the window's bar. All in px."""

_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_GREEN = "#7bd88f"
_BLUE = "#6cb6ff"
_WHITE = "#ffffff"
_LIGHTS = ("#ff5f57", "#febc2e", "#28c840")

_GROUPS = re.compile(r"\S+(?: \S+)*")
"""Words with one space between: what stands further apart is in another column."""

_PAINTED = re.compile(r"✓|\bReady\b")
_LABEL = re.compile(r"(The problem|Why|Kubernetes|What else|[A-Z][A-Za-z]+:)(?= |$)")


def svg(transcript: str) -> str:
    """The picture of these lines, drawn with one font and four colours."""
    lines = transcript.rstrip("\n").split("\n")
    width = round(2 * MARGIN + CELL * max(map(len, lines)))
    height = TOP + LINE * len(lines)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lights = (
        f'<circle cx="{20 * place}" cy="18" r="6" fill="{color}"/>'
        for place, color in enumerate(_LIGHTS, start=1)
    )
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="A terminal">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#1e2430"/>',
        "".join(lights),
        f'<g font-family="{_FONTS}" font-size="14" fill="#c9d1d9">',
        *(text for number, line in enumerate(lines) for text in _line(line, TOP + LINE * number)),
        "</g>",
        "</svg>",
    ]
    return "\n".join(body) + "\n"


def _line(line: str, y: int) -> Iterator[str]:
    """Each column at its own place, so that columns hold in a font of another width."""
    for found in _GROUPS.finditer(line):
        x = round(MARGIN + CELL * found.start())
        words = found[0]
        if line.startswith("$ "):
            painted = _tinted(words, _WHITE, bold=True)
        elif found.start() == 0 and (label := _LABEL.match(words)):
            painted = _tinted(label[0], _BLUE) + _painted(words[label.end() :])
        else:
            painted = _painted(words)
        yield f'<text x="{x}" y="{y}">{painted}</text>'


def _painted(words: str) -> str:
    return _PAINTED.sub(lambda found: _tinted(found[0], _GREEN), escape(words))


def _tinted(words: str, color: str, *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<tspan{weight} fill="{color}">{escape(words)}</tspan>'
