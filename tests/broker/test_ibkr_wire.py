"""What Interactive Brokers' words mean, from tables written a second time by hand; and which account is connected."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import AccountValue, Contract, Execution, Option, PriceCondition, Stock
from ib_async import Position as IbPosition

from tbot_bot.broker.broker_ibkr import ibkr_broker
from tbot_bot.broker.ibkr_account import account_of, positions_of
from tbot_bot.broker.ibkr_contracts import contract_of, instrument_of, known_number, number
from tbot_bot.broker.ibkr_wire import (
    MEANINGS,
    STANDINGS,
    Meaning,
    executed,
    meaning_of,
    order_of,
    standing_of,
)
from tbot_bot.config.error_handler import ConfigError
from tbot_bot.config.settings import Settings, load_settings
from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import equity, put_option
from tbot_bot.core.orders import OrderRequest, OrderType, Side, StopTrigger

NAIVE = datetime(2025, 9, 2, 13, tzinfo=UTC).replace(tzinfo=None)
PUT = put_option("SYN01", date(2026, 12, 18), Decimal("37.5"))


@given(st.decimals(min_value="0.0001", max_value="99999999", places=4, allow_nan=False))
def test_a_price_survives_the_librarys_float(price):
    assert number(float(str(price)), "price") == price


@pytest.mark.parametrize("told", [math.nan, math.inf, 1.7976931348623157e308])
def test_what_stands_for_no_value_is_never_booked(told):
    assert known_number(told) is None
    with pytest.raises(UnknownMessage):
        number(told, "price")


@pytest.mark.parametrize("instrument", [equity("SYN01"), equity("BRK.B"), PUT])
def test_an_instrument_survives_the_way_to_ib_and_back(instrument):
    assert instrument_of(contract_of(instrument)) == instrument


def test_a_share_class_has_a_blank_there():
    assert contract_of(equity("BRK.B")).symbol == "BRK B"


def test_what_we_do_not_trade_is_never_taken_for_a_share():
    future = Contract(secType="FUT", symbol="ES", localSymbol="ESZ6", currency="USD", multiplier="50")
    euro_share = Contract(secType="STK", symbol="SAP", localSymbol="SAP", currency="EUR")
    assert instrument_of(future).symbol == "FUT:ESZ6"
    assert instrument_of(euro_share).symbol == "STK:SAP"


def test_an_option_without_a_right_is_refused():
    with pytest.raises(UnknownMessage, match="no right"):
        instrument_of(Option("SYN01", "20261218", 37.5, "?", "SMART"))


STATUSES = {
    "ApiPending": "pending",
    "PendingSubmit": "pending",
    "PreSubmitted": "working",
    "Submitted": "working",
    "PendingCancel": "cancel_pending",
    "Filled": "filled",
    "Cancelled": "cancelled",
    "ApiCancelled": "cancelled",
    "Inactive": "inactive",
}


def test_each_status_has_its_standing_and_others_are_not_guessed():
    assert {status: str(standing) for status, standing in STANDINGS.items()} == STATUSES
    for unknown in ("", "ValidationError", "Expired", "filled"):
        with pytest.raises(UnknownMessage):
            standing_of(unknown)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (103, "id_taken"), (104, "cancel_refused"), (105, "note"), (110, "refused"), (135, "cancel_refused"),
        (161, "cancel_refused"), (200, "refused"), (201, "refused"), (202, "cancelled"), (203, "refused"),
        (321, "refused"), (399, "note"), (404, "note"), (434, "refused"), (504, "doubt"), (2109, "note"),
        (2161, "note"), (10147, "cancel_refused"), (10148, "cancel_refused"), (10167, "note"), (99999, "doubt"),
    ],
)  # fmt: skip
def test_each_code_has_its_meaning_for_an_order(code, meaning):
    assert meaning_of(code) is Meaning(meaning)


def test_no_code_that_the_library_calls_a_warning_ends_an_order_of_ours_but_by_refusing_it():
    # 110, 321, 434: warnings to the library, but a new order with such a fault is never taken
    ends = {code for code in (105, 165, 329, 399, 404, 492, 10167) if MEANINGS[code] is not Meaning.NOTE}
    assert ends == set()


def request(side: Side = Side.BUY, kind: OrderType = OrderType.MARKET, **words: object) -> OrderRequest:
    return OrderRequest(
        client_order_id="20250902-open-ibkr-SYN01-entry1", trade_id="20250902-open-ibkr-SYN01", broker="ibkr",
        instrument=equity("SYN01"), side=side, quantity=Decimal(10), order_type=kind, **words,  # type: ignore[arg-type]
    )  # fmt: skip


def test_orders_are_for_the_day_and_carry_our_name():
    wanted = order_of(request(Side.SELL_SHORT, OrderType.LIMIT, limit_price=Decimal("38.10")), account="DU0000000")
    assert (wanted.action, wanted.orderType, str(wanted.lmtPrice), wanted.tif) == ("SELL", "LMT", "38.1", "DAY")
    assert (wanted.orderRef, wanted.account, wanted.outsideRth) == (request().client_order_id, "DU0000000", False)


def test_a_stop_that_watches_another_contract_is_a_market_order_with_a_condition():
    stop = StopTrigger(symbol="SYN01", price=Decimal("40.5"), rising=True)
    plain = order_of(request(Side.SELL, OrderType.STOP, stop=stop), account="")
    watching = order_of(request(Side.SELL, OrderType.STOP, stop=stop), account="", condition_con_id=77)
    assert (plain.orderType, plain.auxPrice, plain.conditions) == ("STP", Decimal("40.5"), [])
    [condition] = watching.conditions
    assert watching.orderType == "MKT"
    assert condition == PriceCondition(isMore=True, price=40.5, conId=77, exch="SMART")


@pytest.mark.parametrize("wrong", [{"side": "BUY"}, {"price": math.nan}, {"time": NAIVE}, {"execId": ""}])
def test_an_execution_that_cannot_be_read_is_never_guessed(wrong):
    when = datetime(2025, 9, 2, tzinfo=UTC)
    right = Execution(execId="1.2.3.01", side="BOT", price=1.5, shares=2.0, time=when)
    share = Stock("SYN01", "SMART", "USD")
    assert executed(share, right).price == Decimal("1.5")
    with pytest.raises(UnknownMessage):
        executed(share, replace(right, **wrong))


def values(**told: str) -> list[AccountValue]:
    usual = {"NetLiquidation": "1000.10", "TotalCashValue": "900", "BuyingPower": "4000", "AvailableFunds": "1000"}
    return [AccountValue("DU0000000", tag, value, "USD", "") for tag, value in (usual | told).items() if value]


def test_an_account_without_leverage_counts_as_cash_and_day_trades_are_counted_up():
    assert account_of("ibkr", values()).is_margin
    assert not account_of("ibkr", values(BuyingPower="1000")).is_margin
    assert [account_of("ibkr", values(DayTradesRemaining=left)).day_trades for left in ("-1", "3", "1", "")] == [
        0,
        0,
        2,
        0,
    ]


def test_an_account_without_its_equity_is_not_made_up():
    with pytest.raises(UnknownMessage, match="NetLiquidation"):
        account_of("ibkr", values(NetLiquidation=""))


def test_positions_of_another_account_of_the_same_login_are_not_ours():
    put = Option("SYN01", "20261218", 37.5, "P", "SMART", multiplier="100")
    put.conId = 1
    told = [IbPosition("DU0000000", put, 2.0, 125.0), IbPosition("DU0000001", Stock("SYN01"), 5.0, 38.0)]
    [position] = positions_of("ibkr", "DU0000000", told)
    assert (position.instrument, position.quantity, position.average_price) == (PUT, Decimal(2), Decimal("1.25"))


def settings_of(home: Path, *lines: str, **bot: str) -> Settings:
    (home / ".env").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (home / ".env").chmod(0o600)
    given = {"ALPACA_ENABLED": "false", "IBKR_ENABLED": "true", "TEST_MODE_VENUE": "broker_paper"} | bot
    return load_settings(home, given, defaults_if_absent=True)


def test_test_mode_trades_the_paper_account_at_the_paper_port(tmp_path):
    settings = settings_of(tmp_path, "IBKR_PAPER_ACCOUNT_NUMBER=DU0000000", "IBKR_CLIENT_ID=5", IBKR_MODE="live")
    endpoint = ibkr_broker(settings, now=lambda: Instant(0)).link.endpoint
    assert (endpoint.port, endpoint.client_id, endpoint.account) == (4002, 5, "DU0000000")
    assert ibkr_broker(settings, now=lambda: Instant(0), client_id=6).link.endpoint.client_id == 6


def test_a_live_number_is_no_paper_account(tmp_path):
    settings = settings_of(tmp_path, "IBKR_PAPER_ACCOUNT_NUMBER=U0000000")
    with pytest.raises(ConfigError, match="IBKR_PAPER_ACCOUNT_NUMBER: expected the number of a paper account"):
        ibkr_broker(settings, now=lambda: Instant(0))
