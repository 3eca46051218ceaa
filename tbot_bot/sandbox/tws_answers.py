"""What the gateway answers to each request of a client that has started."""

from functools import singledispatchmethod
from typing import Final

from tbot_bot.core.calendar import exchange_time, next_trading_day
from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.sandbox import tws_account as account
from tbot_bot.sandbox import tws_codes as codes
from tbot_bot.sandbox import tws_requests as asks
from tbot_bot.sandbox import tws_telling as telling
from tbot_bot.sandbox.tws_book import Entry, Execution
from tbot_bot.sandbox.tws_catalog import INCREMENTS, MARKET_RULE, OPTION_EXCHANGES, Listed
from tbot_bot.sandbox.tws_contracts import ContractAsked
from tbot_bot.sandbox.tws_data import DataSubscriptions
from tbot_bot.sandbox.tws_fields import Message
from tbot_bot.sandbox.tws_gateway import VENDOR, Client, Gateway
from tbot_bot.sandbox.tws_orders import CompletedOrdersEnd, ExecutionsEnd, OpenOrdersEnd
from tbot_bot.sandbox.tws_place_order import PlaceOrder
from tbot_bot.sandbox.tws_replies import (
    ContractDetailsEnd,
    CurrentTime,
    ManagedAccounts,
    MarketRule,
    NextValidId,
    OptionParameters,
    OptionParametersEnd,
    Problem,
    SymbolSample,
    SymbolSamples,
)
from tbot_bot.sandbox.tws_times import read_time

_HOURS: Final = ("0400", "2000")
"""New York times between which the vendor trades shares at all."""


