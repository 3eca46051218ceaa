"""The recorded orders over the recorded bars, where a broker had moved the stop."""

from decimal import Decimal

import pytest

from tbot_bot.accounting.second_run import TapedBars, run_again
from tbot_bot.core.bars import Bar
from tbot_bot.core.commands import Decided
from tbot_bot.core.events import BarsClosed, Event
from tbot_bot.core.trails import StopTrailed
from tests.support.scenario import Scenario
from tests.trading.test_engine_trailing import at_a_broker_that_trails


class Recorded(Scenario):
    """A session with its journal and its tape."""

    def __init__(self) -> None:
        self.rows: list[tuple[Event, Decided]] = []
        self.tape: list[Bar] = []
        super().__init__(at_a_broker_that_trails())

    def tell(self, event):
        outputs = super().tell(event)
        if isinstance(event, BarsClosed):
            self.tape += event.bars
        self.rows.append((event, Decided(number=len(self.rows), at=event.at, tape_digest="", outputs=tuple(outputs))))
        return outputs

    def again(self):
        """Return the executions of the trade at a fresh simulated account."""
        bars = TapedBars()
        bars.take(self.tape)
        inputs = [(number, event) for number, (event, _) in enumerate(self.rows)]
        answers = {number: (decided,) for number, (_, decided) in enumerate(self.rows)}
        (trade,) = self.engine.state.trades
        return run_again(self.spec, bars, inputs, answers).simulated(trade)


@pytest.mark.parametrize("told", [(), ("102.90", "105.84")], ids=["as it began", "as the broker moved it"])
def test_a_stop_that_the_broker_moved_wakes_in_the_simulator_where_the_broker_had_it(told):
    one = Recorded()
    one.range_of()
    one.bars(20, AAA=103.10, volume=1e6)
    entry = one.orders("entry")[0]
    one.acknowledge(entry)
    one.fill(entry, "103.10")
    stop = one.orders("stop")[0]
    one.acknowledge(stop)
    one.bars(21, AAA=(103.10, 103.2, 103.0, 103.2), volume=1e6)
    for price in told:
        one.tell(StopTrailed(at=one.at, client_order_id=stop.client_order_id, price=Decimal(price)))
    one.bars(22, AAA=(106.0, 106.2, 105.9, 106.0), volume=1e6)
    one.bars(23, AAA=(106.0, 106.0, 100.0, 100.0), volume=1e6)
    bought, *sold = one.again()

    assert bought.quantity == sum(fill.quantity for fill in sold)
    assert {fill.price for fill in sold} == {Decimal(told[-1]) if told else Decimal("101.04")}
