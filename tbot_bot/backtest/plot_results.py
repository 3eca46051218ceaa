"""The page of a backtest: one self-contained HTML file without scripts, fonts or pictures from elsewhere."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from tbot_bot.backtest import assumptions
from tbot_bot.backtest.candles import TradeCandles
from tbot_bot.backtest.charts import candle_chart, histogram, line_chart
from tbot_bot.backtest.model import BacktestRequest, BacktestResult, BacktestTrade
from tbot_bot.backtest.outcomes import DayPoint, curve_of, is_option, total
from tbot_bot.backtest.page_style import STYLE
from tbot_bot.backtest.resampling import Figures
from tbot_bot.backtest.run_manifest import trading_settings
from tbot_bot.backtest.summary_lines import dollars, figure_rows, percent, ratio
from tbot_bot.core.calendar import exchange_time
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import plain
from tbot_bot.reporting.daily_summary import share_of

_SYMBOLS_SHOWN: Final = 20
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FAINTEST, _STRONGEST = 12, 55
"""Percent of colour in the table of months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything the page tells."""

    request: BacktestRequest
    result: BacktestResult
    figures: Figures
    candles: Sequence[TradeCandles]
    survivors: assumptions.Survivors | None


def page_of(page: Page) -> bytes:
    """Return the page; equal arguments give equal bytes."""
    curve = curve_of(page.result)
    title = f"Backtest {page.request.first.isoformat()} to {page.request.last.isoformat()}"
    parts = (
        _head(page),
        _tiles(page),
        _equity(curve),
        _figures(page.figures),
        _months(page.result, curve),
        _results(page.result),
        _groups(page.result),
        _trades(page),
        _dropped(page.result),
        _list("What the executions assume", assumptions.executions(page.result, page.request.execution)),
        _list("What the data can and cannot say", assumptions.about_data(page.result, page.survivors)),
        _origin(page),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>\n" + "\n".join(parts)
        + "\n</main></body></html>\n"
    ).encode()  # fmt: skip


def _head(page: Page) -> str:
    span = page.request
    traded = ", ".join(name.upper() for name in page.request.strategies) or "The daily sequence of the settings"
    result = page.result
    capital = dollars(float(total(result.days[0].equity_before)))
    return (
        f"<h1>Backtest <span>{span.first.isoformat()}</span> <span>to {span.last.isoformat()}</span></h1>"
        f"<p>{escape(traded)}, starting with {capital}. {len(result.days):,} trading days, "
        f"{result.bars:,} bars of {escape(page.request.data.name)}, by the {result.engine} engine.</p>"
        '<p class="quiet">Simulated: nothing here was traded. All times are New York\'s.</p>'
    )


def _tiles(page: Page) -> str:
    found = page.figures.performance
    fall = found.drawdown
    tiles = (
        (dollars(found.trades.pnl), "result after fees", _sign(found.trades.pnl)),
        (percent(found.total_return), "total return", _sign(found.total_return)),
        (ratio(found.sharpe), "Sharpe ratio", _sign(found.sharpe)),
        ("none" if fall is None else percent(fall.depth), "maximum drawdown", ""),
        (percent(found.trades.win_rate), f"won of {found.trades.trades:,} trades", ""),
        (ratio(found.trades.profit_factor), "profit factor", ""),
    )
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><b class="{style}">{escape(value)}</b><span>{escape(name)}</span></div>'
        for value, name, style in tiles
    ) + "</div>"  # fmt: skip


def _equity(curve: Sequence[DayPoint]) -> str:
    names = [point.day.isoformat() for point in curve]
    equity = line_chart([float(point.equity) for point in curve], names, _short, about="Equity at each day's end")
    fall = line_chart(
        [-point.drawdown for point in curve], names, _percents([point.drawdown for point in curve]),
        about="Drawdown from the highest day end", fall=True, short=True,
    )  # fmt: skip
    return (
        f"<h2>Equity</h2><figure class='days'><figcaption><b>All accounts</b>, dollars at each day's end</figcaption>"
        f"{equity}</figure><figure class='days'><figcaption><b>Drawdown</b> from the highest day end so far"
        f"</figcaption>{fall}</figure>"
    )


def _figures(figures: Figures) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.name)}</td><td>{escape(row.value)}</td><td>{escape(row.range_of(figures))}</td></tr>"
        for row in figure_rows(figures.performance)
    )
    note = (
        f"Ranges hold {figures.confidence:.0%} of {figures.resamples:,} resamples of the days (stationary bootstrap, "
        f"seed {figures.seed}): what chance alone could have made of these same days."
        if figures.resamples
        else "No ranges: they need at least 20 trading days."
    )
    return (
        '<h2>Figures</h2><div class="scroll"><table class="figures"><tr><th>Figure</th><th>Value</th>'
        f'<th>Range</th></tr>{rows}</table></div><p class="quiet">{note} Sharpe, Sortino and volatility are '
        "annualised over 252 days, without a riskless rate. Expectancy is the average result over the average loss.</p>"
    )


def _months(result: BacktestResult, curve: Sequence[DayPoint]) -> str:
    worth = [float(total(result.days[0].equity_before)), *(float(point.equity) for point in curve)]
    growth: dict[tuple[int, int], float] = {}
    for (before, after), point in zip(pairwise(worth), curve, strict=True):
        for key in ((point.day.year, point.day.month), (point.day.year, 0)):
            growth[key] = growth.get(key, 1.0) * (after / before if before > 0 else 1.0)
    most = max(abs(value - 1.0) for value in growth.values()) or 1.0
    years = sorted({year for year, _ in growth})
    rows = "".join(
        f"<tr><th>{year}</th>"
        + "".join(_month(growth.get((year, month)), most) for month in (*range(1, 13), 0))
        + "</tr>"
        for year in years
    )
    names = "".join(f"<th>{name}</th>" for name in (*_MONTHS, "Year"))
    return (
        f'<h2>Months</h2><div class="scroll"><table class="month"><tr><th>Year</th>{names}</tr>{rows}</table></div>'
        '<p class="quiet">Return of each month, percent.</p>'
    )


def _month(growth: float | None, most: float) -> str:
    if growth is None:
        return "<td></td>"
    value = growth - 1.0
    strength = round(_FAINTEST + (_STRONGEST - _FAINTEST) * abs(value) / most)
    colour = "var(--up)" if value >= 0 else "var(--down)"
    style = f"background:color-mix(in srgb,{colour} {strength}%,transparent)" if value else ""
    return f'<td style="{style}">{value * 100:.2f}</td>'


def _results(result: BacktestResult) -> str:
    values = [float(trade.record.pnl) for trade in result.trades]
    if not values:
        return "<h2>Results of the trades</h2><p>Nothing was traded.</p>"
    chart = histogram(values, _short, about="How many trades had results of each size")
    return (
        "<h2>Results of the trades</h2><figure><figcaption><b>Trades by result</b>, dollars after fees; the outermost "
        f"bars take in what lies beyond</figcaption>{chart}</figure>"
    )


def _groups(result: BacktestResult) -> str:
    def by(key: Callable[[BacktestTrade], str]) -> dict[str, list[BacktestTrade]]:
        groups: dict[str, list[BacktestTrade]] = {}
        for trade in result.trades:
            groups.setdefault(key(trade), []).append(trade)
        return groups

    if not result.trades:
        return ""
    symbols = sorted(by(lambda trade: trade.record.ticker).items(), key=lambda item: (-_won(item[1]), item[0]))
    few = symbols
    note = ""
    if len(symbols) > _SYMBOLS_SHOWN:
        half = _SYMBOLS_SHOWN // 2
        few, note = [*symbols[:half], *symbols[-half:]], f"The best and the worst {half} of {len(symbols):,}."
    hours = sorted(by(_half_hour).items())
    strategies = [(name.upper(), trades) for name, trades in by(lambda trade: trade.record.strategy.value).items()]
    reasons = sorted(by(lambda trade: trade.record.exit_reason).items(), key=lambda item: (-len(item[1]), item[0]))
    return (
        '<h2>Where it came from</h2><div class="two">'
        + _group("Strategy", strategies)
        + _group("Entered from", hours)
        + _group("Left because of", reasons)
        + _group("Symbol", few, note)
        + "</div>"
    )


def _group(name: str, groups: Sequence[tuple[str, list[BacktestTrade]]], note: str = "") -> str:
    most = max(abs(_won(trades)) for _, trades in groups) or 1.0
    rows = []
    for key, trades in groups:
        whole = share_of(key, [trade.record for trade in trades])
        won = float(whole.pnl)
        rows.append(
            f"<tr><td>{escape(key)}</td><td>{whole.trades:,}</td><td>{whole.wins / whole.trades:.0%}</td>"
            f'<td>{dollars(won)}</td><td class="bar"><i class="{_sign(won)}" style="width:{abs(won) / most:.1%}"></i>'
            "</td></tr>"
        )
    below = f'<p class="quiet">{escape(note)}</p>' if note else ""
    return (
        f'<div><div class="scroll"><table><tr><th>{escape(name)}</th><th>Trades</th><th>Won</th><th>Result</th>'
        f"<th></th></tr>{''.join(rows)}</table></div>{below}</div>"
    )


def _trades(page: Page) -> str:
    if not page.candles:
        return ""
    shown = "".join(_trade(one) for one in page.candles)
    count = len(page.result.trades)
    which = (
        "All trades" if len(page.candles) == count else f"{len(page.candles)} of {count:,} trades: best, worst, more"
    )
    return (
        f'<h2>Trades on their candles</h2><p class="quiet">{which}. The round mark is the entry, the square one the '
        f'exit; every trade is in the trade history.</p><div class="two">{shown}</div>'
    )


def _trade(one: TradeCandles) -> str:
    record, trade = one.trade.record, one.trade
    own = not is_option(record)
    marks = []
    for at, price, style, word in (
        (trade.entered_at, record.entry_price, "in", "entry"),
        (trade.exited_at, record.exit_price, "out", "exit"),
    ):
        if at is None or price is None:
            continue
        place = next((number for number, bar in enumerate(one.bars) if bar.end >= at), len(one.bars) - 1)
        level = float(price) if own else one.bars[place].close
        words = f"{word} {exchange_time(at):%H:%M} at {plain(price)}"
        marks.append((place, level, style, words))
    times = [_clock(bar.start) for bar in one.bars]
    held = f"{record.instrument}, " if record.instrument != record.ticker else ""
    priced = ", modelled price" if trade.modelled else ", recorded price" if trade.recorded else ""
    about = f"{record.ticker} on {trade.day.isoformat()}"
    won = float(record.pnl)
    entry = "" if record.entry_price is None else plain(record.entry_price)
    left = "still held" if record.exit_price is None else f"{plain(record.exit_price)} ({record.exit_reason})"
    return (
        f"<figure><figcaption><b>{escape(record.ticker)}</b> {trade.day.isoformat()} {record.strategy.value.upper()} "
        f'{record.side.value}, <b class="{_sign(won)}">{dollars(won)}</b><br>{escape(held)}{plain(record.size)} at '
        f"{entry} to {escape(left)}{priced}</figcaption>"
        f"{candle_chart(one.bars, marks, times, _price, about=about)}</figure>"
    )


def _dropped(result: BacktestResult) -> str:
    counts: dict[str, int] = {}
    for one in result.skipped_signals:
        counts[one.dropped.code] = counts.get(one.dropped.code, 0) + 1
    unborrowed = assumptions.borrow_refusals(result)
    others = {"no shares to borrow": unborrowed, "entry order not filled": len(result.unfilled) - unborrowed}
    counts |= {what: count for what, count in others.items() if count}
    if not counts:
        return ""
    rows = "".join(
        f"<tr><td>{escape(code)}</td><td>{count:,}</td></tr>"
        for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    return (
        '<h2>Signals that became no trade</h2><div class="scroll"><table><tr><th>Because of</th><th>Signals</th></tr>'
        f"{rows}</table></div>"
    )


def _list(title: str, lines: Iterable[str]) -> str:
    return f"<h2>{escape(title)}</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _origin(page: Page) -> str:
    result = page.result
    fallback = f"<p>The array engine could not run this: {escape(result.fallback)}</p>" if result.fallback else ""
    settings = "\n".join(trading_settings(result.settings))
    return (
        f'<h2>Where it comes from</h2>{fallback}<p class="quiet">Data {escape(result.data_fingerprint[:16])}, deciding '
        f"code {escape(result.code_fingerprint[:16])}. The manifest beside this page has everything that a repetition "
        f"needs.</p><details><summary>All settings</summary><pre>{escape(settings)}</pre></details>"
    )


def _half_hour(trade: BacktestTrade) -> str:
    at = exchange_time(trade.entered_at)
    return f"{at.hour:02}:{at.minute // 30 * 30:02}"


def _clock(at: int) -> str:
    return f"{exchange_time(Instant(at)):%H:%M}"


def _won(trades: Iterable[BacktestTrade]) -> float:
    return float(sum(trade.record.pnl for trade in trades))


def _sign(value: float | None) -> str:
    if not value:
        return ""
    return "up" if value > 0 else "down"


def _short(value: float) -> str:
    """Return dollars for an axis."""
    size = abs(value)
    if size >= 10_000_000:  # noqa: PLR2004
        text = f"{size / 1e6:,.1f}M"
    elif size >= 100 or size == int(size):  # noqa: PLR2004
        text = f"{size:,.0f}"
    else:
        text = f"{size:,.2f}"
    return f"{'-' if value < 0 and float(text.strip('M').replace(',', '')) else ''}${text}"


def _price(value: float) -> str:
    return f"{value:,.2f}"


def _percents(depths: Sequence[float]) -> Callable[[float], str]:
    decimals = 1 if max(depths) >= 0.02 else 3  # noqa: PLR2004 - two percent
    return lambda value: f"{value * 100 or 0:.{decimals}f} %"


__all__ = ["Page", "page_of"]
