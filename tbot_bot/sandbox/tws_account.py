"""The account, as the TWS protocol tells of it: values by tag, the portfolio, the positions."""

from decimal import Decimal
from typing import Final

from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.money import ZERO, plain, to_cents
from tbot_bot.core.orders import Position
from tbot_bot.sandbox.tws_fields import Message
from tbot_bot.sandbox.tws_gateway import Gateway
from tbot_bot.sandbox.tws_replies import (
    AccountDownloadEnd,
    AccountSummary,
    AccountSummaryEnd,
    AccountTime,
    AccountUpdateMulti,
    AccountUpdateMultiEnd,
    AccountValue,
    PortfolioValue,
    PositionsEnd,
    PositionTold,
)

_DAY_TRADES_ALLOWED: Final = 3
_DAY_TRADER_EQUITY: Final = Decimal(25_000)
_UNLIMITED: Final = "-1"
_DOLLARS: Final = "USD"


def values(gateway: Gateway) -> dict[str, tuple[str, str]]:
    """Return value and currency by tag."""
    account = gateway.desk.account()
    held = gateway.desk.positions()
    gross = sum((abs(value_of(gateway, position)) for position in held), ZERO)
    unrealized = sum((unrealized_of(gateway, position) for position in held), ZERO)
    realized = sum((one.realized or ZERO for one in gateway.book.executions_of_day(gateway.at())), ZERO)
    few = account.equity < _DAY_TRADER_EQUITY
    remaining = str(max(_DAY_TRADES_ALLOWED - account.day_trades, 0)) if few else _UNLIMITED
    dollars = {
        "NetLiquidation": account.equity,
        "EquityWithLoanValue": account.equity,
        "TotalCashValue": account.cash,
        "CashBalance": account.cash,
        "SettledCash": account.settled_cash,
        "AccruedCash": ZERO,
        "BuyingPower": account.buying_power,
        "AvailableFunds": max(account.equity - gross / 2, ZERO),
        "ExcessLiquidity": max(account.equity - gross / 4, ZERO),
        "InitMarginReq": gross / 2,
        "MaintMarginReq": gross / 4,
        "GrossPositionValue": gross,
        "UnrealizedPnL": unrealized,
        "RealizedPnL": realized,
    }
    told = {tag: (f"{to_cents(amount):f}", _DOLLARS) for tag, amount in dollars.items()}
    return told | {
        "AccountType": ("INDIVIDUAL", ""),
        "AccountReady": ("true", ""),
        "Cushion": ("1" if not account.equity else plain(round(1 - gross / 4 / account.equity, 6)), ""),
        "DayTradesRemaining": (remaining, ""),
    }


def price_of(gateway: Gateway, position: Position) -> Decimal:
    """Return the market's price of one unit; the average price where the market has none."""
    symbol, at = position.instrument.symbol, gateway.at()
    market = gateway.exchange.market
    if not position.instrument.underlying:
        return market.price(symbol, at) or position.average_price
    quote = market.quote(symbol, at)
    return position.average_price if quote is None else (quote.bid + quote.ask) / 2


def value_of(gateway: Gateway, position: Position) -> Decimal:
    """Return what the position is worth in dollars, negative where short."""
    return price_of(gateway, position) * position.quantity * position.instrument.multiplier


def unrealized_of(gateway: Gateway, position: Position) -> Decimal:
    """Return the profit in dollars that closing at the market's price would bring."""
    gain = price_of(gateway, position) - position.average_price
    return gain * position.quantity * position.instrument.multiplier


def positions(gateway: Gateway) -> tuple[Message, ...]:
    """Return every position, and the end."""
    held = (position_told(gateway, one.instrument.symbol) for one in gateway.desk.positions())
    return (*(one for one in held if one is not None), PositionsEnd())


def position_told(gateway: Gateway, symbol: str) -> PositionTold | None:
    """Return the position in `symbol`, with 0 where it was closed; None for a symbol that nobody knows."""
    instrument = gateway.exchange.market.instrument(symbol)
    if instrument is None:
        return None
    held = next((one for one in gateway.desk.positions() if one.instrument.symbol == symbol), None)
    return PositionTold(
        account=gateway.account,
        contract=gateway.catalog.of(instrument).told(),
        position=ZERO if held is None else held.quantity,
        average_cost=ZERO if held is None else held.average_price * instrument.multiplier,
    )


def portfolio_told(gateway: Gateway, symbol: str) -> PortfolioValue | None:
    """Return the portfolio's line for `symbol`; None for a symbol that nobody knows."""
    instrument = gateway.exchange.market.instrument(symbol)
    if instrument is None:
        return None
    held = next((one for one in gateway.desk.positions() if one.instrument.symbol == symbol), None)
    return PortfolioValue(
        contract=gateway.catalog.of(instrument).told(),
        position=ZERO if held is None else held.quantity,
        market_price=ZERO if held is None else price_of(gateway, held),
        market_value=ZERO if held is None else to_cents(value_of(gateway, held)),
        average_cost=ZERO if held is None else held.average_price * instrument.multiplier,
        unrealized_pnl=ZERO if held is None else to_cents(unrealized_of(gateway, held)),
        realized_pnl=to_cents(gateway.book.realized(symbol, gateway.at())),
        account=gateway.account,
    )


def download(gateway: Gateway) -> tuple[Message, ...]:
    """Return the whole account with its portfolio, and the end."""
    lines = (portfolio_told(gateway, one.instrument.symbol) for one in gateway.desk.positions())
    return (
        *updates(gateway),
        *(line for line in lines if line is not None),
        AccountTime(time=f"{exchange_time(gateway.at()):%H:%M}"),
        AccountDownloadEnd(account=gateway.account),
    )


def updates(gateway: Gateway) -> tuple[Message, ...]:
    """Return the account's values for those who follow it."""
    return tuple(
        AccountValue(tag=tag, value=value, currency=currency, account=gateway.account)
        for tag, (value, currency) in values(gateway).items()
    )


def summary(gateway: Gateway, req_id: int, tags: str) -> tuple[Message, ...]:
    """Return the values whose tags were asked for (comma between them), and the end."""
    wanted = {tag.strip() for tag in tags.split(",")}
    return (
        *(
            AccountSummary(req_id=req_id, account=gateway.account, tag=tag, value=value, currency=currency)
            for tag, (value, currency) in values(gateway).items()
            if tag in wanted
        ),
        AccountSummaryEnd(req_id=req_id),
    )


def multi(gateway: Gateway, req_id: int, model_code: str) -> tuple[Message, ...]:
    """Return the values for a request that names account and model, and the end."""
    return (
        *(
            AccountUpdateMulti(
                req_id=req_id, account=gateway.account, model_code=model_code, tag=tag, value=value, currency=currency
            )
            for tag, (value, currency) in values(gateway).items()
        ),
        AccountUpdateMultiEnd(req_id=req_id),
    )
