"""What really rests at the venue under a position, asked for while a session runs."""

from contextlib import suppress

import pytest

from tbot_bot.core.commands import RaiseAlert, SubmitOrder
from tbot_bot.core.events import BarsClosed, OrderCancelled
from tbot_bot.core.instants import SECOND
from tbot_bot.runtime.protection_monitor import CHECK_EVERY
from tests.support.crafted_day import write_day
from tests.support.jumping_machine import JumpRig, Machine, at


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_day(tmp_path_factory.mktemp("data") / "bars.csv")


class VandalisedVenue(JumpRig):
    """A session whose venue drops the protective stop in the middle of a minute, without a word."""

    vandalised = ""

    def event(self, session, event, /):
        """Drop the stop after the bar of minute 24, and swallow the news."""
        super().event(session, event)
        due = isinstance(event, BarsClosed) and event.at == at(24) and not event.backfill
        if not due or self.vandalised:
            return
        (broker,) = self.brokers.values()
        for order in broker.venue.open_orders():
            if "-stop" in order.client_order_id:
                self.vandalised = order.client_order_id
                with suppress(StopIteration):  # the simulator's requests never wait
                    broker.cancel(order.client_order_id).send(None)
                broker.drain()


def test_a_stop_that_the_venue_lost_without_a_word_is_placed_again(tmp_path, data, monkeypatch):
    Machine(at(-6)).put_under(monkeypatch)
    rig = VandalisedVenue(tmp_path / "home", data).run().sound()

    stops = [output.order for output in rig.outputs(SubmitOrder) if "-stop" in output.order.client_order_id]
    found = [event for event in rig.inputs(OrderCancelled) if event.client_order_id == rig.vandalised]
    first, again = stops  # all others are put in the place of one that rests
    assert [event.at for event in found] == [at(24)]  # seen by the check after that very bar
    assert (again.quantity, again.replaces) == (first.quantity, None)
    assert [alert.title for alert in rig.outputs(RaiseAlert)] == ["AAA is unprotected"]


def test_at_real_speed_the_stops_are_looked_at_every_five_seconds():
    assert CHECK_EVERY == 5 * SECOND
