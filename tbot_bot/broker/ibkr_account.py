"""What Interactive Brokers says of the account: values by name, positions. Pure: no talking.

Source: TWS API, reqAccountSummary and reqPositions.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from tbot_bot.broker.ibkr_contracts import instrument_of, multiplier_of, number
from tbot_bot.core.errors import UnknownMessage
from tbot_bot.core.money import ZERO, exact
from tbot_bot.core.orders import Account, Position

if TYPE_CHECKING:
    from ib_async import AccountValue
    from ib_async import Position as IbPosition

SUMMARY_TAGS: Final = "NetLiquidation,TotalCashValue,SettledCash,BuyingPower,AvailableFunds,DayTradesRemaining"
DAY_TRADES_ALLOWED: Final = 3
"""In five trading days, below 25,000 dollars of equity: FINRA Rule 4210. IB tells how many are left, -1 for any."""


def account_of(broker: str, values: "Iterable[AccountValue]") -> Account:
    """Return the account that a summary describes.

    IB names no account type that tells margin from cash; more buying power than funds is margin. Without a margin's
    leverage the account counts as cash, whose rules are the stricter ones.

    Raises:
        UnknownMessage: a figure that matters is missing or is none.
    """
    told = {value.tag: value.value for value in values}
    funds, power = _amount(told, "AvailableFunds"), _amount(told, "BuyingPower")
    cash = _amount(told, "TotalCashValue")
    left = told.get("DayTradesRemaining", "")
    count = int(left) if left.lstrip("-").isdecimal() else -1
    return Account(
        broker=broker,
        equity=_amount(told, "NetLiquidation"),
        cash=cash,
        buying_power=power,
        settled_cash=_amount(told, "SettledCash") if told.get("SettledCash") else cash,
        day_trades=max(DAY_TRADES_ALLOWED - count, 0) if count >= 0 else 0,
        is_margin=power > max(funds, ZERO),
    )


def positions_of(broker: str, account: str, told: "Iterable[IbPosition]") -> tuple[Position, ...]:
    """Return the positions of `account`; the last word on each contract counts.

    Raises:
        UnknownMessage: a figure that is none.
    """
    newest = {one.contract.conId: one for one in told if one.account == account}
    return tuple(_position(broker, one) for one in newest.values() if one.position)


def _position(broker: str, told: "IbPosition") -> Position:
    instrument = instrument_of(told.contract)
    what = f"position in {instrument.symbol}"
    return Position(
        broker=broker,
        instrument=instrument,
        quantity=number(told.position, what),
        average_price=number(told.avgCost, what) / multiplier_of(told.contract),  # the cost is of a whole contract
    )


def _amount(told: Mapping[str, str], tag: str) -> Decimal:
    try:
        return exact(told[tag])
    except (KeyError, ValueError):
        raise UnknownMessage(f"account summary: {tag} is {told.get(tag, 'missing')!r}") from None
