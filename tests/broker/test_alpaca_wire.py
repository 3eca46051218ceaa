"""Alpaca's JSON and our records: exact both ways, strict on money, calm about words that nobody knows."""

import json
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tbot_bot.broker import alpaca_market_wire as market_wire
from tbot_bot.broker import alpaca_wire as wire
from tbot_bot.broker.alpaca_requests import objection, replacement, submission
from tbot_bot.broker.capabilities import CAPABILITIES
from tbot_bot.broker.json_fields import parsed
from tbot_bot.core.errors import BrokerRefused, UnknownMessage
from tbot_bot.core.instants import DAY, MINUTE, iso, parse_iso
from tbot_bot.core.instruments import AssetClass, Rounding, equity
from tbot_bot.core.money import plain
from tbot_bot.core.orders import BrokerOrderStatus, OrderType, Side
from tests.broker.venue_kit import PUT, T0, order

ENTRY = "20250902-open-alpaca-XYZ-entry1"
STOP = "20250902-open-alpaca-XYZ-stop2"


def told(**changes: object) -> dict[str, object]:
    """Return an order as Alpaca tells it."""
    shape: dict[str, object] = {
        "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
        "client_order_id": ENTRY,
        "symbol": "XYZ",
        "asset_class": "us_equity",
        "notional": None,
        "qty": "100",
        "filled_qty": "0",
        "type": "market",
        "side": "buy",
        "time_in_force": "day",
        "limit_price": None,
        "stop_price": None,
        "status": "new",
        "submitted_at": "2025-09-02T14:30:00.123456789Z",
        "replaced_by": None,
    }
    return shape | changes


def update(event: str, **more: object) -> dict[str, object]:
    return {"event": event, "execution_id": "e1", "timestamp": "2025-09-02T14:30:01Z", "order": told(), **more}


prices = st.decimals(min_value="0.01", max_value="99999", places=2).map(lambda number: number.normalize() + 0)
quantities = st.one_of(
    st.integers(1, 10**6).map(Decimal),
    st.decimals(min_value="0.000000001", max_value="9999", places=9),
)
sides = st.sampled_from(list(Side))


@st.composite
def requests(draw: st.DrawFn):
    kind = draw(st.sampled_from(list(OrderType)))
    price, side, quantity = str(draw(prices)), draw(sides), draw(quantities)
    limit, stop = price if kind is OrderType.LIMIT else None, price if kind is OrderType.STOP else None
    return order(ENTRY, side, plain(quantity), limit=limit, stop=stop)


@given(requests())
def test_what_we_ask_comes_back_as_what_we_asked(request):
    body = submission(request)
    back = wire.request_of(wire.order_of(parsed(json.dumps(told(**body, status="new")))), "alpaca")
    assert (back.side, back.quantity, back.order_type) == (request.side, request.quantity, request.order_type)
    assert (back.limit_price, back.stop) == (request.limit_price, request.stop)
    assert (back.client_order_id, back.trade_id) == (ENTRY, "20250902-open-alpaca-XYZ")


@given(requests())
def test_what_we_ask_fits_the_vendors_own_document(shared_schema, request):
    Draft202012Validator(shared_schema("/v2/orders", "post")).validate(submission(request))
    if request.order_type is not OrderType.MARKET:
        body = replacement(request, same_quantity=False)
        Draft202012Validator(shared_schema("/v2/orders/{order_id}", "patch")).validate(body)


@pytest.fixture(scope="session")
def shared_schema(shared):
    document = json.loads((shared / "openapi" / "alpaca-trading-api.json").read_text(encoding="utf-8"))

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            _, _, room, name = value["$ref"].split("/")
            return resolved(document["components"][room][name])
        return {name: resolved(one) for name, one in value.items()}

    def schema(path: str, method: str) -> Any:
        return resolved(document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"])

    return schema


@given(prices, st.sampled_from([Side.BUY, Side.SELL]))
def test_a_price_finer_than_the_tick_is_never_worse_than_asked(price, side):
    fine = price + Decimal("0.00004")
    limit = Decimal(submission(order("a", side, limit=str(fine)))["limit_price"])
    stop = Decimal(submission(order("a", side, stop=str(fine)))["stop_price"])
    rounding = Rounding.DOWN if side is Side.BUY else Rounding.UP
    assert limit == stop == equity("XYZ").round_price(fine, rounding)
    assert (limit <= fine) if side is Side.BUY else (limit >= fine)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value="0.000000001", max_value=10**9))
def test_numbers_are_read_to_the_last_digit_from_text_and_from_numbers(number):
    for spelled in (f'"{plain(number)}"', plain(number)):
        body = json.dumps(told(filled_qty="F")).replace('"F"', spelled)
        assert wire.order_of(parsed(body)).filled == number


# --- words -----------------------------------------------------------------------------------------------------------

TABLE = {
    "accepted": "working",
    "pending_new": "working",
    "new": "working",
    "accepted_for_bidding": "working",
    "held": "working",
    "pending_review": "working",
    "partially_filled": "working",
    "stopped": "working",
    "suspended": "working",
    "pending_cancel": "working",
    "pending_replace": "working",
    "filled": "filled",
    "canceled": "cancelled",
    "replaced": "replaced",
    "rejected": "rejected",
    "expired": "expired",
    "done_for_day": "expired",
    "calculated": "expired",
}


