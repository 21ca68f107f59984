"""Sessions for requests to whoever a demo names: nothing of one request is left for another."""

import aiohttp


class Outbound:
    """A session that is made when it is first needed."""

    def __init__(self) -> None:
        """Nothing is connected yet."""
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        """The session: no cookies, no proxies of the environment, no connection that is kept."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No limit: a hundred dead peers must not hold up the next.
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                # A packed answer may be a bomb.
                auto_decompress=False,
            )
        return self._session

    async def close(self) -> None:
        """Break off what is under way."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
