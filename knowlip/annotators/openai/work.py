"""Many requests to one endpoint, in threads that share it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from knowlip.annotators.openai.cached import CachedEndpoint, ChatRequest
from knowlip.annotators.openai.endpoint import TileFailed
from knowlip.annotators.openai.reply import ChatAnswer
from knowlip.jobs.work import Work

Asked = TypeVar("Asked")


@dataclass(frozen=True)
class EndpointWork(Work[Asked, ChatAnswer | TileFailed]):
    """The answer to each of many items, or why it has none. What ends the run (:class:`EndpointError`) is raised."""

    endpoint: CachedEndpoint
    question: Callable[[Asked], ChatRequest]
    """What is asked of an item."""

    def open(self, number: int) -> Callable[[Asked], ChatAnswer | TileFailed]:
        """All threads share the endpoint."""

        def ask(item: Asked) -> ChatAnswer | TileFailed:
            try:
                return self.endpoint.ask(self.question(item))
            except TileFailed as error:
                return error

        return ask

    def name(self, item: Asked) -> str:
        """Its words."""
        return repr(item)[:200]