@pytest.mark.parametrize(("theirs", "ours"), TABLE.items())
def test_every_status_has_its_place(theirs, ours):
    read = wire.order_of(told(status=theirs))
    assert (read.status, read.anomaly) == (BrokerOrderStatus(ours), "")


def test_the_table_names_every_status_of_the_vendors_document(shared):
    document = json.loads((shared / "openapi" / "alpaca-trading-api.json").read_text(encoding="utf-8"))
    assert set(document["components"]["schemas"]["OrderStatus"]["enum"]) == set(TABLE) - {"pending_review"}


def test_an_order_done_for_the_day_is_filled_if_all_of_it_is_and_rests_if_it_lasts_longer():
    assert wire.order_of(told(status="calculated", filled_qty="100")).status is BrokerOrderStatus.FILLED
    assert wire.order_of(told(status="done_for_day", time_in_force="gtc")).status is BrokerOrderStatus.WORKING


def test_an_unknown_status_may_still_fill_and_is_told():
    read = wire.order_of(told(status="frozen"))
    assert read.status is BrokerOrderStatus.WORKING
    assert "frozen" in read.anomaly


@pytest.mark.parametrize(
    ("name", "side", "intent", "expected"),
    [
        (ENTRY, "buy", None, Side.BUY),
        (ENTRY, "sell", None, Side.SELL_SHORT),
        (STOP, "sell", None, Side.SELL),
        (STOP, "buy", None, Side.BUY_TO_COVER),
        ("by hand", "buy", None, Side.BUY),
        ("by hand", "sell", None, Side.SELL),
        ("by hand", "sell", "sell_to_open", Side.SELL_SHORT),
        (STOP, "buy", "buy_to_open", Side.BUY),
    ],
)
def test_a_side_is_read_from_the_intent_else_from_our_name(name, side, intent, expected):
    assert wire.side_of(wire.order_of(told(client_order_id=name, side=side, position_intent=intent))) is expected


# --- strict where money hangs on it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"client_order_id": 7},
        {"side": "hold"},
        {"qty": "many"},
        {"qty": "NaN"},
        {"qty": True},
        {"qty": "-1"},
        {"filled_qty": None},
        {"filled_qty": "-5"},
        {"limit_price": "1e"},
        {"status": ""},
        {"symbol": None},
        {"symbol": "XYZ250230P00045000", "asset_class": "us_option"},
    ],
)
def test_an_order_that_cannot_be_read_is_an_error(changes):
    with pytest.raises(UnknownMessage):
        wire.order_of(told(**changes))


@pytest.mark.parametrize("missing", ["execution_id", "price", "qty", "timestamp"])
def test_an_execution_tells_everything_or_is_an_error(missing):
    whole = update("fill", price="40.01", qty="100")
    assert wire.update_of(whole).execution is not None
    with pytest.raises(UnknownMessage):
        wire.update_of({name: value for name, value in whole.items() if name != missing})


@pytest.mark.parametrize("missing", ["id", "order_id", "price", "qty", "cum_qty", "transaction_time"])
def test_an_activity_tells_everything_or_is_an_error(missing):
    whole = {
        "id": "20220202135509981::2d7be4ff",
        "order_id": "o1",
        "price": "174.78",
        "qty": "2",
        "cum_qty": "5",
        "transaction_time": "2022-02-02T18:55:09.981482Z",
    }
    read = wire.execution_of(whole)
    assert (read.vendor_id, read.cumulative, iso(read.at)) == ("2d7be4ff", Decimal(5), "2022-02-02T18:55:09.981482Z")
    with pytest.raises(UnknownMessage):
        wire.execution_of({name: value for name, value in whole.items() if name != missing})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*told(), "x"]), inner, max_size=5),
        max_leaves=12,
    )
)
def test_whatever_comes_is_an_order_or_an_unknown_message(value):
    for read in (wire.order_of, wire.update_of, wire.execution_of, market_wire.asset_of, market_wire.clock_of):
        try:
            read(value)
        except UnknownMessage:
            continue


@given(st.binary(max_size=40))
def test_bytes_are_json_or_an_unknown_message(body):
    with suppress(UnknownMessage):
        parsed(body)


# --- account, positions, market ---------------------------------------------------------------------------------------

ACCOUNT = {
    "cash": "1000.10",
    "equity": "2500.20",
    "buying_power": "5000.40",
    "multiplier": "2",
    "non_marginable_buying_power": "400",
    "status": "ACTIVE",
    "currency": "USD",
}


def test_an_account_without_margin_may_spend_what_is_settled():
    margin = wire.account_of(ACCOUNT, "alpaca")
    assert (margin.settled_cash, margin.is_margin, margin.day_trades) == (Decimal("1000.10"), True, 0)
    cash = wire.account_of(ACCOUNT | {"multiplier": "1", "daytrade_count": 2}, "alpaca")
    assert (cash.settled_cash, cash.is_margin, cash.day_trades) == (Decimal(400), False, 2)
    for wrong in ({"cash": None}, {"equity": "n/a"}, {"currency": "EUR"}):
        with pytest.raises(UnknownMessage):
            wire.account_of(ACCOUNT | wrong, "alpaca")


