"""The page of a sweep: the best set beside what chance makes of searching, and a heat map of each pair of settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from statistics import median
from typing import Final

from tbot_bot.backtest.charts import line_chart
from tbot_bot.backtest.heat_map import STYLE as HEAT_STYLE
from tbot_bot.backtest.heat_map import heat_map
from tbot_bot.backtest.model import BacktestRequest
from tbot_bot.backtest.objective import HEADS, WORDS, Objective, shown_as
from tbot_bot.backtest.page_style import STYLE
from tbot_bot.backtest.summary_lines import NONE, dollars, figure_rows, percent, ratio
from tbot_bot.backtest.sweep_errand import Outcome
from tbot_bot.backtest.sweep_grid import Axis, Grid
from tbot_bot.backtest.sweep_plan import SweepPlan
from tbot_bot.backtest.sweep_result import Judged
from tbot_bot.core.money import plain

_TOP: Final = 10
_ALWAYS: Final = (Objective.SHARPE, Objective.PNL, Objective.TOTAL_RETURN, Objective.WIN_RATE)
_NEVER_NEGATIVE: Final = (Objective.PROFIT_FACTOR, Objective.WIN_RATE)
_LUCK_LIKELY: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPage:
    """Everything the page tells."""

    request: BacktestRequest
    plan: SweepPlan
    grid: Grid
    objective: Objective
    found: Sequence[Outcome]
    judged: Judged
    notes: Sequence[str]


def page_of(page: SweepPage) -> bytes:
    """Return the page; equal arguments give equal bytes."""
    parts = (
        _head(page),
        _tiles(page),
        _judgement(page),
        _maps(page),
        _best(page),
        _figures(page),
        _notes(page),
        origin(page.plan),
    )
    return whole_page(f"Sweep {page.plan.first} to {page.plan.last}", parts)


def whole_page(title: str, parts: Sequence[str]) -> bytes:
    """Return a page of the backtests' look."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{HEAT_STYLE}</style></head><body><main>\n" + "\n".join(parts)
        + "\n</main></body></html>\n"
    ).encode()  # fmt: skip


def tiles_of(tiles: Sequence[tuple[str, str, str]]) -> str:
    """Return tiles of (value, name, style class)."""
    return '<div class="tiles">' + "".join(
        f'<div class="tile"><b class="{style}">{escape(value)}</b><span>{escape(name)}</span></div>'
        for value, name, style in tiles
    ) + "</div>"  # fmt: skip


def origin(plan: SweepPlan) -> str:
    """Return the section that says what was asked for."""
    grid = "".join(f"<li>{escape(axis)}</li>" for axis in plan.grid)
    settings = "\n".join(plan.settings)
    return (
        f"<h2>Where it comes from</h2><p>The grid:</p><ul>{grid}</ul>"
        f'<p class="quiet">Version {escape(plan.version)}. The JSON file beside this page has digests of data and '
        "code.</p>"
        f"<details><summary>All other settings</summary><pre>{escape(settings)}</pre></details>"
    )


def executed(request: BacktestRequest) -> str:
    """Return how orders were executed, in words."""
    model = request.execution
    borrow = "" if model.borrow is None else f", shorts as {model.borrow.name} lets them"
    puts = "modelled" if model.chains is None else f"from {model.chains.name} where it has them"
    return (
        f"Executions: slippage {model.slippage}, at most {plain(model.volume_cap * 100)} % of a bar's volume, prices "
        f"of puts {puts}{borrow}."
    )


def sign(value: float | None) -> str:
    """Return the style class of a gain or a loss."""
    if not value:
        return ""
    return "up" if value > 0 else "down"


def settings_words(page_grid: Grid, number: int) -> str:
    """Return a set's settings as HTML, one unbreakable piece each."""
    return ", ".join(f"<code>{escape(name)}={escape(value)}</code>" for name, value in page_grid.pairs(number))


def _head(page: SweepPage) -> str:
    first = page.found[0]
    traded = ", ".join(name.upper() for name in page.plan.strategies) or "The daily sequence of the settings"
    return (
        f"<h1>Sweep <span>{page.plan.first}</span> <span>to {page.plan.last}</span></h1>"
        f"<p>{escape(traded)}, {len(page.found):,} sets of parameters, {len(first.dates):,} trading days each, over "
        f"{escape(page.request.data.name)}, by the {first.engine} engine.</p>"
        '<p class="quiet">Simulated: nothing here was traded.</p>'
    )


