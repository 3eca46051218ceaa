"""Alpaca's trading REST: account, assets, clock, calendar, orders, positions, activities, option contracts."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tbot_bot.core.calendar import trading_day, trading_days
from tbot_bot.core.money import ZERO, plain
from tbot_bot.core.orders import Position
from tbot_bot.sandbox.alpaca_book import VENDOR, AlpacaBook, in_period
from tbot_bot.sandbox.alpaca_query import (
    bad_request,
    contract_wanted,
    day_in,
    instant_in,
    limit_in,
    new_york_day,
    token_in,
)
from tbot_bot.sandbox.alpaca_requests import NOT_FOUND, AlpacaError, malformed, read_body
from tbot_bot.sandbox.alpaca_shapes import (
    account_json,
    activity_json,
    asset_json,
    asset_uuid,
    calendar_json,
    clock_json,
    contract_json,
    order_uuid,
    position_json,
)
from tbot_bot.sandbox.exchange import Exchange
from tbot_bot.sandbox.serving import Json, answer
from tbot_bot.sandbox.tickets import Order

Handler = Callable[[Request], Awaitable[Json | Response]]
_ORDERS_MAX: Final = 500
_PAGE: Final = 100
_CALENDAR_DAYS: Final = 366


class AlpacaTrading:
    """The endpoints under `/v2` that trade."""

    def __init__(self, exchange: Exchange, book: AlpacaBook, *, cash_start: Decimal) -> None:
        """`cash_start` in dollars stands for the equity of the day before."""
        self._exchange, self._book, self._cash_start = exchange, book, cash_start

    def routes(self) -> list[Route]:
        """Return the routes; `served` turns errors into the vendor's answers."""
        table: tuple[tuple[str, str, Handler], ...] = (
            ("GET", "/v2/account", self._account),
            ("GET", "/v2/account/configurations", self._configurations),
            ("GET", "/v2/account/activities", self._activities),
            ("GET", "/v2/account/activities/{kind}", self._activities),
            ("GET", "/v2/assets", self._assets),
            ("GET", "/v2/assets/{symbol}", self._asset),
            ("GET", "/v2/clock", self._clock),
            ("GET", "/v2/calendar", self._calendar),
            ("GET", "/v2/orders", self._orders),
            ("POST", "/v2/orders", self._place),
            ("DELETE", "/v2/orders", self._cancel_all),
            ("GET", "/v2/orders:by_client_order_id", self._by_client_id),
            ("GET", "/v2/orders/{id}", self._order),
            ("PATCH", "/v2/orders/{id}", self._change),
            ("DELETE", "/v2/orders/{id}", self._cancel),
            ("GET", "/v2/positions", self._positions),
            ("DELETE", "/v2/positions", self._close_all),
            ("GET", "/v2/positions/{symbol}", self._position),
            ("DELETE", "/v2/positions/{symbol}", self._close),
            ("GET", "/v2/options/contracts", self._contracts),
            ("GET", "/v2/options/contracts/{symbol}", self._contract),
        )
        return [Route(path, served(handler), methods=[method]) for method, path, handler in table]

    # --- account, assets, time ---------------------------------------------------------------------------------------

    async def _account(self, _: Request) -> Json:
        values = [self._value(position) for position in self._book.desk.positions()]
        return account_json(
            self._book.desk.account(),
            cash_start=self._cash_start,
            long_value=sum((value for value in values if value > ZERO), ZERO),
            short_value=sum((value for value in values if value < ZERO), ZERO),
        )

    async def _configurations(self, _: Request) -> Json:
        return {
            "dtbp_check": "entry",
            "fractional_trading": True,
            "max_margin_multiplier": "4",
            "max_options_trading_level": 2,
            "no_shorting": False,
            "pdt_check": "entry",
            "ptp_no_exception_entry": False,
            "suspend_trade": False,
            "trade_confirm_email": "none",
        }

    async def _assets(self, request: Request) -> Json:
        if request.query_params.get("asset_class", "us_equity") != "us_equity":
            return []
        return [self._asset_shape(symbol) for symbol in self._exchange.market.symbols]

    async def _asset(self, request: Request) -> Json:
        wanted = request.path_params["symbol"]
        symbols = self._exchange.market.symbols
        found = wanted if wanted in symbols else next((s for s in symbols if asset_uuid(s) == wanted), None)
        if found is None:
            raise AlpacaError(404, NOT_FOUND, f"asset not found for {wanted}")
        return self._asset_shape(found)

    async def _clock(self, _: Request) -> Json:
        return clock_json(self._exchange.faults.vendor_now(VENDOR))

    async def _calendar(self, request: Request) -> Json:
        today = self._exchange.market.day.day
        start, end = day_in(request, "start") or today, day_in(request, "end") or today
        end = min(end, start + timedelta(days=_CALENDAR_DAYS))
        try:
            days = list(trading_days(start, end)) if start <= end else []
        except ValueError as error:
            raise bad_request(str(error)) from None
        return [calendar_json(trading_day(day)) for day in days]

    # --- orders ------------------------------------------------------------------------------------------------------

    async def _place(self, request: Request) -> Json:
        order = self._book.place(read_body(await request.body()))
        return self._book.shape(order, nested=True)

    async def _orders(self, request: Request) -> Json:
        query = request.query_params
        status = query.get("status", "open")
        if status not in {"open", "closed", "all"}:
            raise malformed(f"invalid status: {status}")
        nested = query.get("nested", "").lower() == "true"
        symbols = {symbol for symbol in query.get("symbols", "").split(",") if symbol}
        found = in_period(self._book.desk.orders(), instant_in(request, "after"), instant_in(request, "until"))
        found = [order for order in found if status == "all" or order.phase.open is (status == "open")]
        found = [order for order in found if not symbols or order.ticket.instrument.symbol in symbols]
        side = query.get("side")
        found = [order for order in found if side is None or order.ticket.buys is (side == "buy")]
        found = [order for order in found if not (nested and self._book.is_leg(order))]
        if query.get("direction", "desc") != "asc":
            found.reverse()
        return [self._book.shape(order, nested=nested) for order in found[: limit_in(request, 50, _ORDERS_MAX)]]

    async def _order(self, request: Request) -> Json:
        nested = request.query_params.get("nested", "").lower() == "true"
        return self._book.shape(self._book.find(request.path_params["id"]), nested=nested)

    async def _by_client_id(self, request: Request) -> Json:
        given = request.query_params.get("client_order_id", "")
        return self._book.shape(self._book.find_by_client(given), nested=False)

    async def _change(self, request: Request) -> Json:
        old = self._book.find(request.path_params["id"])
        return self._book.shape(self._book.change(old, read_body(await request.body())), nested=False)

    async def _cancel(self, request: Request) -> Response:
        self._book.cancel(self._book.find(request.path_params["id"]))
        return answer(None, 204)

    async def _cancel_all(self, _: Request) -> Response:
        done: list[Json] = []
        for order in self._book.desk.open_orders():
            if self._book.current(order.number).phase.open:  # not ended with another one
                self._book.cancel(order)
                done.append({"id": order_uuid(order.number), "status": 200})
        return answer(done, 207)

    # --- positions and activities ------------------------------------------------------------------------------------

    async def _positions(self, _: Request) -> Json:
        return [self._position_shape(position) for position in self._book.desk.positions()]

    async def _position(self, request: Request) -> Json:
        return self._position_shape(self._held(request.path_params["symbol"]))

    async def _close(self, request: Request) -> Json:
        position = self._held(request.path_params["symbol"])
        query = request.query_params
        try:
            part = Decimal(query.get("percentage", "100")) / 100
            quantity = Decimal(query["qty"]) if "qty" in query else abs(position.quantity) * part
        except ArithmeticError:
            raise malformed("qty and percentage must be numbers") from None
        return self._closing(position, quantity)

    async def _close_all(self, request: Request) -> Response:
        if request.query_params.get("cancel_orders", "").lower() == "true":
            await self._cancel_all(request)
        done: list[Json] = []
        for position in self._book.desk.positions():
            entry: dict[str, Json] = {"symbol": position.instrument.symbol, "status": 200}
            try:
                entry["body"] = self._closing(position, abs(position.quantity))
            except AlpacaError as error:
                entry["status"] = error.status
            done.append(entry)
        return answer(done, 207)

    async def _activities(self, request: Request) -> Json:
        query = request.query_params
        kinds = {kind for kind in query.get("activity_types", "").split(",") if kind}
        kind = request.path_params.get("kind")
        if (kind or "FILL") != "FILL" or (kinds and "FILL" not in kinds):
            return []
        after, until, day = instant_in(request, "after"), instant_in(request, "until"), day_in(request, "date")
        found: list[Json] = []
        filled: dict[int, Decimal] = {}
        ids: list[str] = []
        for fill in self._book.desk.fills():
            order = self._book.current(int(fill.client_order_id))
            filled[order.number] = filled.get(order.number, ZERO) + fill.quantity
            at = fill.transacted_at
            wanted = (after is None or at > after) and (until is None or at < until)
            if wanted and (day is None or new_york_day(at) == day):
                shape = activity_json(fill, order, order.ticket.quantity - filled[order.number])
                found.append(shape)
                ids.append(str(shape["id"]) if isinstance(shape, Mapping) else "")
        if query.get("direction", "desc") != "asc":
            found.reverse()
            ids.reverse()
        token = query.get("page_token")
        begin = ids.index(token) + 1 if token in ids else 0
        return found[begin : begin + limit_in(request, _PAGE, _PAGE, name="page_size")]

    # --- options -----------------------------------------------------------------------------------------------------

    async def _contracts(self, request: Request) -> Json:
        query = request.query_params
        underlyings = [symbol for symbol in query.get("underlying_symbols", "").split(",") if symbol]
        found = [put for symbol in underlyings for put in self._exchange.market.puts(symbol, self._exchange.now())]
        if query.get("type", "put") != "put":
            found = []
        wanted = [put for put in found if contract_wanted(put, request)]
        begin = token_in(request)
        limit = limit_in(request, _PAGE, 10_000)
        more = begin + limit < len(wanted)
        shapes = [contract_json(put) for put in wanted[begin : begin + limit]]
        return {"option_contracts": shapes, "next_page_token": str(begin + limit) if more else None}

    async def _contract(self, request: Request) -> Json:
        symbol = request.path_params["symbol"]
        found = self._exchange.market.instrument(symbol)
        if found is None or not found.underlying:
            raise AlpacaError(404, NOT_FOUND, f"option contract not found for {symbol}")
        return contract_json(found)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _asset_shape(self, symbol: str) -> Json:
        return asset_json(symbol, borrowable=symbol not in self._book.desk.rules.unborrowable)

    def _price(self, position: Position) -> Decimal:
        """Return the last price, for puts the middle of the quote."""
        instrument = position.instrument
        market, now = self._exchange.market, self._exchange.now()
        if instrument.underlying:
            premium = market.option_price(instrument, now)
            return position.average_price if premium is None else instrument.round_price(premium)
        return market.price(instrument.symbol, now) or position.average_price

    def _value(self, position: Position) -> Decimal:
        return position.instrument.notional(self._price(position), position.quantity)

    def _position_shape(self, position: Position) -> Json:
        symbol = position.instrument.symbol
        before = self._exchange.market.source.previous_close(symbol)
        price = self._price(position)
        return position_json(
            position,
            price=price,
            previous=price if before is None else position.instrument.round_price(float(before)),
            available=max(abs(position.quantity) - self._book.desk.committed(symbol), ZERO),
        )

    def _held(self, wanted: str) -> Position:
        for position in self._book.desk.positions():
            if wanted in {position.instrument.symbol, asset_uuid(position.instrument.symbol)}:
                return position
        raise AlpacaError(404, NOT_FOUND, "position does not exist")

    def _closing(self, position: Position, quantity: Decimal) -> Json:
        order: Order = self._book.place(
            {
                "symbol": position.instrument.symbol,
                "qty": plain(quantity),
                "side": "sell" if position.quantity > ZERO else "buy",
                "type": "market",
                "time_in_force": "day",
            }
        )
        return self._book.shape(order, nested=False)


def served(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Return `handler` with its JSON and its refusals turned into responses."""

    async def serve(request: Request) -> Response:
        try:
            found = await handler(request)
        except AlpacaError as error:
            return answer(error.body, error.status)
        return found if isinstance(found, Response) else answer(found)

    return serve
