"""The little languages in which the receivers' texts are marked up, read without trusting them."""

import html
import re
from collections.abc import Callable, Iterator
from typing import Final

from workshopdemo.inbox.card import Code, Line, Paragraph, Part, Small, Span, Style

LONGEST: Final = 12_000
"""Characters that are looked at: no honest message has more, and nobody reads more."""

# No alternative can match in two ways or look further than its own end mark: a hostile text of any
# size is read in one go.
_CHAT: Final = re.compile(
    r"(?=[`<*_~])(?:"  # most letters are none of these: one look is enough
    r"```(?P<block>(?:(?!```).)+)```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<link>[^<>\n]+)>"
    r"|(?<!\w)\*(?P<bold>[^*\n]+)\*(?!\w)"
    r"|(?<!\w)_(?P<italic>[^_\n]+)_(?!\w)"
    r"|(?<!\w)~(?P<strike>[^~\n]+)~(?!\w))",
    re.DOTALL,
)
_STYLES: Final[dict[str, Style]] = {"bold": "bold", "italic": "italic", "strike": "strike"}

_TAG: Final = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z]+)(?P<attributes>[^<>]*)>")
_HREF: Final = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_TAG_STYLES: Final[dict[str, Style]] = {
    "b": "bold", "strong": "bold", "i": "italic", "em": "italic", "s": "strike",
    "strike": "strike", "del": "strike", "code": "code", "tt": "code",
}  # fmt: skip

Unescape = Callable[[str], str]


def slack_unescape(text: str) -> str:
    """Slack knows these three, and nothing else of HTML."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def as_is(text: str) -> str:
    """Google Chat's message text knows none."""
    return text


def chat_parts(text: str, unescape: Unescape, *, small: bool = False) -> list[Part]:
    """Paragraphs and blocks of code of a text in Slack's mrkdwn or Google Chat's likeness of it."""
    parts: list[Part] = []
    spans: list[Span] = []

    def end_paragraph() -> None:
        line = _trimmed(spans)
        if line:
            parts.append(Small(line) if small else Paragraph(line))
        spans.clear()

    for found in _tokens(text[:LONGEST], unescape):
        if isinstance(found, Code):
            end_paragraph()
            parts.append(found)
        else:
            spans.append(found)
    end_paragraph()
    return parts


def chat_line(text: str, unescape: Unescape) -> Line:
    """The same, where there is no room for a block."""
    return tuple(
        Span(found.text, "code") if isinstance(found, Code) else found
        for found in _tokens(text[:LONGEST], unescape)
    )


def _tokens(text: str, unescape: Unescape) -> Iterator[Span | Code]:
    place = 0
    for found in _CHAT.finditer(text):
        if found.start() > place:
            yield Span(unescape(text[place : found.start()]))
        place = found.end()
        kind, inner = found.lastgroup or "", found[found.lastgroup or 0]
        if kind == "block":
            yield Code(unescape(inner).strip("\n"))
        elif kind == "link":
            yield _link(inner, unescape)
        else:
            yield Span(unescape(inner), _STYLES.get(kind, "code"))
    if place < len(text):
        yield Span(unescape(text[place:]))


def _link(inner: str, unescape: Unescape) -> Span:
    """`<url|label>`; and who is called by `<!channel>` or `<users/all>` stands out."""
    target, _, label = inner.partition("|")
    if is_link(target):
        return Span(unescape(label or target), url=unescape(target))
    if inner.startswith(("!", "@", "#", "users/")):
        return Span("@" + unescape(label or target.lstrip("!@#")), "bold")
    return Span(unescape(f"<{inner}>"))


def html_line(text: str) -> Line:
    """Google Chat's card texts: a little HTML. Tags that are none of those are left out."""
    spans: list[Span] = []
    open_tags: list[tuple[str, str]] = []
    place = 0
    text = text[:LONGEST]

    def add(piece: str) -> None:
        if piece:
            styles = [_TAG_STYLES[name] for name, _ in open_tags if name in _TAG_STYLES]
            urls = [url for _, url in open_tags if url]
            spans.append(Span(piece, styles[-1] if styles else "plain", urls[-1] if urls else ""))

    for found in _TAG.finditer(text):
        add(html.unescape(text[place : found.start()]))
        place = found.end()
        name = found["name"].lower()
        if name == "br":
            add("\n")
        elif found["end"]:
            _close(open_tags, name)
        else:
            open_tags.append((name, _href(found["attributes"]) if name == "a" else ""))
            del open_tags[:-20]
    add(html.unescape(text[place:]))
    return tuple(spans)


def is_link(url: str) -> bool:
    """Whether it leads to a page, and not into the browser itself."""
    return re.match(r"https?://[^\s/]", url, re.IGNORECASE) is not None


def _href(attributes: str) -> str:
    found = _HREF.search(attributes)
    url = html.unescape(found[1] or found[2] or "") if found else ""
    return url if is_link(url) else ""


def _close(open_tags: list[tuple[str, str]], name: str) -> None:
    for place in range(len(open_tags) - 1, -1, -1):
        if open_tags[place][0] == name:
            del open_tags[place]
            return


def _trimmed(spans: list[Span]) -> Line:
    """Without the empty lines before and after."""
    kept = list(spans)
    if kept:
        kept[0] = Span(kept[0].text.lstrip("\n"), kept[0].style, kept[0].url)
        kept[-1] = Span(kept[-1].text.rstrip(), kept[-1].style, kept[-1].url)
    return tuple(span for span in kept if span.text)
