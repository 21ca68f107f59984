"""Slack's incoming webhooks: Block Kit, in the colour of the outcome.

Neither `channel` nor `username` is ever sent: a webhook has its own, and answers 404 to others.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from workshopdemo.model import Notice
from workshopdemo.notify.dialects import text
from workshopdemo.notify.dialects.answers import by_status, in_short, is_success, told
from workshopdemo.notify.dialects.text import Markup
from workshopdemo.notify.message import Message
from workshopdemo.notify.wire import Answer, Credentials, Fate, HttpRequest, Verdict

_COLOURS: Final[Mapping[Notice, str]] = {
    "Failure": "danger",
    "Stuck": "danger",
    "Missed": "warning",
    "Success": "good",
    "Recovery": "good",
}

_HEADER: Final = 150
"""Characters of a header block's text (Block Kit reference)."""

# A section takes 3000 characters (Block Kit reference); of all blocks together people have met
# `msg_blocks_too_long` from 13,200 on, which is not documented. Together these are below 10,000.
_FALLBACK: Final = 400
_FIRST_FACT: Final = 600
_FACT: Final = 240
_LOG: Final = 2800
_COMMANDS: Final = 1900
_CONTEXT: Final = 150

# These three and no other are escaped (Slack: formatting text); back-ticks cannot be, and would end
# a block of code.
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PLAIN: Final = Markup(lambda one: _ESCAPES.get(one, one), text.utf16_size)
_CODE: Final = Markup(lambda one: "ˋ" if one == "`" else _PLAIN.escape(one), text.utf16_size)
# The fallback is mrkdwn, where other marks have no escape, and a bare `@here` has been one too.
_WORDS: Final = Markup(
    lambda one: _ESCAPES.get(one) or one.translate(text.LIKENESSES), text.utf16_size
)

_WORDS_OF_SLACK: Final[Mapping[str, tuple[Fate, str]]] = {
    "invalid_payload": ("MessageRefused", "it could not be read"),
    "no_text": ("MessageRefused", "there was no text in it"),
    "invalid_blocks": ("MessageRefused", "a block is not as Block Kit has it"),
    "invalid_blocks_format": ("MessageRefused", "the blocks are no list of blocks"),
    "invalid_attachments": ("MessageRefused", "an attachment is not as Slack has it"),
    "too_many_attachments": ("MessageRefused", "it had more than 100 attachments"),
    "msg_blocks_too_long": ("MessageRefused", "its blocks were too long"),
    "msg_too_long": ("MessageRefused", "it was too long"),
    "invalid_token": ("TargetRefused", "the URL is wrong or was revoked"),
    "no_service": ("TargetRefused", "the webhook is disabled, removed or wrong"),
    "no_service_id": ("TargetRefused", "the URL is incomplete"),
    "no_active_hooks": ("TargetRefused", "the webhook is disabled"),
    "no_team": ("TargetRefused", "there is no such workspace"),
    "team_disabled": ("TargetRefused", "the workspace is disabled"),
    "channel_not_found": ("TargetRefused", "the webhook's channel is gone"),
    "channel_is_archived": ("TargetRefused", "the webhook's channel is archived"),
    "user_not_found": ("TargetRefused", "the person whom the webhook writes to is gone"),
    "action_prohibited": ("TargetRefused", "an administrator forbids it"),
    "posting_to_general_channel_denied": ("TargetRefused", "not everybody may write to #general"),
    "rate_limited": ("Retry", "too many messages"),
    "rollup_error": ("Retry", "something went wrong at Slack"),
}
"""Slack's errors for webhooks, and what they mean to whoever set the webhook up."""


def request(message: Message, credentials: Credentials, _now: datetime) -> HttpRequest:
    """The message for Slack."""
    headline = text.headline(message)
    where = f"{headline} · demo {message.demo} in namespace {message.namespace}"
    fallback = _WORDS.start(text.one_line(where), _FALLBACK)
    payload = {
        # With blocks beside it, this is what phones and screen readers tell.
        "text": fallback,
        "blocks": [{"type": "header", "text": _plain(_PLAIN.start(headline, _HEADER))}],
        "attachments": [
            {
                "color": _COLOURS[message.outcome],
                "fallback": fallback,
                "blocks": _blocks(message),
            }
        ],
    }
    return HttpRequest(
        url=credentials.url,
        headers={"Content-Type": "application/json"},
        body=text.json_body(payload),
    )


def _blocks(message: Message) -> list[object]:
    blocks: list[object] = []
    facts = text.fact_lines(message, _PLAIN, first=_FIRST_FACT, others=_FACT)
    if facts:
        blocks.append({"type": "section", "text": _plain(text.as_lines(facts))})
    log, commands = text.tail(message.log), text.commands(message)
    if log:
        blocks.append(_code(text.LOG_CAPTION, _CODE.end(log, _LOG)))
    if commands:
        blocks.append(_code(text.COMMANDS_CAPTION, _CODE.start(commands, _COMMANDS)))
    notes = [f"id {text.identifier(message)}"]
    if message.may_repeat:
        notes.append(text.REPEAT)
    elements = [_plain(_PLAIN.start(note, _CONTEXT)) for note in notes]
    blocks.append({"type": "context", "elements": elements})
    return blocks


def _plain(escaped: str) -> object:
    """Text in which no mark means anything, and `:x:` no picture."""
    return {"type": "plain_text", "text": escaped, "emoji": False}


def _code(caption: str, escaped: str) -> object:
    # Verbatim: nothing in it becomes a link or a mention by itself.
    words = f"*{caption}*\n```\n{escaped}\n```"
    return {"type": "section", "text": {"type": "mrkdwn", "text": words, "verbatim": True}}


def judge(answer: Answer) -> Verdict:
    """What Slack's answer means: `ok`, or a word that says more than the status does."""
    verdict = by_status(answer)
    word = answer.body.strip()
    if is_success(answer) and word == "ok":
        return verdict
    if word in _WORDS_OF_SLACK and answer.code != 429:  # noqa: PLR2004 - too many requests
        fate, meaning = _WORDS_OF_SLACK[word]
        after = answer.retry_after if fate == "Retry" else None
        return Verdict(fate=fate, words=f"{word}: {meaning}", after=after)
    if not is_success(answer):
        return verdict
    if answer.problem:
        return Verdict(fate="Retry", words=in_short(answer.problem))
    words = in_short(f"the answer is not Slack's: {told(answer.body) or 'it is empty'}")
    return replace(verdict, fate="TargetRefused", words=words)
