"""What a backtest takes for granted, in words that belong in its report: executions, costs, put prices, the data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from tbot_bot.backtest.model import BacktestResult
from tbot_bot.broker.pricing import HALF_SPREAD_FRACTION
from tbot_bot.broker.venue_state import VenueRules
from tbot_bot.core.money import plain

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


def executions(result: BacktestResult) -> list[str]:
    """Return how orders were executed and what they cost."""
    rules = VenueRules()
    modelled = sum(trade.modelled for trade in result.trades)
    slipped = (
        f"Market and stop fills are {plain(rules.slippage_bps)} basis points worse than the price they met."
        if rules.slippage_bps
        else "Nothing is added to the price that an order met: no slippage beyond what the bars themselves show."
    )
    lines = [
        (
            "An order born of a bar meets the next bar at the earliest: the open if it is good enough, else the "
            "first price in the bar that reaches its limit."
        ),
        (
            "A stop fills at its level, or at the open where the market opened beyond it. Where a stop and a target "
            "lie in one bar, the stop came first."
        ),
        slipped,
        f"Our orders take at most {plain(rules.participation * 100)} % of a bar's volume in a symbol; the rest waits.",
        (
            "Commissions and regulatory fees are those of each broker's schedule at the day of the trade. Interest, "
            "borrowing costs and dividends are not counted, and every share can be borrowed."
        ),
    ]
    if modelled:
        lines.append(
            f"MODELLED: {modelled:,} of {len(result.trades):,} trades have put prices out of a formula "
            "(Black-Scholes with the larger of the recorded VIX and the stock's own past volatility), not from "
            f"a market; each side pays {plain(HALF_SPREAD_FRACTION * 100)} % of the premium as half a spread. "
            "They are marked MODELLED_PRICE among the tags."
        )
    else:
        lines.append("No price in these trades comes from a model.")
    return lines


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
