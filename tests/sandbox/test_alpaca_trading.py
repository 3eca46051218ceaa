"""Alpaca's trading endpoints, driven by alpaca-py over real sockets and judged by the vendor's OpenAPI document."""

from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest
from requests import Response

from tbot_bot.core.instants import minutes
from tbot_bot.core.instruments import equity
from tbot_bot.sandbox.tickets import Kind, Ticket
from tests.support.openapi_judge import judge_of
from tests.support.sandbox import SYMBOL, SandboxThread

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:websockets")
KEY = "changeme"


@pytest.fixture
def sandbox():
    made = SandboxThread("alpaca")
    yield made
    made.close()


class Client:
    """alpaca-py's client, with every answer kept for the judge."""

    def __init__(self, sandbox, key=KEY, secret=KEY):
        from alpaca.trading.client import TradingClient  # noqa: PLC0415 - heavy

        self.answers: list[Response] = []
        self.api = TradingClient(key, secret, url_override=sandbox.url("alpaca"))
        self.api._retry = 0
        self.api._session.hooks["response"].append(lambda response, **_: self.answers.append(response))

    def buy(self, quantity="10", **words):
        return self.order(side="buy", qty=quantity, **words)

    def sell(self, quantity="10", **words):
        return self.order(side="sell", qty=quantity, **words)

    def order(self, **words):
        """POST an order as it stands and return the answer's JSON."""
        asked = {"symbol": SYMBOL, "type": "market", "time_in_force": "day", **words}
        return self.api.post("/orders", {name: value for name, value in asked.items() if value is not None})

    def refused(self, status, **words):
        """Return the body of a refusal."""
        from alpaca.common.exceptions import APIError  # noqa: PLC0415

        with pytest.raises(APIError) as error:
            self.order(**{"side": "buy", "qty": "10", **words})
        assert error.value.status_code == status
        return self.answers[-1].json()

    def get(self, order):
        return self.api.get(f"/orders/{order['id']}", {"nested": True})


@pytest.fixture
def client(sandbox):
    made = Client(sandbox)
    yield made
    made.api._session.close()


@pytest.fixture
def price(sandbox):
    """Return what gives the present price times a factor, on the cent."""

    def at(factor=1.0):
        now = sandbox.do(lambda: sandbox.exchange.market.price(SYMBOL, sandbox.exchange.now()))
        return str(round(float(now) * factor, 2))

    return at


def test_every_answer_of_a_days_work_fits_the_vendors_document(shared, sandbox, client, price):
    from alpaca.trading.enums import ContractType  # noqa: PLC0415
    from alpaca.trading.requests import GetOptionContractsRequest  # noqa: PLC0415

    judge = judge_of(shared / "openapi" / "alpaca-trading-api.json")
    api = client.api
    first = client.buy(client_order_id="a-1")
    client.buy("1.5")
    client.order(side="buy", notional="100.50")
    client.buy(symbol="SYN02", type="limit", limit_price="1.00", time_in_force="gtc")
    client.buy(symbol="SYN03", type="stop_limit", limit_price="200", stop_price="199")
    client.buy(symbol="SYN04", order_class="bracket", take_profit={"limit_price": "200"}, stop_loss={"stop_price": "1"})
    sandbox.wait(minutes(2))
    stop = client.sell("5", type="trailing_stop", trail_percent="1")
    api.patch(f"/orders/{stop['id']}", {"trail": "2"})
    api.get_account(), api.get_account_configurations(), api.get_clock(), api.get_calendar(), api.get_all_assets()
    api.get_asset(SYMBOL), api.get_order_by_client_id("a-1"), api.get_order_by_id(first["id"]), api.get_all_positions()
    api.get_open_position(SYMBOL)
    for query in ({"status": "all"}, {"status": "all", "nested": True}, {"status": "closed"}, {"direction": "asc"}):
        api.get("/orders", query)
    api.get("/account/activities"), api.get("/account/activities/FILL", {"page_size": 1})
    puts = api.get_option_contracts(
        GetOptionContractsRequest(underlying_symbols=[SYMBOL], type=ContractType.PUT)
    ).option_contracts
    api.get_option_contract(puts[0].symbol)
    client.buy("1", symbol=puts[6].symbol)
    sandbox.wait(minutes(3))
    assert api.get_open_position(puts[6].symbol).asset_class == "us_option"
    api.get_all_positions()
    api.cancel_order_by_id(client.get(stop)["replaced_by"])
    api.cancel_orders()
    api.close_all_positions(cancel_orders=True)
    sandbox.wait(minutes(3))
    assert api.get_all_positions() == []
    judged = 0
    for answer in client.answers:
        path = answer.request.path_url.partition("?")[0]
        assert answer.ok, (answer.request.method, path, answer.text)
        if answer.status_code != 204:
            misfits = judge.misfits(answer.request.method, path, answer.status_code, answer.json())
            assert misfits == [], (path, answer.text)
            judged += 1
    assert judged > 30


