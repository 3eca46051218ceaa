"""Charts as HTML with SVG inside, without scripts: shapes stretch with the page, words keep their size."""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from tbot_bot.core.bars import Bar

WIDE: Final = 1000.0
"""Units across; all charts are stretched to the page."""
HIGH: Final = 300.0
_LABELS: Final = 4
_ROOM: Final = 0.04
_NOTHING: Final = 0.01
"""Height of a chart of nothing but zeros."""
_TITLES_MAX: Final = 800
"""More days than these get no word at the pointer; the page stays light."""

Show = Callable[[float], str]


class Scale:
    """Places values between the bottom (0) and the top (1), with round numbers to write beside."""

    def __init__(self, low: float, high: float, *, zero: bool = False) -> None:
        """Take in `low` and `high`, and 0 where `zero`."""
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        room = (high - low) * _ROOM or abs(high) * _ROOM or _NOTHING
        self.low = low if zero and low == 0 else low - room
        self.high = high if zero and high == 0 else high + room
        if self.low == self.high:
            self.low -= room

    def at(self, value: float) -> float:
        """Return the height of `value`."""
        return (value - self.low) / (self.high - self.low)

    def y(self, value: float) -> float:
        """Return the SVG ordinate of `value`."""
        return round(HIGH * (1.0 - self.at(value)), 2)

    def marks(self) -> list[float]:
        """Return some round values in between."""
        rough = (self.high - self.low) / _LABELS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * size for size in (1, 2, 2.5, 5, 10) if power * size >= rough)
        first = math.ceil(self.low / step)
        return [number * step for number in range(first, math.floor(self.high / step) + 1)]


def line_chart(
    values: Sequence[float], names: Sequence[str], show: Show, *, about: str, fall: bool = False, short: bool = False
) -> str:
    """Return a line over its area; `fall` hangs the area from zero, in the colour of losses."""
    scale = Scale(min(values), max(values), zero=fall)
    step = WIDE / max(1, len(values) - 1)
    places = [(round(number * step, 2), scale.y(value)) for number, value in enumerate(values)]
    if len(places) == 1:
        places.append((WIDE, places[0][1]))
    line = " ".join(f"{x:g},{y:g}" for x, y in places)
    ground = scale.y(0.0) if fall else HIGH
    colour, soft = ("var(--down)", "var(--fall)") if fall else ("var(--mark)", "var(--soft)")
    area = f'<polygon points="0,{ground:g} {line} {WIDE:g},{ground:g}" fill="{soft}"/>'
    drawn = (
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" '
        'stroke-linejoin="round" vector-effect="non-scaling-stroke"/>'
    )
    words = "".join(
        f'<rect x="{number * step - step / 2:g}" y="0" width="{step:g}" height="{HIGH:g}" fill="transparent">'
        f"<title>{escape(name)}: {escape(show(value))}</title></rect>"
        for number, (name, value) in enumerate(zip(names, values, strict=True))
        if len(values) <= _TITLES_MAX
    )
    return _framed(area + drawn + words, scale, show, along(names), about=about, kind="low" if short else "")


def histogram(values: Sequence[float], show: Show, *, about: str, bins: int = 41) -> str:
    """Return how often results of each size came; the middle bin's border is zero."""
    reach = _reach(values)
    size = 2 * reach / (bins + 1)
    counts: dict[int, int] = {}
    for value in values:
        place = math.floor(min(max(value, -reach), reach * (1 - 1e-9)) / size)
        counts[place] = counts.get(place, 0) + 1
    first, last = min(*counts, -1), max(*counts, 0)
    width = WIDE / (last - first + 1)
    scale = Scale(0, max(counts.values()), zero=True)
    shapes = []
    for place in range(first, last + 1):
        count = counts.get(place, 0)
        if not count:
            continue
        top = scale.y(count)
        colour = "var(--up)" if place >= 0 else "var(--down)"
        span = f"{show(place * size)} to {show((place + 1) * size)}"
        shapes.append(
            f'<rect x="{(place - first) * width + width * 0.06:.2f}" y="{top:g}" width="{width * 0.88:.2f}" '
            f'height="{HIGH - top:.2f}" fill="{colour}"><title>{escape(span)}: {count:,}</title></rect>'
        )
    zero = (0 - first) * width / WIDE
    labels = [(0.0, show(first * size)), (zero, show(0.0)), (1.0, show((last + 1) * size))]
    whole = [mark for mark in scale.marks() if mark == int(mark)]
    return _framed(
        "".join(shapes), scale, lambda value: f"{value:,.0f}", _apart(labels), about=about, kind="", marks=whole
    )