def _tiles(page: SweepPage) -> str:
    best = page.found[page.judged.best].performance
    over, deflated = page.judged.overfitting, page.judged.deflated_sharpe
    value = page.objective.of(best)
    style = "" if page.objective in _NEVER_NEGATIVE else sign(value)
    sharpe = (ratio(best.sharpe), "its Sharpe ratio", sign(best.sharpe))
    result = (dollars(best.trades.pnl), "its result after fees", sign(best.trades.pnl))
    return tiles_of(
        (
            (shown_as(page.objective)(value), f"{WORDS[page.objective]} of the best set", style),
            *([] if page.objective is Objective.SHARPE else [sharpe]),
            (NONE if deflated is None else f"{deflated:.1%}", "deflated Sharpe ratio", ""),
            (NONE if over is None else f"{over:.1%}", "probability of backtest overfitting", _doubt(over)),
            *([] if page.objective is Objective.PNL else [result]),
            (f"{best.trades.trades:,}", "its trades", ""),
            (f"{page.judged.traded:,} of {len(page.found):,}", "sets that traded at all", ""),
        )
    )


def _why_best(page: SweepPage) -> str:
    best, name = page.found[page.judged.best].performance, WORDS[page.objective]
    if page.objective.of(best) is not None:
        return f"It is the one with the highest {name}."
    if best.trades.pnl > 0:
        return f"It gained without losses to measure it by: its {name} is not defined, and counts as more than any."
    return f"No set has a {name}, and none gained."


def _doubt(over: float | None) -> str:
    return "down" if over is not None and over >= _LUCK_LIKELY else ""


def _judgement(page: SweepPage) -> str:
    own = page.judged
    lines = []
    by = ""
    if page.objective is not Objective.SHARPE:
        lines.append(f"{_why_best(page)} What searching explains is told of daily Sharpe ratios, as it is published.")
        by = "by Sharpe ratio "
    if own.deflated_sharpe is None:
        lines.append("The deflated Sharpe ratio is not defined: the best set's returns do not vary.")
    else:
        lines.append(
            f"Deflated Sharpe ratio: with probability {own.deflated_sharpe:.1%} the best set's Sharpe ratio is more "
            f"than the best of {len(page.found):,} tries would have without any skill. Below 95 % it proves little."
        )
    if own.overfitting is None:
        lines.append("Probability of backtest overfitting: it needs two sets and twelve trading days at least.")
    else:
        lines.append(
            f"Probability of backtest overfitting: in {own.overfitting:.1%} of {own.halvings:,} ways to halve the days "
            f"the set that was best {by}in one half was below the median in the other. At 50 % choosing the best is no "
            "better than choosing blindly."
        )
    return (
        f"<h2>The best set</h2><p>{settings_words(page.grid, own.best)}</p><ul>"
        + "".join(f"<li>{escape(line)}</li>" for line in lines)
        + "</ul>"
    )


def _maps(page: SweepPage) -> str:
    grid = page.grid
    if len(grid.axes) == 1:
        return _one(page, grid.axes[0])
    others = len(grid.axes) > 2  # noqa: PLR2004 - a pair stands for itself
    note = (
        "Each cell is the median over all values of the other settings: a good neighbourhood, not one lucky set. "
        if others
        else ""
    )
    maps = "".join(_map(page, down, across) for down, across in combinations(range(len(grid.axes)), 2))
    return (
        f'<h2>{_capital(page.objective)} by settings</h2><p class="quiet">{note}The framed cell holds the best set. '
        f"A best set whose neighbours are poor is luck more often than not.</p>{maps}"
    )


