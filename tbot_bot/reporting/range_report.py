"""What a span of days came to: the figures of each day, and of all of them together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tbot_bot.core.identity import Mode
from tbot_bot.core.money import ZERO
from tbot_bot.reporting.daily_summary import DaySummary, Share
from tbot_bot.reporting.facts import signed
from tbot_bot.reporting.shapes import text_of, to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeReport:
    """Everything that the report shows. Money in dollars; PnL after fees."""

    first: date
    last: date
    mode: Mode
    days: tuple[DaySummary, ...]
    """Days with a session in the journal, in order."""
    trades: int
    wins: int
    losses: int
    flats: int
    pnl: Decimal
    fees: Decimal
    slippage: Decimal
    largest_drop: Decimal
    """The most that the summed PnL fell below an earlier peak (at least 0, its value before the first day)."""
    by_strategy: tuple[Share, ...]
    by_broker: tuple[Share, ...]
    by_symbol: tuple[Share, ...]


def range_report_of(first: date, last: date, mode: Mode, days: Sequence[DaySummary]) -> RangeReport:
    """Return the report of `days`, which lie between `first` and `last` and are in order."""
    return RangeReport(
        first=first,
        last=last,
        mode=mode,
        days=tuple(days),
        trades=sum(day.wins + day.losses + day.flats for day in days),
        wins=sum(day.wins for day in days),
        losses=sum(day.losses for day in days),
        flats=sum(day.flats for day in days),
        pnl=sum((day.pnl for day in days), ZERO),
        fees=sum((day.fees for day in days), ZERO),
        slippage=sum((day.slippage for day in days), ZERO),
        largest_drop=_largest_drop([day.pnl for day in days]),
        by_strategy=_together(share for day in days for share in day.by_strategy),
        by_broker=_together(share for day in days for share in day.by_broker),
        by_symbol=_together(share for day in days for share in day.by_symbol),
    )


def to_json(report: RangeReport) -> str:
    """Return the report for programs: money as decimal strings, days in ISO 8601."""
    return text_of(to_plain(report), indent=1)


def render(report: RangeReport) -> Group:
    """Return what a rich console shows."""
    traded = sum(day.wins + day.losses + day.flats > 0 for day in report.days)
    title = Text.assemble((f"{report.first.isoformat()} to {report.last.isoformat()}", "bold"), f"  ({report.mode})")
    count = f"{len(report.days)} {'day' if len(report.days) == 1 else 'days'} in the journal"
    title.append(
        f"   {count}, {traded} with trades, {report.trades} {'trade' if report.trades == 1 else 'trades'}, PnL "
    )
    title.append(_money(report.pnl))
    table = _table("day", ("signaled", "entered", "wins", "losses", "PnL", "fees", "slippage"))
    for day in report.days:
        numbers = (day.counts.signaled, day.counts.entered, day.wins, day.losses)
        costs = (f"{day.fees:.2f}", signed(day.slippage))
        table.add_row(f"{day.day:%a} {day.day.isoformat()}", *map(str, numbers), _money(day.pnl), *costs)
    parts: list[RenderableType] = [title, Text(), table]
    for name, shares in (("strategy", report.by_strategy), ("broker", report.by_broker), ("symbol", report.by_symbol)):
        if shares:
            parts += [Text(), _shares(name, shares)]
    drop = Text(f"largest drop below an earlier peak, day by day: {report.largest_drop:.2f}")
    return Group(*parts, Text(), drop)


def _shares(name: str, shares: Iterable[Share]) -> Table:
    table = _table(name, ("trades", "wins", "losses", "PnL", "fees", "slippage"))
    for share in shares:
        numbers = (share.trades, share.wins, share.losses)
        costs = (f"{share.fees:.2f}", signed(share.slippage))
        table.add_row(share.name, *map(str, numbers), _money(share.pnl), *costs)
    return table


def _table(first: str, others: Iterable[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", padding=(0, 1))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _money(amount: Decimal) -> Text:
    return Text(signed(amount), style="green" if amount > 0 else "red" if amount < 0 else "")


def _together(shares: Iterable[Share]) -> tuple[Share, ...]:
    found: dict[str, list[Share]] = {}
    for share in shares:
        found.setdefault(share.name, []).append(share)
    return tuple(
        Share(
            name=name,
            trades=sum(share.trades for share in alike),
            wins=sum(share.wins for share in alike),
            losses=sum(share.losses for share in alike),
            pnl=sum((share.pnl for share in alike), ZERO),
            fees=sum((share.fees for share in alike), ZERO),
            slippage=sum((share.slippage for share in alike), ZERO),
        )
        for name, alike in sorted(found.items())
    )


def _largest_drop(results: Iterable[Decimal]) -> Decimal:
    sum_, peak, drop = ZERO, ZERO, ZERO
    for result in results:
        sum_ += result
        peak = max(peak, sum_)
        drop = max(drop, peak - sum_)
    return drop


__all__ = ["RangeReport", "range_report_of", "render", "to_json"]
