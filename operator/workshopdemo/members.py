"""Asks a member of a StatefulSet who it is. What answers may be anybody, see podhttp."""

from workshopdemo.errors import MemberError
from workshopdemo.podhttp import TOTAL_SECONDS, NoAnswerError, PodHttp
from workshopdemo.testimony import PORT, TESTIMONY_PATH, BadTestimonyError, Testimony, testimony


class Members:
    """One for all demos."""

    def __init__(self, *, port: int = PORT, seconds: float = TOTAL_SECONDS) -> None:
        """Nothing is connected before the first question.

        Args:
            port: of every member.
            seconds: that an answer may take.
        """
        self._http = PodHttp(port=port, seconds=seconds)

    async def testimony(self, address: str) -> Testimony:
        """What a member says.

        Args:
            address: of the member's Pod, IPv4 or IPv6.

        Raises:
            MemberError: there is no answer, or it is none.
        """
        try:
            return testimony(await self._http.ask(address, TESTIMONY_PATH))
        except NoAnswerError as error:
            raise MemberError(f"the member{error}") from None
        except BadTestimonyError:
            raise MemberError("what answers in the member's place is no member") from None

    async def close(self) -> None:
        """Break off what is under way."""
        await self._http.close()