def _map(page: SweepPage, down: int, across: int) -> str:
    grid = page.grid
    cells: dict[tuple[int, int], list[float]] = {}
    for number, outcome in enumerate(page.found):
        places = grid.places(number)
        value = page.objective.of(outcome.performance)
        if value is not None:
            cells.setdefault((places[down], places[across]), []).append(value)
    first, second = grid.axes[down], grid.axes[across]
    values = [
        [median(cells[row, column]) if (row, column) in cells else None for column in range(len(second.values))]
        for row in range(len(first.values))
    ]
    best = grid.places(page.judged.best)
    chart = heat_map(
        (first.name, first.values),
        (second.name, second.values),
        values,
        shown_as(page.objective),
        about=f"{_capital(page.objective)} by {first.name} and {second.name}",
        best=(best[down], best[across]),
    )
    return (
        f"<figure><figcaption><b>{escape(first.name)}</b> down, <b>{escape(second.name)}</b> across</figcaption>{chart}"
        "</figure>"
    )


def _one(page: SweepPage, axis: Axis) -> str:
    other = Objective.SHARPE if page.objective is Objective.PNL else Objective.PNL
    parts = []
    for what in (page.objective, other):
        values = [what.of(outcome.performance) for outcome in page.found]
        name, show = _capital(what), shown_as(what)
        known = [(value, label) for value, label in zip(values, axis.values, strict=True) if value is not None]
        if len(known) < len(values) or not axis.numeric:
            chart = heat_map(("", ("",)), (axis.name, axis.values), [values], show, about=f"{name} by {axis.name}")
        else:
            chart = line_chart([value for value, _ in known], axis.values, show, about=f"{name} by {axis.name}")
        parts.append(f"<figure><figcaption><b>{name}</b> by <b>{escape(axis.name)}</b></figcaption>{chart}</figure>")
    return "<h2>By setting</h2>" + "".join(parts)


def _best(page: SweepPage) -> str:
    heads = "".join(f"<th>{escape(axis.name)}</th>" for axis in page.grid.axes)
    rows = "".join(_row(page, place, number) for place, number in enumerate(page.judged.order[:_TOP], 1))
    shown = min(_TOP, len(page.found))
    then = "" if page.objective is Objective.PNL else ", then by result"
    figures = "".join(f"<th>{HEADS[one]}</th>" for one in _columns(page.objective))
    return (
        f'<h2>The best {shown}</h2><div class="scroll"><table><tr><th>Place</th>{heads}{figures}'
        f"<th>Drawdown</th><th>Trades</th></tr>{rows}</table></div>"
        f'<p class="quiet">By {WORDS[page.objective]}{then}. Every set with all figures is in results.parquet, every '
        "day's return of each in daily_returns.parquet.</p>"
    )


def _columns(objective: Objective) -> list[Objective]:
    """Return what the table shows: what was looked for, and what everybody wants to know."""
    return list(dict.fromkeys((objective, *_ALWAYS)))


def _capital(objective: Objective) -> str:
    words = WORDS[objective]
    return f"{words[0].upper()}{words[1:]}"


def _row(page: SweepPage, place: int, number: int) -> str:
    found = page.found[number].performance
    cells = [
        str(place),
        *(value for _, value in page.grid.pairs(number)),
        *(shown_as(one)(one.of(found)) for one in _columns(page.objective)),
        "none" if found.drawdown is None else percent(found.drawdown.depth),
        f"{found.trades.trades:,}",
    ]
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _figures(page: SweepPage) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.name)}</td><td>{escape(row.value)}</td></tr>"
        for row in figure_rows(page.found[page.judged.best].performance)
    )
    return (
        '<h2>Figures of the best set</h2><div class="scroll"><table class="figures"><tr><th>Figure</th>'
        f"<th>Value</th></tr>{rows}</table></div>"
    )


def _notes(page: SweepPage) -> str:
    fallback = next((outcome.fallback for outcome in page.found if outcome.fallback), "")
    lines = [
        (
            "Each set is a backtest of its own, as tbot backtest run with these settings makes it: same trades, same "
            "figures. What such a run rests on, its own page says."
        ),
        (
            "Every set saw the same days. A set that was chosen on them has no out-of-sample result: "
            "tbot backtest walk-forward makes one."
        ),
        executed(page.request),
        *([f"The array engine could not run this: {fallback}"] if fallback else []),
        *page.notes,
    ]
    return "<h2>What this can and cannot say</h2><ul>" + "".join(f"<li>{escape(one)}</li>" for one in lines) + "</ul>"


__all__ = ["SweepPage", "executed", "origin", "page_of", "settings_words", "sign", "tiles_of", "whole_page"]
