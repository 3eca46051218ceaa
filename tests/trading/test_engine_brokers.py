"""Several brokers, limits over all of them, halts of one, and signals that wait for a person."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tbot_bot.core.commands import AnomalySeen, ConfirmationAwaited, RaiseAlert, SessionEnded, SharesFixed, TradeRecord
from tbot_bot.core.events import ControlKind, EarlierToday, EntriesResumed, EntriesSuspended
from tbot_bot.core.orders import ShortType
from tbot_bot.core.policies import Routing, SizingMode
from tbot_bot.trading.spec import BrokerSpec
from tests.support.scenario import BELL, CAPABILITIES, Scenario, account, minute, spec_of

SYMBOLS = ("AAA", "BBB", "CCC", "DDD")


def _without(base, capability):
    return replace(base, **{capability: False}) if capability else base


def brokers(*names, halted=(), **lacking):
    """Return brokers; `lacking` names a broker and the capability that it has not got."""
    return tuple(
        BrokerSpec(
            name=name,
            capabilities=_without(CAPABILITIES, lacking.get(name)),
            halted=name in halted,
        )
        for name in names
    )


def two(routing=Routing.EACH, names=("one", "two"), halted=(), lacking=None, **changes):
    return spec_of(routing=routing, brokers=brokers(*names, halted=halted, **(lacking or {})), **changes)


def broken_out(spec, symbols=("AAA",), price=103.10, **kwargs):
    told = Scenario(spec, symbols=symbols, **kwargs)
    told.range_of(symbols=symbols)
    told.bars(20, **{symbol: price + rank for rank, symbol in enumerate(reversed(symbols))})
    return told


def placed(told):
    return [(order.broker, order.instrument.symbol) for order in told.orders("entry")]


def test_routing_each_gives_every_broker_the_signal_within_its_own_float():
    floats = [account("one", "500000"), account("two", "100000")]
    told = broken_out(two(), accounts=floats)
    big, small = told.orders("entry")

    assert placed(told) == [("one", "AAA"), ("two", "AAA")]
    assert 9999 < big.quantity * big.limit_price <= 10_000
    assert 1999 < small.quantity * small.limit_price <= 2_000
    assert len({order.client_order_id for order in told.orders()}) == 2


def test_routing_first_takes_the_first_broker_by_order_of_configuration():
    assert placed(broken_out(two(Routing.FIRST))) == [("one", "AAA")]


def test_routing_first_goes_on_to_a_broker_that_has_what_the_signal_needs():
    told = broken_out(two(Routing.FIRST, lacking={"one": "short"}), price=96.0)

    assert placed(told) == [("two", "AAA")]
    assert told.drops() == [("one", "AAA", "no_short_selling")]


def test_routing_first_goes_on_where_the_first_broker_is_halted():
    told = broken_out(two(Routing.FIRST, halted=("one",)))

    assert placed(told) == [("two", "AAA")]
    assert told.drops() == [("one", "AAA", "broker_halted")]


def test_routing_each_goes_on_where_one_broker_is_halted():
    told = broken_out(two(halted=("one",)))

    assert placed(told) == [("two", "AAA")]
    assert told.drops() == [("one", "AAA", "broker_halted")]


def test_a_broker_whose_account_could_not_be_read_takes_no_signal():
    told = broken_out(two(), accounts=[account("two")])

    assert placed(told) == [("two", "AAA")]
    assert told.drops() == [("one", "AAA", "no_account")]


def test_a_broker_without_fractions_buys_whole_shares():
    whole, fraction = broken_out(two(lacking={"one": "fractional"})).orders("entry")

    assert whole.quantity == 96  # 10,000 / 103.41
    assert fraction.quantity % 1 != 0


def test_open_positions_are_limited_over_all_brokers():
    told = broken_out(two(max_open_positions=3), symbols=("AAA", "BBB"))

    assert placed(told) == [("one", "AAA"), ("two", "AAA"), ("one", "BBB")]
    assert told.drops() == [("two", "BBB", "max_open_positions")]


def test_concurrent_trades_are_limited_at_each_broker():
    told = broken_out(two(max_concurrent_per_broker=1), symbols=("AAA", "BBB"))

    assert placed(told) == [("one", "AAA"), ("two", "AAA")]
    assert told.drops() == [("one", "BBB", "max_concurrent_trades"), ("two", "BBB", "max_concurrent_trades")]


def test_trades_of_earlier_sessions_take_places_and_spend_their_symbols():
    earlier = EarlierToday(at=minute(-5), traded=("AAA",), open_trades=3)
    told = broken_out(spec_of(), symbols=SYMBOLS, earlier=earlier)

    assert told.of(SharesFixed)[0].shares == (Decimal("0.60"), Decimal("0.40"))
    assert placed(told) == [("sim", "BBB"), ("sim", "CCC")]
    assert ("", "AAA", "ticker_blocklist") in told.drops()


def test_no_free_place_ends_the_session_when_the_entry_window_opens():
    earlier = EarlierToday(at=minute(-5), traded=(), open_trades=5)
    told = broken_out(spec_of(), earlier=earlier)

    assert placed(told) == []
    assert len(told.of(SessionEnded)) == 1


def losing(loss, earlier="0"):
    """Hold AAA and BBB at both brokers; AAA at `one` then loses `loss` dollars."""
    earlier_today = EarlierToday(at=minute(-5), traded=(), open_trades=0, realized=(("one", earlier),))
    told = broken_out(two(), symbols=("AAA", "BBB"), earlier=earlier_today)
    for entry in told.orders("entry"):
        told.acknowledge(entry)
        told.fill(entry, entry.limit_price)
    for stop in told.orders("stop"):
        told.acknowledge(stop)
    entry, stop = told.orders("entry")[0], told.orders("stop")[0]
    told.fill(stop, entry.limit_price, fees=loss)
    return told


# the limit is 5 % of the float at the first open: 500,000, or 509,750 where 9,750 have been lost since
@pytest.mark.parametrize(
    ("loss", "earlier", "halted"),
    [("24999.99", "0", False), ("25000", "0", True), ("15737.49", "-9750.00", False), ("15737.50", "-9750.00", True)],
)
def test_the_daily_loss_limit_halts_at_the_limit_itself_and_counts_earlier_sessions(loss, earlier, halted):
    told = losing(loss, earlier)

    assert ("one" in told.engine.state.halted) is halted
    assert bool([alert for alert in told.of(RaiseAlert) if "halted" in alert.title]) is halted


def test_a_halted_broker_closes_its_positions_and_the_others_go_on():
    told = losing("25000")
    told.confirm_cancels()
    exits = told.orders("exit")

    assert [(order.broker, order.instrument.symbol) for order in exits] == [("one", "BBB")]
    assert told.exits().count("broker_halted") == 1
    told.fill(exits[0], "100")
    assert [(record.broker, record.ticker) for record in told.of(TradeRecord)] == [("one", "AAA"), ("one", "BBB")]
    assert len(told.engine.state.active_trades()) == 2


def test_a_loss_of_earlier_sessions_at_the_limit_halts_the_broker_from_the_start():
    earlier = EarlierToday(at=minute(-5), traded=(), open_trades=0, realized=(("one", "-25000"),))
    told = broken_out(two(), accounts=[account("one", "475000"), account("two")], earlier=earlier)

    assert placed(told) == [("two", "AAA")]


@pytest.mark.parametrize("mode", SizingMode)
def test_no_order_moves_more_than_the_risk_limit_of_the_account(mode):
    told = broken_out(spec_of(sizing_mode=mode, max_risk_per_trade=Decimal("0.01")))
    entry = told.orders("entry")[0]

    assert entry.quantity * entry.limit_price <= 5_000


def test_stop_risk_sizes_so_that_the_first_stop_loses_the_share():
    told = broken_out(
        spec_of(
            sizing_mode=SizingMode.STOP_RISK,
            max_risk_per_trade=Decimal(1),
            max_order_notional=Decimal(10**6),
            fractional=False,
        )
    )
    entry, stop = told.enter("103.41")
    lost = (Decimal("103.41") - stop.stop.price) * entry.quantity

    assert 9_900 < lost <= 10_000


def inverse_twice(entered):
    """Let AAA, then BBB break out downward, both carried by the inverse ETF INV; `entered`: AAA is held by then."""
    symbols = ("AAA", "BBB")
    told = Scenario(spec_of(short_type=ShortType.INVERSE_ETF), symbols=symbols)
    told.range_of(symbols=symbols)
    told.bars(20, AAA=96.0, BBB=100.0, INV=20.0)
    if entered:
        told.enter("20")
    told.bars(21, BBB=96.0, INV=20.0)
    return told


def test_two_signals_may_buy_the_same_instrument_but_not_against_a_stop_of_ours_that_rests():
    both, against = inverse_twice(entered=False), inverse_twice(entered=True)

    assert [order.instrument.symbol for order in both.orders("entry")] == ["INV", "INV"]
    assert against.drops() == [("sim", "BBB", "self_trade")]


# --- confirmation ---------------------------------------------------------------------------------------------------


def waiting():
    told = broken_out(replace(spec_of(), confirmation_required=True))
    return told, told.of(ConfirmationAwaited)[0].trade_id


def test_a_signal_that_needs_confirmation_waits_and_takes_no_place():
    told, _ = waiting()

    assert told.orders() == []
    assert told.engine.state.slots_used() == 0
    assert told.of(ConfirmationAwaited)[0].lapses_at == BELL + (minute(30) - minute(0))


def test_a_confirmed_signal_becomes_an_order_at_the_price_of_that_moment():
    told, trade_id = waiting()
    told.bars(21, AAA=104.0)
    told.control(ControlKind.CONFIRM, trade_id)

    assert [order.limit_price for order in told.orders("entry")] == [Decimal("104.32")]


def test_a_declined_signal_is_a_recorded_drop_and_cannot_be_confirmed_any_more():
    told, trade_id = waiting()
    told.control(ControlKind.DECLINE, trade_id)
    told.control(ControlKind.CONFIRM, trade_id)

    assert told.drops() == [("sim", "AAA", "declined")]
    assert told.orders() == []
    assert len(told.of(AnomalySeen)) == 1


def test_a_signal_nobody_confirms_lapses_when_the_entry_window_is_over():
    told, _ = waiting()
    for number in range(21, 30):
        told.bars(number, AAA=104.0)
    in_time = told.drops()
    told.bars(30, AAA=104.0)

    assert in_time == []
    assert told.drops() == [("sim", "AAA", "confirmation_lapsed")]
    assert len(told.of(SessionEnded)) == 1


@pytest.mark.parametrize("kind", [ControlKind.CONFIRM, ControlKind.DECLINE])
def test_an_answer_for_an_unknown_trade_is_an_anomaly(kind):
    told, _ = waiting()
    told.control(kind, "nonsense")

    assert len(told.of(AnomalySeen)) == 1
    assert told.orders() == []


def test_confirming_twice_buys_once():
    told, trade_id = waiting()
    told.control(ControlKind.CONFIRM, trade_id)
    told.control(ControlKind.CONFIRM, trade_id)

    assert len(told.orders("entry")) == 1
    assert len(told.of(AnomalySeen)) == 1


def test_limits_are_asked_again_when_a_person_confirms():
    told, trade_id = waiting()
    told.tell(EntriesSuspended(at=told.at, reason="data stale"))
    told.control(ControlKind.CONFIRM, trade_id)

    assert told.drops() == [("sim", "AAA", "session_phase")]


def test_a_stop_drops_what_waits_for_a_person():
    told, _ = waiting()
    told.control(ControlKind.STOP)

    assert told.drops() == [("sim", "AAA", "stop_request")]
    assert len(told.of(SessionEnded)) == 1


def test_suspended_entries_drop_signals_until_they_are_resumed():
    told = Scenario(symbols=("AAA", "BBB"))
    told.range_of(symbols=("AAA", "BBB"))
    told.tell(EntriesSuspended(at=told.at, reason="clock jumped"))
    told.bars(20, AAA=104.0, BBB=100.0)
    told.tell(EntriesResumed(at=told.at))
    told.bars(21, AAA=104.0, BBB=104.0)

    assert told.drops() == [("", "AAA", "entries_off")]
    assert placed(told) == [("sim", "BBB")]
