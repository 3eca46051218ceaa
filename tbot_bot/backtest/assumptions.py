"""What a backtest takes for granted, in words that belong in its report: executions, costs, put prices, the data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from tbot_bot.backtest.execution_model import ExecutionModel, Slippage
from tbot_bot.backtest.model import BacktestResult
from tbot_bot.broker.admission import is_lack_of_borrow
from tbot_bot.broker.pricing import HALF_SPREAD_FRACTION
from tbot_bot.core.instants import MINUTE
from tbot_bot.core.money import plain
from tbot_bot.marketdata.spreads import BARS

if TYPE_CHECKING:
    from tbot_bot.backtest.bar_arrays import BarArrays

_DAYS_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivors:
    """Which symbols the data begin with, and how many of these are still there at the end."""

    symbols: int
    """With a bar on any of the days."""
    at_first: int
    gone: int
    """There on the first day, not on the last."""
    came: int
    """There on the last day, not on the first."""


def survivors_of(arrays: "BarArrays | None", days: Sequence[date]) -> Survivors | None:
    """Return who is there at the beginning and the end of `days`; None where the bars are not held as arrays."""
    if arrays is None or not days:
        return None
    there = arrays.stop > arrays.first
    columns = [arrays.days.index(day) for day in days]
    first, last = there[:, columns[0]], there[:, columns[-1]]
    return Survivors(
        symbols=int(there[:, columns].any(axis=1).sum()),
        at_first=int(first.sum()),
        gone=int((first & ~last).sum()),
        came=int((last & ~first).sum()),
    )


def executions(result: BacktestResult, model: ExecutionModel) -> list[str]:
    """Return how orders were executed and what they cost."""
    return [
        (
            "An order born of a bar meets the next bar at the earliest: the open if it is good enough, else the "
            "first price in the bar that reaches its limit."
        ),
        (
            "A stop fills at its level, or at the open where the market opened beyond it. Where a stop and a target "
            "lie in one bar, the stop came first."
        ),
        _slippage(model.slippage),
        f"Our orders take at most {plain(model.volume_cap * 100)} % of a bar's volume in a symbol; the rest waits.",
        (
            "Commissions and regulatory fees are those of each broker's schedule at the day of the trade. Interest and "
            "dividends are not counted."
        ),
        _borrowing(result, model),
        *_puts(result, model),
    ]


def borrow_refusals(result: BacktestResult) -> int:
    """Return how many short sales were refused because their shares could not be borrowed."""
    return sum(is_lack_of_borrow(one.reason) for one in result.unfilled)


def _slippage(slippage: Slippage) -> str:
    if slippage == Slippage():
        return "Nothing is added to the price that an order met: no slippage beyond what the bars themselves show."
    parts = []
    if slippage.bps:
        parts.append(f"{plain(slippage.bps)} basis points of the price")
    if slippage.spread:
        parts.append(
            f"{plain(slippage.spread)} of a share's spread, estimated from its last {BARS} bars (Ardia, Guidotti and "
            "Kroencke 2024)"
        )
    if slippage.volume:
        parts.append(
            f"{plain(slippage.volume)} of the price times the square of our share of the bar's volume (zipline's "
            "VolumeShareSlippage)"
        )
    return (
        f"Slippage: market orders, stops and limits better than the market pay {' and '.join(parts)} on top of the "
        "price they met, a limit never more than its limit; limits that the market comes to pay none."
    )


def _borrowing(result: BacktestResult, model: ExecutionModel) -> str:
    nights = "A borrowing fee is owed for nights; positions are closed before, so none is counted."
    if model.borrow is None:
        return f"Every share can be borrowed. {nights}"
    refused = borrow_refusals(result)
    return f"Shares to borrow are those of {model.borrow.name}: {refused:,} short sales were refused for want. {nights}"


def _puts(result: BacktestResult, model: ExecutionModel) -> Iterator[str]:
    recorded = sum(trade.recorded for trade in result.trades)
    modelled = sum(trade.modelled for trade in result.trades)
    if model.chains is not None:
        yield (
            f"RECORDED: {recorded:,} of {len(result.trades):,} trades have put prices out of {model.chains.name}: "
            "bought at the ask, sold at the bid that stood at the moment, or at the worst of the bar for a stop within "
            f"it. A quote stands for {plain(Decimal(model.chain_age) / MINUTE)} minutes. Their tag is RECORDED_PRICE."
        )
    if modelled:
        yield (
            f"MODELLED: {modelled:,} of {len(result.trades):,} trades have put prices out of a formula "
            "(Black-Scholes with the larger of the recorded VIX and the stock's own past volatility), not from "
            f"a market; each side pays {plain(HALF_SPREAD_FRACTION * 100)} % of the premium as half a spread. "
            "They are marked MODELLED_PRICE among the tags."
        )
    else:
        yield "No price in these trades comes from a model."


def about_data(result: BacktestResult, survivors: Survivors | None) -> list[str]:
    """Return what the data are and what they cannot say."""
    return list(_about_data(result, survivors))


def _about_data(result: BacktestResult, survivors: Survivors | None) -> Iterator[str]:
    yield (
        "Survivorship: only the symbols of these data could be traded. If the list was made later than the first day, "
        "companies that failed in between are missing and the results are better than they could have been."
    )
    if survivors is not None:
        known = f"{survivors.symbols:,} symbols; {survivors.at_first:,} are there on the first day"
        if survivors.gone:
            yield f"{known}, {survivors.gone:,} of them no longer on the last, {survivors.came:,} came later."
        else:
            yield f"{known}, and every one of them still on the last: survivors only, or a short span."
    if result.missing_days:
        shown = ", ".join(day.isoformat() for day in result.missing_days[:_DAYS_SHOWN])
        more = len(result.missing_days) - _DAYS_SHOWN
        yield f"Trading days without data, passed over: {shown}{f' and {more} more' if more > 0 else ''}."
    yield "Prices are used as the data hold them; whether they are adjusted for splits and dividends is theirs to say."
    yield from result.notices
    seen = dict.fromkeys(notice for day in result.days for notice in day.notices)
    yield from list(seen)[:_DAYS_SHOWN]
    halted = [day for day in result.days if any(one.kill for one in day.sessions)]
    if halted:
        yield (
            f"The kill switch was engaged on {len(halted):,} days (first {halted[0].day.isoformat()}). A live bot "
            "would have stayed halted until a person let it go on; the backtest goes on the next day."
        )


__all__ = ["Survivors", "about_data", "executions", "survivors_of"]
