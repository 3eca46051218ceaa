"""The router: the enabled brokers, by name and in order of configuration.

Which of them takes a signal is a decision and made in the engine (`trading.entries`); here its orders find their way.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Final

from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.errors import BrokerProblem, CredentialsRejected
from tbot_bot.core.events import OrderEvent
from tbot_bot.core.orders import Capabilities
from tbot_bot.core.protocols import Broker

_WAITING_MAX: Final = 10_000
"""Events that may wait in the merged stream; then the brokers' own queues wait."""


class BrokerRouter:
    """Holds the enabled brokers."""

    def __init__(self, brokers: Iterable[Broker]) -> None:
        """`brokers` in order of configuration.

        Raises:
            LogicError: two have the same name.
        """
        self._brokers: dict[str, Broker] = {}
        for broker in brokers:
            if broker.name in self._brokers:
                raise LogicError(f"two brokers are called {broker.name}", where="broker")
            self._brokers[broker.name] = broker

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names in order of configuration."""
        return tuple(self._brokers)

    def broker(self, name: str) -> Broker:
        """Return the broker called `name`.

        Raises:
            LogicError: none is; orders name only brokers of the configuration.
        """
        try:
            return self._brokers[name]
        except KeyError:
            raise LogicError(f"no broker {name!r}; there are {', '.join(self._brokers)}", where="broker") from None

    def capabilities(self) -> Mapping[str, Capabilities]:
        """Return what each broker can do, in order of configuration."""
        return {name: broker.capabilities for name, broker in self._brokers.items()}

    async def connect_all(self) -> Mapping[str, BrokerProblem]:
        """Connect each broker; return the problems of those that are not there, by name.

        Raises:
            CredentialsRejected: some broker does not know our keys; nothing should start then.
        """
        brokers = tuple(self._brokers.values())
        answers = await asyncio.gather(*(broker.connect() for broker in brokers), return_exceptions=True)
        problems: dict[str, BrokerProblem] = {}
        for broker, answer in zip(brokers, answers, strict=True):
            if isinstance(answer, BaseException) and (
                isinstance(answer, CredentialsRejected) or not isinstance(answer, BrokerProblem)
            ):
                raise answer
            if isinstance(answer, BrokerProblem):
                problems[broker.name] = answer
        return problems

    async def close_all(self) -> None:
        """Close each broker, whatever the others say; the first error is raised after the last closing."""
        answers = await asyncio.gather(*(broker.close() for broker in self._brokers.values()), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def events(self) -> AsyncGenerator[tuple[str, OrderEvent | BrokerProblem], None]:
        """Yield events of all brokers with the broker's name, in order per broker.

        A broker whose stream breaks is told by its problem and heard no more; the stream ends with the last one.
        Close it with `aclosing`, so that its tasks end.
        """
        queue: asyncio.Queue[tuple[str, OrderEvent | BrokerProblem | None]] = asyncio.Queue(_WAITING_MAX)
        pumps = [asyncio.create_task(_pump(broker, queue)) for broker in self._brokers.values()]
        running = len(pumps)
        try:
            while running:
                name, event = await queue.get()
                if event is None:
                    running -= 1
                else:
                    yield name, event
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(broker: Broker, queue: "asyncio.Queue[tuple[str, OrderEvent | BrokerProblem | None]]") -> None:
    try:
        async for event in broker.events():
            await queue.put((broker.name, event))
    except BrokerProblem as problem:
        await queue.put((broker.name, problem))
    except Exception:
        await queue.put((broker.name, None))
        raise
    await queue.put((broker.name, None))
