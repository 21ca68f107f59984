"""Asks the agent of a node which Pods it knows. What answers may be anybody, see podhttp."""

from workshopdemo.errors import AgentError
from workshopdemo.plan import AGENT_PORT
from workshopdemo.podhttp import TOTAL_SECONDS, NoAnswerError, PodHttp
from workshopdemo.published import PODS_PATH, BadAnswerError, PublishedPod, published_pods


class Agents:
    """One for all demos."""

    def __init__(self, *, port: int = AGENT_PORT, seconds: float = TOTAL_SECONDS) -> None:
        """Nothing is connected before the first question.

        Args:
            port: of every agent.
            seconds: that an answer may take.
        """
        self._http = PodHttp(port=port, seconds=seconds)

    async def pods(self, address: str) -> tuple[PublishedPod, ...]:
        """The Pods that an agent knows.

        Args:
            address: of the agent's Pod, IPv4 or IPv6.

        Raises:
            AgentError: there is no answer, or it is none.
        """
        try:
            return published_pods(await self._http.ask(address, PODS_PATH))
        except NoAnswerError as error:
            raise AgentError(f"the agent{error}") from None
        except BadAnswerError:
            raise AgentError("what answers in the agent's place is no agent") from None

    async def close(self) -> None:
        """Break off what is under way."""
        await self._http.close()
