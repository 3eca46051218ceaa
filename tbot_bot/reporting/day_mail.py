"""The day's mail: what an owner wants to know in the evening, in HTML and in plain text. Times are UTC, money USD."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Final

from tbot_bot.core.instants import Instant, to_datetime
from tbot_bot.core.money import ZERO, plain
from tbot_bot.reporting.daily_summary import DaySummary, Share, Speed
from tbot_bot.reporting.day_report import DayReport, TradeLine
from tbot_bot.reporting.facts import signed

CHART: Final = "equity"
"""Content id of the chart."""
_PROBLEMS_MAX: Final = 20
_TRADES_MAX: Final = 60
_TONED: Final = frozenset({"PnL", "change"})
"""Columns whose amounts are good or bad by their sign."""
_CSS: Final = """
:root { color-scheme: light dark; supported-color-schemes: light dark; }
body { margin: 0; background: #f3f4f6; color: #1f2328; font: 16px/1.45 system-ui, -apple-system, sans-serif; }
.page { max-width: 640px; margin: 0 auto; padding: 16px; }
.card { background: #ffffff; border-radius: 12px; padding: 16px 18px; margin: 0 0 14px; }
h1 { font-size: 17px; font-weight: 600; margin: 0; }
h2 { font-size: 14px; font-weight: 600; margin: 0 0 8px; color: #57606a; }
.result { font-size: 34px; font-weight: 700; margin: 6px 0 2px; }
.dim { color: #57606a; font-size: 14px; }
.up { color: #137a45; } .down { color: #c62f2f; }
.bad { border-left: 4px solid #c62f2f; }
table { width: 100%; border-collapse: collapse; }
td, th { padding: 6px 0 6px 10px; vertical-align: top; text-align: right; border-top: 1px solid #d9dde2; }
td:first-child, th:first-child { text-align: left; padding-left: 0; overflow-wrap: anywhere; }
th { font-weight: 500; font-size: 13px; color: #57606a; border-top: 0; }
td { font-variant-numeric: tabular-nums; }
ul { margin: 0; padding: 0 0 0 18px; } li { overflow-wrap: anywhere; margin: 0 0 4px; }
img { width: 100%; height: auto; display: block; }
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #e6edf3; }
  .card { background: #161b22; }
  h2, .dim, th { color: #9aa4b0; }
  .up { color: #3fb97a; } .down { color: #ff7b72; }
  td, th { border-top-color: #30363d; }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLetter:
    """A day's mail, without its pictures."""

    subject: str
    text: str
    html: str


def mail_of_day(
    report: DayReport, summary: DaySummary, upcoming: Sequence[str], *, chart: bool, no_chart: str, version: str
) -> DayLetter:
    """Return the mail; `chart`: its picture comes along, else `no_chart` says why not."""
    result = f"{signed(summary.pnl)} USD"
    trades = summary.wins + summary.losses + summary.flats
    subject = f"{result}, {_count(trades, 'trade')}"
    subject += f", {len(report.problems)} to look at" if report.problems else ""
    sections = _sections(report, summary, upcoming)
    marks = [str(summary.mode)]
    marks += ["test mode"] if summary.test_mode else []
    marks += ["DEFENSE MODE"] if summary.defense_mode else []
    head = f"{summary.day:%A} {summary.day.day} {summary.day:%B %Y}, {', '.join(marks)}"
    return DayLetter(
        subject=subject,
        text=_text(head, result, summary, sections, no_chart, version),
        html=_html(head, result, summary, sections, version, chart=chart, no_chart=no_chart),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """A heading and its rows: cells under `columns`, or lines where there are no columns."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...] = ()
    bad: bool = False


def _sections(report: DayReport, summary: DaySummary, upcoming: Sequence[str]) -> list[_Section]:
    problems = [(text,) for text in report.problems[:_PROBLEMS_MAX]]
    if len(report.problems) > _PROBLEMS_MAX:
        problems.append((f"and {len(report.problems) - _PROBLEMS_MAX} more, in the unresolved log",))
    speed = (
        ("Signal to order (market time)", _speed(summary.signal_to_order)),
        ("Order to fill", _speed(summary.order_to_fill)),
        ("Slippage", _cost(summary.slippage)),
        ("Fees", f"{summary.fees:.2f} USD"),
    )
    floats = [(one.broker, f"{one.first:,.2f}", f"{one.last:,.2f}", signed(one.last - one.first))
              for one in summary.floats]  # fmt: skip
    sections = [
        _Section(title="To look at", rows=tuple(problems), bad=True),
        _Section(title="Trades", columns=("", "PnL"), rows=tuple(_trades(report.trades))),
        *(_shares(name, shares) for name, shares in (
            ("By broker", summary.by_broker), ("By strategy", summary.by_strategy), ("By symbol", summary.by_symbol),
        )),
        _Section(title="Speed and cost", columns=("", ""), rows=speed if report.trades else ()),
        _Section(title="Sessions", rows=tuple((line,) for line in _strategies(report, summary))),
        _Section(title="Float", columns=("broker", "first", "last", "change"), rows=tuple(floats)),
        _Section(title="Next sessions", rows=tuple((line,) for line in upcoming)),
    ]  # fmt: skip
    return [section for section in sections if section.rows]


def _trades(trades: Sequence[TradeLine]) -> Iterator[tuple[str, str]]:
    for line in trades[:_TRADES_MAX]:
        prices = f"{plain(round(line.size, 4))} x {_price(line.entry_price)} to {_price(line.exit_price)}"
        times = f"{_clock(line.entered_at)} to {_clock(line.exited_at)}"
        error = f", {line.error_code}" if line.error_code else ""
        name = f"{line.ticker} {line.side}, {line.strategy} at {line.broker}"
        yield f"{name}\n{times}, {prices}, {line.exit_reason}{error}", signed(line.pnl)
    if len(trades) > _TRADES_MAX:
        yield f"and {len(trades) - _TRADES_MAX} more, in the trade history", ""


def _shares(title: str, shares: Iterable[Share]) -> _Section:
    rows = tuple((one.name, str(one.trades), f"{one.wins}/{one.losses}", signed(one.slippage), signed(one.pnl))
                 for one in shares)  # fmt: skip
    return _Section(title=title, columns=("", "trades", "won/lost", "slippage", "PnL"), rows=rows)


def _strategies(report: DayReport, summary: DaySummary) -> Iterator[str]:
    ran = {one.strategy: one for one in report.sessions}
    for one in summary.strategies:
        session = ran.get(one.strategy)
        if session is None:
            yield f"{one.strategy}: did not take place: {one.reason}"
        elif one.triggered:
            counts = session.counts
            yield f"{one.strategy}: {counts.signaled} signaled, {counts.entered} entered, {counts.rejected} rejected"
        else:
            reason = one.reason if len(one.reason) < 160 else f"{one.reason[:157]}..."  # noqa: PLR2004 - two lines
            yield f"{one.strategy}: no signal: {reason}"


def _text(
    head: str, result: str, summary: DaySummary, sections: Iterable[_Section], no_chart: str, version: str
) -> str:
    lines = [head, "", f"Result {result}", _in_short(summary), ""]
    for section in sections:
        lines.append(section.title.upper())
        lines += (
            [f"  {line}" for line in _columns(section)]
            if section.columns
            else [f"  - {row[0]}" for row in section.rows]
        )
        lines.append("")
    return "\n".join([*lines, *([no_chart, ""] if no_chart else []), _foot(version)])


def _columns(section: _Section) -> Iterator[str]:
    cells = [row for row in (section.columns, *section.rows) if any(row)]
    first = max(len(line) for row in cells for line in row[0].split("\n"))
    widths = [max(len(row[number]) for row in cells) for number in range(1, len(section.columns))]
    for row in cells:
        head, *rest = row[0].split("\n")
        numbers = "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True))
        yield f"{head:<{min(first, 48)}}{numbers}".rstrip()
        yield from (f"    {line}" for line in rest)


def _html(
    head: str, result: str, summary: DaySummary, sections: Iterable[_Section], version: str, *, chart: bool,
    no_chart: str,
) -> str:  # fmt: skip
    picture = f'<img src="cid:{CHART}" alt="Equity over the day and results of the last days">'
    shown = picture if chart else f'<div class="dim">{escape(no_chart)}</div>'
    title = (
        f'<div class="card"><h1>{escape(head)}</h1><div class="result {_tone(signed(summary.pnl))}">'
        f'{escape(result)}</div><div class="dim">{escape(_in_short(summary))}</div></div>'
    )
    cards = [title]
    told = list(sections)
    cards += [_card(section) for section in told if section.bad]
    cards.append(f'<div class="card">{shown}</div>')
    cards += [_card(section) for section in told if not section.bad]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(head)}</title><style>{_CSS}</style></head>"
        f'<body><div class="page">{"".join(cards)}<div class="dim">{escape(_foot(version))}</div></div></body></html>\n'
    )


def _card(section: _Section) -> str:
    if not section.columns:
        items = "".join(f"<li>{escape(row[0])}</li>" for row in section.rows)
        return f'<div class="card{" bad" if section.bad else ""}"><h2>{section.title}</h2><ul>{items}</ul></div>'
    head = "".join(f"<th>{escape(name)}</th>" for name in section.columns) if any(section.columns) else ""
    toned = tuple(name in _TONED for name in section.columns)
    rows = "".join(f"<tr>{''.join(map(_cell, row, toned))}</tr>" for row in section.rows)
    return f'<div class="card"><h2>{section.title}</h2><table><tr>{head}</tr>{rows}</table></div>'


def _cell(text: str, toned: bool) -> str:  # noqa: FBT001 - mapped over
    head, *rest = text.split("\n")
    more = "".join(f'<div class="dim">{escape(line)}</div>' for line in rest)
    tone = _tone(head) if toned else ""
    return f'<td class="{tone}">{escape(head)}{more}</td>' if tone else f"<td>{escape(head)}{more}</td>"


def _tone(text: str) -> str:
    """Return the class of an amount with a sign; nothing for all other texts."""
    if text[:1] not in {"+", "-"} or not text[1:].replace(".", "").replace(",", "").isdigit():
        return ""
    return "up" if text[0] == "+" else "down"


def _in_short(summary: DaySummary) -> str:
    count = summary.wins + summary.losses + summary.flats
    if not count:
        return f"no trade; {summary.counts.signaled} signaled, {summary.counts.rejected} rejected"
    best = f"; best {summary.best_symbol}, worst {summary.worst_symbol}" if len(summary.by_symbol) > 1 else ""
    return f"{_count(count, 'trade')}, {summary.wins} won, {summary.losses} lost{best}"


def _cost(slippage: Decimal) -> str:
    word = "worse than decided" if slippage > ZERO else "better than decided" if slippage < ZERO else "none"
    return "none" if slippage == ZERO else f"{abs(slippage):.2f} USD {word}"


def _speed(speed: Speed) -> str:
    if speed.mean_ms is None or speed.max_ms is None:
        return "-"
    return f"{_span(speed.mean_ms)} on average, {_span(speed.max_ms)} at most"


def _span(milliseconds: float) -> str:
    return f"{milliseconds:.1f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"  # noqa: PLR2004


def _price(price: Decimal | None) -> str:
    return "-" if price is None else f"{price:.2f}" if price >= 1 else plain(round(price, 4))


def _clock(at: Instant | None) -> str:
    return "-" if at is None else f"{to_datetime(at):%H:%M}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _foot(version: str) -> str:
    return f"TradeBot {version}. Times are UTC, money in USD after fees. More: tbot report day"


__all__ = ["CHART", "DayLetter", "mail_of_day"]
