"""Credentials → headers."""

import base64

from workshopdemo.notify.wire import Credentials


def authorization(credentials: Credentials) -> dict[str, str]:
    """The header that says who we are; none where there are no credentials.

    A user and password (RFC 7617) go before a token (RFC 6750): there is room for one of them.
    """
    if credentials.basic is not None:
        pair = ":".join(credentials.basic).encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    if credentials.bearer is not None:
        return {"Authorization": f"Bearer {credentials.bearer}"}
    return {}