def candle_chart(
    bars: Sequence[Bar], marks: Sequence[tuple[int, float, str, str]], times: Sequence[str], show: Show, *, about: str
) -> str:
    """Return candles with marks (bar's place, price, style class, words)."""
    prices = [price for _, price, _, _ in marks]
    scale = Scale(min([bar.low for bar in bars] + prices), max([bar.high for bar in bars] + prices))
    width = WIDE / len(bars)
    paths = {"var(--up)": ["", ""], "var(--down)": ["", ""]}
    for number, bar in enumerate(bars):
        parts = paths["var(--up)" if bar.close >= bar.open else "var(--down)"]
        middle = round((number + 0.5) * width, 2)
        parts[0] += f"M{middle:g} {scale.y(bar.high):g}V{scale.y(bar.low):g}"
        top, low = scale.y(max(bar.open, bar.close)), scale.y(min(bar.open, bar.close))
        wide = round(width * 0.7, 2)
        parts[1] += f"M{middle - wide / 2:.2f} {top:g}h{wide:g}v{max(low - top, 1.0):.2f}h-{wide:g}z"
    shapes = "".join(
        f'<path d="{wicks}" stroke="{colour}" stroke-width="1" vector-effect="non-scaling-stroke"/>'
        f'<path d="{bodies}" fill="{colour}"/>'
        for colour, (wicks, bodies) in paths.items()
        if wicks
    )
    over = "".join(
        f'<i class="m {style}" title="{escape(words, quote=True)}" '
        f'style="left:{(place + 0.5) / len(bars) * 100:.2f}%;bottom:{scale.at(price) * 100:.2f}%"></i>'
        for place, price, style, words in marks
    )
    return _framed(shapes, scale, show, along(times), about=about, kind="candles", over=over)


def along(names: Sequence[str]) -> list[tuple[float, str]]:
    """Return (place from 0 to 1, name) of a few names, the first and the last among them."""
    count = min(len(names), _LABELS)
    if count < 2:  # noqa: PLR2004 - one name stands alone
        return [(0.0, name) for name in names]
    places = [round(number * (len(names) - 1) / (count - 1)) for number in range(count)]
    return [(place / (len(names) - 1), names[place]) for place in places]


def _apart(labels: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return `labels` (ends and something between) without a middle one that would touch an end."""
    near = 0.18
    return [one for one in labels if one[0] in {0.0, 1.0} or near < one[0] < 1 - near]


def _reach(values: Sequence[float]) -> float:
    """Return how far a histogram goes: all but the outermost hundredth, which the last bins take in."""
    sizes = sorted(abs(value) for value in values)
    return sizes[min(len(sizes) - 1, math.ceil(len(sizes) * 0.99) - 1)] or sizes[-1] or 1.0


def _framed(
    shapes: str,
    scale: Scale,
    show: Show,
    labels: Sequence[tuple[float, str]],
    *,
    about: str,
    kind: str,
    over: str = "",
    marks: Sequence[float] | None = None,
) -> str:
    grid = "".join(
        f'<i class="g" style="bottom:{scale.at(mark) * 100:.2f}%"></i>'
        f'<span class="y" style="bottom:{scale.at(mark) * 100:.2f}%">{escape(show(mark))}</span>'
        for mark in (scale.marks() if marks is None else marks)
    )
    names = "".join(f'<span style="left:{place * 100:.2f}%">{escape(name)}</span>' for place, name in labels)
    return (
        f'<div class="plot {kind}">{grid}<svg viewBox="0 0 {WIDE:g} {HIGH:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(about, quote=True)}">{shapes}</svg>{over}</div><div class="x">{names}</div>'
    )


__all__ = ["HIGH", "WIDE", "Scale", "along", "candle_chart", "histogram", "line_chart"]