def test_a_blocked_account_says_by_what():
    assert wire.why_blocked(ACCOUNT) == ""
    assert "trading_blocked" in wire.why_blocked(ACCOUNT | {"trading_blocked": True})
    assert "ACCOUNT_CLOSED" in wire.why_blocked(ACCOUNT | {"status": "ACCOUNT_CLOSED"})


@pytest.mark.parametrize(("qty", "side", "signed"), [("5", "long", 5), ("-5", "short", -5), ("5", "short", -5)])
def test_a_position_is_signed_however_the_quantity_is_spelled(qty, side, signed):
    shape = {"symbol": "XYZ", "asset_class": "us_equity", "qty": qty, "side": side, "avg_entry_price": "3.5"}
    assert wire.position_of(shape, "alpaca").quantity == signed


def test_an_occ_symbol_is_the_option_that_made_it():
    assert wire.option_of(PUT.symbol) == PUT
    assert (
        wire.position_of(
            {"symbol": PUT.symbol, "asset_class": "us_option", "qty": "1", "side": "long", "avg_entry_price": "1"},
            "alpaca",
        ).instrument.asset_class
        is AssetClass.OPTION
    )


def test_borrowing_is_read_from_the_new_field_and_from_the_old_one():
    shape = {"symbol": "XYZ", "tradable": True, "shortable": True, "easy_to_borrow": True}
    assert market_wire.asset_of(shape).easy_to_borrow
    assert not market_wire.asset_of(shape | {"borrow_status": "hard_to_borrow"}).easy_to_borrow
    assert not market_wire.asset_of({"symbol": "XYZ"}).easy_to_borrow


def test_a_snapshot_keeps_what_can_be_read():
    body = (
        '{"XYZ": {"latestTrade": {"t": "2025-09-02T14:30:00Z", "p": 40.1000000000000001, "s": 100},'
        '"latestQuote": {"t": "2025-09-02T14:30:00Z", "bp": 40.09, "ap": 40.11, "bs": 100, "as": 200},'
        '"minuteBar": {"t": "2025-09-02T14:30:00Z", "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 10}, "dailyBar": null},'
        '"ABC": 5}'
    )
    found = market_wire.snapshots_of(parsed(body), MINUTE, DAY)
    xyz = found["XYZ"]
    assert xyz.trade is not None
    assert xyz.trade.price == Decimal("40.1000000000000001")
    assert xyz.quote is not None
    assert (xyz.quote.bid, xyz.quote.ask_size) == (Decimal("40.09"), Decimal(200))
    assert xyz.minute is not None
    assert (xyz.minute.close, xyz.minute.end - xyz.minute.start) == (1.5, MINUTE)
    assert (xyz.today, found["ABC"].quote) == (None, None)


def test_contracts_of_another_form_are_left_out():
    listed = {"symbol": PUT.symbol, "multiplier": "100", "size": "100", "tradable": True}
    odd = [listed | {"multiplier": "10"}, listed | {"symbol": "XYZ1"}, listed | {"size": "150"}]
    found, token = market_wire.contracts_of({"option_contracts": [listed, *odd], "next_page_token": "3"})
    assert ([one.instrument for one in found], token) == ([PUT], "3")


def test_the_clock_is_read_with_any_offset_and_nanoseconds():
    assert market_wire.clock_of({"timestamp": "2018-03-02T09:30:00-05:00"}) == T0
    assert market_wire.clock_of({"timestamp": "2018-03-02T14:30:00.000000001Z"}) == T0 + 1
    assert parse_iso("2018-03-02T14:30:00Z") == T0


# --- what is not even asked -------------------------------------------------------------------------------------------

OPTIONS = CAPABILITIES["alpaca"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (order("a", quantity="0"), "above zero"),
        (order("a", Side.SELL, stop="40", watch="ABC"), "watches ABC"),
        (order("a", Side.SELL, stop="40", rising=True), "falling prices only"),
        (order("a", Side.SELL_SHORT, "0.5"), "sold short"),
        (order("a", Side.SELL_SHORT, "1", instrument=PUT), "only bought"),
        (order("a", Side.BUY, "0.5", instrument=PUT), "whole contracts"),
        (order("a"), ""),
        (order("a", Side.BUY, "1", instrument=PUT), ""),
    ],
)
def test_what_alpaca_cannot_do_is_refused_here(request_, words):
    why = objection(request_, OPTIONS)
    assert words in why
    assert bool(words) is bool(why)


def test_puts_need_their_switch():
    off = replace(OPTIONS, options=False)
    assert "ALPACA_OPTIONS_ENABLED" in objection(order("a", Side.BUY, "1", instrument=PUT), off)
    assert objection(order("a", Side.SELL, "1", instrument=PUT), off) == ""


def test_no_market_order_takes_the_place_of_another_order():
    with pytest.raises(BrokerRefused, match="cancel it"):
        replacement(order("a"), same_quantity=False)
