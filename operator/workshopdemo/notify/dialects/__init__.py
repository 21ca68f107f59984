"""One module a dialect: message → request, answer → verdict. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from workshopdemo.notify.dialects import alertmanager, google_chat, slack, webhook
from workshopdemo.notify.message import Message
from workshopdemo.notify.wire import Answer, Credentials, Dialect, HttpRequest, Verdict


class Speaker(Protocol):
    """What each of the modules can do."""

    def request(self, message: Message, credentials: Credentials, now: datetime, /) -> HttpRequest:
        """The message as this receiver takes it."""

    def judge(self, answer: Answer, /) -> Verdict:
        """What this receiver means by its answer."""


DIALECTS: Final[Mapping[Dialect, Speaker]] = {
    "Slack": slack,
    "GoogleChat": google_chat,
    "Alertmanager": alertmanager,
    "Webhook": webhook,
}
