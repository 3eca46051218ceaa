"""The page of a walk-forward: the stitched equity, each window in and out of sample, which values were chosen when."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import fmean

from tbot_bot.backtest.charts import line_chart
from tbot_bot.backtest.model import BacktestRequest
from tbot_bot.backtest.objective import WORDS, Objective, shown_as
from tbot_bot.backtest.resampling import Figures
from tbot_bot.backtest.summary_lines import dollars, figure_rows, percent, ratio
from tbot_bot.backtest.sweep_errand import Outcome
from tbot_bot.backtest.sweep_grid import Axis, Grid
from tbot_bot.backtest.sweep_page import executed, origin, sign, tiles_of, whole_page
from tbot_bot.backtest.sweep_plan import SweepPlan
from tbot_bot.backtest.walk_forward_result import WalkWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkPage:
    """Everything the page tells."""

    request: BacktestRequest
    plan: SweepPlan
    grid: Grid
    objective: Objective
    anchored: bool
    windows: Sequence[WalkWindow]
    outside: Sequence[Outcome]
    figures: Figures
    warm_up: str
    notes: Sequence[str]


def page_of(page: WalkPage) -> bytes:
    """Return the page; equal arguments give equal bytes."""
    parts = (
        _head(page),
        _tiles(page),
        _equity(page),
        _windows(page),
        _stability(page),
        _figures(page.figures),
        _notes(page),
        origin(page.plan),
    )
    return whole_page(f"Walk-forward {page.plan.first} to {page.plan.last}", parts)


def _head(page: WalkPage) -> str:
    traded = ", ".join(name.upper() for name in page.plan.strategies) or "The daily sequence of the settings"
    how = "from the first day on" if page.anchored else "rolling"
    first = page.windows[0]
    return (
        f"<h1>Walk-forward <span>{page.plan.first}</span> <span>to {page.plan.last}</span></h1>"
        f"<p>{escape(traded)} over {escape(page.request.data.name)}: {len(page.windows):,} windows, {how}. In each, "
        f"{len(page.grid):,} sets of parameters were tried on {'at least ' if page.anchored else ''}"
        f"{first.inside_days} days, and the one with the best {WORDS[page.objective]} traded the next "
        f"{first.outside_days}.</p>"
        '<p class="quiet">Simulated: nothing here was traded. Everything below is out of sample unless it says '
        "otherwise.</p>"
    )


def _tiles(page: WalkPage) -> str:
    found, show = page.figures.performance, shown_as(page.objective)
    inside = [one.inside for one in page.windows if one.inside is not None]
    outside = [one.outside for one in page.windows if one.outside is not None]
    won = sum(1 for one in page.windows if one.pnl > 0)
    fall = found.drawdown
    return tiles_of(
        (
            (dollars(found.trades.pnl), f"result of {found.trades.trades:,} trades", sign(found.trades.pnl)),
            (ratio(found.sharpe), "Sharpe ratio", sign(found.sharpe)),
            ("none" if fall is None else percent(fall.depth), "maximum drawdown", ""),
            (f"{won} of {len(page.windows)}", "windows with a gain", ""),
            (show(fmean(inside)) if inside else "none", f"mean {WORDS[page.objective]} in sample", ""),
            (show(fmean(outside)) if outside else "none", f"mean {WORDS[page.objective]} out of sample", ""),
        )
    )


def _equity(page: WalkPage) -> str:
    days = [day for outcome in page.outside for day in outcome.days()]
    chart = line_chart([day.after for day in days], [day.day.isoformat() for day in days], _thousands, about="Equity")
    return (
        "<h2>Equity</h2><figure class='days'><figcaption><b>All accounts</b>, dollars at each day's end; every window "
        f"begins with what the one before it left</figcaption>{chart}</figure>"
    )


def _thousands(value: float) -> str:
    return f"${value:,.0f}"


def _windows(page: WalkPage) -> str:
    show = shown_as(page.objective)
    heads = "".join(f"<th>{escape(axis.name)}</th>" for axis in page.grid.axes)
    rows = []
    for one in page.windows:
        cells = [
            str(one.number),
            f"{one.inside_first} to {one.inside_last}",
            f"{one.outside_first} to {one.outside_last}",
            *(pair.value for pair in one.settings),
            "none" if one.inside is None else show(one.inside),
            "none" if one.outside is None else show(one.outside),
            dollars(one.pnl),
            f"{one.trades:,}",
        ]
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    empty = sum(1 for one in page.windows if one.inside is None)
    note = f" In {empty} of them no set had the figure, and the first of the grid was taken." if empty else ""
    name = WORDS[page.objective].capitalize() if page.objective is not Objective.SHARPE else "Sharpe"
    return (
        f'<h2>Windows</h2><div class="scroll"><table><tr><th>Window</th><th>In sample</th><th>Out of sample</th>{heads}'
        f"<th>{name} in</th><th>{name} out</th><th>Result out</th><th>Trades out</th></tr>{''.join(rows)}</table></div>"
        f'<p class="quiet">Settings are those chosen in sample and traded out of sample.{note}</p>'
    )


def _stability(page: WalkPage) -> str:
    parts = "".join(_chosen(page, place, axis) for place, axis in enumerate(page.grid.axes))
    return (
        '<h2>What was chosen</h2><p class="quiet">A setting whose value jumps from window to window was fitted to '
        f'chance, not to the market.</p><div class="two">{parts}</div>'
    )


def _chosen(page: WalkPage, place: int, axis: Axis) -> str:
    values = [one.settings[place].value for one in page.windows]
    counts = Counter(values)
    changes = sum(1 for before, after in pairwise(values) if before != after)
    names = [str(one.number) for one in page.windows]
    chart = (
        line_chart([float(value) for value in values], names, _plain, about=f"{axis.name} by window", short=True)
        if axis.numeric
        else ""
    )
    most = max(counts.values())
    rows = "".join(
        f'<tr><td>{escape(value)}</td><td>{counts[value]}</td><td class="bar"><i class="up" '
        f'style="width:{counts[value] / most:.0%}"></i></td></tr>'
        for value in axis.values
    )
    return (
        f"<figure><figcaption><b>{escape(axis.name)}</b>, changed {changes} times in {len(values)} windows</figcaption>"
        f"{chart}<table><tr><th>Value</th><th>Windows</th><th></th></tr>{rows}</table></figure>"
    )


def _plain(value: float) -> str:
    return f"{value:.6g}"


def _figures(figures: Figures) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.name)}</td><td>{escape(row.value)}</td><td>{escape(row.range_of(figures))}</td></tr>"
        for row in figure_rows(figures.performance)
    )
    return (
        '<h2>Figures out of sample</h2><div class="scroll"><table class="figures"><tr><th>Figure</th><th>Value</th>'
        f"<th>Range</th></tr>{rows}</table></div>"
    )


def _notes(page: WalkPage) -> str:
    lines = [
        page.warm_up,
        executed(page.request),
        (
            "Every in-sample run begins with the floats of the settings and ends with its window's last day. Out of "
            "sample each broker's account goes on with its equity; what is still held at a window's end counts at its "
            "last price."
        ),
        *page.notes,
    ]
    return "<h2>What this rests on</h2><ul>" + "".join(f"<li>{escape(one)}</li>" for one in lines) + "</ul>"


__all__ = ["WalkPage", "page_of"]
