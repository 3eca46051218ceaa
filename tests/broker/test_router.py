"""The router, the table of capabilities and the live permit."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from tbot_bot.broker.authorization import LiveAuthorization
from tbot_bot.broker.broker_api import BrokerRouter
from tbot_bot.broker.broker_sim import Fault, SimulatedBroker
from tbot_bot.broker.capabilities import CAPABILITIES
from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.errors import BrokerUnavailable, CredentialsRejected
from tbot_bot.core.identity import Mode
from tests.broker.venue_kit import order, venue


def sim(name: str, **options) -> SimulatedBroker:
    capabilities = CAPABILITIES.get(name, CAPABILITIES["sim"])
    return SimulatedBroker(venue(broker=name), capabilities=capabilities, **options)


class Away:
    def of_request(self, request, client_order_id):
        return Fault.LOST_BEFORE

    def of_events(self, events):
        return events


class Locked(SimulatedBroker):
    async def connect(self):
        raise CredentialsRejected("wrong key")


class Broken(SimulatedBroker):
    async def events(self):
        for _ in self.name:
            raise BrokerUnavailable("stream lost")
        yield


def test_only_alpaca_and_ibkr_send_real_orders():
    assert [name for name, it in CAPABILITIES.items() if it.real_orders] == ["alpaca", "ibkr"]
    assert [name for name, it in CAPABILITIES.items() if it.live] == ["alpaca", "ibkr"]


def test_names_are_unique_and_known():
    with pytest.raises(LogicError, match="two brokers"):
        BrokerRouter([sim("sim"), sim("sim")])
    router = BrokerRouter([sim("ibkr"), sim("alpaca")])
    assert router.names == tuple(router.capabilities()) == ("ibkr", "alpaca")
    assert router.broker("alpaca").name == "alpaca"
    with pytest.raises(LogicError, match="no broker 'nobody'"):
        router.broker("nobody")


async def test_connecting_reports_who_is_away_and_stops_at_wrong_keys():
    assert list(await BrokerRouter([sim("ibkr", faults=Away()), sim("alpaca")]).connect_all()) == ["ibkr"]
    with pytest.raises(CredentialsRejected):
        await BrokerRouter([Locked(venue())]).connect_all()
    await BrokerRouter([sim("ibkr")]).close_all()


async def test_streams_are_merged_and_a_broken_one_is_told():
    ibkr, broken = sim("ibkr"), Broken(venue())
    await ibkr.submit(replace(order("a"), broker="ibkr"))
    router = BrokerRouter([ibkr, broken])
    async with asyncio.timeout(5), aclosing(router.events()) as stream:
        got = {name: type(event).__name__ for name, event in [await anext(stream), await anext(stream)]}
    assert got == {"ibkr": "OrderAcknowledged", "sim": "BrokerUnavailable"}
    alone = [(name, str(event)) async for name, event in BrokerRouter([broken]).events()]
    assert alone == [("sim", "stream lost")]


def test_a_live_permit_needs_a_live_configuration():
    assert LiveAuthorization(test_mode=False, mode=Mode.LIVE).mode is Mode.LIVE
    for test_mode, mode in [(True, Mode.LIVE), (False, Mode.PAPER), (False, Mode.BACKTEST)]:
        with pytest.raises(LogicError, match="live authorization"):
            LiveAuthorization(test_mode=test_mode, mode=mode)
    with pytest.raises(LogicError):
        LiveAuthorization(test_mode=0, mode=Mode.LIVE)  # type: ignore[arg-type]
    with pytest.raises(LogicError):
        replace(LiveAuthorization(test_mode=False, mode=Mode.LIVE), test_mode=True)
