"""Asks a demo's aggregator of logs what has arrived. What answers may be anybody, see podhttp."""

from workshopdemo import logsql
from workshopdemo.errors import AggregatorError
from workshopdemo.logsql import SeriesCount
from workshopdemo.podhttp import TOTAL_SECONDS, NoAnswerError, PodHttp


class Aggregator:
    """One for all demos."""

    def __init__(self, *, port: int = logsql.PORT, seconds: float = TOTAL_SECONDS) -> None:
        """Nothing is connected before the first question.

        Args:
            port: of every aggregator.
            seconds: that an answer may take.
        """
        self._http = PodHttp(port=port, seconds=seconds)

    async def count(self, address: str, query: str) -> tuple[SeriesCount, ...]:
        """What has arrived of an emitter's lines.

        Args:
            address: of the aggregator's Pod, IPv4 or IPv6.
            query: from `logsql.emitter_query`.

        Raises:
            AggregatorError: there is no answer, or it is none.
        """
        try:
            answer = await self._http.ask(address, logsql.QUERY_PATH, {"query": query})
        except NoAnswerError as error:
            raise AggregatorError(f"the log aggregator{error}") from None
        try:
            return logsql.series_counts(answer)
        except logsql.BadAnswerError:
            raise AggregatorError(
                "what answers in the log aggregator's place is not VictoriaLogs"
            ) from None

    async def close(self) -> None:
        """Break off what is under way."""
        await self._http.close()