class Answers:
    """Serves one started client."""

    def __init__(self, gateway: Gateway, client: Client, data: DataSubscriptions) -> None:
        """Answer through `client`; `data` are its subscriptions to the market."""
        self._gateway = gateway
        self._client = client
        self._data = data
        self._positions = False
        self._updates = False
        self._summaries: dict[int, str] = {}
        self._multi: dict[int, str] = {}

    def account_changed(self, symbol: str) -> None:
        """Tell who follows the account that something was traded."""
        gateway, send = self._gateway, self._client.send
        position = account.position_told(gateway, symbol)
        line = account.portfolio_told(gateway, symbol)
        if self._positions and position is not None:
            send(position)
        if self._updates and line is not None:
            send(line, *account.updates(gateway))
        for req_id, tags in self._summaries.items():
            send(*account.summary(gateway, req_id, tags)[:-1])
        for req_id, model_code in self._multi.items():
            send(*account.multi(gateway, req_id, model_code)[:-1])

    @singledispatchmethod
    def answer(self, request: Message) -> None:
        """Do what a request asks, and answer it: one method for each kind."""
        raise AssertionError(request)

    @answer.register
    def _(self, request: PlaceOrder) -> None:
        self._gateway.place(self._client, request)

    @answer.register
    def _(self, request: asks.CancelOrder) -> None:
        self._gateway.cancel(self._client, request.order_id)

    @answer.register
    def _(self, _: asks.ReqGlobalCancel) -> None:
        self._gateway.cancel_all()

    @answer.register
    def _(self, _: asks.ReqOpenOrders) -> None:
        self._open_orders(mine=True)

    @answer.register
    def _(self, _: asks.ReqAllOpenOrders) -> None:
        self._open_orders(mine=False)

    @answer.register
    def _(self, _: asks.ReqIds) -> None:
        self._client.send(NextValidId(order_id=self._gateway.book.next_order_id()))

    @answer.register
    def _(self, _: asks.ReqManagedAccounts) -> None:
        self._client.send(ManagedAccounts(accounts=self._gateway.account))

    @answer.register
    def _(self, _: asks.ReqCurrentTime) -> None:
        self._client.send(CurrentTime(seconds=self._gateway.faults.vendor_now(VENDOR) // SECOND))

    @answer.register
    def _(self, _: asks.SetServerLogLevel) -> None:
        """Nothing here depends on it."""

    @answer.register
    def _(self, _: asks.ReqAutoOpenOrders) -> None:
        """Nothing here depends on it."""

    # --- the account -------------------------------------------------------------------------------------------------

    @answer.register
    def _(self, _: asks.ReqPositions) -> None:
        self._positions = True
        self._client.send(*account.positions(self._gateway))

    @answer.register
    def _(self, _: asks.CancelPositions) -> None:
        self._positions = False

    @answer.register
    def _(self, request: asks.ReqAccountUpdates) -> None:
        if self._is_ours(request.account, codes.SYSTEM):
            self._updates = request.subscribe
            if request.subscribe:
                self._client.send(*account.download(self._gateway))

    @answer.register
    def _(self, request: asks.ReqAccountSummary) -> None:
        self._summaries[request.req_id] = request.tags
        self._client.send(*account.summary(self._gateway, request.req_id, request.tags))

    @answer.register
    def _(self, request: asks.CancelAccountSummary) -> None:
        self._summaries.pop(request.req_id, None)

    @answer.register
    def _(self, request: asks.ReqAccountUpdatesMulti) -> None:
        if self._is_ours(request.account, request.req_id):
            self._multi[request.req_id] = request.model_code
            self._client.send(*account.multi(self._gateway, request.req_id, request.model_code))

    @answer.register
    def _(self, request: asks.CancelAccountUpdatesMulti) -> None:
        self._multi.pop(request.req_id, None)

    def _is_ours(self, name: str, req_id: int) -> bool:
        ours = name in {"", self._gateway.account}
        if not ours:
            self._client.send(codes.invalid(req_id, f"Invalid account code {name!r}"))
        return ours

    # --- the market --------------------------------------------------------------------------------------------------

    @answer.register
    def _(self, request: asks.ReqMarketDataType) -> None:
        self._data.kind = request.kind

    @answer.register
    def _(self, request: asks.ReqMarketData) -> None:
        listed = self._one(request.req_id, request.contract)
        if listed is not None:
            self._data.start_ticks(request, listed)

    @answer.register
    def _(self, request: asks.CancelMarketData) -> None:
        if not self._data.stop_ticks(request.req_id):
            text = f"Can't find EId with tickerId:{request.req_id}"
            self._client.send(Problem(req_id=request.req_id, code=codes.UNKNOWN_TICKER, text=text))

    @answer.register
    def _(self, request: asks.ReqHistoricalData) -> None:
        listed = self._one(request.req_id, request.contract)
        if listed is not None:
            self._data.history(request, listed)

    @answer.register
    def _(self, request: asks.CancelHistoricalData) -> None:
        self._data.stop_history(request.req_id)

    @answer.register
    def _(self, request: asks.ReqRealTimeBars) -> None:
        listed = self._one(request.req_id, request.contract)
        if listed is not None:
            self._data.start_bars(request, listed)

    @answer.register
    def _(self, request: asks.CancelRealTimeBars) -> None:
        self._data.stop_bars(request.req_id)

    # --- orders ------------------------------------------------------------------------------------------------------

    def _open_orders(self, *, mine: bool) -> None:
        for entry in self._gateway.open_entries():
            if not mine or entry.client_id == self._client.client_id:
                self._client.send(*self._gateway.order_messages(entry))
        self._client.send(OpenOrdersEnd())

    @answer.register
    def _(self, request: asks.ReqCompletedOrders) -> None:
        for entry in self._gateway.completed_entries():
            if not request.api_only or entry.asked.order_id > 0:
                standing = self._gateway.book.standing(entry)
                self._client.send(telling.completed_order(entry, standing, account=self._gateway.account))
        self._client.send(CompletedOrdersEnd())

    @answer.register
    def _(self, asked: asks.ReqExecutions) -> None:
        since: Instant | None = None
        if asked.time:
            try:
                since = read_time(asked.time)
            except ValueError as error:
                self._client.send(codes.invalid(asked.req_id, str(error)))
                return
        book = self._gateway.book
        for execution in book.executions_of_day(self._gateway.at()):
            entry = book.get(execution.key)
            if entry is not None and _passes(asked, since, entry, execution, self._gateway.account):
                details = telling.execution_details(
                    entry, execution, req_id=asked.req_id, account=self._gateway.account
                )
                self._client.send(details, telling.commission_report(execution))
        self._client.send(ExecutionsEnd(req_id=asked.req_id))

    # --- contracts ---------------------------------------------------------------------------------------------------

    def _one(self, req_id: int, asked: ContractAsked) -> Listed | None:
        """Return the only contract that fits; tell the client where there is none or more than one."""
        found = self._gateway.catalog.find(asked, self._gateway.at())
        if len(found) == 1:
            return found[0]
        self._client.send((codes.ambiguous if found else codes.no_such_contract)(req_id))
        return None

    @answer.register
    def _(self, asked: asks.ReqContractDetails) -> None:
        if not asked.contract.con_id and not asked.contract.sec_type:
            self._client.send(codes.invalid(asked.req_id, "Please enter a valid security type"))
            return
        found = self._gateway.catalog.find(asked.contract, self._gateway.at())
        if not found:
            self._client.send(codes.no_such_contract(asked.req_id))
            return
        hours = self._hours()
        for listed in found:
            self._client.send(listed.details(asked.req_id, asked.contract.exchange, hours))
        self._client.send(ContractDetailsEnd(req_id=asked.req_id))

    def _hours(self) -> tuple[str, str]:
        """Return trading and liquid hours of the day and the next, as the vendor spells them."""
        session = self._gateway.exchange.market.day
        opened, closed = exchange_time(session.open_at), exchange_time(session.close_at)
        following = next_trading_day(session.day)
        return (
            ";".join(f"{day:%Y%m%d}:{_HOURS[0]}-{day:%Y%m%d}:{_HOURS[1]}" for day in (session.day, following)),
            f"{opened:%Y%m%d:%H%M}-{closed:%Y%m%d:%H%M};{following:%Y%m%d}:0930-{following:%Y%m%d}:1600",
        )

    @answer.register
    def _(self, asked: asks.ReqOptionParameters) -> None:
        puts = [
            put
            for put in self._gateway.catalog.puts(asked.symbol, self._gateway.at())
            if put.underlying_con_id == asked.con_id
        ]
        if puts:
            expirations = tuple(sorted({put.last_trade_date for put in puts}))
            strikes = tuple(sorted({put.strike for put in puts}))
            for exchange in OPTION_EXCHANGES:
                self._client.send(
                    OptionParameters(
                        req_id=asked.req_id,
                        exchange=exchange,
                        underlying_con_id=asked.con_id,
                        trading_class=asked.symbol,
                        multiplier=puts[0].multiplier,
                        expirations=expirations,
                        strikes=strikes,
                    )
                )
        self._client.send(OptionParametersEnd(req_id=asked.req_id))

    @answer.register
    def _(self, asked: asks.ReqMatchingSymbols) -> None:
        samples = tuple(
            SymbolSample(
                con_id=listed.con_id,
                symbol=listed.symbol,
                sec_type=listed.sec_type,
                primary_exchange=listed.exchange,
                currency="USD",
                derivatives=("OPT",) if listed.sec_type == "STK" else (),
                description=f"{listed.symbol} SANDBOX",
            )
            for listed in self._gateway.catalog.matching(asked.pattern)[:16]
        )
        self._client.send(SymbolSamples(req_id=asked.req_id, samples=samples))

    @answer.register
    def _(self, asked: asks.ReqMarketRule) -> None:
        if asked.rule_id == MARKET_RULE:
            self._client.send(MarketRule(rule_id=asked.rule_id, increments=INCREMENTS))
        else:
            self._client.send(codes.invalid(codes.SYSTEM, f"Invalid market rule id {asked.rule_id}"))


def _passes(
    asked: asks.ReqExecutions, since: Instant | None, entry: Entry, execution: Execution, own_account: str
) -> bool:
    side = "BUY" if entry.asked.action == "BUY" else "SELL"
    told = "BOT" if side == "BUY" else "SLD"
    return (
        asked.client_id in {0, entry.client_id}
        and asked.account in {"", own_account}
        and (since is None or execution.fill.transacted_at >= since)
        and asked.symbol in {"", entry.listed.symbol}
        and asked.sec_type in {"", entry.listed.sec_type}
        and asked.exchange in {"", "SMART", entry.listed.exchange}
        and asked.side in {"", side, told}
    )