def test_the_judge_sees_what_does_not_fit(shared):
    judge = judge_of(shared / "openapi" / "alpaca-trading-api.json")
    clock = {"timestamp": "2025-09-02T10:00:00-04:00", "is_open": "yes", "next_open": None}
    assert len(judge.misfits("GET", "/v2/clock", 200, clock)) == 3
    assert judge.misfits("GET", "/v2/orders", 200, [{"notional": None, "type": "market", "time_in_force": "day"}]) == []
    assert judge.misfits("GET", "/v2/orders", 200, [{"notional": None, "type": "market"}])


def test_the_models_of_the_client_library_take_orders_of_every_kind(client, price):
    from alpaca.trading.enums import OrderClass, OrderSide, TimeInForce  # noqa: PLC0415
    from alpaca.trading.requests import (  # noqa: PLC0415
        LimitOrderRequest,
        MarketOrderRequest,
        StopLimitOrderRequest,
        StopLossRequest,
        StopOrderRequest,
        TakeProfitRequest,
        TrailingStopOrderRequest,
    )

    common = {"symbol": SYMBOL, "qty": 3, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
    high, low = float(price(1.2)), float(price(0.8))
    requests = [
        MarketOrderRequest(**common),
        LimitOrderRequest(**common, limit_price=low),
        StopOrderRequest(**common, stop_price=high),
        StopLimitOrderRequest(**common, stop_price=high, limit_price=high),
        TrailingStopOrderRequest(**common, trail_price=1.5),
        MarketOrderRequest(
            **common,
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfitRequest(limit_price=high),
            stop_loss=StopLossRequest(stop_price=low),
        ),
        MarketOrderRequest(**common, order_class=OrderClass.OTO, stop_loss=StopLossRequest(stop_price=low)),
    ]
    placed = [client.api.submit_order(request) for request in requests]
    assert [order.order_type.value for order in placed] == [
        "market", "limit", "stop", "stop_limit", "trailing_stop", "market", "market",
    ]  # fmt: skip
    assert [len(order.legs or []) for order in placed] == [0, 0, 0, 0, 0, 2, 1]


def test_a_client_order_id_is_unique_for_ever(sandbox, client):
    order = client.buy(client_order_id="once")
    client.api.cancel_order_by_id(order["id"])
    body = client.refused(422, client_order_id="once")
    assert body == {"code": 40010001, "message": "client_order_id must be unique"}
    assert client.api.get_order_by_client_id("once").id.hex == order["id"].replace("-", "")


def test_the_legs_of_a_bracket_wake_only_when_the_parent_is_wholly_filled(sandbox, client, price):
    order = client.buy(
        "800", order_class="bracket", take_profit={"limit_price": price(1.2)}, stop_loss={"stop_price": price(0.8)}
    )
    sandbox.wait(minutes(0.2))
    partly = client.get(order)
    assert partly["status"] == "partially_filled"
    assert [leg["status"] for leg in partly["legs"]] == ["held", "held"]
    sandbox.wait(minutes(2))
    whole = client.get(order)
    assert whole["status"] == "filled"
    assert [leg["status"] for leg in whole["legs"]] == ["new", "new"]
    client.api.cancel_order_by_id(whole["legs"][0]["id"])
    assert [leg["status"] for leg in client.get(order)["legs"]] == ["canceled", "canceled"]


def test_legs_follow_the_quantity_of_their_parent(sandbox, client, price):
    order = client.buy(type="limit", limit_price=price(0.9), order_class="oto", stop_loss={"stop_price": price(0.8)})
    changed = client.api.patch(f"/orders/{order['id']}", {"qty": "4", "limit_price": price(1.1)})
    sandbox.wait()
    whole = client.get(changed)
    assert (whole["status"], whole["filled_qty"]) == ("filled", "4")
    assert [(leg["status"], leg["qty"]) for leg in whole["legs"]] == [("new", "4")]


def test_a_replaced_leg_stays_a_leg(sandbox, client, price):
    order = client.buy(order_class="oto", stop_loss={"stop_price": price(0.8)})
    sandbox.wait()
    (leg,) = client.get(order)["legs"]
    changed = client.api.patch(f"/orders/{leg['id']}", {"stop_price": price(0.9)})
    assert changed["replaces"] == leg["id"]
    (now,) = client.get(order)["legs"]
    assert (now["id"], now["stop_price"]) == (changed["id"], price(0.9))


def test_an_oco_closes_a_position_by_whichever_comes_first(sandbox, client, price):
    client.buy()
    sandbox.wait()
    oco = client.sell(
        type="limit",
        order_class="oco",
        take_profit={"limit_price": price(0.99)},
        stop_loss={"stop_price": price(0.5)},
    )
    sandbox.wait(minutes(1))
    done = client.get(oco)
    assert (done["status"], done["legs"][0]["status"]) == ("filled", "canceled")


def test_shares_that_a_resting_stop_holds_cannot_be_sold_again(sandbox, client, price):
    client.buy()
    sandbox.wait()
    client.sell(type="stop", stop_price=price(0.8))
    body = client.refused(403, side="sell", qty="10")
    assert body["code"] == 40310000
    assert (body["available"], body["existing_qty"], body["held_for_orders"]) == ("0", "10", "10")


def test_an_order_that_could_trade_with_our_own_is_refused(sandbox, client, price):
    client.buy()
    sandbox.wait()
    client.sell("5", type="stop", stop_price=price(0.8))
    assert "potential wash trade" in client.refused(403, side="buy")["message"]


@pytest.mark.parametrize(
    ("words", "status", "code", "message"),
    [
        ({"qty": "1000000"}, 403, 40310000, "insufficient buying power"),
        ({"symbol": "NONE"}, 422, 42210000, 'asset "NONE" not found'),
        ({"symbol": None}, 422, 40010001, "symbol is required"),
        ({"qty": None}, 422, 40010001, "qty or notional is required"),
        ({"notional": "5"}, 422, 40010001, "only one of"),
        ({"qty": "-1"}, 422, 42210000, "qty must be > 0"),
        ({"qty": "NaN"}, 422, 40010001, "qty must be a number"),
        ({"qty": "1e999"}, 422, 40010001, "qty must be a number"),
        ({"qty": "0.5", "time_in_force": "gtc"}, 422, 42210000, "fractional orders must be DAY orders"),
        ({"qty": "0.5", "side": "sell"}, 422, 42210000, "fractional orders cannot be sold short"),
        ({"qty": None, "notional": "0.5"}, 403, 40310000, "cost basis must be >= minimal amount of order 1"),
        ({"type": "limit"}, 422, 40010001, "limit orders require a limit price"),
        ({"type": "limit", "limit_price": 20.123}, 422, 42210000, "sub-penny increment"),
        ({"type": "limit", "limit_price": "0"}, 422, 42210000, "limit_price must be > 0"),
        ({"type": "stop"}, 422, 40010001, "stop orders require a stop price"),
        ({"type": "trailing_stop"}, 422, 40010001, "one of trail_price or trail_percent"),
        ({"type": "peg"}, 422, 40010001, "invalid type"),
        ({"time_in_force": "never"}, 422, 40010001, "invalid time_in_force"),
        ({"side": "hold"}, 422, 40010001, "side must be"),
        ({"extended_hours": True}, 422, 42210000, "extended hours"),
        ({"order_class": "bracket"}, 422, 42210000, "require take_profit and stop_loss"),
        ({"order_class": "mleg"}, 422, 42210000, "not supported"),
        ({"client_order_id": "x" * 129}, 422, 40010001, "128 characters"),
    ],
)
def test_what_the_vendor_refuses_is_refused_with_its_status_and_code(client, words, status, code, message):
    body = client.refused(status, **words)
    assert body["code"] == code
    assert message in body["message"]
    assert client.api.get("/orders", {"status": "all"}) == []


def test_a_bracket_whose_stop_lies_beyond_its_target_is_refused(client):
    legs = {"take_profit": {"limit_price": "1"}, "stop_loss": {"stop_price": "200"}}
    assert "winning side" in client.refused(422, order_class="bracket", **legs)["message"]


def test_a_body_that_is_no_json_is_refused(client, sandbox):
    answer = client.api._session.post(
        sandbox.url("alpaca") + "/v2/orders",
        data=b"{",
        headers={"APCA-API-KEY-ID": "changeme", "APCA-API-SECRET-KEY": "changeme"},
        timeout=5,
    )
    assert (answer.status_code, answer.json()["code"]) == (422, 40010001)


def test_wrong_keys_are_refused_without_a_code(sandbox):
    from alpaca.common.exceptions import APIError  # noqa: PLC0415

    wrong = Client(sandbox, secret="wrong")
    with pytest.raises(APIError) as error:
        wrong.api.get_account()
    assert error.value.status_code == 401
    assert wrong.answers[-1].json() == {"message": "unauthorized."}
    wrong.api._session.close()


def test_what_has_ended_cannot_be_cancelled_or_replaced(sandbox, client):
    from alpaca.common.exceptions import APIError  # noqa: PLC0415

    order = client.buy()
    sandbox.wait()
    for ask in (client.api.cancel_order_by_id, lambda key: client.api.patch(f"/orders/{key}", {"qty": "5"})):
        with pytest.raises(APIError) as error:
            ask(order["id"])
        assert error.value.status_code == 422


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/orders/00000000-0000-4000-8000-000000000000", 404),
        ("/orders/no-uuid", 422),
        ("/orders:by_client_order_id?client_order_id=none", 404),
        ("/positions/SYN01", 404),
        ("/assets/NONE", 404),
        ("/options/contracts/NONE", 404),
        ("/orders?limit=0", 422),
        ("/orders?status=odd", 422),
        ("/orders?after=yesterday", 422),
        ("/nowhere", 404),
    ],
)
def test_what_is_not_there_is_said_so(client, path, status):
    from alpaca.common.exceptions import APIError  # noqa: PLC0415

    with pytest.raises(APIError) as error:
        client.api.get(path)
    assert error.value.status_code == status
    assert set(client.answers[-1].json()) == {"code", "message"}


