"""A heat map as an HTML table: readable without colour, stretched to the page, turned sideways by a thumb if wide."""

from collections.abc import Sequence
from html import escape
from typing import Final

from tbot_bot.backtest.charts import Show

_FAINTEST, _STRONGEST = 10, 62
"""Percent of colour."""
_STEPS: Final = 8
"""Of the legend's bar."""

STYLE: Final = """
.heat{border-collapse:separate;border-spacing:2px;table-layout:auto}
.heat td,.heat th{border:0;text-align:center;border-radius:3px;padding:.4rem .45rem}
.heat tr:last-child>*{border:0}
.heat th{font-weight:500}.heat th[scope=row]{position:sticky;left:0;background:var(--card);text-align:right;width:1%}
.heat td.best{outline:2px solid var(--mark);outline-offset:-2px;font-weight:700}
.heat td.none{color:var(--quiet)}
.scale{display:flex;gap:.5rem;align-items:center;color:var(--quiet);font-size:.78rem;margin:.5rem 0 0}
.scale i{flex:0 1 9rem;height:.7rem;border-radius:2px}
li,code,figcaption{overflow-wrap:anywhere}
@media (max-width:34rem){.heat td,.heat th{padding:.32rem .3rem;font-size:.76rem}}
"""


def heat_map(
    down: tuple[str, Sequence[str]],
    across: tuple[str, Sequence[str]],
    values: Sequence[Sequence[float | None]],
    show: Show,
    *,
    about: str,
    best: tuple[int, int] | None = None,
) -> str:
    """Return `values` (rows of `down` x columns of `across`, each a name and its values) as a map.

    Losses and gains have colours of their own, the stronger the further from zero, or, where all are on one side of
    it, from the value nearest to it. `best`: which cell is marked.
    """
    known = [value for row in values for value in row if value is not None]
    shade = Shade(known)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in across[1])
    rows = []
    for place, (name, row) in enumerate(zip(down[1], values, strict=True)):
        cells = "".join(
            _cell(value, shade, show, f"{down[0]}={name}, {across[0]}={other}", marked=best == (place, column))
            for column, (other, value) in enumerate(zip(across[1], row, strict=True))
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table class="heat" aria-label="{escape(about, quote=True)}">'
        f"<tr><th></th>{head}</tr>{''.join(rows)}</table></div>{_legend(known, shade, show)}"
    )


class Shade:
    """Gives values their colours."""

    def __init__(self, known: Sequence[float]) -> None:
        """Take in all values of one map."""
        gains, losses = [value for value in known if value > 0], [-value for value in known if value < 0]
        mixed = bool(gains) and len(gains) < len(known)
        self._gain = (0.0 if mixed or not gains else min(gains), max(gains, default=0.0))
        mixed = bool(losses) and len(losses) < len(known)
        self._loss = (0.0 if mixed or not losses else min(losses), max(losses, default=0.0))

    def of(self, value: float) -> str:
        """Return the colour of `value`; none for zero."""
        if not value:
            return "transparent"
        low, high = self._gain if value > 0 else self._loss
        part = (abs(value) - low) / (high - low) if high > low else 1.0
        strength = round(_FAINTEST + (_STRONGEST - _FAINTEST) * part)
        return f"color-mix(in srgb,var(--{'up' if value > 0 else 'down'}) {strength}%,transparent)"


def _cell(value: float | None, shade: Shade, show: Show, words: str, *, marked: bool) -> str:
    if value is None:
        named = "none best" if marked else "none"
        return f'<td class="{named}" title="{escape(words, quote=True)}: not defined">none</td>'
    style = ' class="best"' if marked else ""
    told = escape(f"{words}: {show(value)}", quote=True)
    return f'<td{style} style="background:{shade.of(value)}" title="{told}">{escape(show(value))}</td>'


def _legend(known: Sequence[float], shade: Shade, show: Show) -> str:
    if not known or min(known) == max(known):
        return ""
    low, high = min(known), max(known)
    colours = ",".join(shade.of(low + (high - low) * step / _STEPS) for step in range(_STEPS + 1))
    return (
        f'<p class="scale"><span>{escape(show(low))}</span><i style="background:linear-gradient(90deg,{colours})"></i>'
        f"<span>{escape(show(high))}</span></p>"
    )


__all__ = ["STYLE", "Shade", "heat_map"]