def test_orders_placed_before_the_bell_wait_for_it():
    early = SandboxThread("alpaca", begin=-minutes(10))
    client = Client(early)
    order = client.buy()
    assert order["status"] == "accepted"
    client.api.get_clock()
    assert client.answers[-1].json()["is_open"] is False
    early.wait(minutes(12))
    assert client.get(order)["status"] == "filled"
    client.api._session.close()
    early.close()


def test_the_books_of_the_client_are_the_venues_to_the_cent(sandbox, client):
    for quantity in ("150", "7", "0.25"):
        client.buy(quantity)
    sandbox.wait(minutes(2))
    client.sell("100")
    sandbox.wait(minutes(2))
    truth = sandbox.do(sandbox.exchange.truth).accounts[0]
    activities = client.api.get("/account/activities")
    signs = {"buy": -1, "sell": 1}
    moved = sum(Decimal(a["price"]) * Decimal(a["qty"]) * signs[a["side"]] for a in activities)
    assert Decimal(100_000) + moved - truth.fees == truth.cash
    assert Decimal(client.api.get_account().cash) == round(truth.cash, 2)
    assert client.api.get_open_position(SYMBOL).qty == "57.25"


def test_calls_beyond_the_limit_are_told_when_to_come_again():
    limited = SandboxThread("alpaca", limited=True)
    client = Client(limited)
    from alpaca.common.exceptions import APIError  # noqa: PLC0415

    for _ in range(200):
        client.api.get_clock()
    assert client.answers[-1].headers["X-RateLimit-Remaining"] == "0"
    with pytest.raises(APIError) as error:
        client.api.get_clock()
    assert error.value.status_code == 429
    limited.wait(minutes(1))
    client.api.get_clock()
    client.api._session.close()
    limited.close()


def test_an_order_that_came_to_the_desk_another_way_is_told_like_any_other(sandbox, client):
    """As by hand at the vendor's own desk: in the list, by its id, by its client's id, changed and cancelled."""
    desk = sandbox.exchange.desk("alpaca")
    common = Ticket(instrument=equity(SYMBOL), buys=True, quantity=Decimal(3), kind=Kind.LIMIT, limit=Decimal(1))
    for label in ("by hand", ""):
        ticket = replace(common, label=label)
        sandbox.do(partial(desk.place, ticket))
    listed = client.api.get("/orders", {"status": "all", "nested": True})
    assert {(one["qty"], one["order_class"], one["status"]) for one in listed} == {("3", "simple", "new")}
    named = next(one for one in listed if one["client_order_id"] == "by hand")
    assert client.get(named)["id"] == named["id"]
    assert client.api.get("/orders:by_client_order_id", {"client_order_id": "by hand"})["id"] == named["id"]
    assert client.api.patch(f"/orders/{named['id']}", {"qty": "2"})["qty"] == "2"
    for one in client.api.get("/orders", {"status": "open"}):
        client.api.delete(f"/orders/{one['id']}")
    assert client.api.get("/orders", {"status": "open"}) == []
